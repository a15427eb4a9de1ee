"""What can stand left of ``=``, be indexed, or have its address taken."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from wsekern.csl import types as t
from wsekern.csl.coerce import coerce
from wsekern.csl.context import Context
from wsekern.csl.scope import Cell, Held
from wsekern.csl.syntax import Node
from wsekern.csl.types import Type
from wsekern.csl.values import PARTS, Dsd, Memory, Reg, Symbol, Value, Varying, element_of, leaves, with_leaves, zero_of


@dataclass(frozen=True)
class Fixed:
    """A value that nothing can change."""

    value: Value

    @property
    def type(self) -> Type:
        """Of the value."""
        return self.value.type


@dataclass(frozen=True)
class InVariable:
    """Part of a variable of the compiler, or of one in registers: fields by name, elements by number."""

    variable: Cell | Held
    path: tuple[Any, ...]
    type: Type


@dataclass(frozen=True)
class InMemory:
    """Memory of the PE. ``symbol``: whose value before the start may be asked for, where the place is a known one of it."""

    memory: Memory
    type: Type
    constant: bool = False


Place = Fixed | InVariable | InMemory


def load(ev: Context, place: Place, node: Node) -> Value:
    """The value at a place."""
    if isinstance(place, Fixed):
        return place.value
    if isinstance(place, InVariable):
        return _part(ev, place.variable.value, place.path, node)
    known = known_value(ev, place)
    if known is not None:
        return known
    if not ev.runtime:
        ev.fail(node, "this is known only at run time, and is needed while the program is compiled")
    return from_memory(ev, place.memory, place.type, node)


def known_value(ev: Context, place: InMemory) -> Value | None:
    """What a place of memory holds whenever it is looked at; None where that is known only at run time."""
    symbol = place.memory.symbol
    if symbol is None or place.memory.terms or symbol.initial is None or symbol.storage == "extern":
        return None
    if not symbol.constant and (ev.runtime or isinstance(place.type, t.DsdType)):
        return None
    return inside(symbol.initial, place.memory.offset, place.type)


def inside(value: Value, offset: int, kind: Type) -> Value | None:
    """The part of a known value that begins at byte ``offset`` of its memory and has type ``kind``."""
    if offset == 0 and value.type == kind:
        return value
    if isinstance(value.type, t.Array) and not isinstance(value.data, Memory):
        size = value.type.element.bytes
        if size and 0 <= offset < value.type.bytes:
            return inside(element_of(value, offset // size), offset % size, kind)
    if isinstance(value.type, t.Struct) and not value.type.union:
        for name in reversed(value.type.names):
            at = value.type.offset(name)
            if at <= offset:
                return inside(value.data[name], offset - at, kind)
    return None


def from_memory(ev: Context, memory: Memory, kind: Type, node: Node) -> Value:
    """What memory holds at run time: scalars in registers, arrays where they are."""
    ev.unit.use(memory.symbol)
    if isinstance(kind, t.Array):
        return Value(kind, memory)
    if isinstance(kind, t.Struct):
        return Value(kind, {name: from_memory(ev, memory.moved(kind.offset(name)), each, node)
                            for name, each in zip(kind.names, kind.types, strict=True)})
    if isinstance(kind, t.DsdType):
        return _dsd_from_memory(ev, memory, kind, node)
    return Value(kind, ev.emit.load(memory, kind))


def _dsd_from_memory(ev: Context, memory: Memory, kind: t.DsdType, node: Node) -> Value:
    """A DSD variable: the parts that the program changes, and those in which elements of an array differ, come from memory, the
    others are those that it began with."""
    symbol = memory.symbol
    if symbol is None or symbol.initial is None:
        ev.fail(node, "a DSD behind a pointer is not supported: use the variable itself")
    changed = ev.unit.changed_parts(symbol) if not symbol.constant else set()
    if memory.terms:
        initial = _any_dsd(ev, symbol.initial, memory.offset, kind, node)
        changed = changed | set(PARTS)
    else:
        initial = inside(symbol.initial, memory.offset, kind)
    if initial is None or initial.data is None:
        ev.fail(node, "this DSD has no value yet: give the variable one where it is declared")
    parts = {}
    for k, name in enumerate(PARTS):
        part = getattr(initial.data, name)
        if part is not None and name in changed:
            number = part.type if isinstance(part.type, t.Pointer) else t.I32
            parts[name] = Value(number, ev.emit.load(memory.moved(4 * k), t.I32))
    return Value(kind, initial.data.with_fields(**parts))


def dsds_at_start(value: Value) -> Value:
    """DSDs of an array as its memory begins: what registers say comes when the program runs."""
    def at_start(data: Dsd | None) -> Dsd | None:
        parts = {name: getattr(data, name, None) for name in PARTS}
        return data and data.with_fields(**{name: Value(part.type, 0) for name, part in parts.items()
                                            if part is not None and isinstance(part.data, Reg)})

    return Value(value.type, [at_start(each) for each in value.data])


def _any_dsd(ev: Context, value: Value, offset: int, kind: t.DsdType, node: Node) -> Value:
    """What the DSDs in elements of an array, ``offset`` bytes behind their beginning, have in common: all but their bases,
    extents and strides."""
    assert isinstance(value.type, t.Array)
    each = [inside(element_of(value, k), offset % value.type.element.bytes, kind) for k in range(value.type.count)]
    if len({_other_parts(one.data if one is not None else None) for one in each}) > 1:
        ev.fail(node, "the DSDs of this array differ in more than base, extent and stride: its index has to be known while the "
                      "program is compiled")
    return each[0] or Value(kind, None)


def _other_parts(data: Dsd | None) -> Any:
    if data is None:
        return None
    others = {"color": data.color, "queue": data.queue, **data.options}
    said = tuple((name, repr(one.data)) for name, one in others.items() if one is not None)
    return data.kind, data.element, data.shape, data.strides, said


def store(ev: Context, place: Place, value: Value, node: Node) -> None:
    """Give a place a value of its type."""
    value = coerce(ev, value, place.type, node)
    if isinstance(place, Fixed) or (isinstance(place, InMemory) and place.constant):
        ev.fail(node, "a constant cannot be assigned to")
    if isinstance(place, InVariable):
        _store_in_variable(ev, place, value, node)
        return
    if not ev.runtime:
        ev.fail(node, "globals cannot be changed while the program is compiled")
    to_memory(ev, place.memory, value, node)


def to_memory(ev: Context, memory: Memory, value: Value, node: Node) -> None:
    """Write a value to memory, scalar by scalar; arrays by a vector move."""
    ev.unit.use(memory.symbol)
    kind, data = value.type, value.data
    if isinstance(kind, t.Array) and isinstance(kind.element, t.DsdType) and isinstance(data, list):
        for k in range(kind.count):
            to_memory(ev, memory.moved(k * kind.element.bytes), element_of(value, k), node)
    elif isinstance(kind, t.Array):
        ev.copy_array(memory, value, node)
    elif isinstance(kind, t.Struct) and isinstance(data, dict):
        for name, each in data.items():
            to_memory(ev, memory.moved(kind.offset(name)), each, node)
    elif isinstance(data, Dsd):
        _dsd_to_memory(ev, memory, data, node)
    elif not isinstance(kind, t.Void):
        ev.emit.store(memory, value)


def _dsd_to_memory(ev: Context, memory: Memory, data: Dsd, node: Node) -> None:
    symbol = memory.symbol
    if symbol is None:
        ev.fail(node, "a DSD cannot be stored through a pointer")
    changed = set(PARTS) if memory.terms else ev.unit.changed_parts(symbol)
    for k, name in enumerate(PARTS):
        part = getattr(data, name)
        if part is not None and name in changed:
            ev.emit.store(memory.moved(4 * k), Value(t.U32, ev.emit.register(ev.as_word(part))))


def _store_in_variable(ev: Context, place: InVariable, value: Value, node: Node) -> None:
    variable = place.variable
    if variable.constant:
        ev.fail(node, "a constant cannot be assigned to")
    if isinstance(variable, Cell):
        if not value.known:
            ev.fail(node, "a value that is known only at run time cannot be assigned to a variable of the compiler")
        variable.value = _with_part(ev, variable.value, place.path, value, node)
        return
    held = _part(ev, variable.value, place.path, node)
    targets, sources = list(leaves(held)), list(leaves(value))
    if isinstance(value.data, Dsd):
        sources = [ev.as_word(each) for each in sources]
    if len(targets) != len(sources):
        ev.fail(node, f"this is another kind of {place.type} than the variable held at its declaration")
    if len(sources) > 1:  # a source may be what another target is about to lose
        sources = [ev.copied(each) if isinstance(each.data, Reg) and each.data in [x.data for x in targets] else each
                   for each in sources]
    for target, source in zip(targets, sources, strict=True):
        if isinstance(target.data, Reg):
            ev.emit.set(target.data, Value(source.type, source.data))
    if isinstance(held.data, Dsd) and isinstance(value.data, Dsd):
        variable.value = with_leaves(Value(value.type, value.data), iter(targets))


def _part(ev: Context, value: Value, path: tuple[Any, ...], node: Node) -> Value:
    for step in path:
        value = value.data[step] if isinstance(step, str) else element_of(value, step)
    return value


def _with_part(ev: Context, value: Value, path: tuple[Any, ...], part: Value, node: Node) -> Value:
    """``value`` with the part at ``path`` replaced."""
    if not path:
        return part
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        return Value(value.type, {**value.data, step: _with_part(ev, value.data[step], rest, part, node)})
    data = value.data.copy()
    new = _with_part(ev, element_of(value, step), rest, part, node).data
    if isinstance(new, Varying) and isinstance(data, np.ndarray):
        data = list(data.tolist())
    data[step] = new
    return Value(value.type, data)


def member(ev: Context, place: Place, name: str, node: Node) -> Place:
    """A field of a struct."""
    kind = place.type
    if isinstance(kind, t.Struct):
        names = [str(k) for k in range(len(kind.types))] if kind.is_tuple else list(kind.names)
        if name not in names:
            ev.fail(node, f"{kind} has no field '{name}': it has {', '.join(names) or 'none'}")
        each = kind.types[names.index(name)]
        if isinstance(place, Fixed):
            return Fixed(place.value.data[name])
        if isinstance(place, InVariable):
            return InVariable(place.variable, (*place.path, name), each)
        return InMemory(place.memory.moved(kind.offset(name)), each, place.constant)
    ev.fail(node, f"a value of type {kind} has no fields, and so no '{name}'")


def index(ev: Context, place: Place, indices: list[Value], node: Node) -> Place:
    """An element of an array, or of what a pointer points to."""
    kind = place.type
    if isinstance(kind, t.Pointer):
        pointer = load(ev, place, node)
        element = kind.element
        if isinstance(element, t.Array) and not kind.many:  # p[i] of a pointer to an array
            return index(ev, InMemory(ev.memory_at(pointer, node), element, kind.constant), indices, node)
        if len(indices) != 1:
            ev.fail(node, f"a pointer has one index, found {len(indices)}")
        return _moved(ev, ev.memory_at(pointer, node), element, [(indices[0], 1)], kind.constant, node)
    if isinstance(kind, t.Struct) and kind.is_tuple and isinstance(place, Fixed):
        parts, at = list(place.value.data.values()), ev.known_int(indices[0], node)
        if not 0 <= at < len(parts):
            ev.fail(node, f"{kind} has no element {at}: it has {len(parts)}")
        return Fixed(parts[at])
    if isinstance(kind, t.Struct) and "0" in kind.names:
        return member(ev, place, str(ev.known_int(indices[0], node)), node)
    if not isinstance(kind, t.Array):
        ev.fail(node, f"a value of type {kind} cannot be indexed")
    if len(indices) != len(kind.extents) and len(indices) != 1:
        ev.fail(node, f"{kind} has {len(kind.extents)} indices, found {len(indices)}")
    terms = _terms(ev, kind, indices, node)
    if isinstance(place, InMemory):
        return _moved(ev, place.memory, kind.element, terms, place.constant, node)
    known = [ev.known_int_or_none(each) for each, _ in terms]
    if None not in known:
        at = sum(each * scale for each, (_, scale) in zip(known, terms, strict=True))
        if isinstance(place, Fixed) and isinstance(place.value.data, Memory):
            return _moved(ev, place.value.data, kind.element, terms, True, node)
        if isinstance(place, Fixed):
            return Fixed(element_of(place.value, at))
        return InVariable(place.variable, (*place.path, at), kind.element)
    value = load(ev, place, node)
    if ev.runtime:
        memory = value.data if isinstance(value.data, Memory) else Memory(ev.unit.constant_symbol(value))
        return _moved(ev, memory, kind.element, terms, True, node)
    varying = next(each.data for each, _ in terms if isinstance(each.data, Varying))
    raise ev.split(varying)


def _terms(ev: Context, kind: t.Array, indices: list[Value], node: Node) -> list[tuple[Value, int]]:
    """Indices with the elements that one more of each means; known ones are checked."""
    extents = kind.extents if len(indices) == len(kind.extents) else (kind.count,)
    found, step = [], 1
    for each, extent in zip(reversed(indices), reversed(extents), strict=True):
        if not isinstance(each.type, (t.Int, t.ComptimeInt)):
            ev.fail(node, f"an index is a whole number, found {each.type}")
        known = each.data
        low, high = (known.each.min(), known.each.max()) if isinstance(known, Varying) else (known, known)
        if not isinstance(known, Reg) and not (low >= 0 and high < extent):
            ev.fail(node, f"index {low if low < 0 else high} is outside {kind}")
        found.append((each, step))
        step *= extent
    return found[::-1]


def _moved(ev: Context, memory: Memory, element: Type, terms: list[tuple[Value, int]], constant: bool, node: Node) -> InMemory:
    size = element.bytes
    for each, scale in terms:
        if isinstance(each.data, (Reg, Varying)):
            if isinstance(each.data, Varying) and not ev.runtime:
                raise ev.split(each.data)
            memory = memory.moved(0, (ev.emit.index(each), scale * size))
        else:
            memory = memory.moved(each.data * scale * size)
    return InMemory(memory, element, constant)


def symbol_place(symbol: Symbol) -> InMemory:
    """All of a symbol."""
    return InMemory(Memory(symbol), symbol.type, symbol.constant)


def variable_of(ev: Context, kind: Type, initial: Value | None, changed: set[str]) -> Value:
    """Registers for a variable of a function, set to ``initial``; of a DSD those of its parts that change."""
    value = initial if initial is not None else zero_of(kind)
    if isinstance(value.data, Dsd):
        parts = {}
        for name in ("base", "extent", "stride"):
            part = getattr(value.data, name)
            if part is not None and ("all" in changed or name in changed):
                parts[name] = ev.copied(ev.as_word(part))
        return Value(kind, value.data.with_fields(**parts))
    return with_leaves(value, iter([ev.copied(each) if not isinstance(each.type, t.Void) else each for each in leaves(value)]))
