"""Builtins that only the libraries of ``lib`` use: what of them touches the core, the rectangle, or the host."""

import re
from dataclasses import dataclass

import numpy as np

from wsekern.csl import syntax
from wsekern.csl import types as t
from wsekern.csl.builtins import builtin, text_of
from wsekern.csl.calls import call_library
from wsekern.csl.emit import machine_type
from wsekern.csl.functions import Evaluator
from wsekern.csl.places import to_memory
from wsekern.csl.values import NOTHING, Reg, Value, Varying, by_pe, rounded, shown


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
    for each in values:
        if isinstance(each.data, Varying):
            raise ev.split(each.data)
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

@builtin("__format", arguments=2)
def format_(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@__format(text, .{values})``: text with known values in its places, while the program is compiled."""
    text, given = text_of(ev, node.arguments[0]), ev.compiling(node.arguments[1])
    values = list(given.data.values()) if isinstance(given.data, dict) else []
    if len(re.findall(r"\{\w*\}", text.replace("{{", "").replace("}}", ""))) != len(values):
        ev.fail(node, f"the text '{text}' and {len(values)} values: it needs as many places as values")
    for each in values:
        if isinstance(each.data, Varying):
            raise ev.split(each.data)
    left = iter(values)
    found = re.sub(r"\{\{|\}\}|\{(\w*)\}",
                   lambda mark: mark[0][0] if mark[1] is None else _in_text(next(left), mark[1]), text)
    return Value(t.STRING, found.encode())


def _in_text(value: Value, form: str) -> str:
    """A known value as text, in the form of a letter of ``@__format``."""
    if isinstance(value.data, bytes):
        return value.data.decode("utf-8", "replace")
    bits = value.type.bits if isinstance(value.type, t.Int) else 0
    if form in ("X", "b") and isinstance(value.data, int):
        number = value.data & ((1 << bits) - 1) if bits else value.data
        return f"{number:0{bits // 4}X}" if form == "X" else f"{number:0{bits}b}"
    return str(float(value.data)) if form == "f" else str(value.data)


@builtin("__about_type", arguments=2)
def about_type(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@__about_type(what, T)``: what a type is, and the room that its values take."""
    what, kind = text_of(ev, node.arguments[0]), ev.type_at(node.arguments[1])
    truths = {"unsigned": isinstance(kind, t.Int) and not kind.signed, "signed": isinstance(kind, t.Int) and kind.signed,
              "float": isinstance(kind, t.Float), "float16": isinstance(kind, t.Float) and kind.bytes == 2,
              "dsd": isinstance(kind, t.DsdType), "dsr": isinstance(kind, t.Opaque) and kind.name.startswith("dsr_")}
    if what in truths:
        return Value(t.BOOL, truths[what])
    if not kind.bytes:
        ev.fail(node, f"values of type {kind} take no memory")
    bits = kind.bits if isinstance(kind, t.Int) else 8 * kind.bytes
    if what == "bits type":
        return Value(t.TYPE, t.Int(bits, False))
    return Value(t.COMPTIME_INT, {"bits": bits, "bytes": kind.bytes, "alignment": kind.alignment}[what])


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
    return call_library(ev, "<random/bits>", "random_u16", [], node)


@builtin("__seed_bits", arguments=1)
def seed_bits(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Where the PE's shift register goes on from."""
    return call_library(ev, "<random/bits>", "seed", [ev.evaluate(node.arguments[0], t.U32)], node)


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
