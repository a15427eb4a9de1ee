"""All-reduce along lines: every PE of a line ends with the sum (or maximum) of all tiles of the line."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import sqrt
from typing import Any, ClassVar

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.ops._timing import HELD_FLAG, LineCosts, allreduce_alone, allreduce_line
from wsekern.ops.lines.line import LineEmitter, LineOperation, Stream, group_begin, group_root, segments, stream_of
from wsekern.ops.lines.tree_reduce import KTreeAllReduce
from wsekern.ops.operation import Axis, Clocks, Emission, Operation, Shapes, Untimed, check_line, check_operands
from wsekern.ops.reference import chains
from wsekern.ops.repeated import Repeated
from wsekern.ops.schedule.painter import LinePainter
from wsekern.program.operands import ElementType


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
    sum from above. With a ``tail`` a second tile goes along: each PE works on the elements by one vector instruction and on
    the tail by the next, before it takes another stream; the values are those of two all-reduces, and so is the pair of tiles
    that each PE ends with. Cost, B wavelets, stage s = output + 2 T_R + input, hop h, after the fixed call: ``(P/2g)(s + h) +
    (g/2) s + (P/2) h + s + (P/2) h + O(B)``, each PE at its own clock.
    """

    elements: int
    axis: Axis
    groups: int = 1
    op: str = "sum"
    segment: int = 0
    precision: str | None = None
    """Number format other than the engine's, such as fp32 for statistics."""
    tail: int = 0
    """fp32 elements that follow, in the same chains and the same multicast: small sums of other numbers, such as statistics."""
    tail_op: str = "sum"
    colors: ClassVar[int] = 9
    """Up and down, by parity of the sender: 4 within groups, 4 between group roots; and the multicast."""
    kind: ClassVar[str] = "allreduce"
    ends_alike: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_line(self.elements, self.axis, self.segment, groups=self.groups, tail=self.tail)
        if self.tail and not self.elements:
            raise InputError(f"a tail of {self.tail} elements behind none: reduce them alone, with precision fp32")

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
        if not engine.reports:
            return
        lengths = {end - begin for begin, end in segments(engine.length(self.axis), self.segment)}
        if self.elements and any(1 < self.groups < length < 3 * self.groups for length in lengths):
            engine.note(self, "groups of fewer than three PEs: sums between groups and within them share links")
        if self.tail and self._follows_at_once(engine.timing_of("fp32")):
            engine.note(self, "a tail follows without a set-up, and links that rest between words count its words with those "
                              "before: the flow engine counts them anew")

    @staticmethod
    def _follows_at_once(timing: Timing) -> bool:
        """Whether words of a tail come so close behind the others that a link which rests sees one stream."""
        (words, frame), setups = timing.link, (timing.stream_setup(timing.instruction(name)) for name in ("mov", "add", "max"))
        return words < frame and min(setups) < 3

    @cached_property
    def parts(self) -> "tuple[AllReduce, AllReduce]":
        """The all-reduces whose values one with a tail gives: of the elements, and of the tail."""
        head = replace(self, tail=0, tail_op="sum")
        return head, replace(head, elements=self.tail, op=self.tail_op, precision="fp32")

    def costs(self, engine: Clocks) -> tuple[LineCosts, ...]:
        """Whole-cycle constants of the elements, and of the tail."""
        return tuple(cost for part in self.parts for cost in part.costs(engine)) if self.tail else super().costs(engine)

    def advance(self, line: np.ndarray, segment: int, *costs: LineCosts) -> int:
        """Advance the clocks (PEs, causes) of a line; who is held back waits for the result anyway."""
        return allreduce_line(line, segment, self.groups, *costs) & ~HELD_FLAG

    def alone(self, engine: Clocks, length: int) -> int:
        """Cycles on one line of ``length`` PEs that are all ready at once."""
        return allreduce_alone(length, self.groups, *self.costs(engine)) if self.elements else 0

    def flow(self, engine: Clocks, *tiles: np.ndarray) -> Any:
        """Tiles (height, width, ...) of ``elements`` elements -> what each PE ends with, the same shape; with a tail a pair of
        both, the second in float32."""
        if not self.tail:
            return super().flow(engine, *tiles)
        check_operands(self, self.tiles(), tiles)
        values = tuple(part.flow(Untimed(engine), tile) for part, tile in zip(self.parts, tiles, strict=True))
        self.time(engine)
        return values

    def values(self, engine: Clocks, *tiles: Repeated) -> Any:
        """Values alone; of lines that hold the same, once."""
        if not self.tail:
            return super().values(engine, *tiles)
        return tuple(part.values(engine, tile) for part, tile in zip(self.parts, tiles, strict=True))

    def reference(self, *tiles_and_timing: Any) -> Any:
        """Plain numpy with the same order of adds, bit for bit."""
        *tiles, timing = tiles_and_timing
        if not self.tail:
            return super().reference(*tiles, timing)
        return tuple(part.reference(tile, timing) for part, tile in zip(self.parts, tiles, strict=True))

    def link_traversals(self, engine: Clocks) -> int:
        """Wavelets times links of one run on the whole grid."""
        return sum(part.link_traversals(engine) for part in self.parts) if self.tail else super().link_traversals(engine)

    def memory_bytes(self, engine: Clocks) -> int:
        """Bytes of the tiles that a PE holds."""
        return super().memory_bytes(engine) + 4 * self.tail

    def tiles(self) -> Shapes:
        """Shapes of the tiles on each PE."""
        return ((self.elements,), (self.tail,)) if self.tail else ((self.elements,),)

    def tile_types(self, type: ElementType) -> tuple[ElementType, ...]:
        """Element types of the tiles where ``type`` is that of the number format."""
        return (type, "fp32") if self.tail else (type,)

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

    def emit(self, out: Emission, role: "Role") -> str | tuple[str, ...]:
        """The program of one role; the results replace the tiles."""
        if not self.tail:
            return super().emit(out, role)
        out.program.spend(out.timing.latency(f"{self.kind}_call", out.timing.latency("call")))
        formats = (out, replace(out, timing=replace(out.timing, precision="fp32")))
        head, tail = (LineEmitter(at, part.elements, part.op, tile)
                      for at, part, tile in zip(formats, self.parts, out.inputs, strict=True))
        self.write(head, role, tail)
        return out.inputs

    def write(self, emitter: LineEmitter, role: "Role", *behind: LineEmitter) -> None:
        """Adds in the stream on the way in, one receive on the way out; the tail ``behind`` the elements each time."""
        emitters = (emitter, *behind)
        for stream in (role.group, role.roots):
            for taken, sent in stream.adds:
                for one in emitters:
                    one.combine(taken, sent)
        if role.root and role.line > 1:
            emitter.finish()
        for one in emitters:
            if not role.root:
                one.receive(one.out.colors[-1])
            elif role.line > 1:
                one.send(one.out.colors[-1])


@dataclass(frozen=True)
class Role:
    """Part of a PE in an all-reduce: in the chains of its group, in those of the roots, is it the last root."""

    group: Stream
    roots: Stream
    root: bool
    line: int


@lru_cache(maxsize=8192)
def role_of(pe: int, length: int, groups: int) -> Role:
    """Role of a PE of a line of ``length`` PEs in ``groups`` groups."""
    groups = min(groups, length)
    j = next(j for j in range(groups) if group_begin(j + 1, length, groups) > pe)
    begin, end, root = group_begin(j, length, groups), group_begin(j + 1, length, groups), group_root(j, length, groups)
    group = stream_of(pe - begin, root - begin, end - begin, 0)
    if pe != root:
        return Role(group, Stream(), False, length)
    return Role(group, stream_of(j, groups // 2, groups, 4), j == groups // 2, length)
