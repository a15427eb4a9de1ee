# cython: language_level=3
# Tiles of a grid of PEs, and rows of PEs shared out among a team of threads. (Bodies of _tiles.pyx, compiled into it.)
from libc.stdint cimport int64_t

from wsekern.team cimport wsk_team, wsk_team_run, wsk_team_share
from wsekern.tiles.tiles cimport wsk_tile_math

cdef struct Tiles:
    # A buffer (height, width, ...): where the tile of each PE starts; bytes from one row of PEs to the next, from PE to PE.
    char *data
    Py_ssize_t height, width, dy, dx


cdef inline char *at(const Tiles *tiles, Py_ssize_t y, Py_ssize_t x) noexcept nogil:
    return tiles.data + y * tiles.dy + x * tiles.dx


ctypedef void (*Row)(void *work, Py_ssize_t i, char *scratch) noexcept nogil

cdef struct Rows:
    Row row
    void *work
    Py_ssize_t count
    char *scratch
    int64_t room        # bytes of scratch of each member of the team


cdef inline void share_of_rows(wsk_team *team, int rank, void *context) noexcept nogil:
    cdef const Rows *rows = <const Rows *>context
    cdef int64_t i
    for i in range(wsk_team_share(team, rank, rows.count), wsk_team_share(team, rank + 1, rows.count)):
        rows.row(rows.work, i, rows.scratch + rank * rows.room)


cdef inline void over_rows(Row row, void *work, Py_ssize_t count, int threads, char *scratch, int64_t room) noexcept nogil:
    """row(work, i, scratch) for every i below count, on a team of threads with ``room`` bytes of scratch each."""
    cdef Rows rows
    rows.row, rows.work, rows.count, rows.scratch, rows.room = row, work, count, scratch, room
    wsk_team_run(threads, share_of_rows, &rows)


cdef struct Elements:
    # Work that every PE does on elements or rows of its own tiles: the operands of tiles.h, as far as an operation has them.
    const wsk_tile_math *math
    Tiles a, b, c, out
    int kind
    int64_t rows, n, heads
    float factor, eps


cdef inline void unary_row(Elements *w, Py_ssize_t i, char *scratch) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(w.out.width):
        w.math.unary[w.kind](at(&w.a, i, j), at(&w.out, i, j), w.n)


cdef inline void binary_row(Elements *w, Py_ssize_t i, char *scratch) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(w.out.width):
        w.math.binary[w.kind](at(&w.a, i, j), at(&w.b, i, j), at(&w.out, i, j), w.n)


cdef inline void fma_row(Elements *w, Py_ssize_t i, char *scratch) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(w.out.width):
        w.math.fma(at(&w.a, i, j), at(&w.b, i, j), at(&w.c, i, j), at(&w.out, i, j), w.n)


cdef inline void scale_row(Elements *w, Py_ssize_t i, char *scratch) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(w.out.width):
        w.math.scale(at(&w.a, i, j), w.factor, at(&w.out, i, j), w.n)


cdef inline void rowsum_row(Elements *w, Py_ssize_t i, char *scratch) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(w.out.width):
        w.math.rowsum(at(&w.a, i, j), <float *> at(&w.out, i, j), w.rows, w.n)


cdef inline void dot_row(Elements *w, Py_ssize_t i, char *scratch) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(w.out.width):
        w.math.dot(at(&w.a, i, j), at(&w.b, i, j), <float *> at(&w.out, i, j), w.rows, w.n)


cdef inline void rowmax_row(Elements *w, Py_ssize_t i, char *scratch) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(w.out.width):
        w.math.rowmax(at(&w.a, i, j), at(&w.out, i, j), w.rows, w.n)


cdef inline void expsub_row(Elements *w, Py_ssize_t i, char *scratch) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(w.out.width):
        w.math.expsub(at(&w.a, i, j), at(&w.b, i, j), at(&w.out, i, j), w.rows, w.n)


cdef inline void rowdiv_row(Elements *w, Py_ssize_t i, char *scratch) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(w.out.width):
        w.math.rowdiv(at(&w.a, i, j), <const float *> at(&w.b, i, j), at(&w.out, i, j), w.rows, w.n)


cdef inline void rownorm_row(Elements *w, Py_ssize_t i, char *scratch) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(w.out.width):
        w.math.rownorm(at(&w.a, i, j), <const float *> at(&w.b, i, j), at(&w.c, i, j), w.factor, w.eps, at(&w.out, i, j),
                       w.rows, w.n)


cdef inline void rope_row(Elements *w, Py_ssize_t i, char *scratch) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(w.out.width):
        w.math.rope(at(&w.a, i, j), at(&w.b, i, j), at(&w.c, i, j), at(&w.out, i, j), w.rows, w.heads, w.n)
