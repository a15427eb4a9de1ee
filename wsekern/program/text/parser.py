"""The parser of programs in text form (:mod:`.listing`); every error says where, and what would be accepted."""

import re
from collections.abc import Callable, Collection
from typing import Any, Generic, TypeVar

import numpy as np

from wsekern.errors import InputError
from wsekern.fabric.routes import POP_MODES, Port, Route, port_mask
from wsekern.program.instructions import INSTRUCTIONS, OPERATIONS, PRIORITIES, SOURCES, Label, Origin, Scalar, TaskEntry, Vector
from wsekern.program.operands import NUMPY_TYPES, Fifo, Mem, Mem4d, Named, Operand
from wsekern.program.symbols import Symbols
from wsekern.program.text.grammar import REGISTER, SLOTS, number_of
from wsekern.program.text.line import INT32, Line, Token
from wsekern.program.text.operand import read_operand

_MAX_INITIAL = 1 << 20
_KINDS = ("local", "data", "control", "subroutine")
_TASK_NUMBERS = {"local": 31, "data": 23, "control": 63, "subroutine": 0}
_IMMEDIATES = {"spend": (0, 0x7FFFFFFF), "parameter": (0, 0x7FFF), "block_queue": (0, 7), "unblock_queue": (0, 7),
               "time": (0, 3), "route": (0, 23), "position": (0, 23), "leave_teardown": (0, 23),
               "bind_input": (0, 7), "bind_output": (0, 7), "flush": (0, 7), "leave_flush": (0, 7)}
"""Smallest and largest number of the forms that have one."""


Read = TypeVar("Read", bound=Symbols)


def parse_program(kind: Callable[[str], Read], text: str, origin: str = "program text") -> Read:
    """The program that ``text`` describes; errors name ``origin``, the line, the column and what would be accepted.

    ``kind`` makes an empty program of a name: :class:`wsekern.program.Program`.
    """
    return Parser(kind, text, origin).run()


class Parser(Generic[Read]):
    """Reads one program."""

    def __init__(self, kind: Callable[[str], Read], text: str, origin: str) -> None:
        if not isinstance(text, str):
            raise InputError(f"{origin}: expected the text of a program, not {type(text).__name__}")
        self.lines = [Line(line, number, origin) for number, line in enumerate(re.split(r"\r?\n", text), 1)]
        self.kind, self.origin = kind, origin
        self.program: Read | None = None
        self.values: dict[str, tuple[list[int], Line, Token]] = {}
        self.label_lines: dict[str, int] = {}
        self.later: list[Callable[[], None]] = []       # checks that need the whole program
        self.came_from: Origin | None = None

    def run(self) -> Read:
        """The program."""
        for line in self.lines:
            if line.next.kind == "end":
                continue
            if line.has("."):
                self._directive(line)
            elif self.program is None:
                line.fail("'.program NAME' before all other lines")
            else:
                self._code(line)
                if self.came_from is not None and not isinstance(self.program.code[-1], Label):
                    self.program.origins[len(self.program.code) - 1] = self.came_from
            line.end()
        if self.program is None:
            raise InputError(f"{self.origin}: expected a line '.program NAME', found none")
        self._fill()
        for check in self.later:
            check()
        self._check_end()
        return self.program

    # ---- directives

    def _directive(self, line: Line) -> None:
        word = line.one_of("a directive", ["program"] if self.program is None else _DIRECTIVES)
        if word == "program" and self.program is not None:
            line.at -= 1
            line.fail("one '.program' only")
        if word == "program":
            name = line.name("a name of the program")
            if not name:
                line.at -= 1
                line.fail("a name of the program that is not empty")
            self.program = self.kind(name)
        else:
            _DIRECTIVES[word](self, line)

    def _new(self, line: Line, what: str, known: dict[str, Any]) -> str:
        """A name that is not taken."""
        name = line.name(f"a name of a {what}")
        if name in known:
            line.at -= 1
            line.fail(f"a {what} that is not there yet")
        return name

    def _symbol(self, line: Line) -> None:
        name = self._new(line, "symbol", self.program.symbols)
        self.program.symbols[name] = (line.type(), line.integer("elements", 0))

    def _values(self, line: Line) -> None:
        start = line.next
        name = line.name("a symbol")
        if name not in self.program.symbols:
            line.fail("a symbol that a line '.symbol' has named", start)
        type, elements = self.program.symbols[name]
        found = self.values.setdefault(name, ([], line, start))[0]
        while line.next.kind != "end":
            value = self._value(line, type)
            count = line.integer("a number of values", 1, _MAX_INITIAL) if line.has("*") else 1
            if len(found) + count > min(elements, _MAX_INITIAL):
                line.fail(f"no more than {min(elements, _MAX_INITIAL)} values of {name!r}", start)
            found += [value] * count

    def _fill(self) -> None:
        for name, (values, line, token) in self.values.items():
            type, elements = self.program.symbols[name]
            if len(values) != elements:
                raise InputError(f"{line.place(token)}: expected {elements} values of {name!r}, found {len(values)}")
            kind = np.dtype(NUMPY_TYPES[type])
            self.program.initial[name] = np.array(values, np.uint16 if kind.itemsize == 2 else np.uint32).view(kind)

    @staticmethod
    def _value(line: Line, type: str) -> int:
        """The bits of an element of a type: of a number, or as they are where it is in hexadecimal."""
        text, what = line.next.text, f"a number of type {type}, or its bits in hexadecimal"
        if line.next.kind != "number" or len(text) > 60:
            line.fail(what)
        size = np.dtype(NUMPY_TYPES[type]).itemsize
        try:
            if text.startswith("0x"):
                bits = int(text, 16)
            else:
                value = np.asarray(number_of(text, type))
                bits = int(value.view(np.uint16 if size == 2 else np.uint32))
                if value.dtype.kind == "f" and np.isinf(value) and "inf" not in text:
                    line.fail(what)
        except (ValueError, OverflowError):
            line.fail(what)
        if bits >= 1 << 8 * size:
            line.fail(what)
        line.take()
        return bits

    def _queue(self, line: Line, bindings: dict[int, int]) -> None:
        queue = line.integer("a queue", 0, 7)
        if queue in bindings:
            line.at -= 1
            line.fail("a queue that has no color yet")
        line.need("color")
        bindings[queue] = line.integer("a color", 0, 23)

    def _blocked_queues(self, line: Line) -> None:
        while line.next.kind != "end":
            self.program.blocked_queues.add(line.integer("a queue", 0, 7))

    def _parameter(self, line: Line) -> None:
        name = self._new(line, "parameter", self.program.parameters)
        self.program.parameters[name] = line.integer("a place", 0, 0x7FFF)

    def _fifo(self, line: Line) -> None:
        name = self._new(line, "fifo", self.program.fifos)
        line.need("=")
        start = line.next
        found = read_operand(line, "fabric", self.program.fifos)
        if not isinstance(found, Fifo) or found.name != name:
            line.fail(f"'fifo' and the name {name!r} again", start)
        self.program.fifos[name] = found
        self._check_operand(line, start, found)

    def _descriptor(self, line: Line) -> None:
        name = self._new(line, "descriptor", self.program.descriptors)
        line.need("=")
        start = line.next
        found = read_operand(line, "fabric", self.program.fifos)
        if isinstance(found, Named):
            line.fail("an operand that is no named descriptor", start)
        self.program.descriptors[name] = found
        # memory of no elements is a base set at run time
        if not isinstance(found, (Mem, Mem4d)) or self.program.symbols.get(found.symbol, ("", 1))[1]:
            self._check_operand(line, start, found)

    def _route(self, line: Line) -> None:
        name = self._new(line, "route", self.program.routes)
        rx, tx, start = [], [], line.next
        while not rx or line.next.text == "(":
            line.need("(")
            rx.append(self._ports(line, "->"))
            tx.append(self._ports(line, ")"))
        if len(rx) > 4:
            line.fail("at most 4 switch positions", start)
        more = self._keys(line, {"initial": lambda line: line.integer("a switch position", 0, len(rx) - 1),
                                 "pop": lambda line: POP_MODES.index(line.one_of("a pop mode", POP_MODES)), "ring": None,
                                 "swap_ew": None, "swap_ns": None, "teardown": None})
        self.program.routes[name] = Route(tuple(rx), tuple(tx), **more)

    @staticmethod
    def _ports(line: Line, end: str) -> int:
        ports = [line.one_of("a port", [port.name for port in Port])]
        while not line.has(end):
            ports.append(line.one_of(f"{end!r} or a port", [port.name for port in Port]))
        return port_mask(ports)

    def _task(self, line: Line) -> None:
        name = self._new(line, "task", self.program.tasks)
        kind = line.one_of("a kind of task", _KINDS)
        label = line.tokens[line.at - 1]
        more = self._keys(line, {"number": lambda line: line.integer(f"a number of a {kind} task", 0, _TASK_NUMBERS[kind]),
                                 "active": None, "blocked": None, "at": lambda line: line.name("a label"),
                                 "priority": lambda line: line.one_of("a priority", ("low", "high"))})
        if kind in ("data", "control") and "number" not in more:
            line.fail(f"number=, {'the color' if kind == 'data' else 'the entry point'} of a {kind} task")
        entry = TaskEntry(name, kind, more.pop("at", f"task {name}"), **more)
        self.program.tasks[name] = entry
        self._expect(line, label, entry.label, "code under the label", lambda: self.label_lines)
        if kind == "data":
            self._expect(line, label, entry.number, "an input queue of color", lambda: self.program.inputs.values())

    def _kept(self, line: Line) -> None:
        self.program.kept_registers = set()
        while line.next.kind != "end":
            self.program.kept_registers.add(line.register())

    def _from(self, line: Line) -> None:
        """Where the instructions that follow come from."""
        if line.has("none"):
            self.came_from = None
            return
        file = line.name("a file")
        number = line.integer("a line", 1)
        self.came_from = Origin(line.name("a function"), file, number)

    def _label_count(self, line: Line) -> None:
        self.program.labels = line.integer("a number of labels", 0)

    # ---- checks of the whole

    def _expect(self, line: Line, token: Token, name: Any, what: str, known: Callable[[], Collection]) -> None:
        """Once the whole program is read, ``name`` must be among ``known()``."""
        def check() -> None:
            names = known()
            if name not in names:
                there = ", ".join(sorted(map(str, names))[:8]) or "none"
                raise InputError(f"{line.place(token)}: expected {what} {name!r}, which the program lacks; there are {there}")

        self.later.append(check)

    def _expect_task(self, line: Line, token: Token, name: str | None, *kinds: str) -> None:
        if name is not None:
            self._expect(line, token, name, f"a {' or '.join(kinds)} task",
                         lambda: [task.name for task in self.program.tasks.values() if task.kind in kinds])

    def _check(self, line: Line, token: Token, check: Callable[[], None]) -> None:
        def checked() -> None:
            try:
                check()
            except InputError as error:
                raise InputError(f"{line.place(token)}: {error}") from None

        self.later.append(checked)

    def _check_operand(self, line: Line, token: Token, operand: Operand) -> None:
        self._check(line, token, lambda: self.program.check_operand("the operand", operand, 1))
        if isinstance(operand, Fifo):
            self._expect(line, token, operand.name, "a fifo", lambda: self.program.fifos)
            self._expect_task(line, token, operand.on_push, "local")
            self._expect_task(line, token, operand.on_pop, "local")

    def _check_end(self) -> None:
        """Code that ran on behind its last line would run into another program's."""
        code, main = self.program.code, "main" in self.program.tasks
        last = code[-1] if code else None
        if last is not None and not main and not (isinstance(last, Scalar) and last.form in ("end", "return", "jump")):
            raise InputError(f"{self.origin}: expected end, return or jump as the last instruction")

    # ---- ends of lines

    def _keys(self, line: Line, readers: dict[str, Callable[[Line], Any] | None]) -> dict[str, Any]:
        """``key=value`` and flags (no reader) up to the end of the line."""
        found: dict[str, Any] = {}
        while line.next.kind != "end":
            key = line.one_of("the end of the line or one of", [name for name in readers if name not in found])
            reader = readers[key]
            if reader is not None:
                line.need("=")
            found[key] = True if reader is None else reader(line)
        return found

    # ---- code

    def _code(self, line: Line) -> None:
        if line.tokens[-2].text == ":" and line.tokens[-2].kind == "punctuation":
            start = line.next
            name = line.name("a label")
            line.need(":")
            if name in self.label_lines:
                line.fail(f"a label that is not there yet (it is in line {self.label_lines[name]})", start)
            self.label_lines[name] = line.number
            self.program.code.append(Label(name))
        elif line.next.text in INSTRUCTIONS:
            self._vector(line)
        elif line.next.kind == "word" and (line.next.text in OPERATIONS or line.next.text in SLOTS):
            self._scalar(line)
        else:
            line.fail("a directive, a label and ':', or an instruction: "
                      f"{', '.join([*INSTRUCTIONS, *OPERATIONS, *(form for form in SLOTS if form != 'scalar')])}")

    def _vector(self, line: Line) -> None:
        start = line.take()
        operands: list[Operand | None] = [read_operand(line, "fabout", self.program.fifos)]
        while line.has(","):
            if len(operands) == 4:
                line.fail("at most 4 operands")
            operands.append(None if line.has("-") else read_operand(line, "fabin", self.program.fifos))
        if len(operands) == 1:
            line.fail("',' and a source")
        more = self._keys(line, _VECTOR_KEYS)
        item = Vector(start.text, *(operands + [None] * 3)[:4], **more)
        self.program.code.append(item)
        self._check(line, start, lambda: self.program.check_vector(item))
        for name in ("activate", "unblock", "control_activate", "control_unblock"):
            target = getattr(item, name)
            if isinstance(target, int):
                self._expect(line, start, target, "a color of the input queue", lambda: self.program.inputs)
            else:
                self._expect_task(line, start, target, "local")
        for operand in item.operands:
            if isinstance(operand, Fifo):
                self._check_operand(line, start, operand)

    def _scalar(self, line: Line) -> None:
        start = line.take()
        form = start.text if start.text in SLOTS else "scalar"
        values: dict[str, Any] = {"form": form, "type": "u32"}
        if form == "scalar" and start.text != "scalar":
            values["op"] = start.text
        if line.has("."):
            values["type"] = line.type()
        slots = SLOTS[form]
        if form == "scalar":
            slots = slots[:1 + SOURCES.get(values.get("op", "add"), 2)]
        for k, slot in enumerate(slots):
            self._slot(line, slot, values, first=k == 0)
        more = self._keys(line, _SPEND_KEYS if form == "spend" else _SCALAR_KEYS)
        if "parameter" in more:
            more["a"] = more.pop("parameter")
        if form == "scalar" and "op" not in values and "op" not in more:
            line.fail(f"an operation: {', '.join(OPERATIONS)}", start)
        twice = [key for key in more if key in values]
        if twice:
            line.fail(f"{twice[0]} once", start)
        self.program.code.append(Scalar(**values, **more))

    def _slot(self, line: Line, slot: str, values: dict[str, Any], first: bool) -> None:
        optional = slot in ("index", "place")
        if not first:
            if optional and line.next.text != ",":
                values["a"] = None
                return
            line.need(",")
        token = line.next
        if slot in ("dst", "a", "b", "c"):
            values[slot] = line.register()
        elif slot == "index":
            values["a"] = line.register()
        elif slot == "imm":
            low, high = _IMMEDIATES[values["form"]]
            values["imm"] = line.integer("a number", low, high)
        elif slot == "bits":
            values["imm"] = self._bits(line, values["type"])
        elif slot == "from":
            values["source"] = line.type()
        elif slot in ("read", "written"):
            values["target"] = read_operand(line, "fabin" if slot == "read" else "fabout", self.program.fifos)
            self._check_operand(line, token, values["target"])
        elif slot in ("own", "copied"):
            line.need("@")
            name = values["target" if slot == "own" else "source"] = line.name("a descriptor")
            self._expect(line, token, name, "a descriptor", lambda: self.program.descriptors)
        else:
            self._named_slot(line, slot, values, token)

    def _named_slot(self, line: Line, slot: str, values: dict[str, Any], token: Token) -> None:
        if slot in ("element", "place"):
            if slot == "place" and token.kind == "word" and REGISTER.fullmatch(token.text):
                values["a"] = line.register()
                return
            name = values["target" if slot == "element" else "source"] = line.name("a symbol")
            values["a"] = None
            if line.has("["):
                values["a"] = line.register()
                line.need("]")
            self._expect(line, token, name, "a symbol", lambda: self.program.symbols)
            return
        name = values["target"] = line.name(f"a {slot}")
        if slot == "label":
            self._expect(line, token, name, "code under the label", lambda: self.label_lines)
        elif slot == "route":
            self._expect(line, token, name, "a route", lambda: self.program.routes)
        else:
            self._expect_task(line, token, name, "local", *(["data"] if values["form"] != "activate" else []))

    def _bits(self, line: Line, type: str) -> int:
        """The bits of a constant."""
        if line.has("bits"):
            return line.integer("bits", INT32[0], 0xFFFFFFFF)
        return self._value(line, type)


def _count(line: Line) -> int:
    return line.integer("a number", 0)


def _between(line: Line) -> int:
    return -1 if line.has("auto") else _count(line)


def _task_name(line: Line) -> str:
    return line.name("a task")


def _microthread(line: Line) -> int:
    return -1 if line.has("auto") else line.integer("auto or a microthread", 0, 7)


def _unblocked(line: Line) -> str | int:
    return line.integer("an input queue", 0, 7) if line.next.kind == "number" else _task_name(line)


_VECTOR_KEYS: dict[str, Callable[[Line], Any] | None] = {
    "repeat": _count, "between": _between, "microthread": _microthread, "activate": _task_name, "unblock": _unblocked,
    "priority": lambda line: line.one_of("a priority", PRIORITIES), "terminate": None, "control_activate": _task_name,
    "control_unblock": _unblocked, "done": Line.register, "times": Line.register,
}
_SCALAR_KEYS: dict[str, Callable[[Line], Any] | None] = {
    "op": lambda line: line.one_of("an operation", OPERATIONS), "cycles": _count,
    "imm": lambda line: line.integer("a number", INT32[0], 0xFFFFFFFF), "target": lambda line: line.name("a name"),
    "source": lambda line: line.name("a name"), "dst": Line.register, "a": Line.register, "b": Line.register,
    "c": Line.register,
}
_SPEND_KEYS = {key: reader for key, reader in _SCALAR_KEYS.items() if key != "a"} | {
    "parameter": lambda line: line.integer("a place of a parameter", 0, 0x7FFF)}
"""``spend`` may take its cycles from a parameter."""

_DIRECTIVES: dict[str, Callable[[Parser, Line], None]] = {
    "program": Parser._directive, "symbol": Parser._symbol, "values": Parser._values,
    "input": lambda parser, line: parser._queue(line, parser.program.inputs),
    "output": lambda parser, line: parser._queue(line, parser.program.outputs), "blocked_queues": Parser._blocked_queues,
    "parameter": Parser._parameter, "fifo": Parser._fifo, "descriptor": Parser._descriptor, "route": Parser._route,
    "task": Parser._task, "kept": Parser._kept, "labels": Parser._label_count, "from": Parser._from,
}
