"""What functions compile to: instructions of the core whose registers still belong to frames, and where each comes from."""

from dataclasses import dataclass, field
from typing import Any

from wsekern.csl.source import Span
from wsekern.csl.values import Reg
from wsekern.csl.wide import is_wide


@dataclass(eq=False, slots=True)
class Op:
    """A scalar instruction, label or vector instruction: ``form`` as in :data:`wsekern.program.instructions.FORMS`, "label", or
    "mark": a place where a variable begins or ends to live. ``fields`` by the names of
    :class:`wsekern.program.instructions.Scalar` or :class:`~wsekern.program.instructions.Vector`."""

    form: str
    fields: dict[str, Any]
    span: Span | None = None
    title: str = ""
    """What CSL calls the function that it is of, where not the frame's."""


@dataclass(eq=False, slots=True)
class Named:
    """A variable of a function: its binding, and its life in numbers of operations (``last`` 0: to the end); when the function
    is complete, between marks."""

    name: str
    binding: Any
    first: int
    last: int = 0
    marks: tuple[Op, Op] | None = None
    title: str = ""
    """As of operations."""


@dataclass(eq=False)
class Frame:
    """A function or task under compilation: its code, and how many registers it needs. A function's parameters come first."""

    name: str
    kind: str
    """"task" (ends), "function" (returns)"""
    ops: list[Op] = field(default_factory=list)
    size: int = 0
    taken: int = 0
    labels: int = 0
    span: Span | None = None
    calls: set["Frame"] = field(default_factory=set)
    parameters: list[Reg] = field(default_factory=list)
    given: int = 0
    """Registers that the parameters take, the first ones."""
    title: str = ""
    """What CSL calls the function."""
    variables: list[Named] = field(default_factory=list)
    result: Any = None
    """The value that it returns, whose scalars are registers of this frame."""
    broken: bool = False
    """Whether a statement of it is wrong."""

    def new(self) -> Reg:
        """A register that nobody uses."""
        self.taken += 1
        self.size = max(self.size, self.taken)
        return Reg(self, self.taken - 1)

    def new_for(self, kind: Any) -> Reg:
        """A register for a scalar of a type; of 64-bit integers, the first of two."""
        first = self.new()
        if is_wide(kind):
            self.new()
        return first

    def release(self, taken: int) -> None:
        """Let those above ``taken`` be used anew."""
        self.taken = taken

    @property
    def parameters_read(self) -> list[Reg]:
        """Registers that a call hands over."""
        return [Reg(self, k) for k in range(self.given)]

    def begin(self, name: str, binding: Any) -> None:
        """A variable lives from here on."""
        self.variables.append(Named(name, binding, len(self.ops)))

    def close(self, first: int) -> None:
        """Variables from number ``first`` on live no longer."""
        for each in self.variables[first:]:
            each.last = each.last or len(self.ops)

    def label(self) -> str:
        """A label of this frame."""
        self.labels += 1
        return f"{self.name}.{self.labels}"

    def emit(self, form: str, span: Span | None = None, **fields: Any) -> None:
        """Append an instruction."""
        self.ops.append(Op(form, fields, span))

    def place(self, label: str) -> None:
        """Let ``label`` be here."""
        self.ops.append(Op("label", {"name": label}))


def mark_variables(frame: Frame) -> None:
    """Let marks among the operations say where variables begin and end to live, as numbers of operations will change."""
    marks: dict[int, Op] = {}
    for named in frame.variables:
        ends = named.first, named.last or len(frame.ops)
        first, last = (marks.setdefault(k, Op("mark", {})) for k in ends)
        named.marks = first, last
    ops: list[Op] = []
    for k, op in enumerate([*frame.ops, None]):
        if k in marks:
            ops.append(marks[k])
        if op is not None:
            ops.append(op)
    frame.ops = ops


WORD_REGISTER = Reg(None, 0)
"""Register 0: the word that started a data or control task."""
