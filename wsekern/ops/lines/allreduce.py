"""All-reduce along lines: every PE of a line ends with the sum (or maximum) of all tiles of the line."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import sqrt
from typing import Any, ClassVar

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.ops._timing import HELD_FLAG, LineCosts, allreduce_alone, allreduce_line
from wsekern.ops.lines.levels import LONG_LINE, MOST_LEVELS, Groups, Levels, check_groups, quickest_groups
from wsekern.ops.lines.line import LineEmitter, LineOperation, Stream, line_costs, segments, stream_of
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


@lru_cache(maxsize=4096)
def _taken(timing: Timing, elements: int, op: str) -> int:
    """Cycles for which a PE takes a stream of sums."""
    combine = timing.instruction("add" if op == "sum" else "max")
    packing = 1 if timing.precision == "fp16_fp32" else timing.packing
    words = timing.wavelets(elements, packing)
    return timing.stream_setup(combine) + timing.stream(words, timing.step(combine, packing)) + 1 if words else 0


@dataclass(frozen=True)
class AllReduce(LineOperation):
    """K-tree all-reduce of ``elements`` elements per PE along ``axis``, of two levels (MeshGEMV of WaferLLM, OSDI'25) or more.

    A line of P PEs is cut into ``groups`` contiguous groups. Level 1: chains run from both ends of each group to its
    middle PE, one hop a link, each PE adding its tile to the stream. Level 2: chains run over the group roots, from
    both ends to the middle one. Then one multicast both ways. Order of adds at each root: own tile, sum from below,
    sum from above. With a ``tail`` a second tile goes along: each PE works on the elements by one vector instruction and on
    the tail by the next, before it takes another stream; the values are those of two all-reduces, and so is the pair of tiles
    that each PE ends with. Cost, B wavelets, stage s = output + 2 T_R + input, hop h, after the fixed call: ``(P/2g)(s + h) +
    (g/2) s + (P/2) h + s + (P/2) h + O(B)``, each PE at its own clock.

    ``groups`` may be those of each level, such as (60, 8): 60 groups, their middle PEs in 8, and chains over the middle PEs of
    those. A sum then goes on to the next level in the stream of the last one that it takes; in two levels, with one number of
    groups, it is complete in memory before. Or ``quickest``: what :func:`quickest_groups` says of the length and the words.
    """

    elements: int
    axis: Axis
    groups: Groups = 1
    op: str = "sum"
    segment: int = 0
    precision: str | None = None
    """Number format other than the engine's, such as fp32 for statistics."""
    tail: int = 0
    """fp32 elements that follow, in the same chains and the same multicast: small sums of other numbers, such as statistics."""
    tail_op: str = "sum"
    colors: ClassVar[int] = 2 * MOST_LEVELS + 1
    """Two for the chains of each level, and the multicast."""
    kind: ClassVar[str] = "allreduce"
    ends_alike: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if isinstance(self.groups, list):
            object.__setattr__(self, "groups", tuple(self.groups))
        check_line(self.elements, self.axis, self.segment, tail=self.tail)
        check_groups(self.groups)
        if self.tail and not self.elements:
            raise InputError(f"a tail of {self.tail} elements behind none: reduce them alone, with precision fp32")

    def levels(self, length: int) -> Levels:
        """Its chains on an independent line of ``length`` PEs."""
        return Levels.of(length, self.counts)

    @property
    def counts(self) -> tuple[int, ...]:
        """Groups of each level but the last."""
        return self.groups if isinstance(self.groups, tuple) else (int(self.groups),)

    @property
    def completes(self) -> bool:
        """Whether a sum is complete in memory before it begins the chain of the next level."""
        return not isinstance(self.groups, tuple | str)

    def on(self, timing: Timing, width: int, height: int) -> "AllReduce":
        """With the groups that are the quickest on the lines of a grid."""
        if self.groups != "quickest":
            return self
        return replace(self, groups=self._quickest(timing, height if self.axis == "y" else width))

    def _quickest(self, timing: Timing, line: int) -> tuple[int, ...]:
        """Groups of each level on lines of so many PEs."""
        return quickest_groups(min(self.segment, line) if self.segment else line, *self._paces(timing))

    def _paces(self, timing: Timing) -> tuple[int, int]:
        """Cycles of a stage of a chain, and by how much a second stream keeps the PE that takes it."""
        own = _taken(timing.of(self.precision or timing.precision), self.elements, self.op)
        return timing.stage + timing.hop, own + (_taken(timing.of("fp32"), self.tail, self.tail_op) if self.tail else 0)

    def lowered(self, timing: Timing, width: int, height: int) -> "AllReduce":
        """What the cycle engine runs on a grid."""
        return self.on(timing, width, height)

    def largest(self, width: int, height: int) -> tuple[Operation, int, int]:
        """With as many levels as there can be."""
        if self.groups != "quickest":
            return self, width, height
        return replace(self, segment=0), LONG_LINE, LONG_LINE

    def parameter_on(self, engine: Clocks) -> tuple[int, ...]:
        """The groups of each level."""
        return self.counts if self.groups != "quickest" else self._quickest(engine.timing, engine.length(self.axis))

    @property
    def leaves_words_under_way(self) -> bool:
        """Not after the multicast to all PEs of a line, where that is not cut."""
        return bool(self.segment)

    def sent_along(self) -> Sequence[Operation]:
        """The same chains as a schedule, where lines are not cut."""
        if self.segment or self.groups == "quickest":
            return ()
        return (KTreeAllReduce(self.elements, self.axis, self.counts, self.op),)

    def time(self, engine: Clocks) -> None:
        """Advance the clocks of ``engine`` by this operation."""
        if self.groups == "quickest" and engine.reports:
            return self.on(engine.timing, engine.width, engine.height).time(engine)
        super().time(engine)
        if not engine.reports:
            return
        lengths = {end - begin for begin, end in segments(engine.length(self.axis), self.segment)}
        if self.elements and any(self.levels(length).crowded for length in lengths):
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
        costs = super().costs(engine)
        return (*costs, line_costs(engine.timing_of("fp32"), self.tail, "allreduce_call", self.tail_op)) if self.tail else costs

    def advance(self, line: np.ndarray, segment: int, parameter: tuple[int, ...], *costs: LineCosts) -> int:
        """Advance the clocks (PEs, causes) of a line; who is held back waits for the result anyway."""
        return allreduce_line(line, segment, parameter, self.completes, *costs) & ~HELD_FLAG

    def alone(self, engine: Clocks) -> Callable[[int], int]:
        """Cycles on one line of PEs that are all ready at once, by its length."""
        if not self.elements:
            return lambda length: 0
        costs = self.costs(engine)
        if self.groups != "quickest":
            counts, completes = self.counts, self.completes
            return lambda length: allreduce_alone(length, counts, completes, *costs)
        paces = self._paces(engine.timing)
        return lambda length: allreduce_alone(length, quickest_groups(length, *paces), False, *costs)

    def flow(self, engine: Clocks, *tiles: np.ndarray) -> Any:
        """Tiles (height, width, ...) of ``elements`` elements -> what each PE ends with, the same shape; with a tail a pair of
        both, the second in float32."""
        if not self.tail:
            return super().flow(engine, *tiles)
        check_operands(self, self.tiles(), tiles)
        own = self.on(engine.timing, engine.width, engine.height)
        values = tuple(part.flow(Untimed(engine), tile) for part, tile in zip(own.parts, tiles, strict=True))
        own.time(engine)
        return values

    def values(self, engine: Clocks, *tiles: Repeated) -> Any:
        """Values alone; of lines that hold the same, once."""
        if not self.tail:
            return super().values(engine, *tiles)
        own = self.on(engine.timing, engine.width, engine.height)
        return tuple(part.values(engine, tile) for part, tile in zip(own.parts, tiles, strict=True))

    def reference(self, *tiles_and_timing: Any) -> Any:
        """Plain numpy with the same order of adds, bit for bit."""
        *tiles, timing = tiles_and_timing
        own = self.on(timing, *tiles[0].shape[1::-1])
        if not self.tail:
            return LineOperation.reference(own, *tiles, timing)
        return tuple(part.reference(tile, timing) for part, tile in zip(own.parts, tiles, strict=True))

    def link_traversals(self, engine: Clocks) -> int:
        """Wavelets times links of one run on the whole grid."""
        own = self.on(engine.timing, engine.width, engine.height)
        parts = own.parts if self.tail else (own,)
        return sum(LineOperation.link_traversals(part, engine) for part in parts)

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
        """The sum of the groups' sums, of those of each level, on all PEs."""
        levels, sums = self.levels(len(line)), line
        for level in range(levels.count):
            sums = np.stack([chains(precision, sums[begin:end], root - begin, self.op)
                             for begin, end, root in levels.groups_of(level)])
        return np.broadcast_to(sums[0], line.shape)

    def hops(self, length: int) -> tuple[int, int]:
        """Sums over the members of each level; results over every link."""
        return self.levels(length).hops, length - 1

    def role_on(self, pe: int, length: int) -> "Role":
        """Which streams a PE takes in and puts out."""
        return role_of(pe, length, self.counts, self.completes)

    def paint_line(self, painter: LinePainter, colors: Sequence[int], length: int) -> None:
        """Chains of each group of each level, through the PEs between its members; the multicast."""
        levels = self.levels(length)
        for level in range(levels.count):
            places = levels.places(level)
            for begin, end, root in levels.groups_of(level):
                painter.chains(colors[2 * level:2 * level + 2], places[begin:end], root - begin)
        painter.multicast(colors[-1], levels.places(levels.count)[0], 0, length)

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
        for taken, sent in role.adds:
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
    """Part of a PE in an all-reduce: (color taken or None, color on which what it makes is sent or None) in order; whether all
    sums meet there; PEs of the line."""

    adds: tuple[tuple[int | None, int | None], ...]
    root: bool
    line: int


@lru_cache(maxsize=8192)
def role_of(pe: int, length: int, counts: tuple[int, ...], completes: bool) -> Role:
    """Role of a PE of a line of ``length`` PEs in ``counts`` groups of each level."""
    levels, member, taken = Levels.of(length, counts), pe, list[int | None]()
    for level in range(levels.count):
        j = levels.group_of(level, member)
        begin, end, root = levels.group(level, j)
        stream = stream_of(member - begin, root - begin, end - begin, 2 * level)
        if member != root:
            apart = completes and taken and not stream.takes
            adds = Stream((*taken, *stream.takes), None if apart else stream.sends).adds
            return Role((*adds, (None, stream.sends)) if apart else tuple(adds), False, length)
        taken += stream.takes
        member = j
    return Role(tuple(Stream(tuple(taken)).adds), True, length)
