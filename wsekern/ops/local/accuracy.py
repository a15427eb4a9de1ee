"""How far functions in vector instructions are from the exact ones, measured over every 16-bit number.

Errors are counted where the exact result is a normal number of the type, within the range that a function is made for
(:data:`RANGES`); what lies beyond is among the special values.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, pi, sqrt

import numpy as np

from wsekern.ops.local.arithmetic import evaluate, load, store
from wsekern.ops.local.functions import DIFFERENCES, recipe
from wsekern.ops.local.recipe import Recipe
from wsekern.program.operands import ElementType

MEASURED = ("exp", "expsub", "exp2sub", "reciprocal", "rsqrt", "silu", "gelu", "sigmoid", "softplus")
"""Functions of one number; ``expsub`` and ``exp2sub`` as exponentials of what is at most 0."""
SPECIAL = (0.0, -0.0, inf, -inf, float("nan"))
_LEAST = {"fp16": 2.0**-14, "bf16": 2.0**-126, "fp32": 2.0**-126}
_LARGEST = {"fp16": 65504.0, "bf16": 3.3895e38, "fp32": 3.4028e38}


def _logistic(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


_EXACT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exp": np.exp, "expsub": np.exp, "exp2sub": np.exp2, "reciprocal": lambda x: 1 / x, "rsqrt": lambda x: 1 / np.sqrt(x),
    "silu": lambda x: x * _logistic(x), "gelu": lambda x: x * _logistic(2 * sqrt(2 / pi) * (x + 0.044715 * x**3)),
    "sigmoid": _logistic, "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
}
RANGES: dict[tuple[str, ElementType], tuple[float, float]] = {
    ("exp", "bf16"): (-83.0, 89.0), ("expsub", "bf16"): (-37.0, 0.0), ("exp2sub", "bf16"): (-54.0, 0.0),
    ("silu", "bf16"): (-37.0, inf),
    ("sigmoid", "bf16"): (-37.0, inf), ("softplus", "bf16"): (-37.0, inf),
    ("gelu", "bf16"): (-7.0, inf), ("exp", "fp16"): (-9.7, 11.1),
}
"""(function, type that steps compute in) -> x from and to, where they are not all numbers: steps in bf16 count exponents of 2
from -64 to 64, so that small results end there."""


@dataclass(frozen=True)
class Accuracy:
    """Errors of a function: of a unit in the last place (ulp) of the exact result, and relative to it."""

    function: str
    work: ElementType
    stored: ElementType
    steps: int
    max_ulp: float
    mean_ulp: float
    max_relative: float
    largest_below_normal: float
    """Largest error where the exact result is smaller than any normal number."""
    special: tuple[float, ...]
    """Results for :data:`SPECIAL`."""


def range_of(function: str, work: ElementType) -> tuple[float, float]:
    """The numbers from and to which a function is made for; without subnormal ones for reciprocal and rsqrt in 16-bit steps."""
    if function in DIFFERENCES:
        return RANGES.get((function, work), (-inf, 0.0))
    return RANGES.get((function, work), (0.0 if function == "rsqrt" else -inf, inf))


def measure(function: str, work: ElementType, stored: ElementType) -> Accuracy:
    """Errors of ``function`` of every number of ``stored`` (fp16 or bf16), in steps of ``work``."""
    every = np.arange(1 << 16, dtype=np.uint16)
    x = every if stored == "bf16" else every.view(np.float16)
    plan = recipe(function, work, stored)
    with np.errstate(all="ignore"):
        exact_x, found = (load(stored, values).astype(np.float64) for values in (x, _applied(plan, x)))
        exact = _EXACT[function](exact_x)
        low, high = range_of(function, work)
        inside = np.isfinite(exact_x) & np.isfinite(exact) & (exact_x >= low) & (exact_x <= high)
        if function in ("reciprocal", "rsqrt"):
            inside &= np.abs(exact_x) >= _LEAST[work]
        size = np.abs(exact)
        normal = inside & (size >= _LEAST[stored]) & (size <= _LARGEST[stored])
        error = np.abs(found - exact)
        last = 2.0 ** (np.floor(np.log2(size[normal])) - (10 if stored == "fp16" else 7))
    below = error[inside & (size < _LEAST[stored])]
    special = load(stored, _applied(plan, store(stored, np.array(SPECIAL, np.float32))))
    ulps = error[normal] / last
    return Accuracy(function, work, stored, len(plan.steps), float(ulps.max()), float(ulps.mean()),
                    float((error[normal] / size[normal]).max()), float(below.max(initial=0.0)), tuple(map(float, special)))


def _applied(plan: Recipe, x: np.ndarray) -> np.ndarray:
    return evaluate(plan, x, np.zeros_like(x)) if len(plan.inputs) == 2 else evaluate(plan, x)
