# cython: language_level=3
# wsekern_simd.h for Cython.

cdef extern from "wsekern_simd.h" nogil:
    enum: WSK_SIMD_BASE, WSK_SIMD_AVX2, WSK_SIMD_AVX512
    int wsk_simd_supported()
