"""Rotary position embedding: the angle of every pair of features, as Hugging Face defines it."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from wsekern.errors import InputError
from wsekern.workload.decoder import Rotary

Frequencies = np.ndarray
"""Angle per position of feature pair d, shape (size / 2,), float64. Feature d turns with d + size / 2."""


class _Scaling:
    """The numbers of a ``rope_scaling`` (or ``rope_parameters``) table; ``where`` names it in errors."""

    def __init__(self, rotary: Rotary, where: str):
        self.where, self.table = where, dict(rotary.scaling)
        self.kind = self.table.get("rope_type", self.table.get("type", "default"))

    def number(self, key: str, default: float | None = None) -> float:
        value: Any = self.table.get(key)
        value = default if value is None else value
        if value is None:
            raise InputError(f"{self.where}: rope scaling of type {self.kind} lacks the key '{key}'")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise InputError(f"{self.where}: rope scaling: '{key}' is {str(value)[:60]!r}, expected a positive number")
        return float(value)


def frequencies(rotary: Rotary, where: str = "model") -> tuple[Frequencies, float]:
    """(frequencies, factor on cosine and sine); :class:`InputError` where the scaling is unknown or incomplete."""
    if rotary.size % 2:
        raise InputError(f"{where}: head_dim is {rotary.size}, but rotary embedding needs an even number")
    scaling = _Scaling(rotary, where)
    if not isinstance(scaling.kind, str) or scaling.kind not in _KINDS:
        raise InputError(f"{where}: rope scaling {str(scaling.kind)[:60]!r} is not supported; use {', '.join(_KINDS)}")
    if scaling.number("partial_rotary_factor", 1.0) != 1:
        raise InputError(f"{where}: heads of which only a part is rotated are not supported; expected "
                         "partial_rotary_factor 1")
    exponent = np.arange(0, rotary.size, 2, dtype=np.float64) / rotary.size
    return _KINDS[scaling.kind](1.0 / rotary.theta**exponent, scaling, rotary)


def _unscaled(frequency: Frequencies, scaling: _Scaling, rotary: Rotary) -> tuple[Frequencies, float]:
    """No scaling. Dynamic scaling starts beyond ``max_position_embeddings``, where nothing is run here."""
    return frequency, 1.0


def _linear(frequency: Frequencies, scaling: _Scaling, rotary: Rotary) -> tuple[Frequencies, float]:
    return frequency / scaling.number("factor"), 1.0


def _llama3(frequency: Frequencies, scaling: _Scaling, rotary: Rotary) -> tuple[Frequencies, float]:
    """Llama 3.1: long wavelengths are stretched by ``factor``, short ones kept, and a smooth step lies between."""
    factor, low, high = (scaling.number(key) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    if not low < high:
        raise InputError(f"{scaling.where}: rope scaling: low_freq_factor is {low:g}, expected less than the high one {high:g}")
    turns = scaling.number("original_max_position_embeddings") * frequency / (2 * math.pi)
    smooth = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return frequency * (smooth + (1 - smooth) / factor), 1.0


def _yarn(frequency: Frequencies, scaling: _Scaling, rotary: Rotary) -> tuple[Frequencies, float]:
    """YaRN (arXiv 2309.00071): pairs that turn often in the original context keep their angle, slow ones are stretched.

    Its factor on cosine and sine is a quotient where ``mscale`` and ``mscale_all_dim`` are given (DeepSeek).
    """
    factor, context = scaling.number("factor"), scaling.number("original_max_position_embeddings")

    def pair_that_turns(times: float) -> float:
        return rotary.size * math.log(context / (times * 2 * math.pi)) / (2 * math.log(rotary.theta))

    first, last = pair_that_turns(scaling.number("beta_fast", 32)), pair_that_turns(scaling.number("beta_slow", 1))
    if scaling.table.get("truncate", True):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, rotary.size - 1)
    stretched = np.clip((np.arange(len(frequency)) - first) / (last - first or 1e-3), 0.0, 1.0)

    def magnitude(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1 if factor > 1 else 1.0

    both = bool(scaling.table.get("mscale") and scaling.table.get("mscale_all_dim"))
    quotient = magnitude(scaling.number("mscale")) / magnitude(scaling.number("mscale_all_dim")) if both else magnitude(1.0)
    attention = scaling.number("attention_factor", quotient)
    return frequency * (stretched / factor + 1 - stretched), attention


_KINDS: dict[str, Callable[[Frequencies, _Scaling, Rotary], tuple[Frequencies, float]]] = {
    "default": _unscaled, "dynamic": _unscaled, "linear": _linear, "llama3": _llama3, "yarn": _yarn}


def rotation(rotary: Rotary, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine, float32 of shape (positions, size / 2)."""
    frequency, factor = frequencies(rotary)
    # Angles are rounded to float32 as Hugging Face does, so that both agree at every position.
    angle = np.asarray(positions, np.float32)[:, None] * frequency.astype(np.float32)
    return np.cos(angle, dtype=np.float32) * np.float32(factor), np.sin(angle, dtype=np.float32) * np.float32(factor)
