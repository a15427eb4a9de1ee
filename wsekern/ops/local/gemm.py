"""Local products of matrices: every PE multiplies its own tiles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil, prod
from typing import Any

import numpy as np

from wsekern.errors import InputError, check_flags, is_whole
from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops.local.gemv import multiply_reference
from wsekern.ops.local.product import TileProduct
from wsekern.ops.local.shared import multiply
from wsekern.ops.operation import Axis, Clocks, Emission, LocalOperation, Shapes, check_count, check_tile, check_values
from wsekern.ops.repeated import Repeated
from wsekern.tiles import gemm, gemm_transposed


def check_product(product: Any) -> None:
    """Refuse sizes m, k, n of tiles that no memory holds."""
    if not all(is_whole(size) and size >= 0 for size in (product.m, product.k, product.n)):
        raise InputError(f"tiles of {product.m!r} x {product.k!r} x {product.n!r}: expected sizes that are not negative")
    m, k, n = (size if isinstance(size, int) else int(size) for size in (product.m, product.k, product.n))  # numpy's overflow
    for one, other in ((m, k), (k, n), (m, n)):
        check_count("the elements of a tile", one * other)
    check_flags(product)


CACHED, ROW = 1 << 25, 1 << 9
"""Bytes of products that are made before they are used, and of a row of them that is worth a start."""


class LocalProduct(LocalOperation):
    """A product of tiles m x k and k x n, the right one stored as it is or transposed: a Gemv for each row of the left one, in
    the same order of adds. Cost: that of m Gemvs, called once; with ``together``, in the quickest order of
    :mod:`wsekern.ops.local.product`: the same chain of sums for every element."""

    m: int
    k: int
    n: int
    transposed: bool = False
    together: bool = False

    def __post_init__(self) -> None:
        check_product(self)

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(compute, overhead) cycles of one PE."""
        return self.product.cycles(timing, self.together)

    @property
    def product(self) -> TileProduct:
        """Its instructions."""
        return TileProduct(self.m, self.k, self.n, self.transposed)

    def flow(self, engine: Clocks, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Tiles (height, width, m, k) and (height, width, k, n), or (height, width, n, k) where the right one lies transposed
        -> (height, width, m, n)."""
        left, right = (check_tile(engine, tile, *shape) for tile, shape in zip((left, right), self.tiles(), strict=True))
        self.time(engine)
        kernel = gemm_transposed if self.transposed else gemm
        return kernel(left, right, engine.precision, threads=engine.threads)

    def values(self, engine: Clocks, *tiles: Repeated) -> Repeated:
        """Values alone: left tiles that neighbors share are multiplied by theirs as by one wide tile, where these lie side by
        side in memory."""
        left, right = self._checked(engine, tiles)
        return multiply(left, right, engine.precision, engine.threads)

    def pieces(self, engine: Clocks, axis: Axis, *tiles: Repeated) -> Iterator[tuple[slice, np.ndarray]] | None:
        """Products of as many lines as make :data:`CACHED` bytes, but of rows of some :data:`ROW` bytes."""
        operands, lines = self._checked(engine, tiles), engine.lines(axis)
        size = np.dtype(NUMPY_DTYPES[engine.precision]).itemsize * self.n
        count = max(CACHED // max(1, engine.length(axis) * self.m * size), ceil(ROW / max(1, size)))
        across = 1 if axis == "y" else 0
        parts = [slice(start, min(start + count, lines)) for start in range(0, lines, count)]
        cut = [[tile.some(across, part) for tile in operands] for part in parts]
        if len(parts) < 2 or any(tile is None for pair in cut for tile in pair):
            return None
        return ((part, multiply(*pair, engine.precision, engine.threads).full()) for part, pair in zip(parts, cut, strict=True))

    def _checked(self, engine: Clocks, tiles: Sequence[Repeated]) -> list[Repeated]:
        """The tiles as they are multiplied."""
        for tile, shape in zip(tiles, self.tiles(), strict=True):
            check_values(engine, tile, prod(shape), engine.precision)
        left, right = tiles
        return [left, right.with_tiles(right.tiles.swapaxes(2, 3)) if self.transposed else right]

    def reference(self, left: np.ndarray, right: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        return multiply_reference(left, right.swapaxes(-1, -2) if self.transposed else right, timing.precision)

    def tiles(self) -> Shapes:
        """Shapes of the tiles on each PE."""
        return (self.m, self.k), (self.n, self.k) if self.transposed else (self.k, self.n)

    def emit(self, out: Emission, role: None) -> str:
        """The instructions of :attr:`product`."""
        return self.product.emit(out, self.together)

    def result_shape(self, engine: Clocks, *tiles: np.ndarray) -> tuple[int, ...]:
        """Shape of the values."""
        return engine.height, engine.width, self.m, self.n

    def memory_bytes(self, engine: Clocks) -> int:
        """Bytes of the tiles that a PE holds."""
        return np.dtype(NUMPY_DTYPES[engine.precision]).itemsize * (self.m * self.k + self.k * self.n + self.m * self.n)


@dataclass(frozen=True)
class Gemm(LocalProduct):
    """C (m, n) = X (m, k) W (k, n) on every PE, nothing sent: a Gemv for each row of X, in the same order of adds. Cost:
    that of m Gemvs, called once.
    """

    m: int
    k: int
    n: int
    together: bool = field(default=False, repr=False)


@dataclass(frozen=True)
class GemmTransposed(LocalProduct):
    """S (m, n) = Q (m, k) K^T on every PE, K (n, k), nothing sent: columns of K are the rows that a Gemv goes through.

    The inner index is outermost, so each multiply-add is n long; K is stored so that its columns are strided. Cost: that of
    m Gemvs, called once.
    """

    m: int
    n: int
    k: int
    together: bool = field(default=False, repr=False)
    transposed = True


def multiply_cycles(timing: Timing, m: int, k: int, n: int) -> tuple[int, int]:
    """(compute, overhead) of one tile product: k loop bodies, each a map over n calls of a multiply-add of length m.

    Rounded up once: what a mapped call takes is a mean over many, not a whole number of cycles. Not less than its k
    instructions take on the core.
    """
    if not m * k * n:
        return 0, 0
    compute = ceil(k * n * m / timing.rate(timing.instruction("fma")))
    overhead = timing.exact("gemm_call") + k * (timing.exact("gemm_row") + n * timing.exact("gemm_map"))
    return compute, max(ceil(overhead), instruction_cycles(timing, m, k, n) - compute)


def instruction_cycles(timing: Timing, m: int, k: int, n: int) -> int:
    """Cycles of the k mapped multiply-adds of one tile product by themselves."""
    fma = timing.instruction("fma")
    return k * (timing.setup(fma) + n * timing.elements(fma, m))
