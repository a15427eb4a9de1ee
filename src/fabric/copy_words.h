/* Body of the masked copies, compiled once per SIMD level (LEVEL is the suffix). */
#include <stdint.h>
#include <string.h>
#if LEVEL_CODE > 0
#include <immintrin.h>
#endif

#define NAME_(base, level) base##level
#define NAME(base, level) NAME_(base, level)

void NAME(wsk_copy_words_, LEVEL)(uint32_t *to, const uint32_t *from, uint64_t m)
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
    if (m == ~(uint64_t)0) {
        memcpy(to, from, 64 * sizeof *to);
        return;
    }
    for (; m; m &= m - 1) {
        int i = __builtin_ctzll(m);
        to[i] = from[i];
    }
#endif
}

uint64_t NAME(wsk_sum_words_, LEVEL)(const uint32_t *from, uint64_t m)
{
    uint64_t sum = 0;
#if LEVEL_CODE == 2
    __m512i total = _mm512_setzero_si512();
    for (int i = 0; i < 8; i++, m >>= 8)
        if (m & 0xff)
            total = _mm512_add_epi64(total, _mm512_cvtepu32_epi64(_mm256_maskz_loadu_epi32((__mmask8)m, from + 8 * i)));
    sum = (uint64_t)_mm512_reduce_add_epi64(total);
#else
    if (m == ~(uint64_t)0) {
        for (int i = 0; i < 64; i++)
            sum += from[i];
        return sum;
    }
    for (; m; m &= m - 1)
        sum += from[__builtin_ctzll(m)];
#endif
    return sum;
}
