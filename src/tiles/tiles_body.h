/* tiles.h at one SIMD level: include with WSK_TILE_MATH naming the table to define. */
#include "tiles.h"

#include "tiles_functions.h"
#include "tiles_vector.h"

enum { TILES_PIECE = 256 };     /* elements of a row that are converted at a time */
enum { BLOCK_ROWS = LANES == 16 ? 8 : 4, BLOCK_VECTORS = 2 };

INLINE vec b_round(vec v)
{
    uint16_t words[LANES];
    b_store(words, v);
    return b_load(words);
}
/* In fp32, rounded to bf16 by the caller: the sum of products of bf16 is defined in fp32. */
INLINE vec b_fma(vec a, vec b, vec c) { return v_fma(a, b, c); }

#define WORD float
#define LOAD v_load
#define LOAD_SOME v_load_some
#define STORE v_store
#define STORE_SOME v_store_some
#define NAME(x) f32_##x
#define FMA v_fma
#define ROUND(v) (v)
#include "tiles_rows.h"
#define STEP v_fma
#include "tiles_gemm.h"
#undef STEP
#undef ROUND
#undef FMA
#undef NAME
#undef WORD
#undef LOAD
#undef LOAD_SOME
#undef STORE
#undef STORE_SOME

#define WORD uint16_t
#define LOAD h_load
#define LOAD_SOME h_load_some
#define STORE h_store
#define STORE_SOME h_store_some
#define NAME(x) f16_##x
#define FMA h_fma_odd
#define ROUND h_round
#include "tiles_rows.h"
#define STEP h_fma
#include "tiles_gemm.h"
#undef STEP
#undef NAME
#define NAME(x) wide_##x
#define STEP v_fma
#include "tiles_gemm.h"
#undef STEP
#undef ROUND
#undef FMA
#undef NAME
#undef LOAD
#undef LOAD_SOME
#undef STORE
#undef STORE_SOME

#define LOAD b_load
#define LOAD_SOME b_load_some
#define STORE b_store
#define STORE_SOME b_store_some
#define NAME(x) bf16_##x
#define FMA b_fma
#define ROUND b_round
#include "tiles_rows.h"
#define STEP v_fma
#include "tiles_gemm.h"

#define TABLE(sums, storage)                                                                                      \
    {                                                                                                             \
        sums##_gemm, storage##_widen, storage##_narrow,                                                           \
        { storage##_mov, storage##_exp, storage##_reciprocal, storage##_rsqrt, storage##_silu },                  \
        { storage##_add, storage##_sub, storage##_mul, storage##_max, storage##_silu_mul },                       \
        storage##_scale, storage##_fma, storage##_rowsum, storage##_dot, storage##_rowmax, storage##_expsub,      \
        storage##_rowdiv, storage##_rownorm, storage##_rope,                                                      \
    }

const wsk_tile_math WSK_TILE_MATH[WSK_TILE_DTYPES] = {
    [WSK_TILE_FP32] = TABLE(f32, f32),
    [WSK_TILE_FP16] = TABLE(f16, f16),
    [WSK_TILE_FP16_FP32] = TABLE(wide, f16),
    [WSK_TILE_BF16] = TABLE(bf16, bf16),
};
