"""The evaluator of statements: done at once where all is known, else written as code of a function."""

from typing import Any

from wsekern.csl import syntax
from wsekern.csl import types as t
from wsekern.csl.emit import Emitter, Unsupported
from wsekern.csl.evaluator import _EVALUATE
from wsekern.csl.flow import Exit, Flow
from wsekern.csl.ir import Frame
from wsekern.csl.loops import Loops
from wsekern.csl.places import dsds_at_start, load, store, to_memory, variable_of
from wsekern.csl.scope import Binding, Broken, Cell, Constant, Held, Scope, Stored, walk
from wsekern.csl.source import MAX_ERRORS, CslError, Diagnostic, Note
from wsekern.csl.types import Type
from wsekern.csl.values import NOTHING, Memory, Reg, Value, leaves, with_leaves, zero_of


class Evaluator(Loops):
    """Evaluates in a scope, and writes code to a frame where there is one."""

    def __init__(self, unit: Any, scope: Scope, frame: Frame | None = None) -> None:
        self.unit, self.scope, self.frame = unit, scope, frame
        self.emit: Any = Emitter(frame, unit) if frame is not None else None
        self.forced = 0
        self.exits: list[Exit] = []
        self.branches = 0
        self.assigned: dict[str, set[str]] = {}
        self.depth = 0

    def inside(self, frame: Frame) -> "Evaluator":
        """An evaluator in the same scope that writes to another frame."""
        inner = Evaluator(self.unit, self.scope, frame)
        inner.assigned, inner.exits, inner.branches = self.assigned, self.exits, self.branches
        inner.emit.span = self.emit.span if self.emit is not None else None
        return inner

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
        except (AssertionError, AttributeError, IndexError, KeyError, TypeError) as error:  # with its line, for who meets it
            said = f"the compiler has a fault that this statement meets: {type(error).__name__}: {error}"
            raise CslError([Diagnostic(said, node.span)]) from error

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
        begun = len(self.frame.variables) if self.runtime else 0
        self.scope = outer.inner()
        try:
            for each in node.statements:
                before = self.frame.taken if self.runtime else 0
                flow = self._recovering(each)
                if self.runtime and not isinstance(each, syntax.Variable):
                    self.frame.release(before)
                if flow is not None:
                    return flow
            return None
        finally:
            self.scope = outer
            if self.runtime:
                self.frame.release(taken)
                self.frame.close(begun)

    def _recovering(self, node: syntax.Node) -> Flow | None:
        """Do a statement; after an error in one of a function's own, which is kept, the others are looked at all the same."""
        try:
            return self.run(node)
        except CslError as error:
            if not self.runtime or any(each.kind != "loop" and each.end for each in self.exits):
                raise
            kept = self.unit.diagnostics
            kept.found += [each for each in error.diagnostics if each not in kept.found]
            if len(kept.errors) >= MAX_ERRORS:
                raise
            if isinstance(node, syntax.Variable):
                self.scope.names[node.name] = Broken(node.span)
            self.frame.broken = True
            return None

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
            value = self.operate(node.operator, old, self.evaluate(node.value), node)
        else:
            value = self.evaluate(node.value, place.type)
        store(self, place, value, node)
        return None

    def variable(self, node: syntax.Variable) -> Flow | None:
        """A declaration in a block."""
        if node.name in self.scope.names:
            self.fail(node, f"'{node.name}' is declared in this block already", Note("here", self.scope.names[node.name].span))
        if node.storage:
            self.fail(node, f"only globals are '{node.storage}'")
        self.scope.names[node.name] = self._comptime_variable(node) if node.comptime or not self.runtime else self._local(node)
        if self.runtime:
            self.frame.begin(node.name, self.scope.names[node.name])
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
        changed = self.assigned.get(node.name, set())
        if node.kind == "const":
            changed = changed & {"address"}
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
        of_dsds = isinstance(kind, t.Array) and isinstance(kind.element, t.DsdType)
        if of_dsds and value is not None and isinstance(value.data, list):
            symbol.initial = dsds_at_start(value)
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
        target = self.frame.new_for(held[0].type)
        self.emit.set(target, Value(held[0].type, source))
        return with_leaves(value, iter([
            Value(each.type, target) if isinstance(each.data, Reg) else each for each in leaves(value)]))

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
        valued = [each for each in walk(node)
                  if isinstance(each, syntax.Break) and each.label == node.label and each.value is not None]
        if len(valued) == 1 and valued[0] is node.statements[-1]:
            return self._value_at_end(node, valued[0].value, wanted)
        if valued and wanted is None:
            wanted = self._type_of_breaks(node)
        exit_ = Exit("block", node.label, self.frame.label(), "", self.branches, type=wanted)
        self.exits.append(exit_)
        self.branches += 1
        self.statements(node)
        self.branches -= 1
        self.exits.pop()
        self.frame.place(exit_.end)
        return exit_.result if exit_.result is not None else NOTHING

    def _value_at_end(self, node: syntax.Block, value: syntax.Expression, wanted: Type | None) -> Value:
        """The value of a block that ends with its only break: known where that one is."""
        outer, begun = self.scope, len(self.frame.variables)
        self.scope = outer.inner()
        try:
            for each in node.statements[:-1]:
                self.run(each)
            return self.evaluate(value, wanted)
        finally:
            self.scope = outer
            self.frame.close(begun)

    def _type_of_breaks(self, node: syntax.Block) -> Type:
        """The type that the values of a block's breaks have in common."""
        scratch = Frame("scratch", "function")
        scratch.taken = self.frame.taken
        with self.unit.without_effects():
            inner = self.inside(scratch)
            exit_ = Exit("block", node.label, scratch.label(), "", inner.branches, types=[])
            inner.exits = [*inner.exits, exit_]
            inner.statements(node)
        return self.common_type(exit_.types or [], node)


_RUN = {
    syntax.Block: Evaluator.block, syntax.Do: Evaluator.do, syntax.Assign: Evaluator.assign,
    syntax.Variable: Evaluator.variable, syntax.If: Evaluator.if_, syntax.While: Evaluator.while_, syntax.For: Evaluator.for_,
    syntax.Break: Evaluator.break_, syntax.Continue: Evaluator.continue_, syntax.Return: Evaluator.return_,
    syntax.Switch: Evaluator.switch_statement,
}
_EVALUATE[syntax.Block] = Evaluator.block_value
