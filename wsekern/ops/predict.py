"""``predict op``: one mesh operation on the flow engine's clocks, without values."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil
from typing import Any, NamedTuple

import numpy as np

from wsekern.errors import InputError
from wsekern.machine import Machine, load_machine
from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops.choose import (
    Choice,
    best_allreduce,
    best_broadcast,
    best_gemm,
    best_gemv,
    best_reduce,
    best_reduce_2d,
    crossover,
    plot_crossover,
)
from wsekern.ops.engines.cycle import CycleEngine
from wsekern.ops.engines.engine import Engine
from wsekern.ops.engines.flow import FlowEngine
from wsekern.ops.lines.allreduce import default_groups
from wsekern.ops.operation import ELEMENT_TYPES, Axis, Operation, check_count
from wsekern.ops.registry import CROSSOVERS, LOCAL, SPECS, OpSpec, find_spec
from wsekern.ops.request import OpRequest

ENERGY_UNIT = {"energy_unit": "link traversals"}
"""What energy counts: wavelets times links."""


class ChoiceSpec(NamedTuple):
    """A choice of the fastest algorithm: what it chooses, its sizes, the number format where none is asked for, and how."""

    summary: str
    sizes: str
    precision: str
    lines: bool
    """Whether it goes along lines, whose axis may be asked for."""
    choose: Callable[[OpRequest, tuple[Any, ...]], Choice]


def _best_reduce(r: OpRequest, how: tuple[Any, ...]) -> Choice:
    if r.along or min(r.width, r.height) == 1:
        return best_reduce(r.line, r.elements(), *how, r.axis)
    return best_reduce_2d(r.width, r.height, r.elements(), *how)


_CHOICES = {
    "best-reduce": ChoiceSpec("The fastest reduction of a line, or of a grid, to its first PE.", "words", "fp32", True,
                              _best_reduce),
    "best-allreduce": ChoiceSpec("The fastest sum of a line to all its PEs.", "words", "fp32", True,
                                 lambda r, how: best_allreduce(r.line, r.elements(), *how, r.axis)),
    "best-broadcast": ChoiceSpec("The fastest way of a tile from the first PE of a grid to all.", "words", "fp32", False,
                                 lambda r, how: best_broadcast(r.width, r.height, r.elements(), *how)),
    "best-gemv": ChoiceSpec("The fastest product of a vector and a matrix.", "tile ROWSxCOLS", "fp16", False,
                            lambda r, how: best_gemv(r.width, *r.tile_of("ROWSxCOLS"), *how, r.height)),
    "best-gemm": ChoiceSpec("The fastest product of matrices.", "tile MxKxN", "fp16", False,
                            lambda r, how: best_gemm(r.width, r.tile_of("MxKxN"), *how, r.height)),
}
_SIZES = re.compile(r"\b(?:tile|words|groups|relays|tail|receivers)\b")
"""Names of sizes in the words of a table."""
OPERATIONS = (*(spec.name for spec in SPECS), "vector-INSTRUCTION", LOCAL.name)
"""Names that :func:`predict_op` knows."""


class OperationRow(NamedTuple):
    """A row of the table of operations."""

    name: str
    summary: str
    """What it does, in one sentence."""
    sizes: str
    """Sizes that it needs beside the grid; those in brackets have a default."""
    precision: str
    """Number format where none is asked for."""


def operation_table() -> list[OperationRow]:
    """Everything that ``predict op`` can be asked for, in the order in which it is listed."""
    operations = [OperationRow(spec.name, spec.summary, spec.sizes, spec.precision) for spec in (*SPECS, LOCAL)]
    operations.insert(-1, OperationRow("vector-INSTRUCTION", "One vector instruction of one PE, such as vector-fmuls.",
                                       "words, no grid", "fp16"))
    choices = [OperationRow(name, choice.summary, choice.sizes, choice.precision) for name, choice in _CHOICES.items()]
    crossovers = [OperationRow(f"{kind}-crossover", f"Cycles of every algorithm of {kind} against PEs, and where the fastest "
                               "changes.", "words, no grid", "fp32") for kind in CROSSOVERS]
    return operations + choices + crossovers


def predict_op(name: str, machine: str | Machine, profile: str = "silicon", *, grid: tuple[int, int] | None = None,
               tile: tuple[int, ...] | None = None, groups: int | tuple[int, ...] | None = None, relays: int | None = None,
               words: int | None = None, precision: str | None = None, receivers: int | None = None,
               conflict: bool = False, engine: str = "flow", plot: str | None = None,
               axis: Axis | None = None, tail: int | None = None) -> dict[str, Any]:
    """Cycles, link traversals and breakdown of operation ``name`` on a ``grid`` (width, height) of PEs.

    ``tile`` is what one PE holds: rows x cols, or m x k x n; ``groups`` counts groups of an all-reduce (of a K-tree those
    of every level, such as (60, 8)), and PEs of a group of the two-phase reduce; ``receivers`` stands for a grid of one
    line. A vector instruction such as ``vector-fmuls`` takes ``words`` elements, from operands that meet in a memory bank
    where ``conflict``. Without a ``precision``, words are wavelets (fp32, or u32 for the line multicast) and tiles fp16.
    ``tail`` counts fp32 elements that ride behind the words of an all-reduce.
    ``local-KIND`` is local vector work such as ``local-exp`` on ``words`` elements of a row. ``engine="cycle"`` moves every
    wavelet (of zeros) instead; products of matrices then run staged, without microthreads. ``note`` says where
    the flow engine's clocks are bounds, and where tiles do not fit a PE. ``timed`` says what the cycles are those of: an
    operation along lines runs on all lines of the grid at once, along ``axis`` (x or y), which is y where it is not given and
    there are columns of several PEs (x of a shift).

    ``best-OPERATION`` is the fastest algorithm with its reason; ``reduce-crossover`` and ``allreduce-crossover`` are the
    cycles of every algorithm against PEs and where the fastest changes, drawn to the file ``plot`` where one is given.
    :func:`operation_table` lists all names.
    """
    if not isinstance(name, str):
        raise InputError(f"{name!r} is no name of an operation")
    levels = groups if isinstance(groups, tuple) else ()
    request = OpRequest(name=name, machine=load_machine(machine), profile=profile,
                        grid=grid, tile=tile, groups=None if isinstance(groups, tuple) else groups, levels=levels,
                        relays=relays, words=words, receivers=receivers, precision=precision, conflict=conflict, engine=engine,
                        plot=plot, along=axis, tail=tail)
    _check_unused(request)
    if name.startswith("vector-"):
        return _predict_vector(request)
    if name.endswith("-crossover"):
        return _predict_crossover(request)
    if name in _CHOICES and grid is not None:
        return _predict_choice(request)
    return _predict_operation(request)


def _check_unused(request: OpRequest) -> None:
    """Refuse what is asked for and would not be used."""
    name, spec = request.name, _CHOICES.get(request.name) or find_spec(request.name)
    off_grid = name.startswith("vector-") or name.endswith("-crossover")
    if spec is None and not off_grid:
        return      # refused by name later
    if request.along is not None and off_grid:
        raise InputError(f"axis is {request.along}: {name} does not lie on a grid")
    sizes = _SIZES.findall(spec.sizes if spec and not off_grid else "words")
    groups = (request.levels or None) if request.groups is None else request.groups
    given = {"tile": request.tile, "groups": groups, "relays": request.relays, "words": request.words,
             "tail": request.tail, "receivers": request.receivers, "grid": request.grid if off_grid else None}
    unused = [size for size, value in given.items() if value is not None and size not in sizes]
    if unused:
        raise InputError(f"{name} has no {' and no '.join(unused)}: leave {'them' if len(unused) > 1 else 'it'} out; its sizes "
                         f"are {' and '.join(sizes if off_grid else ['grid', *sizes])}")
    if request.plot is not None and not name.endswith("-crossover"):
        raise InputError(f"{name} has no plot: use one of {', '.join(f'{kind}-crossover' for kind in CROSSOVERS)}")
    if request.engine != "flow" and (off_grid or name in _CHOICES):
        raise InputError(f"engine is {request.engine}: {name} is timed by the flow engine's clocks only, leave it out")
    if request.receivers is not None and request.grid is not None:
        raise InputError("receivers stands for a grid of one line: give either grid or receivers")


def _predict_operation(request: OpRequest) -> dict[str, Any]:
    """An operation of the registry on an engine."""
    if request.receivers is not None:
        if request.receivers < 1:
            raise InputError(f"receivers is {request.receivers}: expected PEs that the multicast reaches, at least 1")
        line = request.receivers + 1
        request = replace(request, grid=(1, line) if request.along == "y" else (line, 1))
    spec = _spec(request)
    run = _engine(request, spec)
    if request.levels and not spec.levels:
        raise InputError(f"groups are {'x'.join(map(str, request.levels))}: {request.name} has one number of groups, a "
                         "ktree-allreduce any number of levels")
    steps = spec.build(request)
    _check_axis(request, any(step.axis == request.along for step in steps))
    for step in steps:
        _run_step(run, step)
    is_flow = request.engine == "flow"
    energy = spec.traversals(request, run) if spec.traversals and is_flow else run.link_traversals
    chosen = {"groups": request.groups or default_groups(request.line)} if spec.reports_groups else {}
    notes = _notes(run, steps, is_flow)
    return {"op": request.name, "machine": run.machine.name, "profile": request.profile, "grid": f"{run.width}x{run.height}",
            "timed": timed(steps, run.width, run.height),
            "dtype": run.precision, **chosen, "engine": request.engine, "cycles": run.cycles, "energy": energy, **ENERGY_UNIT,
            "breakdown": dict(run.breakdown), **({"note": "; ".join(notes)} if notes else {})}


def _check_axis(request: OpRequest, is_along: bool) -> None:
    """Refuse an axis that would not be used."""
    if request.along is not None and not is_along:
        raise InputError(f"axis is {request.along}: {request.name} does not go along lines of one axis, leave it out")


def timed(steps: Sequence[Operation], width: int, height: int) -> str:
    """What the cycles of operations on a grid are those of, in words: lines of which axis and how many, or the whole grid."""
    axes = list(dict.fromkeys(step.axis for step in steps if step.sends))
    parts = [_lines(axis, width, height) if axis else f"over both axes, all {_pes(width * height)} at once"
             for axis in axes]
    if not all(step.sends for step in steps) or not parts:
        parts.insert(0, "work of every PE by itself")
    return "; ".join(parts)


def _lines(axis: str, width: int, height: int) -> str:
    count, pes, name = (height, width, "row") if axis == "x" else (width, height, "column")
    many = f"the only {name} of {_pes(pes)}" if count == 1 else f"all {count} {name}s of {_pes(pes)} at once"
    return f"along {axis}, {many}"


def _pes(count: int) -> str:
    return "1 PE" if count == 1 else f"{count:,} PEs"


def _spec(request: OpRequest) -> OpSpec:
    """The operation asked for; refused where no operation has that name, or no grid is given."""
    spec = find_spec(request.name)
    if spec is None and request.name not in _CHOICES:
        raise InputError(f"no operation {request.name!r}: use one of {', '.join((*OPERATIONS, *_CHOICES))}, "
                         f"{', '.join(f'{kind}-crossover' for kind in CROSSOVERS)}")
    if spec is None or request.grid is None:
        raise InputError("grid is missing: expected WIDTHxHEIGHT PEs")
    return spec


def _engine(request: OpRequest, spec: OpSpec) -> Engine:
    """A fresh engine of the kind asked for."""
    kind = {"flow": FlowEngine, "cycle": CycleEngine}.get(request.engine)
    if kind is None:
        raise InputError(f"no engine {request.engine!r}: use flow or cycle")
    return kind(request.machine, request.width, request.height, profile=request.profile,
                precision=request.precision or spec.precision)


def _run_step(run: Engine, step: Operation) -> None:
    """Time alone on the flow engine; on the cycle engine with tiles of zeros."""
    if isinstance(run, FlowEngine):
        return run.time(step)
    step = step.staged()
    program, shapes = step.lowered(run.timing, run.width, run.height), step.host_tiles(run.timing, run.width, run.height)
    types = program.tile_types(ELEMENT_TYPES[run.precision])
    run.run(step, *(np.zeros((run.height, run.width, *shape), NUMPY_DTYPES[type])
                    for shape, type in zip(shapes, types, strict=True)))
    return None


def _notes(run: Engine, steps: Sequence[Operation], is_flow: bool) -> list[str]:
    """Where clocks are bounds, where the cycle engine runs another form, and where tiles do not fit a PE."""
    notes = list(run.notes.values()) if is_flow else []
    if not is_flow and any(step.staged() is not step for step in steps):
        notes.append("staged: each core sends, takes and works one after the other, without microthreads")
    size, sram = max(step.memory_bytes(run) for step in steps), int(run.machine.core.sram)
    if size > sram:
        notes.append(f"the tiles of a PE take {size:,} B and it has {sram:,} B: cut them over more PEs")
    return notes


def _predict_choice(request: OpRequest) -> dict[str, Any]:
    """The fastest algorithm for an operation, why, and what else was tried."""
    spec = _CHOICES[request.name]
    precision = request.precision or spec.precision
    _check_axis(request, spec.lines)
    choice = spec.choose(request, (request.machine, request.profile, precision))
    return {"op": request.name, "machine": request.machine.name, "profile": request.profile,
            "grid": f"{request.width}x{request.height}", "timed": timed(_steps(choice), request.width, request.height),
            "dtype": precision, "cycles": choice.cycles,
            "operation": repr(choice.operation), "reason": choice.reason, "tried": dict(choice.tried)}


def _steps(choice: Choice) -> Sequence[Operation]:
    return choice.operation if isinstance(choice.operation, tuple) else (choice.operation,)


def _predict_crossover(request: OpRequest) -> dict[str, Any]:
    """Cycles of every algorithm against PEs."""
    if request.words is None:
        raise InputError("words is missing: expected elements on each PE")
    precision = request.precision or "fp32"
    result = crossover(request.name.removesuffix("-crossover"), request.words, request.machine, request.profile, precision)
    if request.plot:
        plot_crossover(result, request.plot)
    return {"op": request.name, "machine": request.machine.name, "profile": request.profile, "dtype": precision,
            "timed": "along x, one row of as many PEs", "words": request.words, "pes": list(result.pes),
            "cycles": {algorithm: list(row) for algorithm, row in result.cycles.items()},
            "fastest_from": {str(pes): algorithm for pes, algorithm in result.changes}}


def _predict_vector(request: OpRequest) -> dict[str, Any]:
    """One vector instruction from memory to memory: its set-up and its elements."""
    instruction, machine, words = request.name.removeprefix("vector-"), request.machine, request.words
    timing, rates = Timing(machine, request.profile, request.precision or "fp16"), machine.profile(request.profile).rate
    if instruction not in rates and instruction not in machine.core.simd:
        raise InputError(f"no vector instruction {instruction!r} on {machine.name}: use one of "
                         f"{', '.join(machine.core.simd)}")
    if words is None or words < 0:
        raise InputError(f"words is {words}: expected the number of elements")
    check_count("words", words)
    special = f"{instruction}_conflict" if request.conflict else f"{instruction}_long"
    elements = ceil(words / timing.rate(special if special in rates else instruction))
    setup = timing.setup(instruction) if words else 0
    return {"op": request.name, "machine": machine.name, "profile": request.profile,
            "timed": "one vector instruction of one PE", "cycles": setup + elements, "energy": 0, **ENERGY_UNIT,
            "breakdown": {"compute": elements, "fabric": 0, "stages": 0, "overhead": setup, "stream": 0}}
