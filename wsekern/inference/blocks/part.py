"""What every part of a block says of itself on a grid: one class for each class of the description."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from wsekern.errors import InputError
from wsekern.inference.grid import Grid
from wsekern.inference.packed import Matrices
from wsekern.inference.packed_cache import CacheSizes
from wsekern.inference.steps import Steps, Values
from wsekern.workload.decoder import Norm
from wsekern.workload.request import PRECISIONS

Described = TypeVar("Described")
BlockWeights = dict[str, np.ndarray]
"""Weights of a block by name, float32; matrices (inputs, outputs)."""


@dataclass(frozen=True)
class PartOnGrid(ABC, Generic[Described]):
    """A mixer or a feed-forward part on the PEs of a grid.

    All numbers of elements are those of the fullest PE. ``prefix`` stands before the names of its weights where a block has two
    mixers. ``folded``: the norm of what it reads, where that is left to it: ``h`` is not normed, and neither is what its first
    product gives until it is scaled (:func:`wsekern.inference.blocks.folding.read_steps`).
    """

    mapping: Grid
    part: Described
    prefix: str = ""
    folded: Norm | None = None
    label: ClassVar[str]
    """Part of the model that cycles are counted under."""

    def missing(self) -> str:
        """What of the description has no steps yet, in words; empty where all of it has."""
        return ""

    def assumptions(self) -> list[str]:
        """What the time of this part takes for granted, a sentence each."""
        return []

    @property
    def readers(self) -> tuple[str, ...]:
        """Names of the matrices that read ``h``, those that are there or may be."""
        return ()

    # -- memory -------------------------------------------------------------------------------------------------------
    @property
    @abstractmethod
    def weights(self) -> int:
        """Elements of the weights."""

    def matrices(self) -> Matrices:
        """Those of the weights that can lie packed, as :meth:`steps` read them."""
        return {}

    def packed_inputs(self, name: str) -> tuple[str, np.ndarray | Sequence[np.ndarray]] | None:
        """Of a weight by its own name: the one of :meth:`matrices` that it is part of, and where its inputs lie (lines, inputs
        of a line), -1 for padding, of each expert where there are some; None for weights of no such matrix."""
        return None

    def factor(self, name: str) -> np.float32:
        """What a weight is multiplied by before it is placed."""
        return np.float32(1)

    @property
    def slot(self) -> float:
        """Elements kept of one position of a row (the cache), however many positions there are; a mean over them."""
        return 0

    @property
    def packs_cache(self) -> bool:
        """Whether what it keeps of positions is kept as fp8, a byte of each element."""
        if not self.mapping.packs_cache or not (self.slot or self.packed_cache()):
            return False
        if not self.packed_cache():
            kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(self.part).__name__).lower()
            raise InputError(f"what {kind} keeps of a position has no form in fp8: leave cache_precision out")
        return True

    @property
    def slot_bytes(self) -> float:
        """Bytes kept of one position of a row."""
        return self.slot if self.packs_cache else PRECISIONS[self.mapping.precision] * self.slot

    @property
    def state_bytes(self) -> float:
        """Bytes kept of one sequence, however long it is."""
        return self.state if self.packs_cache else PRECISIONS[self.mapping.precision] * self.state

    def packed_cache(self) -> CacheSizes:
        """What of the cache can be kept as fp8."""
        return {}

    @property
    def state(self) -> float:
        """Elements kept of one sequence, however long it is."""
        return 0

    @property
    @abstractmethod
    def buffers(self) -> float:
        """Elements for each token of a chunk; the other part of the block may use them when this one does not run."""

    @property
    def scores(self) -> int:
        """Elements for each token of a chunk beside those."""
        return 0

    def room(self) -> int:
        """Bytes that vector forms take beside the buffers, for a whole chunk."""
        return 0

    # -- work ---------------------------------------------------------------------------------------------------------
    @abstractmethod
    def steps(self, tokens: int, slots: int) -> Steps:
        """Work on ``tokens`` tokens while every row keeps ``slots`` positions: reads ``h`` and leaves ``out``, both (tokens,
        hidden) along y. ``h`` and ``x`` stay as they are."""

    def tiles(self, weights: BlockWeights, where: str) -> Values:
        """The weights as the steps read them, ``weights.*``; ``where`` names the layer in errors."""
        raise NotImplementedError

    def cache(self) -> dict[str, tuple[int, ...]]:
        """What is kept between tokens: ``cache.*`` -> shape of its tile."""
        return {}

    def cache_order(self, name: str) -> tuple[int, ...]:
        """Axes of ``name`` of the cache (height, width, ...tile) as they lie in memory, outermost first; as they are: ().
        Products are quick where what shares their left tile lies side by side."""
        return ()

    def cache_precision(self, name: str) -> str:
        """Number format in which ``name`` of the cache is kept."""
        return self.mapping.precision

    def can_go_back(self, furthest: int, length: int) -> bool:
        """Whether the sequence can be cut to its first ``length`` tokens after ``furthest`` tokens were written."""
        return True

    def cache_start(self, name: str) -> float:
        """What ``name`` of the cache is full of before the first token."""
        return 0.0

    def tables(self, start: int, tokens: int, slots: int) -> Values:
        """What the host computes for ``tokens`` tokens from position ``start`` on: ``table.*``."""
        return {}

    # -- names --------------------------------------------------------------------------------------------------------
    def named(self, name: str) -> str:
        """Name of a weight of this part among the values."""
        return f"weights.{self.prefix}{name}"

    def own(self, weights: BlockWeights) -> dict[str, Any]:
        """Weights of this part by the names that it knows them by; None where there is none."""
        return {name.removeprefix(self.prefix): value for name, value in weights.items() if name.startswith(self.prefix)}
