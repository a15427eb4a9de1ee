"""What ran when: the operations of a run, with the clocks before and behind each of the whole grid and of a few PEs."""

from dataclasses import dataclass, field

import numpy as np

from wsekern.inference.steps import LayerStep
from wsekern.ops import FlowEngine

PE = tuple[int, int]
"""x, y."""


@dataclass(frozen=True)
class LoggedPass:
    """``tokens`` tokens from position ``first`` of the sequence on; their operations begin at ``operation``, their layers at
    those of ``layers`` (one more than there are layers: where the head begins)."""

    first: int
    tokens: int
    operation: int
    layers: list[int] = field(default_factory=list)


@dataclass
class RunLog:
    """A list of operations, growing while a model runs. ``pes`` (x, y) are those that are looked at beside the last one.

    ``names`` are (part, operation) of each; ``clocks`` the cycles behind each of the last PE of all and then of each of
    ``pes``, ``traversals`` how many words it sent over how many links.
    """

    pes: tuple[PE, ...] = ()
    names: list[tuple[str, str]] = field(default_factory=list)
    clocks: list[tuple[int, ...]] = field(default_factory=list)
    traversals: list[int] = field(default_factory=list)
    passes: list[LoggedPass] = field(default_factory=list)

    def begin_pass(self, first: int, tokens: int) -> None:
        """Operations from here on are those of other tokens."""
        self.passes.append(LoggedPass(first, tokens, len(self.names)))

    def begin_layer(self) -> None:
        """Operations from here on are those of the next layer, or of the head behind all layers."""
        self.passes[-1].layers.append(len(self.names))

    def look(self, engine: FlowEngine) -> tuple[int, ...]:
        """Clocks of ``engine`` now."""
        grid = engine.clock
        return int(grid.max()), *(int(grid[y, x]) for x, y in self.pes)

    def add(self, step: LayerStep, clocks: tuple[int, ...], traversals: int) -> None:
        """An operation that is done."""
        self.names.append((step.part, step.name))
        self.clocks.append(clocks)
        self.traversals.append(traversals)

    def repeat(self, begin: int, end: int, before: tuple[int, ...], now: tuple[int, ...]) -> None:
        """The operations from ``begin`` to ``end`` again, which began at clocks ``before`` then and do so at ``now``."""
        shift = np.subtract(now, before)
        self.names += self.names[begin:end]
        self.clocks += [tuple(int(one) for one in np.add(clocks, shift)) for clocks in self.clocks[begin:end]]
        self.traversals += self.traversals[begin:end]


def corners(width: int, height: int) -> tuple[PE, ...]:
    """PEs of the corners of a grid, and one in its middle."""
    places = ((0, 0), (width - 1, 0), (width // 2, height // 2), (0, height - 1), (width - 1, height - 1))
    return tuple(dict.fromkeys(places))
