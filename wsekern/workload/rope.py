"""Rotary position embedding: the angle of every pair of features, as Hugging Face defines it."""

import math

import numpy as np

from wsekern.errors import InputError
from wsekern.workload.config import ModelConfig


def inverse_frequencies(config: ModelConfig) -> np.ndarray:
    """Angle per position of feature pair d, shape (head_dim / 2,), float64. Feature d turns with d + head_dim / 2."""
    if config.head_dim % 2:
        raise InputError(f"{config.name}: head_dim is {config.head_dim}, but rotary embedding needs an even number")
    exponent = np.arange(0, config.head_dim, 2, dtype=np.float64) / config.head_dim
    frequency = 1.0 / config.rope_theta**exponent
    scaling = config.rope_scaling or {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return frequency
    if kind == "linear":
        return frequency / float(scaling["factor"])
    if kind == "llama3":
        return _llama3(frequency, scaling)
    raise InputError(f"{config.name}: rope scaling {kind!r} is not supported; use default, linear or llama3")


def _llama3(frequency: np.ndarray, scaling: dict) -> np.ndarray:
    """Llama 3.1: long wavelengths are stretched by ``factor``, short ones kept, and a smooth step lies between."""
    try:
        factor, low, high = (float(scaling[key]) for key in ("factor", "low_freq_factor", "high_freq_factor"))
        old_context = float(scaling["original_max_position_embeddings"])
    except KeyError as error:
        raise InputError(f"rope scaling of type llama3 lacks the key {error}") from None
    turns = old_context * frequency / (2 * math.pi)
    smooth = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return frequency * (smooth + (1 - smooth) / factor)


def rotation(config: ModelConfig, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine, float32 of shape (positions, head_dim / 2)."""
    # Angles are rounded to float32 as Hugging Face does, so that both agree at every position.
    angle = np.asarray(positions, np.float32)[:, None] * inverse_frequencies(config).astype(np.float32)
    return np.cos(angle, dtype=np.float32), np.sin(angle, dtype=np.float32)
