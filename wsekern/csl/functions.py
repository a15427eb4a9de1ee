"""Statements, and calls of functions: interpreted where all is known, compiled once for every PE program otherwise."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from wsekern.csl import syntax
from wsekern.csl import types as t
from wsekern.csl.coerce import coerce
from wsekern.csl.emit import Emitter, Unsupported, machine_type
from wsekern.csl.evaluator import _EVALUATE, Expressions
from wsekern.csl.ir import Frame
from wsekern.csl.places import InMemory, load, store, to_memory, variable_of
from wsekern.csl.scope import Binding, Cell, Constant, Held, Scope, Stored
from wsekern.csl.source import Note
from wsekern.csl.types import Type
from wsekern.csl.values import (
    NOTHING,
    Memory,
    Reg,
    Value,
    Varying,
    element_of,
    leaves,
    shown,
    with_leaves,
    zero_of,
)

MAX_CALLS = 200
"""Calls inside each other while the program is compiled."""


class Flow(NamedTuple):
    """How a statement ended, where not by reaching the next one: "break", "continue", "return" with a label and value, or "gone":
    code behind it is never reached."""

    kind: str
    label: str = ""
    value: Value | None = None


GONE = Flow("gone")


@dataclass(eq=False)
class Exit:
    """A loop, labelled block or expanded function that statements of code can leave."""

    kind: str
    label: str
    end: str = ""
    again: str = ""
    """Where ``continue`` goes on."""
    branches: int = 0
    """Branches of code around it."""
    result: Value | None = None
    type: Type | None = None
    used: bool = False


@dataclass(frozen=True)
class Intrinsic:
    """A function of a library that is the compiler's: ``run(evaluator, call, arguments)``."""

    name: str
    run: Any


class Evaluator(Expressions):
    """Evaluates in a scope, and writes code to a frame where there is one."""

    def __init__(self, unit: Any, scope: Scope, frame: Frame | None = None) -> None:
        self.unit, self.scope, self.frame = unit, scope, frame
        self.emit: Any = Emitter(frame, unit) if frame is not None else None
        self.forced = 0
        self.exits: list[Exit] = []
        self.branches = 0
        self.assigned: dict[str, set[str]] = {}
        self.depth = 0

    # ---- statements

    def run(self, node: syntax.Node) -> Flow | None:
        """Do a statement; how it ended, None where the next one follows."""
        if self.emit is not None:
            self.emit.span = node.span
        handler = _RUN.get(type(node))
        if handler is None:
            self.evaluate(node)
            return None
        try:
            return handler(self, node)
        except Unsupported as error:
            self.fail(node, f"not supported yet: {error}")

    def block(self, node: syntax.Block) -> Flow | None:
        """Statements in a scope of their own."""
        if node.comptime:
            self.forced += 1
            try:
                return self._labelled(node)
            finally:
                self.forced -= 1
        return self._labelled(node)

    def _labelled(self, node: syntax.Block) -> Flow | None:
        if node.label:
            self.block_value(node)
            return None
        return self.statements(node)

    def statements(self, node: syntax.Block) -> Flow | None:
        """Those of a block; registers of its variables are free afterwards."""
        outer, taken = self.scope, self.frame.taken if self.runtime else 0
        self.scope = outer.inner()
        try:
            for each in node.statements:
                before = self.frame.taken if self.runtime else 0
                flow = self.run(each)
                if self.runtime and not isinstance(each, syntax.Variable):
                    self.frame.release(before)
                if flow is not None:
                    return flow
            return None
        finally:
            self.scope = outer
            if self.runtime:
                self.frame.release(taken)

    def do(self, node: syntax.Do) -> Flow | None:
        """An expression for its effect."""
        self.evaluate(node.expression)
        if self.runtime and self.frame.ops and self.frame.ops[-1].form == "vector":
            self.frame.ops[-1].fields["done"] = None  # nobody asks whether it ended early
        return None

    def assign(self, node: syntax.Assign) -> Flow | None:
        """``target = value``."""
        if isinstance(node.target, syntax.Name) and node.target.name == "_":
            self.evaluate(node.value)
            return None
        place = self.place(node.target)
        if node.operator:
            old = load(self, place, node.target)
            value = self.operate(node.operator, old, self._alike(node, old), node)
        else:
            value = self.evaluate(node.value, place.type)
        store(self, place, value, node)
        return None

    def _alike(self, node: syntax.Assign, old: Value) -> Value:
        shift = node.operator in ("<<", ">>")
        return self.evaluate(node.value) if shift else self.evaluate(node.value)

    def variable(self, node: syntax.Variable) -> Flow | None:
        """A declaration in a block."""
        if node.name in self.scope.names:
            self.fail(node, f"'{node.name}' is declared in this block already", Note("here", self.scope.names[node.name].span))
        if node.storage:
            self.fail(node, f"only globals are '{node.storage}'")
        self.scope.names[node.name] = self._comptime_variable(node) if node.comptime or not self.runtime else self._local(node)
        return None

    def _comptime_variable(self, node: syntax.Variable) -> Binding:
        kind = self.type_at(node.type) if node.type is not None else None
        value = self.compiling(node.value, kind) if node.value is not None else zero_of(kind or t.VOID)
        if node.kind == "const":
            return Constant(value, node.span)
        return Cell(kind or value.type, value, node.span)

    def _local(self, node: syntax.Variable) -> Binding:
        kind = self.type_at(node.type) if node.type is not None else None
        before = self.frame.taken
        value = self.evaluate(node.value, kind) if node.value is not None else None
        kind = kind or (value.type if value is not None else t.VOID)
        changed = self.assigned.get(node.name, set()) if node.kind == "var" else self.assigned.get(node.name, set()) & {"address"}
        if isinstance(kind, (t.ComptimeInt, t.ComptimeFloat)) and changed:
            self.fail(node, f"a variable of type {kind} exists only while the program is compiled: give it a type, or write "
                            "'comptime var'")
        if value is not None and not changed and not isinstance(value.data, Memory):
            return Constant(value if value.known else self._own(value, before), node.span)
        if "address" in changed or self._in_memory(kind):
            return self._stored(node, kind, value)
        if value is None and not changed:
            value = zero_of(kind)
        held = variable_of(self, kind, self._own(value, before) if value is not None and not value.known else value, changed)
        return Held(kind, held, node.span)

    @staticmethod
    def _in_memory(kind: Type) -> bool:
        if isinstance(kind, t.Struct):
            return kind.union or any(Evaluator._in_memory(each) for each in kind.types)
        return isinstance(kind, t.Array)

    def _stored(self, node: syntax.Variable, kind: Type, value: Value | None) -> Binding:
        symbol = self.unit.local_symbol(self.frame, kind, node)
        to_memory(self, Memory(symbol), value if value is not None else zero_of(kind), node)
        return Stored(symbol, node.span)

    def _own(self, value: Value, before: int) -> Value:
        """A value in registers that belong to nobody else, with the others that it took on the way free again."""
        held = [each for each in leaves(value) if isinstance(each.data, Reg)]
        if len(held) != 1:
            return with_leaves(value, iter([self.copied(each) if isinstance(each.data, Reg) and each.data.number < before
                                            else each for each in leaves(value)]))
        source = held[0].data
        self.frame.release(before)
        target = self.frame.new()
        if source != target:
            self.emit.emit("scalar", op="mov", type=machine_type(held[0].type), dst=target, a=source)
        return with_leaves(value, iter([Value(each.type, target) if isinstance(each.data, Reg) else each for each in leaves(value)]))

    # ---- branches

    def if_(self, node: syntax.If) -> Flow | None:
        """``if``: only the branch that a known condition leaves is looked at."""
        condition = self.evaluate(node.condition, t.BOOL)
        known = self.known_bool(condition, node.condition)
        if known is not None:
            taken = node.then if known else node.otherwise
            return self.body(taken) if taken is not None else None
        frame, emit = self.frame, self.emit
        otherwise, after = frame.label(), frame.label()
        emit.unless(condition, otherwise)
        first = self._branch(node.then)
        if node.otherwise is None:
            frame.place(otherwise)
            return None
        if first is None:
            emit.jump(after)
        frame.place(otherwise)
        second = self._branch(node.otherwise)
        frame.place(after)
        return GONE if first is not None and second is not None else None

    def body(self, node: syntax.Node) -> Flow | None:
        """A block, or a statement in a scope of its own."""
        if isinstance(node, syntax.Block):
            return self.block(node)
        outer, self.scope = self.scope, self.scope.inner()
        try:
            return self.run(node)
        finally:
            self.scope = outer

    def _branch(self, node: syntax.Node) -> Flow | None:
        """A body that code may or may not reach."""
        self.branches += 1
        taken = self.frame.taken
        try:
            return self.body(node)
        finally:
            self.branches -= 1
            self.frame.release(taken)

    def choice(self, node: syntax.Choice, wanted: Type | None) -> Value:
        """``if (c) a else b`` as a value."""
        condition = self.evaluate(node.condition, t.BOOL)
        known = self.known_bool(condition, node.condition)
        if known is not None:
            taken = node.then if known else node.otherwise
            if taken is None:
                return NOTHING
            return self.evaluate(taken, wanted)
        if node.otherwise is None:
            return self._effect(condition, node)
        return self._either(condition, node, node.otherwise, wanted)

    def _effect(self, condition: Value, node: syntax.Choice) -> Value:
        """``if (c) f();`` whose condition is known only at run time."""
        after = self.frame.label()
        self.emit.unless(condition, after)
        self._branch(node.then)
        self.frame.place(after)
        return NOTHING

    def _either(self, condition: Value, node: syntax.Choice, other: syntax.Expression, wanted: Type | None) -> Value:
        kind = wanted or t.peer(self.type_of(node.then), self.type_of(other))
        if kind is None:
            self.fail(node, f"the branches have the types {self.type_of(node.then)} and {self.type_of(other)}")
        if isinstance(kind, t.Void):
            return self._both(condition, node, other)
        if t.is_comptime(kind):
            self.fail(node, f"a {kind} cannot depend on what is known only at run time; give a branch a type with @as")
        frame, emit = self.frame, self.emit
        otherwise, after = frame.label(), frame.label()
        emit.unless(condition, otherwise)
        result = self._result(kind, self.evaluate(node.then, kind), node)
        emit.jump(after)
        frame.place(otherwise)
        self._set(result, self.evaluate(other, kind), node)
        frame.place(after)
        return result

    def _both(self, condition: Value, node: syntax.Choice, other: syntax.Expression) -> Value:
        frame = self.frame
        otherwise, after = frame.label(), frame.label()
        self.emit.unless(condition, otherwise)
        self._branch(node.then)
        self.emit.jump(after)
        frame.place(otherwise)
        self._branch(other)
        frame.place(after)
        return NOTHING

    def _result(self, kind: Type, value: Value, node: syntax.Node) -> Value:
        """New registers that hold ``value``, for what other branches may set too."""
        return variable_of(self, kind, value, {"all"})

    def _set(self, result: Value, value: Value, node: syntax.Node) -> None:
        for target, source in zip(leaves(result), leaves(value), strict=True):
            if isinstance(target.data, Reg):
                self.emit.set(target.data, Value(target.type, source.data))

    def type_of(self, node: syntax.Expression) -> Type:
        """The type of an expression, without its effects."""
        if not self.runtime:
            return self.evaluate(node).type
        frame = self.frame
        scratch = Frame("scratch", "function")
        scratch.taken = frame.taken
        inner = Evaluator(self.unit, self.scope, scratch)
        inner.assigned, inner.exits, inner.branches = self.assigned, self.exits, self.branches
        with self.unit.without_effects():
            return inner.evaluate(node).type

    # ---- switch

    def switch(self, node: syntax.Switch, wanted: Type | None = None) -> Value:
        """``switch`` as a value."""
        exit_ = Exit("switch", node.label, branches=self.branches, type=wanted)
        flow = self._switch(node, exit_)
        if flow is not None and flow.kind == "value":
            return flow.value if wanted is None else coerce(self, flow.value, wanted, node)
        return exit_.result if exit_.result is not None else NOTHING

    def switch_statement(self, node: syntax.Switch) -> Flow | None:
        """``switch`` for its effect."""
        flow = self._switch(node, Exit("switch", node.label, branches=self.branches))
        return None if flow is not None and flow.kind == "value" else flow

    def _switch(self, node: syntax.Switch, exit_: Exit) -> Flow | None:
        subject = self.evaluate(node.subject)
        if isinstance(subject.data, Varying):
            raise self.split(subject.data)
        if isinstance(subject.data, Reg):
            return self._switch_in_code(node, subject, exit_)
        for case in node.cases:
            values = [self.evaluate(each, subject.type) for each in case.values]
            if not case.values or any(each.data == subject.data for each in values):
                return self._case(case)
        self.fail(node, f"no case for {shown(subject)}, and no 'else'")

    def _case(self, case: syntax.Case) -> Flow | None:
        if isinstance(case.body, syntax.Do):
            return Flow("value", "", self.evaluate(case.body.expression))
        return self.body(case.body)

    def _switch_in_code(self, node: syntax.Switch, subject: Value, exit_: Exit) -> Flow | None:
        frame, emit = self.frame, self.emit
        after, flows, has_else = frame.label(), [], False
        for case in node.cases:
            following, here = frame.label(), frame.label()
            for k, each in enumerate(case.values):
                value = self.compiling(each, subject.type)
                same = Value(t.BOOL, emit.binary("==", subject.type, subject, value))
                if k + 1 < len(case.values):
                    differs = frame.label()
                    emit.unless(same, differs)
                    emit.jump(here)
                    frame.place(differs)
                else:
                    emit.unless(same, following)
            frame.place(here)
            has_else = has_else or not case.values
            flow = self._case_in_code(case, exit_, node)
            flows.append(flow)
            if flow is None:
                emit.jump(after)
            frame.place(following)
        frame.place(after)
        return GONE if has_else and all(flow is not None for flow in flows) else None

    def _case_in_code(self, case: syntax.Case, exit_: Exit, node: syntax.Node) -> Flow | None:
        if not isinstance(case.body, syntax.Do):
            return self._branch(case.body)
        self.branches += 1
        value = self.evaluate(case.body.expression, exit_.type)
        self.branches -= 1
        if isinstance(value.type, t.Void):
            return None
        if exit_.result is None:
            exit_.result = self._result(value.type, value, node)
        else:
            self._set(exit_.result, coerce(self, value, exit_.result.type, node), node)
        return None

    # ---- loops

    def while_(self, node: syntax.While) -> Flow | None:
        """``while``."""
        return self._while_in_code(node) if self.runtime and not node.inline else self._while_now(node)

    def _while_now(self, node: syntax.While) -> Flow | None:
        for _ in self.unit.budget(node):
            condition = self.known_bool(self.evaluate(node.condition, t.BOOL), node.condition)
            if condition is None:
                self.fail(node.condition, "the condition of a loop of the compiler is known only at run time")
            if not condition:
                return None
            stop, flow = self._ended(self.body(node.body), node.label)
            if stop:
                return flow
            if node.step is not None:
                self.run(node.step)
        return None

    @staticmethod
    def _ended(flow: Flow | None, label: str) -> tuple[bool, Flow | None]:
        """Whether a loop ends after its body ended with ``flow``, and how."""
        if flow is None:
            return False, None
        mine = flow.label in ("", label)
        if flow.kind == "continue" and mine:
            return False, None
        if flow.kind == "break" and mine:
            return True, None
        return True, flow

    def _while_in_code(self, node: syntax.While) -> Flow | None:
        frame, emit = self.frame, self.emit
        top, again, end = frame.label(), frame.label(), frame.label()
        frame.place(top)
        taken = frame.taken
        condition = self.evaluate(node.condition, t.BOOL)
        known = self.known_bool(condition, node.condition)
        if known is False:
            return None
        if known is None:
            emit.unless(condition, end)
        frame.release(taken)
        exit_ = self._loop(node, again, end)
        frame.place(again)
        if node.step is not None:
            self.run(node.step)
            frame.release(taken)
        emit.jump(top)
        frame.place(end)
        return GONE if known and not exit_.used else None

    def _loop(self, node: Any, again: str, end: str) -> Exit:
        """The body of a loop of code."""
        exit_ = Exit("loop", node.label, end, again, self.branches)
        self.exits.append(exit_)
        self._branch(node.body)
        self.exits.pop()
        return exit_

    def for_(self, node: syntax.For) -> Flow | None:
        """``for`` over a range or an array."""
        over = self.evaluate(node.over)
        if not isinstance(over.type, (t.RangeType, t.Array)):
            self.fail(node.over, f"'for' goes over a range or an array, not a value of type {over.type}")
        if self.runtime and not node.inline:
            return self._for_in_code(node, over)
        return self._for_now(node, over)

    def _for_now(self, node: syntax.For, over: Value) -> Flow | None:
        elements = self._elements(over, node)
        for k, (element, _) in enumerate(zip(elements, self.unit.budget(node), strict=False)):
            outer, self.scope = self.scope, self.scope.inner()
            self._name(node, element, Value(t.U16, k))
            try:
                stop, flow = self._ended(self.body(node.body), node.label)
            finally:
                self.scope = outer
            if stop:
                return flow
        return None

    def _elements(self, over: Value, node: syntax.For) -> Any:
        if isinstance(over.type, t.Array):
            if not over.known:
                self.fail(node.over, "the elements of this array are known only at run time")
            return (element_of(over, k) for k in range(over.type.count))
        start, stop, step = (self.known_int(each, node.over) for each in over.data)
        return (Value(over.type.element, k) for k in range(start, stop, step))

    def _name(self, node: syntax.For, element: Value, counter: Value) -> None:
        self.scope.names[node.names[0]] = Constant(element, node.span)
        if len(node.names) > 1:
            self.scope.names[node.names[1]] = Constant(counter, node.span)

    def _for_in_code(self, node: syntax.For, over: Value) -> Flow | None:
        if isinstance(over.type, t.Array):
            return self._for_elements(node, over)
        kind, (start, stop, step) = over.type.element, over.data
        if t.is_comptime(kind):
            self.fail(node.over, "the counter of a loop of code needs a type, such as @range(i16, ...)")
        by = self.known_int(step, node.over)
        frame, emit = self.frame, self.emit
        taken = frame.taken
        counter = self.copied(Value(kind, start.data))
        limit = stop if isinstance(stop.data, Reg) and self._stays(stop) else self.copied(Value(kind, stop.data))
        one = Value(kind, emit.register(Value(kind, by)))
        position = self.copied(Value(t.U16, 0)) if len(node.names) > 1 else None
        top, again, end = frame.label(), frame.label(), frame.label()
        known = [self.known_int_or_none(each) for each in (start, stop)]
        if None in known or not (known[0] < known[1] if by > 0 else known[0] > known[1]):
            emit.unless(Value(t.BOOL, emit.binary("<" if by > 0 else ">", kind, counter, limit)), end)
        frame.place(top)
        self._in_loop(node, counter, position, again, end)
        frame.place(again)
        emit.emit("scalar", op="add", type=machine_type(kind), dst=counter.data, a=counter.data, b=one.data)
        if position is not None:
            emit.emit("scalar", op="add", type="u16", dst=position.data, a=position.data, b=emit.constant(1, "u16"))
        emit.unless(Value(t.BOOL, emit.binary(">=" if by > 0 else "<=", kind, counter, limit)), top)
        frame.place(end)
        frame.release(taken)
        return None

    def _stays(self, value: Value) -> bool:
        """Whether nobody changes the register of a value: it is no variable's."""
        return not any(isinstance(each, Held) and any(leaf.data == value.data for leaf in leaves(each.value))
                       for each in self._bindings())

    def _bindings(self) -> Any:
        scope: Scope | None = self.scope
        while scope is not None:
            yield from scope.names.values()
            scope = scope.above

    def _in_loop(self, node: syntax.For, element: Value, position: Value | None, again: str, end: str) -> None:
        outer, self.scope = self.scope, self.scope.inner()
        self._name(node, element, position if position is not None else NOTHING)
        try:
            self._loop(node, again, end)
        finally:
            self.scope = outer

    def _for_elements(self, node: syntax.For, over: Value) -> Flow | None:
        """``for`` over an array: a loop over its places."""
        frame, emit = self.frame, self.emit
        taken, kind = frame.taken, over.type.element
        memory = over.data if isinstance(over.data, Memory) else Memory(self.unit.constant_symbol(over))
        counter = self.copied(Value(t.U16, 0))
        top, again, end = frame.label(), frame.label(), frame.label()
        if over.type.count == 0:
            return None
        frame.place(top)
        before = frame.taken
        element = load(self, InMemory(memory.moved(0, (counter.data, kind.bytes)), kind), node)
        self._in_loop(node, element, counter, again, end)
        frame.release(before)
        frame.place(again)
        emit.emit("scalar", op="add", type="u16", dst=counter.data, a=counter.data, b=emit.constant(1, "u16"))
        emit.unless(Value(t.BOOL, emit.binary(">=", t.U16, counter, Value(t.U16, over.type.count))), top)
        frame.place(end)
        frame.release(taken)
        return None

    # ---- leaving

    def break_(self, node: syntax.Break) -> Flow | None:
        """``break``."""
        if not self.runtime:
            return Flow("break", node.label, self.evaluate(node.value) if node.value is not None else None)
        exit_ = self._exit(node, ("loop", "block") if node.label else ("loop",))
        if node.value is not None:
            self._leave_with(exit_, self.evaluate(node.value, exit_.type), node)
        exit_.used = True
        self.emit.jump(exit_.end)
        return GONE

    def continue_(self, node: syntax.Continue) -> Flow | None:
        """``continue``."""
        if not self.runtime:
            return Flow("continue", node.label)
        self.emit.jump(self._exit(node, ("loop",)).again)
        return GONE

    def _exit(self, node: Any, kinds: tuple[str, ...]) -> Exit:
        for exit_ in reversed(self.exits):
            if exit_.kind == "function":
                break
            if exit_.kind in kinds and node.label in ("", exit_.label):
                return exit_
        word = "break" if isinstance(node, syntax.Break) else "continue"
        self.fail(node, f"no label '{node.label}' around this '{word}'" if node.label else f"no loop around this '{word}'")

    def _leave_with(self, exit_: Exit, value: Value, node: syntax.Node) -> None:
        if exit_.result is None:
            exit_.result = self._result(value.type, value, node)
        else:
            self._set(exit_.result, coerce(self, value, exit_.result.type, node), node)

    def return_(self, node: syntax.Return) -> Flow | None:
        """``return``: out of a function that is interpreted or expanded, or an instruction."""
        exit_ = next((each for each in reversed(self.exits) if each.kind == "function"), None)
        wanted = exit_.type if exit_ is not None else None
        if node.value is None:
            value = NOTHING
        elif wanted is not None and isinstance(wanted, t.Void):
            value = self.evaluate(node.value)
            if not isinstance(value.type, t.Void):
                self.fail(node, f"this function returns nothing, found a value of type {value.type}")
        else:
            value = self.evaluate(node.value, wanted)
        if not self.runtime or exit_ is None:
            return Flow("return", "", value)
        if wanted is not None and node.value is None and not isinstance(wanted, t.Void):
            self.fail(node, f"expected a value of type {wanted} after 'return'")
        if exit_.end == "":  # a function of its own
            if not isinstance(value.type, t.Void):
                self._set(self.frame.result, value, node)
            self.emit.emit("end" if self.frame.kind == "task" else "return")
            return GONE
        if self.branches == exit_.branches and not exit_.used:
            return Flow("return", "", value)
        if not isinstance(value.type, t.Void):
            self._leave_with(exit_, value, node)
        exit_.used = True
        self.emit.jump(exit_.end)
        return GONE

    # ---- values of blocks

    def block_value(self, node: syntax.Block, wanted: Type | None = None) -> Value:
        """The value of a labelled block: that of the break which leaves it."""
        if not node.label:
            if not node.statements:
                return NOTHING
            self.block(node)
            return NOTHING
        if not self.runtime:
            flow = self.statements(node)
            if flow is not None and flow.kind == "break" and flow.label == node.label:
                return flow.value if flow.value is not None else NOTHING
            return NOTHING
        exit_ = Exit("block", node.label, self.frame.label(), "", self.branches, type=wanted)
        self.exits.append(exit_)
        self.branches += 1
        self.statements(node)
        self.branches -= 1
        self.exits.pop()
        self.frame.place(exit_.end)
        return exit_.result if exit_.result is not None else NOTHING


_RUN = {
    syntax.Block: Evaluator.block, syntax.Do: Evaluator.do, syntax.Assign: Evaluator.assign, syntax.Variable: Evaluator.variable,
    syntax.If: Evaluator.if_, syntax.While: Evaluator.while_, syntax.For: Evaluator.for_, syntax.Break: Evaluator.break_,
    syntax.Continue: Evaluator.continue_, syntax.Return: Evaluator.return_, syntax.Switch: Evaluator.switch_statement,
}
_EVALUATE[syntax.Choice] = Evaluator.choice
_EVALUATE[syntax.Switch] = Evaluator.switch
_EVALUATE[syntax.Block] = Evaluator.block_value
