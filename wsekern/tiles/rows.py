"""Work on tiles row by row: a row is the last axis of a tile."""

from collections.abc import Callable
from typing import Any

import numpy as np

from wsekern.errors import InputError
from wsekern.number_formats import round_bf16, widen
from wsekern.tiles import _tiles
from wsekern.tiles.arguments import PRECISIONS, Array, check_rows, check_shape, check_tile, empty, raw, worthwhile_threads


def rowsum(a: Array, precision: str = "fp32", threads: int = 1) -> Array:
    """Sums of rows: a (H, W, ..., n) -> float32 (H, W, ...), added in order in fp32."""
    a, rows, n = check_rows(a, "a", precision)
    out = empty(a.shape[:-1], np.float32)
    if out.size:
        _tiles.rowsum(PRECISIONS.index(precision), raw(a), out, rows, n, worthwhile_threads(threads, a.size))
    return out


def dot(a: Array, b: Array, precision: str = "fp32", threads: int = 1) -> Array:
    """Dot products of rows: a, b (H, W, ..., n) -> float32 (H, W, ...), multiply-adds in order in fp32."""
    a, rows, n = check_rows(a, "a", precision)
    b = check_tile(b, "b", precision)
    check_shape(b, "b", a.shape)
    out = empty(a.shape[:-1], np.float32)
    if out.size:
        _tiles.dot(PRECISIONS.index(precision), raw(a), raw(b), out, rows, n, worthwhile_threads(threads, a.size))
    return out


def sumsq(a: Array, precision: str = "fp32", threads: int = 1) -> Array:
    """Sums of squares of rows: a (H, W, ..., n) -> float32 (H, W, ...), multiply-adds in order in fp32."""
    return dot(a, a, precision, threads)


def rowmax(a: Array, precision: str = "fp32", threads: int = 1) -> Array:
    """Largest elements of rows: a (H, W, ..., n) with n >= 1 -> (H, W, ...)."""
    a, rows, n = check_rows(a, "a", precision)
    if not n:
        raise InputError("a has rows of no elements: expected at least one, for the largest")
    out = empty(a.shape[:-1], a.dtype)
    if out.size:
        _tiles.rowmax(PRECISIONS.index(precision), raw(a), raw(out), rows, n, worthwhile_threads(threads, a.size))
    return out


def expsub(a: Array, largest: Array, precision: str = "fp32", threads: int = 1) -> Array:
    """exp(a - largest): a (H, W, ..., n), largest (H, W, ...) -> (H, W, ..., n)."""
    a, rows, n = check_rows(a, "a", precision)
    largest = check_tile(largest, "largest", precision)
    check_shape(largest, "largest", a.shape[:-1])
    return _row_result(_tiles.expsub, a, precision, threads, raw(largest), rows=rows, n=n)


def rowdiv(a: Array, d: Array, precision: str = "fp32", threads: int = 1) -> Array:
    """a * (1 / d), the quotient rounded to fp32: a (H, W, ..., n), d float32 (H, W, ...) -> (H, W, ..., n)."""
    a, rows, n = check_rows(a, "a", precision)
    d = check_tile(d, "d", "fp32")
    check_shape(d, "d", a.shape[:-1])
    return _row_result(_tiles.rowdiv, a, precision, threads, d, rows=rows, n=n)


def rowsub(a: Array, s: Array, gain: Array, precision: str = "fp32", threads: int = 1, *, divisor: float = 1.0) -> Array:
    """(a - s * (1 / divisor)) * gain, each step rounded to fp32: a (H, W, ..., n), s float32 (H, W, ...), gain (H, W, n) ->
    (H, W, ..., n)."""
    a, s = check_tile(a, "a", precision), check_tile(s, "s", "fp32")
    gain = check_tile(gain, "gain", precision, 3)
    check_shape(s, "s", a.shape[:-1])
    check_shape(gain, "gain", (*a.shape[:2], a.shape[-1]))
    shared = widen(gain, precision).reshape(*a.shape[:2], *(1,) * (a.ndim - 3), a.shape[-1])
    with np.errstate(all="ignore"):
        mean = s * (np.float32(1) / np.float32(divisor))
        found = (widen(a, precision) - mean[..., None]) * shared
    return round_bf16(found) if precision == "bf16" else found.astype(a.dtype)


def rownorm(a: Array, s: Array, gain: Array, precision: str = "fp32", threads: int = 1, *, divisor: float = 1.0,
            eps: float = 0.0) -> Array:
    """a * (1 / sqrt(s * (1 / divisor) + eps)) * gain, each step rounded to fp32, product and sum in the root together: a
    (H, W, ..., n), s float32 (H, W, ...), gain (H, W, n) -> (H, W, ..., n)."""
    a, rows, n = check_rows(a, "a", precision)
    s, gain = check_tile(s, "s", "fp32"), check_tile(gain, "gain", precision, 3)
    check_shape(s, "s", a.shape[:-1])
    check_shape(gain, "gain", (*a.shape[:2], n))
    return _row_result(_tiles.rownorm, a, precision, threads, s, raw(gain), divisor, eps, rows=rows, n=n)


def _row_result(kernel: Callable[..., None], a: Array, precision: str, threads: int, *operands: Any, rows: int,
                n: int) -> Array:
    out = empty(a.shape, a.dtype)
    if out.size:
        kernel(PRECISIONS.index(precision), raw(a), *operands, raw(out), rows, n, worthwhile_threads(threads, out.size))
    return out
