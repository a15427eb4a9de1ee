"""What a core of :mod:`wsekern.program.reference.core` holds."""

from dataclasses import dataclass, field
from typing import Any

from wsekern.program.encode import task_ids
from wsekern.program.instructions import Label, Scalar, Vector
from wsekern.program.operands import Operand
from wsekern.program.program import Program


class BrokenProgram(Exception):
    """An element outside the memory of a PE, calls too deep, or a task that does not exist."""


@dataclass
class Place:
    """Where a descriptor begins: byte address (or index), elements, stride, element of a ring."""

    base: int
    extent: int
    stride: int
    at: int = 0


@dataclass
class FifoState:
    head: int = 0
    count: int = 0
    starved: bool = False
    full: bool = False


@dataclass
class Loaded:
    """An operand of an instruction under way: as it was when the instruction issued."""

    operand: Operand
    stated: Operand
    type: str
    place: Place
    live: bool = False
    """Of a register: read anew for each element, as the instruction also writes it."""
    step: int = 0
    """Of a mem1d: elements that it moves in each repeat."""


@dataclass
class Thread:
    """The main thread or a microthread: ``state`` idle, ready, busy (a vector instruction in memory), or what it waits for."""

    number: int
    state: str = "idle"
    resume: int = 0
    at: int = 0
    word: int = -1
    extent: int = 0
    loaded: list[Loaded | None] = field(default_factory=list)
    waits: int = -1
    issued: int = 0
    """Main thread: the instruction that it issued last, or the first of its task."""
    awake: int = 0
    waited: str = ""
    """What it waited for last, and the cycle from which it has had it."""


@dataclass
class Placed:
    """A program with its places: instructions without labels, where labels lead, ids of tasks, addresses of symbols."""

    program: Program
    code: list[Scalar | Vector]
    labels: dict[str, int]
    tasks: dict[str, int]
    addresses: dict[str, int]


def place(program: Program, timing: Any) -> Placed:
    """Number the instructions of a program."""
    code, labels = [], {}
    for item in [*program.code, Scalar("end")]:
        if isinstance(item, Label):
            labels[item.name] = len(code)
        else:
            code.append(item)
    return Placed(program, code, labels, task_ids(program, timing), program.addresses())
