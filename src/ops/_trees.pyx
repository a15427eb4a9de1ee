# cython: language_level=3
"""What schedules are made with: the dynamic program of the generated reduction tree (see wsekern.ops.lines.trees.best_side, which
says what it computes), and colors for routes."""
from libc.stdint cimport INT64_MAX, int64_t, uint64_t

import numpy as np


def best_children(int64_t[:, ::1] first, int64_t[:, ::1] free, int64_t[:, ::1] choice, int64_t stage, int64_t hop, int64_t run):
    """Fill ``choice[b, n]``, how far away the last child of the root of n PEs is, no more than b sums over any router.

    ``first[b, n]``: the cycle at which that root executes the first word of its last child; ``free[b, n]``: ``run`` cycles
    later. All are (most + 1, PEs + 1); rows from 1 on hold at n = 1 what a single PE takes, row 0 of ``free`` only that.
    A root of more PEs is never done earlier, so children past the first that is free too late need not be tried.
    """
    cdef Py_ssize_t length = first.shape[1] - 1, most = first.shape[0] - 1, n, b, i
    cdef int64_t cycles, best
    with nogil:
        for b in range(1, most + 1):
            for n in range(2, length + 1):
                best = INT64_MAX
                for i in range(1, n if b > 1 else 2):
                    if free[b - 1, i] >= best:
                        break
                    cycles = max(first[b, n - i] + stage + hop * i, free[b - 1, i])
                    if cycles < best:
                        best = cycles
                        choice[b, n] = i
                first[b, n] = best
                free[b, n] = best + run


def lowest_colors(const int64_t[:, ::1] spans, int64_t length):
    """For routes over the places ``range(start, stop, step)`` of ``length``, given as rows: the lowest color that no route
    before has at any of these places, an array; -1 where 64 are not enough."""
    taken_array, colors_array = np.zeros(length, np.uint64), np.empty(len(spans), np.int64)
    cdef uint64_t[::1] taken = taken_array          # bit c: color c is taken at that place
    cdef int64_t[::1] colors = colors_array
    cdef Py_ssize_t route, place
    cdef uint64_t used
    cdef int64_t color
    with nogil:
        for route in range(spans.shape[0]):
            used = color = 0
            place = spans[route, 0]
            while place < spans[route, 1]:
                used |= taken[place]
                place += spans[route, 2]
            while color < 64 and used >> color & 1:
                color += 1
            colors[route] = color if color < 64 else -1
            place = spans[route, 0]
            while color < 64 and place < spans[route, 1]:
                taken[place] |= <uint64_t> 1 << color
                place += spans[route, 2]
    return colors_array
