"""Operators on known values: integers that wrap, floats rounded once, and numbers that differ between PEs."""

from collections.abc import Callable
from typing import Any

import numpy as np

from wsekern.csl import types as t
from wsekern.csl.types import Type
from wsekern.csl.values import FLOATS, Split, Varying, by_pe, rounded, split_of

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}


class BadNumber(Exception):
    """An operation has no result; the message says why."""


def _divide(a: Any, b: Any) -> Any:
    """Toward zero."""
    if np.any(np.asarray(b) == 0):
        raise BadNumber("division by zero")
    if isinstance(a, int) and isinstance(b, int):
        quotient = abs(a) // abs(b)
        return quotient if (a < 0) == (b < 0) else -quotient
    return np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))


def _shift(a: Any, b: Any) -> Any:
    if np.any(np.asarray(b) < 0):
        raise BadNumber("a shift by a negative number")
    if np.any(np.asarray(b) > 4096):
        raise BadNumber(f"a shift by {b} bits")
    return a << b


def _shift_right(a: Any, b: Any) -> Any:
    if np.any(np.asarray(b) < 0):
        raise BadNumber("a shift by a negative number")
    return a >> (b if not isinstance(b, int) else min(b, 1 << 16))


INTEGERS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": _divide,
    "%": lambda a, b: a - _divide(a, b) * b, "&": lambda a, b: a & b, "|": lambda a, b: a | b, "^": lambda a, b: a ^ b,
    "<<": _shift, ">>": _shift_right,
}


def binary(operator: str, kind: Type, a: Any, b: Any) -> Any:
    """``a operator b`` of data of a type; truths for comparisons."""
    if isinstance(a, Varying) or isinstance(b, Varying):
        return _each(lambda x, y: binary_of(operator, kind, x, y), kind, operator, a, b)
    return binary_of(operator, kind, a, b)


def binary_of(operator: str, kind: Type, a: Any, b: Any) -> Any:
    """The same of what does not differ between PEs."""
    if operator in COMPARISONS:
        return COMPARISONS[operator](a, b)
    if isinstance(kind, (t.Float, t.ComptimeFloat)):
        return _float(operator, kind, a, b)
    if kind == t.BOOL:
        return bool(INTEGERS[operator](bool(a), bool(b)))
    result = INTEGERS[operator](a, b)
    return wrap(kind, result)


def wrap(kind: Type, number: Any) -> Any:
    """An integer modulo the range of its type."""
    if not isinstance(kind, t.Int):
        return number
    if isinstance(number, int):
        return kind.wrap(number)
    number = number & ((1 << kind.bits) - 1)
    return np.where(number > kind.high, number - (1 << kind.bits), number) if kind.signed else number


def _float(operator: str, kind: Type, a: float, b: float) -> float:
    if operator not in ("+", "-", "*", "/"):
        raise BadNumber(f"'{operator}' of floats")
    if isinstance(kind, t.ComptimeFloat):
        if operator == "/" and b == 0.0:
            raise BadNumber("division by zero")
        return {"+": a + b, "-": a - b, "*": a * b}[operator] if operator != "/" else a / b
    number = FLOATS.get(str(kind), np.float32)
    with np.errstate(all="ignore"):
        x, y = number(a), number(b)
        result = {"+": x + y, "-": x - y, "*": x * y}[operator] if operator != "/" else x / y
    return rounded(float(result), kind)


def _each(apply: Callable[[Any, Any], Any], kind: Type, operator: str, a: Any, b: Any) -> Any:
    """``apply`` to numbers of every PE, as Python integers where 64 bits may not hold them."""
    one, other = (x.each if isinstance(x, Varying) else x for x in (a, b))
    if isinstance(kind, (t.Float, t.ComptimeFloat)):
        raise Split(split_of(a if isinstance(a, Varying) else b))
    try:
        return by_pe(np.asarray(apply(one, other)))
    except OverflowError:
        raise BadNumber("numbers beyond 64 bits that differ between the PEs of a program") from None


def unary(operator: str, kind: Type, a: Any) -> Any:
    """``operator a``."""
    if isinstance(a, Varying):
        return by_pe(np.asarray(unary(operator, kind, a.each)))
    if operator == "!":
        return np.logical_not(a) if isinstance(a, np.ndarray) else not a
    if operator == "~":
        return wrap(kind, ~a)
    return wrap(kind, -a) if isinstance(kind, (t.Int, t.ComptimeInt)) else -a
