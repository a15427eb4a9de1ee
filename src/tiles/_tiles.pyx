# cython: language_level=3
"""Work of every PE of a grid on its own tiles. Operands are buffers (height, width, ...) whose tiles are contiguous; shapes
and types are checked by :mod:`wsekern.tiles`, which is the public interface."""
cimport cython
from cpython.buffer cimport PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cython.parallel cimport prange, threadid
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from wsekern._common cimport simd_level_code
from wsekern._common import simd_forced

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
    """A buffer (height, width, ...): where the tile of each PE starts."""
    cdef Py_buffer view
    cdef char *data
    cdef Py_ssize_t height, width, dy, dx

    def __cinit__(self, array, bint writable=False):
        PyObject_GetBuffer(array, &self.view, PyBUF_STRIDES | (PyBUF_WRITABLE if writable else 0))
        self.data = <char *> self.view.buf
        self.height, self.width = self.view.shape[0], self.view.shape[1]
        self.dy, self.dx = self.view.strides[0], self.view.strides[1]

    def __dealloc__(self):
        PyBuffer_Release(&self.view)

    cdef inline char *at(self, Py_ssize_t y, Py_ssize_t x) noexcept nogil:
        return self.data + y * self.dy + x * self.dx


cdef inline int64_t whole_lines(int64_t bytes) noexcept nogil:
    # Scratch of one thread: at least one cache line, shared with no other thread.
    return (bytes + 127) & ~<int64_t> 63


cdef enum:
    MESH_BLOCK = 4      # columns of PEs whose tiles of W mesh_gemm keeps in cache while all rows of PEs pass
    CACHES = 20 << 20   # bytes of results from which on they are not worth keeping in the caches
    NEAR = 1 << 20      # bytes of left tiles that are taken to be in a core's own caches
    FAR = 1 << 16       # bytes of a tile of W up to which the next one is fetched while it is in use


cdef int beginning(int dtype, Grid c, int64_t n, int64_t broad, bint accumulate) noexcept:
    # How a product starts and ends: onto what c holds, afresh, or afresh and past the caches.
    cdef bint lines = dtype == WSK_TILE_FP32 and n % 16 == 0 and broad % 16 == 0 and <size_t> c.data % 64 == 0
    lines = lines and c.dx % 64 == 0 and c.dy % 64 == 0
    if accumulate:
        return WSK_TILE_ONTO
    return WSK_TILE_STREAM if lines and c.dy * c.height > CACHES else WSK_TILE_FRESH


def gemm(int dtype, x, w, c, int64_t m, int64_t k, int64_t n, int64_t wide, int64_t broad, bint accumulate, bint transposed,
         int threads):
    """c (m, n) of every PE = or += x (m, k) times w (k, n), or times the transpose of w (n, k). ``wide``, ``broad``: elements
    from one row of a tile of w (not transposed), of c, to the next."""
    cdef Grid gx = Grid(x), gw = Grid(w), gc = Grid(c, True)
    cdef int64_t word = wsk_tile_bytes(dtype)
    cdef int64_t share = whole_lines(WSK_TILE_ROW_PES * m * k * 4 + (k * n * word if transposed else 0))
    cdef int level = _product_level
    cdef int begin = beginning(dtype, gc, n, broad, accumulate)
    cdef Py_ssize_t i
    cdef char *scratch = <char *> malloc(share * threads)
    if scratch == NULL:
        return WSK_ERR_NO_MEMORY
    for i in prange(gc.height, nogil=True, num_threads=threads, schedule="static"):
        gemm_row(dtype, level, gx, gw, gc, i, m, k, n, wide, broad, begin, transposed, scratch + threadid() * share)
    free(scratch)
    return WSK_OK


cdef int64_t ahead(Grid w) noexcept nogil:
    # How far ahead the tiles of a product are fetched, where they are more than the caches keep: by a tile, or a part of one.
    cdef int64_t step = w.dx if w.width > 1 else w.dy
    if w.dy * w.height < NEAR and w.dx * w.width < NEAR:
        return 0
    return step if 0 < step <= FAR else FAR // 64


cdef void gemm_row(int dtype, int level, Grid x, Grid w, Grid c, Py_ssize_t i, int64_t m, int64_t k, int64_t n,
                   int64_t wide, int64_t broad, int accumulate, bint transposed, char *scratch) noexcept nogil:
    cdef wsk_tile_row row
    cdef char *columns = scratch + WSK_TILE_ROW_PES * m * k * 4
    cdef Py_ssize_t j
    row.x, row.w, row.c = x.at(i, 0), w.at(i, 0), c.at(i, 0)
    row.x_stride, row.w_stride, row.c_stride, row.count = x.dx, w.dx, c.dx, c.width
    row.m, row.k, row.n, row.accumulate, row.scratch = m, k, n, accumulate, <float *> scratch
    row.wide, row.broad, row.far = wide, broad, ahead(w)
    row.fetch = x.dy * x.height > NEAR
    if not transposed:
        wsk_tile_gemm_row(dtype, level, &row)
        return
    row.count, row.wide, row.far = 1, n, 0
    for j in range(c.width):
        wsk_tile_transpose(w.at(i, j), columns, n, k, wsk_tile_bytes(dtype))
        row.x, row.w, row.c = x.at(i, j), columns, c.at(i, j)
        wsk_tile_gemm_row(dtype, level, &row)


def gemm_naive(int dtype, x, w, c, int64_t m, int64_t k, int64_t n, bint accumulate):
    """gemm by three plain loops per PE: the reference."""
    cdef Grid gx = Grid(x), gw = Grid(w), gc = Grid(c, True)
    cdef Py_ssize_t i, j
    with nogil:
        for i in range(gc.height):
            for j in range(gc.width):
                wsk_tile_gemm_naive(dtype, gx.at(i, j), gw.at(i, j), m, k, n, gc.at(i, j), accumulate)


def mesh_gemm(int dtype, x, w, c, int64_t m, int64_t k, int64_t n, bint skewed, int threads):
    """L rounds on H x W PEs: PE (i, j) adds x of (i, b) times w of (b, j), b = (i + j + r) mod L, or r if not skewed.

    Tiles stay where they are: a PE's rounds are one list of pairs of tiles, and its sum stays in registers. Lists are
    twice L long, so that every PE's rounds are a stretch of them. Columns of W are copied into one piece, MESH_BLOCK at a
    time, and stay in cache while all rows pass.
    """
    cdef Grid gx = Grid(x), gw = Grid(w), gc = Grid(c, True)
    cdef Py_ssize_t p = gx.width, begin, end, i
    cdef int64_t size = k * n * wsk_tile_bytes(dtype), share = whole_lines(2 * p * sizeof(void *) + p * m * k * 4)
    cdef int level = _product_level
    cdef char *scratch = <char *> malloc(share * threads)
    cdef char *columns = <char *> malloc(MESH_BLOCK * p * size + 64)
    cdef const void **right = <const void **> malloc(MESH_BLOCK * 2 * p * sizeof(void *))
    if scratch != NULL and columns != NULL and right != NULL:
        for begin in range(0, gc.width, MESH_BLOCK):
            end = min(begin + MESH_BLOCK, gc.width)
            for i in prange(end - begin, nogil=True, num_threads=threads, schedule="static"):
                pack_column(gw, begin + i, size, right + 2 * p * i, columns + i * p * size)
            for i in prange(gc.height, nogil=True, num_threads=threads, schedule="static"):
                mesh_row(dtype, level, gx, gc, i, begin, end, m, k, n, skewed, right, scratch + threadid() * share)
    status = WSK_ERR_NO_MEMORY if scratch == NULL or columns == NULL or right == NULL else WSK_OK
    free(scratch)
    free(columns)
    free(right)
    return status


cdef void pack_column(Grid w, Py_ssize_t j, int64_t size, const void **tiles, char *column) noexcept nogil:
    cdef Py_ssize_t i, p = w.height
    for i in range(p):
        memcpy(column + i * size, w.at(i, j), size)
        tiles[i] = tiles[p + i] = column + i * size


cdef void mesh_row(int dtype, int level, Grid x, Grid c, Py_ssize_t i, Py_ssize_t begin, Py_ssize_t end, int64_t m, int64_t k,
                   int64_t n, bint skewed, const void **right, char *scratch) noexcept nogil:
    # PEs begin .. end - 1 of row i: all their rounds, two PEs at a time where tiles are small.
    cdef const wsk_tile_products *math = wsk_tile_products_of(dtype, level)
    cdef bint small = wsk_tile_is_small(level, m, k, n)
    cdef Py_ssize_t p = x.width, j = begin, start
    cdef const void **left = <const void **> scratch
    cdef wsk_tile_rounds pe[2]
    cdef int count, e
    row_of_x(math, dtype, small, x, i, m * k, left, <float *> (scratch + 2 * p * sizeof(void *)))
    while j < end:
        count = 2 if small and j + 2 <= end else 1
        for e in range(count):
            start = (i + j + e) % p if skewed else 0
            pe[e].x, pe[e].w = left + start, right + 2 * p * (j + e - begin) + start
            pe[e].c = c.at(i, j + e)
        if small:
            math.gemm_small(pe, count, p, m, k, False)
        else:
            math.gemm(<const float *const *> pe[0].x, pe[0].w, p, m, k, n, n, n, pe[0].c, False, NULL, NULL, 0)
        j += count


cdef void row_of_x(const wsk_tile_products *math, int dtype, bint small, Grid x, Py_ssize_t i, int64_t size, const void **left,
                   float *wide) noexcept nogil:
    # The tiles of row i, twice: as they are for small tiles, else as gemm takes them.
    cdef Py_ssize_t j, p = x.width
    for j in range(p):
        if small or dtype == WSK_TILE_FP32:
            left[j] = x.at(i, j)
        else:
            math.left(x.at(i, j), wide + j * size, size)
            left[j] = wide + j * size
        left[p + j] = left[j]


cdef struct Scores:
    # What one column of blocks of scores needs. Running sums are fp32 for fp16_fp32, else of the storage type.
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
    cdef Py_ssize_t p = gq.width, b
    cdef int64_t share = whole_lines(p * k * n * wsk_tile_bytes(dtype) + (m * k + 3 * m * n) * 4)
    cdef int level = _product_level
    cdef char *scratch = <char *> malloc(share * threads)
    if scratch == NULL:
        return WSK_ERR_NO_MEMORY
    for b in prange(gs.width, nogil=True, num_threads=threads, schedule="static"):
        scores_column(dtype, level, gq, gk, gs, b, m, k, n, scratch + threadid() * share)
    free(scratch)
    return WSK_OK


cdef void scores_column(int dtype, int level, Grid q, Grid keys, Grid s, Py_ssize_t b, int64_t m, int64_t k, int64_t n,
                        char *scratch) noexcept nogil:
    cdef Scores t
    cdef Py_ssize_t i, x, p = q.width, j = b // (s.width // p)
    t.math, t.wide = wsk_tile_table(dtype, level), dtype == WSK_TILE_FP16_FP32
    t.products = wsk_tile_products_of(dtype, level)
    t.sums = wsk_tile_table(WSK_TILE_FP32, level) if t.wide else t.math
    t.m, t.k, t.n, t.word = m, k, n, wsk_tile_bytes(dtype)
    t.left = <float *> scratch
    t.product = scratch + m * k * 4
    t.total, t.side = t.product + m * n * 4, t.product + 2 * m * n * 4
    t.keys = t.product + 3 * m * n * 4
    for x in range(p):
        wsk_tile_transpose(keys.at(b, x), t.keys + x * k * n * t.word, n, k, t.word)
    for i in range(s.height):
        multiply(&t, q, i, j, t.total)
        if scores_chain(&t, q, i, 0, j, 1):
            t.sums.binary[WSK_TILE_ADD](t.total, t.side, t.total, m * n)
        if scores_chain(&t, q, i, p - 1, j, -1):
            t.sums.binary[WSK_TILE_ADD](t.total, t.side, t.total, m * n)
        if t.wide:
            t.math.narrow(<const float *> t.total, s.at(i, b), m * n)
        else:
            memcpy(s.at(i, b), t.total, m * n * t.word)


cdef bint scores_chain(Scores *t, Grid q, Py_ssize_t i, Py_ssize_t begin, Py_ssize_t end, Py_ssize_t step) noexcept nogil:
    # side = running sum over columns begin .. end, end not included; False if there is none.
    cdef char *own = <char *> t.left + t.m * t.k * 4
    cdef Py_ssize_t x = begin
    while x != end:
        if x == begin:
            multiply(t, q, i, x, t.side)
        else:
            multiply(t, q, i, x, own)
            t.sums.binary[WSK_TILE_ADD](own, t.side, t.side, t.m * t.n)
        x += step
    return begin != end


cdef void multiply(Scores *t, Grid q, Py_ssize_t i, Py_ssize_t x, char *out) noexcept nogil:
    # out = q (i, x) times the transposed keys of column x, as it travels.
    cdef const float *left = t.left
    cdef const void *right = t.keys + x * t.k * t.n * t.word
    t.products.left(q.at(i, x), t.left, t.m * t.k)
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
    cdef const wsk_tile_math *math = wsk_tile_table(dtype, simd_level_code())
    cdef Py_ssize_t i, j
    for i in prange(go.height, nogil=True, num_threads=threads, schedule="static"):
        for j in range(go.width):
            math.unary[kind](ga.at(i, j), go.at(i, j), n)


def binary(int dtype, int kind, a, b, out, int64_t n, int threads):
    """out = kind(a, b), n elements per PE."""
    cdef Grid ga = Grid(a), gb = Grid(b), go = Grid(out, True)
    cdef const wsk_tile_math *math = wsk_tile_table(dtype, simd_level_code())
    cdef Py_ssize_t i, j
    for i in prange(go.height, nogil=True, num_threads=threads, schedule="static"):
        for j in range(go.width):
            math.binary[kind](ga.at(i, j), gb.at(i, j), go.at(i, j), n)


def fma(int dtype, a, b, c, out, int64_t n, int threads):
    """out = a * b + c, n elements per PE."""
    cdef Grid ga = Grid(a), gb = Grid(b), gc = Grid(c), go = Grid(out, True)
    cdef const wsk_tile_math *math = wsk_tile_table(dtype, simd_level_code())
    cdef Py_ssize_t i, j
    for i in prange(go.height, nogil=True, num_threads=threads, schedule="static"):
        for j in range(go.width):
            math.fma(ga.at(i, j), gb.at(i, j), gc.at(i, j), go.at(i, j), n)


def scale(int dtype, a, float factor, out, int64_t n, int threads):
    """out = a * factor, n elements per PE."""
    cdef Grid ga = Grid(a), go = Grid(out, True)
    cdef const wsk_tile_math *math = wsk_tile_table(dtype, simd_level_code())
    cdef Py_ssize_t i, j
    for i in prange(go.height, nogil=True, num_threads=threads, schedule="static"):
        for j in range(go.width):
            math.scale(ga.at(i, j), factor, go.at(i, j), n)


def rowsum(int dtype, a, out, int64_t rows, int64_t n, int threads):
    """out (rows, fp32) = sums of a (rows, n)."""
    cdef Grid ga = Grid(a), go = Grid(out, True)
    cdef const wsk_tile_math *math = wsk_tile_table(dtype, simd_level_code())
    cdef Py_ssize_t i, j
    for i in prange(go.height, nogil=True, num_threads=threads, schedule="static"):
        for j in range(go.width):
            math.rowsum(ga.at(i, j), <float *> go.at(i, j), rows, n)


def dot(int dtype, a, b, out, int64_t rows, int64_t n, int threads):
    """out (rows, fp32) = dot products of the rows of a and b (rows, n)."""
    cdef Grid ga = Grid(a), gb = Grid(b), go = Grid(out, True)
    cdef const wsk_tile_math *math = wsk_tile_table(dtype, simd_level_code())
    cdef Py_ssize_t i, j
    for i in prange(go.height, nogil=True, num_threads=threads, schedule="static"):
        for j in range(go.width):
            math.dot(ga.at(i, j), gb.at(i, j), <float *> go.at(i, j), rows, n)


def rowmax(int dtype, a, out, int64_t rows, int64_t n, int threads):
    """out (rows) = largest elements of a (rows, n)."""
    cdef Grid ga = Grid(a), go = Grid(out, True)
    cdef const wsk_tile_math *math = wsk_tile_table(dtype, simd_level_code())
    cdef Py_ssize_t i, j
    for i in prange(go.height, nogil=True, num_threads=threads, schedule="static"):
        for j in range(go.width):
            math.rowmax(ga.at(i, j), go.at(i, j), rows, n)


def expsub(int dtype, a, maximum, out, int64_t rows, int64_t n, int threads):
    """out = exp(a (rows, n) - maximum (rows))."""
    cdef Grid ga = Grid(a), gm = Grid(maximum), go = Grid(out, True)
    cdef const wsk_tile_math *math = wsk_tile_table(dtype, simd_level_code())
    cdef Py_ssize_t i, j
    for i in prange(go.height, nogil=True, num_threads=threads, schedule="static"):
        for j in range(go.width):
            math.expsub(ga.at(i, j), gm.at(i, j), go.at(i, j), rows, n)


def rowdiv(int dtype, a, d, out, int64_t rows, int64_t n, int threads):
    """out = a (rows, n) / d (rows, fp32)."""
    cdef Grid ga = Grid(a), gd = Grid(d), go = Grid(out, True)
    cdef const wsk_tile_math *math = wsk_tile_table(dtype, simd_level_code())
    cdef Py_ssize_t i, j
    for i in prange(go.height, nogil=True, num_threads=threads, schedule="static"):
        for j in range(go.width):
            math.rowdiv(ga.at(i, j), <const float *> gd.at(i, j), go.at(i, j), rows, n)


def rownorm(int dtype, a, s, gain, float divisor, float eps, out, int64_t rows, int64_t n, int threads):
    """out = a (rows, n) / sqrt(s (rows, fp32) / divisor + eps) * gain (n)."""
    cdef Grid ga = Grid(a), gs = Grid(s), gg = Grid(gain), go = Grid(out, True)
    cdef const wsk_tile_math *math = wsk_tile_table(dtype, simd_level_code())
    cdef Py_ssize_t i, j
    for i in prange(go.height, nogil=True, num_threads=threads, schedule="static"):
        for j in range(go.width):
            math.rownorm(ga.at(i, j), <const float *> gs.at(i, j), gg.at(i, j), divisor, eps, go.at(i, j), rows, n)


def rope(int dtype, a, cosine, sine, out, int64_t rows, int64_t heads, int64_t pairs, int threads):
    """out = pairs of a (rows, heads, 2 * pairs) rotated by cosine and sine (rows, pairs)."""
    cdef Grid ga = Grid(a), gc = Grid(cosine), gs = Grid(sine), go = Grid(out, True)
    cdef const wsk_tile_math *math = wsk_tile_table(dtype, simd_level_code())
    cdef Py_ssize_t i, j
    for i in prange(go.height, nogil=True, num_threads=threads, schedule="static"):
        for j in range(go.width):
            math.rope(ga.at(i, j), gc.at(i, j), gs.at(i, j), go.at(i, j), rows, heads, pairs)


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
