"""Reduce along lines: one PE of a line ends with the sum (or maximum) of all tiles of the line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from wsekern.machine.timing import Timing
from wsekern.ops._timing import LineCosts, reduce_line
from wsekern.ops.lines.line import LineEmitter, LineOperation, Stream, stream_of
from wsekern.ops.lines.tree_reduce import ReduceTree
from wsekern.ops.operation import Axis, Clocks, Operation, check_line
from wsekern.ops.reference import chains
from wsekern.ops.schedule.operations import LineScheduled
from wsekern.ops.schedule.painter import LinePainter
from wsekern.ops.schedule.schedule import Schedule


@dataclass(frozen=True)
class Reduce(LineOperation):
    """Chain reduce of ``elements`` elements per PE along ``axis`` to PE ``root`` of every line (HPDC'24).

    Chains run from both ends to the root; each PE adds its tile to the stream and passes it on, the root adds the chain
    from below, then the one from above. Other PEs keep their tiles. Cost from one end, B wavelets, P PEs:
    ``B + (2 T_R + h + output + input)(P - 1)``, the published ``B + (2 T_R + 2)(P - 1)`` where h = output = 1, input
    = 0.
    """

    elements: int
    axis: Axis
    root: int = 0
    op: str = "sum"
    segment: int = 0
    precision: str | None = None
    """Number format other than the engine's, such as fp32 for statistics."""
    colors: ClassVar[int] = 2
    """In turns from the root on, the first one from below and the other one from above."""
    kind: ClassVar[str] = "reduce"

    def __post_init__(self) -> None:
        check_line(self.elements, self.axis, self.segment, root=self.root)

    def parameter_on(self, engine: Clocks) -> int:
        """The root."""
        return self.root

    def root_of(self, length: int) -> int:
        """The root on an independent line of ``length`` PEs."""
        return min(self.root, length - 1)

    def sent_along(self) -> Sequence[Operation]:
        """The same chains as a schedule, where lines are not cut."""
        return () if self.segment else (ReduceTree(self.elements, self.axis, "chain", self.root, self.op),)

    def advance(self, line: np.ndarray, segment: int, parameter: int, *costs: LineCosts) -> int:
        """Advance the clocks (PEs, causes) of a line."""
        return reduce_line(line, segment, parameter, *costs)

    def reference_line(self, precision: str, line: np.ndarray) -> np.ndarray:
        """The sum at the root, the other tiles as they are."""
        out, root = line.copy(), self.root_of(len(line))
        out[root] = chains(precision, line, root, self.op)
        return out

    def hops(self, length: int) -> tuple[int, int]:
        """Sums over every link."""
        return length - 1, 0

    def role_on(self, pe: int, length: int) -> Stream:
        """Which streams a PE takes in and puts out."""
        return stream_of(pe, self.root_of(length), length, 0)

    def paint_line(self, painter: LinePainter, colors: Sequence[int], length: int) -> None:
        """Chains from both ends to the root."""
        painter.chains(colors, range(length), self.root_of(length))

    def write(self, emitter: LineEmitter, role: Stream) -> None:
        """One add in the stream on the way, one add into the tile for each chain at the root."""
        for taken, sent in role.adds:
            emitter.combine(taken, sent)
        if emitter.held != emitter.tile:
            emitter.finish()


@dataclass(frozen=True)
class TwoPhaseReduce(LineScheduled):
    """Reduce along ``axis`` to the first PE of every line in two phases (HPDC'24): chains of ``group`` PEs to their
    first PE, then a chain over those, whose words pass the routers between them. Where PEs are left over, the first group is
    smaller.

    Cost, B wavelets, P PEs, S of them in a group, s = output + 2 T_R + input: ``2 B + (S - 1)(s + h) + (P/S - 1)(s +
    S h)``.
    """

    elements: int
    axis: Axis
    group: int
    op: str = "sum"

    def __post_init__(self) -> None:
        check_line(self.elements, self.axis, 0, group=self.group)

    @property
    def tree(self) -> ReduceTree:
        """The same over a tree."""
        return ReduceTree(self.elements, self.axis, "two-phase", 0, self.op, self.group)

    def write(self, length: int, timing: Timing) -> Schedule:
        """Sums up the tree."""
        return self.tree.write(length, timing)

    def sent_along(self) -> Sequence[Operation]:
        """The reduction over its tree."""
        return (self.tree,)

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        return self.tree.reference(tile, timing)
