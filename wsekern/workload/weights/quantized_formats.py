"""How quantised weights are stored, and the float32 values that they stand for. Rows are decoded some at a time.

Every function takes the stored parts, and last which rows of them to decode. Sources: FP8 by blocks, DeepSeek-V3's
``inference/kernel.py``; FP8 and integers by tensor, channel or group, compressed-tensors' ``quantization/lifecycle`` and
``compressors``; GPTQ, AutoGPTQ's ``qlinear_cuda_old.py``; AWQ, AutoAWQ's ``utils/packing_utils.py``; MXFP4, the OCP
Microscaling specification 1.0 and gpt-oss's ``torch/weights.py``; NVFP4, NVIDIA's ModelOpt ``qtensor/nvfp4_tensor.py``; NF4
and FP4, bitsandbytes' ``functional.py``.
"""

import numpy as np

Array = np.ndarray

E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
FP4 = np.concatenate([E2M1, -E2M1])
"""Values of a 4-bit float with 2 bits of exponent, by its bits."""

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Column, of eight, whose value lies at bits 4 i of a word."""


def nibbles(packed: Array, high_first: bool = False) -> Array:
    """Two 4-bit numbers of every byte, along the last axis."""
    low, high = packed & 15, packed >> 4
    pair = (high, low) if high_first else (low, high)
    return np.stack(pair, axis=-1).reshape(*packed.shape[:-1], -1)


def unpacked(words: Array, bits: int) -> Array:
    """Numbers of ``bits`` bits in words of 32, the first in the lowest bits, along the last axis: uint8."""
    if bits == 8:
        return np.ascontiguousarray(words).view(np.uint8)
    if bits == 4:
        return nibbles(np.ascontiguousarray(words).view(np.uint8))
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    return ((words.view(np.uint32)[..., None] >> shifts) & (2**bits - 1)).astype(np.uint8).reshape(*words.shape[:-1], -1)


def spread(scale: Array, rows: slice, block: tuple[int, int], columns: int) -> Array:
    """Scales of blocks of ``block`` elements for every element of some rows."""
    across = np.repeat(scale[np.arange(rows.start, rows.stop) // block[0]], block[1], axis=1)
    return across[:, :columns]


def scaled(values: Array, scale: Array, block: tuple[int, int], zeros: Array | None, rows: slice) -> Array:
    """Values (fp8, int8 or float) times the scale of their block, less their zero."""
    part = values[rows].astype(np.float32)
    if zeros is not None:
        part -= spread(zeros.astype(np.float32), rows, block, part.shape[1])
    part *= spread(scale.astype(np.float32), rows, block, part.shape[1])
    return part


def packed_integers(words: Array, scale: Array, columns: int, bits: int, zeros: Array | None, groups: Array,
                    rows: slice) -> Array:
    """compressed-tensors ``pack-quantized``: numbers above -2**(bits-1), in groups of columns (``groups`` of each column)."""
    offset = np.float32(2 ** (bits - 1))
    part = unpacked(words[rows], bits)[:, :columns].astype(np.float32) - offset
    if zeros is not None:  # packed along the outputs
        part -= (unpacked(zeros.T, bits).T[rows].astype(np.float32) - offset)[:, groups]
    part *= scale[rows].astype(np.float32)[:, groups]
    return part


def gptq(words: Array, zeros: Array, scale: Array, bits: int, groups: Array, added: int, rows: slice) -> Array:
    """GPTQ, (inputs, outputs): ``rows`` are inputs, packed 32 / ``bits`` to a word, ``groups`` of each; ``added`` to zeros."""
    per = 32 // bits
    part = unpacked(words[rows.start // per:-(-rows.stop // per)].T, bits).T
    part = part[rows.start % per:][:rows.stop - rows.start].astype(np.float32)
    part -= (unpacked(zeros, bits).astype(np.float32) + np.float32(added))[groups[rows]]
    part *= scale.astype(np.float32)[groups[rows]]
    return part


def awq(words: Array, zeros: Array, scale: Array, group: int, rows: slice) -> Array:
    """AWQ (gemm), (inputs, outputs): eight outputs to a word in :data:`AWQ_ORDER`."""
    order = np.argsort(AWQ_ORDER)

    def numbers(packed: Array) -> Array:
        return unpacked(packed, 4).reshape(len(packed), -1, 8)[..., order].reshape(len(packed), -1)

    groups = np.arange(rows.start, rows.stop) // group
    part = numbers(words[rows]).astype(np.float32)
    part -= numbers(zeros).astype(np.float32)[groups]
    part *= scale.astype(np.float32)[groups]
    return part


def mxfp4(blocks: Array, scale: Array, rows: slice) -> Array:
    """MXFP4: (rows, groups, 16) bytes of two values each, the lower first; a power of two for each group."""
    part = FP4[nibbles(blocks[rows])]
    part *= np.exp2(scale[rows].astype(np.float32) - 127)[..., None]
    return part.reshape(len(part), -1)


def nvfp4(packed: Array, scale: Array, overall: np.float32, rows: slice) -> Array:
    """NVFP4: two values to a byte, the lower first; an fp8 scale for every 16 values times one for the tensor."""
    part = FP4[nibbles(packed[rows])]
    part *= np.repeat(scale[rows].astype(np.float32) * overall, part.shape[1] // scale.shape[1], axis=1)
    return part


def bitsandbytes(packed: Array, largest: Array, table: Array, columns: int, block: int, rows: slice) -> Array:
    """NF4 or FP4 of bitsandbytes, all elements in one line: the higher half of a byte first; ``table`` holds the values,
    ``largest`` the magnitude of each block."""
    start, stop = rows.start * columns, rows.stop * columns
    part = table[nibbles(packed[start // 2:-(-stop // 2)], high_first=True)[start % 2:][:stop - start]]
    part *= largest[np.arange(start, stop) // block]
    return part.reshape(-1, columns)
