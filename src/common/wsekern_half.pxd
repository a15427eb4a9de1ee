# cython: language_level=3
# wsekern_half.h for Cython.

cdef extern from "wsekern_half.h" nogil:
    float wsk_half_to_float(unsigned short h)
    unsigned short wsk_float_to_half(float f)
    float wsk_bf16_to_float(unsigned short h)
    unsigned short wsk_float_to_bf16(float f)
    unsigned short wsk_half_fma(float a, float b, float c)
