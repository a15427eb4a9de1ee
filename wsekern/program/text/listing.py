"""Programs as readable text, an assembler's listing, that :mod:`wsekern.program.text.parser` reads back.

A line is a directive, a label or an instruction; ``;`` begins a comment::

    .program left
    .symbol A fp32 8
    .symbol x fp32 2
    .symbol y fp32 4
    .output 0 color 3
    .descriptor column = A[4]
    .task compute local
    task compute:
        constant.i32 r1, 0
        load.fp32 r3, x[r1]
        fmacs y[4], y[4], r3.fp32, @column
        fmovs fabout 0 fp32[4], y[4] microthread=auto
        end

``.from "pe.csl" 12 compute`` before an instruction says where a compiler found it and those that follow: file, line, function.

Operands: ``y[4, offset=2, stride=3]`` mem1d, ``y[(2, 3), strides=(6, 1)]`` mem4d, ``y[8, type=u16]`` either as elements of
another type, ``ring y[4]``, ``fifo f[4]``, ``fabin 0 fp32[4]`` and ``fabout 0 fp32[4]`` (queue, type, elements), ``r3.fp32``
a register, ``@column`` a named descriptor. What differs from its default follows as ``key=value``. A name that is no plain
word stands in quotes.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import numpy as np

from wsekern.fabric.routes import POP_MODES, Route, ports_of
from wsekern.program.instructions import OPERATIONS, Instruction, Label, Origin, Scalar, Vector
from wsekern.program.operands import NUMPY_TYPES, Fabric, Fifo, Mem, Mem4d, Named, Operand, Register, Ring
from wsekern.program.symbols import Symbols
from wsekern.program.text.grammar import REGISTER, RESERVED, SLOT_FIELDS, SLOTS, WORD, number_of

VALUES_PER_LINE = 16


def program_text(program: Symbols) -> str:
    """``program`` as text; ``Program.parse`` makes an equal program of it."""
    return "\n".join(listing(program)[0]) + "\n"


def listing(program: Symbols) -> tuple[list[str], list[int]]:
    """Lines of the text, and the number of the line (from 1 on) of each item of ``program.code``."""
    lines, numbers, origin = list(_directives(program)), [], None
    for place, item in enumerate(program.code):
        if program.origins and not isinstance(item, Label) and program.origins.get(place) != origin:
            origin = program.origins.get(place)
            lines.append(f"  .from {_origin_text(origin)}")
        if isinstance(item, Label):
            lines += [""] * item.name.startswith("task ") + [instruction_text(item)]
        else:
            lines.append("    " + instruction_text(item, program) + _remark(item, program))
        numbers.append(len(lines))
    return lines, numbers


def instruction_text(item: Instruction, program: Symbols | None = None) -> str:
    """One instruction as a line; FIFOs in short where ``program`` says what they are."""
    if isinstance(item, Label):
        return f"{name_text(item.name)}:"
    if isinstance(item, Vector):
        return _vector_text(item, program)
    return _scalar_text(item, program)


def name_text(name: str) -> str:
    """A name as it is where it is a plain word (or ``task`` and one), else in quotes."""
    head, _, rest = name.partition(" ")
    if head == "task" and _is_plain(rest):
        return name
    return str(name) if _is_plain(name) else json.dumps(name)


def _is_plain(name: str) -> bool:
    return bool(WORD.fullmatch(name)) and name not in RESERVED and not REGISTER.fullmatch(name)


# ---- directives

def _directives(program: Symbols) -> Iterator[str]:
    yield f".program {name_text(program.name)}"
    for name, (type, elements) in program.symbols.items():
        yield f".symbol {name_text(name)} {type} {elements}"
    for name, values in program.initial.items():
        yield from _values(name, values, program.symbols[name][0])
    for word, bindings in (("input", program.inputs), ("output", program.outputs)):
        for queue, color in bindings.items():
            yield f".{word} {queue} color {color}"
    if program.blocked_queues:
        yield f".blocked_queues {' '.join(map(str, sorted(program.blocked_queues)))}"
    for name, place in program.parameters.items():
        yield f".parameter {name_text(name)} {place}"
    for name, fifo in program.fifos.items():
        yield f".fifo {name_text(name)} = {operand_text(fifo, 'fabric')}"
    for name, operand in program.descriptors.items():
        yield f".descriptor {name_text(name)} = {operand_text(operand, 'fabric', program)}"
    for name, route in program.routes.items():
        yield f".route {name_text(name)} {_route_text(route)}"
    for name, task in program.tasks.items():
        more = "" if task.number is None else f" number={task.number}"
        more += " active" * task.active + " blocked" * task.blocked
        more += f" priority={task.priority}" if task.priority != "low" else ""
        more += f" at={name_text(task.label)}" if task.label != f"task {name}" else ""
        yield f".task {name_text(name)} {task.kind}{more}"
    if program.kept_registers != {0}:
        yield " ".join([".kept", *(f"r{number}" for number in sorted(program.kept_registers))])
    if program.labels:
        yield f".labels {program.labels}"


def _origin_text(origin: Origin | None) -> str:
    return "none" if origin is None else f"{json.dumps(origin.file)} {origin.line} {name_text(origin.function)}"


def _values(name: str, values: np.ndarray, type: str) -> Iterator[str]:
    """Lines of initial values; equal ones behind each other as ``value*count``."""
    runs: list[list] = []
    for text in (value_text(value, type) for value in values):
        if runs and runs[-1][0] == text:
            runs[-1][1] += 1
        else:
            runs.append([text, 1])
    words = [text if count == 1 else f"{text}*{count}" for text, count in runs]
    for first in range(0, max(1, len(words)), VALUES_PER_LINE):
        yield " ".join([f".values {name_text(name)}", *words[first:first + VALUES_PER_LINE]])


def value_text(value: Any, type: str) -> str:
    """One element, so that the same bits come back: a number, or the bits in hexadecimal where no number says them."""
    kind = np.dtype(NUMPY_TYPES[type])
    value = kind.type(value)
    text = hex(int(value)) if type == "bf16" else str(value)
    if kind.kind == "f" and np.asarray(number_of(text, type), kind).tobytes() != value.tobytes():
        return hex(int(value.view(np.uint16 if kind.itemsize == 2 else np.uint32)))
    return text


def _route_text(route: Route) -> str:
    def ports(mask: int) -> str:
        return " ".join(port.name for port in ports_of(mask))

    positions = [f"({ports(rx)} -> {ports(tx)})" for rx, tx in zip(route.rx, route.tx, strict=True)]
    words = [f"initial={route.initial}"] * bool(route.initial) + ["ring"] * route.ring
    words += [f"pop={POP_MODES[route.pop]}"] * bool(route.pop) + ["swap_ew"] * route.swap_ew
    return " ".join([*positions, *words, *["swap_ns"] * route.swap_ns, *["teardown"] * route.teardown])


# ---- operands

def operand_text(operand: Operand | None, direction: str, program: Symbols | None = None) -> str:
    """One operand; ``direction`` is what a fabric descriptor is called there: fabin, fabout, or fabric where both go."""
    if operand is None:
        return "-"
    if isinstance(operand, Register):
        return f"r{operand.number}.{operand.type}"
    if isinstance(operand, Named):
        return f"@{name_text(operand.name)}"
    if isinstance(operand, Fabric):
        return f"{direction} {operand.queue} {operand.type}" + _brackets(operand, ("queue", "type"))
    if isinstance(operand, Fifo):
        return _fifo_text(operand, program)
    if isinstance(operand, Mem4d):
        return f"{name_text(operand.symbol)}[{_tuple(operand.shape)}, strides={_tuple(operand.strides)}" + (
            f", offset={operand.offset}" if operand.offset else "") + (f", type={operand.type}]" if operand.type else "]")
    return "ring " * isinstance(operand, Ring) + name_text(operand.symbol) + _brackets(operand, ("symbol",))


def _tuple(numbers: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, numbers))})"


def _brackets(operand: Mem | Ring | Fabric, outside: tuple[str, ...]) -> str:
    """The extent, and all that differs from its default, in brackets."""
    words = [str(operand.extent)]
    for f in fields(operand):
        value = getattr(operand, f.name)
        if f.name in (*outside, "extent") or (value == f.default and type(value) is type(f.default)):
            continue
        text = value if isinstance(value, str) else "yes" if value is True else "no" if value is False else int(value)
        words.append(f"{f.name}={text}")
    return f"[{', '.join(words)}]"


def _fifo_text(fifo: Fifo, program: Symbols | None) -> str:
    """A FIFO as an operand: what its program says of it already is left out."""
    known = program.fifos.get(fifo.name) if program else None
    base = known or Fifo(fifo.name, fifo.name)
    words = [str(fifo.extent)] if fifo.extent != base.extent else []
    for name in ("symbol", "on_push", "on_pop"):
        value = getattr(fifo, name)
        if value != getattr(base, name):
            words.append(f"{name}={'none' if value is None else name_text(value)}")
    return f"fifo {name_text(fifo.name)}" + (f"[{', '.join(words)}]" if words else "")


# ---- instructions

def _vector_text(item: Vector, program: Symbols | None) -> str:
    operands = [item.dst, item.a, item.b, item.c]
    while operands[-1] is None:
        operands.pop()
    words = [operand_text(operand, "fabin" if k else "fabout", program) for k, operand in enumerate(operands)]
    more = []
    for f in fields(item)[5:]:
        value = getattr(item, f.name)
        if value == f.default and type(value) is type(f.default):
            continue
        if f.name == "terminate":
            more.append("terminate")
        elif f.name == "microthread":
            more.append(f"microthread={'auto' if value == -1 else value}")
        elif f.name == "between" and value == -1:
            more.append("between=auto")
        elif f.name in ("done", "times"):
            more.append(f"{f.name}=r{value}")
        else:
            more.append(f"{f.name}={name_text(value) if isinstance(value, str) else int(value)}")
    return " ".join([f"{item.name} {', '.join(words)}", *more])


def _scalar_text(item: Scalar, program: Symbols | None) -> str:
    is_operation = item.form == "scalar" and item.op in OPERATIONS
    slots = SLOTS[item.form]
    written = {name for slot in slots for name in SLOT_FIELDS.get(slot, (slot,))} | {"form", "type"}
    words = [_SLOT_TEXTS.get(slot, _register)(item, slot, program) for slot in slots]
    while words and words[-1] == ("-" if is_operation else ""):
        words.pop()
    more = [""]
    for f in fields(item):
        value = getattr(item, f.name)
        if f.name not in written and value != f.default and not (is_operation and f.name == "op"):
            of_parameter = item.form == "spend" and f.name == "a"
            more.append(f"parameter={value}" if of_parameter else f"{f.name}={_field_text(f.name, value)}")
    mnemonic = item.op if is_operation else item.form
    suffix = f".{item.type}" if item.type != "u32" or {"dst", "element", "written"} & set(slots) else ""
    return f"{mnemonic}{suffix} {', '.join(words)}".rstrip() + " ".join(more)


def _field_text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return name_text(value)
    return f"r{value}" if name in ("dst", "a", "b", "c") else str(value)


def _register(item: Scalar, slot: str, program: Symbols | None) -> str:
    number = getattr(item, slot)
    return "-" if number is None else f"r{number}"


def _with_index(name: str | None, register: int | None) -> str:
    """``name``, ``name[register]``, the register alone, or nothing."""
    if name is None:
        return "" if register is None else f"r{register}"
    return name_text(name) + ("" if register is None else f"[r{register}]")


def _bits_text(item: Scalar, slot: str, program: Symbols | None) -> str:
    kind = np.dtype(NUMPY_TYPES[item.type])
    if not 0 <= item.imm < 1 << 8 * kind.itemsize:
        return f"bits {item.imm}"
    bits = np.asarray(item.imm, np.uint16 if kind.itemsize == 2 else np.uint32)
    return value_text(bits.view(kind)[()], item.type)


def _name(item: Scalar, slot: str, program: Symbols | None) -> str:
    return "-" if item.target is None else name_text(item.target)


_SLOT_TEXTS: dict[str, Callable[[Scalar, str, Symbols | None], str]] = {
    "imm": lambda item, slot, program: str(item.imm),
    "bits": _bits_text,
    "from": lambda item, slot, program: str(item.source),
    "element": lambda item, slot, program: _with_index(item.target, item.a),
    "place": lambda item, slot, program: _with_index(item.source, item.a),
    "index": lambda item, slot, program: "" if item.a is None else f"r{item.a}",
    "read": lambda item, slot, program: operand_text(item.target, "fabin", program),
    "written": lambda item, slot, program: operand_text(item.target, "fabout", program),
    "own": lambda item, slot, program: f"@{name_text(item.target)}",
    "copied": lambda item, slot, program: f"@{name_text(item.source)}",
    "label": _name, "task": _name, "route": _name,
}


def _remark(item: Instruction, program: Symbols) -> str:
    """Colors of the queues and names of the parameters that an instruction speaks of, as a comment."""
    words = []
    if isinstance(item, Scalar):
        operands = [item.target] if item.form in ("take", "give") else []
        if item.form == "parameter":
            words += [name_text(name) for name, place in program.parameters.items() if place == item.imm]
        elif item.form == "spend" and item.a is not None:
            words.append(f"as many cycles as parameter {item.a} says")
    else:
        operands = item.operands if isinstance(item, Vector) else []
    for operand in operands:
        if isinstance(operand, Fabric):
            target = operand is operands[0] and not (isinstance(item, Scalar) and item.form == "take")
            color = (program.outputs if target else program.inputs).get(operand.queue)
            words += [] if color is None else [f"color {color} {'out' if target else 'in'}"]
    return "  ; " + ", ".join(words) if words else ""
