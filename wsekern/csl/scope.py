"""Names and what they stand for: in blocks, in functions, and in instances of modules."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from wsekern.csl import syntax
from wsekern.csl.source import Note, Span
from wsekern.csl.types import Type
from wsekern.csl.values import Symbol, Value


@dataclass(eq=False)
class Constant:
    """A name for a value."""

    value: Value
    span: Span | None = None


@dataclass(eq=False)
class Cell:
    """A variable of the compiler: of ``layout`` and ``comptime`` code, or ``comptime var``."""

    type: Type
    value: Value
    span: Span | None = None
    constant: bool = False


@dataclass(eq=False)
class Held:
    """A variable of a function whose scalars are in registers."""

    type: Type
    value: Value
    span: Span | None = None
    constant: bool = False


@dataclass(eq=False)
class Stored:
    """A variable in memory."""

    symbol: Symbol
    span: Span | None = None


@dataclass(eq=False)
class Broken:
    """A variable whose declaration is wrong: what uses it needs no error of its own."""

    span: Span | None = None


Binding = Constant | Cell | Held | Stored | Broken


@dataclass(eq=False)
class Scope:
    """Names of a block, and those around it."""

    module: "Module"
    above: "Scope | None" = None
    names: dict[str, Binding] = field(default_factory=dict)

    def inner(self) -> "Scope":
        """A block inside."""
        return Scope(self.module, self)

    def find(self, name: str) -> Binding | None:
        """What a name stands for in the blocks of a function; None: look in the module."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.above
        return None


@dataclass(eq=False)
class Module:
    """One import of a file: its parameters, and its globals, which are evaluated when they are first used."""

    name: str
    file: syntax.File
    parameters: dict[str, Value]
    importer: tuple["Module", Span] | None = None
    folder: Any = None
    """Where files that it imports are looked for first."""
    number: int = 0
    """In the order of imports: makes names of symbols unique."""
    names: dict[str, Binding] = field(default_factory=dict)
    evaluating: list[str] = field(default_factory=list)
    intrinsics: dict[str, Any] = field(default_factory=dict)
    """Members that are the compiler's: values, or functions of (evaluator, call, arguments)."""

    def __post_init__(self) -> None:
        self.declarations: dict[str, syntax.Node] = {}
        self.twice: list[tuple[str, Span, Span]] = []
        for node in self.file.declarations:
            for name in names_of(node):
                if name in self.declarations:
                    self.twice.append((name, node.span, self.declarations[name].span))
                else:
                    self.declarations[name] = node
        self.assigned = assigned_names(self.file)

    @property
    def chain(self) -> tuple[Note, ...]:
        """How this module came to be imported, the nearest import first."""
        found, module = [], self
        while module.importer is not None:
            above, span = module.importer
            found.append(Note(f"'{module.name}' is imported here", span))
            module = above
        return tuple(found)


def names_of(node: syntax.Node) -> tuple[str, ...]:
    """Names that a declaration of a module declares."""
    if isinstance(node, (syntax.Param, syntax.Variable, syntax.Function)):
        return (node.name,)
    return node.names if isinstance(node, syntax.Colors) else ()


kept = lru_cache(maxsize=4096)
"""For what is found below a node: trees do not change, and programs of many PEs ask again and again."""


@kept
def assigned_names(node: Any) -> dict[str, set[str]]:
    """Names that code below ``node`` assigns to, takes the address of, or declares as ``&``: a name's set has "base", "extent",
    "stride" where only these parts of a DSD change, else "all"; "address" where a pointer to it is made."""
    found: dict[str, set[str]] = {}
    for each in walk(node):
        if isinstance(each, syntax.Assign):
            root = root_of(each.target)
            if root is not None:
                whole = isinstance(each.target, syntax.Name)
                found.setdefault(root, set()).update(_parts(root, each.value) if whole and not each.operator else {"all"})
        elif isinstance(each, syntax.Unary) and each.operator == "&":
            root = root_of(each.operand)
            if root is not None:
                found.setdefault(root, set()).add("address")
        elif isinstance(each, syntax.TensorAccess):
            root = root_of(each.target)
            if root is not None:
                found.setdefault(root, set()).add("address")
        elif isinstance(each, syntax.Builtin) and each.name in _ADDRESSES:
            for argument in each.arguments[_ADDRESSES[each.name]:][:1]:
                root = root_of(argument)
                if root is not None:
                    found.setdefault(root, set()).add("address")
    return found


_ADDRESSES = {"export_symbol": 0, "allocate_fifo": 0, "set_dsd_base_addr": 1, "set_dsr_base_addr": 1}
"""Builtins that take the address of an argument: its number."""


@kept
def assigned_members(node: Any) -> set[str]:
    """Names of members that code below ``node`` assigns to: of other modules, perhaps."""
    found: set[str] = set()
    for each in walk(node):
        if isinstance(each, (syntax.Assign, syntax.TensorAccess)):
            found |= _members(each.target)
        elif isinstance(each, syntax.Unary) and each.operator == "&":
            found |= _members(each.operand)
        elif isinstance(each, syntax.Builtin) and each.name in _ADDRESSES:
            for argument in each.arguments[_ADDRESSES[each.name]:][:1]:
                found |= _members(argument)
    return found


def _members(node: Any) -> set[str]:
    """Names of members on the way to a place: ``b`` and ``c`` of ``a.b[i].c``, ``b`` of ``@field(a, "b")``."""
    found = set()
    while (below := _below(node)) is not None:
        if isinstance(node, syntax.Member):
            found.add(node.name)
        elif isinstance(node, syntax.Builtin):
            name = getattr(node.arguments[-1], "value", None)
            found.add(name.decode("utf-8", "replace") if isinstance(name, bytes) else "")
        node = below
    return found


def _below(node: Any) -> Any:
    """What a field or an element is taken of; None of other nodes."""
    if isinstance(node, (syntax.Member, syntax.Index)):
        return node.of
    return node.arguments[0] if isinstance(node, syntax.Builtin) and node.name == "field" and node.arguments else None


_CHANGES = {"increment_dsd_offset": "base", "set_dsd_base_addr": "base", "set_dsd_length": "extent", "set_dsd_stride": "stride"}


def _parts(name: str, value: syntax.Expression) -> set[str]:
    """Parts of DSD ``name`` that ``name = value`` changes."""
    found: set[str] = set()
    while isinstance(value, syntax.Builtin) and value.name in _CHANGES and value.arguments:
        found.add(_CHANGES[value.name])
        value = value.arguments[0]
    return found if isinstance(value, syntax.Name) and value.name == name and found else {"all"}


def root_of(node: syntax.Node) -> str | None:
    """The variable of ``x``, ``x.y``, ``x[i]``, ``@field(x, "y")``; None behind a pointer or a call."""
    while (below := _below(node)) is not None:
        node = below
    return node.name if isinstance(node, syntax.Name) else None


def walk(node: Any) -> Any:
    """A node and all below it."""
    stack = [node]
    while stack:
        each = stack.pop()
        if isinstance(each, tuple):
            if not isinstance(each, Span):
                stack += each
        elif isinstance(each, (syntax.Node, syntax.File)):
            yield each
            names = each.__dataclass_fields__
            stack += [getattr(each, name) for name in names if name != "span"]
