"""What is computed twice, is known, or is in a register already: values of a frame by number.

A register that is known to hold the value of another one is read in its place, an operation on known numbers is done now,
and what memory holds is known from the last load or store of it, for symbols that nothing reaches but loads and stores.
"""

from typing import Any

from wsekern.csl import types as t
from wsekern.csl.access import LEAVES, PURE, renamed, written
from wsekern.csl.ir import Frame, Op
from wsekern.csl.loops_of import Loop, loops_of
from wsekern.csl.private import Private, Slot
from wsekern.csl.values import Reg, Value
from wsekern.program.instructions import SOURCES
from wsekern.program.operands import TYPE_BYTES
from wsekern.program.reference import math as numbers

_COMMUTES = {"add", "mul", "and", "or", "xor", "eq", "ne"}
_FOLDED = {"mov", "add", "sub", "mul", "neg", "and", "or", "xor", "shl", "shr", "lt", "le", "eq", "ne", "max", "min"}
_TRUTHS = {"lt", "le", "eq", "ne"}
State = tuple[dict[Reg, int], dict[Slot, int]]
"""Numbers of the values that registers and slots of memory are known to hold."""


class Numbering:
    """Goes through a frame once, from its begin to its end."""

    def __init__(self, frame: Frame, private: Private, kept: set[Reg]) -> None:
        self.frame, self.private, self.kept = frame, private, kept
        self.at: dict[Reg, int] = {}
        self.slots: dict[Slot, int] = {}
        self.holders: dict[int, list[Reg]] = {}
        self.known: dict[int, Any] = {}         # number of a value -> bits, or Address
        self.kinds: dict[int, str] = {}         # number of a value -> type that its bits are of
        self.found: dict[Any, int] = {}         # what is computed -> number of its value
        self.count = 0
        self.arriving: dict[str, list[State]] = {}
        self.loops: dict[str, Loop] = loops_of(frame, private)
        self.reached = True
        self.ops: list[Op] = []

    def run(self) -> None:
        """Replace the operations of the frame."""
        for op in self.frame.ops:
            if op.form == "label":
                self._meet(op.fields["name"])
                self.ops.append(op)
            elif op.form == "mark":
                self.ops.append(op)
            elif self.reached:
                self._do(op)
        self.frame.ops = self.ops

    # ---- states

    def _meet(self, label: str) -> None:
        states = self.arriving.pop(label, [])
        if self.reached:
            states.append((self.at, self.slots))
        self.reached = bool(states)
        if not states:
            return
        at, slots = dict(states[0][0]), dict(states[0][1])
        for other_at, other_slots in states[1:]:
            at = {each: number for each, number in at.items() if other_at.get(each) == number}
            slots = {each: number for each, number in slots.items() if other_slots.get(each) == number}
        loop = self.loops.get(label)
        if loop is not None:
            at = {each: number for each, number in at.items() if each not in loop.written and each.frame is self.frame}
            slots = {each: number for each, number in slots.items() if each.symbol not in loop.symbols}
        self.at, self.slots, self.holders = at, slots, {}
        for each, number in at.items():
            self.holders.setdefault(number, []).append(each)

    def _leave_to(self, label: str) -> None:
        self.arriving.setdefault(label, []).append((dict(self.at), dict(self.slots)))

    # ---- numbers

    def _new(self, kind: str = "") -> int:
        self.count += 1
        self.kinds[self.count] = kind
        return self.count

    def _of(self, key: Any, kind: str) -> int:
        number = self.found.get(key)
        if number is None:
            number = self.found[key] = self._new(kind)
        return number

    def _number(self, register: Reg) -> int:
        number = self.at.get(register)
        if number is None:
            number = self._new()
            self._hold(register, number)
        return number

    def _constant(self, bits: Any) -> int:
        bits = bits & 0xFFFFFFFF if isinstance(bits, int) else bits
        number = self._of(("constant", bits), "")
        self.known[number] = bits
        return number

    def _hold(self, register: Reg, number: int) -> None:
        self._forget(register)
        self.at[register] = number
        self.holders.setdefault(number, []).append(register)

    def _forget(self, register: Reg) -> None:
        before = self.at.pop(register, None)
        if before is not None:
            self.holders[before].remove(register)

    def _best(self, register: Reg) -> Reg:
        """The register to read in the place of another one: a variable's, else the one that has held the value longest."""
        holders = [each for each in self.holders[self._number(register)] if each.frame is self.frame]
        return next((each for each in holders if each in self.kept), holders[0] if holders else register)

    def _is_of(self, number: int, kind: str) -> bool:
        """Whether the bits of a value are what a move of a type leaves as it is."""
        bits = self.known.get(number)
        if isinstance(bits, int):
            return numbers.encode(kind, numbers.decode(kind, bits & 0xFFFFFFFF)) == bits & 0xFFFFFFFF
        given = self.kinds.get(number)
        return given == kind or (given == "truth" and not numbers.is_float(kind))

    def _fits(self, number: int, size: int) -> bool:
        """Whether memory of so many bytes holds all bits of a value."""
        bits, kind = self.known.get(number), self.kinds.get(number)
        if bits is not None:
            return size == 4 or (isinstance(bits, int) and bits < 1 << 16)
        return size == 4 or kind == "truth" or TYPE_BYTES.get(kind, 4) <= size

    # ---- operations

    def _do(self, op: Op) -> None:
        if op.form == "constant":
            self._give(op, self._constant(op.fields["imm"]))
            return
        op = renamed(op, self._best, lambda each: each)
        if op.form in PURE:
            self._compute(op)
        elif op.form == "store":
            self._store(op)
        elif op.form == "branch":
            self._branch(op)
        else:
            self._other(op)

    def _other(self, op: Op) -> None:
        if op.form == "dsr_load":
            op.fields["a"] = self._as_known(op.fields["a"])
        elif op.form == "vector" and isinstance(op.fields.get("times"), Reg):
            bits = self.known.get(self._number(op.fields["times"]))
            op.fields["times"] = bits if isinstance(bits, int) and bits < 1 << 16 else op.fields["times"]
        self.ops.append(op)
        if op.form in ("call", "tail"):
            for each in [each for each in self.at if each.frame is not self.frame]:
                self._forget(each)
            self._clear(self.private.changed_by(op.fields["target"]))
        for each in written(op):
            self._hold(each, self._new())
        if op.form == "jump":
            self._leave_to(op.fields["target"])
        if op.form in LEAVES:
            self.reached = False

    def _as_known(self, value: Value) -> Value:
        """A descriptor whose extent and stride are numbers where these are known."""
        data, parts = value.data, {}
        for name in ("extent", "stride"):
            part = getattr(data, name)
            bits = self.known.get(self._number(part.data)) if part is not None and isinstance(part.data, Reg) else None
            if isinstance(bits, int):
                parts[name] = Value(t.I32, numbers.decode("i32", bits))
        return Value(value.type, data.with_fields(**parts)) if parts else value

    def _branch(self, op: Op) -> None:
        number = self._number(op.fields["a"])
        bits = self.known.get(number)
        if isinstance(bits, int) and bits:
            return
        if isinstance(bits, int):
            op = Op("jump", {"target": op.fields["target"]}, op.span, op.title)
            self._other(op)
            return
        self._leave_to(op.fields["target"])
        self.ops.append(op)

    def _store(self, op: Op) -> None:
        fields = op.fields
        number, slot = self._number(fields["b"]), self.private.slot(op)
        if slot is not None and self.slots.get(slot) == number:
            return
        if slot is not None and self.private.stays(slot):
            return
        self.ops.append(op)
        if slot is None:
            self._clear({fields["target"]})
            return
        for other in [other for other in self.slots if other.meets(slot)]:
            del self.slots[other]
        self.slots[slot] = number

    def _clear(self, symbols: set[Any]) -> None:
        for each in [each for each in self.slots if each.symbol in symbols]:
            del self.slots[each]

    def _compute(self, op: Op) -> None:
        fields, kind = op.fields, op.fields["type"]
        if op.form == "parameter":
            number = self._of(("parameter", fields["imm"]), kind)
        elif op.form == "load":
            number = self._load(op)
        elif op.form == "convert":
            number = self._convert(op, self._number(fields["a"]))
        else:
            number = self._scalar(op, [self._number(fields[name]) for name in "abc" if fields.get(name) is not None])
        self._give(op, number)

    def _give(self, op: Op, number: int) -> None:
        """A register gets the value of an operation: from another register, where one holds it."""
        target = op.fields["dst"]
        if self.at.get(target) == number:
            return
        holders = [each for each in self.holders.get(number, ()) if each.frame is self.frame]
        bits = self.known.get(number)
        if bits is not None:
            kind = op.fields["type"] if op.form == "constant" else "u32"
            op = Op("constant", {"type": kind, "dst": target, "imm": bits}, op.span, op.title)
        elif holders:
            op = Op("scalar", {"op": "mov", "type": "u32", "dst": target, "a": holders[0]}, op.span, op.title)
        self.ops.append(op)
        self._hold(target, number)

    def _load(self, op: Op) -> int:
        slot, kind = self.private.slot(op), op.fields["type"]
        if slot is None:
            return self._new(kind)
        constant = self.private.constant(slot)
        if constant is not None:
            return self._constant(constant)
        number = self.slots.get(slot)
        if number is not None and self._fits(number, slot.size):
            return number
        number = self._new(kind)
        for other in [other for other in self.slots if other.meets(slot)]:
            del self.slots[other]
        self.slots[slot] = number
        return number

    def _convert(self, op: Op, source: int) -> int:
        kind, given = op.fields["type"], op.fields["source"]
        bits = self.known.get(source)
        if isinstance(bits, int) and not numbers.is_float(kind) and not numbers.is_float(given):
            return self._constant(numbers.encode(kind, numbers.decode(given, bits & 0xFFFFFFFF)))
        return self._of(("convert", kind, given, source), kind)

    def _scalar(self, op: Op, sources: list[int]) -> int:
        name, kind = op.fields["op"], op.fields["type"]
        if name == "mov" and (self._is_of(sources[0], kind) or (
                not numbers.is_float(kind) and self._fits(sources[0], TYPE_BYTES[kind]))):
            return sources[0]
        folded = self._fold(name, kind, sources)
        if folded is not None:
            return folded
        if name in _COMMUTES:
            sources = sorted(sources)
        return self._of((name, kind, *sources), "truth" if name in _TRUTHS else kind)

    def _fold(self, name: str, kind: str, sources: list[int]) -> int | None:
        """An operation on integers of which enough is known."""
        if numbers.is_float(kind) or name not in _FOLDED:
            return None
        bits = [self.known.get(each) for each in sources]
        if all(isinstance(each, int) for each in bits) and len(bits) == SOURCES.get(name, 2):
            result = numbers.apply(name, kind, *(numbers.decode(kind, each & 0xFFFFFFFF) for each in bits),
                                   *[0] * (3 - len(bits)))
            return self._constant(int(result) if name in _TRUTHS else numbers.encode(kind, result))
        if name in ("add", "sub", "shl", "shr", "or", "xor") and bits[1] == 0 and self._is_of(sources[0], kind):
            return sources[0]
        if name in ("add", "or", "xor") and bits[0] == 0 and self._is_of(sources[1], kind):
            return sources[1]
        if name == "mul":
            for one, other in ((0, 1), (1, 0)):
                if bits[one] == 1 and self._is_of(sources[other], kind):
                    return sources[other]
        return None


def number_values(frame: Frame, private: Private, kept: set[Reg]) -> None:
    """Do once what is done twice, and now what is known."""
    Numbering(frame, private, kept).run()

