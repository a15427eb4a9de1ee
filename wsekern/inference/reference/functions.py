"""Functions of the reference, float32 -> float32."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from wsekern.ops.local.vector import apply
from wsekern.shown import Shown

Function = Callable[[np.ndarray], np.ndarray]


def silu(x: np.ndarray) -> np.ndarray:
    """x * sigmoid(x)."""
    with np.errstate(over="ignore"):  # far below zero exp(-x) is infinite, and the result 0 as it should be
        return x / (1 + np.exp(-x))


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


@dataclass(frozen=True, repr=False)
class Activations(Shown):
    """The functions of a model: exp of what is at most 0, and SiLU."""

    exp: Function = np.exp
    silu: Function = silu

    @classmethod
    def of(cls, form: str, precision: str) -> "Activations":
        """Those of a form: what its steps make of numbers as they are stored in ``precision``; exact ones for library calls."""
        if form == "scalar":
            return cls()
        return cls(partial(apply, "expsub", form, precision), partial(apply, "silu", form, precision))


def biased(x: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """x, plus the bias where there is one."""
    return x if bias is None else x + bias
