/* The arithmetic of lines.h, compiled once per SIMD level: include with WSK_LINE_MATH naming the table to define.
 * Half precisions are added in fp32 and rounded once: with 24 >= 2 * 11 + 2 bits the sum is the correctly rounded one. */
#include <string.h>

#include "common/wsekern_half.h"
#include "lines.h"

#if defined(__F16C__) && defined(__AVX2__)
#include <immintrin.h>
#define HAVE_F16C 1
#endif

#define LARGER(a, b) ((a) > (b) ? (a) : (b))

/* fp32, and everything that travels as fp32. */
static void start_f32(void *acc, const void *own, int64_t n) { memcpy(acc, own, (size_t)n * 4); }
static void sum_f32(void *acc_, const void *own_, int64_t n)
{
    float *restrict acc = acc_;
    const float *restrict own = own_;
    for (int64_t i = 0; i < n; i++)
        acc[i] = own[i] + acc[i];
}
static void max_f32(void *acc_, const void *own_, int64_t n)
{
    float *restrict acc = acc_;
    const float *restrict own = own_;
    for (int64_t i = 0; i < n; i++)
        acc[i] = LARGER(own[i], acc[i]);
}
static void merge_max_f32(void *acc_, const void *other_, int64_t n)
{
    float *restrict acc = acc_;
    const float *restrict other = other_;
    for (int64_t i = 0; i < n; i++)
        acc[i] = LARGER(acc[i], other[i]);
}

/* fp16: travels as fp16. The vector loop is the scalar one, eight lanes at a time. */
static void start_f16(void *acc, const void *own, int64_t n) { memcpy(acc, own, (size_t)n * 2); }
#ifdef HAVE_F16C
static inline float from_half(uint16_t h) { return _cvtsh_ss(h); }
static inline uint16_t to_half(float f) { return (uint16_t)_cvtss_sh(f, _MM_FROUND_TO_NEAREST_INT); }
static inline __m256 load8(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
static inline void save8(uint16_t *p, __m256 v)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
#else
static inline float from_half(uint16_t h) { return wsk_half_to_float(h); }
static inline uint16_t to_half(float f) { return wsk_float_to_half(f); }
#endif
static void sum_f16(void *acc_, const void *own_, int64_t n)
{
    uint16_t *acc = acc_;
    const uint16_t *own = own_;
    int64_t i = 0;
#ifdef HAVE_F16C
    for (; i + 8 <= n; i += 8)
        save8(acc + i, _mm256_add_ps(load8(own + i), load8(acc + i)));
#endif
    for (; i < n; i++)
        acc[i] = to_half(from_half(own[i]) + from_half(acc[i]));
}
static void max_f16(void *acc_, const void *own_, int64_t n)
{
    uint16_t *acc = acc_;
    const uint16_t *own = own_;
    int64_t i = 0;
#ifdef HAVE_F16C
    for (; i + 8 <= n; i += 8)
        save8(acc + i, _mm256_max_ps(load8(own + i), load8(acc + i)));
#endif
    for (; i < n; i++)
        if (from_half(own[i]) > from_half(acc[i]))
            acc[i] = own[i];
}
static void merge_max_f16(void *acc_, const void *other_, int64_t n)
{
    uint16_t *acc = acc_;
    const uint16_t *other = other_;
    int64_t i = 0;
#ifdef HAVE_F16C
    for (; i + 8 <= n; i += 8)
        save8(acc + i, _mm256_max_ps(load8(acc + i), load8(other + i)));
#endif
    for (; i < n; i++)
        if (!(from_half(acc[i]) > from_half(other[i])))
            acc[i] = other[i];
}

/* fp16 tiles whose sum travels as fp32. */
static void start_wide(void *acc_, const void *own_, int64_t n)
{
    float *acc = acc_;
    const uint16_t *own = own_;
    int64_t i = 0;
#ifdef HAVE_F16C
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(acc + i, load8(own + i));
#endif
    for (; i < n; i++)
        acc[i] = from_half(own[i]);
}
static void sum_wide(void *acc_, const void *own_, int64_t n)
{
    float *acc = acc_;
    const uint16_t *own = own_;
    int64_t i = 0;
#ifdef HAVE_F16C
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(acc + i, _mm256_add_ps(load8(own + i), _mm256_loadu_ps(acc + i)));
#endif
    for (; i < n; i++)
        acc[i] = from_half(own[i]) + acc[i];
}
static void max_wide(void *acc_, const void *own_, int64_t n)
{
    float *acc = acc_;
    const uint16_t *own = own_;
    for (int64_t i = 0; i < n; i++)
        acc[i] = LARGER(from_half(own[i]), acc[i]);
}
static void finish_wide(void *out_, const void *acc_, int64_t n)
{
    uint16_t *out = out_;
    const float *acc = acc_;
    int64_t i = 0;
#ifdef HAVE_F16C
    for (; i + 8 <= n; i += 8)
        save8(out + i, _mm256_loadu_ps(acc + i));
#endif
    for (; i < n; i++)
        out[i] = to_half(acc[i]);
}

/* bf16: travels as bf16. */
static void sum_bf16(void *acc_, const void *own_, int64_t n)
{
    uint16_t *restrict acc = acc_;
    const uint16_t *restrict own = own_;
    for (int64_t i = 0; i < n; i++)
        acc[i] = wsk_float_to_bf16(wsk_bf16_to_float(own[i]) + wsk_bf16_to_float(acc[i]));
}
static void max_bf16(void *acc_, const void *own_, int64_t n)
{
    uint16_t *restrict acc = acc_;
    const uint16_t *restrict own = own_;
    for (int64_t i = 0; i < n; i++)
        acc[i] = wsk_bf16_to_float(own[i]) > wsk_bf16_to_float(acc[i]) ? own[i] : acc[i];
}
static void merge_max_bf16(void *acc_, const void *other_, int64_t n)
{
    uint16_t *restrict acc = acc_;
    const uint16_t *restrict other = other_;
    for (int64_t i = 0; i < n; i++)
        acc[i] = wsk_bf16_to_float(acc[i]) > wsk_bf16_to_float(other[i]) ? acc[i] : other[i];
}

static void finish_f32(void *out, const void *acc, int64_t n) { memcpy(out, acc, (size_t)n * 4); }
static void finish_16(void *out, const void *acc, int64_t n) { memcpy(out, acc, (size_t)n * 2); }

const wsk_line_math WSK_LINE_MATH[WSK_LINE_DTYPES] = {
    [WSK_LINE_FP32] = { start_f32, { sum_f32, max_f32 }, { sum_f32, merge_max_f32 }, finish_f32 },
    [WSK_LINE_FP16] = { start_f16, { sum_f16, max_f16 }, { sum_f16, merge_max_f16 }, finish_16 },
    [WSK_LINE_FP16_FP32] = { start_wide, { sum_wide, max_wide }, { sum_f32, merge_max_f32 }, finish_wide },
    [WSK_LINE_BF16] = { start_f16, { sum_bf16, max_bf16 }, { sum_bf16, merge_max_bf16 }, finish_16 },
};
