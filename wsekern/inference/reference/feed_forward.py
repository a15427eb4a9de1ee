"""The dense feed-forward part."""

import numpy as np

from wsekern.inference.activation_numbers import xielu_numbers
from wsekern.inference.reference.activation import activated, xielu
from wsekern.inference.reference.part import BlockWeights, ReferencePart
from wsekern.workload.decoder import FeedForward


class ReferenceFeedForward(ReferencePart):
    """Two projections, a gate, and one back."""

    part: FeedForward

    def forward(self, h: np.ndarray, weights: BlockWeights, start: int) -> np.ndarray:
        """The gate's activation times the other projection, projected back."""
        gate, up = self.linear(h, weights, "gate") if self.part.gated else None, self.linear(h, weights, "up")
        if self.part.activation == "xielu" and gate is None:
            numbers = xielu_numbers({name.removeprefix(self.prefix): values for name, values in weights.items()})
            return self.linear(xielu(up, *numbers), weights, "down")
        return self.linear(activated(self.part, gate, up, self.functions), weights, "down")
