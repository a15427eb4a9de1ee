#include "wsekern_simd.h"

int wsk_simd_supported(void)
{
#if defined(__x86_64__)
    /* __builtin_cpu_supports checks the operating system's XSAVE mask too. */
    __builtin_cpu_init();
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")
            && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
    int avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
              && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (avx2 && avx512)
        return WSK_SIMD_AVX512;
    if (avx2)
        return WSK_SIMD_AVX2;
#endif
    return WSK_SIMD_BASE;
}
