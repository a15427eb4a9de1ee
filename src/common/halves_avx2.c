#include "halves.h"

#if defined(__AVX2__) && defined(__F16C__)
#include <immintrin.h>

int64_t wsk_halves_to_floats_avx2(const uint16_t *in, float *out, int64_t n)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(in + i))));
    return i;
}

int64_t wsk_floats_to_halves_avx2(const float *in, uint16_t *out, int64_t n, int *finite)
{
    const __m128i exponent = _mm_set1_epi16(0x7c00);
    __m128i beyond = _mm_setzero_si128();
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m128i words = _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        beyond = _mm_or_si128(beyond, _mm_cmpeq_epi16(_mm_and_si128(words, exponent), exponent));
        _mm_storeu_si128((__m128i *)(out + i), words);
    }
    *finite &= _mm_testz_si128(beyond, beyond);
    return i;
}
#else
int64_t wsk_halves_to_floats_avx2(const uint16_t *in, float *out, int64_t n) { (void)in, (void)out, (void)n; return 0; }
int64_t wsk_floats_to_halves_avx2(const float *in, uint16_t *out, int64_t n, int *finite)
{
    (void)in, (void)out, (void)n, (void)finite;
    return 0;
}
#endif
