"""Values: known while the program is compiled, or held by registers of the core.

A :class:`Value` has a type and its ``data``:

| type | data |
|---|---|
| integers, opaque numbers, enums | int, or :class:`Varying` where it differs between the PEs of a program |
| floats | float, rounded to the type, or :class:`Varying` |
| bool, comptime_string, type, void | bool, bytes, Type, None |
| array | list of elements' data, or a numpy array of numbers, row by row |
| struct | dict of values by field (tuples: by "0", "1", ...) |
| pointer | :class:`Address`, or of a function :class:`FunctionRef` |
| function, module, DSD, range | :class:`FunctionRef`, module instance, :class:`Dsd`, three values |
| any scalar at run time | :class:`Reg` |
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wsekern.csl import types as t
from wsekern.csl.types import Type

if TYPE_CHECKING:
    from wsekern.csl import syntax
    from wsekern.csl.source import Span


class Reg(NamedTuple):
    """Register ``number`` of those of a function's frame; which one of the core, the linker decides."""

    frame: Any
    number: int


class Varying:
    """A number or truth that differs between the PEs of a program: one element for each. Floats only lie in memory: whatever
    computes with one at once splits the PEs."""

    __slots__ = ("each",)

    def __init__(self, each: np.ndarray) -> None:
        self.each = each

    def __repr__(self) -> str:
        return f"{self.each.min()} to {self.each.max()}, by PE"


@dataclass(frozen=True, slots=True)
class Value:
    """A value of ``type``."""

    type: Type
    data: Any

    @property
    def known(self) -> bool:
        """Whether nothing of it is in a register."""
        return not any(isinstance(leaf.data, (Reg, Memory)) for leaf in leaves(self))


NOTHING = Value(t.VOID, None)


@dataclass(eq=False)
class Symbol:
    """Memory under a name: a global variable, or an array of a function. ``initial``: its value before the program starts."""

    name: str
    type: Type
    initial: Value | None
    constant: bool
    span: "Span | None" = None
    storage: str = ""
    align: int = 4
    used: bool = False
    """Whether code or the host needs it in memory."""


@dataclass(frozen=True, slots=True)
class Address:
    """``offset`` bytes into a symbol."""

    symbol: Symbol
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """A place in a PE's memory: ``offset`` bytes into a symbol (None: from address 0 on), and ``scale`` bytes more for each
    unit of every register of ``terms``. Data of an array that code has not copied anywhere else."""

    symbol: Symbol | None
    offset: int = 0
    terms: tuple[tuple[Reg, int], ...] = ()

    def moved(self, by: int, *terms: tuple[Reg, int]) -> "Memory":
        """A place behind it."""
        return Memory(self.symbol, self.offset + by, (*self.terms, *terms))


@dataclass(frozen=True, eq=False)
class FunctionRef:
    """A function or task of a module instance."""

    module: Any
    node: "syntax.Function"

    @property
    def name(self) -> str:
        """As it is declared."""
        return self.node.name


@dataclass(frozen=True)
class Dsd:
    """A data structure descriptor.

    Of memory: ``base`` is a pointer (:class:`Address`, or a byte address in a register), ``extent`` an integer, ``stride`` one
    in elements (mem1d). mem4d: ``shape`` and ``strides`` are numbers, ``strides`` plain (from one index to the next),
    outermost first. ``element``: bytes of an element, as the base pointer has it. Of the fabric: ``color`` and ``queue`` are
    values or None. ``options``: every other field as written, a value each."""

    kind: str
    base: Value | None = None
    extent: Value | None = None
    stride: Value | None = None
    element: int = 0
    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    color: Value | None = None
    queue: Value | None = None
    options: dict[str, Any] = field(default_factory=dict)
    fifo: Any = None
    advance: int = 0
    """Elements that an operand moves on in each repeat of an instruction."""

    def with_fields(self, **changes: Any) -> "Dsd":
        """Another one that differs in these."""
        return replace(self, **changes)


PARTS = ("base", "extent", "stride")
"""Fields of a DSD that code may change."""


def leaves(value: Value) -> Iterator[Value]:
    """The scalars of a value, in order: itself, or those of its fields."""
    data = value.data
    if isinstance(value.type, t.Struct) and isinstance(data, dict):
        for each in data.values():
            yield from leaves(each)
    elif isinstance(data, Dsd):
        for name in PARTS:
            part = getattr(data, name)
            if part is not None:
                yield from leaves(part)
    elif isinstance(value.type, t.RangeType):
        for each in data:
            yield from leaves(each)
    else:
        yield value


def with_leaves(value: Value, replacements: Iterator[Value]) -> Value:
    """``value`` with its scalars replaced, in the order of :func:`leaves`."""
    data = value.data
    if isinstance(value.type, t.Struct) and isinstance(data, dict):
        return Value(value.type, {name: with_leaves(each, replacements) for name, each in data.items()})
    if isinstance(data, Dsd):
        changed = {name: with_leaves(part, replacements) for name in PARTS if (part := getattr(data, name)) is not None}
        return Value(value.type, data.with_fields(**changed))
    if isinstance(value.type, t.RangeType):
        return Value(value.type, tuple(with_leaves(each, replacements) for each in data))
    return next(replacements)


FLOATS = {"f32": np.float32, "f16": np.float16}


def rounded(number: float, kind: t.Float) -> float:
    """The nearest number of a float type."""
    if kind.name in FLOATS:
        with np.errstate(over="ignore"):
            return float(FLOATS[kind.name](number))
    bits = np.float32(number).view(np.uint32)  # bf16: the upper half, to the nearest, ties to even
    if not np.isfinite(number):
        return float(number)
    upper = (int(bits) + 0x7FFF + ((int(bits) >> 16) & 1)) & 0xFFFF0000
    return float(np.uint32(upper).view(np.float32))


def integer(value: int, kind: Type = t.COMPTIME_INT) -> Value:
    """A known integer."""
    return Value(kind, value)


def number_dtype(kind: Type) -> Any:
    """How numpy holds arrays of a number type, None for arrays that are kept as lists."""
    if isinstance(kind, t.Int):
        return np.dtype(f"{'i' if kind.signed else 'u'}{1 << max(0, (kind.bits - 1).bit_length() - 3)}")
    if isinstance(kind, t.Float):
        return np.dtype(FLOATS.get(kind.name, np.float32))
    return np.dtype(bool) if kind == t.BOOL else None


def zero_of(kind: Type) -> Value:
    """A value of zeros, as memory holds at the start."""
    if isinstance(kind, t.Array):
        dtype = number_dtype(kind.element)
        if dtype is not None:
            return Value(kind, np.zeros(kind.count, dtype))
        return Value(kind, [zero_of(kind.element).data for _ in range(kind.count)])
    if isinstance(kind, t.Struct):
        return Value(kind, {name: zero_of(each) for name, each in zip(kind.names, kind.types, strict=True)})
    if isinstance(kind, (t.Float, t.ComptimeFloat)):
        return Value(kind, 0.0)
    if kind == t.BOOL:
        return Value(kind, False)
    if kind == t.MEM1D:  # of no elements
        return Value(kind, Dsd(kind.kind, Value(t.Pointer(t.U16), 0), Value(t.U16, 0), Value(t.COMPTIME_INT, 1), 2))
    if isinstance(kind, (t.Pointer, t.FunctionType, t.DsdType, t.Void)):
        return Value(kind, None)
    return Value(kind, 0)


def element_of(value: Value, place: int) -> Value:
    """Element ``place`` (row by row) of a known array."""
    assert isinstance(value.type, t.Array)
    data = value.data[place]
    if isinstance(value.data, np.ndarray):
        data = data.item()
    return Value(value.type.element, data)


def by_pe(each: np.ndarray) -> Any:
    """Data of a number of every PE: one number where it is the same on all (of floats, in every bit)."""
    bits = _bits(each)
    return each[0].item() if (bits == bits[0]).all() else Varying(each)


def _bits(each: np.ndarray) -> np.ndarray:
    return np.asarray(each, np.float64).view(np.int64) if each.dtype.kind == "f" else each


def split_of(varying: Varying) -> np.ndarray:
    """Group number of each PE, by value."""
    return np.unique(_bits(varying.each), return_inverse=True)[1]


class Split(Exception):
    """Something that must be one value differs between the PEs of a program: they need programs of their own. ``groups``: a
    number for each PE."""

    def __init__(self, groups: np.ndarray) -> None:
        super().__init__("PEs need programs of their own")
        self.groups = groups


def shown(value: Value) -> str:
    """A value, for messages."""
    if isinstance(value.data, Reg):
        return f"a value of type {value.type} that is known only at run time"
    if isinstance(value.data, bytes):
        return f'"{value.data.decode("utf-8", "replace")}"'
    if isinstance(value.type, t.TypeType):
        return str(value.data)
    if isinstance(value.data, bool):
        return "true" if value.data else "false"
    if isinstance(value.data, (int, float, Varying)):
        return f"{value.data}"
    return f"a value of type {value.type}"
