"""A whole decoder, block by block."""

from typing import Any

import numpy as np

from wsekern.errors import InputError
from wsekern.inference.executable import check_executable
from wsekern.inference.reference.attention import ReferenceAttention
from wsekern.inference.reference.feed_forward import ReferenceFeedForward
from wsekern.inference.reference.functions import Activations
from wsekern.inference.reference.latent import ReferenceLatentAttention
from wsekern.inference.reference.mixture import ReferenceMixture
from wsekern.inference.reference.norms import normalize
from wsekern.inference.reference.part import BlockWeights, ReferencePart
from wsekern.inference.reference.recurrent import ReferenceRecurrent
from wsekern.shown import Shown
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Attention, Block, FeedForward, LatentAttention, Mixture, Norm, Recurrent
from wsekern.workload.weights.weights import Weights

PARTS: dict[type, type[ReferencePart]] = {
    Attention: ReferenceAttention,
    LatentAttention: ReferenceLatentAttention,
    FeedForward: ReferenceFeedForward,
    Mixture: ReferenceMixture,
    Recurrent: ReferenceRecurrent,
}
"""Class of the description -> its class in the reference: a line for each."""


class ReferenceModel(Shown):
    """A decoder with what its layers keep of one sequence.

    ``kept``: its weights stay in memory, in float32; else each call reads those of one block after the other.
    """

    def __init__(self, config: ModelConfig, weights: Weights, activations: Activations | None = None, kept: bool = True):
        check_executable(config)
        self.config, self.outer = config, weights.outer
        self._block = [weights.block(index) for index in range(config.layers)].__getitem__ if kept else weights.block
        functions, self.length = activations or Activations(), 0
        self._blocks = [ReferenceBlock(config, block, functions) for block in config.blocks]

    def _facts(self) -> dict[str, Any]:
        return {"config": self.config, "length": self.length}

    def forward(self, tokens: list[int]) -> np.ndarray:
        """Feed ``tokens`` (m of them) after those already seen; return logits (m, vocab)."""
        x = self._embedded(tokens)
        for index, block in enumerate(self._blocks):
            x = block.forward(x, self._block(index), self.length)
        self.length += len(tokens)
        return self._logits(x)

    def _embedded(self, tokens: list[int]) -> np.ndarray:
        """The residual stream (m, hidden) in front of the first layer."""
        config, outer = self.config, self.outer
        x = outer["embedding"][np.asarray(tokens)] * np.float32(config.embedding_scale)
        if config.embedding_size:
            x = x @ outer["project_in"]
        if config.learned_positions:
            x = x + outer["positions"][self.length:self.length + len(tokens)]
        return _normed(x, config.embedding_norm, "embedding_norm", outer)

    def _logits(self, x: np.ndarray) -> np.ndarray:
        """Logits (m, vocab) of the residual stream behind the last layer."""
        config, outer = self.config, self.outer
        x = _normed(x, config.final_norm, "norm", outer)
        logits = (x @ outer["project_out"] if config.embedding_size else x) @ outer["head"]
        if config.head_bias:
            logits = logits + outer["head_bias"]
        logits = logits * np.float32(config.logits_scale)
        cap = np.float32(config.logits_softcap)
        return cap * np.tanh(logits / cap) if cap else logits


class ReferenceBlock:
    """One layer."""

    def __init__(self, config: ModelConfig, block: Block, functions: Activations):
        self.block = block

        def made(part: Any, prefix: str = "") -> ReferencePart | None:
            if part is None:
                return None
            if type(part) not in PARTS:
                raise InputError(f"{config.name} cannot be executed yet: the reference has no {type(part).__name__}")
            return PARTS[type(part)](part, functions, prefix)

        self.mixer, self.beside, self.feed = made(block.mixer), made(block.beside, "beside."), made(block.feed)

    def forward(self, x: np.ndarray, weights: BlockWeights, start: int) -> np.ndarray:
        """The residual stream (m, hidden) behind the layer."""
        block, begin = self.block, x
        mixers = [mixer for mixer in (self.mixer, self.beside) if mixer]
        if mixers:
            h = _normed(begin, block.before_mixer, "before_mixer", weights)
            out = sum((mixer.forward(h, weights, start) for mixer in mixers), np.zeros_like(x))
            x = self._added(x, out, "after_mixer", weights)
        if self.feed:
            if block.before_feed or not (block.parallel and mixers):
                h = _normed(begin if block.parallel else x, block.before_feed, "before_feed", weights)
            out = self.feed.forward(h, weights, start)
            x = self._added(x, out, "after_feed", weights)
        return x * weights["scalar"] if block.scaled else x

    def _added(self, x: np.ndarray, out: np.ndarray, name: str, weights: BlockWeights) -> np.ndarray:
        """``x`` plus a part's output, with the norm behind the part or behind the sum."""
        norm, factor = getattr(self.block, name), np.float32(self.block.residual)
        if self.block.behind_sum:
            return _normed(x + factor * out, norm, name, weights)
        return x + factor * _normed(out, norm, name, weights)


def _normed(x: np.ndarray, norm: Norm | None, name: str, weights: BlockWeights) -> np.ndarray:
    return x if norm is None else normalize(x, norm, weights.get(name), weights.get(f"{name}_bias"))
