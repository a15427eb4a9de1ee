"""What one PE computes on its own tiles, for all PEs of a grid at once.

Every array is (height, width, ...tile) with the PE first; float32 for ``fp32``, float16 for ``fp16`` and ``fp16_fp32``, uint16
(or ml_dtypes.bfloat16) for ``bf16``. Arrays may be broadcast views. Results have the same bits for any number of threads,
on any SIMD level, on any machine (a NaN is a NaN; its payload is not fixed).

Sums of products are chains of fused multiply-adds, the inner index increasing, starting from c (or 0). Rounded:
``fp32`` every step to fp32; ``fp16`` every step once to fp16; ``fp16_fp32`` and ``bf16`` every step to fp32, and the sum at
the end to the storage type. All other functions compute in fp32 and round each result once to the storage type,
except where their docstring says otherwise.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from wsekern.errors import InputError, raise_for_status
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.tiles import _tiles

Array = np.ndarray[Any, Any]

DTYPES = ("fp32", "fp16", "fp16_fp32", "bf16")
_UNARY = ("mov", "exp", "reciprocal", "rsqrt", "silu")
_BINARY = ("add", "sub", "mul", "max", "silu_mul")

# Below this many multiply-adds or elements a second thread costs more than it saves.
_WORTH_THREADS = 1 << 16
_WORTH_ALIGNING = 1 << 16
_CACHE_LINE = 64


# -- products ----------------------------------------------------------------------------------------------------------
def gemm(x: Array, w: Array, dtype: str = "fp32", c: Array | None = None, threads: int = 1,
         out: Array | None = None) -> Array:
    """c + X W on every PE: x (H, W, m, k), w (H, W, k, n), c (H, W, m, n) or None for 0 -> (H, W, m, n), in ``out`` if given.

    ``out`` may be ``c``, to add in place.
    """
    x, w = _tile(x, "x", dtype, 4), _tile(w, "w", dtype, 4)
    m, k, n = x.shape[2], x.shape[3], w.shape[3]
    _expect(w, "w", (*x.shape[:2], k, n))
    return _gemm(x, w, dtype, _start(x, c, dtype, (m, n), out), (m, k, n), c is not None, False, threads)


def gemm_transposed(q: Array, keys: Array, dtype: str = "fp32", c: Array | None = None, threads: int = 1) -> Array:
    """c + Q K^T on every PE: q (H, W, m, k), keys (H, W, n, k), c (H, W, m, n) or None for 0 -> (H, W, m, n)."""
    q, keys = _tile(q, "q", dtype, 4), _tile(keys, "keys", dtype, 4)
    m, k, n = q.shape[2], q.shape[3], keys.shape[2]
    _expect(keys, "keys", (*q.shape[:2], n, k))
    return _gemm(q, keys, dtype, _start(q, c, dtype, (m, n)), (m, k, n), c is not None, True, threads)


def gemv(x: Array, w: Array, dtype: str = "fp32", y: Array | None = None, threads: int = 1) -> Array:
    """y + x W on every PE: x (H, W, k), w (H, W, k, n), y (H, W, n) or None for 0 -> (H, W, n)."""
    x = _tile(x, "x", dtype, 3)
    start = None if y is None else _tile(y, "y", dtype, 3)[:, :, None]
    return gemm(x[:, :, None], w, dtype, start, threads)[:, :, 0]


def mesh_gemm(x: Array, w: Array, dtype: str = "fp32", threads: int = 1, skewed: bool = True) -> Array:
    """X W over H x W PEs in Cannon's order: x (H, L, m, k), w (L, W, k, n), L blocks of the inner size -> (H, W, m, n).

    PE (i, j) adds x (i, b) times w (b, j) for b = (i + j + r) mod L, r = 0 .. L - 1 (for b = r if not ``skewed``, the order of
    SUMMA), in one chain: with ``fp16_fp32`` and ``bf16`` the sum is fp32 through all rounds.
    """
    x, w = _tile(x, "x", dtype, 4), _tile(w, "w", dtype, 4)
    (height, blocks, m, k), width, n = x.shape, w.shape[1], w.shape[3]
    _expect(w, "w", (blocks, width, k, n))
    out = _empty((height, width, m, n), x.dtype)
    if out.size:
        threads = _threads(threads, out.size * blocks * k)
        raise_for_status(_tiles.mesh_gemm(DTYPES.index(dtype), _raw(x), _raw(w), _raw(out), m, k, n, skewed, threads))
    return out


def mesh_gemm_transposed(q: Array, keys: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """Q K^T over H x W PEs: q (H, W, m, k), keys (L, W, n, k), L a multiple of W -> blocks of scores (H, L, m, n).

    Block (i, b) is the sum over columns x of q (i, x) times the transpose of keys (b, x). Each product is rounded to the
    storage type; to that of column b // (L / W), where the block ends up, is added the chain of sums from column 0, then the
    chain from column W - 1. With ``fp16_fp32`` those sums are fp32, rounded once at the end.
    """
    q, keys = _tile(q, "q", dtype, 4), _tile(keys, "keys", dtype, 4)
    (height, width, m, k), blocks, n = q.shape, keys.shape[0], keys.shape[2]
    _expect(keys, "keys", (blocks, width, n, k))
    if width and blocks % width:
        raise InputError(f"keys are {blocks} blocks for {width} columns of PEs: expected a multiple")
    out = _empty((height, blocks, m, n), q.dtype)
    if out.size:
        threads = _threads(threads, out.size * width * k)
        raise_for_status(_tiles.mesh_gemm_transposed(DTYPES.index(dtype), _raw(q), _raw(keys), _raw(out), m, n, k, threads))
    return out


def gemm_naive(x: Array, w: Array, dtype: str = "fp32", c: Array | None = None) -> Array:
    """:func:`gemm` by three plain loops on every PE: the reference that it is tested against."""
    x, w = _tile(x, "x", dtype, 4), _tile(w, "w", dtype, 4)
    m, k, n = x.shape[2], x.shape[3], w.shape[3]
    _expect(w, "w", (*x.shape[:2], k, n))
    out = _start(x, c, dtype, (m, n))
    if out.size:
        _tiles.gemm_naive(DTYPES.index(dtype), _raw(x), _raw(w), _raw(out), m, k, n, c is not None)
    return out


def _gemm(x: Array, w: Array, dtype: str, out: Array, sizes: tuple[int, int, int], accumulate: bool, transposed: bool,
          threads: int) -> Array:
    if out.size:
        threads = _threads(threads, out.size * sizes[1])
        raise_for_status(_tiles.gemm(DTYPES.index(dtype), _raw(x), _raw(w), _raw(out), *sizes, accumulate, transposed,
                                     threads))
    return out


def _start(x: Array, c: Array | None, dtype: str, tile: tuple[int, int], out: Array | None = None) -> Array:
    """The array for the sums (``out``, else a new one), holding what ``c`` holds if it is given."""
    shape = (*x.shape[:2], *tile)
    if out is None:
        out = _empty(shape, x.dtype)
    elif out.shape != shape or out.dtype != x.dtype or not _contiguous_tiles(out) or not out.flags.writeable:
        raise InputError(f"out has shape {out.shape} and type {out.dtype}: expected {shape} and {x.dtype}, writeable, with "
                         "contiguous tiles")
    if c is not None:
        c = _tile(c, "c", dtype, 4)
        _expect(c, "c", shape)
        if c is not out:
            out[...] = c
    return out


# -- element by element ------------------------------------------------------------------------------------------------
def add(a: Array, b: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """a + b, element by element; shapes (H, W, ...) are the same."""
    return _binary("add", a, b, dtype, threads)


def sub(a: Array, b: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """a - b, element by element; shapes (H, W, ...) are the same."""
    return _binary("sub", a, b, dtype, threads)


def mul(a: Array, b: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """a * b, element by element; shapes (H, W, ...) are the same."""
    return _binary("mul", a, b, dtype, threads)


def maximum(a: Array, b: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """a where a > b, else b; shapes (H, W, ...) are the same."""
    return _binary("max", a, b, dtype, threads)


def silu_mul(gate: Array, up: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """gate / (1 + exp(-gate)) * up; shapes (H, W, ...) are the same."""
    return _binary("silu_mul", gate, up, dtype, threads)


def mov(a: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """A copy of a."""
    return _unary("mov", a, dtype, threads)


def exp(a: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """e ^ a, within 2 ulp in fp32 and then rounded to the storage type; 0 far below."""
    return _unary("exp", a, dtype, threads)


def reciprocal(a: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """1 / a."""
    return _unary("reciprocal", a, dtype, threads)


def rsqrt(a: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """1 / sqrt(a), root and quotient each rounded to fp32."""
    return _unary("rsqrt", a, dtype, threads)


def silu(a: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """a / (1 + exp(-a))."""
    return _unary("silu", a, dtype, threads)


def scale(a: Array, factor: float, dtype: str = "fp32", threads: int = 1) -> Array:
    """a * factor, the factor rounded to the storage type first."""
    a, shape = _flat(_tile(a, "a", dtype))
    out = _empty(a.shape, a.dtype)
    number = _round(factor, dtype)
    if out.size:
        _tiles.scale(DTYPES.index(dtype), _raw(a), number, _raw(out), a.shape[2], _threads(threads, out.size))
    return out.reshape(shape)


def fma(a: Array, b: Array, c: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """a * b + c, rounded once (for ``bf16`` to fp32 and then to bf16); shapes (H, W, ...) are the same."""
    a, b, c = (_tile(t, name, dtype) for t, name in ((a, "a"), (b, "b"), (c, "c")))
    _expect(b, "b", a.shape)
    _expect(c, "c", a.shape)
    (a, b, c), shape = _flat_all(a, b, c)
    out = _empty(a.shape, a.dtype)
    if out.size:
        _tiles.fma(DTYPES.index(dtype), _raw(a), _raw(b), _raw(c), _raw(out), a.shape[2], _threads(threads, out.size))
    return out.reshape(shape)


def rope(a: Array, cosine: Array, sine: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """Pairs of a (H, W, m, heads, 2 p) rotated by cosine and sine (H, W, m, p); the first halves of the pairs come first.

    (first, second) -> (first * cosine - second * sine, second * cosine + first * sine); every product, then the sum, is
    rounded to the storage type.
    """
    a, cosine, sine = _tile(a, "a", dtype, 5), _tile(cosine, "cosine", dtype, 4), _tile(sine, "sine", dtype, 4)
    height, width, rows, heads, size = a.shape
    if size % 2:
        raise InputError(f"a has vectors of {size} elements: expected an even number, first halves and second halves")
    _expect(cosine, "cosine", (height, width, rows, size // 2))
    _expect(sine, "sine", cosine.shape)
    out = _empty(a.shape, a.dtype)
    if out.size:
        _tiles.rope(DTYPES.index(dtype), _raw(a), _raw(cosine), _raw(sine), _raw(out), rows, heads, size // 2,
                    _threads(threads, out.size))
    return out


# -- row by row --------------------------------------------------------------------------------------------------------
def rowsum(a: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """Sums of rows: a (H, W, ..., n) -> float32 (H, W, ...), added in order in fp32."""
    a, rows, n = _rows(a, "a", dtype)
    out = _empty(a.shape[:-1], np.float32)
    if out.size:
        _tiles.rowsum(DTYPES.index(dtype), _raw(a), out, rows, n, _threads(threads, a.size))
    return out


def dot(a: Array, b: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """Dot products of rows: a, b (H, W, ..., n) -> float32 (H, W, ...), multiply-adds in order in fp32."""
    a, rows, n = _rows(a, "a", dtype)
    b = _tile(b, "b", dtype)
    _expect(b, "b", a.shape)
    out = _empty(a.shape[:-1], np.float32)
    if out.size:
        _tiles.dot(DTYPES.index(dtype), _raw(a), _raw(b), out, rows, n, _threads(threads, a.size))
    return out


def sumsq(a: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """Sums of squares of rows: a (H, W, ..., n) -> float32 (H, W, ...), multiply-adds in order in fp32."""
    return dot(a, a, dtype, threads)


def rowmax(a: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """Largest elements of rows: a (H, W, ..., n) with n >= 1 -> (H, W, ...)."""
    a, rows, n = _rows(a, "a", dtype)
    if not n:
        raise InputError("a has rows of no elements: expected at least one, for the largest")
    out = _empty(a.shape[:-1], a.dtype)
    if out.size:
        _tiles.rowmax(DTYPES.index(dtype), _raw(a), _raw(out), rows, n, _threads(threads, a.size))
    return out


def expsub(a: Array, largest: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """exp(a - largest): a (H, W, ..., n), largest (H, W, ...) -> (H, W, ..., n)."""
    a, rows, n = _rows(a, "a", dtype)
    largest = _tile(largest, "largest", dtype)
    _expect(largest, "largest", a.shape[:-1])
    return _row_result(_tiles.expsub, a, dtype, threads, _raw(largest), rows=rows, n=n)


def rowdiv(a: Array, d: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """a * (1 / d), the quotient rounded to fp32: a (H, W, ..., n), d float32 (H, W, ...) -> (H, W, ..., n)."""
    a, rows, n = _rows(a, "a", dtype)
    d = _tile(d, "d", "fp32")
    _expect(d, "d", a.shape[:-1])
    return _row_result(_tiles.rowdiv, a, dtype, threads, d, rows=rows, n=n)


def rownorm(a: Array, s: Array, gain: Array, dtype: str = "fp32", threads: int = 1, *, divisor: float = 1.0,
            eps: float = 0.0) -> Array:
    """a * (1 / sqrt(s * (1 / divisor) + eps)) * gain, each step rounded to fp32, product and sum in the root together: a
    (H, W, ..., n), s float32 (H, W, ...), gain (H, W, n) -> (H, W, ..., n)."""
    a, rows, n = _rows(a, "a", dtype)
    s, gain = _tile(s, "s", "fp32"), _tile(gain, "gain", dtype, 3)
    _expect(s, "s", a.shape[:-1])
    _expect(gain, "gain", (*a.shape[:2], n))
    return _row_result(_tiles.rownorm, a, dtype, threads, s, _raw(gain), divisor, eps, rows=rows, n=n)


_LOCAL: dict[str, Callable[..., Array]] = {
    "mov": mov, "copy": mov, "add": add, "sub": sub, "mul": mul, "max": maximum, "scale": scale, "fma": fma, "exp": exp,
    "reciprocal": reciprocal, "rsqrt": rsqrt, "silu": silu, "silu_mul": silu_mul, "rope": rope, "sum": rowsum,
    "rowsum": rowsum, "rowmax": rowmax, "sumsq": sumsq, "dot": dot, "expsub": expsub, "rowdiv": rowdiv, "rownorm": rownorm,
}


def local(kind: str, *tiles: Array, dtype: str = "fp32", threads: int = 1, **parameters: float) -> Array:
    """The function of this module that does ``kind`` of local work, on ``tiles``."""
    if kind not in _LOCAL:
        raise InputError(f"no local work {kind!r}: use one of {', '.join(_LOCAL)}")
    return _LOCAL[kind](*tiles, dtype=dtype, threads=threads, **parameters)


# -- what the kernels expect -------------------------------------------------------------------------------------------
def _binary(kind: str, a: Array, b: Array, dtype: str, threads: int) -> Array:
    a, b = _tile(a, "a", dtype), _tile(b, "b", dtype)
    _expect(b, "b", a.shape)
    (a, b), shape = _flat_all(a, b)
    out = _empty(a.shape, a.dtype)
    if out.size:
        _tiles.binary(DTYPES.index(dtype), _BINARY.index(kind), _raw(a), _raw(b), _raw(out), a.shape[2],
                      _threads(threads, out.size))
    return out.reshape(shape)


def _unary(kind: str, a: Array, dtype: str, threads: int) -> Array:
    a, shape = _flat(_tile(a, "a", dtype))
    out = _empty(a.shape, a.dtype)
    if out.size:
        _tiles.unary(DTYPES.index(dtype), _UNARY.index(kind), _raw(a), _raw(out), a.shape[2], _threads(threads, out.size))
    return out.reshape(shape)


def _row_result(kernel: Callable[..., None], a: Array, dtype: str, threads: int, *operands: Any, rows: int, n: int) -> Array:
    out = _empty(a.shape, a.dtype)
    if out.size:
        kernel(DTYPES.index(dtype), _raw(a), *operands, _raw(out), rows, n, _threads(threads, out.size))
    return out


def _tile(array: Array, name: str, dtype: str, ndim: int | None = None) -> Array:
    """``array`` with contiguous tiles and the storage type of ``dtype`` (bf16 as uint16), or an error."""
    if dtype not in DTYPES:
        raise InputError(f"no precision {dtype!r}: use one of {', '.join(DTYPES)}")
    array = np.asarray(array)
    if dtype == "bf16" and array.dtype.name == "bfloat16":
        array = array.view(np.uint16)
    expected = np.dtype(NUMPY_DTYPES[dtype])
    if array.dtype != expected:
        raise InputError(f"{name} holds {array.dtype}: expected {expected} for {dtype}")
    if array.ndim < 2 if ndim is None else array.ndim != ndim:
        axes = "at least 2" if ndim is None else ndim
        raise InputError(f"{name} has {array.ndim} axes: expected {axes}, (height, width) of PEs and then the tile")
    return array if _contiguous_tiles(array) else np.ascontiguousarray(array)


def _contiguous_tiles(array: Array) -> bool:
    """Whether the tile of every PE is contiguous; tiles may lie anywhere, several PEs may share one."""
    step = array.itemsize
    for size, stride in zip(array.shape[:1:-1], array.strides[:1:-1], strict=True):
        if size > 1 and stride != step:
            return False
        step *= size
    return True


def _expect(array: Array, name: str, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise InputError(f"{name} has shape {array.shape}: expected {shape}")


def _rows(array: Array, name: str, dtype: str) -> tuple[Array, int, int]:
    """The tiles as rows of the last axis: (tiles, rows per PE, elements of a row)."""
    array = _tile(array, name, dtype)
    if array.ndim < 3:
        raise InputError(f"{name} has {array.ndim} axes: expected (height, width) of PEs, then rows, then their elements")
    return array, int(np.prod(array.shape[2:-1])), array.shape[-1]


def _flat(array: Array) -> tuple[Array, tuple[int, ...]]:
    (array,), shape = _flat_all(array)
    return array, shape


def _flat_all(*arrays: Array) -> tuple[list[Array], tuple[int, ...]]:
    """Element-wise operands as (height, width, n), or (height, 1, width * n) if all lie in one piece; and their shape."""
    shape = arrays[0].shape
    n = int(np.prod(shape[2:]))
    if all(array.flags.c_contiguous for array in arrays):
        return [array.reshape(shape[0], 1, shape[1] * n) for array in arrays], shape
    strided = np.lib.stride_tricks.as_strided
    return [strided(a, (*shape[:2], n), (*a.strides[:2], a.itemsize), writeable=False) for a in arrays], shape


def _empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """A new array; a large one starts on a cache line, so that no vector of the next operation lies across two."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < _WORTH_ALIGNING:
        return np.empty(shape, dtype)
    memory = np.empty(size + _CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE
    return memory[start:start + size].view(dtype).reshape(shape)


def _raw(array: Array) -> Array:
    """Small floats as 16-bit words."""
    return array.view(np.uint16) if array.dtype == np.float16 else array


def _round(number: float, dtype: str) -> float:
    """``number`` rounded to the storage type."""
    with np.errstate(over="ignore"):
        if dtype != "bf16":
            return float(np.float32(number) if dtype == "fp32" else np.float16(number))
        bits = int(np.float32(number).view(np.uint32))
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return float(np.uint32(bits).view(np.float32))


def _threads(threads: int, work: int) -> int:
    if threads < 1:
        raise InputError(f"threads is {threads}: expected 1 or more")
    return threads if work >= _WORTH_THREADS else 1
