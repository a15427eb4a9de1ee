"""Lists of vector instructions on memory, from which the program of an operation and its clocks are made."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from wsekern.machine.timing import Timing
from wsekern.ops.local.arithmetic import store
from wsekern.ops.operation import Emission
from wsekern.program import Mem, Mem4d
from wsekern.program.operands import ElementType

Constant = tuple[float, str]
"""A number for all elements, and its type."""


@dataclass(frozen=True)
class Do:
    """One vector instruction; the symbols of its operands are words that :func:`emit_work` gives names."""

    instruction: str
    elements: int
    operands: tuple[Mem | Mem4d | Constant, ...]
    """Target, then sources."""
    repeat: int = 1
    between: int = 0


def work_cycles(items: Iterable[Do], timing: Timing) -> tuple[int, int]:
    """(compute, overhead) cycles of instructions one after the other."""
    compute = overhead = 0
    for item in items:
        compute += item.repeat * timing.elements(item.instruction, item.elements)
        overhead += timing.setup(item.instruction) + item.repeat * item.between
    return compute, overhead


def emit_work(out: Emission, items: Iterable[Do], names: Mapping[str, str],
              sizes: Mapping[str, tuple[ElementType, int]]) -> None:
    """Write instructions. ``names``: symbols that are there; ``sizes``: type and elements of those that are made where an
    instruction names them, zero when the program is loaded."""
    program, known = out.program, dict(names)
    for item in items:
        operands = []
        for operand in item.operands:
            if isinstance(operand, tuple):
                number, type = operand
                kept = np.uint16(number) if type == "u16" else store(type, np.full(1, number, np.float32))
                operands.append(Mem(program.memory(f"{number}.{type}.{out.serial}", type, 1, kept), 1, 0, 0))
                continue
            if operand.symbol not in known:
                known[operand.symbol] = program.memory(f"{operand.symbol}.{out.serial}", *sizes[operand.symbol], 0)
            operands.append(replace(operand, symbol=known[operand.symbol]))
        program.emit(item.instruction, *operands, repeat=item.repeat, between=item.between)
