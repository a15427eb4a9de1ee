"""Builtins that only the libraries of ``lib`` use: what of them touches the core, the rectangle, or the host."""

import numpy as np

from wsekern.csl import syntax
from wsekern.csl import types as t
from wsekern.csl.builtins import builtin
from wsekern.csl.emit import machine_type
from wsekern.csl.functions import Evaluator
from wsekern.csl.ir import Frame
from wsekern.csl.values import Reg, Value, Varying
from wsekern.program.instructions import TaskEntry


@builtin("__pe_x", "__pe_y", arguments=0)
def coordinate(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Column or row of the PE in the rectangle."""
    each = getattr(ev.unit.where, node.name[-1])
    if each is None:
        ev.fail(node, "a layout has no coordinates of a PE")
    each = np.asarray(each, np.int64)
    return Value(t.U16, int(each[0]) if (each == each[0]).all() else Varying(each))


@builtin("__scalar", arguments=(2, 3))
def scalar(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@__scalar("op", a, b)``: an operation of the core on numbers."""
    from wsekern.csl.builtins import text_of
    op = text_of(ev, node.arguments[0])
    values = [ev.evaluate(each) for each in node.arguments[1:]]
    if not any(isinstance(each.data, Reg) for each in values):
        return _now(ev, op, values, node)
    found = ev.emit.scalar(op, machine_type(values[0].type), *(ev.emit.register(each) for each in values))
    return Value(values[0].type, found)


def _now(ev: Evaluator, op: str, values: list[Value], node: syntax.Builtin) -> Value:
    from wsekern.csl.values import rounded
    functions = {"sqrt": np.sqrt, "exp": np.exp, "log": np.log, "sin": np.sin, "cos": np.cos, "floor": np.floor, "max": np.maximum,
                 "min": np.minimum, "abs": np.abs}
    with np.errstate(all="ignore"):
        found = functions[op](*(each.data for each in values))
    kind = values[0].type
    if isinstance(kind, t.Float):
        return Value(kind, rounded(float(found), kind))
    return Value(kind, float(found) if isinstance(kind, t.ComptimeFloat) else int(found))


@builtin("__timestamp", arguments=1)
def timestamp(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@__timestamp(part)``: 16 bits of the counter of cycles, part 0 the lowest."""
    part = ev.known_int(ev.compiling(node.arguments[0]), node)
    register = ev.frame.new()
    ev.emit.emit("time", type="u16", dst=register, imm=part)
    return Value(t.U16, register)


@builtin("__has_type", arguments=2)
def has_type(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Whether a value has a type."""
    return Value(t.BOOL, ev.type_of(node.arguments[0]) == ev.type_at(node.arguments[1]))


def teardown_entry(unit: object) -> tuple[TaskEntry, Frame]:
    """The task that runs the handlers of colors in teardown."""
    raise NotImplementedError


