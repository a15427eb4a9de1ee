"""Where the variables of a program are while it runs, for who looks at it by the names of CSL."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from wsekern.csl import types as t
from wsekern.csl.emit import Unsupported, machine_type
from wsekern.csl.image import Variable
from wsekern.csl.ir import Frame
from wsekern.csl.memory import layout_of
from wsekern.csl.scope import Constant, Held, Module, Stored
from wsekern.csl.types import Type
from wsekern.csl.values import Memory, Reg, Symbol, Value, Varying


def in_memory(name: str, kind: Type, symbol: str, offset: int = 0) -> Iterator[Variable]:
    """A variable in memory; of a struct its fields, of a DSD its parts."""
    if isinstance(kind, t.Struct):
        for each in kind.names:
            yield from in_memory(f"{name}.{each}", kind.type_of(each), symbol, offset + kind.offset(each))
    elif isinstance(kind, t.DsdType):
        for k, part in enumerate(("base", "extent", "stride")):
            yield Variable(f"{name}.{part}", "i32", "i32", (), symbol, offset + 4 * k)
    else:
        element, count = layout_of(kind)
        shape = kind.extents if isinstance(kind, t.Array) and count == kind.count else (count,) if count > 1 else ()
        yield Variable(name, str(kind), element, shape, symbol, offset)


def names_of(modules: list[Module]) -> dict[Module, str]:
    """What goes before the names of a module's variables: how its importer calls it, and a dot; of the first, nothing."""
    found: dict[Module, str] = {}
    for module in modules:
        found.setdefault(module, "" if module.importer is None else f"{module.name}.")
        for name, binding in module.names.items():
            if isinstance(binding, Constant) and isinstance(binding.value.type, t.ModuleType):
                found.setdefault(binding.value.data, f"{found[module]}{name}.")
    return found


def globals_of(modules: list[Module]) -> tuple[list[Variable], dict[str, np.ndarray]]:
    """Variables and constants of modules; and by name those that are known and differ between PEs."""
    found: list[Variable] = []
    numbers: dict[str, np.ndarray] = {}
    for module, prefix in names_of(modules).items():
        for name, binding in module.names.items():
            if isinstance(binding, Stored) and binding.symbol.used:
                found += in_memory(prefix + name, binding.symbol.type, binding.symbol.name)
                continue
            value = binding.symbol.initial if isinstance(binding, Stored) else getattr(binding, "value", None)
            if value is not None and isinstance(value.data, Varying):
                numbers[prefix + name] = value.data.each
            elif value is not None and isinstance(value.data, (int, float)):
                found.append(Variable(prefix + name, str(value.type), "", value=value.data))
    return found, numbers


def locals_of(frame: Frame, places: dict[int, int], register: Any) -> Iterator[Variable]:
    """Variables of a function: ``places``: where in the program's code its marks are; ``register``: the core's numbers."""
    for named in frame.variables:
        first, last = (places[id(mark)] for mark in named.marks or ())
        life = {"function": named.title or frame.title, "first": first, "last": last}
        binding = named.binding
        if isinstance(binding, Stored):
            yield from _living(in_memory(named.name, binding.symbol.type, binding.symbol.name), life)
        elif isinstance(binding, (Constant, Held)):
            yield from _living(_held(named.name, binding.value, register), life)


def _living(variables: Iterator[Variable], life: dict[str, Any]) -> Iterator[Variable]:
    for each in variables:
        yield replace(each, **life)


def _held(name: str, value: Value, register: Any) -> Iterator[Variable]:
    """A variable whose scalars are in registers, or known."""
    data = value.data
    if isinstance(data, dict):
        for field, each in data.items():
            yield from _held(f"{name}.{field}", each, register)
    elif isinstance(data, Reg):
        try:
            yield Variable(name, str(value.type), machine_type(value.type), register=register(data))
        except Unsupported:
            return
    elif isinstance(data, Memory) and isinstance(data.symbol, Symbol) and not data.terms:
        yield from in_memory(name, value.type, data.symbol.name, data.offset)
    elif isinstance(data, (int, float)):
        yield Variable(name, str(value.type), "", value=data)
