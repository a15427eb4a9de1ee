"""Number formats of tiles: the numpy type that stores each, rounding to bf16, and changing between float32 and a format.

``fp32``; ``fp16`` (sums rounded to fp16); ``fp16_fp32`` (fp16 tiles, fp32 sums); ``bf16`` (fp32 sums), kept as its 16-bit
patterns because numpy has no such type; ``u32`` words, which are moved and never added.
"""

from functools import lru_cache

import numpy as np

from wsekern._common import floats_to_halves, halves_to_floats
from wsekern.errors import InputError

NUMPY_DTYPES = {"fp32": np.float32, "fp16": np.float16, "fp16_fp32": np.float16, "bf16": np.uint16, "u32": np.uint32}
"""numpy type that stores a tile of each format."""


def widen_bf16(words: np.ndarray) -> np.ndarray:
    """bf16 in uint16 as float32."""
    return (words.astype(np.uint32) << 16).view(np.float32)


def round_bf16(values: np.ndarray) -> np.ndarray:
    """float32 rounded to nearest even bf16 in uint16; a NaN stays one."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)


def widen_half(halves: np.ndarray) -> np.ndarray:
    """fp16 as float32, its axes in memory as they were."""
    source = _in_memory_order(halves)
    wide = np.empty(source.shape, np.float32)
    halves_to_floats(source.ravel().view(np.uint16), wide.ravel())
    return _axes_back(wide, halves)


def round_half(values: np.ndarray) -> tuple[np.ndarray, bool]:
    """float32 rounded to nearest even fp16, its axes in memory as they were; and whether all of that is finite."""
    source = _in_memory_order(values.astype(np.float32, copy=False))
    half = np.empty(source.shape, np.float16)
    finite = floats_to_halves(source.ravel(), half.ravel().view(np.uint16))
    return _axes_back(half, values), finite


@lru_cache(maxsize=1024)
def memory_order(strides: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes of an array of ``strides`` as they lie in memory, outermost first; and the order that undoes this one."""
    order = tuple(sorted(range(len(strides)), key=lambda axis: -strides[axis]))
    return order, tuple(sorted(order, key=order.__getitem__))


def _in_memory_order(array: np.ndarray) -> np.ndarray:
    """``array`` with its axes as they lie in memory, contiguous."""
    return np.ascontiguousarray(array.transpose(memory_order(array.strides)[0]))


def _axes_back(made: np.ndarray, array: np.ndarray) -> np.ndarray:
    """``made`` of ``array`` in memory order, with the axes of ``array``."""
    return made.transpose(memory_order(array.strides)[1])


def narrow(values: np.ndarray, precision: str, what: str) -> np.ndarray:
    """``values`` (float32) in ``precision``; :class:`InputError`, naming ``what``, where fp16 cannot hold them."""
    if precision == "fp32":
        return values
    if precision == "bf16":
        return round_bf16(values).reshape(values.shape)
    half, finite = round_half(values)
    if not finite:
        raise InputError(f"{what} holds values beyond fp16 (largest {np.abs(values).max():.3g}); use bf16 or fp32")
    return half


def widen(tiles: np.ndarray, precision: str) -> np.ndarray:
    """``tiles`` in ``precision`` as float32."""
    if precision == "bf16":
        return widen_bf16(tiles)
    return widen_half(tiles) if tiles.dtype == np.float16 else tiles.astype(np.float32)
