/* SIMD level of this process: chosen once from the CPU, or forced with WSEKERN_SIMD=base|avx2|avx512. */
#ifndef WSEKERN_SIMD_H
#define WSEKERN_SIMD_H

#include "wsekern_status.h"

enum wsk_simd_level { WSK_SIMD_BASE = 0, WSK_SIMD_AVX2 = 1, WSK_SIMD_AVX512 = 2 };

#ifdef __cplusplus
extern "C" {
#endif

/* Highest level that CPU and operating system support. */
WSK_API int wsk_simd_supported(void);

#ifdef __cplusplus
}
#endif

#endif
