"""Lists of operations timed by lines: while all lines along an axis are alike, clocks along x and along y know nothing of each
other, and what takes all PEs equally long is a sum. So each axis is timed alone, once for all grids and lists that have it."""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from wsekern.machine import Machine
from wsekern.ops._timing import CAUSE_NAMES
from wsekern.ops.engines.flow import TimingEngine, cycles_of, kept_timing
from wsekern.ops.operation import Axis, LocalOperation, Operation

Causes = tuple[int, ...]
"""Cycles by cause, in the order of :data:`CAUSE_NAMES`."""


class _Together(Exception):
    """An operation looks at both axes."""


class _OneAxis(TimingEngine):
    """A line of PEs."""

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
    engine = _OneAxis(machine, *((length, 1) if axis == "x" else (1, length)), profile=profile, precision=precision)
    try:
        for operation in operations:
            operation.time(engine)
    except _Together:
        return None
    return tuple(engine.breakdown[name] for name in CAUSE_NAMES)
