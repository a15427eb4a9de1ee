"""Rings folded onto lines: logical neighbors are at most two hops apart, and no link goes all the way round."""

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from wsekern.errors import check_flags
from wsekern.machine.timing import Timing
from wsekern.ops.operation import Axis, Clocks, check_flat_tile, check_line
from wsekern.ops.packing import tile_packing
from wsekern.ops.reference import add_in, along, travelling
from wsekern.ops.schedule.operations import LineScheduled
from wsekern.ops.schedule.schedule import Schedule
from wsekern.ops.schedule.steps import Buffer

LONGEST = 64
"""PEs of a ring whose steps are written down one by one; P rounds of P PEs."""
OVERLAPPED = ("timed as published, all PEs in step, as if a core sent a word and took one in the same cycle: on the cycle "
              "engine its threads take turns")


def folded_ring(length: int) -> list[int]:
    """PEs in the order of the ring: even ones up, odd ones back (MeshGEMM, OSDI'25)."""
    return [*range(0, length, 2), *range(length - 1 - length % 2, 0, -2)]


class Send(NamedTuple):
    """What a PE of a ring sends in an exchange."""

    elements: int
    source: Buffer
    sums: bool


class Take(NamedTuple):
    """What a PE of a ring does with what it takes in an exchange: ``target = own op incoming``, or a mov."""

    op: str
    elements: int
    target: Buffer
    own: Buffer | None = None


def exchange(schedule: Schedule, ring: list[int], send: list[Send], take: list[Take], overlapped: bool = False) -> None:
    """Every PE of the ring sends to the next and takes from the one before it, at the same time as all others.

    ``send[i]`` and ``take[i]`` are those of the i-th PE. A core sends and takes by one instruction after the other: PEs at
    even positions of the ring send first, the others take first. ``overlapped``: a microthread sends while the core takes;
    its next send waits for the one before, as it has the same microthread.
    """
    message: dict[int, int] = {}

    def sends(parity: int) -> None:
        for i in range(parity, len(ring), 2):
            elements, source, sums = send[i]
            message[i] = schedule.message(ring[i], ring[(i + 1) % len(ring)], elements, sums)
            schedule.step(ring[i], "mov_async" if overlapped else "mov", elements, message[i], source)

    def takes(parity: int) -> None:
        for i in range(parity, len(ring), 2):
            op, elements, target, own = take[i]
            incoming = message[(i - 1) % len(ring)]
            schedule.step(ring[i], op, elements, target, *((incoming,) if op == "mov" else (own, incoming)))

    sends(0)
    if overlapped:
        sends(1)
    takes(1)
    if not overlapped:
        sends(1)
    takes(0)


def overlapped_hops(length: int, rounds: int) -> int:
    """Links on the longest way that a word goes in ``rounds`` moves around the folded ring of ``length`` PEs: two a move,
    and one on the two moves of a turn at its ends, which that way leaves out where it can."""
    ring = folded_ring(length)
    turns, rest = divmod(rounds, length)
    moves = [abs(a - b) for a, b in pairwise([*ring, *ring[:1]])]
    gone = [0, *accumulate(moves + moves)]
    longest = max(gone[k + rest] - gone[k] for k in range(length)) if rest else 0
    return turns * gone[length] + longest


@dataclass(frozen=True)
class RingAllReduce(LineScheduled):
    """All-reduce of ``elements`` elements per PE along ``axis`` on a folded ring: P - 1 rounds that add, P - 1 that copy.

    The tile is cut into P parts, as equal as possible. In each round every PE passes one part on to its logical neighbor,
    two hops away, and takes one. Part c is summed in the order of the ring from PE c on. Cost, B wavelets, P PEs, stage s,
    hop h, ``overlapped`` (a microthread sends while the core takes, as in the published collectives): ``2 (P - 1)(B / P +
    setup + s) + (4 P - 6) h``, which is HPDC'24's ``2 (P - 1) B / P + 4 P - 6 + 2 (P - 1)(2 T_R + 1)``; on the cycle engine,
    whose threads take turns, no less than ``2 (P - 1)(2 B / P + setup)``. One instruction after the other: ``2 (P - 1) (2 B
    / P + 2 (setup + s + 2 h))``.
    """

    elements: int
    axis: Axis
    op: str = "sum"
    overlapped: bool = False

    def __post_init__(self) -> None:
        check_line(self.elements, self.axis, 0)
        check_flags(self)

    def part(self, length: int, index: int) -> tuple[int, int]:
        """First element and elements of a part."""
        index %= length
        begin = index * self.elements // length
        return begin, (index + 1) * self.elements // length - begin

    def parts(self, length: int) -> np.ndarray:
        """Elements of all parts."""
        return np.diff(np.arange(length + 1) * self.elements // length)

    def write(self, length: int, timing: Timing) -> Schedule:
        """Rounds of exchange: first sums, then results."""
        schedule = Schedule(length, self.elements, timing, "ring_call", self.elements, {"sum": (self.elements, "sums")})
        ring, held = folded_ring(length), "sum" if schedule.wide else "tile"
        for t in range(length - 1):
            send, take = [], []
            for i in range(length):
                at, elements = self.part(length, i - t)
                send.append(Send(elements, ("tile" if t == 0 else held, at), True))
                at, elements = self.part(length, i - t - 1)
                take.append(Take(self.op, elements, (held, at), ("tile", at)))
            exchange(schedule, ring, send, take, self.overlapped)
        for i in range(length if schedule.wide and length > 1 else 0):
            at, elements = self.part(length, i + 1)
            schedule.step(ring[i], "round", elements, ("tile", at), ("sum", at))
        for t in range(length - 1):
            send, take = [], []
            for i in range(length):
                at, elements = self.part(length, i + 1 - t)
                send.append(Send(elements, ("tile", at), False))
                at, elements = self.part(length, i - t)
                take.append(Take("mov", elements, ("tile", at)))
            exchange(schedule, ring, send, take, self.overlapped)
        return schedule

    def written_down(self, length: int) -> bool:
        """Whether the flow engine goes through the steps of a line of ``length`` PEs, and not by the closed form."""
        return length <= LONGEST and not self.overlapped

    def _phases(self, timing: Timing) -> tuple[tuple[str, int, int], tuple[str, int, int]]:
        """Instruction, elements in a wavelet, and moves that a part is spared on its way round: of the sums, of the results.

        A part goes all the way round but for a move: the last sums are not passed on, nor the last results.
        """
        sums = 1 if timing.precision == "fp16_fp32" else timing.packing
        add = timing.instruction("add" if self.op == "sum" else "max")
        return (add, sums, 1), (timing.instruction("mov"), tile_packing(timing), 2)

    def time(self, engine: Clocks) -> None:
        """Advance the clocks of ``engine`` by this operation; overlapped, and on long lines, all PEs in step."""
        length, timing = engine.length(self.axis), engine.timing
        if not self.elements or self.written_down(length):
            super().time(engine)
            return
        rounds, turns, longest = length - 1, 1 if self.overlapped else 2, int(self.parts(length).max())
        move = timing.instruction("mov")
        engine.synchronise()
        engine.spend(overhead=timing.latency("ring_call", timing.latency("call")))
        for name, packing, _ in self._phases(timing):
            stream = timing.stream(-(-longest // packing), timing.step(name, packing)) + 1
            engine.spend(stages=turns * rounds * timing.stage, overhead=turns * rounds * timing.stream_setup(move),
                         stream=turns * rounds * stream)
        if timing.precision == "fp16_fp32" and length > 1:  # each PE rounds the part that it has summed
            engine.spend(overhead=timing.setup(move), compute=timing.elements(move, longest))
        engine.spend(fabric=timing.hop * (overlapped_hops(length, 2 * rounds) if self.overlapped else 8 * rounds))
        engine.link_traversals += self.link_traversals(engine)
        engine.note(self, OVERLAPPED if self.overlapped else "a long ring is timed by its closed form, all PEs in step")

    def link_traversals(self, engine: Clocks) -> int:
        """Wavelets times links of one run on the whole grid."""
        length = engine.length(self.axis)
        if not self.elements or self.written_down(length):
            return super().link_traversals(engine)
        edges = np.array([abs(a - b) for a, b in pairwise([*folded_ring(length), 0])])
        parts = self.parts(length)
        links = sum(int((-(-parts // packing) * (edges.sum() - np.roll(edges, spared))).sum())
                    for _, packing, spared in self._phases(engine.timing))
        return links * engine.lines(self.axis)

    def flow(self, engine: Clocks, tile: np.ndarray) -> np.ndarray:
        """Tiles (height, width, ...) -> the same, each PE with its line's result."""
        if self.written_down(engine.length(self.axis)):
            return super().flow(engine, tile)
        tile = check_flat_tile(engine, tile, self.elements, engine.precision)
        self.time(engine)
        return self.reference(tile.reshape(*tile.shape[:2], self.elements), engine.timing).reshape(tile.shape)

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        out, precision = np.empty_like(tile), timing.precision
        lines, target = travelling(precision, along(tile, self.axis)), along(out, self.axis)
        ring = folded_ring(lines.shape[1])
        for c in range(len(ring)):
            at, elements = self.part(len(ring), c)
            total = lines[:, ring[c], at:at + elements]
            for i in range(1, len(ring)):
                total = add_in(precision, lines[:, ring[(c + i) % len(ring)], at:at + elements], total, self.op)
            target[:, :, at:at + elements] = total.astype(tile.dtype)[:, None]
        return out


@dataclass(frozen=True)
class RingShift(LineScheduled):
    """Move tiles of ``elements`` elements by ``steps`` PEs around a folded ring along ``axis``: Cannon's shift on a mesh.

    Logical neighbors are at most two hops apart and no link goes round. Cost, B wavelets, n steps, ``overlapped`` (a
    microthread sends while the core takes): ``call + n (setup + s + B) + hops of the longest way, at most 2 n h``, on the
    cycle engine, whose threads take turns, no less than ``call + n (setup + 2 B)``. One instruction after the other: ``n 2
    (setup + s + 2 h + B)``.
    """

    elements: int
    axis: Axis
    steps: int = 1
    overlapped: bool = False

    def __post_init__(self) -> None:
        check_line(self.elements, self.axis, 0, steps=self.steps)
        check_flags(self)

    def write(self, length: int, timing: Timing) -> Schedule:
        """Rounds of exchange; the tile that goes and the one that comes lie in two buffers."""
        ends = "other" if self.overlapped and length > 1 and self.steps % 2 else "tile"
        schedule = Schedule(length, self.elements, timing, "shift_call", self.elements, {"other": (self.elements, "tile")},
                            result=[(ends, 0)] * length)
        ring, held = folded_ring(length), ("tile", "other")
        for t in range(self.steps if length > 1 else 0):
            exchange(schedule, ring, [Send(self.elements, (held[t % 2], 0), False)] * length,
                     [Take("mov", self.elements, (held[1 - t % 2], 0))] * length, self.overlapped)
        if length > 1 and self.steps % 2 and not self.overlapped:
            for pe in range(length):
                schedule.step(pe, "mov", self.elements, ("tile", 0), ("other", 0))
        return schedule

    def written_down(self, length: int) -> bool:
        """Whether the flow engine goes through the steps of a line of ``length`` PEs, and not by the closed form."""
        return length < 2 or (length * self.steps <= LONGEST * LONGEST and not self.overlapped)

    def time(self, engine: Clocks) -> None:
        """Advance the clocks of ``engine`` by this operation; overlapped, and over many steps, all PEs in step."""
        length, timing = engine.length(self.axis), engine.timing
        if not self.elements or self.written_down(length):
            super().time(engine)
            return
        move, turns, packing = timing.instruction("mov"), 1 if self.overlapped else 2, tile_packing(timing)
        stream = timing.stream(timing.wavelets(self.elements, packing), timing.step(move, packing)) + 1
        engine.synchronise()
        setups = turns * self.steps * timing.stream_setup(move)
        engine.spend(overhead=timing.latency("shift_call", timing.latency("call")) + setups,
                     stages=turns * self.steps * timing.stage,
                     fabric=timing.hop * (overlapped_hops(length, self.steps) if self.overlapped else 4 * self.steps),
                     stream=turns * self.steps * stream)
        engine.link_traversals += self.link_traversals(engine)
        engine.note(self, OVERLAPPED if self.overlapped else "many steps around a ring are timed by their closed form, all PEs "
                                                             "in step")

    def link_traversals(self, engine: Clocks) -> int:
        """Wavelets times links of one run on the whole grid."""
        length = engine.length(self.axis)
        if not self.elements or self.written_down(length):
            return super().link_traversals(engine)
        wavelets = engine.timing.wavelets(self.elements, tile_packing(engine.timing))
        return self.steps * (2 * length - 2) * wavelets * engine.lines(self.axis)

    def flow(self, engine: Clocks, tile: np.ndarray) -> np.ndarray:
        """Tiles (height, width, ...) -> the same, moved."""
        tile = check_flat_tile(engine, tile, self.elements, engine.precision)
        self.time(engine)
        return self.reference(tile, engine.timing)

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy: a permutation of each line."""
        out = np.empty_like(tile)
        source, target = along(tile, self.axis), along(out, self.axis)
        ring = folded_ring(source.shape[1])
        for i, pe in enumerate(ring):
            target[:, pe] = source[:, ring[(i - self.steps) % len(ring)]]
        return out
