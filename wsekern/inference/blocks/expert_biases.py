"""Biases of experts dealt to PEs (``programs.biases``): each lies on one line of those that would all hold it alike, and is
added there before the sum over them.

Those of the first projections lie on a row, those of the last one on a column of the block of the expert. A PE looks up in a
table which of its own biases are those of the experts chosen; of others it adds zeros.
"""

import numpy as np

from wsekern.inference.steps import LayerStep, Steps, take
from wsekern.ops import Local


def lines_for(held: int, lines: int) -> int:
    """Biases on a line that has most of them, of ``held`` over ``lines`` lines."""
    return -(-held // lines)


def own_places(held: int, line: int, lines: int) -> np.ndarray:
    """Of each of ``held`` biases, where ``line`` of ``lines`` keeps it; -1 where another line does."""
    slots = np.arange(held)
    return np.where(slots % lines == line, slots // lines, -1)


def dealt_over_rows(tiles: np.ndarray) -> np.ndarray:
    """Of ``tiles`` (height, width, held, features), alike in all rows, what each row keeps (height, width, most, features)."""
    height, width, held, features = tiles.shape
    found = np.zeros((height, width, lines_for(held, height), features), tiles.dtype)
    for slot in range(held):
        found[slot % height, :, slot // height] = tiles[slot % height, :, slot]
    return found


def looked_up(experts: str, table: str, places: str, biases: str, output: str, count: int, tokens: int) -> Steps:
    """``output``: of ``biases``, those of ``experts`` (tokens * count) that this PE has, by the ``table`` of its places."""
    return [take(table, experts, places, 0), take(biases, places, output, 0),
            LayerStep("ffn", "look_up", Local("mov", count, tokens))]
