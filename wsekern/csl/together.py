"""Loops of a layout whose rounds do not depend on each other, done at once: numbers that differ between rounds are arrays.

Where a decision falls differently, the rounds are split; where anything else is in the way, they follow each other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.csl import syntax
from wsekern.csl.flow import InOrder
from wsekern.csl.scope import assigned_names, kept, walk
from wsekern.csl.source import CslError
from wsekern.csl.values import Split

Loop = syntax.For | syntax.While
FEWEST = 4
"""Rounds that are worth it."""
MOST = 1_000_000
"""Rounds of a loop that are done at once."""
_STOPS = (CslError, InOrder, ArithmeticError, TypeError, ValueError, AttributeError, KeyError, IndexError)
"""What makes rounds follow each other, one by one: then every error is met where it is."""


@kept
def independent(node: Loop) -> bool:
    """Whether rounds of a loop cannot know of each other: the loop is the innermost, nothing leaves it, and it assigns to no
    variable from outside."""
    inside = list(walk(node.body))
    if any(isinstance(each, (syntax.For, syntax.While, syntax.Break, syntax.Continue, syntax.Return)) for each in inside):
        return False
    declared = {each.name for each in inside if isinstance(each, syntax.Variable)}
    return assigned_names(node.body).keys() <= declared


@dataclass(frozen=True)
class Counted:
    """A ``while`` whose rounds cannot know of each other: from the value of ``variable`` on by ``by`` (times ``sign``), as long
    as ``operator`` holds between it and ``limit``."""

    variable: syntax.Name
    operator: str
    limit: syntax.Expression
    sign: int
    by: syntax.Expression

    def numbers(self, start: int, limit: int, by: int) -> range | None:
        """What the variable is in each round; None where it does not count towards its limit."""
        by *= self.sign
        stop = limit + (1 if by > 0 else -1) * self.operator.endswith("=")
        towards = by > 0 if self.operator.startswith("<") else by < 0
        return range(start, stop, by) if by and towards else None


@kept
def counted(node: syntax.While) -> Counted | None:
    """The loop as one that counts, where it is: ``while (name < limit) : (name += by)``, with no call in limit and step."""
    step, condition = node.step, node.condition
    if not (isinstance(step, syntax.Assign) and step.operator in ("+", "-") and isinstance(step.target, syntax.Name)
            and isinstance(condition, syntax.Binary) and condition.operator in ("<", "<=", ">", ">=")
            and isinstance(condition.left, syntax.Name) and condition.left.name == step.target.name and independent(node)):
        return None
    bounds = [*walk(condition.right), *walk(step.value)]
    if any(isinstance(each, (syntax.Call, syntax.Builtin)) or getattr(each, "name", "") == step.target.name for each in bounds):
        return None
    return Counted(condition.left, condition.operator, condition.right, 1 if step.operator == "+" else -1, step.value)


def done(unit: Any, node: Loop, numbers: range, run: Callable[[NDArray[np.int64]], None]) -> bool:
    """Do all rounds of a loop of a layout by ``run(numbers)``, in parts that decide alike; False, and nothing has happened,
    where that cannot be."""
    layout = unit.layout
    rounds = -((numbers.start - numbers.stop) // numbers.step)      # more than len() may say
    if layout is None or unit.together or not FEWEST <= rounds <= MOST or not independent(node):
        return False
    before = len(unit.diagnostics.found), len(layout.tiles.blocks), len(layout.colors.blocks), dict(layout.names)
    unit.together = True
    try:
        _parts(layout, np.array(numbers), run)
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
