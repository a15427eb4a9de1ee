/* Masked copies of the 64 words of a lane, and their sum, at the SIMD level that they are compiled for (LEVEL_CODE). */
#ifndef WSEKERN_COPY_WORDS_H
#define WSEKERN_COPY_WORDS_H

#include "fabric_internal.h"
#include <string.h>
#ifndef LEVEL_CODE
#define LEVEL_CODE 0
#endif
#if LEVEL_CODE > 0
#include <immintrin.h>
#endif

/* to[i] = from[i] for the bits of m, of which there are more than one. */
static inline void wsk_copy_many(u32 *to, const u32 *from, u64 m)
{
#if LEVEL_CODE == 2
    for (int i = 0; i < 4; i++, m >>= 16)
        if (m & 0xffff)
            _mm512_mask_storeu_epi32(to + 16 * i, (__mmask16)m, _mm512_maskz_loadu_epi32((__mmask16)m, from + 16 * i));
#elif LEVEL_CODE == 1
    const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    for (int i = 0; i < 8; i++, m >>= 8) {
        if (!(m & 0xff))
            continue;
        __m256i *place = (__m256i *)(to + 8 * i), words = _mm256_loadu_si256((const __m256i *)(from + 8 * i));
        if ((m & 0xff) != 0xff) {             /* a masked store takes 20 times as long as a whole one on some CPUs */
            __m256i mask = _mm256_and_si256(_mm256_set1_epi32((int)(m & 0xff)), bits);
            mask = _mm256_cmpeq_epi32(mask, bits);
            words = _mm256_blendv_epi8(_mm256_loadu_si256(place), words, mask);
        }
        _mm256_storeu_si256(place, words);
    }
#else
    if (m == ~(u64)0) {
        memcpy(to, from, 64 * sizeof *to);
        return;
    }
    for (; m; m &= m - 1) {
        int i = wsk_ctz(m);
        to[i] = from[i];
    }
#endif
}

/* to[i] = from[i] for the bits of m. */
static inline void wsk_copy_words(u32 *to, const u32 *from, u64 m)
{
    if (m & (m - 1))
        wsk_copy_many(to, from, m);
    else if (m)
        to[wsk_ctz(m)] = from[wsk_ctz(m)];
}

/* The sum of from[i] for the bits of m. */
static inline u64 wsk_sum_words(const u32 *from, u64 m)
{
    u64 sum = 0;
#if LEVEL_CODE == 2
    __m512i total = _mm512_setzero_si512();
    for (int i = 0; i < 8; i++, m >>= 8)
        if (m & 0xff)
            total = _mm512_add_epi64(total, _mm512_cvtepu32_epi64(_mm256_maskz_loadu_epi32((__mmask8)m, from + 8 * i)));
    sum = (u64)_mm512_reduce_add_epi64(total);
#elif LEVEL_CODE == 1
    const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128), low = _mm256_set1_epi64x(0xffffffff);
    __m256i total = _mm256_setzero_si256(), odd = total;
    for (int i = 0; m; i++, m >>= 8) {
        if (!(m & 0xff))
            continue;
        __m256i words = _mm256_loadu_si256((const __m256i *)(from + 8 * i));
        if ((m & 0xff) != 0xff) {
            __m256i mask = _mm256_and_si256(_mm256_set1_epi32((int)(m & 0xff)), bits);
            words = _mm256_and_si256(words, _mm256_cmpeq_epi32(mask, bits));
        }
        total = _mm256_add_epi64(total, _mm256_and_si256(words, low));
        odd = _mm256_add_epi64(odd, _mm256_srli_epi64(words, 32));
    }
    u64 of[4];
    _mm256_storeu_si256((__m256i *)of, _mm256_add_epi64(total, odd));
    sum = of[0] + of[1] + of[2] + of[3];
#else
    for (; m; m &= m - 1)
        sum += from[wsk_ctz(m)];
#endif
    return sum;
}

#endif
