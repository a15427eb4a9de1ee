"""Local matrix-vector product: every PE multiplies its slice of x with its tile of W."""

from dataclasses import dataclass

import numpy as np

from wsekern.errors import InputError, is_whole
from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES, round_bf16, widen_bf16
from wsekern.ops.local.product import TileProduct
from wsekern.ops.operation import Clocks, Emission, LocalOperation, Shapes, check_count, check_tile
from wsekern.tiles import gemv


@dataclass(frozen=True)
class Gemv(LocalOperation):
    """y(cols) = x(rows) W(rows, cols) on every PE, nothing sent.

    y starts at zero; for each row k in turn one multiply-add of x[k] and row k of W onto y (fused, one rounding; in
    fp16 with fp32 accumulation and in bf16 onto an fp32 y that is rounded once at the end). Cost: ``gemv_call +
    setup(fma) + rows (map + ceil(cols / rate))``.
    """

    rows: int
    cols: int

    def __post_init__(self) -> None:
        if not all(is_whole(size) and size >= 0 for size in (self.rows, self.cols)):
            raise InputError(f"a tile of {self.rows!r} x {self.cols!r}: expected sizes that are not negative")
        check_count("the elements of a tile", self.rows * self.cols)

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(compute, overhead) cycles of one PE."""
        return TileProduct(1, self.rows, self.cols).cycles(timing, together=False)

    def flow(self, engine: Clocks, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """x (height, width, rows), w (height, width, rows, cols) -> y (height, width, cols)."""
        x, w = check_tile(engine, x, self.rows), check_tile(engine, w, self.rows, self.cols)
        self.time(engine)
        return gemv(x, w, engine.precision, threads=engine.threads)

    def reference(self, x: np.ndarray, w: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        return multiply_reference(x[..., None, :], w, timing.precision)[..., 0, :]

    def tiles(self) -> Shapes:
        """Shapes of x and W on each PE."""
        return (self.rows,), (self.rows, self.cols)

    def emit(self, out: Emission, role: None) -> str:
        """One multiply-add of length cols, mapped over the rows; y is zero when the program is loaded."""
        return TileProduct(1, self.rows, self.cols).emit(out, together=False)

    def result_shape(self, engine: Clocks, *tiles: np.ndarray) -> tuple[int, ...]:
        """Shape of the values."""
        return engine.height, engine.width, self.cols

    def memory_bytes(self, engine: Clocks) -> int:
        """Bytes of the tiles that a PE holds."""
        return np.dtype(NUMPY_DTYPES[engine.precision]).itemsize * (self.rows * self.cols + self.rows + self.cols)


def multiply_reference(x: np.ndarray, w: np.ndarray, precision: str) -> np.ndarray:
    """x (..., m, k) times w (..., k, n) in plain numpy, inner index outermost: float64 holds every product exactly, and each
    sum is rounded once to the number format of sums."""
    total = np.zeros((*x.shape[:-1], w.shape[-1]))
    x, w = ((widen_bf16(tile) if precision == "bf16" else tile).astype(np.float64) for tile in (x, w))
    for k in range(w.shape[-2]):
        total = x[..., :, k, None] * w[..., None, k, :] + total
        total = total.astype(np.float16 if precision == "fp16" else np.float32).astype(np.float64)
    if precision == "bf16":
        return round_bf16(total.astype(np.float32)).reshape(total.shape)
    return total.astype(NUMPY_DTYPES[precision])
