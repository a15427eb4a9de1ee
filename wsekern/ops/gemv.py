"""Local matrix-vector product: every PE multiplies its slice of x with its tile of W."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsekern.errors import InputError
from wsekern.ops.line import check_tile
from wsekern.ops.timing import Timing

if TYPE_CHECKING:
    from wsekern.ops.flow import FlowEngine


@dataclass(frozen=True)
class Gemv:
    """y(cols) = x(rows) W(rows, cols) on every PE, nothing sent.

    y starts at zero; for each row k in turn one multiply-add of x[k] and row k of W onto y (fused, one rounding; in
    fp32 a rounded product and a rounded sum). Cost: ``gemv_call + setup(fma) + rows (map + ceil(cols / rate))``.
    """

    rows: int
    cols: int

    def __post_init__(self) -> None:
        if self.rows < 0 or self.cols < 0:
            raise InputError(f"a tile of {self.rows} x {self.cols}: expected sizes that are not negative")

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(compute, overhead) cycles of one PE."""
        if not self.rows or not self.cols:
            return 0, 0
        fma = timing.instruction("fma")
        overhead = timing.latency("gemv_call", timing.latency("call")) + timing.setup(fma)
        return self.rows * timing.elements(fma, self.cols), overhead + self.rows * timing.latency("map")

    def time(self, engine: "FlowEngine") -> None:
        """Advance the clocks of ``engine`` by this operation."""
        compute, overhead = self.cycles(engine.timing)
        engine.spend(compute=compute, overhead=overhead)

    def flow(self, engine: "FlowEngine", x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """x (height, width, rows), w (height, width, rows, cols) -> y (height, width, cols)."""
        from wsekern.tiles import gemv

        x, w = check_tile(engine, x, self.rows), check_tile(engine, w, self.rows, self.cols)
        self.time(engine)
        return gemv(x, w, engine.dtype, threads=engine.threads)
