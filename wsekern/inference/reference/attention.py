"""Grouped-query attention."""

from typing import Any

import numpy as np

from wsekern.inference.reference.functions import Activations, sigmoid
from wsekern.inference.reference.norms import normalize
from wsekern.inference.reference.part import BlockWeights, ReferencePart
from wsekern.workload.decoder import Attention, Norm, Rotary
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
        p, m, positions = self.part, len(h), np.arange(start, start + len(h))
        q, k, v = self._queries_keys_values(h, weights, positions)
        self.keys, self.values = np.concatenate([self.keys, k], axis=1), np.concatenate([self.values, v], axis=1)
        shares = self._shares(q, weights, positions)
        out = (shares @ self.values[:, None]).reshape(p.heads, m, -1).transpose(1, 0, 2).reshape(m, -1)
        if p.gate:
            out = out * sigmoid(h @ weights[f"{self.prefix}attention_gate"])
        return self.linear(out, weights, "o")

    def _queries_keys_values(self, h: np.ndarray, weights: BlockWeights, positions: np.ndarray) -> tuple[np.ndarray, ...]:
        """(heads, m, features) each, normed and rotated."""
        p = self.part
        q, k = self.linear(h, weights, "q"), self.linear(h, weights, "k")
        v = k if p.values_are_keys else self.linear(h, weights, "v")
        if p.clip:
            q, k, v = (np.clip(x, -p.clip, p.clip).astype(np.float32) for x in (q, k, v))

        def turned(x: np.ndarray, name: str, heads: int, norm: Norm | None, rotary: Rotary | None) -> np.ndarray:
            gain, bias = (weights.get(f"{self.prefix}{name}_norm{end}") for end in ("", "_bias"))
            whole = p.norm_whole and name != "v"
            if p.norm_apart and name != "v":
                gain, bias = (None if vector is None else vector.reshape(heads, 1, -1) for vector in (gain, bias))
            if norm and whole and not p.norm_late:
                x = normalize(x, norm, gain, bias)
            x = x.reshape(len(x), heads, -1).transpose(1, 0, 2)
            if norm and not whole and not p.norm_late:
                x = normalize(x, norm, gain, bias)
            x = rotate(x, rotary, positions) if rotary else x
            if norm and p.norm_late:
                flat = x.transpose(1, 0, 2).reshape(x.shape[1], -1)
                x = normalize(flat, norm, gain, bias).reshape(len(flat), heads, -1).transpose(1, 0, 2) if whole else \
                    normalize(x, norm, gain, bias)
            return x

        q = turned(q, "q", p.heads, p.norm, p.rotary)
        if p.temperature:
            strength, reach, first = p.temperature
            passed = np.floor((positions + first) / reach)
            q = q * (1 + strength * np.log1p(passed)).astype(np.float32)[:, None]
        return q, turned(k, "k", p.kv_heads, p.norm, p.rotary), turned(v, "v", p.kv_heads, p.value_norm, None)

    def _shares(self, q: np.ndarray, weights: BlockWeights, positions: np.ndarray) -> np.ndarray:
        """What each query takes of each value: (kv_heads, group, m, positions)."""
        p, m = self.part, len(positions)
        q = q.reshape(p.kv_heads, p.heads // p.kv_heads, m, p.head_dim)
        scores = q @ self.keys[:, None].swapaxes(-1, -2)
        scores = scores * np.float32(p.scale) if p.scale else scores / np.sqrt(np.float32(p.head_dim))
        if p.softcap:
            scores = np.float32(p.softcap) * np.tanh(scores / np.float32(p.softcap))
        there, now = np.arange(self.keys.shape[1])[None, :], positions[:, None]
        if p.alibi:
            falling = np.float32(p.alibi) * slopes(p.heads).reshape(*scores.shape[:2], 1, 1)
            scores = scores + falling * (there - now).astype(np.float32)
        seen = there <= now
        if p.window:
            seen &= there > now - p.window
        if p.chunk:
            seen &= there // p.chunk == now // p.chunk
        scores = np.where(seen, scores, -np.inf)
        if p.sinks:
            sinks = weights[f"{self.prefix}sinks"].reshape(*scores.shape[:2], 1, 1)
            scores = np.concatenate([scores, np.broadcast_to(sinks, (*scores.shape[:3], 1))], axis=-1)
        shares = self.functions.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        return shares[..., :-1] if p.sinks else shares


def rotate(x: np.ndarray, rotary: Rotary, positions: np.ndarray) -> np.ndarray:
    """Turn the first ``rotary.size`` features of x (heads, m, features) in pairs by the position's angle."""
    cos, sin = rotation(rotary, positions)
    turned, rest = x[..., :rotary.size], x[..., rotary.size:]
    if rotary.neighbors:
        first, second = turned[..., ::2], turned[..., 1::2]
        pairs = np.stack([first * cos - second * sin, second * cos + first * sin], axis=-1).reshape(turned.shape)
    else:
        first, second = np.split(turned, 2, axis=-1)
        pairs = np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return np.concatenate([pairs, rest], axis=-1) if rest.shape[-1] else pairs


def slopes(heads: int) -> np.ndarray:
    """ALiBi's: a geometric row from 2^(-8 / n) for n heads, a power of two; of more heads every second one of twice as many."""
    whole = 1 << heads.bit_length() - 1
    of = lambda n: 2.0 ** (-8.0 / n * np.arange(1, n + 1))  # noqa: E731
    return np.concatenate([of(whole), of(2 * whole)[::2][:heads - whole]]).astype(np.float32)
