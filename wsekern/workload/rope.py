"""Rotary position embedding: the angle of every pair of features, as Hugging Face defines it."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from wsekern.errors import InputError
from wsekern.workload.decoder import Rotary

Frequencies = np.ndarray
"""Angle per position of feature pair d, shape (size / 2,), float64."""


LEAST, MOST = 1e-6, 1e12
"""Bounds of what scales angles: beyond them positions and factors are no numbers of fp32 any more."""


class _Scaling:
    """The numbers of a ``rope_parameters`` table; ``where`` names it in errors, ``length`` is how many tokens there are."""

    def __init__(self, rotary: Rotary, where: str, length: int):
        self.where, self.length, self.table = where, length, dict(rotary.scaling)
        self.kind = self.table.get("rope_type") or self.table.get("type") or "default"

    def number(self, key: str, default: float | None = None) -> float:
        """A positive number."""
        value: Any = self.table.get(key)
        value = default if value is None else value
        if value is None:
            raise InputError(f"{self.where}: rope scaling of type {self.kind} lacks the key '{key}'")
        if isinstance(value, bool) or not isinstance(value, int | float) or not LEAST <= value <= MOST:
            raise InputError(f"{self.where}: rope scaling: '{key}' is {str(value)[:60]!r}, expected a number from {LEAST:g} to "
                             f"{MOST:g}")
        return float(value)

    def numbers(self, key: str, count: int) -> np.ndarray:
        """``count`` positive numbers."""
        value = self.table.get(key)
        fits = isinstance(value, list | tuple) and len(value) == count and all(
            isinstance(item, int | float) and LEAST <= item <= MOST for item in value)
        if not fits:
            raise InputError(f"{self.where}: rope scaling: '{key}' is {str(value)[:60]!r}, expected {count} numbers from "
                             f"{LEAST:g} to {MOST:g}")
        return np.asarray(value, np.float64)

    def original(self, rotary: Rotary) -> float:
        """Tokens of the context before it was stretched."""
        return self.number("original_max_position_embeddings", rotary.context or None)


def frequencies(rotary: Rotary, where: str = "model", length: int = 0) -> tuple[Frequencies, float]:
    """(frequencies, factor on cosine and sine) of a text of ``length`` tokens, on which some kinds depend; :class:`InputError`
    where the scaling is unknown or incomplete."""
    if rotary.size % 2:
        raise InputError(f"{where}: head_dim is {rotary.size}, but rotary embedding needs an even number")
    scaling = _Scaling(rotary, where, length)
    if not isinstance(scaling.kind, str) or scaling.kind not in _KINDS:
        raise InputError(f"{where}: rope scaling {str(scaling.kind)[:60]!r} is not supported; use {', '.join(_KINDS)}")
    return _KINDS[scaling.kind](_plain(rotary.theta, rotary.size), scaling, rotary)


def _plain(theta: float, size: int) -> Frequencies:
    return 1.0 / theta ** (np.arange(0, size, 2, dtype=np.float64) / size)


def _unscaled(frequency: Frequencies, scaling: _Scaling, rotary: Rotary) -> tuple[Frequencies, float]:
    """No scaling; also of several position numbers (mrope), which are equal where there is text only."""
    return frequency, 1.0


def _linear(frequency: Frequencies, scaling: _Scaling, rotary: Rotary) -> tuple[Frequencies, float]:
    return frequency / scaling.number("factor"), 1.0


def _dynamic(frequency: Frequencies, scaling: _Scaling, rotary: Rotary) -> tuple[Frequencies, float]:
    """The base grows with the text beyond the context."""
    factor, context = scaling.number("factor"), rotary.context or scaling.original(rotary)
    stretch = factor * max(scaling.length, context) / context - (factor - 1)
    if stretch == 1 or rotary.size == 2:
        return frequency, 1.0
    return _plain(rotary.theta * stretch ** (rotary.size / (rotary.size - 2)), rotary.size), 1.0


def _proportional(frequency: Frequencies, scaling: _Scaling, rotary: Rotary) -> tuple[Frequencies, float]:
    """Only a share of the pairs turns, the whole head being turned otherwise as ever (Gemma 4)."""
    turning = int(scaling.number("partial_rotary_factor", 1.0) * rotary.size // 2)
    turned = np.where(np.arange(len(frequency)) < turning, frequency, 0.0)
    return turned / scaling.number("factor", 1.0), 1.0


def _llama3(frequency: Frequencies, scaling: _Scaling, rotary: Rotary) -> tuple[Frequencies, float]:
    """Llama 3.1: long wavelengths are stretched by ``factor``, short ones kept, and a smooth step lies between."""
    factor, low, high = (scaling.number(key) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    if not low < high:
        raise InputError(f"{scaling.where}: rope scaling: low_freq_factor is {low:g}, expected less than the high one {high:g}")
    turns = scaling.original(rotary) * frequency / (2 * math.pi)
    smooth = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return frequency * (smooth + (1 - smooth) / factor), 1.0


def _yarn(frequency: Frequencies, scaling: _Scaling, rotary: Rotary) -> tuple[Frequencies, float]:
    """YaRN (arXiv 2309.00071): pairs that turn often in the original context keep their angle, slow ones are stretched."""
    context = scaling.original(rotary)
    factor = scaling.number("factor", max(rotary.context / context, LEAST) if rotary.context else None)

    def pair_that_turns(times: float) -> float:
        return rotary.size * math.log(context / (times * 2 * math.pi)) / (2 * math.log(rotary.theta))

    if rotary.theta == 1:
        raise InputError(f"{scaling.where}: rope_theta is 1, expected another for rope scaling of type yarn")
    first, last = pair_that_turns(scaling.number("beta_fast", 32)), pair_that_turns(scaling.number("beta_slow", 1))
    if scaling.table.get("truncate", True):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, rotary.size - 1)
    stretched = np.clip((np.arange(len(frequency)) - first) / (last - first or 1e-3), 0.0, 1.0)
    attention = scaling.number("attention_factor", _yarn_attention(scaling, factor))
    return frequency * (stretched / factor + 1 - stretched), attention


def _yarn_attention(scaling: _Scaling, factor: float) -> float:
    """What cosine and sine are multiplied by where it is not stated: by two factors' ratio (DeepSeek), else by one."""
    def grown(scale: float) -> float:
        return 0.1 * scale * math.log(factor) + 1 if factor > 1 else 1.0

    both = scaling.table.get("mscale") and scaling.table.get("mscale_all_dim")
    return grown(scaling.number("mscale")) / grown(scaling.number("mscale_all_dim")) if both else grown(1.0)


def _longrope(frequency: Frequencies, scaling: _Scaling, rotary: Rotary) -> tuple[Frequencies, float]:
    """LongRoPE: a factor for each pair, one list for texts within the original context and one for longer ones."""
    context = scaling.original(rotary)
    factor = scaling.number("factor", rotary.context / context if rotary.context else 1.0)
    kept = math.sqrt(1 + math.log(factor) / math.log(context)) if factor > 1 and context > 1 else 1.0
    short, long = (scaling.numbers(key, len(frequency)) for key in ("short_factor", "long_factor"))
    far = scaling.length > context
    stated = "long_mscale" if far else "short_mscale"  # of Phi-MoE
    return frequency / (long if far else short), scaling.number(stated, scaling.number("attention_factor", kept))


_KINDS: dict[str, Callable[[Frequencies, _Scaling, Rotary], tuple[Frequencies, float]]] = {
    "default": _unscaled, "mrope": _unscaled, "dynamic": _dynamic, "linear": _linear, "proportional": _proportional,
    "llama3": _llama3, "yarn": _yarn, "longrope": _longrope, "su": _longrope}


def rotation(rotary: Rotary, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine, float32 of shape (positions, size / 2), of a text that ends with the last of the ``positions``."""
    positions = np.asarray(positions)
    frequency, factor = frequencies(rotary, length=int(positions.max(initial=-1)) + 1)
    # Angles are rounded to float32 as Hugging Face does, so that both agree at every position.
    angle = positions.astype(np.float32)[:, None] * frequency.astype(np.float32)
    cos, sin = np.cos(angle, dtype=np.float32) * np.float32(factor), np.sin(angle, dtype=np.float32) * np.float32(factor)
    return cos, -sin if rotary.backwards else sin
