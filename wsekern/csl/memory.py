"""How values lie in the memory of a PE."""

from collections.abc import Callable

import numpy as np

from wsekern.csl import types as t
from wsekern.csl.dsds import Dsr
from wsekern.csl.emit import Unsupported, machine_type
from wsekern.csl.values import Address, FunctionRef, Symbol, Value, Varying, element_of
from wsekern.csl.wide import is_wide
from wsekern.program.operands import NUMPY_TYPES, TYPE_BYTES
from wsekern.program.values import register_bits


def layout_of(kind: t.Type) -> tuple[str, int]:
    """(element type, elements) of a symbol of a type."""
    if isinstance(kind, t.Array):
        try:
            return machine_type(kind.element), kind.count
        except Unsupported:
            return "u32", -(-kind.bytes // 4)
    if isinstance(kind, (t.Struct, t.DsdType)):
        return "u32", -(-kind.bytes // 4)
    try:
        return machine_type(kind), 1
    except Unsupported:
        return "u32", max(1, -(-kind.bytes // 4))


def has_pointers(kind: t.Type) -> bool:
    """Whether values of a type hold addresses."""
    if isinstance(kind, t.Array):
        return has_pointers(kind.element)
    if isinstance(kind, t.Struct):
        return any(has_pointers(each) for each in kind.types)
    return isinstance(kind, (t.Pointer, t.DsdType))


NumberOf = Callable[[FunctionRef], int]
"""Gives the value of a pointer to a function."""


def words_of(symbol: Symbol, kind: str, count: int, addresses: dict[str, int] | None = None,
             number_of: NumberOf | None = None) -> np.ndarray | None:
    """Initial elements of a symbol, None where they are zeros."""
    if symbol.initial is None:
        return None
    raw = bytes_of(symbol.initial, symbol.type, addresses or {}, number_of)
    raw = raw.ljust(count * TYPE_BYTES[kind], b"\0")[: count * TYPE_BYTES[kind]]
    return np.frombuffer(raw, NUMPY_TYPES[kind]).copy()


def bytes_of(value: Value, kind: t.Type, addresses: dict[str, int], number_of: NumberOf | None = None) -> bytes:
    """A value as memory holds it."""
    data = value.data
    if isinstance(kind, t.Array):
        if isinstance(data, np.ndarray) and kind.element.bytes == data.dtype.itemsize and str(kind.element) != "bf16":
            return data.tobytes()
        return b"".join(bytes_of(element_of(value, k), kind.element, addresses, number_of) for k in range(kind.count))
    if isinstance(kind, t.Struct):
        found = bytearray(kind.bytes)
        for name, each in (data or {}).items():
            part = bytes_of(each, each.type, addresses, number_of)
            found[kind.offset(name) : kind.offset(name) + len(part)] = part
        return bytes(found)
    if isinstance(kind, t.DsdType):
        parts = [getattr(data, name, None) for name in ("base", "extent", "stride")]
        return b"".join(bytes_of(part, t.I32 if not isinstance(part.type, t.Pointer) else part.type, addresses)
                        if part is not None else bytes(4) for part in parts)
    if isinstance(data, Address):
        return (addresses.get(data.symbol.name, 0) + data.offset).to_bytes(4, "little")
    if isinstance(data, Varying):
        data = data.each[0].item()
    if isinstance(data, FunctionRef) and number_of is not None:
        return number_of(data).to_bytes(4, "little")
    if data is None or isinstance(data, (FunctionRef, Dsr)):
        return bytes(kind.bytes)
    if is_wide(kind):
        return (int(data) & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")
    bits = register_bits(int(data) if isinstance(data, bool) else data, machine_type(kind))
    return bits.to_bytes(max(2, kind.bytes), "little")
