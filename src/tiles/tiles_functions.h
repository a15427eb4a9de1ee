/* exp, SiLU and 1 / sqrt in fp32: fixed sequences of IEEE operations, so the same bits on every machine. The software library
 * of the PE cores (src/program/pe_math.h) and of the tile kernels. */
#ifndef WSEKERN_TILES_FUNCTIONS_H
#define WSEKERN_TILES_FUNCTIONS_H

#include "tiles_vector.h"

/* e ^ x within 2 ulp where the result is normal. x = n ln 2 + r with |r| <= ln 2 / 2, ln 2 in two parts (Cody and Waite), the
 * polynomial of Cephes' expf, then 2 ^ n in two factors so that the result may be subnormal. 0 below -104, inf above 89. */
INLINE vec v_exp(vec x)
{
    const vec magic = v_set(0x1.8p23f);                 /* adding it rounds to the nearest integer */
    x = v_larger(v_set(-104.0f), v_smaller(v_set(89.0f), x));
    vec n = v_sub(v_add(v_mul(x, v_set(1.44269504088896341f)), magic), magic);
    vec r = v_sub(v_sub(x, v_mul(n, v_set(0.693359375f))), v_mul(n, v_set(-2.12194440e-4f)));
    vec p = v_set(1.9875691500e-4f);
    p = v_add(v_mul(p, r), v_set(1.3981999507e-3f));
    p = v_add(v_mul(p, r), v_set(8.3334519073e-3f));
    p = v_add(v_mul(p, r), v_set(4.1665795894e-2f));
    p = v_add(v_mul(p, r), v_set(1.6666665459e-1f));
    p = v_add(v_mul(p, r), v_set(5.0000001201e-1f));
    p = v_add(v_add(v_mul(p, v_mul(r, r)), r), v_set(1.0f));
    vec half = v_add(v_mul(n, v_set(0.5f)), magic), rest = v_add(v_sub(n, v_sub(half, magic)), magic);
    return v_mul(v_mul(p, v_power_of_two(half)), v_power_of_two(rest));
}

INLINE vec v_rsqrt(vec x) { return v_div(v_set(1.0f), v_sqrt(x)); }

/* x * sigmoid(x) as x / (1 + e ^ -x). */
INLINE vec v_silu(vec x) { return v_div(x, v_add(v_set(1.0f), v_exp(v_sub(v_set(0.0f), x)))); }

#endif
