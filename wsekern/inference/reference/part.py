"""What every part of the reference is: made for one sequence, called with the tokens that come."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from wsekern.inference.reference.functions import Activations

BlockWeights = dict[str, np.ndarray]


class ReferencePart(ABC):
    """A mixer or a feed-forward part of one layer, with what it keeps of the sequence."""

    cached: ClassVar[bool] = True

    def __init__(self, part: Any, functions: Activations, prefix: str = ""):
        self.part, self.functions, self.prefix = part, functions, prefix

    @abstractmethod
    def forward(self, h: np.ndarray, weights: BlockWeights, start: int) -> np.ndarray:
        """The part's output (m, hidden) for ``h`` (m, hidden), tokens from position ``start`` on; weights by the names of
        the description, (inputs, outputs)."""

    def linear(self, x: np.ndarray, weights: BlockWeights, name: str) -> np.ndarray:
        """``x`` times a matrix, plus its bias where there is one."""
        bias = weights.get(f"{self.prefix}{name}_bias")
        product = x @ weights[f"{self.prefix}{name}"]
        return product if bias is None else product + bias
