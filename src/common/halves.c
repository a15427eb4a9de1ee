#include "halves.h"

#include "wsekern_half.h"

void wsk_halves_to_floats(const uint16_t *in, float *out, int64_t n, int simd_level)
{
    for (int64_t i = simd_level > 0 ? wsk_halves_to_floats_avx2(in, out, n) : 0; i < n; i++)
        out[i] = wsk_half_to_float(in[i]);
}

int wsk_floats_to_halves(const float *in, uint16_t *out, int64_t n, int simd_level)
{
    int finite = 1;
    for (int64_t i = simd_level > 0 ? wsk_floats_to_halves_avx2(in, out, n, &finite) : 0; i < n; i++) {
        out[i] = wsk_float_to_half(in[i]);
        finite &= (out[i] & 0x7c00) != 0x7c00;
    }
    return finite;
}
