"""Branches: ``if`` and ``switch``, as statements and as values."""

from abc import abstractmethod

from wsekern.csl import syntax
from wsekern.csl import types as t
from wsekern.csl.coerce import coerce
from wsekern.csl.evaluator import _EVALUATE, Expressions
from wsekern.csl.flow import GONE, Exit, Flow
from wsekern.csl.ir import Frame
from wsekern.csl.places import variable_of
from wsekern.csl.types import Type
from wsekern.csl.values import NOTHING, Reg, Value, Varying, leaves, shown


class Branches(Expressions):
    """Adds branches to expressions; :class:`wsekern.csl.functions.Evaluator` has the statements inside them."""

    exits: list[Exit]
    branches: int
    assigned: dict[str, set[str]]

    @abstractmethod
    def run(self, node: syntax.Node) -> Flow | None:
        """Do a statement; how it ended, None where the next one follows."""

    @abstractmethod
    def block(self, node: syntax.Block) -> Flow | None:
        """Statements in a scope of their own."""

    @abstractmethod
    def inside(self, frame: Frame) -> "Branches":
        """An evaluator in the same scope that writes to another frame."""

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
        self._at_run_time(kind, node)
        frame, emit = self.frame, self.emit
        otherwise, after = frame.label(), frame.label()
        emit.unless(condition, otherwise)
        result = self._result(kind, self.evaluate(node.then, kind), node)
        emit.jump(after)
        frame.place(otherwise)
        self._set(result, self.evaluate(other, kind), node)
        frame.place(after)
        return result

    def _at_run_time(self, kind: Type, node: syntax.Node) -> None:
        if t.is_comptime(kind):
            self.fail(node, f"a {kind} cannot depend on what is known only at run time; give a branch a type with @as")

    def common_type(self, kinds: list[Type], node: syntax.Node) -> Type:
        """The type of a value that comes from one of several branches."""
        found: Type = kinds[0] if kinds else t.VOID
        for each in kinds[1:]:
            both = t.peer(found, each)
            if both is None:
                self.fail(node, f"the branches have the types {found} and {each}")
            found = both
        if not isinstance(found, t.Void):
            self._at_run_time(found, node)
        return found

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
        with self.unit.without_effects():
            return self.inside(scratch).evaluate(node).type

    # ---- switch

    def switch(self, node: syntax.Switch, wanted: Type | None = None) -> Value:
        """``switch`` as a value."""
        exit_ = Exit("value", node.label, branches=self.branches, type=wanted)
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
        if exit_.kind == "value" and exit_.type is None:
            exit_.type = self.common_type([self.type_of(case.body.expression) for case in node.cases
                                           if isinstance(case.body, syntax.Do)], node)
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


_EVALUATE[syntax.Choice] = Branches.choice
_EVALUATE[syntax.Switch] = Branches.switch
