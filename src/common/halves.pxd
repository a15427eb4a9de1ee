# cython: language_level=3
# halves.h for Cython.
from libc.stdint cimport int64_t, uint16_t

cdef extern from "halves.h" nogil:
    void wsk_halves_to_floats(const uint16_t *source, float *out, int64_t n, int simd_level)
    int wsk_floats_to_halves(const float *source, uint16_t *out, int64_t n, int simd_level)
