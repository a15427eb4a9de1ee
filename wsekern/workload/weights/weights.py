"""Weights of a model by the names of its description, read from a checkpoint when asked for, or made up in memory.

A block's weights are a dict of float32 arrays, matrices (inputs, outputs): see :mod:`wsekern.workload.weights.shapes`. Offsets
of norms are added to their gains already.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Block, Mixer, Norm
from wsekern.workload.weights.names import HUB, Layout
from wsekern.workload.weights.places import Found, Places, find_places
from wsekern.workload.weights.shapes import NORMS, block_shapes, outer_shapes
from wsekern.workload.weights.tensors import TensorSource

Arrays = dict[str, np.ndarray]
"""Name of a weight -> its values."""


class Weights:
    """Weights in memory: those of each block, and those outside (embedding, head, norm, ...)."""

    def __init__(self, blocks: Sequence[Mapping[str, np.ndarray]], outer: Mapping[str, np.ndarray]):
        self._blocks, self._outer = blocks, outer

    def __len__(self) -> int:
        return len(self._blocks)

    def block(self, index: int) -> Arrays:
        """Weights of one block."""
        return dict(self._blocks[index])

    @property
    def outer(self) -> Arrays:
        """Weights outside the blocks; the head is the transposed embedding where they are tied."""
        return {"head": self._outer["embedding"].T, **self._outer}

    def embed(self, tokens: Sequence[int]) -> np.ndarray:
        """Rows of the embedding: (tokens, width)."""
        return self._outer["embedding"][np.asarray(tokens)]


def random_weights(config: ModelConfig, seed: int = 0) -> Weights:
    """Made-up weights of a model, for tests: matrices of variance 1 / inputs, gains about 1."""
    random = np.random.default_rng(seed)

    def made(shape: tuple[int, ...]) -> np.ndarray:
        values = random.standard_normal(shape)
        return (1 + 0.1 * values if len(shape) == 1 else values / np.sqrt(shape[-2])).astype(np.float32)

    blocks = [{name: made(shape) for name, shape in block_shapes(block, config.hidden).items()} for block in config.blocks]
    return Weights(blocks, {name: made(shape) for name, shape in outer_shapes(config).items()})


class StoredWeights(Weights):
    """Weights in a checkpoint. Every tensor is looked for, and its shape checked, at once; values are read each time that they
    are asked for, and not kept."""

    def __init__(self, source: TensorSource, config: ModelConfig, layout: Layout = HUB):
        self._source, self._config, self._layout = source, config, layout
        self._places: Places = find_places(source, config, layout)

    def __len__(self) -> int:
        return len(self._places.blocks)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the checkpoint holds that is not read."""
        return self._places.notes

    @property
    def files(self) -> list[Path]:
        """The files that the tensors are in."""
        return sorted({tensor.file for tensor in self._source.tensors.values()})

    def block(self, index: int) -> Arrays:
        """Weights of one block."""
        block = self._config.blocks[index]
        return self._read(self._places.blocks[index], _offsets(block), block.mixer)

    @property
    def outer(self) -> Arrays:
        """Weights outside the blocks, read anew; the head is the transposed embedding where no other is stored."""
        norm, embedded = self._config.final_norm, self._config.embedding_norm
        arrays = self._read(self._places.outer, {**_offset("norm", norm), **_offset("embedding_norm", embedded)})
        if "embedding" not in arrays:  # a tied model of which only the head is stored
            arrays["embedding"] = arrays["head"].T
        return {"head": arrays["embedding"].T, **arrays}

    def embed(self, tokens: Sequence[int]) -> np.ndarray:
        """Rows of the embedding: (tokens, width)."""
        found = next(found for found in self._places.outer if found.weights[0] in ("embedding", "head"))
        return self._source.rows(found.tensors[0], tokens)

    def _read(self, places: Sequence[Found], offsets: Mapping[str, float], mixer: Mixer | None = None) -> Arrays:
        arrays: Arrays = {}
        for found in places:
            for name, values in zip(found.weights, self._values(found), strict=True):
                offset = 0.0 if self._layout.offsets_stored else offsets.get(name, 0.0)
                arrays[name] = values + np.float32(offset) if offset else values
                if self._layout.restore:
                    arrays[name] = self._layout.restore(name, arrays[name], mixer)
        return arrays

    def _values(self, found: Found) -> list[np.ndarray]:
        """The weights that one tensor, or the like tensors of all experts, hold."""
        if not found.stacked:
            return split(found, self._logical(found, found.tensors[0]))
        whole = np.empty((len(found.tensors), *found.logical), np.float32)
        for index, name in enumerate(found.tensors):
            whole[index] = self._logical(found, name)
        return split(found, whole)

    def _logical(self, found: Found, name: str) -> np.ndarray:
        """Values of a tensor as (inputs, outputs)."""
        values = self._source.read(name)
        if found.skipped:
            values = values[found.skipped:]
        if found.neighbors:
            halves = values.reshape(found.neighbors, -1, 2, *values.shape[1:])
            values = halves.swapaxes(1, 2).reshape(values.shape)
        if found.swapped:
            return values.reshape(*found.logical[:-2], found.logical[-1], found.logical[-2]).swapaxes(-1, -2)
        return values.reshape(found.logical)


def _offsets(block: Block) -> dict[str, float]:
    """Weight -> what is added to its values."""
    offsets: dict[str, float] = {}
    for name in NORMS:
        offsets |= _offset(name, getattr(block, name))
    for name in ("q_norm", "k_norm", "q_a_norm", "kv_a_norm"):
        offsets |= _offset(name, getattr(block.mixer, "norm", None))
    return offsets | _offset("v_norm", getattr(block.mixer, "value_norm", None))


def _offset(name: str, norm: Norm | None) -> dict[str, float]:
    return {name: norm.offset} if norm is not None and norm.offset else {}


def split(found: Found, values: np.ndarray) -> list[np.ndarray]:
    """The weights that lie side by side in the last axis, each of them repeated ``groups`` times."""
    if len(found.widths) == 1:
        return [values]
    lead, groups = values.shape[:-1], found.groups
    grouped = values.reshape(*lead, groups, -1)
    ends = np.cumsum([width // groups for width in found.widths])[:-1]
    return [part.reshape(*lead, width) for part, width in zip(np.split(grouped, ends, axis=-1), found.widths, strict=True)]
