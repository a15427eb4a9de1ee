"""Operands of vector instructions: descriptors of memory and fabric, named as a CSL programmer knows them."""

from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np

from wsekern.errors import InputError
from wsekern.shown import Tabled

ElementType = Literal["fp32", "fp16", "bf16", "u32", "u16", "i32", "i16"]

TYPE_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "u32": 4, "u16": 2, "i32": 4, "i16": 2}
NUMPY_TYPES = {"fp32": np.float32, "fp16": np.float16, "bf16": np.uint16, "u32": np.uint32, "u16": np.uint16,
               "i32": np.int32, "i16": np.int16}
INTEGERS = frozenset({"u32", "u16", "i32", "i16"})
_ALIASES = {"f32": "fp32", "f16": "fp16"}


def element_type(name: str) -> ElementType:
    """An element type by its name here or in CSL (``f32``, ``f16``)."""
    name = _ALIASES.get(name, name) if isinstance(name, str) else name
    if not isinstance(name, str) or name not in TYPE_BYTES:
        raise InputError(f"no element type {name!r}: use one of {', '.join([*TYPE_BYTES, *_ALIASES])}")
    return name


class Array(str, Tabled):
    """A symbol of a program: its name, with its element ``type`` and number of ``elements``; ``stored``: the type that it was
    declared with, another one where this is a view of it."""

    type: ElementType
    elements: int
    stored: ElementType

    def __new__(cls, name: str, type: ElementType, elements: int, stored: ElementType | None = None) -> "Array":
        """Memory ``name`` of ``elements`` of ``type``."""
        made = super().__new__(cls, name)
        made.type, made.elements, made.stored = type, elements, stored or type
        return made

    def _facts(self) -> dict[str, Any]:
        return {"name": str(self), "type": self.type, "elements": self.elements, "stored": self.stored}

    def __getnewargs__(self) -> tuple[str, ElementType, int, ElementType]:
        return str(self), self.type, self.elements, self.stored

    def as_type(self, type: str) -> "Array":
        """The same memory as elements of another type, lowest bytes first: two of 16 bits for each of 32, and back (an odd one
        at the end is left out)."""
        kind = element_type(type)
        return Array(self, kind, self.elements * TYPE_BYTES[self.type] // TYPE_BYTES[kind], self.stored)

    def view(self, extent: int | None = None, offset: int = 0, stride: int = 1, **more: int | bool) -> "Mem":
        """A mem1d descriptor of the symbol; all elements from ``offset`` on where ``extent`` is not given."""
        if extent is None:
            extent = -(-(self.elements - offset) // stride)
        return Mem(self, extent, offset, stride, **more)


def _seen_as(symbol: str, type: ElementType | None) -> ElementType | None:
    """Type that a descriptor names: its own, or that of the view which it is made of; None: the symbol's."""
    if type is None and isinstance(symbol, Array) and symbol.type != symbol.stored:
        return symbol.type
    return type


@dataclass(frozen=True)
class Mem(Tabled):
    """Memory descriptor (mem1d): ``extent`` elements of ``symbol`` from ``offset``, ``stride`` elements apart (0: one
    scalar for all); in each repeat of a map the first element moves on by ``advance``. With ``save`` a named descriptor
    goes on where its last instruction ended, and without an ``advance`` where the repeat before did. ``type``: what its
    elements are taken for, where not what the symbol was declared with; offsets and strides count such elements."""

    symbol: str
    extent: int
    offset: int = 0
    stride: int = 1
    advance: int = 0
    save: bool = False
    type: ElementType | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", _seen_as(self.symbol, self.type))


@dataclass(frozen=True)
class Mem4d(Tabled):
    """Memory descriptor of up to four dimensions, the last one fastest: ``shape`` elements, ``strides`` elements apart;
    ``type`` as in :class:`Mem`."""

    symbol: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    type: ElementType | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", _seen_as(self.symbol, self.type))

    @property
    def extent(self) -> int:
        """Elements."""
        return int(prod(self.shape))


@dataclass(frozen=True)
class Ring(Tabled):
    """Circular buffer: ``extent`` elements of ``symbol`` in each instruction, which begins again after the symbol's last
    element; a named one goes on where its last instruction ended."""

    symbol: str
    extent: int
    stride: int = 1
    save: bool = True

    def __post_init__(self) -> None:
        if _seen_as(self.symbol, None):
            raise InputError(f"a ring in {self.symbol}, viewed as another type: expected the symbol as it was declared")


@dataclass(frozen=True)
class Fifo(Tabled):
    """FIFO in the memory of ``symbol``: a target pushes, a source pops. An asynchronous instruction waits while it is full
    or empty, a synchronous one ends early. ``on_push`` and ``on_pop``: tasks that are activated by a push after a pop
    found it empty, by a pop after a push found it full. In instructions, ``extent`` elements (default: no limit)."""

    name: str
    symbol: str
    on_push: str | None = None
    on_pop: str | None = None
    extent: int = 0x7FFF

    def of(self, extent: int) -> "Fifo":
        """The same FIFO, for an instruction of ``extent`` elements."""
        return Fifo(self.name, self.symbol, self.on_push, self.on_pop, extent)


@dataclass(frozen=True)
class Fabric(Tabled):
    """Fabric descriptor: ``extent`` elements of ``type`` through input or output queue ``queue``.

    ``packing``: elements in a word, by default as many as it holds. Of words that leave, ``control`` makes control
    wavelets, ``advance_switch`` asks the router to advance the color's switch behind each, and with ``index`` the high half
    of the first word is that number, of each next word one more, or with ``same_index`` the same (16-bit types, one element to
    a word). ``color`` (WSE-2): theirs, as output queues take words of all colors; of words that come in, the color that an
    instruction binds its queue to, for as many words as it takes: then all descriptors of that queue name one.
    """

    queue: int
    extent: int
    type: ElementType
    packing: int | None = None
    control: bool = False
    advance_switch: bool = False
    index: int | None = None
    same_index: bool = False
    color: int | None = None

    @property
    def elements_per_word(self) -> int:
        """Elements in one wavelet."""
        if self.packing is not None:
            return self.packing
        return 1 if self.index is not None else 4 // TYPE_BYTES[self.type]


@dataclass(frozen=True)
class Register:
    """A scalar register as an operand: the same value for all elements; as a target it is reduced into."""

    number: int
    type: ElementType


@dataclass(frozen=True)
class Named:
    """A descriptor that each PE holds for itself under a name (explicit DSR): instructions of the core may change it."""

    name: str


Operand = Mem | Mem4d | Ring | Fifo | Fabric | Register | Named
MEMORY = (Mem, Mem4d, Ring)

_NUMBERS: dict[type, tuple[str, ...]] = {
    Mem: ("extent", "offset", "stride", "advance"), Mem4d: (), Ring: ("extent", "stride"), Fifo: ("extent",),
    Fabric: ("queue", "extent"), Register: (), Named: ()}


def numbers_of(operand: object) -> list[tuple[str, Any]] | None:
    """What of an operand is to be a whole number, by name; None for what is no operand."""
    names = _NUMBERS.get(type(operand))
    if names is None:
        names = next((names for kind, names in _NUMBERS.items() if isinstance(operand, kind)), None)
    if names is None:
        return None
    numbers = [(name, getattr(operand, name)) for name in names]
    if isinstance(operand, Fabric):
        numbers += [(name, number) for name in ("packing", "index") if (number := getattr(operand, name)) is not None]
    if isinstance(operand, Mem4d):
        numbers += [("shape or strides", size) for size in (*operand.shape, *operand.strides, operand.offset)]
    return numbers
