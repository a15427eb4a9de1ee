"""Whether the words of an operation may come to links on which words of the one before it still are.

An operation begins on each PE when that PE is done with the one before, which may still be under way elsewhere: its words
then share links, each takes turns, and the flow engine's clocks of both are optimistic. After a multicast to all PEs nothing
is under way any more behind it, so that only reductions and shifts are looked at.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wsekern.machine.timing import Timing
from wsekern.ops._timing import CONTENDED_FLAG, EARLY_FLAG, QUEUED_FLAG, TURNED_FLAG
from wsekern.ops.lines.line import traffic
from wsekern.ops.schedule.schedule import Schedule

if TYPE_CHECKING:
    from wsekern.ops.engines.flow import FlowEngine

MOST_LINES = 16
"""Lines with clocks of their own that are looked at."""
LARGEST_GRID = 1 << 16
"""PEs with clocks of their own from which on nothing is looked at: reading them all would cost more than the operation."""
MEETS = ("its words may meet those of the {} before it on links, ramps or at busy cores, and wait: run both together on the "
         "cycle engine to see")


@dataclass(frozen=True, eq=False)
class Sent:
    """An operation along a line, and when (lines looked at, PEs) it began there."""

    name: str
    tree: Any
    timing: Timing
    starts: np.ndarray

    @property
    def schedule(self) -> Schedule:
        """Its schedule, written when it is looked at."""
        return self.tree.schedule(self.starts.shape[1], self.timing)

    def times(self, line: int) -> np.ndarray:
        """First and last cycle in which the sender of every message sends it."""
        from wsekern.ops.schedule.scheduled import schedule_times

        clocks = np.zeros((self.starts.shape[1], 5), np.int64)
        clocks[:, 3] = self.starts[min(line, len(self.starts) - 1)]
        return schedule_times(self.schedule, clocks)[0]


def as_trees(operation: Any) -> list[Any]:
    """The operations given by a schedule that send what ``operation`` sends along lines, in their order."""
    from wsekern.ops.grid.plane import Reduce2D
    from wsekern.ops.lines.allreduce import AllReduce
    from wsekern.ops.lines.reduce import Reduce, TwoPhaseReduce
    from wsekern.ops.lines.tree_reduce import KTreeAllReduce, ReduceTree, TreeAllReduce

    words, axis, op = (getattr(operation, name, None) for name in ("words", "axis", "op"))
    if isinstance(operation, Reduce2D) and operation.path == "xy":
        return [operation.rows, operation.column]
    if isinstance(operation, ReduceTree | TreeAllReduce | KTreeAllReduce):
        return [operation]
    if getattr(operation, "segment", 0):
        return []
    if isinstance(operation, Reduce):
        return [ReduceTree(words, axis, "chain", operation.root, op)]
    if isinstance(operation, TwoPhaseReduce):
        return [ReduceTree(words, axis, "two-phase", 0, op, operation.group)]
    return [KTreeAllReduce(words, axis, (operation.groups,), op)] if isinstance(operation, AllReduce) else []


def under_way(operation: Any) -> bool:
    """Whether PEs may be done with ``operation`` while words of it that others sent are on links beside them."""
    return all(type(tree).__name__ == "ReduceTree" for tree in as_trees(operation))


def sends(operation: Any) -> bool:
    """Whether ``operation`` puts words onto links."""
    has_program = hasattr(operation, "lowered") or bool(getattr(operation, "colors", 0))
    return has_program and bool(getattr(operation, "words", 1))


class LinkWatch:
    """The reductions of a flow engine that may still be under way, by axis."""

    def __init__(self) -> None:
        self.last: dict[str, Sent] = {}
        self.previous = ""
        """Name of the operation before that sent anything."""
        self.loose: tuple[str, str | None] | None = None
        """Name and axis of an operation without a schedule that may still be under way."""
        self.ran: set[Any] = set()
        self.turned: set[Any] = set()
        """Operations that left ramps with another stream's turn than they began with."""

    def happened(self, engine: "FlowEngine", operation: Any, flags: int) -> None:
        """Note where what happened to words of ``operation`` (flags) depends on operations before it."""
        depths = engine.timing.machine.core.input_queues.values
        deep = traffic(engine.timing, getattr(operation, "words", max(depths) + 1)).sums > min(depths) < max(depths)
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

    def _settled(self, engine: "FlowEngine", operation: Any) -> bool:
        """Whether nothing can be under way any more when ``operation`` sends its first words."""
        from wsekern.ops.grid.plane import Broadcast2D
        from wsekern.ops.lines.broadcast import Broadcast

        axis = getattr(operation, "axis", None)
        if axis is not None and engine.lines_are_alike:
            lines = engine.line_clock(axis)[None]
        else:
            lines = {"x": engine.clock, "y": engine.clock.T, None: engine.clock.reshape(1, -1)}[axis]
        first = lines.min(axis=1)
        if isinstance(operation, Broadcast) and not operation.segment:
            first = lines[:, min(operation.root, lines.shape[1] - 1)]
        if isinstance(operation, Broadcast2D):
            first = engine.clock[min(operation.root_y, engine.height - 1), min(operation.root_x, engine.width - 1)]
        return bool((first >= lines.max(axis=1)).all())

    def _meets_loose(self, engine: "FlowEngine", operation: Any) -> str:
        """Name of the operation before whose words those of ``operation`` may meet, where one of both has no schedule."""
        axis = getattr(operation, "axis", None)
        if self.loose and (axis is None or self.loose[1] in (None, axis)):
            return "" if self._settled(engine, operation) else self.loose[0]
        before = [sent.name for along, sent in self.last.items() if axis in (None, along)]
        if as_trees(operation) or not before or self._settled(engine, operation):
            return ""
        return before[-1]

    def _remember(self, operation: Any, settled: bool) -> None:
        """What may be under way after ``operation``."""
        if as_trees(operation):
            self.loose = self.loose if under_way(operation) else None
        elif type(operation).__name__.startswith("Broadcast"):
            self.loose = None if settled else self.loose
        else:
            self.loose = type(operation).__name__, getattr(operation, "axis", None)
        self.previous = type(operation).__name__
        self.ran.add(operation)

    def starts(self, engine: "FlowEngine", axis: str) -> np.ndarray | None:
        """Clocks (lines, PEs) of the lines along ``axis`` that differ; None where there are too many PEs."""
        if engine.lines_are_alike:
            return engine.line_clock(axis)[None]
        if engine.width * engine.height > LARGEST_GRID:
            return None
        clock = engine.clock.T if axis == "y" else engine.clock
        return clock[:MOST_LINES]

    def before(self, engine: "FlowEngine", operation: Any) -> list[tuple[str, Sent]]:
        """What ``operation`` is about to send along each axis."""
        sent = []
        if sends(operation):
            self.met = self._meets_loose(engine, operation)
            self.settled = type(operation).__name__.startswith("Broadcast") and self._settled(engine, operation)
        for tree in as_trees(operation) if getattr(operation, "words", 0) else []:
            starts = self.starts(engine, tree.axis)
            if starts is None or (tree.axis not in self.last and not under_way(operation)):
                continue
            timing = engine.timing_of(getattr(operation, "dtype", None))
            sent.append((tree.axis, Sent(type(operation).__name__, tree, timing, starts)))
        return sent

    def after(self, engine: "FlowEngine", operation: Any, sent: list[tuple[str, Sent]]) -> None:
        """Note where words of ``operation`` may have met those of the one before, and remember it."""
        if not sends(operation):
            return
        if self.met:
            engine.note(operation, MEETS.format(self.met))
        self._remember(operation, self.settled)
        for axis, now in sent:
            before = self.last.get(axis)
            if before is not None and meet(before, now):
                engine.note(operation, MEETS.format(before.name))
        for axis in ("x", "y"):
            if getattr(operation, "words", 0) and getattr(operation, "colors", 1) and not under_way(operation):
                self.last.pop(axis, None)
        if under_way(operation):
            self.last.update(sent)


def _intervals(sent: Sent, times: np.ndarray) -> dict[tuple[int, int], list[tuple[int, int, int]]]:
    """(place, direction) of a link, or (place, 0) of the ramp into a core -> (source, first cycle, last cycle) of the messages
    over it."""
    found: dict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
    hop = sent.schedule.timing.hop
    for (first, last), message in zip(times.tolist(), sent.schedule.messages, strict=True):
        for ahead, end in ((1, message.high), (-1, message.low)):
            for far, place in enumerate(range(message.source, end, ahead)):
                found[place, ahead].append((message.source, first + far * hop, last + far * hop))
            if end != message.source:
                far = abs(end - message.source) * hop
                found[end, 0].append((message.source, first + far, last + far))
    return found


def meet(before: Sent, now: Sent) -> bool:
    """Whether on any line words of both come to a link or a ramp at the same time, or closer than it rests between words; or
    words of ``now`` come to a core that is not done with ``before`` and fill its queue."""
    depth = min(now.schedule.timing.machine.core.input_queues.values)
    fills = any(now.schedule.wavelets(message) > depth for message in now.schedule.messages)
    for line in range(max(len(before.starts), len(now.starts))):
        earlier, later = _intervals(before, before.times(line)), _intervals(now, now.times(line))
        starts = now.starts[min(line, len(now.starts) - 1)] - now.schedule.timing.stage
        if fills and any(start < starts[place] for (place, way), over in later.items() if not way for _, start, _ in over):
            return True
        for link in earlier.keys() & later.keys():
            for source, first, last in earlier[link]:
                if any((other != source or not link[1]) and start <= last + 2 and first <= end
                       for other, start, end in later[link]):
                    return True
    return False
