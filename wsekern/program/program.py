"""A PE program: symbols, queues, descriptors, tasks and code, held once however many PEs run it."""

from copy import deepcopy
from dataclasses import dataclass, fields

from wsekern.errors import BudgetError, InputError, check_flags, check_text, check_whole
from wsekern.machine.timing import Timing
from wsekern.program.code import Code
from wsekern.program.instructions import MAIN_TASK, Label, Scalar, TaskEntry, Vector
from wsekern.program.operands import TYPE_BYTES, Fabric, Operand
from wsekern.program.symbols import Symbols
from wsekern.program.text.listing import program_text

VECTOR_BYTES, SCALAR_BYTES = 16, 4
"""What instructions are counted as against the 48 KB of a PE: words of 32 bits (FABRICA: fixed-length instructions), four for
a vector instruction with the loads of its descriptors."""


@dataclass(eq=False, repr=False)
class Program(Symbols):
    """Code, memory and queue bindings of the PEs that run it.

    ``symbols``: name -> (element type, elements). ``emit`` and ``spend`` write the task ``main``, which every PE begins by
    itself at cycle 0; :meth:`task`, :meth:`function`, :meth:`data_task`, :meth:`control_task` and :meth:`subroutine` open
    others.
    """

    def __eq__(self, other: object) -> bool:
        """Whether another program is the same in all that it holds; initial values bit for bit."""
        if not isinstance(other, Program):
            return NotImplemented
        return self.name == other.name and self.same_but_for_name(other)

    def same_but_for_name(self, other: "Program") -> bool:
        """Whether a program is the same under another name."""
        mine, theirs = ({f.name: getattr(item, f.name) for f in fields(Program) if f.name != "name"} for item in (self, other))
        for held in (mine, theirs):
            held["initial"] = {name: (values.dtype, values.tobytes()) for name, values in held["initial"].items()}
        return mine == theirs

    __hash__ = object.__hash__

    def __copy__(self) -> "Program":
        return deepcopy(self)

    def text(self) -> str:
        """The program as an assembler's listing, which :meth:`parse` reads back."""
        return program_text(self)

    @classmethod
    def parse(cls, text: str, origin: str = "program text") -> "Program":
        """The program that a listing describes; errors name ``origin``, line and column."""
        from wsekern.program.text.parser import parse_program  # few programs are read: import it where one is

        return parse_program(cls, text, origin)

    # ---- tasks

    def task(self, name: str, *, active: bool = False, blocked: bool = False, priority: str = "low",
             number: int | None = None) -> Code:
        """A local task; ``active``: it begins at cycle 0. Use it in a ``with`` statement, which yields its code."""
        return self._open(TaskEntry(name, "local", f"task {name}", number, active, blocked, priority))

    def function(self, name: str) -> Code:
        """A function that the host launches: a local task."""
        return self.task(name)

    def data_task(self, name: str, color: int, *, blocked: bool = False, priority: str = "low") -> Code:
        """A task that every wavelet arriving on ``color`` starts; ``word`` of its code is the wavelet."""
        self.input_queue(color)
        return self._open(TaskEntry(name, "data", f"task {name}", color, False, blocked, priority))

    def control_task(self, name: str, entry: int) -> Code:
        """A task that control wavelets with entry point ``entry`` start; ``word`` is their 16-bit argument."""
        check_whole(entry, f"as entry point of control task {name} of program {self.name}", 0, 63)
        return self._open(TaskEntry(name, "control", f"task {name}", entry))

    def teardown_task(self, name: str = "teardown") -> Code:
        """The task that a teardown command starts (local task 29)."""
        return self.task(name, number=29)

    def subroutine(self, name: str) -> Code:
        """Code that ``call`` runs."""
        return self._open(TaskEntry(name, "subroutine", f"task {name}"))

    def _open(self, entry: TaskEntry) -> Code:
        check_text(entry.name, f"a task of program {self.name}")
        check_flags(entry)
        if entry.kind == "local" and entry.number is not None:
            check_whole(entry.number, f"as number of task {entry.name} of program {self.name}", 0, 31)
        if entry.name in self.tasks:
            raise InputError(f"program {self.name}: there is a task {entry.name} already")
        if entry.priority not in ("low", "high"):
            raise InputError(f"program {self.name}: task {entry.name} has priority {entry.priority!r}: use low or high")
        self.tasks[entry.name] = entry
        return Code(self, entry)

    # ---- straight code of the main task

    def _main(self) -> None:
        if MAIN_TASK not in self.tasks:
            self.tasks[MAIN_TASK] = TaskEntry(MAIN_TASK, "local", f"task {MAIN_TASK}", active=True)
            self.code.append(Label(f"task {MAIN_TASK}"))

    def main(self) -> Code:
        """More code of the main task, behind what it has."""
        self._main()
        return Code(self, self.tasks[MAIN_TASK])

    def spend(self, cycles: int) -> None:
        """Scalar code that takes ``cycles``: function entry, descriptor loads, software functions."""
        if check_whole(cycles, f"cycles in program {self.name}", 0, (1 << 31) - 1):
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
