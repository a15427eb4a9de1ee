"""Scalars of a program while its code is written: variables in memory, values in registers."""

import struct
from numbers import Real
from typing import Any, Protocol

import numpy as np

from wsekern.errors import InputError
from wsekern.program.operands import INTEGERS, NUMPY_TYPES, Array, Operand, element_type


class Variable:
    """A scalar in the memory of a program; ``code.get`` and ``code.put`` read and write it."""

    def __init__(self, symbol: Array) -> None:
        self.symbol = symbol

    @property
    def type(self) -> str:
        """Element type."""
        return self.symbol.type

    def view(self) -> Operand:
        """As a scalar operand of vector instructions: a source for every element, or the target of a reduction."""
        return self.symbol.view(1, stride=0)


class Writer(Protocol):
    """What a value asks of the code that it is written in (:class:`wsekern.program.code.Code`)."""

    def scalar(self, op: str, a: "Value", b: "Number | None" = None, c: "Number | None" = None) -> "Value":
        """One scalar operation in the type of ``a``."""

    def in_place(self, op: str, target: "Value", other: "Number") -> "Value":
        """``target`` = ``target`` op ``other``."""

    def value(self, item: "Number", type: str) -> "Value":
        """A number, variable or value as a value of ``type``."""

    def convert(self, a: "Value", type: str) -> "Value":
        """``a`` as ``type``."""

    def release(self, register: int) -> None:
        """Nobody uses ``register`` any more."""


class Value:
    """A scalar in a register, in the code that made it. Arithmetic on it writes instructions; ``+=`` changes it in place."""

    def __init__(self, code: Writer, register: int, type: str, owned: bool = True) -> None:
        self.code, self.register, self.type, self._owned = code, register, type, owned

    def __del__(self) -> None:
        if self._owned:
            self.code.release(self.register)

    def __add__(self, other: Any) -> "Value":
        return self.code.scalar("add", self, other)

    def __radd__(self, other: Any) -> "Value":
        return self.code.scalar("add", self, other)

    def __sub__(self, other: Any) -> "Value":
        return self.code.scalar("sub", self, other)

    def __rsub__(self, other: Any) -> "Value":
        return self.code.scalar("sub", self.code.value(other, self.type), self)

    def __mul__(self, other: Any) -> "Value":
        return self.code.scalar("mul", self, other)

    def __rmul__(self, other: Any) -> "Value":
        return self.code.scalar("mul", self, other)

    def __truediv__(self, other: Any) -> "Value":
        return self.code.scalar("div", self, other)

    def __rtruediv__(self, other: Any) -> "Value":
        return self.code.scalar("div", self.code.value(other, self.type), self)

    __floordiv__ = __truediv__

    def __mod__(self, other: Any) -> "Value":
        return self.code.scalar("mod", self, other)

    def __and__(self, other: Any) -> "Value":
        return self.code.scalar("and", self, other)

    def __or__(self, other: Any) -> "Value":
        return self.code.scalar("or", self, other)

    def __xor__(self, other: Any) -> "Value":
        return self.code.scalar("xor", self, other)

    def __lshift__(self, other: Any) -> "Value":
        return self.code.scalar("shl", self, other)

    def __rshift__(self, other: Any) -> "Value":
        return self.code.scalar("shr", self, other)

    def __neg__(self) -> "Value":
        return self.code.scalar("neg", self)

    def __abs__(self) -> "Value":
        return self.code.scalar("abs", self)

    def __iadd__(self, other: Any) -> "Value":
        return self.code.in_place("add", self, other)

    def __isub__(self, other: Any) -> "Value":
        return self.code.in_place("sub", self, other)

    def __imul__(self, other: Any) -> "Value":
        return self.code.in_place("mul", self, other)

    def __lt__(self, other: Any) -> "Value":
        return self.code.scalar("lt", self, other)

    def __le__(self, other: Any) -> "Value":
        return self.code.scalar("le", self, other)

    def __gt__(self, other: Any) -> "Value":
        return self.code.scalar("lt", self.code.value(other, self.type), self)

    def __ge__(self, other: Any) -> "Value":
        return self.code.scalar("le", self.code.value(other, self.type), self)

    def __eq__(self, other: Any) -> "Value":  # type: ignore[override]
        return self.code.scalar("eq", self, other)

    def __ne__(self, other: Any) -> "Value":  # type: ignore[override]
        return self.code.scalar("ne", self, other)

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise InputError("a value of a PE program is not known while the program is written: use code.if_(...)")

    def to(self, type: str) -> "Value":
        """Converted: integers to floats rounded once, floats to integers toward zero."""
        return self.code.convert(self, element_type(type))

    def bits(self, type: str) -> "Value":
        """The same bits as another type; costs nothing."""
        kept = Value(self.code, self.register, element_type(type), owned=False)
        kept.keep = self            # the register stays in use as long as either is
        return kept


Number = Value | Variable | int | float


def register_bits(number: float, type: str) -> int:
    """A number as the bits of a register of ``type``."""
    if not isinstance(number, Real):
        raise InputError(f"{number!r} is no number of {type}")
    if type == "bf16":
        word = struct.unpack("<I", struct.pack("<f", number))[0]
        return (word + 0x7FFF + (word >> 16 & 1)) >> 16
    kind = np.dtype(NUMPY_TYPES[type])
    if type in INTEGERS:
        return int(number) & (0xFFFFFFFF if kind.itemsize == 4 else 0xFFFF)
    return int(np.asarray(number, kind).view(np.uint16 if kind.itemsize == 2 else np.uint32))
