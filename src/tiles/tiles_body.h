/* tiles.h at one SIMD level: include with WSK_TILE_MATH naming the table to define. */
#include "tiles.h"

#include "tiles_functions.h"
#include "tiles_vector.h"
#include "tiles_block.h"

enum { TILES_PIECE = 256 };     /* elements of a row that are converted at a time */

INLINE vec b_round(vec v)
{
    uint16_t words[LANES];
    b_store(words, v);
    return b_load(words);
}
/* In fp32, rounded to bf16 by the caller: the sum of products of bf16 is defined in fp32. */
INLINE vec b_fma(vec a, vec b, vec c) { return v_fma(a, b, c); }

/* One step of `count` chains: sum[e] = scalar[e / vectors] * factor[e % vectors] + sum[e]. */
INLINE void v_fma_steps(vec *sum, const vec *scalar, const vec *factor, const int count, const int vectors)
{
    _Pragma("GCC unroll 16") for (int e = 0; e < count; e++)
        sum[e] = v_fma(scalar[e / vectors], factor[e % vectors], sum[e]);
}

/* The same rounded once to half. */
INLINE void h_fma_steps(vec *sum, const vec *scalar, const vec *factor, const int count, const int vectors)
{
    _Pragma("GCC unroll 16") for (int e = 0; e < count; e++)
        sum[e] = h_fma(scalar[e / vectors], factor[e % vectors], sum[e]);
}

#define WORD float
#define LOAD v_load
#define LOAD_SOME v_load_some
#define STORE v_store
#define STORE_SOME v_store_some
#define REPEAT4 v_repeat4
#define REPEAT8 v_repeat8
#define LOAD_TWO v_load_two
#define STORE_TWO v_store_two
#define NAME(x) f32_##x
#ifdef __AVX512F__
#define STREAM v_stream
#else
#define STREAM STORE
#endif
INLINE void f32_stream(float *p, vec v) { STREAM(p, v); }
#define FMA v_fma
#define ROUND(v) (v)
#define LEFT f32_widen
#include "tiles_rows.h"
#define STEPS v_fma_steps
#include "tiles_gemm.h"
#ifdef __AVX512F__
#include "tiles_small.h"
#endif
#undef STEPS
#undef ROUND
#undef FMA
#undef NAME
#undef WORD
#undef LOAD
#undef LOAD_SOME
#undef STORE
#undef STORE_SOME
#undef REPEAT4
#undef REPEAT8
#undef LOAD_TWO
#undef STORE_TWO
#undef STREAM
#define STREAM STORE

#define WORD uint16_t
#define LOAD h_load
#define LOAD_SOME h_load_some
#define STORE h_store
#define STORE_SOME h_store_some
#define REPEAT4 h_repeat4
#define REPEAT8 h_repeat8
#define LOAD_TWO h_load_two
#define STORE_TWO h_store_two
#define NAME(x) f16_##x
#define FMA h_fma_odd
#define ROUND h_round
#undef LEFT
#define LEFT f16_widen
#include "tiles_rows.h"
#define STEPS h_fma_steps
#if defined(__AVX2__) && !defined(__AVX512F__)
#define UPWARD
#endif
#include "tiles_gemm.h"
#undef UPWARD
#ifdef __AVX512F__
#include "tiles_small.h"
#endif
#undef STEPS
#undef NAME
#define NAME(x) wide_##x
#define STEPS v_fma_steps
#include "tiles_gemm.h"
#ifdef __AVX512F__
#include "tiles_small.h"
#endif
#undef STEPS
#undef ROUND
#undef FMA
#undef NAME
#undef LOAD
#undef LOAD_SOME
#undef STORE
#undef STORE_SOME
#undef REPEAT4
#undef REPEAT8
#undef LOAD_TWO
#undef STORE_TWO

#define LOAD b_load
#define LOAD_SOME b_load_some
#define STORE b_store
#define STORE_SOME b_store_some
#define REPEAT4 b_repeat4
#define REPEAT8 b_repeat8
#define LOAD_TWO b_load_two
#define STORE_TWO b_store_two
#define NAME(x) bf16_##x
#define FMA b_fma
#define ROUND b_round
#undef LEFT
#define LEFT bf16_widen
#include "tiles_rows.h"
#define STEPS v_fma_steps
#include "tiles_gemm.h"
#ifdef __AVX512F__
#include "tiles_small.h"
#endif

#ifdef __AVX512F__
#define SMALL(sums, name) sums##_##name
#else
#define SMALL(sums, name) NULL
#endif
#define TABLE(sums, storage)                                                                                      \
    {                                                                                                             \
        { sums##_gemm, SMALL(sums, gemm_small), SMALL(sums, gemm_small_row), SMALL(sums, gemv_small_row), storage##_widen }, \
        storage##_widen, storage##_narrow,                                                                        \
        { storage##_mov, storage##_exp, storage##_reciprocal, storage##_rsqrt, storage##_silu },                  \
        { storage##_add, storage##_sub, storage##_mul, storage##_max, storage##_silu_mul },                       \
        storage##_scale, storage##_fma, storage##_rowsum, storage##_dot, storage##_rowmax, storage##_expsub,      \
        storage##_rowdiv, storage##_rownorm, storage##_rope, peak, traffic,                                       \
    }

/* Independent multiply-adds from registers: the rate that no kernel can exceed. */
static int64_t peak(int64_t steps, float *out)
{
    vec sum[BLOCK];
    _Pragma("GCC unroll 16") for (int e = 0; e < BLOCK; e++)
        sum[e] = v_set((float)e);
    vec factor = v_set(out[0]);
    for (int64_t s = 0; s < steps; s++)
        _Pragma("GCC unroll 16") for (int e = 0; e < BLOCK; e++)
            sum[e] = v_fma(sum[e], factor, factor);
    for (int e = 0; e < BLOCK; e++)
        v_store_some(out, v_add(sum[e], v_set(out[0])), 1);
    return steps * BLOCK * LANES;
}

/* What products of tiles move, without multiplying: the rate that memory does not let them exceed. */
static void traffic(const float *a, const float *b, float *out, int64_t n, int past_caches)
{
    enum { AHEAD = 1024 };      /* 4 KB: what gemm fetches ahead at tiles of 32 */
    for (int64_t i = 0; i < n; i += LANES) {
        __builtin_prefetch(a + i + AHEAD);
        __builtin_prefetch(b + i + AHEAD);
        vec sum = v_add(v_load(a + i), v_load(b + i));
        if (past_caches)
            f32_stream(out + i, sum);
        else
            v_store(out + i, sum);
    }
#ifdef __SSE__
    __builtin_ia32_sfence();
#endif
}

const wsk_tile_math WSK_TILE_MATH[WSK_TILE_DTYPES] = {
    [WSK_TILE_FP32] = TABLE(f32, f32),
    [WSK_TILE_FP16] = TABLE(f16, f16),
    [WSK_TILE_FP16_FP32] = TABLE(wide, f16),
    [WSK_TILE_BF16] = TABLE(bf16, bf16),
};
