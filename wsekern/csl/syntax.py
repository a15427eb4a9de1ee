"""The syntax tree. Every node keeps its span; types are expressions, as CSL computes them like any other value."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal as Among

from wsekern.csl.source import Span


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """Anything in a source file."""

    span: Span


class Expression(Node):
    """Something with a value."""

    __slots__ = ()


class Statement(Node):
    """Something that is done."""

    __slots__ = ()


# ---- Values -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Literal(Expression):
    """A number (``comptime_int``, ``comptime_float``; characters too), truth, string (bytes) or ``undefined`` (None)."""

    value: int | float | bool | bytes | None


@dataclass(frozen=True, eq=False, slots=True)
class Name(Expression):
    """A variable, function, type or parameter."""

    name: str


@dataclass(frozen=True, eq=False, slots=True)
class Builtin(Expression):
    """``@name(arguments)``."""

    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Unary(Expression):
    """``- ! ~ &`` before its operand."""

    operator: str
    operand: Expression


@dataclass(frozen=True, eq=False, slots=True)
class Binary(Expression):
    """``left operator right``; ``and`` and ``or`` look at the right side only where the left one does not decide."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, eq=False, slots=True)
class Dereference(Expression):
    """``pointer.*``."""

    pointer: Expression


@dataclass(frozen=True, eq=False, slots=True)
class Member(Expression):
    """``of.name``."""

    of: Expression
    name: str


@dataclass(frozen=True, eq=False, slots=True)
class Index(Expression):
    """``of[i, j]``."""

    of: Expression
    indices: tuple[Expression, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Call(Expression):
    """``function(arguments)``."""

    function: Expression
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Initializer(Expression):
    """``T {...}`` or, with no type, ``.{...}``: fields with names, or elements (whose names are empty)."""

    type: Expression | None
    names: tuple[str, ...]
    values: tuple[Expression, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Choice(Expression):
    """``if (condition) then else otherwise`` as a value; without ``else`` only where the condition is known to hold."""

    condition: Expression
    then: Expression
    otherwise: Expression | None


@dataclass(frozen=True, eq=False, slots=True)
class TensorAccess(Expression):
    """``|variables|{extents} -> target``."""

    variables: tuple[str, ...]
    extents: tuple[Expression, ...]
    target: Expression


@dataclass(frozen=True, eq=False, slots=True)
class Comptime(Expression):
    """``comptime value``."""

    value: Expression


# ---- Types ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class PointerType(Expression):
    """``*T``, ``*const T``; ``many``: ``[*]T``, ``[*]const T``."""

    element: Expression
    constant: bool
    many: bool


@dataclass(frozen=True, eq=False, slots=True)
class ArrayType(Expression):
    """``[n, m]T``."""

    extents: tuple[Expression, ...]
    element: Expression


@dataclass(frozen=True, eq=False, slots=True)
class FunctionType(Expression):
    """``fn(T, U) V`` or ``task() void``."""

    kind: Among["fn", "task"]
    parameters: tuple[Expression, ...]
    result: Expression


@dataclass(frozen=True, eq=False, slots=True)
class StructType(Expression):
    """``struct {...}`` or ``union {...}``; ``layout``: "", "packed" or "extern"."""

    kind: Among["struct", "union"]
    layout: str
    names: tuple[str, ...]
    types: tuple[Expression, ...]


@dataclass(frozen=True, eq=False, slots=True)
class EnumType(Expression):
    """``enum(T) {a, b = 3}``; values are None where none is written."""

    type: Expression | None
    names: tuple[str, ...]
    values: tuple[Expression | None, ...]


# ---- Statements -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Attribute(Node):
    """``align(n)``, ``linkname("x")``, ``linksection("x")`` of a declaration."""

    name: str
    value: Expression


@dataclass(frozen=True, eq=False, slots=True)
class Variable(Statement):
    """``const`` or ``var``; ``storage``: "", "export" or "extern"; ``comptime``: it lives while the program is compiled."""

    kind: Among["const", "var"]
    name: str
    type: Expression | None
    value: Expression | None
    storage: str = ""
    comptime: bool = False
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Assign(Statement):
    """``target = value``, or with an operator: ``+=`` has "+"."""

    operator: str
    target: Expression
    value: Expression


@dataclass(frozen=True, eq=False, slots=True)
class Do(Statement):
    """An expression for its effect (or, as the body of a case, for its value)."""

    expression: Expression


@dataclass(frozen=True, eq=False, slots=True)
class Block(Expression):
    """``{...}``: a statement, and with a ``label`` that its breaks name, a value."""

    statements: tuple[Node, ...]
    label: str = ""
    comptime: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class If(Statement):
    """``if (condition) then else otherwise``."""

    condition: Expression
    then: Node
    otherwise: Node | None


@dataclass(frozen=True, eq=False, slots=True)
class While(Statement):
    """``while (condition) : (step) body``."""

    condition: Expression
    step: Node | None
    body: Node
    label: str = ""
    inline: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class For(Statement):
    """``for (over) |element, counter| body``."""

    over: Expression
    names: tuple[str, ...]
    body: Node
    label: str = ""
    inline: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Case(Node):
    """``values => body`` of a switch; no values: ``else``."""

    values: tuple[Expression, ...]
    body: Node


@dataclass(frozen=True, eq=False, slots=True)
class Switch(Expression):
    """``switch (subject) {cases}``: a statement or a value."""

    subject: Expression
    cases: tuple[Case, ...]
    label: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Return(Statement):
    """``return value``."""

    value: Expression | None


@dataclass(frozen=True, eq=False, slots=True)
class Break(Statement):
    """``break :label value``."""

    label: str
    value: Expression | None


@dataclass(frozen=True, eq=False, slots=True)
class Continue(Statement):
    """``continue :label``."""

    label: str


# ---- Declarations -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Param(Statement):
    """``param name: T = value`` of a module."""

    name: str
    type: Expression | None
    value: Expression | None


@dataclass(frozen=True, eq=False, slots=True)
class Parameter(Node):
    """Of a function; without a name (and so only its type) where the function is ``extern``."""

    name: str
    type: Expression
    comptime: bool


@dataclass(frozen=True, eq=False, slots=True)
class Function(Statement):
    """``fn`` or ``task``; ``body`` is None where another object has it; ``storage``: "", "export", "extern" or "inline"."""

    kind: Among["fn", "task"]
    name: str
    parameters: tuple[Parameter, ...]
    result: Expression
    body: Block | None
    storage: str = ""
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Layout(Statement):
    """``layout {...}`` of the top file."""

    body: Block


@dataclass(frozen=True, eq=False, slots=True)
class Colors(Statement):
    """``color a, b = value``, of the dialect before 1.0."""

    names: tuple[str, ...]
    value: Expression | None


@dataclass(frozen=True, eq=False)
class File:
    """One source file."""

    span: Span
    declarations: Sequence[Node]
