/* Whole arrays of fp16 to and from fp32, as wsekern_half.h does it number by number, which the CPU's own conversions equal. */
#ifndef WSEKERN_HALVES_H
#define WSEKERN_HALVES_H

#include <stdint.h>

void wsk_halves_to_floats(const uint16_t *in, float *out, int64_t n, int simd_level);
/* Whether all of `out` is finite. */
int wsk_floats_to_halves(const float *in, uint16_t *out, int64_t n, int simd_level);

/* Levels avx2 and above: the first elements of a multiple of 8; returns how many. */
int64_t wsk_halves_to_floats_avx2(const uint16_t *in, float *out, int64_t n);
int64_t wsk_floats_to_halves_avx2(const float *in, uint16_t *out, int64_t n, int *finite);

#endif
