"""A PE program: symbols, queues, descriptors, tasks and code, held once however many PEs run it."""

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np

from wsekern.errors import BudgetError, InputError
from wsekern.fabric.routes import Ports, Position, Route, make_route
from wsekern.machine.timing import LIBRARY, Timing
from wsekern.program.instructions import INSTRUCTIONS, SOURCES, Instruction, Label, Scalar, TaskEntry, Vector
from wsekern.program.operands import (
    INTEGERS,
    TYPE_BYTES,
    Array,
    ElementType,
    Fabric,
    Fifo,
    Mem,
    Mem4d,
    Named,
    Operand,
    Register,
    Ring,
    element_type,
)

if TYPE_CHECKING:
    from wsekern.program.code import Code
    from wsekern.program.values import Variable

VECTOR_BYTES, SCALAR_BYTES = 16, 4
"""What instructions are counted as against the 48 KB of a PE: words of 32 bits (FABRICA: fixed-length instructions), four for
a vector instruction with the loads of its descriptors."""
MAIN_TASK, COLORS = "main", 24


@dataclass(eq=False)
class Program:
    """Code, memory and queue bindings of the PEs that run it.

    ``symbols``: name -> (element type, elements). ``emit`` and ``spend`` write the task ``main``, which every PE begins by
    itself at cycle 0; :meth:`task`, :meth:`function`, :meth:`data_task`, :meth:`control_task` and :meth:`subroutine` open
    others.
    """

    name: str
    symbols: dict[str, tuple[ElementType, int]] = field(default_factory=dict)
    inputs: dict[int, int] = field(default_factory=dict)
    """Color of each input queue in use."""
    outputs: dict[int, int] = field(default_factory=dict)
    """Color of each output queue in use."""
    code: list[Instruction] = field(default_factory=list)
    tasks: dict[str, TaskEntry] = field(default_factory=dict)
    descriptors: dict[str, Operand] = field(default_factory=dict)
    """Descriptors that each PE holds for itself."""
    fifos: dict[str, Fifo] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=dict)
    """Routes that the program may put on a color while it runs."""
    initial: dict[str, np.ndarray] = field(default_factory=dict)
    """Values of symbols at the start; zeros where none are given."""
    blocked_queues: set[int] = field(default_factory=set)
    """Input queues that start no task until they are unblocked."""
    parameters: dict[str, int] = field(default_factory=dict)
    """Names of the numbers in which PEs of the program differ, and their places."""
    kept_registers: set[int] = field(default_factory=lambda: {0})
    """Registers that no task may use for itself: 0 holds the word of a data task, others belong to subroutines."""
    labels: int = 0

    def __eq__(self, other: object) -> bool:
        """Whether another program is the same in all that it holds; initial values bit for bit."""
        if not isinstance(other, Program):
            return NotImplemented
        mine, theirs = ({f.name: getattr(item, f.name) for f in fields(Program)} for item in (self, other))
        for held in (mine, theirs):
            held["initial"] = {name: (values.dtype, values.tobytes()) for name, values in held["initial"].items()}
        return mine == theirs

    __hash__ = object.__hash__

    def text(self) -> str:
        """The program as an assembler's listing, which :meth:`parse` reads back."""
        from wsekern.program.text.listing import program_text

        return program_text(self)

    @staticmethod
    def parse(text: str, origin: str = "program text") -> "Program":
        """The program that a listing describes; errors name ``origin``, line and column."""
        from wsekern.program.text.listing import parse_program

        return parse_program(text, origin)

    # ---- memory and queues

    def memory(self, name: str, type: str, elements: int, initial: object = None) -> Array:
        """Reserve ``elements`` of ``type`` under ``name``; ``initial`` values fill it when the simulation is made."""
        kind = element_type(type)
        if elements < 0:
            raise InputError(f"program {self.name}: symbol {name} of {elements} elements")
        if self.symbols.setdefault(name, (kind, elements)) != (kind, elements):
            raise InputError(f"program {self.name}: symbol {name} is {self.symbols[name]}, not {(kind, elements)}")
        if initial is not None:
            from wsekern.program.operands import NUMPY_TYPES

            values = np.broadcast_to(np.asarray(initial), (elements,)).astype(NUMPY_TYPES[kind])
            self.initial[name] = values
        return Array(name, kind, elements)

    array = memory

    def variable(self, name: str, type: str, initial: float = 0) -> "Variable":
        """A scalar in memory: read and written by every task, and by the host as a symbol of one element."""
        from wsekern.program.values import Variable

        return Variable(self.memory(name, type, 1, initial))

    def parameter(self, name: str) -> int:
        """A number in which the PEs of the program differ; ``Layout.set_parameter`` sets it."""
        return self.parameters.setdefault(name, len(self.parameters))

    def input_queue(self, color: int, queue: int | None = None) -> int:
        """The input queue bound to ``color``: the one it has, else ``queue``, else a new one."""
        return self._queue("input", self.inputs, color, queue)

    def output_queue(self, color: int, queue: int | None = None) -> int:
        """The output queue bound to ``color``: the one it has, else ``queue``, else a new one."""
        return self._queue("output", self.outputs, color, queue)

    def _queue(self, what: str, bindings: dict[int, int], color: int, wanted: int | None) -> int:
        if not 0 <= color < COLORS:
            raise InputError(f"program {self.name}: color {color} does not exist: use 0 to {COLORS - 1}")
        bound = next((queue for queue, other in bindings.items() if other == color), None)
        if bound is None:
            bound = next(queue for queue in range(len(bindings) + 1) if queue not in bindings) if wanted is None else wanted
        if wanted not in (None, bound) or bindings.setdefault(bound, color) != color:
            raise InputError(f"program {self.name}: {what} queue {wanted} for color {color}, but "
                             + (f"that queue has color {bindings[wanted]}" if wanted in bindings else
                                f"the color has queue {bound}"))
        return bound

    def fabin(self, color: int, extent: int, type: str, packing: int | None = None, *, queue: int | None = None) -> Fabric:
        """Descriptor of ``extent`` elements that arrive on ``color``. ``queue``: the input queue to bind, where its number
        matters: it is that of the microthread."""
        return Fabric(self.input_queue(color, queue), extent, element_type(type), packing)

    def fabout(self, color: int, extent: int, type: str, packing: int | None = None, *, control: bool = False,
               advance_switch: bool = False, index: int | None = None, queue: int | None = None) -> Fabric:
        """Descriptor of ``extent`` elements that leave on ``color``."""
        return Fabric(self.output_queue(color, queue), extent, element_type(type), packing, control, advance_switch, index)

    def descriptor(self, name: str, operand: Operand) -> Named:
        """A descriptor that each PE holds for itself (explicit DSR), and may change while it runs."""
        self._check_operand("descriptor", operand, 1)
        self.descriptors[name] = operand
        return Named(name)

    def fifo(self, name: str, type: str, elements: int, on_push: str | None = None, on_pop: str | None = None) -> Fifo:
        """A FIFO of ``elements`` in memory of its own."""
        self.fifos[name] = Fifo(name, self.memory(name, type, elements), on_push, on_pop)
        return self.fifos[name]

    def route(self, name: str, rx: Ports, tx: Ports, switches: tuple[Position, ...] = (), **more: object) -> str:
        """A route that ``set_route`` in the code can put on a color of its own PE while the program runs."""
        self.routes[name] = make_route(rx, tx, switches, **more)
        return name

    # ---- tasks

    def task(self, name: str, *, active: bool = False, blocked: bool = False, priority: str = "low",
             number: int | None = None) -> "Code":
        """A local task; ``active``: it begins at cycle 0. Use it in a ``with`` statement, which yields its code."""
        return self._open(TaskEntry(name, "local", f"task {name}", number, active, blocked, priority))

    def function(self, name: str) -> "Code":
        """A function that the host launches: a local task."""
        return self.task(name)

    def data_task(self, name: str, color: int, *, blocked: bool = False, priority: str = "low") -> "Code":
        """A task that every wavelet arriving on ``color`` starts; ``word`` of its code is the wavelet."""
        self.input_queue(color)
        return self._open(TaskEntry(name, "data", f"task {name}", color, False, blocked, priority))

    def control_task(self, name: str, entry: int) -> "Code":
        """A task that control wavelets with entry point ``entry`` start; ``word`` is their 16-bit argument."""
        if not 0 <= entry < 64:
            raise InputError(f"program {self.name}: control task {name} has entry point {entry}, expected 0 to 63")
        return self._open(TaskEntry(name, "control", f"task {name}", entry))

    def teardown_task(self, name: str = "teardown") -> "Code":
        """The task that a teardown command starts (local task 29)."""
        return self.task(name, number=29)

    def subroutine(self, name: str) -> "Code":
        """Code that ``call`` runs."""
        return self._open(TaskEntry(name, "subroutine", f"task {name}"))

    def _open(self, entry: TaskEntry) -> "Code":
        from wsekern.program.code import Code

        if entry.name in self.tasks:
            raise InputError(f"program {self.name}: there is a task {entry.name} already")
        if entry.priority not in ("low", "high"):
            raise InputError(f"program {self.name}: task {entry.name} has priority {entry.priority!r}: use low or high")
        self.tasks[entry.name] = entry
        return Code(self, entry)

    def new_label(self) -> str:
        """A label that is not in use."""
        self.labels += 1
        return f"L{self.labels}"

    # ---- straight code of the main task

    def _main(self) -> None:
        if MAIN_TASK not in self.tasks:
            self.tasks[MAIN_TASK] = TaskEntry(MAIN_TASK, "local", f"task {MAIN_TASK}", active=True)
            self.code.append(Label(f"task {MAIN_TASK}"))

    def spend(self, cycles: int) -> None:
        """Scalar code that takes ``cycles``: function entry, descriptor loads, software functions."""
        if cycles:
            self._main()
            self.code.append(Scalar("spend", imm=cycles))

    def spend_parameter(self, index: int) -> None:
        """Scalar code that takes as many cycles as parameter ``index`` of the PE says."""
        self._main()
        self.code.append(Scalar("spend", a=index))

    def emit(self, instruction: str, dst: Operand, a: Operand, b: Operand | None = None, c: Operand | None = None, *,
             repeat: int = 1, between: int = 0, microthread: int | None = None) -> None:
        """One vector instruction of the main task (see :class:`Vector`), asynchronous on a ``microthread``."""
        item = Vector(instruction, dst, a, b, c, repeat, between, microthread)
        self.check_vector(item)
        self._main()
        self.code.append(item)

    # ---- checks

    def check_vector(self, item: Vector) -> None:
        """Refuse a vector instruction that does not exist or whose operands do not fit it."""
        where = f"program {self.name}: {item.name}"
        if item.name not in INSTRUCTIONS:
            raise InputError(f"program {self.name}: no instruction {item.name!r}: use one of {', '.join(INSTRUCTIONS)}")
        operation, arithmetic = INSTRUCTIONS[item.name]
        if len(item.operands) != 1 + SOURCES.get(operation, 2):
            raise InputError(f"{where} has {len(item.operands)} operands")
        stated = [self.stated(operand) for operand in item.operands]
        extents = {operand.extent for operand in stated if isinstance(operand, (Mem4d, Ring, Fabric))
                   or (isinstance(operand, Mem) and operand.stride)}
        if item.repeat < 0 or any(extent < 0 for extent in extents):
            raise InputError(f"{where}: operands have extents {sorted(extents)}, expected one, not negative")
        if len(extents) > 1 and not any(isinstance(operand, Named) for operand in item.operands):
            raise InputError(f"{where}: operands of {item.name} have extents {sorted(extents)}, expected one, not negative")
        if item.repeat != 1 and any(isinstance(operand, (Fabric, Fifo)) for operand in stated):
            raise InputError(f"{where}: a repeated {item.name} takes memory operands only")
        if item.microthread is not None and not any(isinstance(operand, (Fabric, Fifo)) for operand in stated):
            raise InputError(f"{where}: an asynchronous instruction needs an operand of the fabric or a FIFO")
        if item.microthread is not None and item.name in LIBRARY:
            raise InputError(f"{where} is software, which runs on the main thread: leave out the microthread")
        if isinstance(item.dst, Fabric) and item.dst.index is not None and TYPE_BYTES[item.dst.type] != 2:
            raise InputError(f"{where}: a word with an index holds a 16-bit element, not {item.dst.type}")
        for operand in item.operands:
            self._check_operand(item.name, operand, item.repeat)
        self._check_types(item, stated, operation, arithmetic)
        self._check_words(item, stated)

    def _check_types(self, item: Vector, stated: list[Operand], operation: str, arithmetic: ElementType) -> None:
        """Refuse operands that the arithmetic cannot take. Moves within one width move bits of any type; sources of a 16-bit
        operation have 16 bits of one format, as all operands of integer operations have the instruction's width."""
        types = [self.type_of(operand) for operand in stated]
        if operation == "mov" and len({TYPE_BYTES[type] for type in types}) == 1:
            return
        narrow = TYPE_BYTES[arithmetic] == 2 and operation != "mov"
        for k, type in enumerate(types):
            same_width = TYPE_BYTES[type] == TYPE_BYTES[arithmetic]
            if (type in INTEGERS) != (arithmetic in INTEGERS) or (
                    operation != "mov" and not same_width and (arithmetic in INTEGERS or (narrow and k > 0))):
                raise InputError(f"program {self.name}: {item.name}: an operand of type {type} does not fit")
        if narrow and len({"fp16", "bf16"} & set(types[1:])) == 2:
            raise InputError(f"program {self.name}: {item.name}: fp16 and bf16 sources in one instruction")

    def _check_words(self, item: Vector, stated: list[Operand]) -> None:
        """Refuse words that hold no whole elements, and queues or FIFOs that one instruction would read twice."""
        where, seen = f"program {self.name}: {item.name}", set()
        for k, operand in enumerate(stated):
            if isinstance(operand, Fabric):
                most = 1 if operand.index is not None else 4 // TYPE_BYTES[operand.type]
                if not 1 <= operand.elements_per_word <= most:
                    raise InputError(f"{where}: {operand.elements_per_word} elements of {operand.type} in a word; expected "
                                     f"1{' or 2' if most == 2 else ''}")
            if k == 0 or not isinstance(operand, (Fabric, Fifo)):
                continue
            source = operand.queue if isinstance(operand, Fabric) else operand.name
            if source in seen:
                raise InputError(f"{where}: two sources are the same queue or FIFO ({source})")
            seen.add(source)

    def stated(self, operand: Operand) -> Operand:
        """A named descriptor as the program states it; any other operand as it is."""
        if not isinstance(operand, Named):
            return operand
        if operand.name not in self.descriptors:
            raise InputError(f"program {self.name}: no descriptor {operand.name!r}")
        return self.descriptors[operand.name]

    def _check_operand(self, instruction: str, operand: Operand, repeat: int) -> None:
        """Refuse elements outside the operand's symbol, and queues that are not bound."""
        if isinstance(operand, Fabric):
            if operand.queue not in self.inputs and operand.queue not in self.outputs:
                raise InputError(f"program {self.name}: {instruction} uses queue {operand.queue}, which has no color")
            return
        if isinstance(operand, (Register, Named)):
            self.stated(operand)
            return
        if operand.symbol not in self.symbols:
            raise InputError(f"program {self.name}: {instruction} uses symbol {operand.symbol!r}, which has no memory")
        low, high = _reach(operand, repeat)
        elements = self.symbols[operand.symbol][1]
        if operand.extent > 0 and repeat > 0 and not (low >= 0 and high < elements):
            raise InputError(f"program {self.name}: {instruction} reaches elements {low} to {high} of "
                             f"symbol {operand.symbol}, which has {elements}")

    def type_of(self, operand: Operand) -> ElementType:
        """Element type of an operand."""
        operand = self.stated(operand)
        if isinstance(operand, (Fabric, Register)):
            return operand.type
        return self.symbols[operand.symbol][0]

    # ---- what it takes

    def addresses(self) -> dict[str, int]:
        """Byte address of every symbol; the code is counted apart, after the data."""
        addresses, at = {}, 0
        for name, (type, elements) in self.symbols.items():
            addresses[name] = at
            at += -(-elements * TYPE_BYTES[type] // 4) * 4
        return addresses

    @property
    def code_bytes(self) -> int:
        """Bytes of code, with the end of the main task."""
        sizes = {Vector: VECTOR_BYTES, Scalar: SCALAR_BYTES, Label: 0}
        return sum(sizes[type(item)] for item in self.code) + SCALAR_BYTES * (MAIN_TASK in self.tasks)

    @property
    def data_bytes(self) -> int:
        """Bytes of all symbols."""
        return sum(-(-elements * TYPE_BYTES[type] // 4) * 4 for type, elements in self.symbols.values())

    @property
    def bytes(self) -> int:
        """Bytes of code and data on each PE."""
        return self.code_bytes + self.data_bytes

    def queue_bytes(self, timing: Timing) -> int:
        """Bytes of the queues in use, at the machine's depths."""
        core = timing.machine.core
        depths = ((self.inputs, core.input_queues.values), (self.outputs, core.output_queues.values))
        return 4 * sum(depth[queue] for used, depth in depths for queue in used)

    def check(self, timing: Timing) -> None:
        """Refuse a program that does not fit a PE of the machine: memory, queues, colors, microthreads, task ids."""
        core, name = timing.machine.core, timing.machine.name
        for what, used, there in (("input", self.inputs, core.input_queues), ("output", self.outputs,
                                                                             core.output_queues)):
            if used and (len(used) > len(there.values) or max(used) >= len(there.values)):
                raise BudgetError(f"program {self.name} uses {len(used)} {what} queues, a PE of "
                                  f"{name} has {len(there.values)}")
        size = self.bytes + self.queue_bytes(timing)
        if size > int(core.sram):
            raise BudgetError(f"program {self.name} takes {size} B of code, data and queues, a PE of "
                              f"{name} has {int(core.sram)} B: use smaller tiles or more PEs")
        most = int(core.fabric_inputs_per_instruction)
        for item in self.code:
            if isinstance(item, Vector):
                sources = [operand for operand in item.operands[1:] if isinstance(self.stated(operand), Fabric)]
                if len(sources) > most:
                    raise BudgetError(f"program {self.name}: {item.name} takes {len(sources)} operands from the fabric; "
                                      f"{name} allows {most}")


def _reach(operand: Operand, repeat: int) -> tuple[int, int]:
    """First and last element of its symbol that an operand touches."""
    if isinstance(operand, Mem4d):
        spans = [(size - 1) * stride for size, stride in zip(operand.shape, operand.strides, strict=True)]
        return operand.offset + sum(min(0, span) for span in spans), operand.offset + sum(max(0, span) for span in spans)
    if not isinstance(operand, Mem):
        return 0, 0
    last_repeat, last = max(0, repeat - 1) * operand.advance, max(0, operand.extent - 1) * operand.stride
    corners = [operand.offset + a + b for a in (0, last_repeat) for b in (0, last)]
    return min(corners), max(corners)


__all__ = ["MAIN_TASK", "Program"]
