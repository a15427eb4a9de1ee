"""Matrices whose sizes do not divide by the PEs: padded with zeros, and how much of it is padding.

A product of 5 x 7 and 7 x 3 on 2 x 2 PEs; the tiles are cut back to 5 x 3:

>>> import numpy as np
>>> from wsekern.ops import FlowEngine, MeshGemm, join_tiles, split_operands
>>> a, b = np.ones((5, 7), np.float32), np.ones((7, 3), np.float32)
>>> x, w, (m, k, n) = split_operands(a, b, 2, 2)
>>> x.tiles.shape, x.padding, round(x.efficiency, 2)
((2, 2, 3, 4), 13, 0.73)
>>> tiles = FlowEngine("wse3", 2, 2, "silicon", "fp32").run(MeshGemm(m, k, n), x.tiles, w.tiles)
>>> join_tiles(tiles, (5, 3)).tolist()[0]
[7.0, 7.0, 7.0]
"""

from dataclasses import dataclass
from math import lcm

import numpy as np

from wsekern.errors import InputError, check_flag
from wsekern.shown import Shown


@dataclass(frozen=True, eq=False, repr=False)
class Padded(Shown):
    """A matrix as tiles (PE rows, PE columns, m, n), zeros beyond its ``shape``."""

    tiles: np.ndarray
    shape: tuple[int, int]

    @property
    def padding(self) -> int:
        """Elements of the tiles that are padding: memory, work and words that bring nothing."""
        return self.tiles.size - self.shape[0] * self.shape[1]

    @property
    def efficiency(self) -> float:
        """Share of the tiles' elements that are the matrix's."""
        return self.shape[0] * self.shape[1] / self.tiles.size if self.tiles.size else 1.0


def split_matrix(matrix: np.ndarray, height: int, width: int, even: bool = False) -> Padded:
    """``matrix`` as equal tiles for height x width PEs, padded below and to the right; ``even``: to tiles of an even number
    of columns, which fill their wavelets in 16-bit precisions."""
    if matrix.ndim != 2 or height < 1 or width < 1:
        raise InputError(f"a matrix of shape {matrix.shape} on {width}x{height} PEs: expected two dimensions and at least "
                         "one PE")
    n = -(-matrix.shape[1] // width)
    more = n % 2 if check_flag(even, "even of a matrix") else 0
    return _split(matrix, height, width, -(-matrix.shape[0] // height), n + more)


def split_operands(x: np.ndarray, w: np.ndarray, height: int, width: int) -> tuple[Padded, Padded, tuple[int, int, int]]:
    """Both operands of a product on height x width PEs and the sizes (m, k, n) of its blocks: the inner size is padded to
    blocks that divide among the columns of PEs for ``x`` and among the rows for ``w``."""
    if x.ndim != 2 or w.ndim != 2 or x.shape[1] != w.shape[0] or height < 1 or width < 1:
        raise InputError(f"matrices of shapes {x.shape} and {w.shape} on {width}x{height} PEs: expected two that can be "
                         "multiplied and at least one PE")
    blocks = lcm(width, height)
    m, k, n = -(-x.shape[0] // height), -(-x.shape[1] // blocks), -(-w.shape[1] // width)
    return (_split(x, height, width, m, k * (blocks // width)), _split(w, height, width, k * (blocks // height), n), (m, k, n))


def _split(matrix: np.ndarray, height: int, width: int, m: int, n: int) -> Padded:
    whole = np.zeros((height * m, width * n), matrix.dtype)
    whole[:matrix.shape[0], :matrix.shape[1]] = matrix
    tiles = whole.reshape(height, m, width, n).swapaxes(1, 2)
    return Padded(np.ascontiguousarray(tiles), (matrix.shape[0], matrix.shape[1]))


def join_tiles(tiles: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Tiles (PE rows, PE columns, m, n) as a matrix of ``shape``, padding cut off."""
    height, width, m, n = tiles.shape
    if shape[0] > height * m or shape[1] > width * n:
        raise InputError(f"{width}x{height} tiles of {m} x {n} do not hold a matrix of {shape[0]} x {shape[1]}")
    return np.ascontiguousarray(tiles.swapaxes(1, 2).reshape(height * m, width * n)[:shape[0], :shape[1]])
