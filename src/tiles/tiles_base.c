/* tiles.h at SIMD level base. */
#define WSK_TILE_MATH wsk_tile_math_base
#include "tiles_body.h"
