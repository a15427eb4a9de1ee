"""Operands of a program's text: descriptors of memory and fabric, FIFOs, registers, named descriptors."""

from dataclasses import fields, replace
from typing import Any

from wsekern.program.operands import NUMPY_TYPES, Fabric, Fifo, Mem, Mem4d, Named, Operand, Register, Ring
from wsekern.program.text.grammar import REGISTER
from wsekern.program.text.line import INT32, Line


def read_operand(line: Line, direction: str, fifos: dict[str, Fifo]) -> Operand:
    """One operand; ``direction``: what a fabric descriptor is called here (fabin, fabout or fabric); ``fifos`` by name."""
    if line.next.kind == "word":
        if line.has(direction):
            return _fabric(line)
        if line.has("fifo"):
            return _fifo(line, fifos)
        if REGISTER.fullmatch(line.next.text):
            number = line.register()
            line.need(".")
            return Register(number, line.type())
    if line.has("@"):
        return Named(line.name("a descriptor"))
    ring = line.has("ring")
    symbol = line.name(f"an operand: a symbol, ring, fifo, {direction}, a register or @descriptor")
    line.need("[")
    if not ring and line.next.text == "(":
        return _mem4d(line, symbol)
    extent = line.integer("elements")
    more = _options(line, Ring if ring else Mem, ("symbol", "extent"))
    return (Ring if ring else Mem)(symbol, extent, **more)


def _options(line: Line, kind: type, given: tuple[str, ...]) -> dict[str, Any]:
    """``, key=value`` up to the closing bracket, for the fields of an operand."""
    known = {f.name: f.default for f in fields(kind) if f.name not in given}
    found: dict[str, Any] = {}
    while not line.has("]"):
        line.need(",")
        key = line.one_of("one of", [name for name in known if name not in found])
        line.need("=")
        if key == "type":
            found[key] = line.type()
        elif isinstance(known[key], bool):
            found[key] = line.one_of("yes or no", ("yes", "no")) == "yes"
        else:
            low, high = {"packing": (1, 2), "index": (0, 0xFFFF), "color": (0, 23)}.get(key, INT32)
            found[key] = line.integer(key, low, high)
    return found


def _fabric(line: Line) -> Fabric:
    queue, type = line.integer("a queue", 0, 7), line.type()
    line.need("[")
    extent = line.integer("elements")
    start = line.next
    more = _options(line, Fabric, ("queue", "extent", "type"))
    if more.get("packing") == 2 and NUMPY_TYPES[type]().itemsize == 4:
        line.fail(f"packing=1 for elements of {type}", start)
    return Fabric(queue, extent, type, **more)


def _mem4d(line: Line, symbol: str) -> Mem4d:
    start = line.next
    shape = _numbers(line, 0)
    for word in (",", "strides", "="):
        line.need(word)
    strides = _numbers(line, INT32[0])
    if len(shape) > 4 or len(shape) != len(strides):
        line.fail("a shape of at most 4 dimensions and as many strides", start)
    offset = line.integer("an offset") if line.has(",", "offset", "=") else 0
    type = line.type() if line.has(",", "type", "=") else None
    line.need("]")
    return Mem4d(symbol, shape, strides, offset, type)


def _numbers(line: Line, low: int) -> tuple[int, ...]:
    line.need("(")
    found: list[int] = []
    while not line.has(")"):
        if found:
            line.need(",")
        found.append(line.integer("a number", low))
    return tuple(found)


def _fifo(line: Line, fifos: dict[str, Fifo]) -> Fifo:
    name = line.name("a fifo")
    found = fifos.get(name) or Fifo(name, name)
    if not line.has("["):
        return found
    if line.next.kind == "number":
        found = replace(found, extent=line.integer("elements"))
        line.has(",")
    while not line.has("]"):
        key = line.one_of("] or one of", ("symbol", "on_push", "on_pop"))
        line.need("=")
        none = key != "symbol" and line.has("none")
        found = replace(found, **{key: None if none else line.name("a symbol" if key == "symbol" else "a task")})
        line.has(",")
    return found
