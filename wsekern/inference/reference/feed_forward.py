"""The dense feed-forward part."""

import numpy as np

from wsekern.inference.reference.activation import activated
from wsekern.inference.reference.part import BlockWeights, ReferencePart
from wsekern.workload.decoder import FeedForward


class ReferenceFeedForward(ReferencePart):
    """Two projections, a gate, and one back."""

    part: FeedForward

    def forward(self, h: np.ndarray, weights: BlockWeights, start: int) -> np.ndarray:
        """The gate's activation times the other projection, projected back."""
        gate = self.linear(h, weights, "gate") if self.part.gated else None
        return self.linear(activated(self.part, gate, self.linear(h, weights, "up"), self.functions), weights, "down")
