"""Calls: of functions that are interpreted, expanded where they are called, or compiled once and jumped to."""

from typing import Any

from wsekern.csl import syntax
from wsekern.csl import types as t
from wsekern.csl.apart import apart
from wsekern.csl.coerce import coerce
from wsekern.csl.evaluator import _EVALUATE, SOFTWARE
from wsekern.csl.flow import Exit, Intrinsic
from wsekern.csl.functions import Evaluator
from wsekern.csl.ir import Frame
from wsekern.csl.places import load
from wsekern.csl.scope import Constant, Scope, walk
from wsekern.csl.source import Note
from wsekern.csl.types import Type
from wsekern.csl.values import NOTHING, Dsd, FunctionRef, Memory, Reg, Split, Value, Varying, leaves, with_leaves, zero_of

MAX_CALLS = 200
"""Calls inside each other while the program is compiled."""


def call(ev: Evaluator, node: syntax.Call, wanted: Type | None) -> Value:
    """``function(arguments)``."""
    place = ev.place(node.function)
    function = load(ev, place, node.function)
    if isinstance(function.data, Intrinsic):
        return function.data.run(ev, node, [ev.evaluate(each) for each in node.arguments])
    if isinstance(function.type, t.Pointer) and isinstance(function.type.element, t.FunctionType):
        function = Value(function.type.element, function.data)
    if isinstance(function.data, Reg) and isinstance(function.type, t.FunctionType):
        return call_pointer(ev, function, node)
    if not isinstance(function.data, FunctionRef):
        ev.fail(node.function, f"a value of type {function.type} cannot be called")
    return call_function(ev, function.data, node)


def call_function(ev: Evaluator, function: FunctionRef, node: syntax.Call) -> Value:
    """A call of a function that CSL declares."""
    declared = function.node
    _check_call(ev, declared, len(node.arguments), node)
    scope = Scope(function.module)
    arguments = [_argument(ev, scope, parameter, each)
                 for parameter, each in zip(declared.parameters, node.arguments, strict=True)]
    return _called(ev, function, scope, arguments, node)


def call_values(ev: Evaluator, function: FunctionRef, values: list[Value], node: syntax.Node) -> Value:
    """A call with values."""
    declared = function.node
    _check_call(ev, declared, len(values), node)
    scope, arguments = Scope(function.module), []
    for parameter, value in zip(declared.parameters, values, strict=True):
        arguments.append(coerce(ev, value, _type_in(ev, scope, parameter.type), node))
        scope.names[parameter.name] = Constant(arguments[-1], parameter.span)
    return _called(ev, function, scope, arguments, node)


def call_library(ev: Evaluator, library: str, name: str, values: list[Value], node: syntax.Node) -> Value:
    """A call of a function of a library by the compiler itself."""
    binding = ev.unit.global_binding(ev.unit.library(library), name)
    return call_values(ev, binding.value.data, values, node)


def _check_call(ev: Evaluator, declared: syntax.Function, count: int, node: syntax.Node) -> None:
    here = Note("declared here", declared.span)
    if declared.kind == "task":
        ev.fail(node, f"'{declared.name}' is a task, which cannot be called: @activate it", here)
    if count != len(declared.parameters):
        ev.fail(node, f"'{declared.name}' takes {len(declared.parameters)} arguments, found {count}", here)
    if declared.body is None:
        ev.fail(node, f"'{declared.name}' has no body", here)


def _called(ev: Evaluator, function: FunctionRef, scope: Scope, arguments: list[Value], node: syntax.Node) -> Value:
    result = _type_in(ev, scope, function.node.result)
    if not ev.runtime or _only_now(result):
        return _interpret(ev, function, scope, arguments, result, node)
    if function.node.storage == "inline" or (isinstance(result, t.DsdType) and not _again(ev, function)):
        return _expand(ev, function, scope, result, node)
    return jump(ev, function, arguments, result, node)


def _again(ev: Evaluator, function: FunctionRef) -> bool:
    """Whether a function that makes a DSD calls itself, so that it cannot stand where it is called."""
    return any(isinstance(each, syntax.Name) and each.name == function.name for each in walk(function.node.body))


def _only_now(kind: Type) -> bool:
    return t.is_comptime(kind) and not isinstance(kind, t.Void)


def _type_in(ev: Evaluator, scope: Scope, node: syntax.Expression) -> Type:
    """A type as a function's scope sees it."""
    inner = Evaluator(ev.unit, scope)
    return inner.type_at(node)


def _argument(ev: Evaluator, scope: Scope, parameter: syntax.Parameter, node: syntax.Expression) -> Value:
    """An argument as its parameter takes it; types of later parameters may depend on it."""
    kind = _type_in(ev, scope, parameter.type)
    value = ev.compiling(node, kind) if parameter.comptime or (_only_now(kind) and kind != t.ANY) else ev.evaluate(node, kind)
    scope.names[parameter.name] = Constant(value, parameter.span)
    return value


def _interpret(ev: Evaluator, function: FunctionRef, scope: Scope, arguments: list[Value], result: Type,
               node: syntax.Node) -> Value:
    """Run a function while the program is compiled."""
    for value, each in zip(arguments, getattr(node, "arguments", [node] * len(arguments)), strict=False):
        if not value.known:
            ev.fail(each, "this must be known while the program is compiled, and is known only at run time")

    def again(values: list[Value]) -> Value:
        own = Scope(function.module)
        own.names = dict(scope.names)
        for parameter, value in zip(function.node.parameters, values, strict=True):
            own.names[parameter.name] = Constant(value, parameter.span)
        return _run(ev, function, own, result, node)

    try:
        return _run(ev, function, scope, result, node)
    except Split as split:
        return apart(ev.unit, arguments, split, again)


def _run(ev: Evaluator, function: FunctionRef, scope: Scope, result: Type, node: syntax.Node) -> Value:
    inner = Evaluator(ev.unit, scope)
    inner.depth = ev.depth + 1
    if inner.depth > MAX_CALLS:
        ev.fail(node, f"more than {MAX_CALLS} calls inside each other while the program is compiled")
    assert function.node.body is not None
    flow = inner.block(function.node.body)
    value = flow.value if flow is not None and flow.kind == "return" and flow.value is not None else NOTHING
    return _returned(ev, value, result, function, node)


def _returned(ev: Evaluator, value: Value, result: Type, function: FunctionRef, node: syntax.Node) -> Value:
    if isinstance(result, t.Void):
        return NOTHING
    if isinstance(value.type, t.Void) and value.data is None and result not in (t.ANY, t.COMPTIME_STRUCT):
        ev.fail(node, f"'{function.name}' ends without a value of type {result}", Note("declared here", function.node.span))
    return coerce(ev, value, result, node)


def _expand(ev: Evaluator, function: FunctionRef, scope: Scope, result: Type, node: syntax.Node) -> Value:
    """An ``inline fn``: its code stands where it is called."""
    inner = Evaluator(ev.unit, scope, ev.frame)
    inner.depth, inner.branches = ev.depth + 1, ev.branches
    if inner.depth > MAX_CALLS:
        ev.fail(node, f"more than {MAX_CALLS} calls inside each other: an inline function must not call itself without end")
    inner.assigned = ev.unit.assigned_in(function.node)
    exit_ = Exit("function", "", ev.frame.label(), "", ev.branches, type=result)
    inner.exits.append(exit_)
    assert function.node.body is not None
    outer, begun = inner.scope, len(ev.frame.variables)
    for name, binding in outer.names.items():
        ev.frame.begin(name, binding)
    inner.scope = outer.inner()  # its variables live on where its value needs their registers
    flow = None
    for statement in function.node.body.statements:
        flow = inner.run(statement)
        if flow is not None:
            break
    ev.frame.close(begun)
    if flow is not None and flow.kind == "return":
        value = flow.value if flow.value is not None else NOTHING
        return _returned(ev, value, result, function, node)
    ev.frame.place(exit_.end)
    if isinstance(result, t.Void):
        return NOTHING
    if exit_.result is None:
        ev.fail(node, f"'{function.name}' ends without a value of type {result}", Note("declared here", function.node.span))
    return exit_.result


# ---- functions of their own ----


def jump(ev: Evaluator, function: FunctionRef, arguments: list[Value], result: Type, node: syntax.Node) -> Value:
    """Arguments into the registers of the function's frame, and a call."""
    instance = instance_of(ev, function, arguments, result)
    ev.frame.calls.add(instance)
    flat = [leaf for value in arguments for leaf in leaves(value)]
    passed = [leaf for leaf, held in zip(flat, instance.held, strict=True) if held]
    ready = [ev.emit.register(leaf) for leaf in passed]
    for target, source, leaf in zip(instance.parameters, ready, passed, strict=True):
        ev.emit.set(target, Value(leaf.type, source))
    ev.emit.span = node.span
    ev.emit.emit("call", target=instance)
    if isinstance(result, t.Void):
        return NOTHING
    return with_leaves(instance.result, iter([
        ev.copied(leaf) if isinstance(leaf.data, Reg) else leaf for leaf in leaves(instance.result)]))


class Instance(Frame):
    """A function compiled for certain known arguments; ``held``: which scalars of its arguments come in registers."""

    held: list[bool]


def _in_register(leaf: Value) -> bool:
    """Whether an argument's scalar is passed in a register, known or not: numbers and pointers are; what decides how code looks
    is not."""
    if isinstance(leaf.data, (Reg, Varying)):
        return True
    return isinstance(leaf.type, (t.Int, t.Float, t.Bool)) or (
        isinstance(leaf.type, t.Pointer) and not isinstance(leaf.type.element, t.FunctionType))


def instance_of(ev: Evaluator, function: FunctionRef, arguments: list[Value], result: Type) -> Instance:
    """The compiled function for arguments whose known parts are these; it is compiled when it is first asked for."""
    parameters = function.node.parameters
    known = [parameter.comptime for parameter in parameters]
    held = [not fixed and not isinstance(value.data, Memory) and not isinstance(value.type, t.DsdType) and _in_register(leaf)
            if not isinstance(value.data, Dsd) else isinstance(leaf.data, Reg)
            for value, fixed in zip(arguments, known, strict=True) for leaf in leaves(value)]
    flat = [leaf for value in arguments for leaf in leaves(value)]
    key = (function.module, function.node, tuple(held),
           tuple(None if keep else ev.unit.key_of(leaf) for keep, leaf in zip(held, flat, strict=True)),
           tuple(ev.unit.shape_of(value) for value in arguments))
    found = ev.unit.instances.get(key)
    if found is None:
        found = Instance(ev.unit.frame_name(function), "function", span=function.node.span, title=function.name)
        found.held = held
        ev.unit.instances[key] = found
        ev.unit.later(lambda: _compile(ev.unit, found, function, arguments, result))
        _signature(found, [leaf.type for leaf in flat], result)
    return found


def _signature(instance: Instance, given: list[Type], result: Type) -> None:
    """Registers of the parameters (types of their scalars) and of the result, known before the code is."""
    instance.parameters = [instance.new_for(kind) for keep, kind in zip(instance.held, given, strict=True) if keep]
    instance.given = instance.taken
    if isinstance(result, t.Void):
        instance.result = NOTHING
        return
    zero = zero_of(result)
    if isinstance(result, t.DsdType):
        instance.result = Value(result, Dsd(result.kind, *(Value(t.I32, instance.new()) for _ in range(3))))
        return
    instance.result = with_leaves(zero, iter([Value(leaf.type, instance.new_for(leaf.type)) for leaf in leaves(zero)]))


def _compile(unit: Any, instance: Instance, function: FunctionRef, arguments: list[Value], result: Type) -> None:
    """Write a function's code."""
    scope = Scope(function.module)
    ev = Evaluator(unit, scope, instance)
    ev.assigned = unit.assigned_in(function.node)
    registers, flags = iter(instance.parameters), iter(instance.held)
    for parameter, value in zip(function.node.parameters, arguments, strict=True):
        own = with_leaves(value, iter([Value(leaf.type, next(registers)) if next(flags) else leaf for leaf in leaves(value)]))
        scope.names[parameter.name] = Constant(own, parameter.span)
        instance.begin(parameter.name, scope.names[parameter.name])
    run_body(ev, function.node, result)


# ---- calls through pointers ----


class Dispatcher:
    """Calls of functions of one type through pointers that only run time knows: a function of its own that compares the pointer
    (a number) with those of all functions whose address is taken, and calls the one that it is."""

    def __init__(self, unit: Any, kind: t.FunctionType, node: syntax.Node) -> None:
        self.unit, self.kind, self.node = unit, kind, node
        self.instance = Instance(unit.unique("pointed"), "function", span=node.span)
        self.known = 0
        """Functions of the unit that were looked at."""
        leaves_of = [leaf for each in kind.parameters for leaf in leaves(zero_of(each))]
        self.instance.held = [True] * (1 + len(leaves_of))
        _signature(self.instance, [t.U32, *(leaf.type for leaf in leaves_of)], kind.result)

    def extend(self) -> bool:
        """Code for functions whose addresses have been taken since; whether there were any."""
        waiting = self.unit.pointed[self.known:]
        self.known += len(waiting)
        for number, function in enumerate(waiting, self.known - len(waiting) + 1):
            if self.unit.type_of_function(function) == self.kind:
                self._add(number, function)
        return bool(waiting)

    def _add(self, number: int, function: FunctionRef) -> None:
        ev = Evaluator(self.unit, Scope(function.module), self.instance)
        ev.emit.span = self.node.span
        pointer, *registers = self.instance.parameters
        other, taken, left = self.instance.label(), self.instance.taken, iter(registers)
        same = ev.emit.scalar("eq", "u32", pointer, ev.emit.constant(number, "u32"))
        ev.emit.emit("branch", a=same, target=other)
        arguments = [with_leaves(zero, iter([Value(leaf.type, next(left)) for leaf in leaves(zero)]))
                     for zero in map(zero_of, self.kind.parameters)]
        found = jump(ev, function, arguments, self.kind.result, self.node)
        if self.instance.result is not NOTHING:
            for target, leaf in zip(leaves(self.instance.result), leaves(found), strict=True):
                ev.emit.set(target.data, leaf)
        ev.emit.emit("return")
        self.instance.place(other)
        self.instance.release(taken)

    def end(self) -> None:
        """Where no function is the one: nothing happens."""
        self.instance.emit("return", self.node.span)


def call_pointer(ev: Evaluator, function: Value, node: syntax.Call) -> Value:
    """A call of a function that only run time knows."""
    kind: t.FunctionType = function.type
    if len(node.arguments) != len(kind.parameters):
        ev.fail(node, f"{kind} takes {len(kind.parameters)} arguments, found {len(node.arguments)}")
    if any(isinstance(each, (t.DsdType, t.Array)) for each in (*kind.parameters, kind.result)):
        ev.fail(node, f"descriptors and arrays are not passed through pointers that are known only at run time: {kind}")
    instance = ev.unit.dispatcher(kind, node, Dispatcher).instance
    values = [ev.evaluate(each, wanted) for each, wanted in zip(node.arguments, kind.parameters, strict=True)]
    ev.frame.calls.add(instance)
    flat = [Value(t.U32, function.data), *(leaf for value in values for leaf in leaves(value))]
    ready = [ev.emit.register(leaf) for leaf in flat]
    for target, source, leaf in zip(instance.parameters, ready, flat, strict=True):
        ev.emit.set(target, Value(leaf.type, source))
    ev.emit.span = node.span
    ev.emit.emit("call", target=instance)
    if isinstance(kind.result, t.Void):
        return NOTHING
    return with_leaves(instance.result, iter([
        ev.copied(leaf) if isinstance(leaf.data, Reg) else leaf for leaf in leaves(instance.result)]))


def run_body(ev: Evaluator, node: syntax.Function, result: Type) -> None:
    """The statements of a function or task, and its end."""
    ev.exits.append(Exit("function", "", "", "", 0, type=result))
    assert node.body is not None
    flow = ev.block(node.body)
    if flow is None:
        if not isinstance(result, t.Void) and not ev.frame.broken:
            ev.fail(node, f"'{node.name}' can end without a value of type {result}")
        ev.emit.emit("end" if ev.frame.kind == "task" else "return")


def run_task(unit: Any, frame: Frame, function: FunctionRef, words: list[Value]) -> None:
    """The code of a task whose parameters hold ``words``."""
    scope = Scope(function.module)
    ev = Evaluator(unit, scope, frame)
    ev.assigned = unit.assigned_in(function.node)
    for parameter, value in zip(function.node.parameters, words, strict=True):
        scope.names[parameter.name] = Constant(value, parameter.span)
        frame.begin(parameter.name, scope.names[parameter.name])
    run_body(ev, function.node, t.VOID)


_EVALUATE[syntax.Call] = call


def _divide_wide(ev: Evaluator, operator: str, a: Value, b: Value, node: syntax.Node) -> Value:
    """``a / b`` or ``a % b`` of 64-bit integers: a function of the library."""
    name = ("divided" if operator == "/" else "remainder") + ("_signed" if a.type.signed else "")
    return call_library(ev, "<wide>", name, [a, b], node)


SOFTWARE["/"] = SOFTWARE["%"] = _divide_wide
