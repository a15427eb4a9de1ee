"""Whether words of consecutive operations may meet on a link, a ramp or at a busy core.

An operation begins on each PE when that PE is done with the previous one, which may still be under way elsewhere: its words
then share links, each takes turns, and the flow engine's clocks of both are optimistic. After a multicast to all PEs nothing
is under way any more behind it, so that only reductions and shifts are looked at.
"""

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.ops._timing import CONTENDED_FLAG, EARLY_FLAG, QUEUED_FLAG, SHALLOW_FLAG, TURNED_FLAG
from wsekern.ops.engines.saved import SavedOperation, SavedSent, SavedWatch, saved_operations
from wsekern.ops.operation import Clocks, Operation
from wsekern.ops.packing import traffic
from wsekern.ops.schedule.clocks import schedule_times
from wsekern.ops.schedule.schedule import Schedule

MAX_LINES = 16
"""Lines with clocks of their own that are looked at."""
LARGEST_GRID = 1 << 16
"""PEs with clocks of their own from which on nothing is looked at: reading them all would cost more than the operation."""
MEETS = ("its words may meet those of the {} before it on links, ramps or at busy cores, and wait: run both together on the "
         "cycle engine to see")


class WatchedClocks(Clocks, Protocol):
    """What the watch reads of the flow engine."""

    lines_are_alike: bool
    cycles: int

    def clock_of(self, pe: int | None) -> int:
        """Clock of a PE, counted row by row; the earliest of all where it is None."""

    def line_clock(self, axis: str) -> np.ndarray:
        """Clocks of the line along ``axis`` for which all lines stand."""

    def clocks_along(self, axis: str | None) -> np.ndarray:
        """Clocks (lines, PEs) of all lines along ``axis`` that differ; of the whole grid as one line where it is None."""


@dataclass(frozen=True, eq=False)
class Sent:
    """An operation along a line, by its schedule, and when (lines looked at, PEs) it began there."""

    label: str
    operation: Operation
    timing: Timing
    starts: np.ndarray

    @property
    def schedule(self) -> Schedule:
        """Its schedule, written when it is looked at."""
        return self.operation.schedule(self.starts.shape[1], self.timing)

    def times(self, line: int) -> np.ndarray:
        """First and last cycle in which the sender of every message sends it."""
        clocks = np.zeros((self.starts.shape[1], 5), np.int64)
        clocks[:, 3] = self.starts[min(line, len(self.starts) - 1)]
        return schedule_times(self.schedule, clocks)[0]


class LinkWatch:
    """The reductions of a flow engine that may still be under way, by axis."""

    def __init__(self) -> None:
        self.last: dict[str, Sent] = {}
        self.previous = ""
        """Name of the previous operation that sent anything."""
        self.loose: tuple[str, str | None] | None = None
        """Name and axis of an operation without a schedule that may still be under way."""
        self.ran: set[Operation] = set()
        self.turned: set[Operation] = set()
        """Operations that left ramps with another stream's turn than they began with."""
        self.met = ""
        """Name of the earlier operation whose words those of the current one may meet."""
        self.settled = False
        """Whether nothing is under way any more behind the current operation."""

    def start(self) -> tuple[Hashable, ...] | None:
        """What the notes on coming operations depend on; None while words of a reduction may be under way. What ran only
        grows, so that its number says which it is."""
        return None if self.last else (self.previous, self.loose, self.settled, self.met, len(self.ran), len(self.turned))

    def place(self) -> tuple[Any, ...]:
        """What :meth:`go_on_from` takes, to be where this is now."""
        return dict(self.last), self.previous, self.loose, self.met, self.settled

    def go_on_from(self, place: tuple[Any, ...]) -> None:
        """Be where a :meth:`place` was; what has run and been noted stays."""
        last, self.previous, self.loose, self.met, self.settled = place
        self.last = dict(last)

    def saved(self) -> SavedWatch:
        """All of this as data."""
        last = [SavedSent(axis, sent.label, SavedOperation.of(sent.operation), sent.timing.precision, sent.starts.copy())
                for axis, sent in self.last.items()]
        return SavedWatch(last, self.previous, self.loose, self.met, self.settled, saved_operations(self.ran),
                          saved_operations(self.turned))

    def restore(self, engine: WatchedClocks, saved: SavedWatch) -> None:
        """Be what :meth:`saved` gave."""
        if any(one.starts.ndim != 2 or one.starts.dtype != np.int64 or one.axis not in ("x", "y") for one in saved.last):
            raise InputError("the saved words under way are none that an operation along a line sends")
        self.last = {one.axis: Sent(one.label, one.operation.operation(), engine.timing_of(one.precision), one.starts)
                     for one in saved.last}
        self.previous, self.loose, self.met, self.settled = saved.previous, saved.loose, saved.met, saved.settled
        self.ran, self.turned = ({one.operation() for one in found} for found in (saved.ran, saved.turned))

    def happened(self, engine: Clocks, operation: Operation, flags: int) -> None:
        """Note where what happened to words of ``operation`` (flags) depends on operations before it."""
        depths = engine.timing.machine.core.input_queues.values
        elements = max(depths) + 1 if operation.elements is None else operation.elements
        deep = traffic(engine.timing, elements).sums > min(depths) < max(depths)
        if flags & SHALLOW_FLAG and self.ran - {operation}:
            engine.note(operation, "words wait for a core that is late, maybe in a shallower queue than if it ran alone: what "
                                   "they hold back then is not in the flow engine's clocks")
        if flags & EARLY_FLAG and self.previous:
            engine.note(operation, f"words come to cores that are not done with the {self.previous} before it, and may meet "
                                   "its words on their ramps: run both together on the cycle engine to see")
        if flags & CONTENDED_FLAG and operation in self.turned:
            engine.note(operation, "of words that come to a ramp at the same time, another stream's go first than when it ran "
                                   "before")
        elif flags & (CONTENDED_FLAG | QUEUED_FLAG) and self.ran - {operation} and deep:
            engine.note(operation, "its streams come through queues of other depths than if it ran alone: which of their "
                                   "words are taken first is not in the flow engine's clocks")
        if flags & TURNED_FLAG:
            self.turned.add(operation)

    def _settled(self, engine: WatchedClocks, operation: Operation) -> bool:
        """Whether nothing can be under way any more when ``operation`` sends its first words."""
        sender = operation.first_sender(engine)
        if operation.axis is None:
            return engine.clock_of(sender) >= engine.cycles
        lines = engine.clocks_along(operation.axis)
        first = lines.min(axis=1) if sender is None else lines[:, sender]
        return bool((first >= lines.max(axis=1)).all())

    def _meets_loose(self, engine: WatchedClocks, operation: Operation) -> str:
        """Name of the earlier operation whose words those of ``operation`` may meet, where either has no schedule."""
        axis = operation.axis
        if self.loose and (axis is None or self.loose[1] in (None, axis)):
            return "" if self._settled(engine, operation) else self.loose[0]
        before = [sent.label for along, sent in self.last.items() if axis in (None, along)]
        if operation.sent_along() or not before or self._settled(engine, operation):
            return ""
        return before[-1]

    def _remember(self, operation: Operation) -> None:
        """What may be under way after ``operation``."""
        if operation.sent_along():
            self.loose = self.loose if operation.leaves_words_under_way else None
        elif operation.settles:
            self.loose = None if self.settled else self.loose
        else:
            self.loose = operation.label, operation.axis
        self.previous = operation.label
        self.ran.add(operation)

    def starts(self, engine: WatchedClocks, axis: str) -> np.ndarray | None:
        """Clocks (lines, PEs) of the lines along ``axis`` that differ; None where there are too many PEs."""
        if engine.lines_are_alike:
            return engine.line_clock(axis)[None]
        if engine.width * engine.height > LARGEST_GRID:
            return None
        return engine.clocks_along(axis)[:MAX_LINES]

    def before(self, engine: WatchedClocks, operation: Operation) -> list[tuple[str, Sent]]:
        """What ``operation`` is about to send along each axis."""
        if not operation.sends or operation.elements == 0:
            return []
        self.met = self._meets_loose(engine, operation)
        self.settled = operation.settles and self._settled(engine, operation)
        sent = []
        for scheduled in operation.sent_along():
            starts = self.starts(engine, scheduled.axis)
            if starts is not None and (scheduled.axis in self.last or operation.leaves_words_under_way):
                timing = engine.timing_of(operation.precision)
                sent.append((scheduled.axis, Sent(operation.label, scheduled, timing, starts)))
        return sent

    def after(self, engine: Clocks, operation: Operation, sent: list[tuple[str, Sent]]) -> None:
        """Note where words of ``operation`` may have met those of the previous one, and remember it."""
        if not operation.sends or operation.elements == 0:
            return
        if self.met:
            engine.note(operation, MEETS.format(self.met))
        self._remember(operation)
        for axis, now in sent:
            before = self.last.get(axis)
            if before is not None and meet(before, now):
                engine.note(operation, MEETS.format(before.label))
        if operation.leaves_words_under_way:
            self.last.update(sent)
        else:
            self.last.clear()


def _intervals(sent: Sent, times: np.ndarray) -> dict[tuple[int, int], list[tuple[int, int, int]]]:
    """(PE, direction) of a link, or (PE, 0) of the ramp into a core -> (source, first cycle, last cycle) of the messages
    over it."""
    intervals: dict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
    hop = sent.schedule.timing.hop
    for (first, last), message in zip(times.tolist(), sent.schedule.messages, strict=True):
        for ahead, end in ((1, message.high), (-1, message.low)):
            for far, pe in enumerate(range(message.source, end, ahead)):
                intervals[pe, ahead].append((message.source, first + far * hop, last + far * hop))
            if end != message.source:
                far = abs(end - message.source) * hop
                intervals[end, 0].append((message.source, first + far, last + far))
    return intervals


def meet(before: Sent, now: Sent) -> bool:
    """Whether on any line words of both come to a link or a ramp at the same time, or closer than it rests between words; or
    words of ``now`` come to a core that is not done with ``before`` and fill its queue."""
    depth = min(now.schedule.timing.machine.core.input_queues.values)
    fills = any(now.schedule.wavelets(message) > depth for message in now.schedule.messages)
    for line in range(max(len(before.starts), len(now.starts))):
        earlier, later = _intervals(before, before.times(line)), _intervals(now, now.times(line))
        starts = now.starts[min(line, len(now.starts) - 1)] - now.schedule.timing.stage
        if fills and any(start < starts[pe] for (pe, way), over in later.items() if not way for _, start, _ in over):
            return True
        for link in earlier.keys() & later.keys():
            for source, first, last in earlier[link]:
                if any((other != source or not link[1]) and start <= last + 2 and first <= end
                       for other, start, end in later[link]):
                    return True
    return False
