"""Lists of operations timed by lines: while all lines along an axis are alike, clocks along x and along y know nothing of each
other, and what takes all PEs equally long is a sum. So each axis is timed alone, once for all grids and lists that have it."""

from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np

from wsekern.machine import Machine
from wsekern.machine.timing import Timing
from wsekern.ops._timing import CAUSE_NAMES, latest_clock, spend, synchronise_line
from wsekern.ops.engines.flow import cycles_of, kept_timing
from wsekern.ops.operation import Axis, LocalOperation, Operation

Causes = tuple[int, ...]
"""Cycles by cause, in the order of :data:`CAUSE_NAMES`."""


class _Together(Exception):
    """An operation looks at both axes."""


class OneLine:
    """One line of PEs that are all ready at once, as operations see it that go along it: see
    :class:`wsekern.ops.operation.Clocks`."""

    threads = 1
    reports = False

    def __init__(self, timing: Timing, axis: Axis, length: int) -> None:
        self.width, self.height = (length, 1) if axis == "x" else (1, length)
        self.precision, self.timing, self._axis, self._length = timing.precision, timing, axis, length
        self.link_traversals = 0
        self._clocks = np.zeros((length, len(CAUSE_NAMES)), np.int64)

    def timing_of(self, precision: str | None) -> Timing:
        """Costs in ``precision``, its own where it is None."""
        return self.timing.of(precision or self.precision)

    @property
    def causes(self) -> Causes:
        """Cycles of the last PE to be done, by cause."""
        return tuple(self._clocks[latest_clock(self._clocks[None])[1]].tolist())

    def length(self, axis: str) -> int:
        """PEs of a line along ``axis``."""
        return self._length if axis == self._axis else 1

    def lines(self, axis: str) -> int:
        """Lines along ``axis``."""
        return 1 if axis == self._axis else self._length

    def on_lines(self, axis: str, advance: Callable[[np.ndarray], None]) -> None:
        """Let ``advance`` move the clocks of the line."""
        advance(self._clocks)

    def grid(self) -> np.ndarray:
        """The line as a grid."""
        return self._clocks.reshape(self.height, self.width, -1)

    def spend(self, *, compute: int = 0, fabric: int = 0, stages: int = 0, overhead: int = 0, stream: int = 0) -> None:
        """Work that takes every PE the same number of cycles, by cause."""
        spend(self._clocks, np.array((compute, fabric, stages, overhead, stream), np.int64))

    def synchronise(self) -> None:
        """Set every clock to the latest."""
        synchronise_line(self._clocks)

    def time(self, operation: Operation) -> None:
        """Move the clocks on by another operation."""
        operation.time(self)

    def note(self, operation: Operation, reason: str) -> None:
        """Notes are for those who read the engine's."""

    def happened(self, operation: Operation, flags: int) -> None:
        """As notes."""


class _OneAxis(OneLine):
    """A line of a grid, for operations that look at no other axis."""

    def grid(self) -> np.ndarray:
        raise _Together

    def synchronise(self) -> None:
        raise _Together


def time_apart(machine: Machine, width: int, height: int, precision: str, operations: Iterable[Operation],
               profile: str) -> dict[str, int] | None:
    """Cycles by cause of the last PE of a grid, as a :class:`TimingEngine` has them; None where some operation looks at both
    axes."""
    compute, overhead, lines = 0, 0, dict[Axis, list[Operation]](x=[], y=[])
    timing = kept_timing(machine, profile, precision)
    for operation in operations:
        if isinstance(operation, LocalOperation):
            one = cycles_of(operation, timing)
            compute, overhead = compute + one[0], overhead + one[1]
        elif operation.axis is None:
            return None
        else:
            lines[operation.axis].append(operation)
    found = [time_along(machine, axis, length, precision, tuple(lines[axis]), profile)
             for axis, length in (("x", width), ("y", height))]
    if None in found:
        return None
    return along_both(compute, overhead, *found)


def along_both(compute: int, overhead: int, *lines: Causes) -> dict[str, int]:
    """The sum of work of all PEs and of what lines take, by cause."""
    causes = {name: sum(values) for name, *values in zip(CAUSE_NAMES, *lines, strict=True)}
    return causes | {"compute": causes["compute"] + compute, "overhead": causes["overhead"] + overhead}


@lru_cache(maxsize=65536)
def time_along(machine: Machine, axis: Axis, length: int, precision: str, operations: tuple[Operation, ...],
           profile: str) -> Causes | None:
    """Of operations along one axis, one after the other."""
    line = _OneAxis(kept_timing(machine, profile, precision), axis, length)
    try:
        for operation in operations:
            operation.time(line)
    except _Together:
        return None
    return line.causes
