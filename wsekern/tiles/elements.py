"""Work on tiles element by element."""

from wsekern.errors import InputError
from wsekern.tiles import _tiles
from wsekern.tiles.arguments import (
    PRECISIONS,
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


def add(a: Array, b: Array, precision: str = "fp32", threads: int = 1) -> Array:
    """a + b, element by element; shapes (H, W, ...) are the same."""
    return _binary("add", a, b, precision, threads)


def sub(a: Array, b: Array, precision: str = "fp32", threads: int = 1) -> Array:
    """a - b, element by element; shapes (H, W, ...) are the same."""
    return _binary("sub", a, b, precision, threads)


def mul(a: Array, b: Array, precision: str = "fp32", threads: int = 1) -> Array:
    """a * b, element by element; shapes (H, W, ...) are the same."""
    return _binary("mul", a, b, precision, threads)


def maximum(a: Array, b: Array, precision: str = "fp32", threads: int = 1) -> Array:
    """a where a > b, else b; shapes (H, W, ...) are the same."""
    return _binary("max", a, b, precision, threads)


def silu_mul(gate: Array, up: Array, precision: str = "fp32", threads: int = 1) -> Array:
    """gate / (1 + exp(-gate)) * up; shapes (H, W, ...) are the same."""
    return _binary("silu_mul", gate, up, precision, threads)


def mov(a: Array, precision: str = "fp32", threads: int = 1) -> Array:
    """A copy of a."""
    return _unary("mov", a, precision, threads)


def exp(a: Array, precision: str = "fp32", threads: int = 1) -> Array:
    """e ^ a, within 2 ulp in fp32 and then rounded to the storage type; 0 far below."""
    return _unary("exp", a, precision, threads)


def reciprocal(a: Array, precision: str = "fp32", threads: int = 1) -> Array:
    """1 / a."""
    return _unary("reciprocal", a, precision, threads)


def rsqrt(a: Array, precision: str = "fp32", threads: int = 1) -> Array:
    """1 / sqrt(a), root and quotient each rounded to fp32."""
    return _unary("rsqrt", a, precision, threads)


def silu(a: Array, precision: str = "fp32", threads: int = 1) -> Array:
    """a / (1 + exp(-a))."""
    return _unary("silu", a, precision, threads)


def scale(a: Array, factor: float, precision: str = "fp32", threads: int = 1) -> Array:
    """a * factor, the factor rounded to the storage type first."""
    a, shape = flat(check_tile(a, "a", precision))
    out = empty(a.shape, a.dtype)
    number = round_number(factor, precision)
    if out.size:
        _tiles.scale(PRECISIONS.index(precision), raw(a), number, raw(out), a.shape[2], worthwhile_threads(threads, out.size))
    return out.reshape(shape)


def fma(a: Array, b: Array, c: Array, precision: str = "fp32", threads: int = 1) -> Array:
    """a * b + c, rounded once (for ``bf16`` to fp32 and then to bf16); shapes (H, W, ...) are the same."""
    a, b, c = (check_tile(t, name, precision) for t, name in ((a, "a"), (b, "b"), (c, "c")))
    check_shape(b, "b", a.shape)
    check_shape(c, "c", a.shape)
    (a, b, c), shape = flat_all(a, b, c)
    out = empty(a.shape, a.dtype)
    if out.size:
        _tiles.fma(PRECISIONS.index(precision), raw(a), raw(b), raw(c), raw(out), a.shape[2],
                   worthwhile_threads(threads, out.size))
    return out.reshape(shape)


def rope(a: Array, cosine: Array, sine: Array, precision: str = "fp32", threads: int = 1) -> Array:
    """Pairs of a (H, W, m, heads, 2 p) rotated by cosine and sine (H, W, m, p); the first halves of the pairs come first.

    (first, second) -> (first * cosine - second * sine, second * cosine + first * sine); every product, then the sum, is
    rounded to the storage type.
    """
    a, cosine = check_tile(a, "a", precision, 5), check_tile(cosine, "cosine", precision, 4)
    sine = check_tile(sine, "sine", precision, 4)
    height, width, rows, heads, size = a.shape
    if size % 2:
        raise InputError(f"a has vectors of {size} elements: expected an even number, first halves and second halves")
    check_shape(cosine, "cosine", (height, width, rows, size // 2))
    check_shape(sine, "sine", cosine.shape)
    out = empty(a.shape, a.dtype)
    if out.size:
        _tiles.rope(PRECISIONS.index(precision), raw(a), raw(cosine), raw(sine), raw(out), rows, heads, size // 2,
                    worthwhile_threads(threads, out.size))
    return out


def _binary(kind: str, a: Array, b: Array, precision: str, threads: int) -> Array:
    a, b = check_tile(a, "a", precision), check_tile(b, "b", precision)
    check_shape(b, "b", a.shape)
    (a, b), shape = flat_all(a, b)
    out = empty(a.shape, a.dtype)
    if out.size:
        _tiles.binary(PRECISIONS.index(precision), _BINARY.index(kind), raw(a), raw(b), raw(out), a.shape[2],
                      worthwhile_threads(threads, out.size))
    return out.reshape(shape)


def _unary(kind: str, a: Array, precision: str, threads: int) -> Array:
    a, shape = flat(check_tile(a, "a", precision))
    out = empty(a.shape, a.dtype)
    if out.size:
        _tiles.unary(PRECISIONS.index(precision), _UNARY.index(kind), raw(a), raw(out), a.shape[2],
                     worthwhile_threads(threads, out.size))
    return out.reshape(shape)
