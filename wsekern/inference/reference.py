"""The plain reference: the whole transformer in a page of numpy, float32, no wafer. Tests hold the wafer against it.

Its SiLU and exponentials are exact, or those that vector instructions give (:class:`Activations`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from wsekern.ops.local.vector import apply
from wsekern.workload.checkpoint import LayerWeights, Weights
from wsekern.workload.config import ModelConfig
from wsekern.workload.rope import rotation


class ReferenceModel:
    """A Llama-family model with a key-value cache that grows."""

    def __init__(self, config: ModelConfig, weights: Weights, activations: "Activations | None" = None):
        self.config, self.weights = config, weights
        self.activations = activations or Activations(np.exp, silu)
        self.length = 0
        empty = np.zeros((config.kv_heads, 0, config.head_dim), np.float32)
        self._cache = [(empty, empty) for _ in range(config.layers)]

    def forward(self, tokens: list[int]) -> np.ndarray:
        """Feed ``tokens`` (m of them) after those already seen; return logits (m, vocab)."""
        x = self.weights.embedding[np.asarray(tokens)]
        cos, sin = rotation(self.config.rotary, np.arange(self.length, self.length + len(tokens)))
        for index, layer in enumerate(self.weights.layers):
            x = x + self._attention(index, layer, rms_norm(x, layer.attention_norm, self.config.rms_eps), cos, sin)
            h = rms_norm(x, layer.ffn_norm, self.config.rms_eps)
            gated = self.activations.silu(biased(h @ layer.gate, layer.gate_bias)) * biased(h @ layer.up, layer.up_bias)
            x = x + biased(gated @ layer.down, layer.down_bias)
        self.length += len(tokens)
        return rms_norm(x, self.weights.norm, self.config.rms_eps) @ self.weights.head

    def _attention(self, index: int, layer: LayerWeights, x: np.ndarray, cos: np.ndarray, sin: np.ndarray):
        c, m = self.config, len(x)
        q = self._heads(x @ layer.q, layer.q_bias, layer.q_norm, c.heads)
        k = self._heads(x @ layer.k, layer.k_bias, layer.k_norm, c.kv_heads)
        v = self._heads(x @ layer.v, layer.v_bias, None, c.kv_heads)
        old_k, old_v = self._cache[index]
        keys = np.concatenate([old_k, rotate(k, cos, sin)], axis=1)
        values = np.concatenate([old_v, v], axis=1)
        self._cache[index] = (keys, values)
        q = rotate(q, cos, sin).reshape(c.kv_heads, c.heads // c.kv_heads, m, c.head_dim)
        scores = q @ keys[:, None].swapaxes(-1, -2) / np.sqrt(np.float32(c.head_dim))
        position, now = np.arange(keys.shape[1])[None, :], self.length + np.arange(m)[:, None]
        seen = (position <= now) & (position > now - c.window(index))
        scores = np.where(seen, scores, -np.inf)
        probabilities = self.activations.exp(scores - scores.max(-1, keepdims=True))
        probabilities /= probabilities.sum(-1, keepdims=True)
        out = (probabilities @ values[:, None]).reshape(c.heads, m, c.head_dim)
        out = out.transpose(1, 0, 2).reshape(m, c.q_size)
        return biased(out @ layer.o, layer.o_bias)

    def _heads(self, x: np.ndarray, bias: np.ndarray | None, norm: np.ndarray | None, heads: int) -> np.ndarray:
        """Split (m, heads * head_dim) into (heads, m, head_dim), with the optional bias and per-head norm."""
        x = biased(x, bias)
        x = x.reshape(len(x), heads, self.config.head_dim).transpose(1, 0, 2)
        return x if norm is None else rms_norm(x, norm, self.config.rms_eps)


@dataclass(frozen=True)
class Activations:
    """The functions of a model: exp of what is at most 0, and SiLU, float32 -> float32."""

    exp: Callable[[np.ndarray], np.ndarray]
    silu: Callable[[np.ndarray], np.ndarray]

    @classmethod
    def of(cls, form: str, precision: str) -> "Activations":
        """Those of a form: what its steps make of numbers as they are stored in ``precision``; exact ones for library calls."""
        if form == "scalar":
            return cls(np.exp, silu)
        return cls(partial(apply, "expsub", form, precision), partial(apply, "silu", form, precision))


def rms_norm(x: np.ndarray, gain: np.ndarray, eps: float) -> np.ndarray:
    """x / sqrt(mean(x^2) + eps) * gain over the last axis."""
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(eps)) * gain


def biased(x: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """x, plus the bias where there is one."""
    return x if bias is None else x + bias


def silu(x: np.ndarray) -> np.ndarray:
    """x * sigmoid(x)."""
    with np.errstate(over="ignore"):  # far below zero exp(-x) is infinite, and the result 0 as it should be
        return x / (1 + np.exp(-x))


def rotate(x: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
    """Turn feature d with feature d + head_dim / 2 by the position's angle; x is (heads, m, head_dim)."""
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
