"""Number formats of 8 and 4 bits that weights are kept in, and what is left of a weight: rounded to the format and back.

All are symmetric: a scale for each group of inputs of an output, and no zero point. Rounding is to the nearest, ties to even.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from wsekern.errors import InputError
from wsekern.workload.weights.weights import Arrays, Weights


@dataclass(frozen=True)
class WeightFormat:
    """``group``: inputs that share a scale, 0 for all of an output. ``bits``: of a weight, without scales."""

    bits: int
    group: int
    title: str
    round: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """(values, largest magnitude of each group) -> values rounded and back."""


def _levels(most: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Whole numbers from ``-most`` to ``most`` times a scale."""

    def round_(values: np.ndarray, largest: np.ndarray) -> np.ndarray:
        scale = np.where(largest > 0, largest / np.float32(most), np.float32(1))
        return np.clip(np.rint(values / scale), -most, most) * scale

    return round_


def _fp8(values: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """e4m3 (largest 448) times a scale."""
    from ml_dtypes import float8_e4m3fn

    scale = np.where(largest > 0, largest / np.float32(448), np.float32(1))
    return np.clip(values / scale, -448, 448).astype(float8_e4m3fn).astype(np.float32) * scale


def _mxfp4(values: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """e2m1 (0, 0.5, 1, 1.5, 2, 3, 4, 6) times a power of two: that of the largest magnitude, less two (OCP MX 1.0)."""
    exponent = np.frexp(np.where(largest > 0, largest, 1))[1] - 1  # floor of the binary logarithm
    scaled = np.ldexp(values, -(exponent - 2))
    size = np.abs(scaled)
    step = np.where(size < 2, 0.5, np.where(size < 4, 1, 2)).astype(np.float32)
    return np.ldexp(np.copysign(np.minimum(np.rint(size / step) * step, 6), scaled), exponent - 2).astype(np.float32)


WEIGHT_FORMATS = {
    "int8": WeightFormat(8, 0, "whole numbers to 127, a scale for each output", _levels(127)),
    "fp8": WeightFormat(8, 0, "e4m3, a scale for each output", _fp8),
    "int4": WeightFormat(4, 32, "whole numbers to 7, a scale for every 32 inputs", _levels(7)),
    "int4-64": WeightFormat(4, 64, "whole numbers to 7, a scale for every 64 inputs", _levels(7)),
    "mxfp4": WeightFormat(4, 32, "e2m1, a power of two for every 32 inputs (OCP MX)", _mxfp4),
}
"""By name. Scales are in float32, but for mxfp4."""

KEPT = frozenset({"router", "shared_router", "conv", "index_weights"})
"""Matrices that every format leaves as they are: small ones that choose. So are vectors, the embedding and the LM head."""


def round_matrix(matrix: np.ndarray, name: str) -> np.ndarray:
    """``matrix`` (..., inputs, outputs), float32, as format ``name`` keeps it."""
    form, inputs = WEIGHT_FORMATS[name], matrix.shape[-2]
    group = form.group or inputs
    out = np.empty(matrix.shape, np.float32)
    for start in range(0, inputs, group):
        part = matrix[..., start:start + group, :].astype(np.float32)
        out[..., start:start + group, :] = form.round(part, np.abs(part).max(-2, keepdims=True))
    return out


class RoundedWeights(Weights):
    """The weights of a model with the matrices of its linear layers as a format keeps them, rounded when they are asked for."""

    def __init__(self, weights: Weights, name: str):
        if name not in WEIGHT_FORMATS:
            raise InputError(f"no weight format {name[:40]!r}: use one of {', '.join(WEIGHT_FORMATS)}")
        self._weights, self._name = weights, name

    def __len__(self) -> int:
        return len(self._weights)

    def block(self, index: int) -> Arrays:
        """Weights of one block."""
        return {name: round_matrix(values, self._name) if values.ndim > 1 and name.removeprefix("beside.") not in KEPT
                else values for name, values in self._weights.block(index).items()}

    @property
    def outer(self) -> Arrays:
        """Weights outside the blocks: as they are."""
        return self._weights.outer

    def embed(self, tokens: Sequence[int]) -> np.ndarray:
        """Rows of the embedding: (tokens, width)."""
        return self._weights.embed(tokens)
