/* A vector of LANES floats at the SIMD level that the including file is compiled for, so that each body is written once.
 * "some" variants touch only the first n < LANES elements of memory; other lanes are zero. */
#ifndef WSEKERN_TILES_VECTOR_H
#define WSEKERN_TILES_VECTOR_H

#include <math.h>
#include <string.h>

#include "common/wsekern_half.h"

#define INLINE static inline __attribute__((always_inline))

/* Makes the compiler store `words` and load them again. Converting to and from memory costs two operations of the vector units
 * less than between registers; stores and loads have units of their own. */
#define THROUGH_MEMORY(words) __asm__("" : "+m"(words))

#if defined(__AVX512F__)
#include <immintrin.h>
enum { LANES = 16 };
typedef __m512 vec;
typedef __mmask16 lanes;
INLINE lanes first(int64_t n) { return (lanes)((1u << n) - 1); }
INLINE vec v_set(float x) { return _mm512_set1_ps(x); }
INLINE vec v_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE vec v_load_some(const float *p, int64_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
INLINE void v_store(float *p, vec v) { _mm512_storeu_ps(p, v); }
INLINE void v_stream(float *p, vec v) { _mm512_stream_ps(p, v); }                   /* past the caches; p on a cache line */
INLINE void v_store_some(float *p, vec v, int64_t n) { _mm512_mask_storeu_ps(p, first(n), v); }
INLINE vec v_add(vec a, vec b) { return _mm512_add_ps(a, b); }
INLINE vec v_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
INLINE vec v_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
INLINE vec v_div(vec a, vec b) { return _mm512_div_ps(a, b); }
INLINE vec v_sqrt(vec a) { return _mm512_sqrt_ps(a); }
INLINE vec v_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vec v_larger(vec a, vec b) { return _mm512_max_ps(a, b); }                   /* a > b ? a : b */
INLINE vec v_smaller(vec a, vec b) { return _mm512_min_ps(a, b); }                  /* a < b ? a : b */
INLINE vec v_if_less(vec a, vec b, vec yes, vec no)                                 /* a < b ? yes : no */
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
INLINE vec v_power_of_two(vec magic)            /* 2 ^ (low byte, signed, of magic's bits) */
{
    __m512i e = _mm512_add_epi32(_mm512_castps_si512(magic), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(e, 23));
}
INLINE vec h_load(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
INLINE vec h_load_some(const uint16_t *p, int64_t n) { return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), p)); }
INLINE __m256i h_bits(vec v) { return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE void h_store(uint16_t *p, vec v) { _mm256_storeu_si256((__m256i *)p, h_bits(v)); }
INLINE void h_store_some(uint16_t *p, vec v, int64_t n) { _mm256_mask_storeu_epi16(p, first(n), h_bits(v)); }
INLINE vec h_round(vec v) { return _mm512_cvtph_ps(h_bits(v)); }
INLINE vec h_round_in_memory(vec v)
{
    __m256i words = h_bits(v);
    THROUGH_MEMORY(words);
    return _mm512_cvtph_ps(words);
}
INLINE vec h_fma_odd(vec a, vec b, vec c)
{
    /* Rounded down and up: equal where exact, else neighbors, one of them odd. */
    __m512i low = _mm512_castps_si512(_mm512_fmadd_round_ps(a, b, c, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));
    __m512i high = _mm512_castps_si512(_mm512_fmadd_round_ps(a, b, c, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC));
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(high, _mm512_test_epi32_mask(low, _mm512_set1_epi32(1)), low));
}
INLINE vec b_widen(__m256i h) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16)); }
INLINE vec b_load(const uint16_t *p) { return b_widen(_mm256_loadu_si256((const __m256i *)p)); }
INLINE vec b_load_some(const uint16_t *p, int64_t n) { return b_widen(_mm256_maskz_loadu_epi16(first(n), p)); }
INLINE __m256i b_bits(vec v)
{
    __m512i bits = _mm512_castps_si512(v), top = _mm512_srli_epi32(bits, 16);
    __m512i even = _mm512_and_si512(top, _mm512_set1_epi32(1));
    __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(even, _mm512_set1_epi32(0x7fff))), 16);
    __m512i quiet = _mm512_or_si512(top, _mm512_set1_epi32(0x40));
    return _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), quiet));
}
INLINE void b_store(uint16_t *p, vec v) { _mm256_storeu_si256((__m256i *)p, b_bits(v)); }
INLINE void b_store_some(uint16_t *p, vec v, int64_t n) { _mm256_mask_storeu_epi16(p, first(n), b_bits(v)); }

/* Lane e gets element kk of the row of n elements that lane e of `rows` is in: e / n * n + kk. */
INLINE vec v_pick(vec rows, const int kk, const int n)
{
    __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i from = _mm512_andnot_si512(_mm512_set1_epi32(n - 1), lane);
    return _mm512_permutexvar_ps(_mm512_add_epi32(from, _mm512_set1_epi32(kk)), rows);
}
INLINE vec v_two(float low, float high) { return _mm512_mask_mov_ps(v_set(low), 0xff00, v_set(high)); }

/* 4 or 8 elements, repeated to fill the vector. */
INLINE vec v_repeat4(const float *p) { return _mm512_broadcast_f32x4(_mm_loadu_ps(p)); }
INLINE vec v_repeat8(const float *p) { return _mm512_broadcast_f32x8(_mm256_loadu_ps(p)); }
INLINE __m256i words_repeat4(const uint16_t *p) { return _mm256_broadcastq_epi64(_mm_loadl_epi64((const __m128i *)p)); }
INLINE __m256i words_repeat8(const uint16_t *p) { return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p)); }
INLINE vec h_repeat4(const uint16_t *p) { return _mm512_cvtph_ps(words_repeat4(p)); }
INLINE vec h_repeat8(const uint16_t *p) { return _mm512_cvtph_ps(words_repeat8(p)); }
INLINE vec b_repeat4(const uint16_t *p) { return b_widen(words_repeat4(p)); }
INLINE vec b_repeat8(const uint16_t *p) { return b_widen(words_repeat8(p)); }

/* The first n <= 8 elements of p, then, 8 lanes on, those of q; and the way back. */
INLINE vec v_load_two(const float *p, const float *q, int64_t n)
{
    __m512 low = _mm512_castps256_ps512(_mm256_maskz_loadu_ps((__mmask8)first(n), p));
    return _mm512_insertf32x8(low, _mm256_maskz_loadu_ps((__mmask8)first(n), q), 1);
}
INLINE void v_store_two(float *p, float *q, vec v, int64_t n)
{
    _mm256_mask_storeu_ps(p, (__mmask8)first(n), _mm512_castps512_ps256(v));
    _mm256_mask_storeu_ps(q, (__mmask8)first(n), _mm512_extractf32x8_ps(v, 1));
}
INLINE __m256i words_two(const uint16_t *p, const uint16_t *q, int64_t n)
{
    __m256i low = _mm256_castsi128_si256(_mm_maskz_loadu_epi16((__mmask8)first(n), p));
    return _mm256_inserti128_si256(low, _mm_maskz_loadu_epi16((__mmask8)first(n), q), 1);
}
INLINE void store_words_two(uint16_t *p, uint16_t *q, __m256i v, int64_t n)
{
    _mm_mask_storeu_epi16(p, (__mmask8)first(n), _mm256_castsi256_si128(v));
    _mm_mask_storeu_epi16(q, (__mmask8)first(n), _mm256_extracti128_si256(v, 1));
}
INLINE vec h_load_two(const uint16_t *p, const uint16_t *q, int64_t n) { return _mm512_cvtph_ps(words_two(p, q, n)); }
INLINE void h_store_two(uint16_t *p, uint16_t *q, vec v, int64_t n) { store_words_two(p, q, h_bits(v), n); }
INLINE vec b_load_two(const uint16_t *p, const uint16_t *q, int64_t n) { return b_widen(words_two(p, q, n)); }
INLINE void b_store_two(uint16_t *p, uint16_t *q, vec v, int64_t n) { store_words_two(p, q, b_bits(v), n); }

#elif defined(__AVX2__)
#include <immintrin.h>
enum { LANES = 8 };
typedef __m256 vec;
INLINE __m256i first(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE vec v_set(float x) { return _mm256_set1_ps(x); }
INLINE vec v_load(const float *p) { return _mm256_loadu_ps(p); }
INLINE vec v_load_some(const float *p, int64_t n) { return _mm256_maskload_ps(p, first(n)); }
INLINE void v_store(float *p, vec v) { _mm256_storeu_ps(p, v); }
INLINE void v_store_some(float *p, vec v, int64_t n) { _mm256_maskstore_ps(p, first(n), v); }
INLINE vec v_add(vec a, vec b) { return _mm256_add_ps(a, b); }
INLINE vec v_sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
INLINE vec v_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
INLINE vec v_div(vec a, vec b) { return _mm256_div_ps(a, b); }
INLINE vec v_sqrt(vec a) { return _mm256_sqrt_ps(a); }
INLINE vec v_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vec v_larger(vec a, vec b) { return _mm256_max_ps(a, b); }
INLINE vec v_smaller(vec a, vec b) { return _mm256_min_ps(a, b); }
INLINE vec v_if_less(vec a, vec b, vec yes, vec no) { return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
INLINE vec v_power_of_two(vec magic)
{
    __m256i e = _mm256_add_epi32(_mm256_castps_si256(magic), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(e, 23));
}
INLINE __m128i load_words(const uint16_t *p, int64_t n)
{
    uint16_t words[8] = {0};
    memcpy(words, p, (size_t)n * 2);
    return _mm_loadu_si128((const __m128i *)words);
}
INLINE void store_words(uint16_t *p, __m128i v, int64_t n)
{
    uint16_t words[8];
    _mm_storeu_si128((__m128i *)words, v);
    memcpy(p, words, (size_t)n * 2);
}
INLINE vec h_load(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
INLINE vec h_load_some(const uint16_t *p, int64_t n) { return _mm256_cvtph_ps(load_words(p, n)); }
INLINE __m128i h_bits(vec v) { return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE void h_store(uint16_t *p, vec v) { _mm_storeu_si128((__m128i *)p, h_bits(v)); }
INLINE void h_store_some(uint16_t *p, vec v, int64_t n) { store_words(p, h_bits(v), n); }
INLINE vec h_round(vec v) { return _mm256_cvtph_ps(h_bits(v)); }
INLINE vec h_fma_odd(vec a, vec b, vec c)
{
    /* The product is exact; the error of the sum (TwoSum) says where an even sum moves to an odd neighbor. */
    vec product = v_mul(a, b), sum = v_add(product, c), of_c = v_sub(sum, product);
    vec error = v_add(v_sub(product, v_sub(sum, of_c)), v_sub(c, of_c));
    __m256i bits = _mm256_castps_si256(sum), one = _mm256_set1_epi32(1);
    __m256i inexact = _mm256_castps_si256(_mm256_cmp_ps(error, _mm256_setzero_ps(), _CMP_NEQ_OQ));
    __m256i even = _mm256_cmpeq_epi32(_mm256_and_si256(bits, one), _mm256_setzero_si256());
    /* +1 away from zero where sum and error have one sign, -1 towards it elsewhere. */
    __m256i opposite = _mm256_srai_epi32(_mm256_xor_si256(bits, _mm256_castps_si256(error)), 31);
    __m256i step = _mm256_and_si256(_mm256_or_si256(opposite, one), _mm256_and_si256(inexact, even));
    return _mm256_castsi256_ps(_mm256_add_epi32(bits, step));
}
INLINE vec b_widen(__m128i h) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16)); }
INLINE vec b_load(const uint16_t *p) { return b_widen(_mm_loadu_si128((const __m128i *)p)); }
INLINE vec b_load_some(const uint16_t *p, int64_t n) { return b_widen(load_words(p, n)); }
INLINE __m128i b_bits(vec v)
{
    __m256i bits = _mm256_castps_si256(v), top = _mm256_srli_epi32(bits, 16);
    __m256i even = _mm256_and_si256(top, _mm256_set1_epi32(1));
    __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(even, _mm256_set1_epi32(0x7fff))), 16);
    __m256i quiet = _mm256_or_si256(top, _mm256_set1_epi32(0x40));
    __m256i unordered = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    __m256i words = _mm256_blendv_epi8(rounded, quiet, unordered);
    return _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}
INLINE void b_store(uint16_t *p, vec v) { _mm_storeu_si128((__m128i *)p, b_bits(v)); }
INLINE void b_store_some(uint16_t *p, vec v, int64_t n) { store_words(p, b_bits(v), n); }

#else
enum { LANES = 1 };
typedef float vec;
INLINE vec v_set(float x) { return x; }
INLINE vec v_load(const float *p) { return *p; }
INLINE vec v_load_some(const float *p, int64_t n) { return n ? *p : 0; }
INLINE void v_store(float *p, vec v) { *p = v; }
INLINE void v_store_some(float *p, vec v, int64_t n) { if (n) *p = v; }
INLINE vec v_add(vec a, vec b) { return a + b; }
INLINE vec v_sub(vec a, vec b) { return a - b; }
INLINE vec v_mul(vec a, vec b) { return a * b; }
INLINE vec v_div(vec a, vec b) { return a / b; }
INLINE vec v_sqrt(vec a) { return sqrtf(a); }
INLINE vec v_fma(vec a, vec b, vec c) { return fmaf(a, b, c); }
INLINE vec v_larger(vec a, vec b) { return a > b ? a : b; }
INLINE vec v_smaller(vec a, vec b) { return a < b ? a : b; }
INLINE vec v_if_less(vec a, vec b, vec yes, vec no) { return a < b ? yes : no; }
INLINE vec v_power_of_two(vec magic) { return wsk_bits_to_float((wsk_float_to_bits(magic) + 127) << 23); }
INLINE vec h_load(const uint16_t *p) { return wsk_half_to_float(*p); }
INLINE vec h_load_some(const uint16_t *p, int64_t n) { return n ? wsk_half_to_float(*p) : 0; }
INLINE void h_store(uint16_t *p, vec v) { *p = wsk_float_to_half(v); }
INLINE void h_store_some(uint16_t *p, vec v, int64_t n) { if (n) *p = wsk_float_to_half(v); }
INLINE vec h_round(vec v) { return wsk_half_to_float(wsk_float_to_half(v)); }
INLINE vec h_round_in_memory(vec v) { return h_round(v); }
INLINE vec h_fma_odd(vec a, vec b, vec c) { return wsk_add_to_odd(a * b, c); }
INLINE vec b_load(const uint16_t *p) { return wsk_bf16_to_float(*p); }
INLINE vec b_load_some(const uint16_t *p, int64_t n) { return n ? wsk_bf16_to_float(*p) : 0; }
INLINE void b_store(uint16_t *p, vec v) { *p = wsk_float_to_bf16(v); }
INLINE void b_store_some(uint16_t *p, vec v, int64_t n) { if (n) *p = wsk_float_to_bf16(v); }
#endif

/* a * b + c of halves, rounded once to half. At level avx2 while the core rounds up (h_round_up). */
#if defined(__AVX2__) && !defined(__AVX512F__)
INLINE vec h_fma(vec a, vec b, vec c)
{
    /* Rounded up, and down as minus its negative rounded up: equal where exact, else neighbors, one of them odd. */
    vec high = v_fma(a, b, c), minus_low = _mm256_fnmsub_ps(a, b, c);
    __asm__("" : "+x"(minus_low));              /* no compiler may take it for minus the other one */
    vec low = _mm256_xor_ps(minus_low, v_set(-0.0f));
    __m256i odd = _mm256_slli_epi32(_mm256_castps_si256(minus_low), 31);
    return h_round(_mm256_blendv_ps(high, low, _mm256_castsi256_ps(odd)));
}
/* Make the core round up; returns how it rounded before, for h_round_again. No arithmetic may be moved across: not inlined. */
static __attribute__((noinline)) unsigned h_round_up(void)
{
    unsigned before = _mm_getcsr();
    _mm_setcsr((before & ~(unsigned)_MM_ROUND_MASK) | _MM_ROUND_UP);
    return before;
}
static __attribute__((noinline)) void h_round_again(unsigned before) { _mm_setcsr(before); }
#else
INLINE vec h_fma(vec a, vec b, vec c) { return h_round_in_memory(h_fma_odd(a, b, c)); }
#endif

#endif
