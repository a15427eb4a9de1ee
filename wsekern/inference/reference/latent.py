"""Multi-head latent attention in its written form: keys and values of all heads are expanded."""

from typing import Any

import numpy as np

from wsekern.errors import InputError
from wsekern.inference.reference.functions import Activations
from wsekern.inference.reference.norms import normalize
from wsekern.inference.reference.part import BlockWeights, ReferencePart
from wsekern.workload.decoder import LatentAttention
from wsekern.workload.rope import rotation


def check_indexer(part: LatentAttention, tokens: int) -> None:
    """Refuse more tokens than an indexer would choose: up to that many it chooses all of them, and is left out."""
    if part.indexer is not None and tokens > part.indexer.chosen:
        raise InputError(f"{tokens:,} tokens, of which an indexer chooses {part.indexer.chosen:,}: the choice is not computed "
                         f"yet; use {part.indexer.chosen:,} tokens or fewer")


class ReferenceLatentAttention(ReferencePart):
    """Latent attention of one layer: keeps ``latent`` (positions, kv_rank) and ``rotated`` (positions, rope_dim)."""

    part: LatentAttention

    def __init__(self, part: Any, functions: Activations, prefix: str = ""):
        super().__init__(part, functions, prefix)
        self.latent, self.rotated = (np.zeros((0, size), np.float32) for size in (part.kv_rank, part.rope_dim))

    def forward(self, h: np.ndarray, weights: BlockWeights, start: int) -> np.ndarray:
        """Softmax of scores times values, projected back."""
        p, now = self.part, start + np.arange(len(h))
        check_indexer(p, start + len(h))
        q_nope, q_rope = np.split(self._queries(h, weights), [p.nope_dim], axis=-1)
        latent, rotated = np.split(self.linear(h, weights, "kv_a"), [p.kv_rank], axis=-1)
        self.latent = np.concatenate([self.latent, self._normed(latent, weights, "kv_a_norm")])
        self.rotated = np.concatenate([self.rotated, self._turned(rotated, now)])
        expanded = self.linear(self.latent, weights, "kv_b").reshape(len(self.latent), p.heads, -1).swapaxes(0, 1)
        keys, values = np.split(expanded, [p.nope_dim], axis=-1)
        scores = q_nope @ keys.swapaxes(-1, -2) + self._turned(q_rope, now) @ self.rotated.T
        position = np.arange(len(self.latent))
        seen = (position <= now[:, None]) & (position > now[:, None] - (p.window or len(position)))
        scores = np.where(seen, scores * np.float32(p.scale or p.query_dim**-0.5), -np.inf)
        shares = self.functions.exp(scores - scores.max(-1, keepdims=True))
        out = (shares / shares.sum(-1, keepdims=True)) @ values
        return self.linear(out.swapaxes(0, 1).reshape(len(h), -1), weights, "o")

    def _queries(self, h: np.ndarray, weights: BlockWeights) -> np.ndarray:
        """Queries (heads, tokens, nope_dim + rope_dim), through the compressed ones where there are any."""
        p = self.part
        compressed = self._normed(self.linear(h, weights, "q_a"), weights, "q_a_norm") if p.q_rank else h
        return self.linear(compressed, weights, "q_b" if p.q_rank else "q").reshape(len(h), p.heads, -1).swapaxes(0, 1)

    def _normed(self, x: np.ndarray, weights: BlockWeights, name: str) -> np.ndarray:
        return x if self.part.norm is None else normalize(x, self.part.norm, weights[self.prefix + name])

    def _turned(self, x: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """``x`` (..., tokens, rope_dim) turned by the angles of the positions, pairs as the description says."""
        rotary, turned = self.part.rotary, np.empty_like(x)
        if rotary is None:
            return x
        cos, sin = rotation(rotary, positions)
        half = x.shape[-1] // 2
        firsts, seconds = (slice(0, None, 2), slice(1, None, 2)) if rotary.neighbors else (slice(half), slice(half, None))
        turned[..., firsts] = x[..., firsts] * cos - x[..., seconds] * sin
        turned[..., seconds] = x[..., seconds] * cos + x[..., firsts] * sin
        return turned
