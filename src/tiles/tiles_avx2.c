/* tiles.h at SIMD level avx2. */
#define WSK_TILE_MATH wsk_tile_math_avx2
#include "tiles_body.h"
