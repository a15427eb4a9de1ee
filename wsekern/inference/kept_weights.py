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
        """Weights outside the blocks: as they are, but for a packed head."""
        mapping, outer, form = self._mapping, self._weights.outer, self._mapping.form_of("model.head")
        if form is None:
            return outer
        size = mapping.config.embedding_size
        places = mapping.index_x(size) if size else mapping.index_y(mapping.config.hidden)
        return outer | {"head": kept_matrix(form, mapping.precision, outer["head"], places)}

    def embed(self, tokens: Sequence[int]) -> np.ndarray:
        """Rows of the embedding: (tokens, width)."""
        return self._weights.embed(tokens)


def share_rounded(weights: Weights, mapping: Grid) -> float:
    """Share of the weights of the first layer's packed matrices that are rounded to lie as PEs keep them, by more than their
    scales are (2^-9); 0: they lie as they were stored."""
    stored = dict(weights.block(0))
    kept = KeptWeights(Weights([stored], {}), mapping).block(0)
    pairs = [(stored[name], values) for name, values in kept.items() if values is not stored[name]]
    changed = sum(int((np.abs(one - other) > 2.0**-9 * np.abs(one)).sum()) for one, other in pairs)
    return changed / max(1, sum(one.size for one, _ in pairs))
