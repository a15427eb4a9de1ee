# cython: language_level=3
# lines.h for Cython.
from libc.stdint cimport int64_t

cdef extern from "lines.h" nogil:
    enum: WSK_LINE_FP32, WSK_LINE_FP16, WSK_LINE_FP16_FP32, WSK_LINE_BF16
    enum: WSK_LINE_SUM, WSK_LINE_MAX
    enum: WSK_LINE_LEVELS
    ctypedef struct wsk_line_plan:
        int dtype, op
        int64_t outer, length, inner, segment
        int levels
        int64_t *groups
        int once
    int wsk_line_allreduce(const wsk_line_plan *plan, const void *source, void *out, int threads, int simd_level)
    int wsk_line_reduce(const wsk_line_plan *plan, const void *source, void *out, int64_t root, int threads, int simd_level)
    int wsk_line_broadcast(const wsk_line_plan *plan, const void *source, void *out, int64_t root, int threads)
