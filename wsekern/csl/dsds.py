"""Descriptors: ``@get_dsd`` and its relatives, and the vector instructions that take them."""

from dataclasses import dataclass
from typing import Any

from wsekern.csl import syntax
from wsekern.csl import types as t
from wsekern.csl.functions import Evaluator
from wsekern.csl.places import Fixed, InMemory, load
from wsekern.csl.scope import Constant, Scope, walk
from wsekern.csl.types import Type
from wsekern.csl.values import Address, Dsd, Memory, Reg, Value, Varying, shown

# ---- @get_dsd ----


def get_dsd(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@get_dsd(kind, .{...})``."""
    kind = ev.type_at(node.arguments[0])
    if not isinstance(kind, t.DsdType) or len(node.arguments) != 2:
        ev.fail(node, "expected @get_dsd(mem1d_dsd, .{...}): a kind of DSD and its fields")
    fields, places = fields_of(ev, node.arguments[1])
    if kind in (t.FABIN, t.FABOUT):
        return _fabric(ev, kind, fields, places, node)
    access = places.get("tensor_access")
    found = _tensor(ev, kind, access) if isinstance(access, syntax.TensorAccess) else _explicit(ev, kind, fields, node)
    options = {name: each for name, each in fields.items() if name not in ("base_address", "extent", "stride", "offset")}
    return Value(kind, found.with_fields(options=options))


def fields_of(ev: Evaluator, node: syntax.Expression) -> tuple[dict[str, Value], dict[str, syntax.Expression]]:
    """Values of a struct's fields, and the expressions that give them; tensor accesses have no value. The struct may be a
    choice that is made while the program is compiled."""
    while isinstance(node, syntax.Choice):
        condition = ev.known_bool(ev.compiling(node.condition, t.BOOL), node.condition)
        taken = node.then if condition else node.otherwise
        if taken is None:
            ev.fail(node, "a struct is expected where the condition does not hold")
        node = taken
    if isinstance(node, syntax.Initializer) and node.type is None:
        places = dict(zip(node.names, node.values, strict=True))
        return {name: ev.evaluate(each) for name, each in places.items() if not isinstance(each, syntax.TensorAccess)}, places
    value = ev.evaluate(node)
    if not isinstance(value.data, dict):
        ev.fail(node, f"expected a struct, found {shown(value)}")
    return dict(value.data), dict.fromkeys(value.data, node)


def _fabric(ev: Evaluator, kind: t.DsdType, fields: dict[str, Value], places: dict[str, syntax.Expression],
            node: syntax.Builtin) -> Value:
    name = "input_queue" if kind == t.FABIN else "output_queue"
    queue = fields.pop(name, None)
    color = fields.pop("fabric_color", None)
    extent = fields.pop("extent", None)
    if extent is None:
        ev.fail(node, "the field 'extent' is missing")
    if color is None and queue is None:
        ev.fail(node, f"a {kind} needs 'fabric_color' or '{name}'")
    for each, wanted in ((queue, t.INPUT_QUEUE if kind == t.FABIN else t.OUTPUT_QUEUE), (color, t.COLOR)):
        if each is not None and each.type != wanted:
            at = places.get(name if wanted != t.COLOR else "fabric_color", node)
            ev.fail(at, f"expected a {wanted}, found {shown(each)}")
    return Value(kind, Dsd(kind.kind, extent=extent, color=color, queue=queue, options=fields))


def _explicit(ev: Evaluator, kind: t.DsdType, fields: dict[str, Value], node: syntax.Builtin) -> Dsd:
    base = fields.get("base_address")
    extent = fields.get("extent")
    if base is None or extent is None:
        ev.fail(node, f"a {kind} needs 'tensor_access', or 'base_address' and 'extent'")
    if not isinstance(base.type, t.Pointer):
        ev.fail(node, f"'base_address' is a pointer, found {shown(base)}")
    size = element_bytes(base.type)
    offset = fields.get("offset", Value(t.COMPTIME_INT, 0))
    if kind == t.MEM4D:
        return _explicit_4d(ev, base, size, offset, extent, fields.get("stride"), node)
    if kind == t.CIRCBUF:
        wrap = fields.get("wraparound")
        count = ev.known_int(wrap, node) if wrap is not None else _elements_at(ev, base, node)
        return Dsd(kind.kind, moved(ev, base, offset, size), extent, Value(t.COMPTIME_INT, 1), size, shape=(count,))
    stride = fields.get("stride", Value(t.COMPTIME_INT, 1))
    return Dsd(kind.kind, moved(ev, base, offset, size), _length(ev, extent, node), _stride(ev, stride, node), size)


def _elements_at(ev: Evaluator, base: Value, node: syntax.Node) -> int:
    element = base.type.element
    if isinstance(element, t.Array):
        return element.count
    if isinstance(base.data, Address) and isinstance(base.data.symbol.type, t.Array):
        return base.data.symbol.type.count
    ev.fail(node, "'wraparound' is missing, and the base address does not say how many elements there are")


def _length(ev: Evaluator, extent: Value, node: syntax.Node) -> Value:
    if not isinstance(extent.type, (t.Int, t.ComptimeInt)):
        ev.fail(node, f"the extent is a whole number, found {shown(extent)}")
    if not isinstance(extent.data, (Reg, Varying)) and not 0 <= extent.data <= 0xFFFF:
        ev.fail(node, f"an extent of {extent.data} elements: expected 0 to {0xFFFF}")
    return extent


def _stride(ev: Evaluator, stride: Value, node: syntax.Node, stated: bool = True) -> Value:
    """A stride in elements: one that is ``stated`` is an i8; of one that a subscript makes, it is told."""
    if not isinstance(stride.data, (Reg, Varying)) and not -128 <= stride.data <= 127:
        if stated:
            ev.fail(node, f"a stride of {stride.data} elements; 8 bits hold -128 to 127")
        ev.warn(node, f"a stride of {stride.data} elements; a descriptor is said to have 8 bits for it, -128 to 127")
    return stride


def element_bytes(pointer: Type) -> int:
    """Bytes of an element that a pointer leads to; of an array, of its elements."""
    assert isinstance(pointer, t.Pointer)
    element = pointer.element
    while isinstance(element, t.Array):
        element = element.element
    return max(2, element.bytes)


def moved(ev: Evaluator, base: Value, elements: Value, size: int) -> Value:
    """A pointer ``elements`` further on."""
    if not isinstance(elements.data, (Reg, Varying)):
        if isinstance(base.data, Address):
            return Value(base.type, Address(base.data.symbol, base.data.offset + elements.data * size))
        if elements.data == 0:
            return base
    if not ev.runtime:
        if isinstance(elements.data, Varying):
            raise ev.split(elements.data)
        return base
    memory = ev.memory_at(base, _NOWHERE)
    if isinstance(elements.data, (Reg, Varying)):
        memory = memory.moved(0, (ev.emit.index(elements), size))
    else:
        memory = memory.moved(elements.data * size)
    return Value(base.type, ev.emit.address(memory).data)


_NOWHERE = syntax.Node(None)  # type: ignore[arg-type]


def _explicit_4d(ev: Evaluator, base: Value, size: int, offset: Value, extent: Value, stride: Value | None,
                 node: syntax.Node) -> Dsd:
    """Extents outermost first; strides innermost first, each from the last element inside to the next outside."""
    shape = _numbers(ev, extent, node)
    steps = [1] * len(shape) if stride is None else _numbers(ev, stride, node)
    if len(steps) != len(shape):
        ev.fail(node, f"{len(shape)} extents need as many strides, found {len(steps)}")
    plain, walked = [], 0
    for step, length in zip(steps, reversed(shape), strict=True):
        plain.append(step + walked)
        walked += (length - 1) * plain[-1]
    return Dsd("mem4d_dsd", moved(ev, base, offset, size), Value(t.COMPTIME_INT, _product(shape)), None, size, tuple(shape),
               tuple(plain[::-1]))


def _numbers(ev: Evaluator, value: Value, node: syntax.Node) -> list[int]:
    if isinstance(value.data, dict):
        return [ev.known_int(each, node) for each in value.data.values()]
    if isinstance(value.type, t.Array):
        return [int(each) for each in value.data]
    return [ev.known_int(value, node)]


def _product(numbers: Any) -> int:
    total = 1
    for each in numbers:
        total *= each
    return total


def _tensor(ev: Evaluator, kind: t.DsdType, node: syntax.TensorAccess) -> Dsd:
    """``|i, j|{n, m} -> A[...]``: subscripts at the origin and one step along each index say where elements lie."""
    place = ev.place(node.target.of if isinstance(node.target, syntax.Index) else node.target)
    base, extents, element = _array_at(ev, place, node)
    subscripts = node.target.indices if isinstance(node.target, syntax.Index) else ()
    if len(subscripts) not in (1, len(extents)):
        ev.fail(node.target, f"{len(extents)} subscripts are expected, found {len(subscripts)}")
    steps, scale = [], 1
    for extent in reversed(extents if len(subscripts) == len(extents) else (1,)):
        steps.append(scale)
        scale *= extent
    steps.reverse()
    zero, origin = _offset_at(ev, node, subscripts, steps, {})
    strides = []
    for name in node.variables:
        known, _ = _offset_at(ev, node, subscripts, steps, {name: 1})
        strides.append(known - zero)
    shape = [ev.evaluate(each) for each in node.extents]
    base = moved(ev, base, origin, element)
    if kind == t.MEM1D:
        if len(shape) != 1:
            return _as_4d(ev, base, element, shape, strides, node)
        return Dsd(kind.kind, base, _length(ev, shape[0], node), _stride(ev, Value(t.COMPTIME_INT, strides[0]), node, False),
                   element)
    return _as_4d(ev, base, element, shape, strides, node)


def _as_4d(ev: Evaluator, base: Value, element: int, shape: list[Value], strides: list[int], node: syntax.Node) -> Dsd:
    first, inner = shape[0], tuple(ev.known_int(each, node) for each in shape[1:])
    if ev.runtime and isinstance(first.data, Varying):  # the most of all PEs; each stops where its own elements end
        outer, total = int(first.data.each.max()), Varying(first.data.each * _product(inner))
        return Dsd("mem4d_dsd", base, Value(t.I32, total), None, element, (outer, *inner), tuple(strides))
    lengths = (ev.known_int(first, node), *inner)
    return Dsd("mem4d_dsd", base, Value(t.COMPTIME_INT, _product(lengths)), None, element, lengths, tuple(strides))


def one_extent(ev: Evaluator, value: Value) -> None:
    """Split the PEs where a mem4d_dsd has not as many elements on all of them, for what cannot do with that."""
    data = value.data
    if isinstance(data, Dsd) and data.kind == "mem4d_dsd" and data.extent is not None and isinstance(data.extent.data, Varying):
        raise ev.split(data.extent.data)


def _array_at(ev: Evaluator, place: Any, node: syntax.TensorAccess) -> tuple[Value, tuple[int, ...], int]:
    """(pointer, extents, bytes of an element) of the array of a tensor access."""
    kind = place.type
    if isinstance(kind, t.Pointer):
        pointer = load(ev, place, node)
        element = kind.element
        if isinstance(element, t.Array):
            return pointer, element.extents, max(2, element.element.bytes)
        return pointer, (1,), max(2, element.bytes)
    if isinstance(place, Fixed) and isinstance(place.value.type, t.Array):
        data = place.value.data
        memory = data if isinstance(data, Memory) else Memory(ev.unit.constant_symbol(place.value))
        place = InMemory(memory, kind, True)
    if not isinstance(place, InMemory):
        ev.fail(node.target, "a tensor access leads to an array in the memory of a PE")
    if place.memory.symbol is not None:
        ev.unit.use(place.memory.symbol)
    if isinstance(kind, t.Array):
        pointer_type = t.Pointer(kind, place.constant)
        return Value(pointer_type, ev.emit.address(place.memory).data if place.memory.terms else Address(
            place.memory.symbol, place.memory.offset)), kind.extents, max(2, kind.element.bytes)
    return Value(t.Pointer(kind), Address(place.memory.symbol, place.memory.offset)), (1,), max(2, kind.bytes)


def _offset_at(ev: Evaluator, node: syntax.TensorAccess, subscripts: tuple[syntax.Expression, ...], steps: list[int],
               given: dict[str, int]) -> tuple[int, Value]:
    """Element of a tensor access where its indices are ``given`` (else 0): what is known of it, and all of it."""
    outer, ev.scope = ev.scope, Scope(ev.scope.module, ev.scope)
    try:
        for name in node.variables:
            ev.scope.names[name] = Constant(Value(t.COMPTIME_INT, given.get(name, 0)))
        total = Value(t.COMPTIME_INT, 0)
        for each, step in zip(subscripts, steps, strict=True):
            part = ev.evaluate(each)
            if isinstance(part.data, Reg):
                part = Value(t.I32, ev.emit.index(part)) if not given else Value(t.COMPTIME_INT, _known_part(ev, each, given))
            elif isinstance(part.data, Varying):
                part = Value(t.I32, part.data)
            else:
                part = Value(t.COMPTIME_INT, int(part.data))
            scaled = part if step == 1 else ev.operate("*", part, Value(t.COMPTIME_INT, step), each)
            total = ev.operate("+", total, scaled, each)
        return (_known_total(ev, subscripts, steps) if isinstance(total.data, (Reg, Varying)) else total.data), total
    finally:
        ev.scope = outer


def _known_part(ev: Evaluator, node: syntax.Expression, given: dict[str, int]) -> int:
    """What an index adds to a subscript that also has parts of run time: found from its terms."""
    if isinstance(node, syntax.Binary) and node.operator in "+-":
        left, right = _known_part(ev, node.left, given), _known_part(ev, node.right, given)
        return left + right if node.operator == "+" else left - right
    if isinstance(node, syntax.Name) and node.name in given:
        return given[node.name]
    if isinstance(node, syntax.Builtin) and node.name == "as" and len(node.arguments) == 2:
        return _known_part(ev, node.arguments[1], given)
    value = ev.evaluate(node)
    if isinstance(value.data, Reg):
        return 0
    return int(value.data) if _mentions(node, given) else 0


def _mentions(node: syntax.Expression, names: dict[str, int]) -> bool:
    return any(isinstance(each, syntax.Name) and each.name in names for each in walk(node))


def _known_total(ev: Evaluator, subscripts: tuple[syntax.Expression, ...], steps: list[int]) -> int:
    """The part of a subscript that depends on the indices of the access alone."""
    names = {name: each.value.data for name, each in ev.scope.names.items() if isinstance(each, Constant)}
    return sum(_known_part(ev, each, names) * step for each, step in zip(subscripts, steps, strict=True))


# ---- changes ----


def _dsd(ev: Evaluator, node: syntax.Builtin, count: int) -> tuple[Value, Dsd]:
    if len(node.arguments) != count:
        ev.fail(node, f"@{node.name} takes {count} arguments, found {len(node.arguments)}")
    value = ev.evaluate(node.arguments[0])
    if not isinstance(value.data, Dsd):
        ev.fail(node.arguments[0], f"expected a DSD, found {shown(value)}")
    return value, value.data


def increment_dsd_offset(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@increment_dsd_offset(dsd, elements, T)``."""
    value, dsd = _dsd(ev, node, 3)
    if dsd.base is None:
        ev.fail(node, "a DSD of the fabric has no offset")
    size = max(2, ev.type_at(node.arguments[2]).bytes)
    return Value(value.type, dsd.with_fields(base=moved(ev, dsd.base, ev.evaluate(node.arguments[1]), size)))


def set_dsd_base_addr(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@set_dsd_base_addr(dsd, array or pointer)``."""
    value, dsd = _dsd(ev, node, 2)
    place = ev.place(node.arguments[1])
    if isinstance(place.type, t.Pointer):
        base = load(ev, place, node)
    elif isinstance(place, InMemory):
        ev.unit.use(place.memory.symbol)
        data = ev.emit.address(place.memory).data if place.memory.terms else Address(place.memory.symbol, place.memory.offset)
        base = Value(t.Pointer(place.type), data)
    else:
        ev.fail(node.arguments[1], "expected an array or a pointer")
    return Value(value.type, dsd.with_fields(base=base, element=element_bytes(base.type)))


def set_dsd_length(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@set_dsd_length(dsd, elements)``."""
    value, dsd = _dsd(ev, node, 2)
    if value.type == t.MEM4D:
        ev.fail(node, "the extents of a mem4d_dsd do not change")
    return Value(value.type, dsd.with_fields(extent=_length(ev, ev.evaluate(node.arguments[1]), node)))


def set_dsd_stride(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@set_dsd_stride(dsd, elements)``."""
    value, dsd = _dsd(ev, node, 2)
    if value.type != t.MEM1D:
        ev.fail(node, "only a mem1d_dsd has one stride")
    return Value(value.type, dsd.with_fields(stride=_stride(ev, ev.evaluate(node.arguments[1]), node)))


# ---- registers for descriptors ----


@dataclass(eq=False)
class Dsr:
    """A DSR of a file: its kind and number; ``held``: what was loaded into it last, as far as is known."""

    kind: str
    number: int
    loaded: Value | None = None
    options: dict[str, Value] | None = None
    saves: bool = False
    symbol: Any = None


def get_dsr(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@get_dsr(kind, id)``."""
    kind = ev.type_at(node.arguments[0])
    number = ev.known_int(ev.compiling(node.arguments[1]), node.arguments[1])
    return Value(kind, ev.unit.dsr(ev.scope.module, str(kind), number))
