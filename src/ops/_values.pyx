# cython: language_level=3
"""Values of operations along lines and paths of PEs, for the flow engine: thin calls of the C kernels."""
from libc.stdint cimport int64_t

cimport wsekern._common as common

from wsekern.ops.lines cimport (
    WSK_LINE_BF16, WSK_LINE_FP16, WSK_LINE_FP16_FP32, WSK_LINE_FP32, WSK_LINE_LEVELS, WSK_LINE_MAX, WSK_LINE_SUM,
    wsk_line_allreduce, wsk_line_broadcast, wsk_line_plan, wsk_line_reduce)
from wsekern.ops.paths cimport wsk_move, wsk_path_plan, wsk_path_values

DTYPE_CODES = {"fp32": WSK_LINE_FP32, "fp16": WSK_LINE_FP16, "fp16_fp32": WSK_LINE_FP16_FP32, "bf16": WSK_LINE_BF16,
               "u32": WSK_LINE_FP32}
OP_CODES = {"sum": WSK_LINE_SUM, "max": WSK_LINE_MAX}


def line_values(str kind, str dtype, str op, int64_t outer, int64_t length, int64_t inner, int64_t segment, object parameter,
                bint once, const unsigned char[::1] source, unsigned char[::1] out, int threads):
    """Values of ``allreduce`` (parameter: groups of each level), ``reduce`` or ``broadcast`` (parameter: root) along the
    middle axis.

    ``source`` and ``out`` are the bytes of contiguous (outer, length, inner); with ``once`` the out of an all-reduce is (outer,
    independent lines, inner). Returns a status code.
    """
    cdef wsk_line_plan plan
    plan.dtype, plan.op = DTYPE_CODES[dtype], OP_CODES[op]
    plan.outer, plan.length, plan.inner, plan.segment = outer, length, inner, segment
    plan.levels = 1
    if kind == "allreduce":
        if len(parameter) >= WSK_LINE_LEVELS:
            raise ValueError(f"{len(parameter) + 1} levels of chains: {<int>WSK_LINE_LEVELS} at most")
        plan.levels = len(parameter) + 1
        for place, groups in enumerate(parameter):
            plan.groups[place] = groups
    cdef int64_t root = 0 if kind == "allreduce" else parameter
    plan.once = once and kind == "allreduce"
    cdef int level = common.simd_level_code(), status
    cdef const unsigned char *a = &source[0]
    cdef unsigned char *b = &out[0]
    cdef int which = ("allreduce", "reduce", "broadcast").index(kind)
    with nogil:
        if which == 0:
            status = wsk_line_allreduce(&plan, a, b, threads, level)
        elif which == 1:
            status = wsk_line_reduce(&plan, a, b, root, threads, level)
        else:
            status = wsk_line_broadcast(&plan, a, b, root, threads)
    return status


def path_values(str dtype, const int64_t[:, ::1] pes, const int64_t[:, ::1] moves, int64_t arena, int64_t reserved,
                int64_t in_words, int64_t out_words, const int64_t[::1] result, const unsigned char[::1] source,
                unsigned char[::1] out, int threads):
    """Run ``moves`` (n, 5) on every path: ``pes`` (paths, PEs of a path) are indices of tiles. Returns a status code."""
    cdef wsk_path_plan plan
    cdef int level = common.simd_level_code(), status
    if not (pes.size and out.size):
        return 0
    plan.dtype, plan.lines, plan.length = DTYPE_CODES[dtype], pes.shape[0], pes.shape[1]
    plan.pe, plan.moves = &pes[0, 0], moves.shape[0]
    plan.move = <const wsk_move *>&moves[0, 0] if moves.shape[0] else NULL
    plan.arena, plan.reserved, plan.in_words, plan.out_words = arena, reserved, in_words, out_words
    plan.result = &result[0]
    cdef const unsigned char *a = &source[0] if source.shape[0] else NULL
    with nogil:
        status = wsk_path_values(&plan, a, &out[0], threads, level)
    return status
