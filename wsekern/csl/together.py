"""Loops of a layout whose rounds do not depend on each other, done at once: numbers that differ between rounds are arrays.

Where a decision falls differently, the rounds are split; where anything else is in the way, they follow each other."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.csl import syntax
from wsekern.csl.flow import InOrder
from wsekern.csl.scope import assigned_names, kept, walk
from wsekern.csl.source import CslError
from wsekern.csl.values import Split

FEWEST = 4
"""Rounds that are worth it."""
_STOPS = (CslError, InOrder, ArithmeticError, TypeError, ValueError, AttributeError, KeyError, IndexError)
"""What makes rounds follow each other, one by one: then every error is met where it is."""


@kept
def independent(node: syntax.For) -> bool:
    """Whether rounds of a loop cannot know of each other: the loop is the innermost, nothing leaves it, and it assigns to no
    variable from outside."""
    inside = list(walk(node.body))
    if any(isinstance(each, (syntax.For, syntax.While, syntax.Break, syntax.Continue, syntax.Return)) for each in inside):
        return False
    declared = {each.name for each in inside if isinstance(each, syntax.Variable)}
    return assigned_names(node.body).keys() <= declared


def done(unit: Any, node: syntax.For, numbers: NDArray[np.int64], run: Callable[[NDArray[np.int64]], None]) -> bool:
    """Do all rounds of a loop of a layout by ``run(numbers)``, in parts that decide alike; False, and nothing has happened,
    where that cannot be."""
    layout = unit.layout
    if layout is None or unit.together or len(numbers) < FEWEST or not independent(node):
        return False
    before = len(unit.diagnostics.found), len(layout.tiles.blocks), len(layout.colors.blocks), dict(layout.names)
    unit.together = True
    try:
        _parts(layout, numbers, run)
        return True
    except _STOPS:
        del unit.diagnostics.found[before[0] :]
        layout.tiles.cut(before[1])
        layout.colors.cut(before[2])
        layout.names = before[3]
        return False
    finally:
        unit.together = False


def _parts(layout: Any, numbers: NDArray[np.int64], run: Callable[[NDArray[np.int64]], None]) -> None:
    waiting = [numbers]
    while waiting:
        part = waiting.pop()
        tiles, colors = len(layout.tiles.blocks), len(layout.colors.blocks)
        try:
            run(part)
        except Split as split:
            layout.tiles.cut(tiles)
            layout.colors.cut(colors)
            if len(split.groups) != len(part) or not split.groups.any():
                raise InOrder from None
            waiting += [part[split.groups == k] for k in np.unique(split.groups)[::-1]]
