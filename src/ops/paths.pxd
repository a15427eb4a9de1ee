# cython: language_level=3
# paths.h for Cython.
from libc.stdint cimport int64_t

cdef extern from "paths.h" nogil:
    ctypedef struct wsk_move:
        int64_t op, words, dst, a, b
    ctypedef struct wsk_path_plan:
        int dtype
        int64_t lines, length
        const int64_t *pe
        int64_t moves
        const wsk_move *move
        int64_t arena, reserved, in_words, out_words
        const int64_t *result
    int wsk_path_values(const wsk_path_plan *plan, const void *source, void *out, int threads, int simd_level)
