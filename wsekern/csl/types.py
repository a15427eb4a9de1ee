"""CSL's types, how many bytes their values take on a PE, and which of them turns into which by itself."""

from dataclasses import dataclass
from typing import Any

WORD = 4
"""Bytes of a wavelet, of a pointer, and of what every symbol is aligned to."""


@dataclass(frozen=True)
class Type:
    """Any type; ``str`` of one is how CSL writes it."""

    def __str__(self) -> str:
        return type(self).__name__.lower()

    @property
    def bytes(self) -> int:
        """Bytes of a value in the memory of a PE; 0: values live only while the program is compiled."""
        return 0

    @property
    def alignment(self) -> int:
        """Bytes of which the place of a value in a struct is a multiple."""
        return min(WORD, max(1, self.bytes))


@dataclass(frozen=True)
class Void(Type):
    """``void``: one value, ``{}``."""


@dataclass(frozen=True)
class Bool(Type):
    """``bool``."""

    @property
    def bytes(self) -> int:
        """A whole 16-bit element: cores load nothing smaller."""
        return 2


@dataclass(frozen=True)
class Int(Type):
    """``i8`` to ``u64``."""

    bits: int
    signed: bool

    def __str__(self) -> str:
        return f"{'i' if self.signed else 'u'}{self.bits}"

    @property
    def bytes(self) -> int:
        """8-bit integers take an element of 16 bits: cores load nothing smaller."""
        return max(2, -(-self.bits // 8)) if self.bits <= 16 else 4 * -(-self.bits // 32)

    @property
    def low(self) -> int:
        """The smallest one."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """The largest one."""
        return (1 << (self.bits - self.signed)) - 1

    def wrap(self, value: int) -> int:
        """``value`` modulo 2**bits, in range."""
        value &= (1 << self.bits) - 1
        return value - (1 << self.bits) if self.signed and value > self.high else value


@dataclass(frozen=True)
class Float(Type):
    """``f16``, ``bf16``, ``cb16`` or ``f32``."""

    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def bytes(self) -> int:
        """2 or 4."""
        return 4 if self.name == "f32" else 2


@dataclass(frozen=True)
class ComptimeInt(Type):
    """An integer of any size."""

    def __str__(self) -> str:
        return "comptime_int"


@dataclass(frozen=True)
class ComptimeFloat(Type):
    """A double."""

    def __str__(self) -> str:
        return "comptime_float"


@dataclass(frozen=True)
class ComptimeString(Type):
    """A byte string."""

    def __str__(self) -> str:
        return "comptime_string"


@dataclass(frozen=True)
class ComptimeStruct(Type):
    """Any struct; of the dialects before 2.10."""

    def __str__(self) -> str:
        return "comptime_struct"


@dataclass(frozen=True)
class TypeType(Type):
    """The type of types."""

    def __str__(self) -> str:
        return "type"


@dataclass(frozen=True)
class AnyType(Type):
    """``anytype`` of a parameter, ``anyopaque`` behind a pointer."""

    name: str = "anytype"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Opaque(Type):
    """A small number with a meaning: color, direction, queue, task id, microthread, register."""

    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def bytes(self) -> int:
        """As u16."""
        return 2


@dataclass(frozen=True)
class DsdType(Type):
    """``mem1d_dsd``, ``mem4d_dsd``, ``circbuf_dsd``, ``fabin_dsd``, ``fabout_dsd``, or a FIFO."""

    kind: str

    def __str__(self) -> str:
        return self.kind

    @property
    def bytes(self) -> int:
        """Base, extent and stride where it is kept in memory."""
        return 3 * WORD


@dataclass(frozen=True)
class RangeType(Type):
    """What ``@range`` gives, of elements of a type."""

    element: Type

    def __str__(self) -> str:
        return f"range of {self.element}"


@dataclass(frozen=True)
class ModuleType(Type):
    """What ``@import_module`` gives."""

    def __str__(self) -> str:
        return "imported_module"


@dataclass(frozen=True)
class Pointer(Type):
    """``*T`` or, ``many``, ``[*]T``."""

    element: Type
    constant: bool = False
    many: bool = False

    def __str__(self) -> str:
        return f"{'[*]' if self.many else '*'}{'const ' if self.constant else ''}{self.element}"

    @property
    def bytes(self) -> int:
        """A byte address."""
        return WORD


@dataclass(frozen=True)
class Array(Type):
    """``[n, m]T``, row by row."""

    extents: tuple[int, ...]
    element: Type

    def __str__(self) -> str:
        return f"[{', '.join(map(str, self.extents))}]{self.element}"

    @property
    def count(self) -> int:
        """Elements."""
        total = 1
        for extent in self.extents:
            total *= extent
        return total

    @property
    def bytes(self) -> int:
        """Of all elements."""
        return self.count * self.element.bytes

    @property
    def alignment(self) -> int:
        """That of an element."""
        return self.element.alignment


@dataclass(frozen=True)
class Struct(Type):
    """A struct or union: nominal by ``site`` where it is declared, structural where ``site`` is None (``.{...}``)."""

    site: Any
    names: tuple[str, ...]
    types: tuple[Type, ...]
    name: str = "struct"
    union: bool = False

    def __str__(self) -> str:
        if self.site is not None:
            return self.name
        inside = ", ".join(f".{name}: {each}" if name else str(each) for name, each in zip(self.names, self.types, strict=True))
        return f"struct {{{inside}}}"

    @property
    def is_tuple(self) -> bool:
        """Whether its fields have numbers instead of names."""
        return self.site is None and not any(self.names)

    def offset(self, name: str) -> int:
        """Byte of a field: as in C, the next one that its type divides, so that hosts can fill structs as arrays of numpy."""
        if self.union:
            return 0
        at = 0
        for field, each in zip(self.names, self.types, strict=True):
            at = _up(at, each.alignment)
            if field == name:
                return at
            at += each.bytes
        raise KeyError(name)

    @property
    def alignment(self) -> int:
        """That of the field with the largest one."""
        return max((each.alignment for each in self.types), default=1)

    def type_of(self, name: str) -> Type | None:
        """Type of a field, None where there is none."""
        return self.types[self.names.index(name)] if name in self.names else None

    @property
    def bytes(self) -> int:
        """Of all fields, and what fills them up to a multiple of the struct's alignment."""
        at = 0
        for each in self.types:
            at = max(at, each.bytes) if self.union else _up(at, each.alignment) + each.bytes
        return _up(at, self.alignment)


def _up(number: int, step: int) -> int:
    """The next multiple of a step."""
    return -(-number // step) * step


@dataclass(frozen=True)
class Enum(Type):
    """Names of numbers of a type."""

    site: Any
    type: Type
    names: tuple[str, ...]
    values: tuple[int, ...]
    name: str = "enum"

    def __str__(self) -> str:
        return self.name

    @property
    def bytes(self) -> int:
        """Of its integer type."""
        return self.type.bytes or 2


@dataclass(frozen=True)
class FunctionType(Type):
    """``fn(T) U`` or ``task() void``."""

    kind: str
    parameters: tuple[Type, ...]
    result: Type

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(map(str, self.parameters))}) {self.result}"

    @property
    def bytes(self) -> int:
        """A code address, where a pointer to it is kept."""
        return WORD


VOID, BOOL, COMPTIME_INT, COMPTIME_FLOAT = Void(), Bool(), ComptimeInt(), ComptimeFloat()
STRING, COMPTIME_STRUCT, TYPE, MODULE, ANY = ComptimeString(), ComptimeStruct(), TypeType(), ModuleType(), AnyType()
I8, I16, I32, I64 = (Int(bits, True) for bits in (8, 16, 32, 64))
U8, U16, U32, U64 = (Int(bits, False) for bits in (8, 16, 32, 64))
F16, BF16, CB16, F32 = Float("f16"), Float("bf16"), Float("cb16"), Float("f32")
COLOR, DIRECTION, INPUT_QUEUE, OUTPUT_QUEUE, DATA_TASK, LOCAL_TASK, CONTROL_TASK, UT = (Opaque(name) for name in (
    "color", "direction", "input_queue", "output_queue", "data_task_id", "local_task_id", "control_task_id", "ut_id"))
MEM1D, MEM4D, CIRCBUF, FABIN, FABOUT, FIFO = (DsdType(kind) for kind in (
    "mem1d_dsd", "mem4d_dsd", "circbuf_dsd", "fabin_dsd", "fabout_dsd", "fifo"))

NAMED: dict[str, Type] = {str(each): each for each in (
    VOID, BOOL, COMPTIME_INT, COMPTIME_FLOAT, STRING, COMPTIME_STRUCT, TYPE, MODULE, ANY, AnyType("anyopaque"), I8, I16, I32,
    I64, U8, U16, U32, U64, F16, BF16, CB16, F32, COLOR, DIRECTION, INPUT_QUEUE, OUTPUT_QUEUE, DATA_TASK, LOCAL_TASK,
    CONTROL_TASK, UT, MEM1D, MEM4D, CIRCBUF, FABIN, FABOUT, *(Opaque(name) for name in (
        "dsr_dest", "dsr_src0", "dsr_src1", "dsr_fifo_dest", "dsr_fifo_src1", "xdsr", "sr")))}
"""Types that have a name from the start."""


def is_number(kind: Type) -> bool:
    """Whether values can be added."""
    return isinstance(kind, (Int, Float, ComptimeInt, ComptimeFloat))


def is_comptime(kind: Type) -> bool:
    """Whether values live only while the program is compiled."""
    if isinstance(kind, Array):
        return is_comptime(kind.element)
    if isinstance(kind, Struct):
        return any(is_comptime(each) for each in kind.types)
    return isinstance(kind, (ComptimeInt, ComptimeFloat, ComptimeString, ComptimeStruct, TypeType, ModuleType, RangeType,
                             AnyType, Void))


def widens(given: Type, wanted: Type) -> bool:
    """Whether a value of ``given`` becomes one of ``wanted`` without being asked to: no value of it is lost."""
    if isinstance(given, Int) and isinstance(wanted, Int):
        return wanted.low <= given.low and given.high <= wanted.high
    if isinstance(given, Float) and isinstance(wanted, Float):
        return wanted == F32
    if isinstance(given, Pointer) and isinstance(wanted, Pointer):
        return _points_alike(given, wanted)
    return False


def _points_alike(given: Pointer, wanted: Pointer) -> bool:
    if given.constant and not wanted.constant:
        return False
    element = given.element
    if wanted.element == AnyType("anyopaque") or element == wanted.element:
        return True
    if wanted.many and isinstance(element, Array):  # of several dimensions too: programs do it everywhere
        return element.element == wanted.element
    return not wanted.many and isinstance(wanted.element, Array) and wanted.element.extents == (1,) and (
        wanted.element.element == element)


def peer(first: Type, second: Type) -> Type | None:
    """The type that operands of both have in common, None where there is none."""
    if first == second:
        return first
    for one, other in ((first, second), (second, first)):
        if isinstance(one, ComptimeInt) and isinstance(other, (Int, ComptimeFloat)):
            return other
        if isinstance(one, (ComptimeFloat, ComptimeInt)) and isinstance(other, Float):
            return other
        if widens(one, other):
            return other
    return None
