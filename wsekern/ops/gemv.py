"""Local matrix-vector product: every PE multiplies its slice of x with its tile of W."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.ops.line import NUMPY_DTYPES, check_tile, round_bf16, widen_bf16
from wsekern.program.program import Mem

if TYPE_CHECKING:
    from wsekern.ops.cycle import Emission
    from wsekern.ops.flow import FlowEngine


@dataclass(frozen=True)
class Gemv:
    """y(cols) = x(rows) W(rows, cols) on every PE, nothing sent.

    y starts at zero; for each row k in turn one multiply-add of x[k] and row k of W onto y (fused, one rounding; in
    fp32 a rounded product and a rounded sum). Cost: ``gemv_call + setup(fma) + rows (map + ceil(cols / rate))``.
    """

    rows: int
    cols: int
    colors: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if self.rows < 0 or self.cols < 0:
            raise InputError(f"a tile of {self.rows} x {self.cols}: expected sizes that are not negative")

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(compute, overhead) cycles of one PE."""
        if not self.rows or not self.cols:
            return 0, 0
        fma = timing.instruction("fma")
        overhead = timing.latency("gemv_call", timing.latency("call")) + timing.setup(fma)
        convert = timing.vector(timing.instruction("mov"), self.cols) if timing.dtype == "fp16_fp32" else 0
        return self.rows * timing.elements(fma, self.cols) + convert, overhead + self.rows * timing.latency("map")

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

    def reference(self, x: np.ndarray, w: np.ndarray, dtype: str = "fp32") -> np.ndarray:
        """Plain numpy: float64 holds every product exactly, and each sum is rounded once to the precision of y."""
        y = np.zeros((*x.shape[:-1], self.cols))
        x, w = ((widen_bf16(tile) if dtype == "bf16" else tile).astype(np.float64) for tile in (x, w))
        for k in range(self.rows):
            y = _rounded(x[..., k, None] * w[..., k, :] + y, dtype)
        return y.astype(np.float16) if dtype == "fp16_fp32" else _stored(y, dtype)

    def tiles(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of x and W on each PE."""
        return (self.rows,), (self.rows, self.cols)

    def role(self, position: int, length: int) -> None:
        """All PEs run the same program."""

    def paint(self, layout: Any, colors: Sequence[int]) -> None:
        """Nothing is sent."""

    def emit(self, out: "Emission", role: None) -> str:
        """One multiply-add of length cols, mapped over the rows; y is zero when the program is loaded."""
        x, w = out.inputs
        y = out.program.memory("y", out.type, self.cols)
        if self.rows and self.cols:
            out.program.spend(out.timing.latency("gemv_call", out.timing.latency("call")))
            wide = out.timing.dtype == "fp16_fp32"
            target = Mem(out.program.memory("y32", "fp32", self.cols) if wide else y, self.cols)
            out.program.emit(out.timing.instruction("fma"), target, target, Mem(x, self.cols, stride=0, advance=1),
                             Mem(w, self.cols, advance=self.cols), repeat=self.rows, between=out.timing.latency("map"))
            if wide:
                out.program.emit(out.timing.instruction("mov"), Mem(y, self.cols), target)
        return y


def _stored(y: np.ndarray, dtype: str) -> np.ndarray:
    return round_bf16(y.astype(np.float32)).reshape(y.shape) if dtype == "bf16" else y.astype(NUMPY_DTYPES[dtype])


def _rounded(y: np.ndarray, dtype: str) -> np.ndarray:
    """float64 values rounded to what an accumulator of ``dtype`` holds."""
    if dtype == "bf16":
        return widen_bf16(_stored(y, dtype)).astype(np.float64)
    return y.astype(np.float16 if dtype == "fp16" else np.float32).astype(np.float64)
