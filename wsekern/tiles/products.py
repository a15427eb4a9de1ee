"""Products of the tiles of every PE, and of a mesh of PEs."""

from wsekern.errors import InputError, check_flag, raise_for_status
from wsekern.tiles import _tiles
from wsekern.tiles.arguments import (
    PRECISIONS,
    Array,
    check_shape,
    check_tile,
    empty,
    has_contiguous_rows,
    raw,
    row_step,
    worthwhile_threads,
)


def gemm(x: Array, w: Array, precision: str = "fp32", c: Array | None = None, threads: int = 1,
         out: Array | None = None) -> Array:
    """c + X W on every PE: x (H, W, m, k), w (H, W, k, n), c (H, W, m, n) or None for 0 -> (H, W, m, n), in ``out`` if given.

    ``out`` may be ``c``, to add in place. Rows of the tiles of ``w`` and ``out`` may lie apart.
    """
    x, w = check_tile(x, "x", precision, 4), check_tile(w, "w", precision, 4, rows_apart=True)
    m, k, n = x.shape[2], x.shape[3], w.shape[3]
    check_shape(w, "w", (*x.shape[:2], k, n))
    return _gemm(x, w, precision, _start(x, c, precision, (m, n), out), (m, k, n), c is not None, False, threads)


def gemm_transposed(q: Array, keys: Array, precision: str = "fp32", c: Array | None = None, threads: int = 1) -> Array:
    """c + Q K^T on every PE: q (H, W, m, k), keys (H, W, n, k), c (H, W, m, n) or None for 0 -> (H, W, m, n)."""
    q, keys = check_tile(q, "q", precision, 4), check_tile(keys, "keys", precision, 4)
    m, k, n = q.shape[2], q.shape[3], keys.shape[2]
    check_shape(keys, "keys", (*q.shape[:2], n, k))
    return _gemm(q, keys, precision, _start(q, c, precision, (m, n)), (m, k, n), c is not None, True, threads)


def gemv(x: Array, w: Array, precision: str = "fp32", y: Array | None = None, threads: int = 1) -> Array:
    """y + x W on every PE: x (H, W, k), w (H, W, k, n), y (H, W, n) or None for 0 -> (H, W, n)."""
    x = check_tile(x, "x", precision, 3)
    start = None if y is None else check_tile(y, "y", precision, 3)[:, :, None]
    return gemm(x[:, :, None], w, precision, start, threads)[:, :, 0]


def mesh_gemm(x: Array, w: Array, precision: str = "fp32", threads: int = 1, skewed: bool = True) -> Array:
    """X W over H x W PEs in Cannon's order: x (H, L, m, k), w (L, W, k, n), L blocks of the inner size -> (H, W, m, n).

    PE (i, j) adds x (i, b) times w (b, j) for b = (i + j + r) mod L, r = 0 .. L - 1 (for b = r if not ``skewed``, the order of
    SUMMA), in one chain: with ``fp16_fp32`` and ``bf16`` the sum is fp32 through all rounds.
    """
    x, w = check_tile(x, "x", precision, 4), check_tile(w, "w", precision, 4)
    skewed = check_flag(skewed, "skewed of a product")
    (height, blocks, m, k), width, n = x.shape, w.shape[1], w.shape[3]
    check_shape(w, "w", (blocks, width, k, n))
    out = empty((height, width, m, n), x.dtype)
    if out.size:
        threads = worthwhile_threads(threads, out.size * blocks * k)
        raise_for_status(_tiles.mesh_gemm(PRECISIONS.index(precision), raw(x), raw(w), raw(out), m, k, n, skewed, threads))
    return out


def mesh_gemm_transposed(q: Array, keys: Array, precision: str = "fp32", threads: int = 1) -> Array:
    """Q K^T over H x W PEs: q (H, W, m, k), keys (L, W, n, k), L a multiple of W -> blocks of scores (H, L, m, n).

    Block (i, b) is the sum over columns x of q (i, x) times the transpose of keys (b, x). Each product is rounded to the
    storage type; to that of column b // (L / W), where the block ends up, is added the chain of sums from column 0, then the
    chain from column W - 1. With ``fp16_fp32`` those sums are fp32, rounded once at the end.
    """
    q, keys = check_tile(q, "q", precision, 4), check_tile(keys, "keys", precision, 4)
    (height, width, m, k), blocks, n = q.shape, keys.shape[0], keys.shape[2]
    check_shape(keys, "keys", (blocks, width, n, k))
    if width and blocks % width:
        raise InputError(f"keys are {blocks} blocks for {width} columns of PEs: expected a multiple")
    out = empty((height, blocks, m, n), q.dtype)
    if out.size:
        threads = worthwhile_threads(threads, out.size * width * k)
        raise_for_status(_tiles.mesh_gemm_transposed(PRECISIONS.index(precision), raw(q), raw(keys), raw(out), m, n, k,
                                                     threads))
    return out


def gemm_naive(x: Array, w: Array, precision: str = "fp32", c: Array | None = None) -> Array:
    """:func:`gemm` by three plain loops on every PE: the reference that it is tested against."""
    x, w = check_tile(x, "x", precision, 4), check_tile(w, "w", precision, 4)
    m, k, n = x.shape[2], x.shape[3], w.shape[3]
    check_shape(w, "w", (*x.shape[:2], k, n))
    out = _start(x, c, precision, (m, n))
    if out.size:
        _tiles.gemm_naive(PRECISIONS.index(precision), raw(x), raw(w), raw(out), m, k, n, c is not None)
    return out


def _gemm(x: Array, w: Array, precision: str, out: Array, sizes: tuple[int, int, int], accumulate: bool, transposed: bool,
          threads: int) -> Array:
    if out.size:
        threads = worthwhile_threads(threads, out.size * sizes[1])
        apart = (row_step(w, sizes[2]), row_step(out, sizes[2]))
        raise_for_status(_tiles.gemm(PRECISIONS.index(precision), raw(x), raw(w), raw(out), *sizes, *apart, accumulate,
                                     transposed, threads))
    return out


def _start(x: Array, c: Array | None, precision: str, tile: tuple[int, int], out: Array | None = None) -> Array:
    """The array for the sums (``out``, else a new one), holding what ``c`` holds if it is given."""
    shape = (*x.shape[:2], *tile)
    if out is None:
        out = empty(shape, x.dtype)
    elif out.shape != shape or out.dtype != x.dtype or not has_contiguous_rows(out) or not out.flags.writeable:
        raise InputError(f"out has shape {out.shape} and type {out.dtype}: expected {shape} and {x.dtype}, writeable, with "
                         "contiguous rows")
    if c is not None:
        c = check_tile(c, "c", precision, 4)
        check_shape(c, "c", shape)
        if c is not out:
            out[...] = c
    return out
