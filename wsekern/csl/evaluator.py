"""One walker for all of CSL: what is known is computed at once, what is not becomes instructions.

The same expression gives a value either way; in functions of a PE (``runtime``) values that depend on memory, words or
arguments are held by registers.
"""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, NoReturn

import numpy as np

from wsekern.csl import syntax
from wsekern.csl import types as t
from wsekern.csl.arithmetic import BadNumber, binary, unary
from wsekern.csl.coerce import array_of, cast, coerce
from wsekern.csl.context import Context
from wsekern.csl.directions import DIRECTIONS
from wsekern.csl.emit import Unsupported, machine_type
from wsekern.csl.operands import copy_memory
from wsekern.csl.places import Fixed, InMemory, InVariable, Place, index, load, member, symbol_place, to_memory
from wsekern.csl.scope import Binding, Broken, Constant, Module, Scope, Stored
from wsekern.csl.source import CslError, Diagnostic, Note, Span
from wsekern.csl.types import Type
from wsekern.csl.values import (
    Address,
    FunctionRef,
    Memory,
    Reg,
    Split,
    Value,
    Varying,
    shown,
    zero_of,
)
from wsekern.csl.wide import is_wide

SOFTWARE: dict[str, Callable[..., Value]] = {}
"""Operators of 64-bit integers that are functions of the library."""
PREDECLARED: dict[str, Value] = {name: Value(t.TYPE, kind) for name, kind in t.NAMED.items()} | {
    name: Value(t.DIRECTION, number) for number, name in enumerate(DIRECTIONS)}


class Expressions(Context):
    """Expressions; statements and calls are added by :class:`wsekern.csl.functions.Evaluator`."""

    forced: int

    # ---- errors

    def fail(self, node: syntax.Node | Span, message: str, *notes: Note) -> NoReturn:
        """Stop with an error at a node."""
        span = node if isinstance(node, Span) else node.span
        raise CslError([Diagnostic(message, span, "error", (*notes, *self.scope.module.chain))])

    def warn(self, node: syntax.Node, message: str, *notes: Note) -> None:
        """Say that something is doubtful, and go on."""
        self.unit.diagnostics.warn(message, node.span, *notes)

    # ---- modes

    @property
    def runtime(self) -> bool:
        """Whether code of a PE is being written."""
        return self.frame is not None and not self.forced

    def compiling(self, node: syntax.Expression, wanted: Type | None = None) -> Value:
        """A value that must be known now, as in ``comptime``."""
        self.forced += 1
        try:
            value = self.evaluate(node, wanted)
        finally:
            self.forced -= 1
        if not value.known:
            self.fail(node, "this must be known while the program is compiled, and is known only at run time")
        return value

    def type_at(self, node: syntax.Expression) -> Type:
        """The type that an expression gives."""
        value = self.compiling(node)
        if not isinstance(value.type, t.TypeType):
            self.fail(node, f"expected a type, found {shown(value)}")
        return value.data

    def type_at_in(self, module: Module, node: syntax.Expression) -> Type:
        """A type as a module sees it."""
        outer, self.scope = self.scope, Scope(module)
        try:
            return self.type_at(node)
        finally:
            self.scope = outer

    # ---- known numbers

    def known_int(self, value: Value, node: syntax.Node) -> int:
        """A whole number that is the same on all PEs of the program."""
        if isinstance(value.data, Varying):
            raise self.split(value.data)
        if isinstance(value.data, Reg) or not isinstance(value.data, (int, np.integer)) or isinstance(value.data, bool):
            self.fail(node, f"expected a whole number that is known while the program is compiled, found {shown(value)}")
        return int(value.data)

    @staticmethod
    def known_int_or_none(value: Value) -> int | None:
        """The same, None where it is not known or differs."""
        return None if isinstance(value.data, (Reg, Varying)) else int(value.data)

    def known_bool(self, value: Value, node: syntax.Node) -> bool | None:
        """A truth; None where it is known only at run time."""
        if isinstance(value.data, Varying):
            each = np.asarray(value.data.each, bool)
            if each.all() or not each.any():
                return bool(each[0])
            raise Split(each.astype(np.int64))
        if isinstance(value.data, Reg):
            return None
        if value.type != t.BOOL:
            self.fail(node, f"expected a bool, found {shown(value)}")
        return bool(value.data)

    # ---- names

    def binding(self, name: str, node: syntax.Node) -> Binding:
        """What a name stands for here."""
        found = self.scope.find(name) or self.unit.global_binding(self.scope.module, name)
        if found is not None:
            return found
        if name in PREDECLARED:
            return Constant(PREDECLARED[name])
        kind = self.integer_type(name)
        if kind is not None:
            return Constant(Value(t.TYPE, kind))
        known = [*self.scope.names, *self.scope.module.declarations, *PREDECLARED]
        near = get_close_matches(name, known, 1)
        self.fail(node, f"unknown name '{name}'" + (f"; did you mean '{near[0]}'?" if near else ""))

    @staticmethod
    def integer_type(name: str) -> Type | None:
        """``i5``, ``u12``: integers of any width up to 64."""
        if name[:1] in ("i", "u") and name[1:].isdigit() and 1 <= int(name[1:]) <= 64:
            return t.Int(int(name[1:]), name[0] == "i")
        return None

    def place_of(self, binding: Binding) -> Place:
        """Where a name's value is."""
        if isinstance(binding, Broken):
            raise CslError([])
        if isinstance(binding, Constant):
            return Fixed(binding.value)
        if isinstance(binding, Stored):
            return symbol_place(binding.symbol)
        return InVariable(binding, (), binding.type)

    # ---- places

    def place(self, node: syntax.Expression) -> Place:
        """Where the value of an expression is; a value of its own where it is nowhere."""
        if isinstance(node, syntax.Name):
            return self.place_of(self.binding(node.name, node))
        if isinstance(node, syntax.Member):
            return self._member(node)
        if isinstance(node, syntax.Index):
            of = self.place(node.of)
            return index(self, of, [self.evaluate(each) for each in node.indices], node)
        if isinstance(node, syntax.Dereference):
            pointer = self.evaluate(node.pointer)
            if not isinstance(pointer.type, t.Pointer):
                self.fail(node, f"a value of type {pointer.type} points to nothing")
            if isinstance(pointer.type.element, t.FunctionType):
                return Fixed(Value(pointer.type.element, pointer.data))
            return InMemory(self.memory_at(pointer, node), pointer.type.element, pointer.type.constant)
        if isinstance(node, syntax.Builtin) and node.name == "field":
            return self._field(node)
        return Fixed(self.evaluate(node))

    def _field(self, node: syntax.Builtin) -> Place:
        if len(node.arguments) != 2:
            self.fail(node, f"@field takes a struct and the name of a field, found {len(node.arguments)} arguments")
        name = self.compiling(node.arguments[1])
        if not isinstance(name.data, bytes):
            self.fail(node.arguments[1], f"expected the name of a field, found {shown(name)}")
        return self._member(syntax.Member(node.span, node.arguments[0], name.data.decode()))

    def _member(self, node: syntax.Member) -> Place:
        of = self.place(node.of)
        if isinstance(of.type, t.ModuleType):
            return self.member_of(load(self, of, node).data, node)
        if isinstance(of.type, t.TypeType):
            return Fixed(self._enum_member(load(self, of, node).data, node))
        if isinstance(of.type, t.Pointer) and isinstance(of.type.element, t.Struct):
            pointer = load(self, of, node)
            of = InMemory(self.memory_at(pointer, node), of.type.element, of.type.constant)
        return member(self, of, node.name, node)

    def member_of(self, module: Module, node: syntax.Member) -> Place:
        """A global of a module."""
        if node.name in module.intrinsics:
            return Fixed(module.intrinsics[node.name])
        binding = self.unit.global_binding(module, node.name)
        if binding is None:
            near = get_close_matches(node.name, [*module.declarations, *module.intrinsics], 1)
            self.fail(node, f"'{module.name}' has no '{node.name}'" + (f"; did you mean '{near[0]}'?" if near else ""))
        return self.place_of(binding)

    def _enum_member(self, kind: Type, node: syntax.Member) -> Value:
        if not isinstance(kind, t.Enum) or node.name not in kind.names:
            self.fail(node, f"{kind} has no member '{node.name}'" + (
                f": it has {', '.join(kind.names)}" if isinstance(kind, t.Enum) else ""))
        return Value(kind, kind.values[kind.names.index(node.name)])

    def memory_at(self, pointer: Value, node: syntax.Node) -> Memory:
        """Where a pointer points."""
        if isinstance(pointer.data, Address):
            return Memory(pointer.data.symbol, pointer.data.offset)
        if isinstance(pointer.data, Reg):
            return Memory(None, 0, ((pointer.data, 1),))
        if isinstance(pointer.data, int):  # a register of the router, at a byte address
            return Memory(None, pointer.data)
        self.fail(node, "this pointer points to nothing")

    # ---- expressions

    def evaluate(self, node: syntax.Node, wanted: Type | None = None) -> Value:
        """The value of an expression, as ``wanted`` where that is given."""
        try:
            value = _EVALUATE[type(node)](self, node, wanted)
        except KeyError:
            self.fail(node, "a value is expected here, and this has none")
        except Unsupported as error:
            self.fail(node, f"not supported yet: {error}")
        return value if wanted is None or value.type == wanted else coerce(self, value, wanted, node)

    def literal(self, node: syntax.Literal, wanted: Type | None) -> Value:
        """A number, truth or string."""
        value = node.value
        if value is None:
            if wanted is None:
                self.fail(node, "undefined has no type here")
            return zero_of(wanted)
        kinds = {bool: t.BOOL, int: t.COMPTIME_INT, float: t.COMPTIME_FLOAT, bytes: t.STRING}
        return Value(kinds[type(value)], value)

    def name(self, node: syntax.Name, wanted: Type | None) -> Value:
        """A variable's value."""
        return load(self, self.place(node), node)

    def unary(self, node: syntax.Unary, wanted: Type | None) -> Value:
        """``- ! ~ &``."""
        if node.operator == "&":
            return self.address_of(node)
        value = self.evaluate(node.operand)
        fits = {"!": value.type == t.BOOL, "~": isinstance(value.type, (t.Int, t.ComptimeInt)), "-": t.is_number(value.type)}
        if not fits[node.operator]:
            self.fail(node, f"'{node.operator}' of a value of type {value.type}")
        if not isinstance(value.data, Reg):
            return Value(value.type, unary(node.operator, value.type, value.data))
        emit = self.emit
        if node.operator == "!":
            return Value(t.BOOL, emit.scalar("eq", "u16", value.data, emit.constant(0, "u16")))
        if node.operator == "~":
            ones = emit.register(Value(value.type, -1 if value.type.signed else value.type.high))
            return Value(value.type, emit.binary("^", value.type, value, Value(value.type, ones)))
        if is_wide(value.type):
            return Value(value.type, emit.binary("-", value.type, Value(value.type, 0), value))
        return Value(value.type, emit.narrow(emit.scalar("neg", machine_type(value.type), value.data), value.type))

    def address_of(self, node: syntax.Unary) -> Value:
        """``&x``."""
        place = self.place(node.operand)
        if isinstance(place, Fixed) and isinstance(place.value.data, FunctionRef):
            self.unit.function_number(place.value.data)
            return Value(t.Pointer(place.value.type, True), place.value.data)
        if isinstance(place, Fixed) and isinstance(place.value.type, (t.Array, t.Struct)) and place.value.known:
            symbol = self.unit.constant_symbol(place.value)
            return Value(t.Pointer(place.type, True), Address(symbol))
        if not isinstance(place, InMemory):
            self.fail(node, "this has no address: it is not in the memory of a PE")
        return self.pointer_to(place)

    def pointer_to(self, place: InMemory) -> Value:
        """A pointer to a place of memory."""
        if place.memory.symbol is not None:
            self.unit.use(place.memory.symbol)
        data = self.emit.address(place.memory).data if place.memory.terms or place.memory.symbol is None else Address(
            place.memory.symbol, place.memory.offset)
        return Value(t.Pointer(place.type, place.constant), data)

    def binary(self, node: syntax.Binary, wanted: Type | None) -> Value:
        """``a operator b``."""
        if node.operator in ("and", "or"):
            return self.logical(node)
        return self.operate(node.operator, self.evaluate(node.left), self.evaluate(node.right), node)

    def operate(self, operator: str, a: Value, b: Value, node: syntax.Node) -> Value:
        """``a operator b`` of values."""
        comparison = operator in ("==", "!=", "<", "<=", ">", ">=")
        if operator in ("<<", ">>"):
            return self._shift(operator, a, b, node)
        kind = t.peer(a.type, b.type)
        if kind is None:
            wanted = b.type if t.is_comptime(a.type) else a.type
            self.fail(node, f"'{operator}' of {a.type} and {b.type}; @as({wanted}, ...) makes them alike")
        if comparison and (isinstance(kind, (t.TypeType, t.Opaque, t.Enum, t.ComptimeString, t.Bool, t.Pointer, t.FunctionType))
                           or not t.is_number(kind)):
            return self._same(operator, a, b, kind, node)
        if not t.is_number(kind) and not (kind == t.BOOL and operator in "&|^"):
            self.fail(node, f"'{operator}' of values of type {kind}")
        if operator in "&|^%" and not isinstance(kind, (t.Int, t.ComptimeInt, t.Bool)):
            self.fail(node, f"'{operator}' needs whole numbers, found {kind}")
        return self._numbers(operator, coerce(self, a, kind, node), coerce(self, b, kind, node), kind, node)

    def _numbers(self, operator: str, a: Value, b: Value, kind: Type, node: syntax.Node) -> Value:
        comparison = operator in ("==", "!=", "<", "<=", ">", ">=")
        if isinstance(a.data, Reg) or isinstance(b.data, Reg):
            self.emit.span = node.span
            if is_wide(kind) and operator in SOFTWARE:
                return SOFTWARE[operator](self, operator, a, b, node)
            return Value(t.BOOL if comparison else kind, self.emit.binary(operator, kind, a, b))
        try:
            return Value(t.BOOL if comparison else kind, binary(operator, kind, a.data, b.data))
        except BadNumber as error:
            self.fail(node, str(error))

    def _same(self, operator: str, a: Value, b: Value, kind: Type, node: syntax.Node) -> Value:
        """Equality of what has no order."""
        if operator not in ("==", "!="):
            self.fail(node, f"'{operator}' of values of type {kind}: they can only be equal or not")
        if isinstance(a.data, Reg) or isinstance(b.data, Reg):
            return self._numbers(operator, a, b, kind, node)
        if isinstance(a.data, Varying) or isinstance(b.data, Varying):
            return self._numbers(operator, a, b, t.COMPTIME_INT, node)
        same = a.data == b.data
        return Value(t.BOOL, bool(same) == (operator == "=="))

    def _shift(self, operator: str, a: Value, b: Value, node: syntax.Node) -> Value:
        if not isinstance(a.type, (t.Int, t.ComptimeInt)) or not isinstance(b.type, (t.Int, t.ComptimeInt)):
            self.fail(node, f"'{operator}' of {a.type} and {b.type}: both are whole numbers")
        if isinstance(b.type, t.Int) and b.type.signed:
            self.fail(node, f"the bits to shift by are a signed {b.type}; @as(u16, ...) makes them unsigned")
        if isinstance(a.type, t.ComptimeInt) and isinstance(b.data, Reg):
            self.fail(node, "a comptime_int shifted by a number that is known only at run time; give it a type with @as")
        if not isinstance(a.data, Reg) and not isinstance(b.data, Reg):
            return self._numbers(operator, a, b, a.type, node)
        count = cast(self, b, a.type, node) if isinstance(b.data, Reg) else Value(a.type, b.data)
        return self._numbers(operator, a, count, a.type, node)

    def logical(self, node: syntax.Binary) -> Value:
        """``and``, ``or``: the right side only where the left one does not decide."""
        left = self.evaluate(node.left, t.BOOL)
        known = self.known_bool(left, node.left)
        decides = node.operator == "or"
        if known is not None:
            return Value(t.BOOL, known) if known == decides else self.evaluate(node.right, t.BOOL)
        emit, frame = self.emit, self.frame
        result, after = frame.new(), frame.label()
        emit.set(result, left)
        if decides:
            emit.unless(Value(t.BOOL, emit.scalar("eq", "u16", result, emit.constant(0, "u16"))), after)
        else:
            emit.unless(Value(t.BOOL, result), after)
        emit.set(result, self.evaluate(node.right, t.BOOL))
        frame.place(after)
        return Value(t.BOOL, result)

    def dereference(self, node: syntax.Dereference, wanted: Type | None) -> Value:
        """``pointer.*``."""
        return load(self, self.place(node), node)

    def initializer(self, node: syntax.Initializer, wanted: Type | None) -> Value:
        """``T {...}`` and ``.{...}``."""
        kind = self.type_at(node.type) if node.type is not None else wanted
        if isinstance(kind, t.Array) and not any(node.names):
            return array_of(self, kind, [self.evaluate(each, kind.element) for each in node.values], node)
        if isinstance(kind, t.Struct) and kind.site is not None:
            names = node.names if any(node.names) or not node.names else kind.names
            wants = [kind.type_of(name) for name in names]
            fields = {name: self.evaluate(each, want) for name, each, want in zip(names, node.values, wants, strict=False)}
            given = t.Struct(None, tuple(fields), tuple(each.type for each in fields.values()))
            return coerce(self, Value(given, fields), kind, node)
        names = node.names if any(node.names) else tuple(str(k) for k in range(len(node.values)))
        fields = {name: self.evaluate(each) for name, each in zip(names, node.values, strict=True)}
        return Value(t.Struct(None, node.names if not any(node.names) else names, tuple(each.type for each in fields.values())),
                     fields)

    def comptime(self, node: syntax.Comptime, wanted: Type | None) -> Value:
        """``comptime value``."""
        return self.compiling(node.value, wanted)

    def tensor(self, node: syntax.TensorAccess, wanted: Type | None) -> Value:
        """Tensor accesses mean something only in @get_dsd."""
        self.fail(node, "a tensor access stands only in the struct of @get_dsd")

    # ---- types

    def pointer_type(self, node: syntax.PointerType, wanted: Type | None) -> Value:
        """``*T``."""
        return Value(t.TYPE, t.Pointer(self.type_at(node.element), node.constant, node.many))

    def array_type(self, node: syntax.ArrayType, wanted: Type | None) -> Value:
        """``[n]T``."""
        extents = tuple(self.known_int(self.compiling(each), each) for each in node.extents)
        for extent, each in zip(extents, node.extents, strict=True):
            if extent < 0 or extent > 1 << 24:
                self.fail(each, f"an array of {extent} elements")
        return Value(t.TYPE, t.Array(extents, self.type_at(node.element)))

    def function_type(self, node: syntax.FunctionType, wanted: Type | None) -> Value:
        """``fn(T) U``."""
        return Value(t.TYPE, t.FunctionType(node.kind, tuple(map(self.type_at, node.parameters)), self.type_at(node.result)))

    def struct_type(self, node: syntax.StructType, wanted: Type | None) -> Value:
        """``struct {...}``: another type at every place that declares one, and for other types of its fields."""
        kinds = tuple(map(self.type_at, node.types))
        if node.layout == "packed" and (t.BOOL in kinds or any(
                isinstance(each, t.Int) and each.bits not in (8, 16, 32, 64) for each in kinds) or (
                node.kind == "struct" and sum(each.bytes for each in kinds) != t.Struct(node, node.names, kinds).bytes)):
            self.fail(node, "a packed struct is supported where its fields fill whole bytes, each at a multiple of its size")
        name = self.unit.names_of_types.get(node, node.kind)
        return Value(t.TYPE, t.Struct(node, node.names, kinds, name, node.kind == "union"))

    def enum_type(self, node: syntax.EnumType, wanted: Type | None) -> Value:
        """``enum(T) {...}``: members without a value count up and skip those that are taken."""
        kind = self.type_at(node.type) if node.type is not None else t.U16
        given = [None if each is None else self.known_int(self.compiling(each), each) for each in node.values]
        taken, values, coming = {each for each in given if each is not None}, [], 0
        for each in given:
            if each is None:
                while coming in taken:
                    coming += 1
                each, coming = coming, coming + 1
            values.append(each)
        return Value(t.TYPE, t.Enum(node, kind, node.names, tuple(values), self.unit.names_of_types.get(node, "enum")))

    # ---- helpers for places

    def array_in_memory(self, kind: t.Array, elements: list[Value]) -> Value:
        """A new array of the function, of elements that are known only at run time."""
        symbol = self.unit.local_symbol(self.frame, kind)
        for k, each in enumerate(elements):
            to_memory(self, Memory(symbol, k * kind.element.bytes), each, symbol)
        return Value(kind, Memory(symbol))

    def copy_array(self, target: Memory, value: Value, node: syntax.Node) -> None:
        """A whole array to memory: by a vector move of its bits."""
        assert isinstance(value.type, t.Array)
        source = value.data if isinstance(value.data, Memory) else Memory(self.unit.constant_symbol(value))
        element = value.type.element
        size = 4 if element.bytes % 4 == 0 else 2
        if element.bytes % size:
            self.fail(node, f"an array of {element} cannot be copied at run time; copy its elements")
        copy_memory(self, target, source, value.type.bytes // size, size)


Handler = Callable[[Any, Any, Type | None], Value]
_EVALUATE: dict[type, Handler] = {
    syntax.Literal: Expressions.literal, syntax.Name: Expressions.name, syntax.Unary: Expressions.unary,
    syntax.Binary: Expressions.binary, syntax.Dereference: Expressions.dereference, syntax.Member: Expressions.name,
    syntax.Index: Expressions.name, syntax.Initializer: Expressions.initializer, syntax.Comptime: Expressions.comptime,
    syntax.TensorAccess: Expressions.tensor, syntax.PointerType: Expressions.pointer_type,
    syntax.ArrayType: Expressions.array_type, syntax.FunctionType: Expressions.function_type,
    syntax.StructType: Expressions.struct_type, syntax.EnumType: Expressions.enum_type,
}
"""What gives the value of each kind of expression; calls, blocks and choices are registered where they are written."""
