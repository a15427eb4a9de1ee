"""All-reduce along lines: every PE of a line ends with the sum (or maximum) of all tiles of the line."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

import numpy as np

from wsekern.ops._timing import HELD_FLAG, LineCosts, allreduce_line
from wsekern.ops.lines.line import LineEmitter, LineOperation, Stream, group_begin, group_root, stream_of
from wsekern.ops.lines.tree_reduce import KTreeAllReduce
from wsekern.ops.operation import Axis, Clocks, Operation, check_line
from wsekern.ops.reference import chains
from wsekern.ops.schedule.painter import LinePainter


def default_groups(pes: int) -> int:
    """Groups of the two-level all-reduce on ``pes`` PEs: the divisor nearest to the root, as WaferLLM chooses them."""
    divisors = [g for g in range(1, pes + 1) if pes % g == 0]
    return min(divisors, key=lambda g: (abs(g - sqrt(pes)), g))


@dataclass(frozen=True)
class AllReduce(LineOperation):
    """Two-level K-tree all-reduce of ``elements`` elements per PE along ``axis`` (MeshGEMV of WaferLLM, OSDI'25).

    A line of P PEs is cut into ``groups`` contiguous groups. Level 1: chains run from both ends of each group to its
    middle PE, one hop a link, each PE adding its tile to the stream. Level 2: chains run over the group roots, from
    both ends to the middle one. Then one multicast both ways. Order of adds at each root: own tile, sum from below,
    sum from above. Cost, B wavelets, stage s = output + 2 T_R + input, hop h, after the fixed call: ``(P/2g)(s + h) +
    (g/2) s + (P/2) h + s + (P/2) h + O(B)``, each PE at its own clock.
    """

    elements: int
    axis: Axis
    groups: int = 1
    op: str = "sum"
    segment: int = 0
    precision: str | None = None
    """Number format other than the engine's, such as fp32 for statistics."""
    colors: ClassVar[int] = 9
    """Up and down, by parity of the sender: 4 within groups, 4 between group roots; and the multicast."""
    kind: ClassVar[str] = "allreduce"
    ends_alike: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_line(self.elements, self.axis, self.segment, groups=self.groups)

    @property
    def parameter(self) -> int:
        """The number of groups."""
        return self.groups

    @property
    def leaves_words_under_way(self) -> bool:
        """Not after the multicast to all PEs of a line, where that is not cut."""
        return bool(self.segment)

    def sent_along(self) -> Sequence[Operation]:
        """The same chains as a schedule, where lines are not cut."""
        return () if self.segment else (KTreeAllReduce(self.elements, self.axis, (self.groups,), self.op),)

    def time(self, engine: Clocks) -> None:
        """Advance the clocks of ``engine`` by this operation."""
        super().time(engine)
        if self.elements and 1 < self.groups < (self.segment or engine.length(self.axis)) < 3 * self.groups:
            engine.note(self, "groups of fewer than three PEs: sums between groups and within them share links")

    def advance(self, line: np.ndarray, segment: int, costs: LineCosts) -> int:
        """Advance the clocks (PEs, causes) of a line; who is held back waits for the result anyway."""
        return allreduce_line(line, segment, self.groups, costs) & ~HELD_FLAG

    def reference_line(self, precision: str, line: np.ndarray) -> np.ndarray:
        """The sum of the groups' sums on all PEs."""
        length, groups, sums = len(line), min(self.groups, len(line)), []
        for j in range(groups):
            begin, end = group_begin(j, length, groups), group_begin(j + 1, length, groups)
            sums.append(chains(precision, line[begin:end], group_root(j, length, groups) - begin, self.op))
        return np.broadcast_to(chains(precision, np.stack(sums), groups // 2, self.op), line.shape)

    def hops(self, length: int) -> tuple[int, int]:
        """Sums within groups and between their roots; results over every link."""
        groups = min(self.groups, length)
        roots = group_root(groups - 1, length, groups) - group_root(0, length, groups)
        return length - groups + roots, length - 1

    def role_on(self, pe: int, length: int) -> "Role":
        """Which streams a PE takes in and puts out."""
        return role_of(pe, length, self.groups)

    def paint_line(self, painter: LinePainter, colors: Sequence[int], length: int) -> None:
        """Chains of each group, chains of the roots through the PEs between them, the multicast."""
        groups = min(self.groups, length)
        roots = [group_root(j, length, groups) for j in range(groups)]
        for j, root in enumerate(roots):
            begin, end = group_begin(j, length, groups), group_begin(j + 1, length, groups)
            painter.chains(colors[:4], list(range(begin, end)), root - begin)
        painter.chains(colors[4:8], roots, groups // 2)
        painter.multicast(colors[8], roots[groups // 2], 0, length)

    def write(self, emitter: LineEmitter, role: "Role") -> None:
        """Adds in the stream on the way in, one receive on the way out."""
        for stream in (role.group, role.roots):
            emitter.combine(stream)
        if role.root and role.line > 1:
            emitter.finish()
            emitter.send(emitter.out.colors[-1])
        elif not role.root:
            emitter.receive(emitter.out.colors[-1])


@dataclass(frozen=True)
class Role:
    """Part of a PE in an all-reduce: in the chains of its group, in those of the roots, is it the last root."""

    group: Stream
    roots: Stream
    root: bool
    line: int


def role_of(pe: int, length: int, groups: int) -> Role:
    """Role of a PE of a line of ``length`` PEs in ``groups`` groups."""
    groups = min(groups, length)
    j = next(j for j in range(groups) if group_begin(j + 1, length, groups) > pe)
    begin, end, root = group_begin(j, length, groups), group_begin(j + 1, length, groups), group_root(j, length, groups)
    group = stream_of(pe - begin, root - begin, end - begin, 0)
    if pe != root:
        return Role(group, Stream(), False, length)
    return Role(group, stream_of(j, groups // 2, groups, 4), j == groups // 2, length)
