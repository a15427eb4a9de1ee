"""What the kernels of tiles expect of their arrays: types, shapes, contiguous tiles, aligned results."""

import math
from numbers import Real
from typing import Any

import numpy as np

from wsekern.errors import InputError, is_whole
from wsekern.number_formats import NUMPY_DTYPES, round_bf16, widen_bf16

Array = np.ndarray[Any, Any]

PRECISIONS = ("fp32", "fp16", "fp16_fp32", "bf16")
"""Precisions; their places are the kernels' codes."""
_DTYPES = {precision: np.dtype(NUMPY_DTYPES[precision]) for precision in PRECISIONS}

# Below this many multiply-adds or elements a second thread costs more than it saves.
WORTH_THREADS = 1 << 16
_WORTH_ALIGNING = 1 << 16
_CACHE_LINE = 64


def check_tile(array: Array, name: str, precision: str, ndim: int | None = None, rows_apart: bool = False) -> Array:
    """``array`` with contiguous tiles and the storage type of ``precision`` (bf16 as uint16), or an error. ``rows_apart``: only
    the rows of a tile, its last axis, need be contiguous."""
    if precision not in PRECISIONS:
        raise InputError(f"no precision {precision!r}: use one of {', '.join(PRECISIONS)}")
    array = np.asarray(array)
    if precision == "bf16" and array.dtype.name == "bfloat16":
        array = array.view(np.uint16)
    expected = _DTYPES[precision]
    if array.dtype != expected:
        raise InputError(f"{name} holds {array.dtype}: expected {expected} for {precision}")
    if array.ndim < 2 if ndim is None else array.ndim != ndim:
        axes = "at least 2" if ndim is None else ndim
        raise InputError(f"{name} has {array.ndim} axes: expected {axes}, (height, width) of PEs and then the tile")
    fits = has_contiguous_rows(array) if rows_apart else has_contiguous_tiles(array)
    return array if fits else np.ascontiguousarray(array)


def has_contiguous_tiles(array: Array) -> bool:
    """Whether the tile of every PE is contiguous; tiles may lie anywhere, several PEs may share one."""
    step = array.itemsize
    for size, stride in zip(array.shape[:1:-1], array.strides[:1:-1], strict=True):
        if size > 1 and stride != step:
            return False
        step *= size
    return True


def has_contiguous_rows(array: Array) -> bool:
    """Whether every row of a tile, its last axis, is contiguous, and starts whole elements behind the one before."""
    rows = array.shape[-1] <= 1 or array.strides[-1] == array.itemsize
    return rows and array.strides[-2] % array.itemsize == 0


def row_step(array: Array, n: int) -> int:
    """Elements from one row of ``n`` elements of a tile to the next."""
    return array.strides[-2] // array.itemsize if array.shape[-2] > 1 else n


def check_shape(array: Array, name: str, shape: tuple[int, ...]) -> None:
    """Refuse an array of another shape."""
    if array.shape != shape:
        raise InputError(f"{name} has shape {array.shape}: expected {shape}")


def check_rows(array: Array, name: str, precision: str) -> tuple[Array, int, int]:
    """The tiles as rows of the last axis: (tiles, rows per PE, elements of a row)."""
    array = check_tile(array, name, precision)
    if array.ndim < 3:
        raise InputError(f"{name} has {array.ndim} axes: expected (height, width) of PEs, then rows, then their elements")
    return array, math.prod(array.shape[2:-1]), array.shape[-1]


def flat(array: Array) -> tuple[Array, tuple[int, ...]]:
    """As :func:`flat_all`, of one array."""
    (array,), shape = flat_all(array)
    return array, shape


def flat_all(*arrays: Array) -> tuple[list[Array], tuple[int, ...]]:
    """Element-wise operands as (height, width, n), or (height, 1, width * n) if all lie in one piece; and their shape."""
    shape = arrays[0].shape
    n = math.prod(shape[2:])
    if all(array.flags.c_contiguous for array in arrays):
        return [array.reshape(shape[0], 1, shape[1] * n) for array in arrays], shape
    return [array.reshape(*shape[:2], n) for array in arrays], shape


def empty(shape: tuple[int, ...], precision: Any) -> Array:
    """A new array; a large one starts on a cache line, so that no vector of the next operation lies across two."""
    precision = np.dtype(precision)
    size = math.prod(shape) * precision.itemsize
    if size < _WORTH_ALIGNING:
        return np.empty(shape, precision)
    memory = np.empty(size + _CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE
    return memory[start:start + size].view(precision).reshape(shape)


def raw(array: Array) -> Array:
    """Small floats as 16-bit words."""
    return array.view(np.uint16) if array.dtype == np.float16 else array


def round_number(number: float, precision: str) -> float:
    """``number`` rounded to the storage type."""
    if not isinstance(number, Real):
        raise InputError(f"{number!r} is no number")
    with np.errstate(over="ignore"):
        if precision == "bf16":
            return float(widen_bf16(round_bf16(np.array([number], np.float32)))[0])
        return float(np.float32(number) if precision == "fp32" else np.float16(number))


def worthwhile_threads(threads: int, work: int) -> int:
    """``threads`` where there are enough multiply-adds or elements for more than one, else 1."""
    if not is_whole(threads) or threads < 1:
        raise InputError(f"threads is {threads!r}: expected 1 or more")
    return threads if work >= WORTH_THREADS else 1
