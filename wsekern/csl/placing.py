"""As few registers for a frame as its values need."""

from dataclasses import replace
from heapq import heappop, heappush
from typing import Any

from wsekern.csl.access import read, renamed, renamed_value, result_of, written
from wsekern.csl.blocks import Life
from wsekern.csl.ir import Frame
from wsekern.csl.values import Reg


class Placement:
    """Which register each value of a frame gets: those that are alive at once get different ones."""

    def __init__(self, frame: Frame) -> None:
        self.frame, self.life = frame, Life(frame)
        self.spans: dict[Reg, tuple[int, int]] = {}
        """By register, where its value is first and last needed."""

    def _touch(self, each: Reg, k: int) -> None:
        if each.frame is self.frame:
            first, last = self.spans.get(each, (k, k))
            self.spans[each] = min(first, k), max(last, k)

    def _measure(self) -> None:
        ops, by_bit = self.frame.ops, {bit: each for each, bit in self.life.bits.items() if each.frame is self.frame}
        marks: dict[int, int] = {}
        for block in self.life.blocks:
            for mask, k in ((block.begins, 2 * block.first), (block.ends, 2 * block.last - 1)):
                while mask:
                    bit = mask & -mask
                    mask ^= bit
                    if bit in by_bit:
                        self._touch(by_bit[bit], k)
            for k in range(block.first, block.last):
                op = ops[k]
                if op.form == "mark":
                    marks[id(op)] = k
                for each in read(op, self.frame):
                    self._touch(each, 2 * k)
                for each in written(op):
                    self._touch(each, 2 * k + 1)
        for each in self.frame.parameters_read:
            self._touch(each, -1)
        for named in self.frame.variables:
            for each in _registers_of(named.binding):
                if each in self.spans and named.marks is not None:
                    self._touch(each, 2 * marks[id(named.marks[0])])
                    self._touch(each, 2 * marks[id(named.marks[1])] - 1)

    def choose(self) -> dict[Reg, Reg]:
        """The new register of every old one."""
        frame = self.frame
        self._measure()
        fixed = {each: each.number for each in [*frame.parameters_read, *result_of(frame)]}
        taken: dict[int, list[tuple[int, int]]] = {}
        for each, number in fixed.items():
            if each in self.spans:
                taken.setdefault(number, []).append(self.spans[each])
        found, free, busy = dict(fixed), [], []      # busy: (last, number)
        size = 0
        for each, (first, last) in sorted(self.spans.items(), key=lambda item: item[1]):
            if each in fixed:
                continue
            while busy and busy[0][0] < first:
                heappush(free, heappop(busy)[1])
            number, passed = None, []
            while free and number is None:
                candidate = heappop(free)
                if any(first <= end and begin <= last for begin, end in taken.get(candidate, ())):
                    passed.append(candidate)
                else:
                    number = candidate
            while number is None:
                if not any(first <= end and begin <= last for begin, end in taken.get(size, ())):
                    number = size
                else:
                    passed.append(size)
                size += 1
            for candidate in passed:
                heappush(free, candidate)
            found[each] = number
            heappush(busy, (last, number))
        frame.size = max([size, *(number + 1 for number in fixed.values())])
        return {each: Reg(frame, number) for each, number in found.items()}


def _registers_of(binding: Any) -> list[Reg]:
    value = getattr(binding, "value", None)
    if value is None:
        return []
    from_value: list[Reg] = []

    def note(each: Reg) -> Reg:
        from_value.append(each)
        return each

    renamed_value(value, note)
    return from_value


def place_registers(frame: Frame) -> None:
    """Let a frame take as few registers as its values need."""
    chosen = Placement(frame).choose()

    def name(each: Reg) -> Reg:
        return chosen.get(each, each)

    ops = [renamed(op, name) if op.form not in ("label", "mark") else op for op in frame.ops]
    frame.ops = [op for op in ops if op.form != "scalar" or op.fields["op"] != "mov" or op.fields["dst"] != op.fields["a"]]
    for named in frame.variables:
        value = getattr(named.binding, "value", None)
        if value is not None:
            named.binding = replace(named.binding, value=renamed_value(value, name))


