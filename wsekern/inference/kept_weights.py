"""The weights of a model as PEs keep them: what the plain reference must compute with to give what a wafer gives."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from wsekern.inference.blocks.part import PartOnGrid
from wsekern.inference.grid import Grid
from wsekern.inference.layer import parts_on_grid
from wsekern.inference.packed import kept_matrix
from wsekern.workload.weights.weights import Arrays, Weights


class KeptWeights(Weights):
    """``weights`` with the matrices that lie packed on ``mapping`` rounded to their format, when they are asked for."""

    def __init__(self, weights: Weights, mapping: Grid):
        self._weights, self._mapping = weights, mapping

    def __len__(self) -> int:
        return len(self._weights)

    def block(self, index: int) -> Arrays:
        """Weights of one block."""
        found = dict(self._weights.block(index))
        for part in parts_on_grid(self._mapping, self._mapping.config.blocks[index]):
            for name, values in found.items():
                if name.startswith(part.prefix):
                    found[name] = self._kept(part, name.removeprefix(part.prefix), values)
        return found

    def _kept(self, part: PartOnGrid[Any], name: str, values: np.ndarray) -> np.ndarray:
        """A weight of ``part`` by its own name."""
        found = part.packed_inputs(name)
        form = self._mapping.form_of(found[0]) if found else None
        if form is None or found is None:
            return values
        places, precision, factor = found[1], self._mapping.precision, part.factor(name)
        if values.ndim == 2:
            return kept_matrix(form, precision, values * factor, places) / factor
        return np.stack([kept_matrix(form, precision, *one) for one in zip(values, places, strict=True)])

    @property
    def outer(self) -> Arrays:
        """Weights outside the blocks: as they are."""
        return self._weights.outer

    def embed(self, tokens: Sequence[int]) -> np.ndarray:
        """Rows of the embedding: (tokens, width)."""
        return self._weights.embed(tokens)
