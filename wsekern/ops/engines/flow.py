"""The flow engine: runs operations for all PEs of a grid at once, values and a local clock per PE."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Self

import numpy as np

from wsekern.errors import InputError
from wsekern.machine import Machine
from wsekern.machine.timing import Timing
from wsekern.ops._timing import CAUSE_NAMES, HELD_FLAG, latest_clock, spend, synchronise_line
from wsekern.ops.engines.contention import clocks_by_wavelet
from wsekern.ops.engines.engine import Engine
from wsekern.ops.engines.saved import SavedClocks, fitting
from wsekern.ops.engines.sharing import LinkWatch
from wsekern.ops.operation import LocalOperation, Operation, check_arrays
from wsekern.ops.pieces import Pieces
from wsekern.ops.repeated import Repeated


@dataclass(frozen=True, eq=False)
class Mark:
    """Clocks of a flow engine, cycles by cause of its row and its column of PEs, and what else moves on with operations."""

    row: np.ndarray
    column: np.ndarray
    link_traversals: int
    watched: tuple[Any, ...]


class FlowEngine(Engine):
    """Values and clocks of a ``width`` x ``height`` grid of PEs, operation by operation, without stepping cycles.

    Every PE has a local clock and each operation starts on each PE when that PE is ready: there is no barrier that the
    hardware does not have. An operation along lines takes as long on a line that starts late as on one that starts
    early, so the clock of PE (y, x) is ``row[y] + column[x]``: two lines stand for the whole grid and clocks cost no
    more on a full wafer than on one row and one column of it. After an operation over both axes that holds for few pieces of
    the grid; after others that are not alike on all lines (such as those on several regions) every PE has a clock of its own.

    Where words of several messages meet on a link or a ramp, or wait for a busy core, clocks are near those of the cycle
    engine and ``notes`` says why; with ``contended="cycle"`` these operations alone are timed wavelet by wavelet. Where words
    of two operations may meet, ``notes`` says so too: run these on the cycle engine together.
    """

    values_take_time = False
    reports = True
    counters: ClassVar[tuple[str, ...]] = ()
    """Whole numbers that it counts beside."""

    def __init__(self, machine: Machine | str, width: int, height: int, profile: str = "silicon", precision: str = "fp16",
                 threads: int = 1, contended: str = "bound") -> None:
        super().__init__(machine, width, height, profile, precision, threads)
        if contended not in ("bound", "cycle"):
            raise InputError(f"contended is {contended!r}: use bound, or cycle to move the words of such operations one by one")
        self.contended = contended
        self._room: np.ndarray | None = None
        self.reset()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_room": self._grid}       # room without clocks in it holds nothing

    def __copy__(self) -> Self:
        return deepcopy(self)       # clocks move in place: a copy has its own

    def reset(self) -> None:
        """All clocks and counters to zero."""
        self._row = np.zeros((self.height, len(CAUSE_NAMES)), np.int64)
        self._column = np.zeros((self.width, len(CAUSE_NAMES)), np.int64)
        self._grid: np.ndarray | None = None
        self._pieces: Pieces | None = None
        self._watch = LinkWatch()
        self.link_traversals = 0
        self.notes = {}

    def run(self, operation: Operation, *tiles: np.ndarray) -> Any:
        """Run ``operation`` on ``tiles``: its values, and the clocks move on."""
        check_arrays(tiles)
        operation = operation.on(self.timing, self.width, self.height)
        with self._watched(operation), self._contention(operation):
            return operation.flow(self, *tiles)

    def values(self, operation: Operation, *tiles: Repeated) -> Any:
        """The values of ``operation`` on ``tiles``, no clock moves: what PEs hold in common is computed once."""
        return operation.values(self, *tiles)

    def values_of(self, first: Operation, operation: Operation, *tiles: Repeated) -> Any:
        """The values of ``operation`` on those of ``first``, no clock moves: some lines after others where that is quicker."""
        return operation.values_of(first, self, *tiles)

    def time(self, operation: Operation) -> None:
        """Move the clocks on by ``operation``, without values."""
        operation = operation.on(self.timing, self.width, self.height)
        with self._watched(operation), self._contention(operation):
            operation.time(self)

    @contextmanager
    def _watched(self, operation: Operation) -> Iterator[None]:
        """An operation whose words may meet those of the one before leaves a note; one that is refused is not remembered."""
        sent = self._watch.before(self, operation)
        yield
        self._watch.after(self, operation, sent)

    @contextmanager
    def _contention(self, operation: Operation) -> Iterator[None]:
        """Clocks of an operation that leaves a note are the cycle engine's where that is asked for."""
        if self.contended == "bound" or not operation.sends:
            yield
            return
        known, self.notes = self.notes, {}
        alike, axis = self.lines_are_alike, operation.axis
        start = self.line_clock(axis)[None] if alike and axis is not None else self.clock
        try:
            yield
            if self.notes and alike and axis is not None:
                self.set_line(axis, clocks_by_wavelet(operation.along_x(), self.timing, start)[0])
            elif self.notes:
                self.set_clock(clocks_by_wavelet(operation, self.timing, start))
        finally:
            self.notes = known

    def start(self) -> tuple[Hashable, ...] | None:
        """All that the clocks of what comes next depend on, but for when it starts: the same operations after the same start
        take the same cycles. None where that cannot be said shortly."""
        watched = self._watch.start()
        if not self.lines_are_alike or watched is None:
            return None
        return watched, (self._row - self._row[0]).tobytes(), (self._column - self._column[0]).tobytes()

    def mark(self) -> "Mark":
        """Where the clocks are."""
        return Mark(self._row.copy(), self._column.copy(), self.link_traversals, self._watch.place())

    def repeat(self, before: "Mark", after: "Mark") -> None:
        """Move the clocks on as the operations between two marks of this engine did, after the same :meth:`start`."""
        self._row = after.row + (self._row[0] - before.row[0])
        self._column = after.column + (self._column[0] - before.column[0])
        self.link_traversals += after.link_traversals - before.link_traversals
        self._watch.go_on_from(after.watched)

    def saved(self) -> SavedClocks:
        """Clocks, counters and notes as data."""
        grid = None if self.lines_are_alike else self.grid().copy()
        return SavedClocks(self._row.copy(), self._column.copy(), grid, int(self.link_traversals), dict(self.notes),
                           self._watch.saved(), {name: vars(self)[name] for name in self.counters})

    def restore(self, saved: SavedClocks) -> None:
        """Be where :meth:`saved` of an engine of the same grid was; :class:`InputError` where it was none."""
        if set(saved.counted) != set(self.counters):
            raise InputError(f"saved by an engine that counts {', '.join(saved.counted) or 'nothing'}, not by this one")
        row, column = fitting(saved.row, self._row, "row of clocks"), fitting(saved.column, self._column, "column of clocks")
        self.reset()
        if saved.grid is not None:
            self.grid()[...] = fitting(saved.grid, self.grid(), "grid of clocks")
        self._row, self._column = row.copy(), column.copy()
        self.link_traversals, self.notes = saved.link_traversals, dict(saved.notes)
        self._watch.restore(self, saved.watch)
        for name, value in saved.counted.items():
            setattr(self, name, value)

    def timing_of(self, precision: str | None) -> Timing:
        """Costs in ``precision``, the engine's own where it is None."""
        return self.timing if precision in (None, self.precision) else Timing(self.machine, self.profile, precision)

    def length(self, axis: str) -> int:
        """PEs of a line along ``axis``."""
        return self.height if axis == "y" else self.width

    def lines(self, axis: str) -> int:
        """Lines along ``axis``."""
        return self.width if axis == "y" else self.height

    def on_lines(self, axis: str, advance: Callable[[np.ndarray], None]) -> None:
        """Let ``advance`` move the clocks, cycles by cause (PEs, causes), of all lines along ``axis``: of one line while
        all lines are alike, of each where they are not."""
        if self.lines_are_alike:
            advance(self._row if axis == "y" else self._column)
            return
        lines = self.grid().swapaxes(0, 1) if axis == "y" else self.grid()
        for index in range(len(lines)):
            line = np.ascontiguousarray(lines[index])
            advance(line)
            lines[index] = line

    def grid(self) -> np.ndarray:
        """Cycles by cause of every PE (height, width, causes), for operations that are not alike on all lines: from here
        on every PE has a clock of its own."""
        if self._grid is None:
            if self._room is None:
                self._room = np.empty((self.height, self.width, len(CAUSE_NAMES)), np.int64)
            self._grid, found = self._room, self._pieces or Pieces(self._row, self._column)
            found.spread(self._grid)
            self._pieces = None
        return self._grid

    def pieces(self) -> Pieces | None:
        """The same as pieces, for operations after which few stand for the grid; None where every PE has a clock of its own."""
        if self._grid is None and self._pieces is None:
            self._pieces = Pieces(self._row, self._column)
        return self._pieces

    def spend(self, *, compute: int = 0, fabric: int = 0, stages: int = 0, overhead: int = 0, stream: int = 0) -> None:
        """Work that takes every PE the same number of cycles, by cause."""
        cycles = np.array((compute, fabric, stages, overhead, stream), np.int64)
        if self._pieces is not None:
            self._pieces.spend(cycles)
        else:
            spend(self._row if self._grid is None else self._grid.reshape(-1, len(CAUSE_NAMES)), cycles)

    def synchronise(self) -> None:
        """Set every clock to the latest: a barrier, the bound of many rounds of neighbor exchange."""
        if not self.lines_are_alike:
            synchronise_line(self.grid().reshape(-1, len(CAUSE_NAMES)))
        synchronise_line(self._row)
        synchronise_line(self._column)

    def set_line(self, axis: str, clock: np.ndarray) -> None:
        """Set the clocks of the line along ``axis`` for which all lines stand; what they differ by counts as stream."""
        line = self._row if axis == "y" else self._column
        line[:, CAUSE_NAMES.index("stream")] += clock - line.sum(axis=1)

    def set_clock(self, clock: np.ndarray) -> None:
        """Set the clocks of all PEs (height, width); what they differ by counts as stream."""
        grid = self.grid()
        grid[:, :, CAUSE_NAMES.index("stream")] += clock - grid.sum(axis=2)

    @property
    def lines_are_alike(self) -> bool:
        """Whether one row and one column still stand for all PEs."""
        return self._grid is None and self._pieces is None

    def line_clock(self, axis: str) -> np.ndarray:
        """Clocks of the line along ``axis`` for which all lines stand."""
        return (self._row if axis == "y" else self._column).sum(axis=1)

    def clocks_along(self, axis: str | None) -> np.ndarray:
        """Clocks (lines, PEs) of all lines along ``axis`` that differ; of the whole grid as one line where it is None."""
        if axis is not None and self.lines_are_alike:
            return self.line_clock(axis)[None]
        return {"x": self.clock, "y": self.clock.T, None: self.clock.reshape(1, -1)}[axis]

    def clock_of(self, pe: int | None) -> int:
        """Clock of a PE, counted row by row; the earliest of all where it is None."""
        if self.lines_are_alike:
            lines = self._row.sum(axis=1), self._column.sum(axis=1)
            places = (line.argmin() for line in lines) if pe is None else divmod(pe, self.width)
            return int(sum(line[place] for line, place in zip(lines, places, strict=True)))
        return int(self.clock.min() if pe is None else self.clock.flat[pe])

    def note(self, operation: Operation, reason: str) -> None:
        """Remember why the clocks of ``operation`` are bounds; nothing without a reason."""
        if reason:
            self.notes[operation.label] = reason

    def happened(self, operation: Operation, flags: int) -> None:
        """Record from the kernel's flags why this operation's clocks may be early."""
        if flags & HELD_FLAG:
            self.note(operation, "words wait for a core that is late until its queue is full: the flow engine's clocks do not "
                                 "see what that holds back")
        self._watch.happened(self, operation, flags)

    @property
    def clock(self) -> np.ndarray:
        """Local clock of every PE in cycles, int64 (height, width)."""
        if self._grid is not None:
            return self._grid.sum(axis=2)
        if self._pieces is not None:
            return self._pieces.clock()
        return self._row.sum(axis=1)[:, None] + self._column.sum(axis=1)[None, :]

    @property
    def cycles(self) -> int:
        """Cycle at which the last PE is done."""
        if self._grid is not None:
            return latest_clock(self._grid)[0]
        if self._pieces is not None:
            return int(self._pieces.latest().sum())
        return int(self._row.sum(axis=1).max() + self._column.sum(axis=1).max())

    @property
    def breakdown(self) -> dict[str, int]:
        """Cycles on the critical path of the last PE to finish, by cause; they add up to :attr:`cycles`.

        ``compute``: elements of local instructions; ``fabric``: hops; ``stages``: ramps and the cores' in- and output
        pipelines; ``overhead``: calls and set-ups; ``stream``: the rest of a message after its first word.
        """
        if not self.lines_are_alike:
            last = self._pieces.latest() if self._pieces else self.grid().reshape(-1, len(CAUSE_NAMES))[
                latest_clock(self.grid())[1]]
            return {name: int(value) for name, value in zip(CAUSE_NAMES, last, strict=True)}
        row = self._row[self._row.sum(axis=1).argmax()]
        column = self._column[self._column.sum(axis=1).argmax()]
        return {name: int(value) for name, value in zip(CAUSE_NAMES, row + column, strict=True)}


class TimingEngine(FlowEngine):
    """The clocks of a :class:`FlowEngine` alone: no notes, and no link traversals where operations can leave them out."""

    reports = False

    def reset(self) -> None:
        """All clocks to zero."""
        super().reset()
        self._spent = dict.fromkeys(CAUSE_NAMES, 0)

    def time(self, operation: Operation) -> None:
        """Move the clocks on by ``operation``."""
        if isinstance(operation, LocalOperation):
            compute, overhead = cycles_of(operation, self.timing)
            self._spent["compute"] += compute
            self._spent["overhead"] += overhead
        else:
            operation.time(self)

    def spend(self, *, compute: int = 0, fabric: int = 0, stages: int = 0, overhead: int = 0, stream: int = 0) -> None:
        """Work that takes every PE the same number of cycles; what takes all equally long is added at the end."""
        for cause, cycles in zip(CAUSE_NAMES, (compute, fabric, stages, overhead, stream), strict=True):
            self._spent[cause] += cycles

    def _added(self) -> "TimingEngine":
        """With all cycles on the clocks."""
        super().spend(**self._spent)
        self._spent = dict.fromkeys(CAUSE_NAMES, 0)
        return self

    @property
    def clock(self) -> np.ndarray:
        """Local clock of every PE in cycles, int64 (height, width)."""
        return super(TimingEngine, self._added()).clock

    @property
    def cycles(self) -> int:
        """Cycle at which the last PE is done."""
        return super(TimingEngine, self._added()).cycles

    @property
    def breakdown(self) -> dict[str, int]:
        """As that of a flow engine."""
        return super(TimingEngine, self._added()).breakdown

    def note(self, operation: Operation, reason: str) -> None:
        """Nothing is noted."""

    def happened(self, operation: Operation, flags: int) -> None:
        """Nothing is recorded."""

    def timing_of(self, precision: str | None) -> Timing:
        """Costs in ``precision``, the engine's own where it is None; kept."""
        return self.timing if precision in (None, self.precision) else kept_timing(self.machine, self.profile, str(precision))


@lru_cache(maxsize=65536)
def cycles_of(operation: LocalOperation, timing: Timing) -> tuple[int, int]:
    """(compute, overhead) cycles, kept."""
    return operation.cycles(timing)


@lru_cache(maxsize=256)
def kept_timing(machine: Machine, profile: str, precision: str) -> Timing:
    """Costs of a machine, once for all that ask."""
    return Timing(machine, profile, precision)
