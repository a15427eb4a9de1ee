"""Which value becomes which type: by itself (a parameter, an assignment), by ``@as``, by ``@bitcast``."""

from typing import Any

import numpy as np

from wsekern.csl import types as t
from wsekern.csl.arithmetic import wrap
from wsekern.csl.context import Context
from wsekern.csl.syntax import Node
from wsekern.csl.types import Type
from wsekern.csl.values import (
    Address,
    FunctionRef,
    Memory,
    Reg,
    Value,
    Varying,
    by_pe,
    element_of,
    number_dtype,
    rounded,
    shown,
    zero_of,
)


def coerce(ev: Context, value: Value, wanted: Type, node: Node) -> Value:
    """``value`` as ``wanted``, where CSL converts by itself; else an error at ``node`` that says what would help."""
    given = value.type
    if given == wanted or wanted in (t.ANY, t.AnyType("anyopaque")):
        return value
    if wanted == t.COMPTIME_STRUCT and isinstance(given, (t.Struct, t.Void)):
        return value
    if isinstance(given, t.ComptimeInt) and isinstance(wanted, (t.Int, t.ComptimeFloat, t.Float)):
        return _comptime_int(ev, value, wanted, node)
    if isinstance(value.data, Varying) and isinstance(wanted, (t.Float, t.ComptimeFloat)):
        raise ev.split(value.data)
    if isinstance(given, t.ComptimeFloat) and isinstance(wanted, t.Float):
        return Value(wanted, rounded(value.data, wanted))
    loses_type = (isinstance(given, t.Int), wanted) == (True, t.COMPTIME_INT) or (
        isinstance(given, t.Float), wanted) == (True, t.COMPTIME_FLOAT)
    if loses_type and not isinstance(value.data, (Reg, Varying)):
        return Value(wanted, value.data)
    if isinstance(given, t.Int) and isinstance(wanted, t.Int) and not isinstance(value.data, Reg):
        return _comptime_int(ev, value, wanted, node)  # known, and so known to fit: programs rely on it
    if t.widens(given, wanted):
        return Value(wanted, value.data) if isinstance(given, t.Pointer) else cast(ev, value, wanted, node)
    found = _structure(ev, value, wanted, node)
    if found is not None:
        return found
    if isinstance(given, t.Void) and value.data is None and (isinstance(wanted, t.Struct) and not wanted.names):
        return zero_of(wanted)
    ev.fail(node, f"expected {wanted}, found {shown(value) if isinstance(given, t.ComptimeInt) else f'a value of type {given}'}"
            + _help(given, wanted))


def _help(given: Type, wanted: Type) -> str:
    if t.is_number(given) and isinstance(wanted, (t.Int, t.Float, t.Bool)):
        return f"; @as({wanted}, ...) converts it"
    if isinstance(given, t.Array) and isinstance(wanted, t.Pointer):
        return "; put & before it for its address"
    return ""


def _comptime_int(ev: Context, value: Value, wanted: Type, node: Node) -> Value:
    if isinstance(wanted, (t.Float, t.ComptimeFloat)):
        ev.warn(node, f"a whole number where {wanted} is expected; write it with a decimal point")
        return Value(wanted, rounded(float(value.data), wanted) if isinstance(wanted, t.Float) else float(value.data))
    low, high = (value.data.each.min(), value.data.each.max()) if isinstance(value.data, Varying) else (value.data, value.data)
    assert isinstance(wanted, t.Int)
    if low < wanted.low or high > wanted.high:
        ev.fail(node, f"{low if low < wanted.low else high} is not in the range of {wanted}: {wanted.low} to {wanted.high}")
    return Value(wanted, value.data)


def _structure(ev: Context, value: Value, wanted: Type, node: Node) -> Value | None:
    """Structs, tuples, functions and pointers to them."""
    given = value.type
    if isinstance(given, t.Struct) and isinstance(value.data, dict):
        if isinstance(wanted, t.Struct):
            return _fields(ev, value, wanted, node)
        if isinstance(wanted, t.Array) and given.is_tuple:
            return array_of(ev, wanted, list(value.data.values()), node)
    if isinstance(given, t.Array) and isinstance(wanted, t.Array) and given.extents == wanted.extents and (
            value.known and not isinstance(value.data, Memory)):
        return array_of(ev, wanted, [element_of(value, k) for k in range(given.count)], node)
    if isinstance(given, t.FunctionType) and isinstance(wanted, t.FunctionType) and isinstance(value.data, FunctionRef):
        if (given.parameters, given.result) != (wanted.parameters, wanted.result):
            ev.fail(node, f"expected {wanted}, found '{value.data.name}', which is {given}")
        return value
    if isinstance(wanted, t.Pointer) and isinstance(wanted.element, t.FunctionType) and isinstance(given, t.FunctionType):
        if isinstance(value.data, FunctionRef):
            ev.unit.function_number(value.data)
        return Value(wanted, value.data)
    if isinstance(given, t.FunctionType) and isinstance(wanted, t.Opaque) and isinstance(value.data, FunctionRef):
        task = ev.unit.task_of(value.data)  # the name of a task stands for its id
        return task if task is not None and task.type == wanted else None
    return None


def _fields(ev: Context, value: Value, wanted: t.Struct, node: Node) -> Value:
    given: dict[str, Value] = value.data
    extra = [name for name in given if name not in wanted.names]
    missing = [name for name in wanted.names if name not in given]
    if extra:
        ev.fail(node, f"{wanted} has no field '{extra[0]}': it has {', '.join(wanted.names) or 'none'}")
    if missing and not wanted.union:
        ev.fail(node, f"the field '{missing[0]}' of {wanted} is missing")
    return Value(wanted, {name: coerce(ev, given[name], kind, node)
                          for name, kind in zip(wanted.names, wanted.types, strict=True) if name in given})


def array_of(ev: Context, kind: t.Array, elements: list[Value], node: Node) -> Value:
    """A known array of elements."""
    if len(elements) != kind.count:
        ev.fail(node, f"{kind} has {kind.count} elements, found {len(elements)}")
    held = [coerce(ev, each, kind.element, node) for each in elements]
    if any(isinstance(each.data, Reg) for each in held):
        return ev.array_in_memory(kind, held)
    data = [each.data for each in held]
    dtype = number_dtype(kind.element)
    if dtype is None or any(isinstance(each, Varying) for each in data):
        return Value(kind, data)
    return Value(kind, np.array(data, dtype))


def cast(ev: Context, value: Value, wanted: Type, node: Node) -> Value:
    """``@as(wanted, value)``: numbers, truths, enums."""
    given = value.type
    if given == wanted:
        return value
    numbers = (t.Int, t.Float, t.ComptimeInt, t.ComptimeFloat, t.Bool, t.Enum)
    if not (isinstance(given, numbers) and isinstance(wanted, numbers)):
        if isinstance(given, t.Opaque) and isinstance(wanted, t.Int):
            return cast(ev, Value(t.U16, value.data), wanted, node)
        return coerce(ev, value, wanted, node)
    if isinstance(value.data, Reg):
        if t.is_comptime(wanted):
            ev.fail(node, f"a value that is known only at run time cannot become {wanted}")
        return Value(wanted, ev.emit.convert(value, wanted))
    return Value(wanted, _number(ev, value.data, given, wanted, node))


def _number(ev: Context, data: Any, given: Type, wanted: Type, node: Node) -> Any:
    if isinstance(data, Varying) and any(isinstance(each, (t.Float, t.ComptimeFloat)) for each in (given, wanted)):
        raise ev.split(data)
    if wanted == t.BOOL:
        return by_pe(data.each != 0) if isinstance(data, Varying) else bool(data != 0)
    if isinstance(wanted, (t.Float, t.ComptimeFloat)):
        return rounded(float(data), wanted) if isinstance(wanted, t.Float) else float(data)
    integer_type = wanted.type if isinstance(wanted, t.Enum) else wanted
    if isinstance(data, Varying):
        return by_pe(np.asarray(wrap(integer_type, data.each.astype(np.int64))))
    if isinstance(data, float):
        if data != data or data in (float("inf"), float("-inf")):
            ev.fail(node, f"{data} cannot become {wanted}")
        data = int(data)
    return wrap(integer_type, int(data))


def bitcast(ev: Context, value: Value, wanted: Type, node: Node) -> Value:
    """``@bitcast(wanted, value)``: the same bits as another type of the same width."""
    given = value.type
    if isinstance(given, (t.ComptimeInt, t.ComptimeFloat)):
        ev.fail(node, f"the bits of a {given} are not defined; @as gives it a type first")
    sizes = [_bits(each) for each in (given, wanted)]
    pointer = isinstance(given, t.Pointer) or isinstance(wanted, t.Pointer)  # before 2.10 addresses had 16 bits
    if (sizes[0] != sizes[1] or not sizes[0]) and not (pointer and {*sizes} <= {16, 32}):
        ev.fail(node, f"{given} has {sizes[0]} bits and {wanted} {sizes[1]}: @bitcast needs as many in both")
    if isinstance(value.data, Address) and not isinstance(wanted, t.Pointer) and ev.runtime:
        return Value(wanted, ev.emit.register(value))  # a number to compute with
    if isinstance(value.data, (Reg, Address)) or isinstance(wanted, t.Pointer):
        return Value(wanted, value.data)
    if isinstance(value.data, Varying):
        if isinstance(wanted, t.Float) or isinstance(given, t.Float):
            raise ev.split(value.data)
        return Value(wanted, by_pe(np.asarray(wrap(wanted, value.data.each))))
    return Value(wanted, _same_bits(value.data, given, wanted))


def _bits(kind: Type) -> int:
    if isinstance(kind, t.Int):
        return kind.bits
    return 8 * kind.bytes if isinstance(kind, (t.Float, t.Pointer, t.Opaque)) else 16 if kind == t.BOOL else 0


def _same_bits(data: Any, given: Type, wanted: Type) -> Any:
    if isinstance(given, t.Float):
        raw = number_dtype(given).type(data)
        bits = int(np.float32(data).view(np.uint32)) >> 16 if str(given) == "bf16" else int(raw.view(f"u{raw.itemsize}"))
    else:
        bits = int(data) & ((1 << _bits(given)) - 1)
    if isinstance(wanted, t.Float):
        if str(wanted) == "bf16":
            return float(np.uint32(bits << 16).view(np.float32))
        kind = number_dtype(wanted)
        return float(np.array(bits, f"u{kind.itemsize}").view(kind))
    return wrap(wanted, bits)
