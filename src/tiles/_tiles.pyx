# cython: language_level=3
"""Work of every PE of a grid on its own tiles. Operands are buffers (height, width, ...) whose tiles are contiguous; shapes
and types are checked by :mod:`wsekern.tiles`, which is the public interface."""
cimport cython
from cpython.buffer cimport PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from wsekern._common cimport simd_level_code
from wsekern._common import simd_forced

from wsekern.team cimport wsk_team, wsk_team_meet, wsk_team_run, wsk_team_share
from wsekern.tiles.grid cimport (
    Elements, Row, Tiles, at, binary_row, dot_row, expsub_row, fma_row, over_rows, rope_row, rowdiv_row, rowmax_row,
    rownorm_row, rowsum_row, scale_row, unary_row)
from wsekern.tiles.tiles cimport (
    WSK_TILE_ADD, WSK_TILE_FP16_FP32, WSK_TILE_FP32, WSK_TILE_FRESH, WSK_TILE_LEVEL_HALF, WSK_TILE_ONTO, WSK_TILE_ROW_PES,
    WSK_TILE_STREAM, wsk_tile_bytes, wsk_tile_gemm_naive, wsk_tile_gemm_row, wsk_tile_half_supported, wsk_tile_is_small,
    wsk_tile_math, wsk_tile_products, wsk_tile_products_of, wsk_tile_rounds, wsk_tile_row, wsk_tile_table,
    wsk_tile_transpose)
from wsekern.wsekern_half cimport (
    wsk_bf16_to_float, wsk_float_to_bf16, wsk_float_to_half, wsk_half_fma, wsk_half_to_float)
from wsekern.wsekern_simd cimport WSK_SIMD_AVX512
from wsekern.wsekern_status cimport WSK_ERR_NO_MEMORY, WSK_OK

# The level of products: avx512 with the CPU's own fp16 where it has that and nobody asked for a level.
cdef int _product_level = simd_level_code()
if _product_level == WSK_SIMD_AVX512 and not simd_forced() and wsk_tile_half_supported():
    _product_level = WSK_TILE_LEVEL_HALF

@cython.final
cdef class Grid:
    """The tiles of a buffer (height, width, ...), held as long as this lives."""
    cdef Py_buffer view
    cdef Tiles tiles

    def __cinit__(self, array, bint writable=False):
        PyObject_GetBuffer(array, &self.view, PyBUF_STRIDES | (PyBUF_WRITABLE if writable else 0))
        self.tiles.data = <char *> self.view.buf
        self.tiles.height, self.tiles.width = self.view.shape[0], self.view.shape[1]
        self.tiles.dy, self.tiles.dx = self.view.strides[0], self.view.strides[1]

    def __dealloc__(self):
        PyBuffer_Release(&self.view)


cdef inline int64_t whole_lines(int64_t bytes) noexcept nogil:
    # Scratch of one thread: at least one cache line, shared with no other thread.
    return (bytes + 127) & ~<int64_t> 63


cdef enum:
    MESH_BLOCK = 4      # columns of PEs whose tiles of W mesh_gemm keeps in cache while all rows of PEs pass
    CACHES = 20 << 20   # bytes of results from which on they are not worth keeping in the caches
    NEAR = 1 << 20      # bytes of left tiles that are taken to be in a core's own caches
    FAR = 1 << 16       # bytes of a tile of W up to which the next one is fetched while it is in use


cdef int beginning(int dtype, const Tiles *c, int64_t n, int64_t broad, bint accumulate) noexcept:
    # How a product starts and ends: onto what c holds, afresh, or afresh and past the caches.
    cdef bint lines = dtype == WSK_TILE_FP32 and n % 16 == 0 and broad % 16 == 0 and <size_t> c.data % 64 == 0
    lines = lines and c.dx % 64 == 0 and c.dy % 64 == 0
    if accumulate:
        return WSK_TILE_ONTO
    return WSK_TILE_STREAM if lines and c.dy * c.height > CACHES else WSK_TILE_FRESH


cdef struct Product:
    # One product on every PE, as gemm says.
    int dtype, level, begin
    bint transposed
    Tiles x, w, c
    int64_t m, k, n, wide, broad


def gemm(int dtype, x, w, c, int64_t m, int64_t k, int64_t n, int64_t wide, int64_t broad, bint accumulate, bint transposed,
         int threads):
    """c (m, n) of every PE = or += x (m, k) times w (k, n), or times the transpose of w (n, k). ``wide``, ``broad``: elements
    from one row of a tile of w (not transposed), of c, to the next."""
    cdef Grid gx = Grid(x), gw = Grid(w), gc = Grid(c, True)
    cdef int64_t room = whole_lines(WSK_TILE_ROW_PES * m * k * 4 + (k * n * wsk_tile_bytes(dtype) if transposed else 0))
    cdef Product p
    cdef char *scratch = <char *> malloc(room * threads)
    if scratch == NULL:
        return WSK_ERR_NO_MEMORY
    p.dtype, p.level, p.begin = dtype, _product_level, beginning(dtype, &gc.tiles, n, broad, accumulate)
    p.transposed, p.x, p.w, p.c = transposed, gx.tiles, gw.tiles, gc.tiles
    p.m, p.k, p.n, p.wide, p.broad = m, k, n, wide, broad
    with nogil:
        over_rows(<Row>gemm_row, &p, p.c.height, threads, scratch, room)
    free(scratch)
    return WSK_OK


cdef int64_t ahead(const Tiles *w, int64_t size) noexcept nogil:
    # How far ahead the tiles of a product, of `size` bytes, are fetched where they are more than the caches keep: by a tile, or
    # by a part of one.
    cdef int64_t step = w.dx if w.width > 1 else w.dy
    if w.dy * w.height < NEAR and w.dx * w.width < NEAR:
        return 0
    return step if 0 < step and size <= FAR else FAR // 64


cdef void gemm_row(Product *p, Py_ssize_t i, char *scratch) noexcept nogil:
    cdef wsk_tile_row row
    cdef char *columns = scratch + WSK_TILE_ROW_PES * p.m * p.k * 4
    cdef Py_ssize_t j
    row.x, row.w, row.c = at(&p.x, i, 0), at(&p.w, i, 0), at(&p.c, i, 0)
    row.x_stride, row.w_stride, row.c_stride, row.count = p.x.dx, p.w.dx, p.c.dx, p.c.width
    row.m, row.k, row.n, row.accumulate, row.scratch = p.m, p.k, p.n, p.begin, <float *> scratch
    row.wide, row.broad, row.far = p.wide, p.broad, ahead(&p.w, p.k * p.n * wsk_tile_bytes(p.dtype))
    row.fetch = p.x.dy * p.x.height > NEAR
    if not p.transposed:
        wsk_tile_gemm_row(p.dtype, p.level, &row)
        return
    row.count, row.wide, row.far = 1, p.n, 0
    for j in range(p.c.width):
        wsk_tile_transpose(at(&p.w, i, j), columns, p.n, p.k, wsk_tile_bytes(p.dtype))
        row.x, row.w, row.c = at(&p.x, i, j), columns, at(&p.c, i, j)
        wsk_tile_gemm_row(p.dtype, p.level, &row)


def gemm_naive(int dtype, x, w, c, int64_t m, int64_t k, int64_t n, bint accumulate):
    """gemm by three plain loops per PE: the reference."""
    cdef Grid gx = Grid(x), gw = Grid(w), gc = Grid(c, True)
    cdef Py_ssize_t i, j
    with nogil:
        for i in range(gc.tiles.height):
            for j in range(gc.tiles.width):
                wsk_tile_gemm_naive(dtype, at(&gx.tiles, i, j), at(&gw.tiles, i, j), m, k, n, at(&gc.tiles, i, j), accumulate)


cdef struct Mesh:
    # The rounds of mesh_gemm. ``columns``: tiles of W of MESH_BLOCK columns, one after the other; ``right``: where they are.
    int dtype, level
    bint skewed
    Tiles x, w, c
    int64_t m, k, n, size
    char *columns
    const void **right
    char *scratch
    int64_t room


def mesh_gemm(int dtype, x, w, c, int64_t m, int64_t k, int64_t n, bint skewed, int threads):
    """L rounds on H x W PEs: PE (i, j) adds x of (i, b) times w of (b, j), b = (i + j + r) mod L, or r if not skewed.

    Tiles stay where they are: a PE's rounds are one list of pairs of tiles, and its sum stays in registers. Lists are
    twice L long, so that every PE's rounds are a stretch of them. Columns of W are copied into one piece, MESH_BLOCK at a
    time, and stay in cache while all rows pass.
    """
    cdef Grid gx = Grid(x), gw = Grid(w), gc = Grid(c, True)
    cdef Py_ssize_t p = gx.tiles.width
    cdef Mesh t
    t.dtype, t.level, t.skewed, t.x, t.w, t.c = dtype, _product_level, skewed, gx.tiles, gw.tiles, gc.tiles
    t.m, t.k, t.n, t.size = m, k, n, k * n * wsk_tile_bytes(dtype)
    t.room = whole_lines(2 * p * sizeof(void *) + p * m * k * 4)
    t.scratch = <char *> malloc(t.room * threads)
    t.columns = <char *> malloc(MESH_BLOCK * p * t.size + 64)
    t.right = <const void **> malloc(MESH_BLOCK * 2 * p * sizeof(void *))
    status = WSK_ERR_NO_MEMORY if t.scratch == NULL or t.columns == NULL or t.right == NULL else WSK_OK
    if status == WSK_OK:
        with nogil:
            wsk_team_run(threads, mesh_share, &t)
    free(t.scratch)
    free(t.columns)
    free(t.right)
    return status


cdef void mesh_share(wsk_team *team, int rank, void *context) noexcept nogil:
    # The columns that one member packs, then the rows that it passes by all of them; block by block.
    cdef Mesh *t = <Mesh *> context
    cdef Py_ssize_t begin = 0, end, i
    while begin < t.c.width:
        end = min(begin + MESH_BLOCK, t.c.width)
        for i in range(wsk_team_share(team, rank, end - begin), wsk_team_share(team, rank + 1, end - begin)):
            pack_column(t, begin + i, i)
        wsk_team_meet(team, NULL)
        for i in range(wsk_team_share(team, rank, t.c.height), wsk_team_share(team, rank + 1, t.c.height)):
            mesh_row(t, i, begin, end, t.scratch + rank * t.room)
        wsk_team_meet(team, NULL)
        begin = end


cdef void pack_column(Mesh *t, Py_ssize_t j, Py_ssize_t place) noexcept nogil:
    cdef Py_ssize_t i, p = t.w.height
    cdef const void **tiles = t.right + 2 * p * place
    cdef char *column = t.columns + place * p * t.size
    for i in range(p):
        memcpy(column + i * t.size, at(&t.w, i, j), t.size)
        tiles[i] = tiles[p + i] = column + i * t.size


cdef void mesh_row(Mesh *t, Py_ssize_t i, Py_ssize_t begin, Py_ssize_t end, char *scratch) noexcept nogil:
    # PEs begin .. end - 1 of row i: all their rounds, two PEs at a time where tiles are small.
    cdef const wsk_tile_products *math = wsk_tile_products_of(t.dtype, t.level)
    cdef bint small = wsk_tile_is_small(t.level, t.m, t.k, t.n)
    cdef Py_ssize_t p = t.x.width, j = begin, start
    cdef const void **left = <const void **> scratch
    cdef wsk_tile_rounds pe[2]
    cdef int count, e
    row_of_x(math, t.dtype, small, &t.x, i, t.m * t.k, left, <float *> (scratch + 2 * p * sizeof(void *)))
    while j < end:
        count = 2 if small and j + 2 <= end else 1
        for e in range(count):
            start = (i + j + e) % p if t.skewed else 0
            pe[e].x, pe[e].w = left + start, t.right + 2 * p * (j + e - begin) + start
            pe[e].c = at(&t.c, i, j + e)
        if small:
            math.gemm_small(pe, count, p, t.m, t.k, False)
        else:
            math.gemm(<const float *const *> pe[0].x, pe[0].w, p, t.m, t.k, t.n, t.n, t.n, pe[0].c, False, NULL, NULL, 0)
        j += count


cdef void row_of_x(const wsk_tile_products *math, int dtype, bint small, const Tiles *x, Py_ssize_t i, int64_t size,
                   const void **left, float *wide) noexcept nogil:
    # The tiles of row i, twice: as they are for small tiles, else as gemm takes them.
    cdef Py_ssize_t j, p = x.width
    for j in range(p):
        if small or dtype == WSK_TILE_FP32:
            left[j] = at(x, i, j)
        else:
            math.left(at(x, i, j), wide + j * size, size)
            left[j] = wide + j * size
        left[p + j] = left[j]


cdef struct Scores:
    # What one column of blocks of scores needs. Running sums are fp32 for fp16_fp32, else of the storage type.
    Tiles q, rows, out              # queries, keys, scores
    const wsk_tile_products *products
    const wsk_tile_math *math
    const wsk_tile_math *sums
    bint wide
    int64_t m, k, n, word
    float *left
    char *keys
    char *product
    char *total
    char *side


def mesh_gemm_transposed(int dtype, q, keys, s, int64_t m, int64_t n, int64_t k, int threads):
    """s (m, n) of (i, b) = sum over columns x of q (m, k) of (i, x) times the transpose of keys (n, k) of (b, x).

    Each product is rounded to the storage type, then summed along the row of PEs to the block's column: to its own product
    the chain from the left is added, then the chain from the right. Running sums are fp32 for fp16_fp32.
    """
    cdef Grid gq = Grid(q), gk = Grid(keys), gs = Grid(s, True)
    cdef int64_t room = whole_lines(gq.tiles.width * k * n * wsk_tile_bytes(dtype) + (m * k + 3 * m * n) * 4)
    cdef Scores t
    cdef char *scratch = <char *> malloc(room * threads)
    if scratch == NULL:
        return WSK_ERR_NO_MEMORY
    t.q, t.rows, t.out = gq.tiles, gk.tiles, gs.tiles
    t.math, t.wide = wsk_tile_table(dtype, _product_level), dtype == WSK_TILE_FP16_FP32
    t.products = wsk_tile_products_of(dtype, _product_level)
    t.sums = wsk_tile_table(WSK_TILE_FP32, _product_level) if t.wide else t.math
    t.m, t.k, t.n, t.word = m, k, n, wsk_tile_bytes(dtype)
    with nogil:
        over_rows(<Row>scores_column, &t, t.out.width, threads, scratch, room)
    free(scratch)
    return WSK_OK


cdef void scores_column(const Scores *all, Py_ssize_t b, char *scratch) noexcept nogil:
    cdef Scores t = all[0]
    cdef Py_ssize_t i, x, p = t.q.width, j = b // (t.out.width // p)
    cdef int64_t words = t.m * t.n
    t.left = <float *> scratch
    t.product = scratch + t.m * t.k * 4
    t.total, t.side = t.product + words * 4, t.product + 2 * words * 4
    t.keys = t.product + 3 * words * 4
    for x in range(p):
        wsk_tile_transpose(at(&t.rows, b, x), t.keys + x * t.k * t.n * t.word, t.n, t.k, t.word)
    for i in range(t.out.height):
        multiply(&t, i, j, t.total)
        if scores_chain(&t, i, 0, j, 1):
            t.sums.binary[WSK_TILE_ADD](t.total, t.side, t.total, words)
        if scores_chain(&t, i, p - 1, j, -1):
            t.sums.binary[WSK_TILE_ADD](t.total, t.side, t.total, words)
        if t.wide:
            t.math.narrow(<const float *> t.total, at(&t.out, i, b), words)
        else:
            memcpy(at(&t.out, i, b), t.total, words * t.word)


cdef bint scores_chain(Scores *t, Py_ssize_t i, Py_ssize_t begin, Py_ssize_t end, Py_ssize_t step) noexcept nogil:
    # side = running sum over columns begin .. end, end not included; False if there is none.
    cdef char *own = <char *> t.left + t.m * t.k * 4
    cdef Py_ssize_t x = begin
    while x != end:
        if x == begin:
            multiply(t, i, x, t.side)
        else:
            multiply(t, i, x, own)
            t.sums.binary[WSK_TILE_ADD](own, t.side, t.side, t.m * t.n)
        x += step
    return begin != end


cdef void multiply(Scores *t, Py_ssize_t i, Py_ssize_t x, char *out) noexcept nogil:
    # out = q (i, x) times the transposed keys of column x, as it travels.
    cdef const float *left = t.left
    cdef const void *right = t.keys + x * t.k * t.n * t.word
    t.products.left(at(&t.q, i, x), t.left, t.m * t.k)
    t.products.gemm(&left, &right, 1, t.m, t.k, t.n, t.n, t.n, out, False, NULL, NULL, 0)
    if t.wide:
        widen_in_place(t, out)


cdef inline void widen_in_place(Scores *t, char *tile) noexcept nogil:
    # From the last element, so that no word is overwritten before it is read.
    cdef int64_t e = t.m * t.n - 1
    while e >= 0:
        t.math.widen(tile + e * t.word, <float *> tile + e, 1)
        e -= 1


def unary(int dtype, int kind, a, out, int64_t n, int threads):
    """out = kind(a), n elements per PE."""
    cdef Grid ga = Grid(a), go = Grid(out, True)
    cdef Elements w
    w.math, w.a, w.out = wsk_tile_table(dtype, simd_level_code()), ga.tiles, go.tiles
    w.kind, w.n = kind, n
    with nogil:
        over_rows(<Row>unary_row, &w, w.out.height, threads, NULL, 0)


def binary(int dtype, int kind, a, b, out, int64_t n, int threads):
    """out = kind(a, b), n elements per PE."""
    cdef Grid ga = Grid(a), gb = Grid(b), go = Grid(out, True)
    cdef Elements w
    w.math, w.a, w.b, w.out = wsk_tile_table(dtype, simd_level_code()), ga.tiles, gb.tiles, go.tiles
    w.kind, w.n = kind, n
    with nogil:
        over_rows(<Row>binary_row, &w, w.out.height, threads, NULL, 0)


def fma(int dtype, a, b, c, out, int64_t n, int threads):
    """out = a * b + c, n elements per PE."""
    cdef Grid ga = Grid(a), gb = Grid(b), gc = Grid(c), go = Grid(out, True)
    cdef Elements w
    w.math, w.a, w.b, w.c, w.out = wsk_tile_table(dtype, simd_level_code()), ga.tiles, gb.tiles, gc.tiles, go.tiles
    w.n = n
    with nogil:
        over_rows(<Row>fma_row, &w, w.out.height, threads, NULL, 0)


def scale(int dtype, a, float factor, out, int64_t n, int threads):
    """out = a * factor, n elements per PE."""
    cdef Grid ga = Grid(a), go = Grid(out, True)
    cdef Elements w
    w.math, w.a, w.out = wsk_tile_table(dtype, simd_level_code()), ga.tiles, go.tiles
    w.factor, w.n = factor, n
    with nogil:
        over_rows(<Row>scale_row, &w, w.out.height, threads, NULL, 0)


def rowsum(int dtype, a, out, int64_t rows, int64_t n, int threads):
    """out (rows, fp32) = sums of a (rows, n)."""
    cdef Grid ga = Grid(a), go = Grid(out, True)
    cdef Elements w
    w.math, w.a, w.out = wsk_tile_table(dtype, simd_level_code()), ga.tiles, go.tiles
    w.rows, w.n = rows, n
    with nogil:
        over_rows(<Row>rowsum_row, &w, w.out.height, threads, NULL, 0)


def dot(int dtype, a, b, out, int64_t rows, int64_t n, int threads):
    """out (rows, fp32) = dot products of the rows of a and b (rows, n)."""
    cdef Grid ga = Grid(a), gb = Grid(b), go = Grid(out, True)
    cdef Elements w
    w.math, w.a, w.b, w.out = wsk_tile_table(dtype, simd_level_code()), ga.tiles, gb.tiles, go.tiles
    w.rows, w.n = rows, n
    with nogil:
        over_rows(<Row>dot_row, &w, w.out.height, threads, NULL, 0)


def rowmax(int dtype, a, out, int64_t rows, int64_t n, int threads):
    """out (rows) = largest elements of a (rows, n)."""
    cdef Grid ga = Grid(a), go = Grid(out, True)
    cdef Elements w
    w.math, w.a, w.out = wsk_tile_table(dtype, simd_level_code()), ga.tiles, go.tiles
    w.rows, w.n = rows, n
    with nogil:
        over_rows(<Row>rowmax_row, &w, w.out.height, threads, NULL, 0)


def expsub(int dtype, a, maximum, out, int64_t rows, int64_t n, int threads):
    """out = exp(a (rows, n) - maximum (rows))."""
    cdef Grid ga = Grid(a), gm = Grid(maximum), go = Grid(out, True)
    cdef Elements w
    w.math, w.a, w.b, w.out = wsk_tile_table(dtype, simd_level_code()), ga.tiles, gm.tiles, go.tiles
    w.rows, w.n = rows, n
    with nogil:
        over_rows(<Row>expsub_row, &w, w.out.height, threads, NULL, 0)


def rowdiv(int dtype, a, d, out, int64_t rows, int64_t n, int threads):
    """out = a (rows, n) / d (rows, fp32)."""
    cdef Grid ga = Grid(a), gd = Grid(d), go = Grid(out, True)
    cdef Elements w
    w.math, w.a, w.b, w.out = wsk_tile_table(dtype, simd_level_code()), ga.tiles, gd.tiles, go.tiles
    w.rows, w.n = rows, n
    with nogil:
        over_rows(<Row>rowdiv_row, &w, w.out.height, threads, NULL, 0)


def rownorm(int dtype, a, s, gain, float divisor, float eps, out, int64_t rows, int64_t n, int threads):
    """out = a (rows, n) / sqrt(s (rows, fp32) / divisor + eps) * gain (n)."""
    cdef Grid ga = Grid(a), gs = Grid(s), gg = Grid(gain), go = Grid(out, True)
    cdef Elements w
    w.math, w.a, w.b, w.c, w.out = wsk_tile_table(dtype, simd_level_code()), ga.tiles, gs.tiles, gg.tiles, go.tiles
    w.rows, w.n, w.factor, w.eps = rows, n, divisor, eps
    with nogil:
        over_rows(<Row>rownorm_row, &w, w.out.height, threads, NULL, 0)


def rope(int dtype, a, cosine, sine, out, int64_t rows, int64_t heads, int64_t pairs, int threads):
    """out = pairs of a (rows, heads, 2 * pairs) rotated by cosine and sine (rows, pairs)."""
    cdef Grid ga = Grid(a), gc = Grid(cosine), gs = Grid(sine), go = Grid(out, True)
    cdef Elements w
    w.math, w.a, w.b, w.c, w.out = wsk_tile_table(dtype, simd_level_code()), ga.tiles, gc.tiles, gs.tiles, go.tiles
    w.rows, w.heads, w.n = rows, heads, pairs
    with nogil:
        over_rows(<Row>rope_row, &w, w.out.height, threads, NULL, 0)


def peak(int64_t steps):
    """Run independent multiply-adds in the registers of one core; return how many."""
    cdef const wsk_tile_math *math = wsk_tile_table(WSK_TILE_FP32, simd_level_code())
    cdef float out = 0.5
    with nogil:
        steps = math.peak(steps, &out)
    return steps


def traffic(const float[::1] a, const float[::1] b, float[::1] out, bint past_caches):
    """Read a and b and write out, each on a cache line and of the same size, a multiple of 16: what products of tiles move."""
    cdef const wsk_tile_math *math = wsk_tile_table(WSK_TILE_FP32, simd_level_code())
    cdef int64_t n = min(a.shape[0], b.shape[0], out.shape[0]) // 16 * 16
    if n:
        with nogil:
            math.traffic(&a[0], &b[0], &out[0], n, past_caches)


# -- the plain conversions of common/wsekern_half.h, for tests and other references ---------------------------------------

def half_to_float(const unsigned short[::1] halves, float[::1] out):
    """out = halves as fp32."""
    for i in range(halves.shape[0]):
        out[i] = wsk_half_to_float(halves[i])


def float_to_half(const float[::1] values, unsigned short[::1] out):
    """out = values rounded to fp16."""
    for i in range(values.shape[0]):
        out[i] = wsk_float_to_half(values[i])


def bf16_to_float(const unsigned short[::1] words, float[::1] out):
    """out = bf16 words as fp32."""
    for i in range(words.shape[0]):
        out[i] = wsk_bf16_to_float(words[i])


def float_to_bf16(const float[::1] values, unsigned short[::1] out):
    """out = values rounded to bf16."""
    for i in range(values.shape[0]):
        out[i] = wsk_float_to_bf16(values[i])


def half_fma(const float[::1] a, const float[::1] b, const float[::1] c, unsigned short[::1] out):
    """out = a * b + c of halves held as fp32, rounded once to fp16."""
    for i in range(a.shape[0]):
        out[i] = wsk_half_fma(a[i], b[i], c[i])
