"""Instructions of PE programs as data: what the builder writes, the text form prints, and the encoder turns into records."""

from dataclasses import dataclass, field, fields
from typing import Any

from wsekern.program.operands import Operand

COLORS, MAX_REGISTERS = 24, 256
"""Colors of a router, and registers of a task."""
MAX_REPEAT = 1 << 16
"""Repeats of an instruction, of those that a register holds."""
MAIN_TASK = "main"
"""Task that every PE begins by itself at cycle 0."""

# Vector instruction -> (what it does, precision of the arithmetic); h instructions work in fp16 or, on bf16 operands, in bf16.
INSTRUCTIONS: dict[str, tuple[str, str]] = {
    "mov32": ("mov", "u32"), "add32": ("add", "u32"), "sub32": ("sub", "u32"), "mul32": ("mul", "u32"),
    "max32": ("max", "i32"), "neg32": ("neg", "i32"), "abs32": ("abs", "i32"), "fma32": ("fma", "u32"),
    "and32": ("and", "u32"), "or32": ("or", "u32"), "xor32": ("xor", "u32"),
    "mov16": ("mov", "u16"), "add16": ("add", "u16"), "sub16": ("sub", "u16"), "mul16": ("mul", "u16"),
    "max16": ("max", "i16"), "neg16": ("neg", "i16"), "abs16": ("abs", "i16"), "fma16": ("fma", "u16"),
    "and16": ("and", "u16"), "or16": ("or", "u16"), "xor16": ("xor", "u16"),
    "sll16": ("shl", "u16"), "slr16": ("shr", "u16"), "sar16": ("shr", "i16"),
    "fmovs": ("mov", "fp32"), "fadds": ("add", "fp32"), "fsubs": ("sub", "fp32"), "fmuls": ("mul", "fp32"),
    "fmaxs": ("max", "fp32"), "fnegs": ("neg", "fp32"), "fabss": ("abs", "fp32"), "fmacs": ("fma", "fp32"),
    "fmachs": ("fma", "fp32"), "faddhs": ("add", "fp32"), "fh2s": ("mov", "fp32"),
    "fmovh": ("mov", "fp16"), "faddh": ("add", "fp16"), "fsubh": ("sub", "fp16"), "fmulh": ("mul", "fp16"),
    "fmaxh": ("max", "fp16"), "fnegh": ("neg", "fp16"), "fabsh": ("abs", "fp16"), "fmach": ("fma", "fp16"),
    "fs2h": ("mov", "fp16"), "clz16": ("clz", "u16"), "ctz16": ("ctz", "u16"), "popcnt16": ("popcnt", "u16"),
    "xp162fh": ("from_integer", "fp16"), "xp162fs": ("from_integer", "fp32"), "fh2xp16": ("to_integer", "i16"),
    "fs2xp16": ("to_integer", "i16"),
    "lib_div": ("div", "fp32"), "lib_exp": ("library_exp", "fp32"), "lib_rsqrt": ("library_rsqrt", "fp32"),
    "lib_silu": ("library_silu", "fp32"),
}
"""Those of ``lib_`` are functions of the software library, called for one element after the other: no hardware does them."""

OPERATIONS = ("mov", "add", "sub", "mul", "max", "min", "fma", "neg", "abs", "and", "or", "xor", "shl", "shr", "div", "mod",
              "lt", "le", "eq", "ne", "sqrt", "floor", "exp", "log", "sin", "cos", "library_exp", "library_rsqrt",
              "library_silu", "clz", "ctz", "popcnt", "from_integer", "to_integer")
"""What vector and scalar instructions compute (``pe_code.h`` has their codes)."""

SOURCES = {"mov": 1, "neg": 1, "abs": 1, "sqrt": 1, "floor": 1, "exp": 1, "log": 1, "sin": 1, "cos": 1, "fma": 3,
           "library_exp": 1, "library_rsqrt": 1, "library_silu": 1, "clz": 1, "ctz": 1, "popcnt": 1, "from_integer": 1,
           "to_integer": 1}
"""Sources of an operation, where they are not two."""

FORMS = ("end", "spend", "vector", "scalar", "constant", "parameter", "convert", "load", "store", "take", "give", "jump",
         "branch", "call", "return", "activate", "block", "unblock", "block_queue", "unblock_queue", "time", "set_base",
         "move_base", "set_extent", "set_stride", "load_descriptor", "route", "position", "leave_teardown", "torn_down",
         "bind_input", "bind_output", "flush", "leave_flush", "flushed")
"""Forms of instructions (``pe_code.h`` has their codes)."""

PRIORITIES = {"high": 0, "medium": 1, "low": 3}
"""Ranks of microthreads; the main thread stands between medium and low."""


@dataclass(frozen=True)
class Vector:
    """One vector instruction: ``dst`` = a, a + b, a - b, a * b, max(a, b), a + b * c, ... for each element.

    ``repeat`` runs it that many times with descriptors moving by their ``advance``, each time for ``between`` further
    cycles (-1: those of the machine), as a map does; ``times`` is a register that holds how many times instead. With a
    ``microthread`` (a number, or -1 for the generation's choice) it is asynchronous. ``activate`` and ``unblock`` name tasks
    for when it has ended, ``control_*`` for when a control wavelet comes; what is unblocked may be an input queue by its
    number. ``terminate``: a control wavelet ends it. ``done``: register that becomes 1,
    or 0 where it ended early.
    """

    name: str
    dst: Operand
    a: Operand
    b: Operand | None = None
    c: Operand | None = None
    repeat: int = 1
    between: int = 0
    microthread: int | None = None
    priority: str = "medium"
    activate: str | None = None
    unblock: str | int | None = None
    terminate: bool = False
    control_activate: str | None = None
    control_unblock: str | int | None = None
    done: int | None = None
    times: int | None = None

    @property
    def operands(self) -> list[Operand]:
        """The operands there are, target first."""
        return [operand for operand in (self.dst, self.a, self.b, self.c) if operand is not None]


@dataclass(frozen=True)
class Scalar:
    """Any other instruction. ``form`` is one of :data:`FORMS`; ``dst``, ``a``, ``b``, ``c`` are registers.

    ``target`` is a name: of a label (jump, branch, call), a task (activate, block, unblock), a symbol (load, store), a
    descriptor (take, give, ``set_*``, load_descriptor), a route (route). ``imm`` is a number: a constant's bits, a
    parameter, a queue, a color, cycles to spend. ``cycles`` replaces what the machine's timing says.
    """

    form: str
    op: str = ""
    type: str = "u32"
    dst: int | None = None
    a: int | None = None
    b: int | None = None
    c: int | None = None
    imm: int = 0
    target: str | Operand | None = None
    source: str | None = None
    """Type that ``convert`` comes from; descriptor that ``load_descriptor`` copies."""
    cycles: int | None = None


@dataclass(frozen=True)
class Label:
    """A place to jump to; takes neither room nor time."""

    name: str


Instruction = Vector | Scalar | Label


@dataclass(frozen=True)
class Origin:
    """Where a compiler found what it made an instruction of: a function, and a line (from 1 on) of a file."""

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass
class TaskEntry:
    """A task: ``kind`` local, data, control or subroutine; begins at ``label``.

    ``number``: id of a local task (None: the machine's next free one), the color of a data task, the entry point of a
    control task.
    """

    name: str
    kind: str
    label: str
    number: int | None = None
    active: bool = False
    blocked: bool = False
    priority: str = "low"


def changed(item: Any) -> dict[str, Any]:
    """Fields of a dataclass that differ from their defaults."""
    return {f.name: getattr(item, f.name) for f in fields(item) if getattr(item, f.name) != f.default}


@dataclass
class Placed:
    """Result of encoding: records for the core, and what its numbers mean."""

    code: list[tuple] = field(default_factory=list)
    """Fields of ``INSTRUCTION`` records."""
    descriptors: list[tuple] = field(default_factory=list)
    """Fields of ``DESCRIPTOR`` records."""
    routes: list[Any] = field(default_factory=list)
    """``ROUTE`` records."""
    header: dict[str, Any] = field(default_factory=dict)
    """Fields of the ``PROGRAM`` record."""
    lines: list[int] = field(default_factory=list)
    """Place in ``Program.code`` of each record."""
    tasks: dict[str, int] = field(default_factory=dict)
    """Id of each local task."""
    parameters: int = 0
    """Parameters that each PE holds: as many as the program names, or more where its code reads more."""
