/* Words of 64 bits, one a PE, and numbers that are spread over several of them: planes, the lowest digit first. */
#ifndef WSEKERN_PLANES_H
#define WSEKERN_PLANES_H

#include <stdint.h>

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint16_t u16;
typedef uint8_t u8;

static inline int wsk_ctz(u64 m) { return __builtin_ctzll(m); }
/* In line, for CPUs whose compilers may not assume the instruction. */
static inline int wsk_popcount(u64 m)
{
#ifdef __POPCNT__
    return __builtin_popcountll(m);
#else
    if (!(m & (m - 1)))
        return m != 0;
    m -= m >> 1 & 0x5555555555555555u;
    m = (m & 0x3333333333333333u) + (m >> 2 & 0x3333333333333333u);
    return (int)(((m + (m >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u >> 56);
#endif
}

static inline void wsk_binary_add(u64 *planes, int bits, u64 m)
{
    for (int i = 0; m && i < bits; i++) {
        u64 carry = planes[i] & m;
        planes[i] ^= m;
        m = carry;
    }
}
static inline void wsk_binary_subtract(u64 *planes, int bits, u64 m)
{
    for (int i = 0; m && i < bits; i++) {
        u64 borrow = ~planes[i] & m;
        planes[i] ^= m;
        m = borrow;
    }
}
static inline u64 wsk_binary_equals(const u64 *planes, int bits, int value)
{
    u64 m = ~(u64)0;
    for (int i = 0; i < bits; i++)
        m &= (value >> i & 1) ? planes[i] : ~planes[i];
    return m;
}
static inline int wsk_bits_at(const u64 *planes, int n, int bit)
{
    int value = 0;
    for (int i = 0; i < n; i++)
        value |= (int)(planes[i] >> bit & 1) << i;
    return value;
}
static inline void wsk_assign_bit(u64 *plane, u64 bit, int on) { *plane = on ? *plane | bit : *plane & ~bit; }

#endif
