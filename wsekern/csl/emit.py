"""Scalars in registers: constants, operations, conversions and memory, as instructions of the frame that is open."""

from typing import TYPE_CHECKING, Any

from wsekern.csl import types as t
from wsekern.csl.types import Type
from wsekern.csl.values import Address, FunctionRef, Memory, Reg, Split, Value, Varying, split_of
from wsekern.csl.wide import WideEmitter, high, is_wide
from wsekern.program.values import register_bits

if TYPE_CHECKING:
    from wsekern.csl.ir import Frame
    from wsekern.csl.source import Span

OPERATIONS = {"+": "add", "-": "sub", "*": "mul", "/": "div", "%": "mod", "&": "and", "|": "or", "^": "xor", "<<": "shl",
              ">>": "shr", "==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "lt", ">=": "le"}
"""The core's operation for an operator; ``>`` and ``>=`` with their sides exchanged."""


class Unsupported(Exception):
    """The core has no instruction for it; the message says for what."""


def machine_type(kind: Type) -> str:
    """How the core's instructions name a scalar type."""
    if isinstance(kind, t.Int):
        if kind.bits > 32:
            raise Unsupported(f"{kind} at run time")
        return f"{'i' if kind.signed else 'u'}{16 if kind.bits <= 16 else 32}"
    if isinstance(kind, t.Float):
        if kind.name == "cb16":
            raise Unsupported("cb16 at run time")
        return {"f16": "fp16", "f32": "fp32"}.get(kind.name, kind.name)
    if isinstance(kind, t.Enum):
        return machine_type(kind.type)
    if isinstance(kind, (t.Pointer, t.FunctionType)):
        return "u32"
    if isinstance(kind, (t.Bool, t.Opaque)):
        return "u16"
    raise Unsupported(f"a value of type {kind} at run time")


class Emitter(WideEmitter):
    """Writes to a frame; instructions carry the span that was set last."""

    def __init__(self, frame: "Frame", unit: Any) -> None:
        self.frame, self.unit = frame, unit
        self.span: Span | None = None

    def emit(self, form: str, **fields: Any) -> None:
        """One instruction."""
        self.frame.emit(form, self.span, **fields)

    # ---- values

    def register(self, value: Value) -> Reg:
        """The register that holds a scalar: its own, or a new one."""
        if isinstance(value.data, Reg):
            return value.data
        target = self.frame.new_for(value.type)
        self.set(target, value)
        return target

    def set(self, target: Reg, value: Value) -> None:
        """``target`` = a scalar."""
        if is_wide(value.type) and isinstance(value.data, (int, Reg)):
            self.set_wide(target, value.data)
            return
        data, kind = value.data, machine_type(value.type)
        if isinstance(data, Reg):
            if data != target:
                self.emit("scalar", op="mov", type=kind, dst=target, a=data)
        elif isinstance(data, Varying):
            if data.each.dtype.kind == "f":
                raise Split(split_of(data))
            self.emit("parameter", type=kind, dst=target, imm=self.unit.parameter(data))
        elif isinstance(data, FunctionRef):
            self.emit("constant", type="u32", dst=target, imm=self.unit.function_number(data))
        elif isinstance(data, Address):
            self.unit.use(data.symbol)
            self.emit("constant", type="u32", dst=target, imm=data)
        else:
            self.emit("constant", type=kind, dst=target, imm=self.bits(data, kind))

    @staticmethod
    def bits(number: Any, kind: str) -> int:
        """Bits of a known scalar in a register."""
        if number is None:
            return 0
        return register_bits(int(number) if isinstance(number, bool) else number, kind)

    def constant(self, number: float, kind: str = "i32") -> Reg:
        """A number in a new register."""
        target = self.frame.new()
        self.emit("constant", type=kind, dst=target, imm=self.bits(number, kind))
        return target

    def scalar(self, op: str, kind: str, *sources: Reg) -> Reg:
        """``op`` of registers into a new one."""
        target = self.frame.new()
        self.emit("scalar", op=op, type=kind, dst=target, **dict(zip("abc", sources, strict=False)))
        return target

    def binary(self, operator: str, kind: Type, a: Value, b: Value) -> Reg:
        """``a operator b`` in a type; truths of comparisons are u16."""
        left, right = self.register(a), self.register(b)
        if is_wide(kind):
            return self.binary_wide(operator, kind, left, right)
        if operator in (">", ">="):
            left, right = right, left
        found = self.scalar(OPERATIONS[operator], machine_type(kind), left, right)
        return found if operator in ("==", "!=", "<", "<=", ">", ">=") else self.narrow(found, kind)

    def narrow(self, register: Reg, kind: Type) -> Reg:
        """The low 8 bits (or as many as the type has) of a 16- or 32-bit result."""
        if not isinstance(kind, t.Int) or kind.bits in (16, 32):
            return register
        machine = machine_type(kind)
        spare = (16 if kind.bits < 16 else 32) - kind.bits
        if not kind.signed:
            return self.scalar("and", machine, register, self.constant(kind.high, machine))
        shift = self.constant(spare, machine)
        return self.scalar("shr", machine, self.scalar("shl", machine, register, shift), shift)

    def convert(self, value: Value, kind: Type) -> Reg:
        """A scalar as another number type (``@as``)."""
        if is_wide(value.type) or is_wide(kind):
            return self._convert_wide(value, kind)
        source, wanted, register = machine_type(value.type), machine_type(kind), self.register(value)
        if kind == t.BOOL:
            zero = self.constant(0, source)
            return self.scalar("ne", source, register, zero)
        if source == wanted or (value.type == t.BOOL and isinstance(kind, t.Int)):
            return self.narrow(register, kind) if _cut(value.type, kind) else register
        target = self.frame.new()
        self.emit("convert", type=wanted, dst=target, a=register, source=source)
        return self.narrow(target, kind) if _cut(value.type, kind) else target

    def _convert_wide(self, value: Value, kind: Type) -> Reg:
        """From or to a 64-bit integer; of floats there is no instruction."""
        register = self.register(value)
        if is_wide(value.type) and is_wide(kind):
            return register
        if is_wide(value.type):
            if kind == t.BOOL:
                return self.scalar("ne", "u32", self.scalar("or", "u32", register, high(register)), self.constant(0, "u32"))
            if isinstance(kind, t.Int):
                return self.convert(Value(t.U32, register), kind)
        elif isinstance(value.type, (t.Int, t.Bool)):
            signed = isinstance(value.type, t.Int) and value.type.signed
            return self.widened(self.convert(Value(value.type, register), t.I32 if signed else t.U32), signed)
        raise Unsupported(f"{value.type} as {kind} at run time")

    def index(self, value: Value) -> Reg:
        """A whole number as i32."""
        return self.convert(value, t.I32)

    # ---- memory

    def elements(self, place: Memory, size: int) -> tuple[Any, int, Reg | None]:
        """(symbol, bytes, register): element ``register`` of ``size`` bytes behind the symbol and bytes."""
        if not place.terms:
            return place.symbol, place.offset, None
        odd = [(register, scale) for register, scale in place.terms if scale % size]
        total = bytes_ = None
        for register, scale in odd:
            bytes_ = self._sum(bytes_, self._times(register, scale))
        if bytes_ is not None:
            total = self.scalar("shr", "u32", bytes_, self.constant(size.bit_length() - 1, "u32"))
        for register, scale in place.terms:
            if scale % size == 0:
                total = self._sum(total, self._times(register, scale // size))
        return place.symbol, place.offset, total

    def _sum(self, total: Reg | None, more: Reg) -> Reg:
        return more if total is None else self.scalar("add", "i32", total, more)

    def _times(self, register: Reg, factor: int) -> Reg:
        return register if factor == 1 else self.scalar("mul", "i32", register, self.constant(factor))

    def load(self, place: Memory, kind: Type) -> Reg:
        """The scalar at a place."""
        if is_wide(kind):
            return self.load_wide(place)
        symbol, offset, index = self.elements(place, kind.bytes)
        target = self.frame.new()
        self.emit("load", type=machine_type(kind), dst=target, a=index, target=symbol, imm=offset)
        return target

    def store(self, place: Memory, value: Value) -> None:
        """A scalar to a place."""
        register = self.register(value)
        if is_wide(value.type):
            self.store_wide(place, register)
            return
        symbol, offset, index = self.elements(place, value.type.bytes)
        self.emit("store", type=machine_type(value.type), a=index, b=register, target=symbol, imm=offset)

    def address(self, place: Memory) -> Value:
        """A pointer's data: known where nothing of it is in a register."""
        if not place.terms and place.symbol is not None:
            return Value(t.Pointer(t.VOID), Address(place.symbol, place.offset))
        total = None if place.symbol is None else self.register(Value(t.Pointer(t.VOID), Address(place.symbol, place.offset)))
        if place.symbol is None and place.offset:
            total = self.constant(place.offset)
        for register, scale in place.terms:
            total = self._sum(total, self._times(register, scale))
        return Value(t.Pointer(t.VOID), total)

    # ---- control

    def jump(self, label: str) -> None:
        """Go on at ``label``."""
        self.emit("jump", target=label)

    def unless(self, condition: Value, label: str) -> None:
        """Go on at ``label`` where a truth is false."""
        self.emit("branch", a=self.register(condition), target=label)


def _cut(given: Type, wanted: Type) -> bool:
    """Whether a value of ``given`` may lie outside an integer type that fills no machine type."""
    if not isinstance(wanted, t.Int) or wanted.bits in (16, 32):
        return False
    return not (isinstance(given, t.Int) and wanted.low <= given.low and given.high <= wanted.high)
