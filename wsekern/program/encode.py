"""From a program to the records that the core reads (``src/program/pe_code.h``), timed for one machine and profile.

Codes and records come from that header (:mod:`wsekern.program._pe`): here every field is filled by its name."""

from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from math import ceil
from typing import Any

import numpy as np

from wsekern.errors import BudgetError, InputError
from wsekern.fabric._routing import ROUTE
from wsekern.fabric.plan import route_record
from wsekern.machine.timing import Timing
from wsekern.program._pe import (
    DESCRIPTOR,
    FORM_CODES,
    INSTRUCTION,
    KIND_CODES,
    LATENCY,
    NONE,
    OPERATION_CODES,
    PROGRAM,
    STACK,
    TASKS,
    TYPE_CODES,
)
from wsekern.program.instructions import INSTRUCTIONS, MAIN_TASK, PRIORITIES, Label, Placed, Scalar, TaskEntry, Vector
from wsekern.program.operands import (
    INTEGERS,
    TYPE_BYTES,
    Fabric,
    Fifo,
    Mem,
    Mem4d,
    Named,
    Operand,
    Register,
    Ring,
)
from wsekern.program.program import Program

_SOFTWARE = {"div": "divide", "mod": "divide", "sqrt": "rsqrt", "exp": "exp", "log": "exp", "sin": "exp", "cos": "exp"}
"""Scalar operations that are software, and the latency that they cost."""
_FIXED = {"load": "load", "take": "load", "give": "scalar_issue", "call": "taken", "return": "taken", "jump": "taken",
          "time": "timestamp", "set_base": "descriptor", "move_base": "descriptor", "set_extent": "descriptor",
          "set_stride": "descriptor", "load_descriptor": "descriptor"}


def encode(program: Program, timing: Timing, banks: bool = True) -> Placed:
    """The records of ``program``. ``banks``: vector instructions slow down where their operands meet in a memory bank, where
    one is long, and where they reduce into a scalar; without, they take what the flow engine says."""
    return _Encoder(program, timing, banks).run()


def task_ids(program: Program, timing: Timing) -> dict[str, int]:
    """The ids of the local tasks of ``program``, by name."""
    return _Encoder(program, timing, banks=False)._task_ids()


class _Encoder:
    def __init__(self, program: Program, timing: Timing, banks: bool) -> None:
        self.program, self.timing, self.banks = program, timing, banks
        self.placed = Placed()
        self.addresses = program.addresses()
        self.own = {name: number for number, name in enumerate(program.descriptors)}
        self.fifos = {name: number for number, name in enumerate(program.fifos)}
        self.numbers: dict[tuple[Operand, bool, str], int] = {}
        self.threads = 0
        self.registers = 1 + max(program.kept_registers)
        self.calls = any(isinstance(item, Scalar) and item.form == "call" for item in program.code)

    def run(self) -> Placed:
        program = self.program
        code = list(program.code)
        if MAIN_TASK in program.tasks and not (isinstance(code[-1], Scalar) and code[-1].form == "end"):
            code.append(Scalar("end"))
        self.labels, kept = {}, []
        for line, item in enumerate(code):
            if isinstance(item, Label):
                self.labels[item.name] = len(kept)
            else:
                kept.append((line, item))
        self._check_end(kept)
        self.placed.tasks = self._task_ids()
        read = [item.imm if item.form == "parameter" else item.a for _, item in kept
                if isinstance(item, Scalar) and (item.form == "parameter" or (item.form == "spend" and item.a is not None))]
        self.placed.parameters = max([-1, *program.parameters.values(), *read]) + 1
        for name in program.descriptors:            # those that PEs hold for themselves come first
            self._descriptor(Named(name), target=False)
        known: dict[int, tuple] = {}            # one instruction in many places has one record
        for at, (line, item) in enumerate(kept):
            following = kept[at + 1][1] if at + 1 < len(kept) else None
            if not isinstance(item, Vector):
                record = self._scalar(item, following)
            elif (record := known.get(id(item))) is None:
                record = known[id(item)] = self._vector(item)
            self.placed.code.append(record)
            self.placed.lines.append(line)
        self.placed.routes = [route_record(route) for route in program.routes.values()]
        self.placed.header = self._header()
        return self.placed

    def _check_end(self, kept: list[tuple[int, Any]]) -> None:
        """Refuse code that runs on behind its last instruction, into what is another program's."""
        last = kept[-1][1] if kept else None
        ends = isinstance(last, Scalar) and last.form in ("end", "return", "jump")
        if (self.program.code and not ends) or any(at >= len(kept) for at in self.labels.values()):
            raise InputError(f"program {self.program.name}: its code does not end with end, return or jump")

    def _check_direction(self, form: str, operand: Operand, target: bool) -> None:
        """Refuse a fabric descriptor whose queue is bound for the other direction only."""
        stated = self.program.stated(operand)
        bound = self.program.outputs if target else self.program.inputs
        if isinstance(stated, Fabric) and stated.queue not in bound:
            raise InputError(f"program {self.program.name}: {form} uses {'output' if target else 'input'} queue "
                             f"{stated.queue}, which has no color; bound are {', '.join(map(str, bound)) or 'none'}")

    # ---- tasks

    def _task_ids(self) -> dict[str, int]:
        program, core = self.program, self.timing.machine.core
        local = [task for task in program.tasks.values() if task.kind == "local"]
        taken = {task.number for task in local if task.number is not None}
        reserved = set(core.reserved_task_ids.values)
        if not core.data_tasks_bind_to_queue:
            taken |= {task.number for task in program.tasks.values() if task.kind == "data"}
        free = [number for number in core.local_task_ids.values if number not in reserved | taken]
        ids = {}
        for task in local:
            if task.number is None:
                if not free:
                    raise BudgetError(f"program {program.name} has {len(local)} local tasks, more than ids on "
                                      f"{self.timing.machine.name}")
                ids[task.name] = free.pop(0)
            elif task.number in core.local_task_ids.values:
                ids[task.name] = task.number
            else:
                raise BudgetError(f"program {program.name}: task {task.name} has id {task.number}; local tasks of "
                                  f"{self.timing.machine.name} have {core.local_task_ids.values[0]} to "
                                  f"{core.local_task_ids.values[-1]}")
        return ids

    def _color(self, operand: Fabric) -> int:
        """The color of the words of a descriptor that says one."""
        if self.timing.machine.core.data_tasks_bind_to_queue:
            raise BudgetError(f"program {self.program.name}: a descriptor with color {operand.color} on queue {operand.queue}; "
                              f"on {self.timing.machine.name} the queue alone says the color: use bind_input or bind_output")
        return operand.color

    def _held(self, name: str | int | None) -> int:
        """A local task, or an input queue, that an instruction unblocks."""
        if not isinstance(name, int):
            return self._task(name)
        if name not in self.program.inputs:
            raise InputError(f"program {self.program.name}: no input queue {name} to unblock")
        return TASKS + name

    def _task(self, name: str | None) -> int:
        if name is None:
            return NONE
        if name not in self.placed.tasks:
            raise InputError(f"program {self.program.name}: no local task {name!r}: there are "
                             f"{', '.join(self.placed.tasks) or 'none'}")
        return self.placed.tasks[name]

    def _label(self, name: str) -> int:
        if name not in self.labels:
            raise InputError(f"program {self.program.name}: no code for {name!r}")
        return self.labels[name]

    # ---- descriptors

    def _descriptor(self, operand: Operand | None, target: bool, type: str | None = None) -> int:
        """Number of an operand's record; ``type``: what its elements are taken for, where not what they are."""
        if operand is None:
            return NONE
        key = (operand, target and isinstance(self.program.stated(operand), Fabric), type or self.program.type_of(operand))
        if key not in self.numbers:
            self.numbers[key] = len(self.placed.descriptors)
            self.placed.descriptors.append(self._describe(operand, *key[1:]))
        return self.numbers[key]

    def _describe(self, operand: Operand, target: bool, type: str) -> tuple:
        own = self.own[operand.name] if isinstance(operand, Named) else NONE
        stated = self.program.stated(operand)
        row: dict[str, Any] = {"own": own, "on_push": NONE, "on_pop": NONE, "type": TYPE_CODES[type], "shape": (0,) * 4,
                               "strides": (0,) * 4}
        size = TYPE_BYTES[self.program.type_of(stated)]
        if isinstance(stated, Register):
            row |= {"kind": KIND_CODES["register"], "queue": stated.number, "extent": 1}
            self._uses(stated.number)
        elif isinstance(stated, Fabric):
            row |= {"kind": KIND_CODES["fabout" if target or stated.queue not in self.program.inputs else "fabin"],
                    "queue": stated.queue, "extent": stated.extent, "control": stated.control,
                    "advance_switch": stated.advance_switch, "base": stated.index or 0,
                    "index": 0 if stated.index is None else 2 if stated.same_index else 1,
                    "color": NONE if stated.color is None else self._color(stated)}
        else:
            elements = self.program.elements_of(stated)
            if elements == 0 and isinstance(stated, (Ring, Fifo)):
                raise InputError(f"program {self.program.name}: a ring or FIFO in symbol {stated.symbol}, which is empty")
            offset = getattr(stated, "offset", 0)
            row |= {"base": self.addresses[stated.symbol] + offset * size, "extent": stated.extent,
                    "stride": getattr(stated, "stride", 1), "save": getattr(stated, "save", False), "wrap": elements}
            if isinstance(stated, Mem):
                row |= {"kind": KIND_CODES["mem"], "advance": stated.advance}
            elif isinstance(stated, Mem4d):
                row |= {"kind": KIND_CODES["mem4d"]} | self._dimensions(stated)
            elif isinstance(stated, Ring):
                row |= {"kind": KIND_CODES["ring"]}
            elif isinstance(stated, Fifo):
                row |= {"kind": KIND_CODES["fifo"], "queue": self.fifos[stated.name], "on_push": self._task(stated.on_push),
                        "on_pop": self._task(stated.on_pop)}
        return _in_order(row, DESCRIPTOR)

    @staticmethod
    def _dimensions(operand: Mem4d) -> dict[str, tuple[int, ...]]:
        missing = 4 - len(operand.shape)
        shape = (1,) * missing + tuple(max(1, size) for size in operand.shape)     # none of no element: the core divides by it
        strides = (0,) * missing + tuple(operand.strides)
        return {"shape": shape, "strides": strides}

    def _uses(self, *registers: int | None) -> None:
        self.registers = max([self.registers, *(1 + number for number in registers if number is not None)])

    # ---- instructions

    def _vector(self, item: Vector) -> tuple:
        program, timing = self.program, self.timing
        operation = INSTRUCTIONS[item.name][0]
        stated = [program.stated(operand) for operand in item.operands]
        arithmetic, types = _types(item.name, [program.type_of(operand) for operand in stated])
        fabric = [operand for operand in stated if isinstance(operand, Fabric)]
        packing = {operand.elements_per_word for operand in fabric} or {1}
        if len(packing) != 1:
            raise InputError(f"program {program.name}: the words of {item.name} hold {sorted(packing)} elements each")
        rate, per_word = self._rate(item), packing.pop()
        conflict = timing.conflict_rate(item.name) if self.banks else None
        slow = timing.long_rate(item.name) if self.banks and rate == timing.rate(item.name) else None
        row = {
            "form": FORM_CODES["vector"], "op": OPERATION_CODES[operation], "type": TYPE_CODES[arithmetic],
            "imm": NONE if item.done is None else item.done, "cycles": self._setup(item),
            "repeat": item.repeat, "times": NONE if item.times is None else item.times,
            "between": timing.latency("map") if item.between < 0 else item.between,
            "num": rate.numerator, "den": rate.denominator,
            "conflict_num": conflict.numerator if conflict else 0, "conflict_den": conflict.denominator if conflict else 0,
            "full": timing.full_rate_elements, "long_num": slow.numerator if slow else 0,
            "long_den": slow.denominator if slow else 0,
            "packing": per_word, "step": max(1, ceil(per_word / rate)), "counted": self._counted(stated),
            "stream": any(isinstance(operand, (Fabric, Fifo)) for operand in stated),
            "thread": self._microthread(item), "priority": PRIORITIES[item.priority],
            "activate": self._task(item.activate), "unblock": self._held(item.unblock), "terminate": item.terminate,
            "control_activate": self._task(item.control_activate), "control_unblock": self._held(item.control_unblock),
        }
        self._uses(item.done, item.times)
        row |= dict.fromkeys(("b", "c"), NONE)
        for name, operand, type in zip(("dst", "a", "b", "c"), item.operands, types, strict=False):
            self._check_direction(item.name, operand, name == "dst")
            row[name] = self._descriptor(operand, target=name == "dst", type=type)
        return _in_order(row, INSTRUCTION)

    def _rate(self, item: Vector) -> Fraction:
        """Elements per cycle; a reduction into a scalar waits for each result (FABRICA: a dependent operation takes 2)."""
        rate, dst = self.timing.rate(item.name), self.program.stated(item.dst)
        is_scalar = isinstance(dst, Register) or (isinstance(dst, Mem) and dst.stride == 0)
        if self.banks and is_scalar and dst in [self.program.stated(operand) for operand in item.operands[1:]]:
            return min(rate, Fraction(1, max(1, self.timing.latency("scalar", 1))))
        return rate

    def _setup(self, item: Vector) -> int:
        """Cycles from issue to first element: fewer where the program has loaded all descriptors itself."""
        streams = any(isinstance(self.program.stated(operand), Fabric) for operand in item.operands)
        full = self.timing.stream_setup(item.name) if streams else self.timing.setup(item.name)
        explicit = all(isinstance(operand, (Named, Register)) for operand in item.operands)
        return min(full, self.timing.latency("setup_loaded", full)) if explicit else full

    @staticmethod
    def _counted(operands: list[Operand]) -> int:
        """The operand whose extent is the instruction's: the first that is no scalar, of the sources and then the target; a
        FIFO only where there is no other."""
        def is_scalar(operand: Operand) -> bool:
            return isinstance(operand, Register) or (isinstance(operand, Mem) and operand.stride == 0)

        order = [*range(1, len(operands)), 0]
        vectors = [k for k in order if not is_scalar(operands[k])]
        return next((k for k in vectors if not isinstance(operands[k], Fifo)), (vectors or [0])[0])

    def _microthread(self, item: Vector) -> int:
        """Microthread of an asynchronous instruction: as given, else the number of its queue (output before input)."""
        if item.microthread is None:
            return NONE
        core, program = self.timing.machine.core, self.program
        stated = [program.stated(operand) for operand in item.operands]
        queues = [operand.queue for operand in stated if isinstance(operand, Fabric)]
        implied = queues[0] if queues else 0
        thread = item.microthread if item.microthread >= 0 else implied
        if not core.data_tasks_bind_to_queue and queues and thread != implied:
            raise BudgetError(f"program {program.name}: {item.name} asks for microthread {thread}; on "
                              f"{self.timing.machine.name} it is the number of its queue, {implied}")
        if not 0 <= thread < int(core.microthreads):
            raise BudgetError(f"program {program.name}: {item.name} asks for microthread {thread}; a PE of "
                              f"{self.timing.machine.name} has {int(core.microthreads)}")
        self.threads |= 1 << thread
        return thread

    def _scalar(self, item: Scalar, following: Any) -> tuple:
        row: dict[str, int] = {"form": FORM_CODES[item.form], "type": TYPE_CODES[item.type], "imm": _signed(item.imm)}
        program = self.program
        for name in ("dst", "a", "b", "c"):
            row[name] = NONE if getattr(item, name) is None else getattr(item, name)
        if item.form != "spend":
            self._uses(item.dst, *((item.a,) if item.form != "route" else ()), item.b, item.c)
        if item.form == "scalar":
            if item.op in ("from_integer", "to_integer"):
                raise InputError(f"program {program.name}: {item.op} is of vectors: use convert")
            row["op"] = OPERATION_CODES[item.op]
        elif item.form == "convert":
            row["b"] = TYPE_CODES[item.source]
        elif item.form in ("load", "store"):
            row["imm"] = self._address(item.target) + item.imm
        elif item.form in ("take", "give"):
            if isinstance(program.stated(item.target), (Register, Fifo)):
                raise InputError(f"program {program.name}: {item.form} needs a descriptor of memory or fabric")
            self._check_direction(item.form, item.target, item.form == "give")
            row["b"] = self._descriptor(item.target, target=item.form == "give")
        elif item.form in ("jump", "branch", "call"):
            row["imm"] = self._label(item.target)
        elif item.form in ("activate", "block", "unblock"):
            entry = self.program.tasks.get(item.target)
            if entry is not None and entry.kind == "data" and item.form != "activate":
                row["form"], row["imm"] = FORM_CODES[f"{item.form}_queue"], self.program.input_queue(entry.number)
            else:
                row["imm"] = self._task(item.target)
        elif item.form == "route":
            row["a"] = list(self.program.routes).index(item.target)
        elif item.form in ("set_base", "move_base", "set_extent", "set_stride", "load_descriptor"):
            row["b"] = self._descriptor(Named(item.target), target=False)
            if item.form == "set_base" and item.source is not None:
                row["imm"] = self._address(item.source) + item.imm
            if item.form == "load_descriptor":
                row["a"] = self._descriptor(Named(item.source), target=False)
        row["cycles"], row["taken"] = self._cycles(item, following)
        if row["form"] == FORM_CODES["spend"]:
            row["cycles"] = item.imm
        return _in_order(row, INSTRUCTION)

    def _address(self, symbol: str) -> int:
        if symbol not in self.addresses:
            raise InputError(f"program {self.program.name}: no symbol {symbol!r}")
        return self.addresses[symbol]

    def _cycles(self, item: Scalar, following: Any) -> tuple[int, int]:
        """Cycles of a scalar instruction, and of a branch that is taken. A result that the next instruction uses costs its
        whole latency, any other one issue slot (FABRICA: independent 1, dependent 2)."""
        timing = self.timing
        if item.cycles is not None:
            # A loop without a cycle would never end.
            leaps = item.form in ("jump", "call", "return")
            return max(item.cycles, leaps), max(item.cycles, 1)
        if item.form == "branch":
            return timing.latency("branch", 1), timing.latency("taken", 1)
        if item.form == "scalar" and item.op in _SOFTWARE:
            return timing.latency(_SOFTWARE[item.op], 1), 0
        if item.form == "scalar" and item.op.startswith("library_"):
            return timing.call(item.op.replace("library_", "lib_")), 0
        if item.form in ("end", "spend"):
            return 0, 0
        full = timing.latency("scalar" if item.form == "scalar" else _FIXED.get(item.form, "scalar_issue"), 1)
        if item.form in ("scalar", "load", "take") and not _reads(following, item.dst):
            return 1, 0
        return max(1, full), 0

    # ---- header

    def _header(self) -> dict[str, Any]:
        """Fields of a ``PROGRAM`` record, but for where its code, descriptors and routes begin: :func:`stack` fills these."""
        program = self.program
        data = {program.input_queue(task.number): task for task in program.tasks.values() if task.kind == "data"}
        core = self.timing.machine.core
        if core.data_tasks_bind_to_queue and any(queue not in core.data_task_ids.values for queue in data):
            raise BudgetError(f"program {program.name}: data tasks of {self.timing.machine.name} bind to input queues "
                              f"{core.data_task_ids.values[0]} to {core.data_task_ids.values[-1]}")
        local = {self.placed.tasks[task.name]: task for task in program.tasks.values() if task.kind == "local"}
        late = program.late_queues()
        if late & data.keys():
            raise InputError(f"program {program.name}: input queue {min(late & data.keys())} has a data task, and descriptors "
                             "that bind it to their colors")
        blocked_queues = {queue for queue, task in data.items() if task.blocked} | program.blocked_queues
        return {
            "count": len(self.placed.code), "memory": program.data_bytes, "registers": self.registers + STACK * self.calls,
            "own": len(self.own), "fifos": len(self.fifos), "threads": self.threads,
            "active": _mask(number for number, task in local.items() if task.active),
            "blocked": _mask(number for number, task in local.items() if task.blocked),
            "high": _mask(number for number, task in local.items() if task.priority == "high"),
            **dict(zip(("color_registers", "switch_registers"),
                       core.router_registers.values if core.router_registers is not None else (NONE, NONE), strict=True)),
            "blocked_queues": _mask(blocked_queues),
            "high_queues": _mask(queue for queue, task in data.items() if task.priority == "high"),
            "late_queues": _mask(late), **self._queues(), **self._entries(local, data),
        }

    def _queues(self) -> dict[str, list[int]]:
        """Color and depth of each queue that is bound."""
        found, core = {}, self.timing.machine.core
        for name, bindings, depths in (("in", self.program.inputs, core.input_queues.values),
                                       ("out", self.program.outputs, core.output_queues.values)):
            found[f"{name}_color"] = _list_of(f"{name}_color", bindings)
            found[f"{name}_depth"] = _list_of(f"{name}_depth", {queue: depths[queue] for queue in bindings}, 0)
        return found

    def _entries(self, local: dict[int, TaskEntry], data: dict[int, TaskEntry]) -> dict[str, list[int]]:
        """Where each task begins: local ones by id, data tasks by queue, control tasks by entry point."""
        control = {task.number: task for task in self.program.tasks.values() if task.kind == "control"}
        kinds = {"local_entry": local, "data_entry": data, "control_entry": control}
        return {name: _list_of(name, {number: self._label(task.label) for number, task in tasks.items()})
                for name, tasks in kinds.items()}


def _mask(numbers: Iterable[int]) -> int:
    """One bit for each number, as the int32 that holds them."""
    return _signed(sum(1 << number for number in numbers))


def _list_of(field: str, values: dict[int, int], other: int = NONE) -> list[int]:
    """``values`` at their places in an array field of ``PROGRAM``, ``other`` at all others."""
    return [values.get(place, other) for place in range(PROGRAM[field].shape[0])]


def _in_order(row: dict[str, Any], kind: np.dtype) -> tuple:
    """The fields of a record, 0 where ``row`` does not name one, as numpy takes them."""
    return tuple((_zeros(kind) | row).values())


@cache
def _zeros(kind: np.dtype) -> dict[str, int]:
    """The fields of a record, all 0."""
    return dict.fromkeys(kind.names, 0)


def _signed(bits: int) -> int:
    """32 bits as the int32 that holds them."""
    return bits - (1 << 32) if bits >= 1 << 31 else bits


def _types(instruction: str, types: list[str]) -> tuple[str, list[str]]:
    """The arithmetic of a vector instruction on operands of ``types``, and what it takes their elements for: a move within one
    width moves bits, except from fp16 to bf16 and back, and integers are signed or not as the instruction says."""
    operation, arithmetic = INSTRUCTIONS[instruction]
    if arithmetic == "fp16" and "bf16" in types:
        arithmetic = "bf16"
    if operation == "mov" and len({TYPE_BYTES[type] for type in types}) == 1 and not {"fp16", "bf16"} <= set(types):
        arithmetic = "u32" if TYPE_BYTES[types[0]] == 4 else "u16"
        return arithmetic, [arithmetic] * len(types)
    if operation in ("from_integer", "to_integer"):
        return arithmetic, [type if type not in INTEGERS else "i16" for type in types]
    if arithmetic in INTEGERS:
        types = [arithmetic if TYPE_BYTES[type] == TYPE_BYTES[arithmetic] else type for type in types]
    return arithmetic, types


def _reads(item: Any, register: int | None) -> bool:
    if isinstance(item, Scalar):
        return item.form != "spend" and register in (item.a, item.b, item.c)
    if isinstance(item, Vector):
        return any(isinstance(operand, Register) and operand.number == register for operand in item.operands)
    return False


def stack(placed: list[Placed]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Programs behind each other as the core takes them: ``PROGRAM``, ``INSTRUCTION``, ``DESCRIPTOR`` and ``ROUTE`` records."""
    headers = np.zeros(len(placed), PROGRAM)
    code, descriptors, routes = [], [], []
    for header, item in zip(headers, placed, strict=True):
        for name, value in item.header.items():
            header[name] = value
        header["first"], header["descriptor"], header["route"] = len(code), len(descriptors), len(routes)
        code += item.code
        descriptors += item.descriptors
        routes += item.routes
    return headers, np.array(code, INSTRUCTION), np.array(descriptors, DESCRIPTOR), np.array(routes, ROUTE)


def core_latency(timing: Timing, banks: bool) -> np.ndarray:
    """The ``LATENCY`` record of a machine and profile. Without ``banks``, no stride slows an instruction."""
    record = np.zeros((), LATENCY)
    for name in ("input", "output", "task", "data_task"):
        record[name] = timing.latency(name, 0)
    record["launch"] = timing.latency("launch", 1)
    record["stride_width"] = timing.stride_width if banks else 0
    return record
