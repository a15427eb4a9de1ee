"""Activations of feed-forward parts."""

import numpy as np

from wsekern.inference.reference.functions import Activations, silu
from wsekern.workload.decoder import FeedForward

ALPHA = np.float32(1.702)


def activated(part: FeedForward, gate: np.ndarray | None, up: np.ndarray, functions: Activations) -> np.ndarray:
    """What a part's output projection reads: the activation of ``gate`` times ``up``, or of ``up`` alone."""
    if part.activation == "clamped_silu" and gate is not None:
        gate = np.minimum(gate, np.float32(part.limit))
        return (np.clip(up, -part.limit, part.limit).astype(np.float32) + 1) * silu(ALPHA * gate) / ALPHA
    made = _of(part.activation, up if gate is None else gate, functions)
    return made if gate is None else made * up


def _of(activation: str, x: np.ndarray, functions: Activations) -> np.ndarray:
    if activation == "silu":
        return functions.silu(x)
    if activation == "quick_gelu":
        return silu(ALPHA * x) / ALPHA
    positive = np.maximum(x, np.float32(0))
    return positive * positive if activation == "relu2" else positive
