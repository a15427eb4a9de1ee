"""Local matrix-vector product: every PE multiplies its slice of x with its tile of W."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wsekern.errors import InputError, is_whole
from wsekern.formulas import largest, smallest
from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES, round_bf16, widen_bf16
from wsekern.ops.local.vector import PIECE
from wsekern.ops.operation import Clocks, Emission, LocalOperation, Shapes, check_count, check_tile
from wsekern.program import Mem, Mem4d
from wsekern.tiles import gemv

WIDE = ("fp16_fp32", "bf16")
"""Number formats whose products are summed in fp32 and rounded once at the end."""


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
        if not self.rows or not self.cols:
            return 0, 0
        fma = timing.instruction("fma")
        overhead = timing.latency("gemv_call", timing.latency("call")) + timing.setup(fma)
        convert = timing.vector(timing.instruction("mov"), self.cols) if timing.precision in WIDE else 0
        return self.rows * timing.elements(fma, self.cols) + convert, overhead + self.rows * timing.latency("map")

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
        return emit_product(out, 1, self.rows, self.cols)

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


def row_blocks(rows: int, cols: int) -> Iterator[tuple[int, int]]:
    """(first, rows) of the rows of ``cols`` elements that an instruction takes together: up to :data:`PIECE` elements."""
    together = max(1, PIECE // max(1, cols))
    return ((row, min(together, rows - row)) for row in range(0, rows, together))


def block_sizes(rows: int, cols: int) -> tuple[tuple[int, int], ...]:
    """(how many, elements) of the equal ones of :func:`row_blocks`."""
    together = largest(1, PIECE // largest(1, cols))
    whole, rest = divmod(rows, together)
    return ((whole, together * cols), (smallest(rest, 1), rest * cols))


def emit_product(out: Emission, m: int, k: int, n: int, transposed: bool = False, together: bool = False) -> str:
    """Write the program of x (m, k) times w (k, n), or the transpose of w (n, k), on one PE: for each row of x a multiply-add
    of n elements, mapped over k; ``together`` for each k one of several rows. Sums are zero when the program is loaded. The
    symbol that holds the result."""
    timing, program, (x, w) = out.timing, out.program, out.inputs
    result = program.memory(f"y.{out.serial}", out.type, m * n, 0)
    if not m or not k or not n:
        return result
    program.spend(timing.latency("gemv_call", timing.latency("call")))
    wide = timing.precision in WIDE
    sums = program.memory(f"y32.{out.serial}", "fp32", m * n, 0) if wide else result
    if together:
        for row, rows in row_blocks(m, n):
            target = Mem(sums, rows * n, row * n)
            for inner in range(k):
                shared = Mem4d(w, (rows, n), (0, k), inner) if transposed else Mem4d(w, (rows, n), (0, 1), inner * n)
                program.emit(timing.instruction("fma"), target, target, Mem4d(x, (rows, n), (k, 0), row * k + inner), shared)
            if wide:
                program.emit(timing.instruction("mov"), Mem(result, rows * n, row * n), target)
        return result
    right = Mem(w, n, stride=k, advance=1) if transposed else Mem(w, n, advance=n)
    for row in range(m):
        target = Mem(sums, n, row * n)
        program.emit(timing.instruction("fma"), target, target, Mem(x, n, row * k, stride=0, advance=1), right, repeat=k,
                     between=timing.latency("map"))
        if wide:
            program.emit(timing.instruction("mov"), Mem(result, n, row * n), target)
    return result
