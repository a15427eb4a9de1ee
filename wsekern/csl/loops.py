"""Loops, and what leaves them: ``while``, ``for``, ``break``, ``continue``, ``return``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.csl import syntax, together
from wsekern.csl import types as t
from wsekern.csl.branches import Branches
from wsekern.csl.coerce import coerce
from wsekern.csl.emit import machine_type
from wsekern.csl.flow import GONE, Exit, Flow
from wsekern.csl.places import InMemory, load
from wsekern.csl.scope import Constant, Held, Scope
from wsekern.csl.values import NOTHING, Memory, Reg, Value, by_pe, element_of, leaves


class Loops(Branches):
    """Adds loops to branches."""

    def while_(self, node: syntax.While) -> Flow | None:
        """``while``."""
        return self._while_in_code(node) if self.runtime and not node.inline else self._while_now(node)

    def _while_now(self, node: syntax.While) -> Flow | None:
        if self._counted_at_once(node):
            return None
        for _ in self.unit.budget(node, endless=True):
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

    def _counted_at_once(self, node: syntax.While) -> bool:
        """Do rounds of a layout's loop that counts together, as :meth:`_at_once`, and count on to its end."""
        counted = together.counted(node) if self.unit.layout is not None and not self.unit.together else None
        if counted is None:
            return False
        first, *bounds = (self.evaluate(each) for each in (counted.variable, counted.limit, counted.by))
        if first.type != t.COMPTIME_INT and not isinstance(first.type, t.Int):
            return False
        numbers = counted.numbers(*(self.known_int(each, node.condition) for each in (first, *bounds)))
        if numbers is None:
            return False

        def run(numbers: NDArray[np.int64]) -> None:
            outer, self.scope = self.scope, self.scope.inner()
            self.scope.names[counted.variable.name] = Constant(Value(first.type, by_pe(numbers)), node.span)
            try:
                self.body(node.body)
            finally:
                self.scope = outer

        if not together.done(self.unit, node, numbers, run):
            return False
        for _ in numbers:
            self.run(node.step)
        return True

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
        emit.span = node.span
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
        if self._at_once(node, over):
            return None
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

    def _at_once(self, node: syntax.For, over: Value) -> bool:
        """Do rounds of a layout's loop together where they do not depend on each other; whether that was so."""
        if self.unit.layout is None or not isinstance(over.type, t.RangeType) or not isinstance(over.type.element, t.Int):
            return False
        start, stop, step = (self.known_int(each, node.over) for each in over.data)

        def run(numbers: NDArray[np.int64]) -> None:
            outer, self.scope = self.scope, self.scope.inner()
            each = [numbers, (numbers - start) // step]
            values = list(map(by_pe, each))
            self._name(node, Value(over.type.element, values[0]), Value(t.U16, values[1]))
            try:
                self.body(node.body)
            finally:
                self.scope = outer

        return together.done(self.unit, node, range(start, stop, step), run)

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
        emit.span = node.span
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
        begun = len(self.frame.variables)
        for name, binding in self.scope.names.items():
            self.frame.begin(name, binding)
        try:
            self._loop(node, again, end)
        finally:
            self.scope = outer
            self.frame.close(begun)

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
        emit.span = node.span
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
        if exit_.types is not None:
            exit_.types.append(value.type)
        elif exit_.result is None:
            kind = exit_.type or value.type
            exit_.result = self._result(kind, coerce(self, value, kind, node), node)
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
