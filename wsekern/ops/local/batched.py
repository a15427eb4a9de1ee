"""Vectors times matrices of their own: what every PE does for tokens that each chose other experts."""

from dataclasses import dataclass

import numpy as np

from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops.local.gemm import local_cycles
from wsekern.ops.local.gemv import WIDE, multiply_reference
from wsekern.ops.operation import Clocks, Emission, LocalOperation, Shapes, check_count, check_tile
from wsekern.program import Mem
from wsekern.tiles import gemv


@dataclass(frozen=True)
class BatchedGemv(LocalOperation):
    """Y (m, n) on every PE, nothing sent: row i is row i of X (m, k) times the i-th of ``m`` matrices W (m, k, n), as a Gemv.

    Matrices are read where they lie; two rows may name the same one. Cost: that of m Gemvs, called once.
    """

    m: int
    k: int
    n: int

    def __post_init__(self) -> None:
        check_count("the elements of the tiles", max(0, self.m) * max(0, self.k) * max(0, self.n))

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(compute, overhead) cycles of one PE."""
        return local_cycles(timing, self.m, self.k, self.n)

    def flow(self, engine: Clocks, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """x (height, width, m, k), w (height, width, m, k, n) -> y (height, width, m, n)."""
        x, w = check_tile(engine, x, self.m, self.k), check_tile(engine, w, self.m, self.k, self.n)
        self.time(engine)
        shape = engine.height, engine.width * self.m
        rows = gemv(x.reshape(*shape, self.k), w.reshape(*shape, self.k, self.n), engine.precision, threads=engine.threads)
        return rows.reshape(engine.height, engine.width, self.m, self.n)

    def reference(self, x: np.ndarray, w: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        return multiply_reference(x[..., None, :], w, timing.precision)[..., 0, :]

    def tiles(self) -> Shapes:
        """Shapes of X and W on each PE."""
        return (self.m, self.k), (self.m, self.k, self.n)

    def emit(self, out: Emission, role: None) -> str:
        """For each row a multiply-add of n elements, mapped over the rows of its matrix; sums are zero when the program is
        loaded."""
        timing, program, (x, w), wide = out.timing, out.program, out.inputs, out.timing.precision in WIDE
        result = program.memory(f"y.{out.serial}", out.type, self.m * self.n, 0)
        if not self.m * self.k * self.n:
            return result
        program.spend(timing.latency("gemv_call", timing.latency("call")))
        sums = program.memory(f"y32.{out.serial}", "fp32", self.m * self.n, 0) if wide else result
        for row in range(self.m):
            target = Mem(sums, self.n, row * self.n)
            program.emit(timing.instruction("fma"), target, target, Mem(x, self.n, row * self.k, stride=0, advance=1),
                         Mem(w, self.n, row * self.k * self.n, advance=self.n), repeat=self.k, between=timing.latency("map"))
            if wide:
                program.emit(timing.instruction("mov"), Mem(result, self.n, row * self.n), target)
        return result

    def result_shape(self, engine: Clocks, *tiles: np.ndarray) -> tuple[int, ...]:
        """Shape of the values."""
        return engine.height, engine.width, self.m, self.n

    def memory_bytes(self, engine: Clocks) -> int:
        """Bytes of the tiles that a PE holds."""
        return np.dtype(NUMPY_DTYPES[engine.precision]).itemsize * self.m * (self.k + self.k * self.n + self.n)
