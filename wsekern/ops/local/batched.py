"""Vectors times matrices of their own: what every PE does for tokens that each chose other experts."""

from dataclasses import dataclass, field

import numpy as np

from wsekern.errors import check_flags
from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops.local.gemv import multiply_reference
from wsekern.ops.local.product import TileProduct
from wsekern.ops.operation import Clocks, Emission, LocalOperation, Shapes, check_count, check_tile
from wsekern.tiles import gemv


@dataclass(frozen=True)
class BatchedGemv(LocalOperation):
    """Y (m, n) on every PE, nothing sent: row i is row i of X (m, k) times the i-th of ``m`` matrices W (m, k, n), as a Gemv.

    Matrices are read where they lie; two rows may name the same one. Cost: that of m Gemvs, called once; with ``together``, in
    the quickest order of :mod:`wsekern.ops.local.product`.
    """

    m: int
    k: int
    n: int
    together: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        check_flags(self)
        check_count("the elements of the tiles", max(0, self.m) * max(0, self.k) * max(0, self.n))

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(compute, overhead) cycles of one PE."""
        return self.product.cycles(timing, self.together)

    @property
    def product(self) -> TileProduct:
        """Its instructions."""
        return TileProduct(self.m, self.k, self.n, own=True)

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
        """The instructions of :attr:`product`."""
        return self.product.emit(out, self.together)

    def result_shape(self, engine: Clocks, *tiles: np.ndarray) -> tuple[int, ...]:
        """Shape of the values."""
        return engine.height, engine.width, self.m, self.n

    def memory_bytes(self, engine: Clocks) -> int:
        """Bytes of the tiles that a PE holds."""
        return np.dtype(NUMPY_DTYPES[engine.precision]).itemsize * self.m * (self.k + self.k * self.n + self.n)
