"""Norms over the last axis."""

import numpy as np

from wsekern.workload.decoder import Norm


def normalize(x: np.ndarray, norm: Norm, gain: np.ndarray | None, bias: np.ndarray | None = None) -> np.ndarray:
    """RMS norm: x / sqrt(mean(x^2) + eps); layer norm: of x minus its mean. Times the gain, plus the bias, where there are."""
    if norm.kind == "layer":
        x = x - np.mean(x, axis=-1, keepdims=True)
    x = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(norm.eps))
    x = x if gain is None else x * gain
    return x if bias is None else x + bias
