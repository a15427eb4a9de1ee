"""Memory that nothing but loads and stores of its own name reaches: what it holds can be known without looking."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from wsekern.csl import types as t
from wsekern.csl.access import written
from wsekern.csl.dsds import Dsr
from wsekern.csl.ir import Frame, Op
from wsekern.csl.values import PARTS, Address, Dsd, Reg, Symbol, Value, Varying, leaves
from wsekern.program.operands import TYPE_BYTES


class Slot(NamedTuple):
    """``size`` bytes of a symbol."""

    symbol: Any
    offset: int
    size: int

    def meets(self, other: "Slot") -> bool:
        """Whether they have a byte in common."""
        return self.symbol is other.symbol and self.offset < other.offset + other.size and (
            other.offset < self.offset + self.size)


class Private:
    """Of a unit's frames: symbols without a pointer to them, what calls may change of them, and parts of descriptors that never
    change."""

    def __init__(self, symbols: Iterable[Symbol], exported: Iterable[Any], loads: Iterable[Any], frames: list[Frame]) -> None:
        shared = {id(each) for each in _pointed_to(symbols, exported, loads, frames)}
        self.symbols = {each for each in symbols if id(each) not in shared and each.storage != "extern"}
        self._varying = {slot for frame in frames for slot in self._varied_in(frame)}
        self._changed: dict[Frame, set[Symbol]] = {}
        self._note_changes(frames)

    def _note_changes(self, frames: list[Frame]) -> None:
        for frame in frames:
            self._changed[frame] = {op.fields["target"] for op in frame.ops if op.form == "store"} & self.symbols
        more = True
        while more:
            more = False
            for frame in frames:
                found = self._changed[frame]
                before = len(found)
                for callee in {op.fields["target"] for op in frame.ops if op.form in ("call", "tail")}:
                    found |= self._changed.get(callee, set())
                more = more or len(found) > before

    def changed_by(self, frame: Frame) -> set[Symbol]:
        """Symbols that a call of a function may change."""
        return self._changed.get(frame, set())

    def slot(self, op: Op) -> Slot | None:
        """The memory that a load or store is about; None where that is not known, or not private."""
        fields = op.fields
        if fields.get("a") is not None or fields["target"] not in self.symbols:
            return None
        return Slot(fields["target"], fields["imm"], TYPE_BYTES[fields["type"]])

    # ---- descriptors

    def _varied_in(self, frame: Frame) -> Iterable[Slot]:
        """Parts of descriptors that a frame gives other values than they began with."""
        last: dict[Reg, Op] = {}
        for op in frame.ops:
            if op.form == "label":
                last.clear()
            if op.form == "store" and isinstance(getattr(op.fields["target"], "type", None), t.DsdType):
                slot = self.slot(op)
                if slot is not None and not self._is_same(slot, last.get(op.fields["b"])):
                    yield slot
            for each in written(op):
                last[each] = op

    def _is_same(self, slot: Slot, source: Op | None) -> bool:
        if source is None:
            return False
        if source.form == "load":
            return self.slot(source) == slot
        return source.form == "constant" and _bits(source.fields["imm"]) == _initial(slot)

    def stays(self, slot: Slot) -> bool:
        """Whether a part of a descriptor is what it began as."""
        return isinstance(slot.symbol.type, t.DsdType) and slot not in self._varying and _initial(slot) is not None

    def constant(self, slot: Slot) -> Any:
        """What such a part is; None for all else."""
        return _initial(slot) if self.stays(slot) else None


def _bits(number: Any) -> Any:
    return number & 0xFFFFFFFF if isinstance(number, int) else number


def _initial(slot: Slot) -> Any:
    """What a descriptor's part is before the program starts; None where that differs between PEs."""
    data = getattr(slot.symbol.initial, "data", None)
    part = getattr(data, PARTS[slot.offset // 4], None) if isinstance(data, Dsd) else None
    if part is None or isinstance(part.data, (Varying, Reg)) or not isinstance(part.data, (int, Address)):
        return None
    return _bits(part.data)


def _pointed_to(symbols: Iterable[Symbol], exported: Iterable[Any], loads: Iterable[Any],
                frames: list[Frame]) -> Iterable[Symbol]:
    """Symbols that something points to: code, other symbols, descriptors."""
    for data in exported:
        if isinstance(data, Address):
            yield data.symbol
    for symbol in symbols:
        if symbol.initial is not None:
            yield from _in_value(symbol.initial)
    for _, value, _ in loads:
        yield from _in_value(value)
    for op in [op for frame in frames for op in frame.ops]:
        if op.form == "constant" and isinstance(op.fields["imm"], Address):
            yield op.fields["imm"].symbol
        for each in op.fields.values():
            if isinstance(each, Value):
                yield from _in_value(each)
        for operand in op.fields.get("operands", ()):
            yield from _in_value(operand.value)


def _in_value(value: Value) -> Iterable[Symbol]:
    if isinstance(value.data, list):
        for each in value.data:
            if isinstance(each, Address):
                yield each.symbol
        return
    if isinstance(value.data, Dsr):
        return
    for leaf in leaves(value):
        if isinstance(leaf.data, Address):
            yield leaf.data.symbol
        elif isinstance(leaf.data, list):
            yield from _in_value(leaf)
    fifo = getattr(value.data, "fifo", None)
    if fifo is not None:
        yield fifo.symbol
