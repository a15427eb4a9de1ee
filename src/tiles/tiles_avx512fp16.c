/* Products of fp16 tiles by the CPU's own fp16 multiply-adds, each rounded once: no step by way of fp32. Vectors of 16 halves. */
#include "tiles.h"

#ifdef __AVX512FP16__
#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16 };
typedef __m256h vec;
INLINE __mmask16 first(int64_t n) { return (__mmask16)((1u << n) - 1); }

/* x is held as two copies of each half, so that one 32-bit broadcast fills a vector. */
INLINE vec v_set(float twice) { return _mm256_castps_ph(_mm256_set1_ps(twice)); }
INLINE vec v_two(float low, float high)
{
    return _mm256_castps_ph(_mm256_blend_ps(_mm256_set1_ps(low), _mm256_set1_ps(high), 0xf0));
}
/* Lane e gets element kk of the row of n <= 8 halves that lane e of `rows` is in: no row crosses 16 bytes. */
INLINE vec v_pick(vec rows, const int kk, const int n)
{
    const __m128i byte = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m128i row = _mm_andnot_si128(_mm_set1_epi8((char)(2 * n - 2)), byte);
    __m256i from = _mm256_broadcastsi128_si256(_mm_add_epi8(row, _mm_set1_epi8((char)(2 * kk))));
    return _mm256_castsi256_ph(_mm256_shuffle_epi8(_mm256_castph_si256(rows), from));
}
INLINE vec h_load(const uint16_t *p) { return _mm256_castsi256_ph(_mm256_loadu_si256((const __m256i *)p)); }
INLINE vec h_load_some(const uint16_t *p, int64_t n) { return _mm256_castsi256_ph(_mm256_maskz_loadu_epi16(first(n), p)); }
INLINE void h_store(uint16_t *p, vec v) { _mm256_storeu_si256((__m256i *)p, _mm256_castph_si256(v)); }
INLINE void h_store_some(uint16_t *p, vec v, int64_t n) { _mm256_mask_storeu_epi16(p, first(n), _mm256_castph_si256(v)); }
INLINE vec h_repeat4(const uint16_t *p)
{
    return _mm256_castsi256_ph(_mm256_broadcastq_epi64(_mm_loadl_epi64((const __m128i *)p)));
}
INLINE vec h_repeat8(const uint16_t *p)
{
    return _mm256_castsi256_ph(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p)));
}
/* The first n <= 8 elements of p, then, 8 lanes on, those of q; and the way back. */
INLINE vec h_load_two(const uint16_t *p, const uint16_t *q, int64_t n)
{
    __m256i low = _mm256_castsi128_si256(_mm_maskz_loadu_epi16((__mmask8)first(n), p));
    return _mm256_castsi256_ph(_mm256_inserti128_si256(low, _mm_maskz_loadu_epi16((__mmask8)first(n), q), 1));
}
INLINE void h_store_two(uint16_t *p, uint16_t *q, vec v, int64_t n)
{
    __m256i words = _mm256_castph_si256(v);
    _mm_mask_storeu_epi16(p, (__mmask8)first(n), _mm256_castsi256_si128(words));
    _mm_mask_storeu_epi16(q, (__mmask8)first(n), _mm256_extracti128_si256(words, 1));
}
INLINE void h_steps(vec *sum, const vec *scalar, const vec *factor, const int count, const int vectors)
{
    _Pragma("GCC unroll 16") for (int e = 0; e < count; e++)
        sum[e] = _mm256_fmadd_ph(scalar[e / vectors], factor[e % vectors], sum[e]);
}

static void half_left(const void *in, float *out, int64_t n)
{
    const uint16_t *half = in;
    uint32_t *twice = (uint32_t *)out;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        __m512i word = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(half + i)));
        _mm512_storeu_si512(twice + i, _mm512_or_si512(word, _mm512_slli_epi32(word, 16)));
    }
    for (; i < n; i++)
        twice[i] = half[i] * 0x10001u;
}

#include "tiles_block.h"
#define WORD uint16_t
#define LOAD h_load
#define LOAD_SOME h_load_some
#define STORE h_store
#define STORE_SOME h_store_some
#define STREAM h_store
#define REPEAT4 h_repeat4
#define REPEAT8 h_repeat8
#define LOAD_TWO h_load_two
#define STORE_TWO h_store_two
#define LEFT half_left
#define STEPS h_steps
#define NAME(x) half_##x
#include "tiles_gemm.h"
#include "tiles_small.h"

const wsk_tile_products wsk_tile_products_half = { half_gemm, half_gemm_small, half_gemm_small_row, half_gemv_small_row,
                                                   half_left };
#else
const wsk_tile_products wsk_tile_products_half = { 0 };      /* never asked for: see wsk_tile_half_supported */
#endif
