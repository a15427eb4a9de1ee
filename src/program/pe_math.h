/* Elements of PE memory and words, and the arithmetic on them: each result is the exact one, rounded once. */
#ifndef WSEKERN_PE_MATH_H
#define WSEKERN_PE_MATH_H

#include <math.h>
#include <string.h>

#include "common/wsekern_half.h"
#include "pe_code.h"
#include "tiles/tiles_functions.h"

/* A value between operands: 32-bit patterns of an integer (sign-extended), or a float that holds any float type exactly. */
typedef union { float f; uint32_t u; int32_t i; } pe_value;

static inline pe_value pe_decode(int type, uint32_t bits)
{
    pe_value v;
    switch (type) {
    case PE_FP16: v.f = wsk_half_to_float((uint16_t)bits); break;
    case PE_BF16: v.f = wsk_bf16_to_float((uint16_t)bits); break;
    case PE_U16: v.u = bits & 0xffff; break;
    case PE_I16: v.i = (int16_t)bits; break;
    default: v.u = bits; break;
    }
    return v;
}

static inline uint32_t pe_encode(int type, pe_value v)
{
    switch (type) {
    case PE_FP16: return wsk_float_to_half(v.f);
    case PE_BF16: return wsk_float_to_bf16(v.f);
    case PE_U16: case PE_I16: return v.u & 0xffff;
    default: return v.u;
    }
}

static inline uint32_t pe_load_bits(int type, const unsigned char *p)
{
    uint32_t bits;
    uint16_t half;
    if (pe_type_bytes(type) == 4) {
        memcpy(&bits, p, 4);
        return bits;
    }
    memcpy(&half, p, 2);
    return half;
}

static inline void pe_store_bits(int type, unsigned char *p, uint32_t bits)
{
    if (pe_type_bytes(type) == 4) {
        memcpy(p, &bits, 4);
    } else {
        uint16_t half = (uint16_t)bits;
        memcpy(p, &half, 2);
    }
}

static inline pe_value pe_load(int type, const unsigned char *p) { return pe_decode(type, pe_load_bits(type, p)); }

static inline void pe_store(int type, unsigned char *p, pe_value v) { pe_store_bits(type, p, pe_encode(type, v)); }

static inline int pe_is_integer(int type) { return type >= PE_U32; }

/* A double as a float that rounds to fp16 or bf16 as the double would: rounded to odd where it is not exact. */
static inline float pe_to_odd(double x)
{
    float f = (float)x;
    uint32_t word = wsk_float_to_bits(f);
    if (isfinite(f) && (double)f != x && !(word & 1))
        word += ((double)f < x) == (x > 0) ? 1 : (uint32_t)-1;
    return wsk_bits_to_float(word);
}

/* A double, rounded once to `type` when it is encoded. */
static inline float pe_narrow(int type, double x) { return type == PE_FP32 ? (float)x : pe_to_odd(x); }

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
    return pe_to_odd(sum);
}

static inline pe_value pe_fma(int type, pe_value a, pe_value b, pe_value c)
{
    pe_value r;
    r.f = type == PE_FP32 ? fmaf(b.f, c.f, a.f) : pe_fma_odd(a.f, b.f, c.f);
    return pe_decode(type, pe_encode(type, r));
}

/* A value of type `from` as type `to`. Floats to integers toward zero, kept within the range; NaN gives 0. */
static inline pe_value pe_convert(int from, int to, pe_value v)
{
    pe_value r;
    if (!pe_is_integer(from) && pe_is_integer(to)) {
        double low = to == PE_I32 ? -2147483648.0 : to == PE_I16 ? -32768.0 : 0.0;
        double high = to == PE_I32 ? 2147483647.0 : to == PE_I16 ? 32767.0 : to == PE_U16 ? 65535.0 : 4294967295.0;
        double x = isnan(v.f) ? 0.0 : v.f < low ? low : v.f > high ? high : v.f;
        r.u = (uint32_t)(int64_t)x;
    } else if (pe_is_integer(from) && !pe_is_integer(to)) {
        r.f = pe_narrow(to, from == PE_I32 || from == PE_I16 ? (double)v.i : (double)v.u);
    } else {
        r = v;
    }
    return pe_decode(to, pe_encode(to, r));
}

static inline uint32_t pe_bits_of(int type, uint32_t bits) { return pe_type_bytes(type) == 2 ? bits & 0xffff : bits; }

/* Zeros before the first one among the bits of a type. */
static inline uint32_t pe_leading_zeros(int type, uint32_t bits)
{
    uint32_t n = 8 * (uint32_t)pe_type_bytes(type);
    for (bits = pe_bits_of(type, bits); bits; bits >>= 1)
        n--;
    return n;
}

static inline uint32_t pe_ones(uint32_t bits)
{
    uint32_t n = 0;
    for (; bits; bits &= bits - 1)
        n++;
    return n;
}

/* Integer results modulo 2^16 or 2^32; a division by zero gives all ones, as no trap is documented; shifts by the low five
 * bits of b, arithmetic to the right where signed. */
static inline pe_value pe_apply_integer(int op, int type, pe_value a, pe_value b, pe_value c)
{
    int is_signed = type == PE_I32 || type == PE_I16;
    pe_value r;
    switch (op) {
    case PE_ADD: r.u = a.u + b.u; break;
    case PE_SUB: r.u = a.u - b.u; break;
    case PE_MUL: r.u = a.u * b.u; break;
    case PE_FMA: r.u = a.u + b.u * c.u; break;
    case PE_NEG: r.u = 0u - a.u; break;
    case PE_ABS: r.u = is_signed && a.i < 0 ? 0u - a.u : a.u; break;
    case PE_AND: r.u = a.u & b.u; break;
    case PE_OR: r.u = a.u | b.u; break;
    case PE_XOR: r.u = a.u ^ b.u; break;
    case PE_SHL: r.u = a.u << (b.u & 31); break;
    case PE_SHR: r.u = is_signed ? (uint32_t)(a.i >> (b.u & 31)) : a.u >> (b.u & 31); break;
    case PE_MAX: r = (is_signed ? a.i > b.i : a.u > b.u) ? a : b; break;
    case PE_MIN: r = (is_signed ? a.i < b.i : a.u < b.u) ? a : b; break;
    case PE_LT: r.u = is_signed ? a.i < b.i : a.u < b.u; break;
    case PE_LE: r.u = is_signed ? a.i <= b.i : a.u <= b.u; break;
    case PE_EQ: r.u = a.u == b.u; break;
    case PE_NE: r.u = a.u != b.u; break;
    case PE_DIV: r.u = b.u == 0 ? ~0u : !is_signed ? a.u / b.u : b.i == -1 ? 0u - a.u : (uint32_t)(a.i / b.i); break;
    case PE_CLZ: r.u = pe_leading_zeros(type, a.u); break;
    case PE_CTZ: r.u = pe_ones(pe_bits_of(type, ~a.u & (a.u - 1))); break;
    case PE_POPCNT: r.u = pe_ones(pe_bits_of(type, a.u)); break;
    case PE_TO_INTEGER: return pe_convert(PE_FP32, type, a);
    case PE_MOD: r.u = b.u == 0 ? ~0u : !is_signed ? a.u % b.u : b.i == -1 ? 0u : (uint32_t)(a.i % b.i); break;
    default: r = a; break;
    }
    return pe_decode(type, r.u);
}

/* A function of the software library in fp32: the tile kernels' own, on one element. */
static inline float pe_library(int op, float a)
{
    vec v = v_set(a);
    float result;
    v = op == PE_LIBRARY_EXP ? v_exp(v) : op == PE_LIBRARY_RSQRT ? v_rsqrt(v) : v_silu(v);
    v_store_some(&result, v, 1);
    return result;
}

/* a (op) b, or a + b * c, rounded once to `type`. Comparisons give an integer. Two halves make a sum, product, quotient or
 * root that fp32 rounds harmlessly: 24 >= 2 * 11 + 2. Functions of <math.h> are taken in double, and rounded once. */
static inline pe_value pe_apply(int op, int type, pe_value a, pe_value b, pe_value c)
{
    pe_value r;
    if (pe_is_integer(type))
        return pe_apply_integer(op, type, a, b, c);
    switch (op) {
    case PE_ADD: r.f = a.f + b.f; break;
    case PE_SUB: r.f = a.f - b.f; break;
    case PE_MUL: r.f = a.f * b.f; break;
    case PE_MAX: r.f = a.f > b.f ? a.f : b.f; break;
    case PE_MIN: r.f = a.f < b.f ? a.f : b.f; break;
    case PE_FMA: return pe_fma(type, a, b, c);
    case PE_NEG: r.u = a.u ^ 0x80000000u; break;
    case PE_ABS: r.u = a.u & 0x7fffffffu; break;
    case PE_LT: r.u = a.f < b.f; return r;
    case PE_LE: r.u = a.f <= b.f; return r;
    case PE_EQ: r.u = a.f == b.f; return r;
    case PE_NE: r.u = a.f != b.f; return r;
    case PE_DIV: r.f = a.f / b.f; break;
    case PE_SQRT: r.f = sqrtf(a.f); break;
    case PE_FLOOR: r.f = floorf(a.f); break;
    case PE_EXP: r.f = pe_narrow(type, exp(a.f)); break;
    case PE_LOG: r.f = pe_narrow(type, log(a.f)); break;
    case PE_SIN: r.f = pe_narrow(type, sin(a.f)); break;
    case PE_COS: r.f = pe_narrow(type, cos(a.f)); break;
    case PE_FROM_INTEGER: return pe_convert(PE_I16, type, a);
    case PE_LIBRARY_EXP: case PE_LIBRARY_RSQRT: case PE_LIBRARY_SILU: r.f = pe_library(op, a.f); break;
    default: r = a; break;
    }
    return pe_decode(type, pe_encode(type, r));
}

static inline int pe_compares(int op) { return op >= PE_LT && op <= PE_NE; }

#endif
