"""Scan along lines: every PE ends with the sum (or maximum) of its own tile and those of all lower PEs."""

from dataclasses import dataclass

import numpy as np

from wsekern.machine.timing import Timing
from wsekern.ops.operation import Axis, check_line
from wsekern.ops.reference import add_in, along, travelling
from wsekern.ops.schedule.operations import LineScheduled
from wsekern.ops.schedule.schedule import Schedule


@dataclass(frozen=True)
class Scan(LineScheduled):
    """Inclusive prefix sum of ``elements`` elements per PE along ``axis``, element by element.

    The running sum goes from PE to PE: each adds its tile into memory, then sends the sum on. In fp16 with fp32 accumulation
    sums travel as fp32, and each PE rounds its own once. Cost, B wavelets, P PEs, stage s and hop h: ``(P - 1)(B + 2 setup +
    s + h)`` or so, as a PE sends nothing until it has the whole sum.
    """

    elements: int
    axis: Axis
    op: str = "sum"

    def __post_init__(self) -> None:
        check_line(self.elements, self.axis, 0)

    def write(self, length: int, timing: Timing) -> Schedule:
        """Take, add, send on."""
        n, tile = self.elements, ("tile", 0)
        schedule = Schedule(length, n, timing, "scan_call", n, {"sum": (n, "sums")})
        total = ("sum", 0) if schedule.wide else tile
        onward = [schedule.message(pe, pe + 1, n) for pe in range(length - 1)]
        for pe in range(length):
            if pe:
                schedule.step(pe, self.op, n, total, tile, onward[pe - 1])
            if pe < length - 1:
                schedule.step(pe, "mov", n, onward[pe], total if pe else tile)
            if pe and total != tile:
                schedule.step(pe, "round", n, tile, total)
        return schedule

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        out = np.empty_like(tile)
        lines, results = travelling(timing.dtype, along(tile, self.axis)), along(out, self.axis)
        total = lines[:, 0]
        for pe in range(lines.shape[1]):
            total = add_in(timing.dtype, lines[:, pe], total, self.op) if pe else total
            results[:, pe] = total.astype(tile.dtype)
        return out
