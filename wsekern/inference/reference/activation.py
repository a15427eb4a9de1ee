"""Activations of feed-forward parts."""

import math

import numpy as np

from wsekern.inference.reference.functions import Activations, sigmoid
from wsekern.workload.decoder import FeedForward

ALPHA = np.float32(1.702)
_ERF = np.vectorize(math.erf, otypes=[np.float32])


def activated(part: FeedForward, gate: np.ndarray | None, up: np.ndarray, functions: Activations) -> np.ndarray:
    """What a part's output projection reads: the activation of ``gate`` times ``up``, or of ``up`` alone."""
    if part.activation == "clamped_silu" and gate is not None:
        gate = np.minimum(gate, np.float32(part.limit))
        return (np.clip(up, -part.limit, part.limit).astype(np.float32) + 1) * gate * sigmoid(ALPHA * gate)
    made = _of(part.activation, up if gate is None else gate, functions)
    return made if gate is None else made * up


def xielu(x: np.ndarray, positive: float, negative: float, beta: float, eps: float) -> np.ndarray:
    """beta x, plus ``positive`` x^2 above zero and ``negative`` (e^x - 1 - x) below (arXiv 2411.13010)."""
    below = np.expm1(np.minimum(x, np.float32(eps))) - x
    return np.float32(beta) * x + np.where(x > 0, np.float32(positive) * x * x, np.float32(negative) * below)


def _of(activation: str, x: np.ndarray, functions: Activations) -> np.ndarray:
    if activation == "silu":
        return functions.silu(x)
    if activation == "gelu":
        return x * (1 + _ERF(x / np.float32(math.sqrt(2)))) / 2
    if activation == "gelu_tanh":
        return x * (1 + np.tanh(np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x))) / 2
    if activation == "quick_gelu":
        return x * sigmoid(ALPHA * x)
    positive = np.maximum(x, np.float32(0))
    return positive * positive if activation == "relu2" else positive
