"""A plan as the cores take it: records, parameters and latencies; and all of it as bytes, for the C library.

The bytes are read by ``src/program/compiled.c``, which checks every record: numbers are little-endian int32, a text is
its length with the 0 behind it, the text, and that 0."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsekern.program._pe import DESCRIPTOR, INSTRUCTION, LATENCY, PROGRAM, TYPE_CODES, seal
from wsekern.program.encode import core_latency, encode, stack
from wsekern.program.instructions import Placed
from wsekern.program.places import Places
from wsekern.program.plan import ProgramPlan
from wsekern.program.program import Program


@dataclass(frozen=True)
class Compiled:
    """Programs of a plan, within every budget of its machine, as records of :mod:`wsekern.program._pe`."""

    placed: list[Placed]
    """By program."""
    programs: NDArray[np.void]
    code: NDArray[np.void]
    descriptors: NDArray[np.void]
    routes: NDArray[np.void]
    parameters: NDArray[np.int32]
    """A copy of the plan's, (PEs, count): as many as the code of any program reads."""
    latency: NDArray[np.void]


def compile_plan(plan: ProgramPlan) -> Compiled:
    """Check every budget, and encode."""
    for program in plan.programs:
        program.check(plan.timing)
    placed = [encode(program, plan.timing, plan.banks) for program in plan.programs]
    parameters = plan.parameters.reshape(plan.program_of.size, -1).astype(np.int32)
    missing = max([item.parameters for item in placed], default=0) - parameters.shape[1]
    parameters = np.ascontiguousarray(np.pad(parameters, ((0, 0), (0, max(0, missing)))))
    return Compiled(placed, *stack(placed), parameters, core_latency(plan.timing, plan.banks))


def bytes_of(plan: ProgramPlan) -> bytes:
    """All that a simulation is made from, for ``wsk_program_open`` of the C library."""
    compiled = compile_plan(plan)
    tables = [compiled.latency, compiled.programs, compiled.code, compiled.descriptors]
    records = (compiled.programs, compiled.code, compiled.descriptors, compiled.routes)
    parts = [_numbers(plan.width, plan.height, *map(len, records), compiled.parameters.shape[1]),
             _numbers(*(kind.itemsize // 4 for kind in (PROGRAM, INSTRUCTION, DESCRIPTOR, LATENCY)))]
    parts += [_little(table.reshape(-1).view(np.int32)) for table in tables]
    parts += [b"".join(_route(route) for route in compiled.routes), _little(plan.program_of), _little(compiled.parameters)]
    places = Places(plan.programs, compiled.placed)
    for number, (program, placed) in enumerate(zip(plan.programs, compiled.placed, strict=True)):
        parts += _names(program, placed)
        for instruction in range(len(placed.code)):
            at = places.of(number, instruction)
            parts += [_numbers(at["line"]), _text(at["task"]), _text(at["text"])]
    return seal(b"".join(parts), plan.fabric.build())


def _names(program: Program, placed: Placed) -> Iterable[bytes]:
    """Name, symbols, functions, parameters and first values of a program."""
    addresses = program.addresses()
    yield _text(program.name) + _numbers(len(program.symbols))
    for name, (type, elements) in program.symbols.items():
        yield _text(name) + _numbers(TYPE_CODES[type], elements, addresses[name])
    for numbers in (placed.tasks, program.parameters):
        yield _numbers(len(numbers)) + b"".join(_text(name) + _numbers(number) for name, number in numbers.items())
    yield _numbers(len(program.initial))
    for name, values in program.initial.items():
        data = np.ascontiguousarray(values).tobytes()
        yield _numbers(addresses[name], len(data)) + data


def _route(route: np.void) -> bytes:
    """One ``ROUTE`` record: fields, then the ports of each position."""
    ports = [mask for pair in zip(route["in"], route["out"], strict=True) for mask in pair]
    return bytes([int(route[name]) for name in ("positions", "initial", "ring", "pop", "swap", "teardown")] + ports)


def _numbers(*values: int) -> bytes:
    return np.array(values, "<i4").tobytes()


def _little(table: NDArray) -> bytes:
    return table.astype("<i4").tobytes()


def _text(text: str) -> bytes:
    data = text.encode()
    return _numbers(len(data) + 1) + data + b"\0"
