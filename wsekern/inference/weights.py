"""Weights as tiles on the grid, in the engine's number format."""

from collections.abc import Sequence

import numpy as np

from wsekern.inference.grid import Grid, cut_into_pieces, cut_into_tiles
from wsekern.inference.packed import pack_tiles
from wsekern.number_formats import narrow


class TileCutter:
    """Cuts matrices and vectors for ``mapping``; ``where`` names them in errors (values beyond the number format)."""

    def __init__(self, mapping: Grid, where: str):
        self.mapping, self.where = mapping, where

    def matrix(self, matrices: Sequence[np.ndarray], rows: np.ndarray, columns: Sequence[np.ndarray],
               transposed: bool = False, name: str = "") -> np.ndarray:
        """Tiles (height, width, inputs, outputs) of ``matrices`` (inputs, outputs) side by side, each with its columns.

        ``rows`` and ``columns`` say which element lies where, as in :func:`cut_into_tiles`. ``name``: that by which steps read
        a matrix that can lie packed; where it does, these are its words (height, width, words).
        """
        if form := self.mapping.form_of(name):
            tiles = cut_into_tiles([matrix.astype(np.float32, copy=False) for matrix in matrices], rows, columns, transposed)
            return pack_tiles(form, self.mapping.precision, tiles, 1 if transposed else 0)
        return cut_into_tiles([self._narrow(matrix) for matrix in matrices], rows, columns, transposed)

    def along_y(self, vector: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Pieces (height, width, elements) of ``vector``: row i has piece i, with elements ``index[i]``."""
        m, pieces = self.mapping, self._narrow(cut_into_pieces(vector, index))
        return np.broadcast_to(pieces[:, None], (m.height, m.width, *pieces.shape[1:]))

    def along_x(self, vectors: Sequence[np.ndarray], indexes: Sequence[np.ndarray]) -> np.ndarray:
        """Pieces (height, columns, elements) of ``vectors`` side by side: column j has piece j of each."""
        cut = [cut_into_pieces(vector, index) for vector, index in zip(vectors, indexes, strict=True)]
        pieces = self._narrow(np.concatenate(cut, axis=-1))
        return np.broadcast_to(pieces[None], (self.mapping.height, *pieces.shape))

    def _narrow(self, values: np.ndarray) -> np.ndarray:
        return narrow(values, self.mapping.precision, self.where)


