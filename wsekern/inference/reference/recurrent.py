"""Recurrent mixers in plain numpy, float32, token by token: what they keep is of one size, however long the sequence is."""

from collections.abc import Callable
from typing import Any

import numpy as np

from wsekern.errors import InputError
from wsekern.inference.reference.functions import Activations, biased
from wsekern.inference.reference.part import BlockWeights, ReferencePart
from wsekern.workload.decoder import Recurrent

Weights = dict[str, np.ndarray]


class ReferenceRecurrent(ReferencePart):
    """A recurrent mixer with its state."""

    def __init__(self, part: Any, functions: Activations, prefix: str = ""):
        super().__init__(part, functions, prefix)
        self.cache: Weights = {}

    def forward(self, h: np.ndarray, weights: BlockWeights, start: int) -> np.ndarray:
        """The mixer's output (m, hidden) for ``h`` (m, hidden)."""
        own = {name.removeprefix(self.prefix): value for name, value in weights.items() if name.startswith(self.prefix)}
        return recurrent(self.part, own, h, self.cache, self.functions)


def recurrent(part: Recurrent, weights: Weights, x: np.ndarray, cache: Weights, activations: Activations) -> np.ndarray:
    """What the mixer makes of ``x`` (tokens, hidden), which follows the tokens before. ``cache`` keeps ``state`` (value heads,
    key_dim, value_dim) and ``tail`` (kernel - 1, convolved); empty for a new sequence."""
    if part.kind not in _KINDS:
        raise InputError(f"a {part.kind} mixer has no values yet, only a time: use a model with {', '.join(_KINDS)}")
    return _KINDS[part.kind](part, weights, x, cache, activations)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def softplus(x: np.ndarray) -> np.ndarray:
    """log(1 + exp(x))."""
    return np.logaddexp(np.float32(0), x)


def _convolve(part: Recurrent, weights: Weights, x: np.ndarray, cache: Weights) -> np.ndarray:
    """Each element of ``x`` (tokens, convolved) convolved with itself over the last ``kernel`` tokens."""
    past = np.concatenate([cache.get("tail", np.zeros((part.kernel - 1, x.shape[1]), np.float32)), x])
    cache["tail"] = past[len(x):]
    out = sum(past[back:back + len(x)] * weights["conv"][:, back] for back in range(part.kernel))
    return biased(out, weights.get("conv_bias"))


def _biased(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    """``x`` times matrix ``name``, plus its bias where there is one."""
    return biased(x @ weights[name], weights.get(f"{name}_bias"))


def _normed(part: Recurrent, x: np.ndarray) -> np.ndarray:
    """``x`` divided by the root mean square of its last axis."""
    eps = np.float32(part.norm.eps if part.norm else 0)
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)


def _state(part: Recurrent, cache: Weights) -> np.ndarray:
    return cache.get("state", np.zeros((part.value_heads, part.key_dim, part.value_dim), np.float32))


def _heads(part: Recurrent, x: np.ndarray) -> np.ndarray:
    """Key heads (tokens, key heads * key_dim) as each value head sees them: (tokens, value heads, key_dim)."""
    heads = x.reshape(len(x), part.key_heads, part.key_dim)
    return np.repeat(heads, part.value_heads // part.key_heads, axis=1)


def _gated_delta(part: Recurrent, weights: Weights, x: np.ndarray, cache: Weights, activations: Activations) -> np.ndarray:
    """The gated delta rule: S = e^g S + k (v - k e^g S) beta, read by q; keys and queries of length 1."""
    mixed = np.concatenate([x @ weights[name] for name in ("in_q", "in_k", "in_v")], axis=1)
    mixed = activations.silu(_convolve(part, weights, mixed, cache))
    q, k, v = np.split(mixed, [part.key_size, 2 * part.key_size], axis=1)
    q, k = (_heads(part, part_of) for part_of in (q, k))
    q, k = (rows / np.sqrt((rows * rows).sum(-1, keepdims=True) + np.float32(1e-6)) for rows in (q, k))
    v = v.reshape(len(x), part.value_heads, part.value_dim)
    decay = activations.exp(-np.exp(weights["decay"]) * softplus(x @ weights["in_a"] + weights["dt_bias"]))
    beta, state, out = sigmoid(x @ weights["in_b"]), _state(part, cache), np.empty_like(v)
    for token in range(len(x)):
        state = state * decay[token][:, None, None]
        delta = (v[token] - np.einsum("hkv,hk->hv", state, k[token])) * beta[token][:, None]
        state = state + k[token][:, :, None] * delta[:, None, :]
        out[token] = np.einsum("hkv,hk->hv", state, q[token]) / np.sqrt(np.float32(part.key_dim))
    cache["state"] = state
    gate = activations.silu(x @ weights["in_z"])
    return (_normed(part, out) * weights["state_norm"]).reshape(len(x), -1) * gate @ weights["o"]


def _mamba2(part: Recurrent, weights: Weights, x: np.ndarray, cache: Weights, activations: Activations) -> np.ndarray:
    """A state space with one decay a head: S = e^(-a dt) S + B (x dt), read by C, plus D x. The gate stands before the norm,
    which heads that share B and C have together."""
    mixed = np.concatenate([_biased(weights, name, x) for name in ("in_x", "in_B", "in_C")], axis=1)
    mixed = activations.silu(_convolve(part, weights, mixed, cache))
    v, b, c = np.split(mixed, [part.value_size, part.value_size + part.key_size], axis=1)
    b, c = (_heads(part, part_of) for part_of in (b, c))
    v = v.reshape(len(x), part.value_heads, part.value_dim)
    step = softplus(_biased(weights, "in_dt", x) + weights["dt_bias"])
    decay, state, out = activations.exp(-np.exp(weights["decay"]) * step), _state(part, cache), np.empty_like(v)
    for token in range(len(x)):
        entering = v[token] * step[token][:, None]
        state = state * decay[token][:, None, None] + b[token][:, :, None] * entering[:, None, :]
        out[token] = np.einsum("hkv,hk->hv", state, c[token]) + weights["skip"][:, None] * v[token]
    cache["state"] = state
    out = out.reshape(len(x), -1) * activations.silu(_biased(weights, "in_z", x))
    if part.norm is not None:
        out = _normed(part, out.reshape(len(x), part.key_heads, -1)).reshape(len(x), -1) * weights["state_norm"]
    return _biased(weights, "o", out)


def _short_convolution(part: Recurrent, weights: Weights, x: np.ndarray, cache: Weights,
                       activations: Activations) -> np.ndarray:
    """Two gates around a convolution (LFM2): C conv(B x)."""
    b, c, v = (_biased(weights, name, x) for name in ("in_B", "in_C", "in_x"))
    return _biased(weights, "o", c * _convolve(part, weights, b * v, cache))


_KINDS: dict[str, Callable[..., np.ndarray]] = {
    "gated_delta": _gated_delta, "mamba2": _mamba2, "short_convolution": _short_convolution,
}
"""Kinds that have values -> the function of their tokens."""

EXECUTED = tuple(_KINDS)
