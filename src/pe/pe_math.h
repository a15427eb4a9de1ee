/* Elements of PE memory and words, and the arithmetic on them: each result is the exact one, rounded once. */
#ifndef WSEKERN_PE_MATH_H
#define WSEKERN_PE_MATH_H

#include <math.h>
#include <string.h>

#include "common/wsekern_half.h"
#include "pe_code.h"

static inline int pe_type_bytes(int type) { return type == PE_F32 || type == PE_U32 ? 4 : 2; }

/* A value between operands: 32-bit patterns of an integer, or a float that holds any of the float types exactly. */
typedef union { float f; uint32_t u; } pe_value;

static inline pe_value pe_decode(int type, uint32_t bits)
{
    pe_value v;
    switch (type) {
    case PE_F16: v.f = wsk_half_to_float((uint16_t)bits); break;
    case PE_BF16: v.f = wsk_bf16_to_float((uint16_t)bits); break;
    default: v.u = bits; break;
    }
    return v;
}

static inline uint32_t pe_encode(int type, pe_value v)
{
    switch (type) {
    case PE_F16: return wsk_float_to_half(v.f);
    case PE_BF16: return wsk_float_to_bf16(v.f);
    case PE_U16: return v.u & 0xffff;
    default: return v.u;
    }
}

static inline pe_value pe_load(int type, const unsigned char *p)
{
    uint32_t bits = 0;
    memcpy(&bits, p, (size_t)pe_type_bytes(type));
    return pe_decode(type, bits);
}

static inline void pe_store(int type, unsigned char *p, pe_value v)
{
    uint32_t bits = pe_encode(type, v);
    memcpy(p, &bits, (size_t)pe_type_bytes(type));
}

/* a + b * c of fp16 or bf16 operands as a float that rounds to either type as the exact result would: the product is exact
 * in double, and both the sum and its conversion round to odd, which keeps what a later rounding needs to know. */
static inline float pe_fma_odd(float a, float b, float c)
{
    double product = (double)b * c, sum = product + a, part = sum - product;
    double error = (product - (sum - part)) + (a - part);
    if (!isfinite(sum))
        return (float)sum;
    uint64_t bits;
    memcpy(&bits, &sum, 8);
    if (error != 0 && !(bits & 1))
        bits += (error > 0) == (sum > 0) ? 1 : (uint64_t)-1;
    memcpy(&sum, &bits, 8);
    float f = (float)sum;
    uint32_t word = wsk_float_to_bits(f);
    if (isfinite(f) && (double)f != sum && !(word & 1))
        word += ((double)f < sum) == (sum > 0) ? 1 : (uint32_t)-1;
    return wsk_bits_to_float(word);
}

static inline pe_value pe_fma(int type, pe_value a, pe_value b, pe_value c)
{
    pe_value r;
    r.f = type == PE_F32 ? fmaf(b.f, c.f, a.f) : pe_fma_odd(a.f, b.f, c.f);
    return pe_decode(type, pe_encode(type, r));
}

/* a (op) b, or a + b * c, rounded once to `type`. */
static inline pe_value pe_apply(int op, int type, pe_value a, pe_value b, pe_value c)
{
    pe_value r;
    if (type == PE_U32 || type == PE_U16) {
        switch (op) {
        case PE_ADD: r.u = a.u + b.u; break;
        case PE_SUB: r.u = a.u - b.u; break;
        case PE_MUL: r.u = a.u * b.u; break;
        case PE_MAX: r.u = a.u > b.u ? a.u : b.u; break;
        case PE_FMA: r.u = a.u + b.u * c.u; break;
        default: r.u = a.u; break;
        }
        r.u &= type == PE_U16 ? 0xffffu : 0xffffffffu;
        return r;
    }
    switch (op) {
    case PE_ADD: r.f = a.f + b.f; break;
    case PE_SUB: r.f = a.f - b.f; break;
    case PE_MUL: r.f = a.f * b.f; break;
    case PE_MAX: r.f = a.f > b.f ? a.f : b.f; break;
    case PE_FMA: return pe_fma(type, a, b, c);
    default: r.f = a.f; break;
    }
    /* Two halves make a sum or product that fp32 rounds harmlessly: 24 >= 2 * 11 + 2. */
    return pe_decode(type, pe_encode(type, r));
}

#endif
