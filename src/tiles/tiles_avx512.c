/* tiles.h at SIMD level avx512. */
#define WSK_TILE_MATH wsk_tile_math_avx512
#include "tiles_body.h"
