"""A register of its own for every value of a frame: the compiler uses registers again and again, and so would forget what they
hold."""

from dataclasses import replace
from typing import Any

from wsekern.csl.access import Rename, read, registers_in, renamed, renamed_value, result_of, written
from wsekern.csl.blocks import Block, Life
from wsekern.csl.ir import Frame, Named
from wsekern.csl.values import Reg


class Webs:
    """Writes and reads of a register that belong together: those that reach each other, and all of a variable."""

    def __init__(self, frame: Frame) -> None:
        self.frame, self.life = frame, Life(frame)
        self.fixed = {*frame.parameters_read, *result_of(frame)}
        self.parent: list[int] = []
        self.old: list[Reg] = []
        self.begins: dict[Block, dict[Reg, int]] = {}
        self.of_reads: list[dict[Reg, int]] = []
        self.of_writes: list[dict[Reg, int]] = []
        self.of_variables: dict[int, dict[Reg, int]] = {}
        self.open: dict[Reg, list[int]] = {}     # webs of variables that live here
        self.first: dict[int, list[Named]] = {}
        self.last: dict[int, list[Named]] = {}
        for named in frame.variables:
            assert named.marks is not None
            self.first.setdefault(id(named.marks[0]), []).append(named)
            self.last.setdefault(id(named.marks[1]), []).append(named)

    def _web(self, each: Reg) -> int:
        self.parent.append(len(self.parent))
        self.old.append(each)
        return len(self.parent) - 1

    def _root(self, web: int) -> int:
        while self.parent[web] != web:
            self.parent[web] = web = self.parent[self.parent[web]]
        return web

    def _join(self, a: int, b: int) -> None:
        self.parent[self._root(a)] = self._root(b)

    def rename(self) -> None:
        """Give every web a register."""
        bits = {bit: each for each, bit in self.life.bits.items()}
        for block in self.life.blocks:
            mask, found = block.begins, {}
            while mask:
                bit = mask & -mask
                mask ^= bit
                found[bits[bit]] = self._web(bits[bit])
            self.begins[block] = found
        for block in self.life.blocks:
            self._walk(block)
        self._write()

    def _walk(self, block: Block) -> None:
        now = dict(self.begins[block])
        for op in self.frame.ops[block.first : block.last]:
            reads: dict[Reg, int] = {}
            writes: dict[Reg, int] = {}
            if op.form == "mark":
                self._mark(id(op), now)
            else:
                for each in read(op, self.frame):
                    if each not in now:
                        now[each] = self._web(each)
                    reads[each] = now[each]
                for each in written(op):
                    now[each] = writes[each] = self._web(each)
                    for web in self.open.get(each, ()):
                        self._join(now[each], web)
            self.of_reads.append(reads)
            self.of_writes.append(writes)
        for after in block.after:
            for each, web in self.begins[after].items():
                if each not in now:
                    now[each] = self._web(each)
                self._join(now[each], web)

    def _mark(self, mark: int, now: dict[Reg, int]) -> None:
        for named in self.last.get(mark, ()):
            for each, web in self.of_variables.get(id(named), {}).items():
                self.open[each].remove(web)
        for named in self.first.get(mark, ()):
            if named.marks is None or named.marks[0] is named.marks[1]:
                continue
            for each in _registers_of(named):
                web = self.of_variables.setdefault(id(named), {})[each] = self._web(each)
                self.open.setdefault(each, []).append(web)
                if each in now:
                    self._join(web, now[each])

    def _write(self) -> None:
        names: dict[int, Reg] = {}
        frame = self.frame

        def name(web: int | None, each: Reg) -> Reg:
            if web is None or each.frame is not frame or each in self.fixed:
                return each
            root = self._root(web)
            if root not in names:
                names[root] = Reg(frame, frame.size)
                frame.size += 1
            return names[root]

        def names_by(webs: dict[Reg, int]) -> Rename:
            return lambda each: name(webs.get(each), each)

        for k, (op, reads, writes) in enumerate(zip(frame.ops, self.of_reads, self.of_writes, strict=True)):
            if reads or writes:
                frame.ops[k] = renamed(op, names_by(reads), names_by(writes))
        for named in frame.variables:
            value = getattr(named.binding, "value", None)
            if value is not None:
                named.binding = replace(named.binding, value=renamed_value(value, names_by(
                    self.of_variables.get(id(named), {}))))


def _registers_of(named: Named) -> set[Reg]:
    value: Any = getattr(named.binding, "value", None)
    return set() if value is None else set(registers_in(value))


def own_names(frame: Frame) -> None:
    """Give every value of a frame a register of its own."""
    Webs(frame).rename()


def merge_copies(frame: Frame) -> None:
    """Where a value is moved to a register that nothing else is written to, and stays where it was: let both be one."""
    writes: dict[Reg, int] = {}
    for op in frame.ops:
        for each in written(op):
            writes[each] = writes.get(each, 0) + 1
    fixed = {*frame.parameters_read, *result_of(frame)}
    same: dict[Reg, Reg] = {}

    def name(each: Reg) -> Reg:
        while each in same:
            each = same[each]
        return each

    for op in frame.ops:
        if op.form != "scalar" or op.fields["op"] != "mov" or op.fields["type"] not in ("u32", "i32"):
            continue
        target, source = op.fields["dst"], name(op.fields["a"])
        stays = writes.get(source, 0) == (0 if source in frame.parameters_read else 1)
        if target.frame is frame is source.frame and writes[target] == 1 and stays and target not in fixed and target != source:
            same[target] = source
    if same:
        frame.ops = [op if op.form in ("label", "mark") else renamed(op, name) for op in frame.ops]
        frame.ops = [op for op in frame.ops if op.form != "scalar" or op.fields["op"] != "mov"
                     or op.fields["dst"] != op.fields["a"]]
        for named in frame.variables:
            value = getattr(named.binding, "value", None)
            if value is not None:
                named.binding = replace(named.binding, value=renamed_value(value, name))
