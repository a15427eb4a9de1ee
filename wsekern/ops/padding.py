"""Matrices whose sizes do not divide by the PEs: padded with zeros, and how much of it is padding."""

from dataclasses import dataclass

import numpy as np

from wsekern.errors import InputError


@dataclass(frozen=True, eq=False)
class Padded:
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
    m, n = -(-matrix.shape[0] // height), -(-matrix.shape[1] // width)
    n += n % 2 if even else 0
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
