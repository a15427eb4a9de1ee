"""Builtins that only the libraries of ``lib`` use: what of them touches the core, the rectangle, or the host."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from wsekern.csl import syntax
from wsekern.csl import types as t
from wsekern.csl.builtins import builtin, text_of
from wsekern.csl.calls import call_library, call_values
from wsekern.csl.directions import ports_of_value
from wsekern.csl.emit import machine_type
from wsekern.csl.functions import Evaluator
from wsekern.csl.ir import Frame
from wsekern.csl.places import to_memory
from wsekern.csl.scope import Scope
from wsekern.csl.values import NOTHING, Memory, Reg, Symbol, Value, by_pe, rounded, shown
from wsekern.errors import InputError
from wsekern.fabric.routes import Position, make_route
from wsekern.program.instructions import TaskEntry


@builtin("__pe_x", "__pe_y", arguments=0)
def coordinate(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Column or row of the PE in the rectangle."""
    each = getattr(ev.unit.where, node.name[-1])
    if each is None:
        ev.fail(node, "a layout has no coordinates of a PE")
    each = np.asarray(each, np.int64)
    return Value(t.U16, by_pe(each))


@builtin("__scalar", arguments=(2, 3))
def scalar(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@__scalar("op", a, b)``: an operation of the core on numbers."""
    op = text_of(ev, node.arguments[0])
    values = [ev.evaluate(each) for each in node.arguments[1:]]
    if not any(isinstance(each.data, Reg) for each in values):
        return _now(ev, op, values, node)
    found = ev.emit.scalar(op, machine_type(values[0].type), *(ev.emit.register(each) for each in values))
    return Value(values[0].type, found)


def _now(ev: Evaluator, op: str, values: list[Value], node: syntax.Builtin) -> Value:
    functions = {"sqrt": np.sqrt, "exp": np.exp, "log": np.log, "sin": np.sin, "cos": np.cos, "floor": np.floor,
                 "max": np.maximum, "min": np.minimum, "abs": np.abs}
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


@builtin("__random_words", arguments=1)
def random_words(ev: Evaluator, node: syntax.Builtin) -> Value:
    """States of the shift register x^23 + x^18 + 1 after 128, 256, ... steps: 23 words of 16 bits."""
    state, words = ev.known_int(ev.compiling(node.arguments[0]), node), []
    for _ in range(23):
        for _ in range(128):
            state = (state << 1 | ((state >> 22) ^ (state >> 17)) & 1) & 0xFFFFFFFF
        words.append(state & 0xFFFF)
    return Value(t.Array((23,), t.U16), np.array(words, np.uint16))


@builtin("random16", arguments=0)
def random16(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Sixteen bits of the PE's shift register."""
    if not ev.runtime:
        ev.fail(node, "@random16 is an instruction of a PE, and this is evaluated while the program is compiled")
    return call_library(ev, "<random>", "random_u16", [], node)


@builtin("fscaleh", "fscales", arguments=3)
def fscale(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@fscales(pointer, number, exponent)``: the number by two to the exponent, where the pointer leads."""
    kind = t.F32 if node.name == "fscales" else t.F16
    pointer = ev.evaluate(node.arguments[0])
    if not isinstance(pointer.type, t.Pointer) or pointer.type.element != kind:
        ev.fail(node.arguments[0], f"expected a pointer to {kind}, found {shown(pointer)}")
    given = [ev.evaluate(node.arguments[1], kind), ev.evaluate(node.arguments[2], t.I16)]
    found = call_library(ev, "<math>", f"fscale_{kind}", given, node)
    to_memory(ev, ev.memory_at(pointer, node), found, node)
    return NOTHING


# ---- what PEs tell the host ----

HOST_COLOR = 23
"""Color of words for the host: one of those that are reserved for its copies."""


@dataclass(frozen=True)
class Site:
    """A place in a program that tells the host something: its number in the first word, then a word for each value (three for
    time stamps)."""

    kind: str
    """"print", "trace" or "trap"."""
    text: str
    types: tuple[str, ...]


def tell(ev: Evaluator, kind: str, text: str, values: list[Value], node: syntax.Node, types: tuple[str, ...] = ()) -> None:
    """Code that tells the host."""
    site = Site(kind, text, types or tuple(machine_type(each.type) for each in values))
    number = ev.unit.site(site)
    for each in [Value(t.U32, number), *values]:
        ev.emit.emit("tell", c=ev.emit.register(each))


@builtin("__print", arguments=2)
def print_(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@__print(text, .{values})``."""
    if not ev.runtime:
        return NOTHING
    text, given = text_of(ev, node.arguments[0]), ev.evaluate(node.arguments[1])
    values = list(given.data.values()) if isinstance(given.data, dict) else []
    marks = re.findall(r"\{(\w*)\}", text.replace("{{", "").replace("}}", ""))
    if len(marks) != len(values):
        ev.fail(node, f"the text has {len(marks)} places for values, found {len(values)}")
    tell(ev, "print", text, [_scalar_of(ev, each, node) for each in values], node)
    return NOTHING


def _scalar_of(ev: Evaluator, value: Value, node: syntax.Node) -> Value:
    """A value that one word holds."""
    if isinstance(value.type, t.ComptimeInt):
        return Value(t.I32, value.data)
    if isinstance(value.type, t.ComptimeFloat):
        return Value(t.F32, value.data)
    return value


@builtin("__trace", arguments=2)
def trace(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@__trace(key, value)``."""
    key, value = text_of(ev, node.arguments[0]), ev.evaluate(node.arguments[1])
    if isinstance(value.data, bytes):
        tell(ev, "trace", f"{key}\0{value.data.decode('utf-8', 'replace')}", [], node)
    else:
        tell(ev, "trace", key, [_scalar_of(ev, value, node)], node)
    return NOTHING


@builtin("__trace_time", arguments=1)
def trace_time(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@__trace_time(key)``: a time stamp."""
    parts = []
    for part in range(3):
        register = ev.frame.new()
        ev.emit.emit("time", type="u16", dst=register, imm=part)
        parts.append(Value(t.U16, register))
    tell(ev, "trace", text_of(ev, node.arguments[0]), parts, node, ("time",))
    return NOTHING


# ---- routes and teardown ----


@builtin("__leave_teardown", arguments=1)
def leave_teardown(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Let a color move again."""
    color = ev.known_int(ev.evaluate(node.arguments[0]), node)
    if ev.unit.effects.teardown:
        known = Memory(_known_torn(ev.unit))
        others = ev.emit.constant(0xFFFFFFFF ^ (1 << color), "u32")
        ev.emit.store(known, Value(t.U32, ev.emit.scalar("and", "u32", ev.emit.load(known, t.U32), others)))
    ev.emit.emit("leave_teardown", imm=color)
    return NOTHING


def _known_torn(unit: Any) -> Symbol:
    """Memory with a bit for each color whose handler has run since it went into teardown, or that began there."""
    name = "__known_torn"
    found = next((symbol for symbol in unit.symbols if symbol.name == name), None)
    if found is None:
        began = sum(1 << color for color, (fields, _) in unit.effects.colors.items()
                    if "teardown" in fields and fields["teardown"].data)
        found = Symbol(name, t.U32, Value(t.U32, began), False, used=True)
        unit.symbols.append(found)
    return found


@builtin("__torn_down", "__flushed", arguments=0)
def ended(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Colors in teardown, or output queues that have been flushed, a bit each."""
    register = ev.frame.new()
    ev.emit.emit(node.name.removeprefix("__"), dst=register)
    return Value(t.U32, register)


@builtin("__task_priority", arguments=2)
def task_priority(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Priority of a task."""
    number, level = (ev.known_int(ev.evaluate(each), node) for each in node.arguments)
    ev.unit.effects.priorities[number] = "high" if level else "low"
    return NOTHING


@builtin("__route", arguments=3)
def route(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@__route(color, what, value)``: change a part of a color's route; the whole is put on the router at once."""
    color, what = ev.known_int(ev.evaluate(node.arguments[0]), node), text_of(ev, node.arguments[1])
    value = ev.evaluate(node.arguments[2])
    if not ev.runtime:
        ev.fail(node, "a route is changed by code of a PE; the layout paints it with @set_color_config")
    parts = ev.unit.routes.setdefault(color, dict(ev.unit.painted(color)))
    change_route(parts, what, value)
    if what in ("clear_current_position", "invalid"):
        ev.emit.emit("position", imm=color, a=ev.emit.constant(0, "u16"))
    made = route_of(ev, parts, node)
    if made is not None:
        ev.emit.emit("route", imm=color, target=made)
    return NOTHING


def change_route(parts: dict[str, Any], what: str, value: Value) -> None:
    """A part of a route: ``rx``, ``tx`` by position, the pop mode."""
    if what == "reset_routes":
        for name, each in value.data.items():
            parts[f"{name}0" if name in ("rx", "tx") else name] = ports_of_value(each)
    elif what in ("invalid", "clear"):
        for k in (1, 2, 3):
            parts.pop(f"rx{k}", None)
            parts.pop(f"tx{k}", None)
        if what == "clear":
            parts.clear()
    elif what == "pop":
        parts["pop"] = ("no_pop", "always_pop", "pop_on_advance", "pop_on_advance_nop")[value.data]
    elif what != "clear_current_position":
        parts[what] = ports_of_value(value)


def route_of(ev: Evaluator, parts: dict[str, Any], node: syntax.Node) -> Any:
    """The route of parts; None where it has no way in or out."""
    if not parts.get("rx0") or not parts.get("tx0"):
        return None
    switches, last = [], Position()
    for k in (1, 2, 3):
        if f"rx{k}" not in parts and f"tx{k}" not in parts:
            break
        last = Position(rx=parts.get(f"rx{k}") or last.rx, tx=parts.get(f"tx{k}") or last.tx)
        switches.append(last)
    try:
        return make_route(parts["rx0"], parts["tx0"], tuple(switches), ring_mode=parts.get("ring", False),
                          pop_mode=parts.get("pop", "no_pop"))
    except InputError as error:
        ev.fail(node, str(error))


def teardown_entry(unit: Any) -> tuple[TaskEntry, Frame]:
    """The task that runs the handlers of colors in teardown and of output queues that have been flushed."""
    frame = Frame("teardown", "task")

    def write() -> None:
        torn, empty = unit.effects.teardown, unit.effects.empty
        ev = Evaluator(unit, Scope(next(iter((torn or empty).values())).module), frame)
        if torn:
            _handle(ev, _newly_torn(ev), torn)
        if empty:
            flushed = frame.new()
            ev.emit.emit("flushed", dst=flushed)
            _handle(ev, flushed, empty)
        ev.emit.emit("end")

    unit.later(write)
    return TaskEntry("teardown", "local", "task teardown", 29), frame


def _newly_torn(ev: Evaluator) -> Reg:
    """Colors in teardown whose handlers have not run, a bit each."""
    known = Memory(_known_torn(ev.unit))
    torn, before = ev.frame.new(), ev.emit.load(known, t.U32)
    ev.emit.emit("torn_down", dst=torn)
    ev.emit.store(known, Value(t.U32, torn))
    return ev.emit.scalar("and", "u32", torn, ev.emit.scalar("xor", "u32", torn, before))


def _handle(ev: Evaluator, pending: Reg, functions: dict[int, Any]) -> None:
    """Call the functions of the bits that are set."""
    for number, function in functions.items():
        ev.emit.span = function.node.span
        after, taken = ev.frame.label(), ev.frame.taken
        bit = ev.emit.scalar("and", "u32", pending, ev.emit.constant(1 << number, "u32"))
        ev.emit.emit("branch", a=bit, target=after)
        call_values(ev, function, [], function.node)
        ev.frame.place(after)
        ev.frame.release(taken)


# ---- queues ----


@builtin("__leave_flush", arguments=1)
def leave_flush(ev: Evaluator, node: syntax.Builtin) -> Value:
    """An output queue is no longer one that has been flushed."""
    ev.emit.emit("leave_flush", imm=ev.known_int(ev.evaluate(node.arguments[0]), node))
    return NOTHING


@builtin("__bind_queue", arguments=3)
def bind_queue(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@__bind_queue("input" or "output", number, color)``: a queue takes words of another color."""
    form = f"bind_{text_of(ev, node.arguments[0])}"
    number = ev.known_int(ev.evaluate(node.arguments[1]), node)
    color = ev.evaluate(node.arguments[2])
    if not ev.runtime:
        ev.fail(node, "code of a PE binds a queue to another color; @initialize_queue says its first one")
    if isinstance(color.type, (t.Opaque, t.ComptimeInt)):
        color = Value(t.U16, color.data)
    ev.emit.emit(form, imm=number, a=ev.emit.index(color))
    return NOTHING
