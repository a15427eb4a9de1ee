"""Work on tiles element by element."""

from wsekern.errors import InputError
from wsekern.tiles import _tiles
from wsekern.tiles.arguments import (
    DTYPES,
    Array,
    check_shape,
    check_tile,
    empty,
    flat,
    flat_all,
    raw,
    round_number,
    worthwhile_threads,
)

_UNARY = ("mov", "exp", "reciprocal", "rsqrt", "silu")
_BINARY = ("add", "sub", "mul", "max", "silu_mul")


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
    a, shape = flat(check_tile(a, "a", dtype))
    out = empty(a.shape, a.dtype)
    number = round_number(factor, dtype)
    if out.size:
        _tiles.scale(DTYPES.index(dtype), raw(a), number, raw(out), a.shape[2], worthwhile_threads(threads, out.size))
    return out.reshape(shape)


def fma(a: Array, b: Array, c: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """a * b + c, rounded once (for ``bf16`` to fp32 and then to bf16); shapes (H, W, ...) are the same."""
    a, b, c = (check_tile(t, name, dtype) for t, name in ((a, "a"), (b, "b"), (c, "c")))
    check_shape(b, "b", a.shape)
    check_shape(c, "c", a.shape)
    (a, b, c), shape = flat_all(a, b, c)
    out = empty(a.shape, a.dtype)
    if out.size:
        _tiles.fma(DTYPES.index(dtype), raw(a), raw(b), raw(c), raw(out), a.shape[2], worthwhile_threads(threads, out.size))
    return out.reshape(shape)


def rope(a: Array, cosine: Array, sine: Array, dtype: str = "fp32", threads: int = 1) -> Array:
    """Pairs of a (H, W, m, heads, 2 p) rotated by cosine and sine (H, W, m, p); the first halves of the pairs come first.

    (first, second) -> (first * cosine - second * sine, second * cosine + first * sine); every product, then the sum, is
    rounded to the storage type.
    """
    a, cosine, sine = check_tile(a, "a", dtype, 5), check_tile(cosine, "cosine", dtype, 4), check_tile(sine, "sine", dtype, 4)
    height, width, rows, heads, size = a.shape
    if size % 2:
        raise InputError(f"a has vectors of {size} elements: expected an even number, first halves and second halves")
    check_shape(cosine, "cosine", (height, width, rows, size // 2))
    check_shape(sine, "sine", cosine.shape)
    out = empty(a.shape, a.dtype)
    if out.size:
        _tiles.rope(DTYPES.index(dtype), raw(a), raw(cosine), raw(sine), raw(out), rows, heads, size // 2,
                    worthwhile_threads(threads, out.size))
    return out


def _binary(kind: str, a: Array, b: Array, dtype: str, threads: int) -> Array:
    a, b = check_tile(a, "a", dtype), check_tile(b, "b", dtype)
    check_shape(b, "b", a.shape)
    (a, b), shape = flat_all(a, b)
    out = empty(a.shape, a.dtype)
    if out.size:
        _tiles.binary(DTYPES.index(dtype), _BINARY.index(kind), raw(a), raw(b), raw(out), a.shape[2],
                      worthwhile_threads(threads, out.size))
    return out.reshape(shape)


def _unary(kind: str, a: Array, dtype: str, threads: int) -> Array:
    a, shape = flat(check_tile(a, "a", dtype))
    out = empty(a.shape, a.dtype)
    if out.size:
        _tiles.unary(DTYPES.index(dtype), _UNARY.index(kind), raw(a), raw(out), a.shape[2],
                     worthwhile_threads(threads, out.size))
    return out.reshape(shape)
