"""Functions as calls of the software library, one element after the other, between vector instructions of fp32: as data.

>>> print(call_recipe("quick_gelu", "fp16").text())
z = mul(x, -1.702)
p = lib_exp(z)
p = add(1.0, p)
p = lib_div(1.0, p)
out = mul(x, p)
"""

from collections.abc import Callable
from functools import lru_cache
from math import log, pi, sqrt

from wsekern.ops.local.functions import _ERFC, _ERFC_RATE, _Writer, check_factor
from wsekern.ops.local.recipe import Recipe
from wsekern.program.operands import ElementType


def _logistic(writer: _Writer) -> None:
    """``p`` = 1 / (1 + e^z)."""
    writer.do("lib_exp", "p", "z")
    writer.do("add", "p", 1.0, "p")
    writer.do("lib_div", "p", 1.0, "p")


def _gelu(writer: _Writer, out: str = "out") -> None:
    slope = -2 * sqrt(2 / pi)
    writer.do("mul", "z", "x", "x")
    writer.fma("z", slope, "z", 0.044715 * slope)
    writer.do("mul", "z", "z", "x")
    _logistic(writer)
    writer.do("mul", out, "x", "p")


def _quick_gelu(writer: _Writer, out: str = "out") -> None:
    writer.do("mul", "z", "x", -1.702)
    _logistic(writer)
    writer.do("mul", out, "x", "p")


def _sigmoid(writer: _Writer, out: str = "out") -> None:
    writer.do("mul", "z", "x", -1.0)
    _logistic(writer)
    writer.do("mov", out, "p")


def _gelu_erf(writer: _Writer, out: str = "out") -> None:
    writer.do("mov", "a", "x")
    writer.minus_abs("a", "a")
    writer.do("max", "a", "a", -14.0)           # infinity times 0 is no number
    writer.do("mul", "z", "a", "a")
    writer.do("mul", "z", "z", -0.5)
    writer.do("lib_exp", "p", "z")
    writer.do("mul", "r", "a", -_ERFC_RATE)
    writer.do("add", "r", 1.0, "r")
    writer.do("lib_div", "r", 1.0, "r")
    writer.polynomial("t", _ERFC, "r")
    writer.do("mul", "t", "t", "r")
    writer.do("mul", "p", "p", "t")
    writer.do("mul", "p", "p", "a")
    writer.do("max", "t", 0.0, "x")
    writer.do("add", out, "t", "p")


def _softcap(writer: _Writer) -> None:
    writer.do("mul", "z", "x", 2.0 / writer.factor)
    _logistic(writer)
    writer.fma("p", 1.0, "p", -2.0)
    writer.do("mul", "out", "p", writer.factor)


def _clamped_silu(writer: _Writer) -> None:
    writer.do("neg", "c", "x")
    writer.do("max", "c", "c", -writer.factor)
    writer.do("mul", "z", "c", 1.702)
    _logistic(writer)
    writer.do("mul", "c", "c", "p")
    writer.limited("u", "u", "y")
    writer.do("add", "u", 1.0, "u")
    writer.do("neg", "c", "c")
    writer.do("mul", "out", "c", "u")


def _exp2sub(writer: _Writer) -> None:
    writer.do("sub", "z", "x", "y")
    writer.do("mul", "z", "z", log(2))
    writer.do("lib_exp", "out", "z")


_GATES: dict[str, Callable[..., None]] = {
    "gelu": _gelu, "gelu_erf": _gelu_erf, "quick_gelu": _quick_gelu, "sigmoid": _sigmoid,
    "relu": lambda writer, out="out": writer.do("max", out, "x", 0.0), "relu2": _Writer.relu2,
}
_OTHERS: dict[str, Callable[..., None]] = {"softcap": _softcap, "clamped_silu": _clamped_silu, "clip": _Writer.clip,
                                               "exp2sub": _exp2sub}
CALLS = (*_GATES, *(f"{name}_mul" for name in _GATES), *_OTHERS)
"""Functions that are there in this form."""


@lru_cache(maxsize=64)
def call_recipe(function: str, stored: ElementType, factor: float = 1.0) -> Recipe:
    """The steps of ``function`` (:data:`CALLS`) on ``stored`` values."""
    check_factor(function, factor)
    writer = _Writer("fp32", stored, factor)
    if function in _OTHERS:
        _OTHERS[function](writer)
    elif function in _GATES:
        _GATES[function](writer)
    else:
        _GATES[function.removesuffix("_mul")](writer, "t")
        writer.do("mul", "out", "t", "y")
    return Recipe(function, "fp32", stored, tuple(writer.steps))
