"""Integers of 64 bits at run time: two registers beside each other, the low half first, as instructions on their halves."""

from abc import ABC, abstractmethod
from typing import Any

from wsekern.csl import types as t
from wsekern.csl.types import Type
from wsekern.csl.values import Memory, Reg


def is_wide(kind: Type) -> bool:
    """Whether values of a type take two registers."""
    return isinstance(kind, t.Int) and kind.bits == 64


def high(register: Reg) -> Reg:
    """The upper half of a value whose lower half a register holds."""
    return Reg(register.frame, register.number + 1)


class WideEmitter(ABC):
    """What :class:`wsekern.csl.emit.Emitter` writes for 64-bit integers."""

    frame: Any

    @abstractmethod
    def emit(self, form: str, **fields: Any) -> None:
        """One instruction."""

    @abstractmethod
    def scalar(self, op: str, kind: str, *sources: Reg) -> Reg:
        """``op`` of registers into a new one."""

    @abstractmethod
    def constant(self, number: float, kind: str = "i32") -> Reg:
        """A number in a new register."""

    @abstractmethod
    def elements(self, place: Memory, size: int) -> tuple[Any, int, Reg | None]:
        """(symbol, bytes, register) of a place."""

    def _u32(self, op: str, *sources: Reg) -> Reg:
        return self.scalar(op, "u32", *sources)

    def pair(self, low: Reg, upper: Reg) -> Reg:
        """Two halves beside each other."""
        target = self.frame.new_for(t.U64)
        self._move(target, low)
        self._move(high(target), upper)
        return target

    def _move(self, target: Reg, source: Reg) -> None:
        self.emit("scalar", op="mov", type="u32", dst=target, a=source)

    def set_wide(self, target: Reg, data: Any) -> None:
        """``target`` = another value, or a known number."""
        if isinstance(data, Reg):
            if data != target:
                self._move(target, data)
                self._move(high(target), high(data))
            return
        for register, bits in ((target, int(data)), (high(target), int(data) >> 32)):
            self.emit("constant", type="u32", dst=register, imm=bits & 0xFFFFFFFF)

    def load_wide(self, place: Memory) -> Reg:
        """The number at a place."""
        symbol, offset, index = self.elements(place, 4)
        target = self.frame.new_for(t.U64)
        for k, register in enumerate((target, high(target))):
            self.emit("load", type="u32", dst=register, a=index, target=symbol, imm=offset + 4 * k)
        return target

    def store_wide(self, place: Memory, register: Reg) -> None:
        """A number to a place."""
        symbol, offset, index = self.elements(place, 4)
        for k, half in enumerate((register, high(register))):
            self.emit("store", type="u32", a=index, b=half, target=symbol, imm=offset + 4 * k)

    def binary_wide(self, operator: str, kind: t.Int, a: Reg, b: Reg) -> Reg:
        """``a operator b``; truths of comparisons are u16."""
        if operator in (">", ">="):
            return self.binary_wide("<" if operator == ">" else "<=", kind, b, a)
        if operator in ("==", "!="):
            differ = self._u32("or", self._u32("xor", a, b), self._u32("xor", high(a), high(b)))
            return self._u32("eq" if operator == "==" else "ne", differ, self.constant(0, "u32"))
        if operator == "<=":
            return self._u32("eq", self.binary_wide("<", kind, b, a), self.constant(0, "u32"))
        if operator == "<":
            upper = self.scalar("lt", "i32" if kind.signed else "u32", high(a), high(b))
            low = self._u32("and", self._u32("eq", high(a), high(b)), self._u32("lt", a, b))
            return self._u32("or", upper, low)
        if operator in "&|^":
            op = {"&": "and", "|": "or", "^": "xor"}[operator]
            return self.pair(self._u32(op, a, b), self._u32(op, high(a), high(b)))
        if operator in ("<<", ">>"):
            return self._shift_wide(operator, kind, a, b)
        return self._product(a, b) if operator == "*" else self._sum_wide(operator, a, b)

    def _sum_wide(self, operator: str, a: Reg, b: Reg) -> Reg:
        op = "add" if operator == "+" else "sub"
        low = self._u32(op, a, b)
        carry = self._u32("lt", low, a) if operator == "+" else self._u32("lt", a, b)
        return self.pair(low, self._u32(op, self._u32(op, high(a), high(b)), carry))

    def _product(self, a: Reg, b: Reg) -> Reg:
        """The low 64 bits: products of 16-bit parts, whose sums hold in 32."""
        mask, sixteen = self.constant(0xFFFF, "u32"), self.constant(16, "u32")

        def parts(register: Reg) -> tuple[Reg, Reg]:
            return self._u32("and", register, mask), self._u32("shr", register, sixteen)

        (a0, a1), (b0, b1) = parts(a), parts(b)
        low, one, other, upper = (self._u32("mul", *each) for each in ((a0, b0), (a0, b1), (a1, b0), (a1, b1)))
        (low0, low1), (one0, one1), (other0, other1) = parts(low), parts(one), parts(other)
        middle = self._u32("add", self._u32("add", low1, one0), other0)
        middle0, middle1 = parts(middle)
        for each in (one1, other1, middle1, self._u32("mul", a, high(b)), self._u32("mul", high(a), b)):
            upper = self._u32("add", upper, each)
        return self.pair(self._u32("or", low0, self._u32("shl", middle0, sixteen)), upper)

    def _shift_wide(self, operator: str, kind: t.Int, a: Reg, count: Reg) -> Reg:
        """By 0 to 63 bits: instructions take the low five bits of a count; the sixth exchanges the halves."""
        one, all_five = self.constant(1, "u32"), self.constant(31, "u32")
        rest = self._u32("xor", self._u32("and", count, all_five), all_five)
        far = self._u32("neg", self._u32("and", self._u32("shr", count, self.constant(5, "u32")), one))
        near = self._u32("xor", far, self.constant(0xFFFFFFFF, "u32"))

        def chosen(small: Reg, large: Reg) -> Reg:
            return self._u32("or", self._u32("and", small, near), self._u32("and", large, far))

        zero = self.constant(0, "u32")
        if operator == "<<":
            low = self._u32("shl", a, count)
            crossing = self._u32("shr", self._u32("shr", a, one), rest)
            return self.pair(chosen(low, zero), chosen(self._u32("or", self._u32("shl", high(a), count), crossing), low))
        machine = "i32" if kind.signed else "u32"
        upper = self.scalar("shr", machine, high(a), count)
        crossing = self._u32("shl", self._u32("shl", high(a), one), rest)
        sign = self.scalar("shr", machine, high(a), all_five) if kind.signed else zero
        return self.pair(chosen(self._u32("or", self._u32("shr", a, count), crossing), upper), chosen(upper, sign))

    def widened(self, register: Reg, signed: bool) -> Reg:
        """32 bits as 64."""
        return self.pair(register, self.scalar("shr", "i32", register, self.constant(31, "u32")) if signed
                         else self.constant(0, "u32"))
