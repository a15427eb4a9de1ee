"""Scatter, gather and all-gather along lines: words that pass through the cores between, each taking or adding its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.ops.lines.line import Axis, along, check_line
from wsekern.ops.schedule.schedule import Place, Schedule
from wsekern.ops.schedule.scheduled import Scheduled, check_even


class Into(NamedTuple):
    """Where words end: in ``parts`` equal parts, the first at element ``first`` of ``buffer``, ``stride`` elements apart."""

    buffer: str
    first: int = 0
    parts: int = 1
    stride: int = 0


def write_gather(schedule: Schedule, root: int, words: int, at: Sequence[int], first: int = 0, slot: int = 0) -> None:
    """Elements [first, first + words) of the tiles of the PEs ``at`` (in a straight line) to element ``slot`` on of the buffer
    ``gathered`` of the root-th of them, in their order.

    Above the root every PE sends its own tile, then hands on what comes from beyond; below it the other way round, so that
    tiles arrive in their order.
    """
    last = len(at) - 1
    schedule.step(at[root], "mov", words, ("gathered", slot + root * words), ("tile", first))
    arriving = None
    for k in range(last, root, -1):
        whole, beyond = schedule.message(at[k], at[k - 1], (last - k + 1) * words, sums=False), (last - k) * words
        schedule.step(at[k], "mov", words, schedule.part(whole, 0, words), ("tile", first))
        if arriving is not None:
            schedule.step(at[k], "mov", beyond, schedule.part(whole, words, beyond), arriving)
        arriving = whole
    if arriving is not None:
        schedule.step(at[root], "mov", (last - root) * words, ("gathered", slot + (root + 1) * words), arriving)
    arriving = None
    for k in range(root):
        whole = schedule.message(at[k], at[k + 1], (k + 1) * words, sums=False)
        if arriving is not None:
            schedule.step(at[k], "mov", k * words, schedule.part(whole, 0, k * words), arriving)
        schedule.step(at[k], "mov", words, schedule.part(whole, k * words, words), ("tile", first))
        arriving = whole
    if arriving is not None:
        schedule.step(at[root], "mov", root * words, ("gathered", slot), arriving)


def write_scatter(schedule: Schedule, root: int, words: int, at: Sequence[int], source: Place, into: Into) -> None:
    """Parts of what begins at ``source`` of the root-th of the PEs ``at`` (in a straight line), one to each, in their order.

    Above the root every PE takes the first part that arrives and hands on the rest; below it hands on first.
    """
    last, (buffer, first) = len(at) - 1, source
    if root < last:
        arriving = schedule.message(at[root], at[root + 1], (last - root) * words, sums=False)
        schedule.step(at[root], "mov", (last - root) * words, arriving, (buffer, first + (root + 1) * words))
        for k in range(root + 1, last + 1):
            rest = (last - k) * words
            _take(schedule, at[k], words, into, arriving, 0)
            if rest:
                onward = schedule.message(at[k], at[k + 1], rest, sums=False)
                schedule.step(at[k], "mov", rest, onward, schedule.part(arriving, words, rest))
                arriving = onward
    if root > 0:
        arriving = schedule.message(at[root], at[root - 1], root * words, sums=False)
        schedule.step(at[root], "mov", root * words, arriving, (buffer, first))
        for k in range(root - 1, -1, -1):
            rest, whole = k * words, arriving
            if rest:
                arriving = schedule.message(at[k], at[k - 1], rest, sums=False)
                schedule.step(at[k], "mov", rest, arriving, schedule.part(whole, 0, rest))
            _take(schedule, at[k], words, into, whole, rest)
    size = words // into.parts
    for i in range(into.parts):
        schedule.step(at[root], "mov", size, (into.buffer, into.first + i * into.stride),
                      (buffer, first + root * words + i * size))


def _take(schedule: Schedule, pe: int, words: int, into: Into, arriving: int, offset: int) -> None:
    """The elements from ``offset`` on of a message that arrives, to where they end."""
    size = words // into.parts
    for i in range(into.parts):
        schedule.step(pe, "mov", size, (into.buffer, into.first + i * into.stride),
                      schedule.part(arriving, offset + i * size, size))


@dataclass(frozen=True)
class Gather(Scheduled):
    """The tiles of ``words`` elements of all PEs of a line, in order, at its PE ``root``; nothing at the others.

    Cost from one end, B wavelets a PE, P PEs, stage s and hop h: ``B (P - 1) + setup + s + h``, as every PE sends its own
    tile while the next one's is on its way. In 16-bit precisions ``words`` is even: a tile fills its wavelets.
    """

    words: int
    axis: Axis
    root: int = 0

    def __post_init__(self) -> None:
        check_line(self.words, self.axis, 0, root=self.root + 1)

    def write(self, length: int, timing: Timing) -> Schedule:
        """Own tile and tiles from beyond."""
        check_even(self.words, timing, "tiles")
        root = min(self.root, length - 1)
        schedule = Schedule(length, self.words, timing, "gather_call", length * self.words,
                            {"gathered": (length * self.words, "tile")},
                            result=[("gathered", 0) if k == root else None for k in range(length)])
        write_gather(schedule, root, self.words, range(length))
        return schedule

    def reference(self, tile: np.ndarray, timing: Timing | None = None) -> np.ndarray:
        """Plain numpy: (height, width, words) -> (height, width, PEs of a line x words)."""
        lines = along(tile, self.axis)
        out = np.zeros((*tile.shape[:2], lines.shape[1] * self.words), tile.dtype)
        along(out, self.axis)[:, min(self.root, lines.shape[1] - 1)] = lines.reshape(len(lines), -1)
        return out


@dataclass(frozen=True)
class AllGather(Scheduled):
    """The tiles of ``words`` elements of all PEs of a line, in order, at every one of its PEs: gather, then multicast.

    Cost, B wavelets a PE, P PEs: ``B (P - 1) + s + h`` to the first PE, then ``B P + h (P - 1) + s``.
    """

    words: int
    axis: Axis

    def __post_init__(self) -> None:
        check_line(self.words, self.axis, 0)

    def write(self, length: int, timing: Timing) -> Schedule:
        """Gather at the first PE, then one multicast."""
        check_even(self.words, timing, "tiles")
        total = length * self.words
        schedule = Schedule(length, self.words, timing, "gather_call", total, {"gathered": (total, "tile")},
                            result=[("gathered", 0)] * length)
        write_gather(schedule, 0, self.words, range(length))
        if length > 1:
            message = schedule.multicast(0, 0, length - 1, total)
            schedule.step(0, "mov", total, message, ("gathered", 0))
            for place in range(1, length):
                schedule.step(place, "mov", total, ("gathered", 0), message)
        return schedule

    def reference(self, tile: np.ndarray, timing: Timing | None = None) -> np.ndarray:
        """Plain numpy: (height, width, words) -> (height, width, PEs of a line x words)."""
        lines = along(tile, self.axis)
        out = np.zeros((*tile.shape[:2], lines.shape[1] * self.words), tile.dtype)
        along(out, self.axis)[:] = lines.reshape(len(lines), 1, -1)
        return out


@dataclass(frozen=True)
class Scatter(Scheduled):
    """Part k of ``words`` elements of the tile of PE ``root`` to PE k of its line.

    The tile is ``parts`` parts long, one for every PE of the line. Above the root every PE takes the first part that
    arrives and hands on the rest; below it hands on first. Cost from one end, B wavelets a part: ``(P - 1)(B + setup + s +
    h)``: the next PE's part waits until the one before has been told what to do with the rest.
    """

    words: int
    axis: Axis
    parts: int
    root: int = 0

    def __post_init__(self) -> None:
        check_line(self.words, self.axis, 0, root=self.root + 1, parts=self.parts)

    def write(self, length: int, timing: Timing) -> Schedule:
        """Own part and the rest."""
        check_even(self.words, timing, "parts")
        if length != self.parts:
            raise InputError(f"a scatter of {self.parts} parts on a line of {length} PEs: expected one part for each")
        schedule = Schedule(length, length * self.words, timing, "scatter_call", self.words, {"own": (self.words, "tile")},
                            result=[("own", 0)] * length)
        write_scatter(schedule, min(self.root, length - 1), self.words, range(length), ("tile", 0),
                      Into("own"))
        return schedule

    def reference(self, tile: np.ndarray, timing: Timing | None = None) -> np.ndarray:
        """Plain numpy: (height, width, parts x words) -> (height, width, words)."""
        lines = along(tile, self.axis)
        out = np.empty((*tile.shape[:2], self.words), tile.dtype)
        parts = lines[:, min(self.root, self.parts - 1)].reshape(len(lines), self.parts, self.words)
        along(out, self.axis)[:] = parts
        return out
