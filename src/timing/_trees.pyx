# cython: language_level=3
"""The dynamic program of the generated reduction tree: see wsekern.ops.trees.best_side, which says what it computes."""
from libc.stdint cimport INT64_MAX, int64_t


def best_children(int64_t[:, ::1] first, int64_t[:, ::1] free, int64_t[:, ::1] choice, int64_t stage, int64_t hop, int64_t run):
    """Fill ``choice[b, n]``, how far away the last child of the root of n PEs is, no more than b sums over any router.

    ``first[b, n]``: the cycle at which that root executes the first word of its last child; ``free[b, n]``: ``run`` cycles
    later. All are (most + 1, PEs + 1); rows from 1 on hold at n = 1 what a single PE takes, row 0 of ``free`` only that.
    """
    cdef Py_ssize_t length = first.shape[1] - 1, most = first.shape[0] - 1, n, b, i
    cdef int64_t cycles, best
    with nogil:
        for b in range(1, most + 1):
            for n in range(2, length + 1):
                best = INT64_MAX
                for i in range(1, n if b > 1 else 2):
                    cycles = max(first[b, n - i] + stage + hop * i, free[b - 1, i])
                    if cycles < best:
                        best = cycles
                        choice[b, n] = i
                first[b, n] = best
                free[b, n] = best + run
