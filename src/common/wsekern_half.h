/* fp16 and bf16 to and from fp32, rounded to nearest even, NaNs quieted as the CPU's own conversions do; fp16 multiply-add
 * with one rounding. Plain C: what SIMD kernels are tested against, and what they do where a CPU has no such instructions. */
#ifndef WSEKERN_HALF_H
#define WSEKERN_HALF_H

#include <stdint.h>
#include <string.h>

static inline float wsk_bits_to_float(uint32_t bits) { float f; memcpy(&f, &bits, 4); return f; }
static inline uint32_t wsk_float_to_bits(float f) { uint32_t bits; memcpy(&bits, &f, 4); return bits; }

static inline float wsk_half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 0x3ff;
    if (exponent == 31)
        return wsk_bits_to_float(sign | 0x7f800000u | mantissa << 13 | (mantissa ? 0x400000u : 0));
    if (exponent)
        return wsk_bits_to_float(sign | (exponent + 112) << 23 | mantissa << 13);
    float tiny = (float)mantissa * 0x1p-24f;
    return sign ? -tiny : tiny;
}

static inline uint16_t wsk_float_to_half(float f)
{
    uint32_t bits = wsk_float_to_bits(f), sign = (bits >> 16) & 0x8000, size = bits & 0x7fffffff;
    if (size > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00 | ((size >> 13) & 0x3ff));
    if (size >= 0x477ff000u)
        return (uint16_t)(sign | 0x7c00);
    if (size <= 0x33000000u)
        return (uint16_t)sign;
    if (size < 0x38800000u) {
        int shift = 126 - (int)(size >> 23);
        uint32_t mantissa = (size & 0x7fffff) | 0x800000, kept = mantissa >> shift;
        uint32_t rest = mantissa & ((1u << shift) - 1), half = 1u << (shift - 1);
        return (uint16_t)(sign | (kept + (rest > half || (rest == half && (kept & 1)))));
    }
    size -= 0x38000000u;
    return (uint16_t)(sign | (size + 0xfff + ((size >> 13) & 1)) >> 13);
}

static inline float wsk_bf16_to_float(uint16_t h) { return wsk_bits_to_float((uint32_t)h << 16); }

static inline uint16_t wsk_float_to_bf16(float f)
{
    uint32_t bits = wsk_float_to_bits(f);
    if ((bits & 0x7fffffff) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/* a + b rounded to odd: the exact sum if it is an fp32, else whichever neighbor has an odd last bit. Rounding that once
 * more, to any format of at most 22 bits, gives the correctly rounded sum (Boldo and Melquiond, 2008). */
static inline float wsk_add_to_odd(float a, float b)
{
    float sum = a + b, of_b = sum - a, error = (a - (sum - of_b)) + (b - of_b);
    uint32_t bits = wsk_float_to_bits(sum);
    if (!(error < 0 || error > 0) || (bits & 1))     /* exact, already odd, or not finite */
        return sum;
    return wsk_bits_to_float((error > 0) == (sum > 0) ? bits + 1 : bits - 1);
}

/* a * b + c of halves that are held as floats (the product is exact), rounded once to half. */
static inline uint16_t wsk_half_fma(float a, float b, float c) { return wsk_float_to_half(wsk_add_to_odd(a * b, c)); }

#endif
