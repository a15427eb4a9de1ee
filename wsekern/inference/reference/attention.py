"""Grouped-query attention."""

from typing import Any

import numpy as np

from wsekern.inference.reference.functions import Activations
from wsekern.inference.reference.norms import normalize
from wsekern.inference.reference.part import BlockWeights, ReferencePart
from wsekern.workload.decoder import Attention
from wsekern.workload.rope import rotation


class ReferenceAttention(ReferencePart):
    """Attention of one layer with a cache that grows."""

    part: Attention

    def __init__(self, part: Any, functions: Activations, prefix: str = ""):
        super().__init__(part, functions, prefix)
        self.keys = np.zeros((part.kv_heads, 0, part.head_dim), np.float32)
        self.values = np.zeros((part.kv_heads, 0, part.value_dim or part.head_dim), np.float32)

    def forward(self, h: np.ndarray, weights: BlockWeights, start: int) -> np.ndarray:
        """Softmax of scores times values, projected back."""
        p, m = self.part, len(h)
        q, k, v = (self._split(self.linear(h, weights, name), heads)
                   for name, heads in (("q", p.heads), ("k", p.kv_heads), ("v", p.kv_heads)))
        if p.norm:
            q, k = (normalize(x, p.norm, weights[f"{self.prefix}{name}_norm"]) for name, x in (("q", q), ("k", k)))
        if p.rotary:
            cos, sin = rotation(p.rotary, np.arange(start, start + m))
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        self.keys, self.values = np.concatenate([self.keys, k], axis=1), np.concatenate([self.values, v], axis=1)
        q = q.reshape(p.kv_heads, p.heads // p.kv_heads, m, p.head_dim)
        scores = q @ self.keys[:, None].swapaxes(-1, -2) / np.sqrt(np.float32(p.head_dim))
        scores = np.where(self._seen(start, m), scores, -np.inf)
        shares = self.functions.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        out = (shares @ self.values[:, None]).reshape(p.heads, m, -1)
        return self.linear(out.transpose(1, 0, 2).reshape(m, -1), weights, "o")

    def _split(self, x: np.ndarray, heads: int) -> np.ndarray:
        """(m, heads * features) as (heads, m, features)."""
        return x.reshape(len(x), heads, -1).transpose(1, 0, 2)

    def _seen(self, start: int, m: int) -> np.ndarray:
        """Whether a token (m) sees a position."""
        position, now = np.arange(start + m)[None, :], start + np.arange(m)[:, None]
        seen = position <= now
        return seen & (position > now - self.part.window) if self.part.window else seen


def rotate(x: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
    """Turn feature d with feature d + head_dim / 2 by the position's angle; x is (heads, m, head_dim)."""
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
