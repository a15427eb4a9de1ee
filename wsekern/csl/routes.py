"""Builtins of libraries that change routes, switches and teardown while PEs run."""

from typing import Any

from wsekern.csl import syntax
from wsekern.csl import types as t
from wsekern.csl.builtins import builtin, text_of
from wsekern.csl.calls import call_values
from wsekern.csl.directions import ports_of_value
from wsekern.csl.functions import Evaluator
from wsekern.csl.ir import Frame
from wsekern.csl.scope import Scope
from wsekern.csl.values import NOTHING, Memory, Reg, Symbol, Value
from wsekern.errors import InputError
from wsekern.fabric.routes import POP_MODES, Position, make_route
from wsekern.program.instructions import TaskEntry


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
    if what in ("clear_current_position", "position", "invalid"):
        position = ev.emit.constant(0, "u16") if what != "position" else ev.emit.register(Value(t.U16, value.data))
        ev.emit.emit("position", imm=color, a=position)
    if what == "position":
        return NOTHING
    parts = ev.unit.routes.setdefault(color, dict(ev.unit.painted(color)))
    change_route(parts, what, value, ev.unit.options.arch == "wse2")
    made = route_of(ev, parts, node)
    if made is not None:
        ev.emit.emit("route", imm=color, target=made)
    return NOTHING


def change_route(parts: dict[str, Any], what: str, value: Value, one_half: bool) -> None:
    """A part of a route: ``rx``, ``tx`` by position, the modes of the switch. ``one_half``: a position replaces the way in or
    the ways out, not both."""
    if what == "reset_routes":
        for name, each in value.data.items():
            parts[f"{name}0" if name in ("rx", "tx") else name] = ports_of_value(each)
    elif what in ("set", "toggle", "clear"):
        _change_port(parts, what, value.data)
    elif what == "invalid":
        for k in (1, 2, 3):
            parts.pop(f"rx{k}", None)
            parts.pop(f"tx{k}", None)
    elif what == "pop":
        parts["pop"] = POP_MODES[value.data]
    elif what == "ring":
        parts["ring"] = bool(value.data)
    elif what.startswith("rxtx"):
        for name, each in value.data.items():
            parts[name + what[-1]] = ports_of_value(each)
    elif what[:2] in ("rx", "tx"):
        if one_half:
            parts.pop({"r": "tx", "t": "rx"}[what[0]] + what[-1], None)
        parts[what] = ports_of_value(value)


def _change_port(parts: dict[str, Any], what: str, port: int) -> None:
    """One way in or out at position 0; ``port`` as the library's ``fabric_io`` numbers them."""
    half, name = ("rx0" if port >= 5 else "tx0"), ("WEST", "EAST", "SOUTH", "NORTH", "RAMP")[port % 5]
    held = list(parts.get(half) or [])
    if name in held:
        parts[half] = [each for each in held if what == "set" or each != name]
    elif what != "clear":
        parts[half] = [*held, name]


def route_of(ev: Evaluator, parts: dict[str, Any], node: syntax.Node) -> Any:
    """The route of parts; None where it has no way in or out."""
    if not parts.get("rx0") or not parts.get("tx0"):
        return None
    switches = []
    for k in (1, 2, 3):
        if f"rx{k}" not in parts and f"tx{k}" not in parts:
            break
        switches.append(Position(rx=parts.get(f"rx{k}"), tx=parts.get(f"tx{k}")))
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
