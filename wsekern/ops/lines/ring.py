"""Rings folded onto lines: logical neighbours are at most two hops apart, and no link goes all the way round."""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from wsekern.machine.timing import Timing
from wsekern.ops.lines.line import Axis, add_in, along, check_line, check_words, tile_packing, travelling
from wsekern.ops.schedule.schedule import Schedule
from wsekern.ops.schedule.scheduled import Scheduled

if TYPE_CHECKING:
    from wsekern.ops.engines.flow import FlowEngine

LONGEST = 64
"""PEs of a ring whose steps are written down one by one; P rounds of P PEs."""
ASIDE = ("timed as published, all PEs in step, as if a core sent a word and took one in the same cycle: on the cycle engine "
         "its threads take turns")


def folded_ring(length: int) -> list[int]:
    """Places in the order of the ring: even ones up, odd ones back (MeshGEMM, OSDI'25)."""
    return [*range(0, length, 2), *range(length - 1 - length % 2, 0, -2)]


def exchange(schedule: Schedule, ring: list[int], send: list[tuple], take: list[tuple], overlapped: bool = False) -> None:
    """Every PE of the ring sends to the next and takes from the one before it, at the same time as all others.

    ``send[i]`` is (words, place, sums) and ``take[i]`` (op, words, dst, own) of the i-th PE. A core sends and takes by one
    instruction after the other: PEs at even places of the ring send first, the others take first. ``overlapped``: a
    microthread sends while the core takes; the next one waits for it, as it has the same microthread.
    """
    message: dict[int, int] = {}

    def sends(parity: int) -> None:
        for i in range(parity, len(ring), 2):
            words, place, sums = send[i]
            message[i] = schedule.message(ring[i], ring[(i + 1) % len(ring)], words, sums)
            schedule.step(ring[i], "aside" if overlapped else "mov", words, message[i], place)

    def takes(parity: int) -> None:
        for i in range(parity, len(ring), 2):
            op, words, dst, own = take[i]
            incoming = message[(i - 1) % len(ring)]
            schedule.step(ring[i], op, words, dst, *((incoming,) if op == "mov" else (own, incoming)))

    sends(0)
    if overlapped:
        sends(1)
    takes(1)
    if not overlapped:
        sends(1)
    takes(0)


def overlapped_hops(length: int, rounds: int) -> int:
    """Links on the longest way that a word goes in ``rounds`` moves around the folded ring of ``length`` places: two a move,
    and one on the two moves of a turn at its ends, which that way leaves out where it can."""
    ring = folded_ring(length)
    turns, rest = divmod(rounds, length)
    moves = [abs(a - b) for a, b in pairwise([*ring, *ring[:1]])]
    longest = max(sum((moves + moves)[k:k + rest]) for k in range(length)) if rest else 0
    return turns * sum(moves) + longest


@dataclass(frozen=True)
class RingAllReduce(Scheduled):
    """All-reduce of ``words`` elements per PE along ``axis`` on a folded ring: P - 1 rounds that add, P - 1 that copy.

    The tile is cut into P parts, as equal as possible. In each round every PE passes one part on to its logical neighbour,
    two hops away, and takes one. Part c is summed in the order of the ring from PE c on. Cost, B wavelets, P PEs, stage s,
    hop h, ``overlapped`` (a microthread sends while the core takes, as in the published collectives): ``2 (P - 1)(B / P +
    setup + s) + (4 P - 6) h``, which is HPDC'24's ``2 (P - 1) B / P + 4 P - 6 + 2 (P - 1)(2 T_R + 1)``; on the cycle engine,
    whose threads take turns, no less than ``2 (P - 1)(2 B / P + setup)``. One instruction after the other: ``2 (P - 1) (2 B
    / P + 2 (setup + s + 2 h))``.
    """

    words: int
    axis: Axis
    op: str = "sum"
    overlapped: bool = False

    def __post_init__(self) -> None:
        check_line(self.words, self.axis, 0)

    def part(self, length: int, index: int) -> tuple[int, int]:
        """First element and elements of a part."""
        index %= length
        begin = index * self.words // length
        return begin, (index + 1) * self.words // length - begin

    def write(self, length: int, timing: Timing) -> Schedule:
        """Rounds of exchange: first sums, then results."""
        schedule = Schedule(length, self.words, timing, "ring_call", self.words, {"sum": (self.words, "sums")})
        ring, held = folded_ring(length), "sum" if schedule.wide else "tile"
        for t in range(length - 1):
            send, take = [], []
            for i in range(length):
                at, words = self.part(length, i - t)
                send.append((words, ("tile" if t == 0 else held, at), True))
                at, words = self.part(length, i - t - 1)
                take.append((self.op, words, (held, at), ("tile", at)))
            exchange(schedule, ring, send, take, self.overlapped)
        for i in range(length if schedule.wide and length > 1 else 0):
            at, words = self.part(length, i + 1)
            schedule.step(ring[i], "round", words, ("tile", at), ("sum", at))
        for t in range(length - 1):
            send, take = [], []
            for i in range(length):
                at, words = self.part(length, i + 1 - t)
                send.append((words, ("tile", at), False))
                at, words = self.part(length, i - t)
                take.append(("mov", words, ("tile", at), None))
            exchange(schedule, ring, send, take, self.overlapped)
        return schedule

    def time(self, engine: "FlowEngine") -> None:
        """Advance the clocks of ``engine`` by this operation; overlapped, and on long lines, all PEs in step."""
        length = engine.length(self.axis)
        if not self.words or (length <= LONGEST and not self.overlapped):
            super().time(engine)
            return
        timing, rounds = engine.timing, length - 1
        edges = np.array([abs(a - b) for a, b in pairwise([*folded_ring(length), 0])])
        parts = np.array([self.part(length, c)[1] for c in range(length)])
        engine.level()
        engine.spend(overhead=timing.latency("ring_call", timing.latency("call")))
        turns = 1 if self.overlapped else 2
        sums = 1 if timing.dtype == "fp16_fp32" else timing.packing
        for op, packing, spared in (("add" if self.op == "sum" else "max", sums, 1), ("mov", tile_packing(timing), 2)):
            name, wavelets = timing.instruction(op), -(-int(parts.max()) // packing)
            engine.spend(stages=turns * rounds * timing.stage,
                         overhead=turns * rounds * timing.setup(timing.instruction("mov")),
                         words=turns * rounds * (timing.stream(wavelets, timing.step(name, packing)) + 1))
            # A part goes all the way round but for one move: the last sums are not passed on, nor the last results.
            links = -(-parts // packing) * (edges.sum() - np.roll(edges, spared))
            engine.energy += int(links.sum()) * engine.lines(self.axis)
        if timing.dtype == "fp16_fp32" and length > 1:  # each PE rounds the part that it has summed
            move = timing.instruction("mov")
            engine.spend(overhead=timing.setup(move), compute=timing.elements(move, int(parts.max())))
        engine.spend(fabric=timing.hop * (overlapped_hops(length, 2 * rounds) if self.overlapped else 8 * rounds))
        engine.note(self, ASIDE if self.overlapped else "a long ring is timed by its closed form, all PEs in step")

    def flow(self, engine: "FlowEngine", tile: np.ndarray) -> np.ndarray:
        """Tiles (height, width, ...) -> the same, each PE with its line's result."""
        if engine.length(self.axis) <= LONGEST and not self.overlapped:
            return super().flow(engine, tile)
        tile = check_words(engine, tile, self.words, engine.dtype)
        self.time(engine)
        return self.reference(tile.reshape(*tile.shape[:2], self.words), engine.timing).reshape(tile.shape)

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        out, dtype = np.empty_like(tile), timing.dtype
        lines, target = travelling(dtype, along(tile, self.axis)), along(out, self.axis)
        ring = folded_ring(lines.shape[1])
        for c in range(len(ring)):
            at, words = self.part(len(ring), c)
            total = lines[:, ring[c], at:at + words]
            for i in range(1, len(ring)):
                total = add_in(dtype, lines[:, ring[(c + i) % len(ring)], at:at + words], total, self.op)
            target[:, :, at:at + words] = total.astype(tile.dtype)[:, None]
        return out


@dataclass(frozen=True)
class RingShift(Scheduled):
    """Move tiles of ``words`` elements by ``steps`` PEs around a folded ring along ``axis``: Cannon's shift on a mesh.

    Logical neighbours are at most two hops apart and no link goes round. Cost, B wavelets, n steps, ``overlapped`` (a
    microthread sends while the core takes): ``call + n (setup + s + B) + hops of the longest way, at most 2 n h``, on the
    cycle engine, whose threads take turns, no less than ``call + n (setup + 2 B)``. One instruction after the other: ``n 2
    (setup + s + 2 h + B)``.
    """

    words: int
    axis: Axis
    steps: int = 1
    overlapped: bool = False

    def __post_init__(self) -> None:
        check_line(self.words, self.axis, 0, steps=self.steps)

    def write(self, length: int, timing: Timing) -> Schedule:
        """Rounds of exchange; the tile that goes and the one that comes lie in two buffers."""
        ends = "other" if self.overlapped and length > 1 and self.steps % 2 else "tile"
        schedule = Schedule(length, self.words, timing, "shift_call", self.words, {"other": (self.words, "tile")},
                            result=[(ends, 0)] * length)
        ring, held = folded_ring(length), ("tile", "other")
        for t in range(self.steps if length > 1 else 0):
            exchange(schedule, ring, [(self.words, (held[t % 2], 0), False)] * length,
                     [("mov", self.words, (held[1 - t % 2], 0), None)] * length, self.overlapped)
        if length > 1 and self.steps % 2 and not self.overlapped:
            for place in range(length):
                schedule.step(place, "mov", self.words, ("tile", 0), ("other", 0))
        return schedule

    def time(self, engine: "FlowEngine") -> None:
        """Advance the clocks of ``engine`` by this operation; overlapped, and over many steps, all PEs in step."""
        length, timing = engine.length(self.axis), engine.timing
        if not self.words or length < 2 or (length * self.steps <= LONGEST * LONGEST and not self.overlapped):
            super().time(engine)
            return
        move, turns = timing.instruction("mov"), 1 if self.overlapped else 2
        wavelets = timing.wavelets(self.words, tile_packing(timing))
        engine.level()
        engine.spend(overhead=timing.latency("shift_call", timing.latency("call")) + turns * self.steps * timing.setup(move),
                     stages=turns * self.steps * timing.stage,
                     fabric=timing.hop * (overlapped_hops(length, self.steps) if self.overlapped else 4 * self.steps),
                     words=turns * self.steps * (timing.stream(wavelets, timing.step(move, tile_packing(timing))) + 1))
        engine.energy += self.steps * (2 * length - 2) * wavelets * engine.lines(self.axis)
        engine.note(self, ASIDE if self.overlapped else "many steps around a ring are timed by their closed form, all PEs in "
                                                        "step")

    def flow(self, engine: "FlowEngine", tile: np.ndarray) -> np.ndarray:
        """Tiles (height, width, ...) -> the same, moved."""
        tile = check_words(engine, tile, self.words, engine.dtype)
        self.time(engine)
        return self.reference(tile)

    def reference(self, tile: np.ndarray, timing: Timing | None = None) -> np.ndarray:
        """Plain numpy: a permutation of each line."""
        out = np.empty_like(tile)
        source, target = along(tile, self.axis), along(out, self.axis)
        ring = folded_ring(source.shape[1])
        for i, place in enumerate(ring):
            target[:, place] = source[:, ring[(i - self.steps) % len(ring)]]
        return out
