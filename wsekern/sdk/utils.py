"""``cerebras.sdk.sdk_utils``: views of words and time stamps."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def memcpy_view(arr: NDArray[Any], datatype: Any) -> NDArray[Any]:
    """The elements of a copy's 32-bit containers as a type of 16 or 32 bits; changes reach the containers."""
    kind = np.dtype(datatype)
    if arr.dtype.itemsize != 4 or kind.itemsize not in (2, 4):
        raise ValueError(f"an array of {arr.dtype} as {kind}: containers have 4 bytes, elements 2 or 4")
    return arr.view(kind) if kind.itemsize == 4 else arr.view(kind)[..., ::2]


def input_array_to_u32(np_arr: NDArray[Any], sentinel: float | None = None, fast_dim_sz: int = 1) -> NDArray[np.uint32]:
    """16-bit elements as words, the index of each in the high half (modulo ``fast_dim_sz``) where ``sentinel`` is given; 32-bit
    ones by their bits."""
    flat = np.ascontiguousarray(np_arr).reshape(-1)
    if flat.dtype.itemsize == 4:
        return flat.view(np.uint32).copy()
    if flat.dtype.itemsize != 2:
        raise ValueError(f"an array of {flat.dtype}: elements have 2 or 4 bytes")
    words = flat.view(np.uint16).astype(np.uint32)
    if sentinel is None:
        return words
    index = np.arange(flat.size, dtype=np.uint32) % np.uint32(max(1, fast_dim_sz))
    return words | index << np.uint32(16)


def make_u48(words: Any) -> int:
    """A time stamp of three 16-bit words, the lowest first."""
    return int(words[0]) + (int(words[1]) << 16) + (int(words[2]) << 32)


def sub_ts(words: Any) -> int:
    """Cycles between two time stamps of three words each, the end first."""
    return make_u48(words[3:]) - make_u48(words[:3])


def float_to_hex(number: float) -> str:
    """The bits of a float as hexadecimal digits."""
    return hex(int(np.float32(number).view(np.uint32)))


def calculate_cycles(timestamp_buf: NDArray[Any]) -> int:
    """Cycles between the two 48-bit stamps that three 32-bit words hold."""
    words = np.ascontiguousarray(timestamp_buf).reshape(-1).view(np.uint32)
    halves = [int(half) for word in words[:3] for half in (word & 0xFFFF, word >> 16)]
    return make_u48(halves[3:]) - make_u48(halves[:3])
