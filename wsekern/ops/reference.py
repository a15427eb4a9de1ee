"""The numerical contract in plain numpy: one add, a chain of adds, and views of tiles as lines."""

import numpy as np

from wsekern.number_formats import round_bf16, widen_bf16


def add_in(dtype: str, own: np.ndarray, incoming: np.ndarray, op: str) -> np.ndarray:
    """One add (or max) of the numerical contract: what one PE of a chain does to one vector.

    Arrays hold what travels: float32, float16 or bf16 in uint16.
    """
    if dtype == "bf16":
        return round_bf16(combine(widen_bf16(own), widen_bf16(incoming), op))
    return combine(own, incoming, op)


def combine(own: np.ndarray, incoming: np.ndarray, op: str) -> np.ndarray:
    """The sum, or the larger of both: the incoming one where neither is."""
    return own + incoming if op == "sum" else np.where(own > incoming, own, incoming)


def travelling(dtype: str, tile: np.ndarray) -> np.ndarray:
    """A tile as it travels in a sum: fp16 with fp32 accumulation travels as fp32."""
    return tile.astype(np.float32) if dtype == "fp16_fp32" else tile


def chains(dtype: str, line: np.ndarray, root: int, op: str) -> np.ndarray:
    """Sum of two chains over ``line`` (PEs, elements), what travels, meeting at ``root``."""
    total = line[root]
    for side in (range(0, root), range(len(line) - 1, root, -1)):
        running = None
        for k in side:
            running = line[k] if running is None else add_in(dtype, line[k], running, op)
        if running is not None:
            total = add_in(dtype, total, running, op)
    return total


def along(tile: np.ndarray, axis: str) -> np.ndarray:
    """View of a tile array (height, width, n) as (lines, PEs of a line, n)."""
    return tile.swapaxes(0, 1) if axis == "y" else tile
