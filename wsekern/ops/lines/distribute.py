"""Scatter, gather and all-gather along lines: words that pass through the cores between, each taking or adding its own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.ops._gather import GatherCosts, allgather_line
from wsekern.ops.lines.line import segments
from wsekern.ops.operation import Axis, Clocks, Operation, check_line
from wsekern.ops.packing import check_even, tile_packing
from wsekern.ops.reference import along
from wsekern.ops.schedule.operations import LineScheduled
from wsekern.ops.schedule.schedule import Schedule
from wsekern.ops.schedule.steps import Buffer


class Into(NamedTuple):
    """Where words end: in ``parts`` equal parts, the first at element ``first`` of ``buffer``, ``stride`` elements apart."""

    buffer: str
    first: int = 0
    parts: int = 1
    stride: int = 0


def write_gather(schedule: Schedule, root: int, elements: int, at: Sequence[int], first: int = 0, slot: int = 0) -> None:
    """Elements [first, first + elements) of the tiles of the PEs ``at`` (in a straight line) to element ``slot`` on of the
    buffer ``gathered`` of the root-th of them, in their order.

    Above the root every PE sends its own tile, then hands on what comes from beyond; below it the other way round, so that
    tiles arrive in their order.
    """
    last = len(at) - 1
    schedule.step(at[root], "mov", elements, ("gathered", slot + root * elements), ("tile", first))
    arriving = None
    for k in range(last, root, -1):
        whole, beyond = schedule.message(at[k], at[k - 1], (last - k + 1) * elements, sums=False), (last - k) * elements
        schedule.step(at[k], "mov", elements, schedule.part(whole, 0, elements), ("tile", first))
        if arriving is not None:
            schedule.step(at[k], "mov", beyond, schedule.part(whole, elements, beyond), arriving)
        arriving = whole
    if arriving is not None:
        schedule.step(at[root], "mov", (last - root) * elements, ("gathered", slot + (root + 1) * elements), arriving)
    arriving = None
    for k in range(root):
        whole = schedule.message(at[k], at[k + 1], (k + 1) * elements, sums=False)
        if arriving is not None:
            schedule.step(at[k], "mov", k * elements, schedule.part(whole, 0, k * elements), arriving)
        schedule.step(at[k], "mov", elements, schedule.part(whole, k * elements, elements), ("tile", first))
        arriving = whole
    if arriving is not None:
        schedule.step(at[root], "mov", root * elements, ("gathered", slot), arriving)


def write_scatter(schedule: Schedule, root: int, elements: int, at: Sequence[int], source: Buffer, into: Into) -> None:
    """Parts of what begins at ``source`` of the root-th of the PEs ``at`` (in a straight line), one to each, in their order.

    Above the root every PE takes the first part that arrives and hands on the rest; below it hands on first.
    """
    last, (buffer, first) = len(at) - 1, source
    if root < last:
        arriving = schedule.message(at[root], at[root + 1], (last - root) * elements, sums=False)
        schedule.step(at[root], "mov", (last - root) * elements, arriving, (buffer, first + (root + 1) * elements))
        for k in range(root + 1, last + 1):
            rest = (last - k) * elements
            _take(schedule, at[k], elements, into, arriving, 0)
            if rest:
                onward = schedule.message(at[k], at[k + 1], rest, sums=False)
                schedule.step(at[k], "mov", rest, onward, schedule.part(arriving, elements, rest))
                arriving = onward
    if root > 0:
        arriving = schedule.message(at[root], at[root - 1], root * elements, sums=False)
        schedule.step(at[root], "mov", root * elements, arriving, (buffer, first))
        for k in range(root - 1, -1, -1):
            rest, whole = k * elements, arriving
            if rest:
                arriving = schedule.message(at[k], at[k - 1], rest, sums=False)
                schedule.step(at[k], "mov", rest, arriving, schedule.part(whole, 0, rest))
            _take(schedule, at[k], elements, into, whole, rest)
    size = elements // into.parts
    for i in range(into.parts):
        schedule.step(at[root], "mov", size, (into.buffer, into.first + i * into.stride),
                      (buffer, first + root * elements + i * size))


def _take(schedule: Schedule, pe: int, elements: int, into: Into, arriving: int, offset: int) -> None:
    """The elements from ``offset`` on of a message that arrives, to where they end."""
    size = elements // into.parts
    for i in range(into.parts):
        schedule.step(pe, "mov", size, (into.buffer, into.first + i * into.stride),
                      schedule.part(arriving, offset + i * size, size))


@dataclass(frozen=True)
class Gather(LineScheduled):
    """The tiles of ``elements`` elements of all PEs of a line, in order, at its PE ``root``; nothing at the others.

    Cost from one end, B wavelets a PE, P PEs, stage s and hop h: ``B (P - 1) + setup + s + h``, as every PE sends its own
    tile while the next one's is on its way. In 16-bit precisions ``elements`` is even: a tile fills its wavelets.
    """

    elements: int
    axis: Axis
    root: int = 0

    def __post_init__(self) -> None:
        check_line(self.elements, self.axis, 0, root=self.root)

    def write(self, length: int, timing: Timing) -> Schedule:
        """Own tile and tiles from beyond."""
        check_even(self.elements, timing, "tiles")
        root = min(self.root, length - 1)
        schedule = Schedule(length, self.elements, timing, "gather_call", length * self.elements,
                            {"gathered": (length * self.elements, "tile")},
                            result=[("gathered", 0) if k == root else None for k in range(length)])
        write_gather(schedule, root, self.elements, range(length))
        return schedule

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy: (height, width, elements) -> (height, width, PEs of a line x elements)."""
        lines = along(tile, self.axis)
        out = np.zeros((*tile.shape[:2], lines.shape[1] * self.elements), tile.dtype)
        along(out, self.axis)[:, min(self.root, lines.shape[1] - 1)] = lines.reshape(len(lines), -1)
        return out


@dataclass(frozen=True)
class AllGather(LineScheduled):
    """The tiles of ``elements`` elements of all PEs of a line, in order, at every one of its PEs: gather, then multicast.

    With ``segment`` lines are cut into independent ones of so many PEs; where the last is shorter, zeros follow its tiles.
    Cost, B wavelets a PE, P PEs: ``B (P - 1) + s + h`` to the first PE, then ``B P + h (P - 1) + s``.
    """

    elements: int
    axis: Axis
    segment: int = 0

    def __post_init__(self) -> None:
        check_line(self.elements, self.axis, self.segment)

    def write(self, length: int, timing: Timing) -> Schedule:
        """Gather at the first PE of each segment, then one multicast."""
        check_even(self.elements, timing, "tiles")
        total = min(self.segment or length, length) * self.elements
        schedule = Schedule(length, self.elements, timing, "gather_call", total, {"gathered": (total, "tile")},
                            result=[("gathered", 0)] * length)
        for begin, end in segments(length, self.segment):
            write_gather(schedule, 0, self.elements, range(begin, end))
            if end - begin > 1:
                words = (end - begin) * self.elements
                message = schedule.multicast(begin, begin, end - 1, words)
                schedule.step(begin, "mov", words, message, ("gathered", 0))
                for pe in range(begin + 1, end):
                    schedule.step(pe, "mov", words, ("gathered", 0), message)
        return schedule

    def largest(self, width: int, height: int) -> tuple[Operation, int, int]:
        """Of four PEs or more: those in the middle then hand on the tiles of several in a loop."""
        segment = max(self.segment, 4) if self.segment > 1 else self.segment
        return replace(self, segment=segment), max(width, 4), max(height, 4)

    def time(self, engine: Clocks) -> None:
        """Advance the clocks of ``engine``: without a schedule where nobody reads notes."""
        if engine.reports or not self.elements:
            return super().time(engine)
        check_even(self.elements, engine.timing, "tiles")
        costs, segment = _gather_costs(engine.timing, self.elements), self.segment or engine.length(self.axis)
        engine.on_lines(self.axis, lambda line: allgather_line(line, segment, costs))
        return None

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy: (height, width, elements) -> (height, width, PEs of a segment x elements)."""
        lines = along(tile, self.axis)
        length = lines.shape[1]
        out = np.zeros((*tile.shape[:2], min(self.segment or length, length) * self.elements), tile.dtype)
        for begin, end in segments(length, self.segment):
            gathered = lines[:, begin:end].reshape(len(lines), 1, -1)
            along(out, self.axis)[:, begin:end, :gathered.shape[2]] = gathered
        return out


@lru_cache(maxsize=4096)
def _gather_costs(timing: Timing, elements: int) -> GatherCosts:
    """What the kernel is told of an all-gather of so many elements of every PE."""
    mov, packing = timing.instruction("mov"), tile_packing(timing)
    return GatherCosts(call=timing.latency("gather_call", timing.latency("call")), setup=timing.setup(mov),
                       work=timing.elements(mov, elements), setup_stream=timing.stream_setup(mov),
                       pace=timing.step(mov, packing), words=-(-elements // packing),
                       depth=timing.machine.core.output_queues.values[0], output=timing.latency("output"),
                       stage=timing.stage, hop=timing.hop, link=timing.link, down=timing.ramp + timing.latency("input"),
                       takes=timing.machine.core.input_queues.values[0], buffer=int(timing.machine.fabric.buffer_depth))


@dataclass(frozen=True)
class Scatter(LineScheduled):
    """Part k of ``elements`` elements of the tile of PE ``root`` to PE k of its line.

    The tile is ``parts`` parts long, one for every PE of the line. Above the root every PE takes the first part that
    arrives and hands on the rest; below it hands on first. Cost from one end, B wavelets a part: ``(P - 1)(B + setup + s +
    h)``: the next PE's part waits until the one before has been told what to do with the rest.
    """

    elements: int
    axis: Axis
    parts: int
    root: int = 0

    def __post_init__(self) -> None:
        check_line(self.elements, self.axis, 0, root=self.root, parts=self.parts)

    def write(self, length: int, timing: Timing) -> Schedule:
        """Own part and the rest."""
        check_even(self.elements, timing, "parts")
        if length != self.parts:
            raise InputError(f"a scatter of {self.parts} parts on a line of {length} PEs: expected one part for each")
        schedule = Schedule(length, length * self.elements, timing, "scatter_call", self.elements,
                            {"own": (self.elements, "tile")}, result=[("own", 0)] * length)
        write_scatter(schedule, min(self.root, length - 1), self.elements, range(length), ("tile", 0),
                      Into("own"))
        return schedule

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy: (height, width, parts x elements) -> (height, width, elements)."""
        lines = along(tile, self.axis)
        out = np.empty((*tile.shape[:2], self.elements), tile.dtype)
        parts = lines[:, min(self.root, self.parts - 1)].reshape(len(lines), self.parts, self.elements)
        along(out, self.axis)[:] = parts
        return out
