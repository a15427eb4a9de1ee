"""``predict op``: one mesh operation on the flow engine's clocks, without values."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np

from wsekern.errors import InputError
from wsekern.machine import Machine, load_machine
from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops.choose import (
    CROSSOVERS,
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
from wsekern.ops.grid.gemm import Cannon, MeshGemm, MeshGemmTransposed, Summa
from wsekern.ops.grid.plane import Broadcast2D, Reduce2D
from wsekern.ops.grid.transpose import Transpose
from wsekern.ops.lines.allreduce import AllReduce
from wsekern.ops.lines.broadcast import Broadcast
from wsekern.ops.lines.distribute import AllGather, Gather, Scatter
from wsekern.ops.lines.reduce import Reduce, TwoPhaseReduce
from wsekern.ops.lines.ring import RingAllReduce, RingShift
from wsekern.ops.lines.shift import Shift
from wsekern.ops.lines.tree_reduce import KTreeAllReduce, ReduceTree, TreeAllReduce
from wsekern.ops.local.gemv import Gemv
from wsekern.ops.local.rows import Local
from wsekern.ops.operation import ELEMENT_TYPES, Axis, Operation, check_count
from wsekern.ops.packing import traffic


@dataclass(frozen=True, kw_only=True)
class OpRequest:
    """What to predict: the grid, and those sizes that the operation needs."""

    width: int
    height: int
    tile: tuple[int, ...] | None = None
    groups: int | None = None
    levels: tuple[int, ...] = ()
    """Groups of every level of a K-tree."""
    relays: int | None = None
    words: int | None = None
    receivers: int | None = None

    def need(self, field: str, meaning: str) -> int:
        """A size that must be there and at least one."""
        value = getattr(self, field)
        if value is None:
            raise InputError(f"{field} is missing: expected {meaning}")
        if value < 1:
            raise InputError(f"{field} is {value}: expected {meaning}, at least 1")
        check_count(field, value)
        return value

    def tile_of(self, meaning: str) -> tuple[int, ...]:
        """The tile, of as many sizes as ``meaning`` names."""
        sizes = len(meaning.split("x"))
        if self.tile is None or len(self.tile) != sizes or min(self.tile) < 1:
            given = "missing" if self.tile is None else "x".join(map(str, self.tile))
            raise InputError(f"tile is {given}: expected {meaning}, sizes of one PE's tile")
        return self.tile

    @property
    def axis(self) -> Axis:
        """Axis of operations along one line."""
        return "x" if self.height == 1 else "y"

    @property
    def line(self) -> int:
        """PEs of a line along :attr:`axis`."""
        return self.width if self.axis == "x" else self.height


def default_groups(pes: int) -> int:
    """Groups of the two-level all-reduce on ``pes`` PEs: the divisor nearest to the root, as WaferLLM chooses them."""
    divisors = [g for g in range(1, pes + 1) if pes % g == 0]
    return min(divisors, key=lambda g: (abs(g - math.sqrt(pes)), g))


def _allreduce(request: OpRequest, words: int) -> AllReduce:
    if request.groups is not None:
        request.need("groups", "groups of PEs")
    return AllReduce(words, request.axis, request.groups or default_groups(request.line))


def _words(request: OpRequest) -> int:
    return request.need("words", "elements on each PE")


def _meshgemv(request: OpRequest) -> list[Operation]:
    rows, cols = request.tile_of("ROWSxCOLS")
    return [Gemv(rows, cols), _allreduce(request, cols)]


def _gemv_pipeline(request: OpRequest) -> list[Operation]:
    rows, cols = request.tile_of("ROWSxCOLS")
    return [Gemv(rows, cols), TreeAllReduce(cols, request.axis, "chain", 0)]


def _group(request: OpRequest) -> int:
    """PEs of a group: those given, or about the root of the line."""
    return request.need("groups", "PEs of a group") if request.groups is not None else max(1, math.isqrt(request.line))


def _levels(request: OpRequest) -> tuple[int, ...]:
    """Groups of each level: those given; where there is one number, as many as its root in a third level."""
    if request.levels:
        for count in request.levels:
            replace(request, groups=count).need("groups", "groups of PEs")
        return request.levels
    groups = request.groups or max(1, round(request.line ** (2 / 3)))
    return groups, max(1, math.isqrt(groups))


_OPERATIONS: dict[str, Callable[[OpRequest], Sequence[Operation]]] = {
    "meshgemv": _meshgemv,
    "gemv-pipeline": _gemv_pipeline,
    "gemv": lambda r: [Gemv(*r.tile_of("ROWSxCOLS"))],
    "meshgemm": lambda r: [MeshGemm(*r.tile_of("MxKxN"))],
    "cannon": lambda r: [Cannon(*r.tile_of("MxKxN"))],
    "summa": lambda r: [Summa(*r.tile_of("MxKxN"))],
    "meshgemm-transposed": lambda r: [MeshGemmTransposed(*r.tile_of("MxNxK"))],
    "shift": lambda r: [Shift(math.prod(r.tile_of("ROWSxCOLS")), "x", r.need("relays", "PEs to move by"))],
    "ring-shift": lambda r: [RingShift(math.prod(r.tile_of("ROWSxCOLS")), r.axis,
                                      1 if r.relays is None else r.need("relays", "PEs to move by"),
                                      overlapped=True)],
    "allreduce": lambda r: [_allreduce(r, _words(r))],
    "ktree-allreduce": lambda r: [KTreeAllReduce(_words(r), r.axis, _levels(r))],
    "tree-allreduce": lambda r: [TreeAllReduce(_words(r), r.axis)],
    "ring-allreduce": lambda r: [RingAllReduce(_words(r), r.axis, overlapped=True)],
    "chain-reduce": lambda r: [Reduce(_words(r), r.axis)],
    "star-reduce": lambda r: [ReduceTree(_words(r), r.axis, "star")],
    "tree-reduce": lambda r: [ReduceTree(_words(r), r.axis, "tree")],
    "two-phase-reduce": lambda r: [TwoPhaseReduce(_words(r), r.axis, _group(r))],
    "auto-reduce": lambda r: [ReduceTree(_words(r), r.axis, "auto")],
    "reduce-2d": lambda r: [Reduce2D(_words(r), "xy", "auto")],
    "snake-reduce": lambda r: [Reduce2D(_words(r), "snake")],
    "broadcast": lambda r: [Broadcast(_words(r), r.axis)],
    "broadcast-2d": lambda r: [Broadcast2D(_words(r))],
    "scatter": lambda r: [Scatter(_words(r), r.axis, r.line)],
    "gather": lambda r: [Gather(_words(r), r.axis)],
    "all-gather": lambda r: [AllGather(_words(r), r.axis)],
    "transpose": lambda r: [Transpose(_words(r))],
}
ENERGY_UNIT = {"energy_unit": "link traversals"}
"""What energy counts: wavelets times links."""
_WAVELETS = ("broadcast", "broadcast-2d", "scatter", "gather", "all-gather", "transpose")
_DTYPES = {"line-multicast": "u32", "multicast": "u32", "reduce": "fp32"} | {
    name: "fp32" for name in _OPERATIONS if name in _WAVELETS or name.endswith("reduce") or name == "reduce-2d"}
_ALIASES = {"gemm": "meshgemm", "reduce": "chain-reduce", "line-multicast": "broadcast", "multicast": "broadcast"}

OPERATIONS = (*_OPERATIONS, "line-multicast", "vector-INSTRUCTION", "local-KIND")
"""Names that :func:`predict_op` knows."""


def predict_op(name: str, machine: str | Machine, profile: str = "silicon", *, grid: tuple[int, int] | None = None,
               tile: tuple[int, ...] | None = None, groups: int | tuple[int, ...] | None = None, relays: int | None = None,
               words: int | None = None, dtype: str | None = None, receivers: int | None = None,
               conflict: bool = False, engine: str = "flow", plot: str | None = None) -> dict[str, Any]:
    """Cycles, link traversals and breakdown of operation ``name`` on a ``grid`` (width, height) of PEs.

    ``tile`` is what one PE holds: rows x cols, or m x k x n; ``groups`` counts groups of an all-reduce (of a K-tree those
    of every level, such as (60, 8)), and PEs of a group of the two-phase reduce; ``receivers`` stands for a grid of one
    line. A vector instruction such as ``vector-fmuls`` takes ``words`` elements, from operands that meet in a memory bank
    where ``conflict``. Without a ``dtype``, words are wavelets (fp32, or u32 for the line multicast) and tiles fp16.
    ``local-KIND`` is local vector work such as ``local-exp`` on ``words`` elements of a row. ``engine="cycle"`` moves every
    wavelet (of zeros) instead; products of matrices then run staged, without microthreads. ``note`` says where
    the flow engine's clocks are bounds, and where tiles do not fit a PE.

    ``best-OPERATION`` is the fastest algorithm with its reason; ``reduce-crossover`` and ``allreduce-crossover`` are the
    cycles of every algorithm against PEs and where the fastest changes, drawn to the file ``plot`` where one is given.
    """
    machine = load_machine(machine) if isinstance(machine, str) else machine
    if name.startswith("vector-"):
        return _predict_vector(name, machine, profile, words, dtype or "fp16", conflict)
    if name.endswith("-crossover"):
        return _predict_crossover(name, machine, profile, words, dtype or "fp32", plot)
    if plot is not None:
        raise InputError(f"{name} has no plot: use one of {', '.join(f'{kind}-crossover' for kind in CROSSOVERS)}")
    if name in _CHOICES and grid is not None:
        request = OpRequest(width=grid[0], height=grid[1], tile=tile, words=words)
        return _predict_choice(name, request, machine, profile, dtype)
    dtype = dtype or _DTYPES.get(name, "fp16")
    if receivers is not None:
        if receivers < 1:
            raise InputError(f"receivers is {receivers}: expected PEs that the multicast reaches, at least 1")
        grid = (receivers + 1, 1)
    operation = _OPERATIONS.get(_ALIASES.get(name, name))
    if operation is None and name not in _CHOICES and not name.startswith("local-"):
        raise InputError(f"no operation {name!r}: use one of {', '.join((*OPERATIONS, *_CHOICES))}, "
                         f"{', '.join(f'{kind}-crossover' for kind in CROSSOVERS)}")
    if grid is None:
        raise InputError("grid is missing: expected WIDTHxHEIGHT PEs")
    kind = {"flow": FlowEngine, "cycle": CycleEngine}.get(engine)
    if kind is None:
        raise InputError(f"no engine {engine!r}: use flow or cycle")
    run = kind(machine, *grid, profile=profile, dtype=dtype)
    levels = groups if isinstance(groups, tuple) else ()
    if levels and name != "ktree-allreduce":
        raise InputError(f"groups are {'x'.join(map(str, levels))}: {name} has one number of groups, a ktree-allreduce any "
                         "number of levels")
    groups = None if isinstance(groups, tuple) else groups
    request = OpRequest(width=grid[0], height=grid[1], tile=tile, groups=groups, levels=levels, relays=relays, words=words)
    steps = operation(request) if operation else [Local(name.removeprefix("local-"), _words(request))]
    for step in steps:
        _run_step(run, step)
    energy = run.link_traversals
    if name == "shift" and engine == "flow":  # the whole block moves, past the edge of the grid given too
        energy = math.prod(grid) * abs(relays or 0) * traffic(run.timing, math.prod(tile or (0,))).results
    chosen: dict[str, Any] = {"groups": groups or default_groups(request.line)} if name in ("meshgemv", "allreduce") else {}
    said = list(run.notes.values()) if engine == "flow" else []
    if engine == "cycle" and any(step.staged() is not step for step in steps):
        said.append("staged: each core sends, takes and works one after the other, without microthreads")
    held, sram = max(step.memory_bytes(run) for step in steps), int(machine.core.sram)
    if held > sram:
        said.append(f"the tiles of a PE take {held:,} B and it has {sram:,} B: cut them over more PEs")
    notes = {"note": "; ".join(said)} if said else {}
    return {"op": name, "machine": machine.name, "profile": profile, "grid": f"{grid[0]}x{grid[1]}", "dtype": dtype,
            **chosen, "engine": engine, "cycles": run.cycles, "energy": energy, **ENERGY_UNIT,
            "breakdown": dict(run.breakdown), **notes}


_CHOICES: dict[str, Callable[..., Choice]] = {
    "best-reduce": lambda r, *how: best_reduce(r.line, _words(r), *how) if min(r.width, r.height) == 1
    else best_reduce_2d(r.width, r.height, _words(r), *how),
    "best-allreduce": lambda r, *how: best_allreduce(r.line, _words(r), *how, r.axis),
    "best-broadcast": lambda r, *how: best_broadcast(r.width, r.height, _words(r), *how),
    "best-gemv": lambda r, *how: best_gemv(r.width, *r.tile_of("ROWSxCOLS"), *how, r.height),
    "best-gemm": lambda r, *how: best_gemm(r.width, r.tile_of("MxKxN"), *how, r.height),
}


def _predict_choice(name: str, request: OpRequest, machine: Machine, profile: str, dtype: str | None) -> dict[str, Any]:
    """The fastest algorithm for an operation, why, and what else was tried."""
    dtype = dtype or ("fp16" if name.startswith("best-gem") else "fp32")
    choice = _CHOICES[name](request, machine, profile, dtype)
    return {"op": name, "machine": machine.name, "profile": profile, "grid": f"{request.width}x{request.height}",
            "dtype": dtype, "cycles": choice.cycles, "operation": repr(choice.operation), "reason": choice.reason,
            "tried": dict(choice.tried)}


def _predict_crossover(name: str, machine: Machine, profile: str, words: int | None, dtype: str,
                       plot: str | None) -> dict[str, Any]:
    """Cycles of every algorithm against PEs."""
    if words is None:
        raise InputError("words is missing: expected elements on each PE")
    found = crossover(name.removesuffix("-crossover"), words, machine, profile, dtype)
    if plot:
        plot_crossover(found, plot)
    return {"op": name, "machine": machine.name, "profile": profile, "dtype": dtype, "words": words, "pes": list(found.pes),
            "cycles": {algorithm: list(row) for algorithm, row in found.cycles.items()},
            "fastest_from": {str(pes): algorithm for pes, algorithm in found.changes}}


def _run_step(run: Engine, step: Operation) -> None:
    """Time alone on the flow engine; on the cycle engine with tiles of zeros."""
    if isinstance(run, FlowEngine):
        return run.time(step)
    step = step.staged()
    program, shapes = step.lowered(run.timing, run.width, run.height), step.host_tiles(run.timing, run.width, run.height)
    types = program.tile_types(ELEMENT_TYPES[run.dtype])
    run.run(step, *(np.zeros((run.height, run.width, *shape), NUMPY_DTYPES[type])
                    for shape, type in zip(shapes, types, strict=True)))
    return None


def _predict_vector(name: str, machine: Machine, profile: str, words: int | None, dtype: str,
                    conflict: bool) -> dict[str, Any]:
    """One vector instruction from memory to memory: its set-up and its elements."""
    instruction, timing = name.removeprefix("vector-"), Timing(machine, profile, dtype)
    rates = machine.profile(profile).rate
    if instruction not in rates and instruction not in machine.core.simd:
        raise InputError(f"no vector instruction {instruction!r} on {machine.name}: use one of "
                         f"{', '.join(machine.core.simd)}")
    if words is None or words < 0:
        raise InputError(f"words is {words}: expected the number of elements")
    check_count("words", words)
    special = f"{instruction}_conflict" if conflict else f"{instruction}_long"
    elements = ceil(words / timing.rate(special if special in rates else instruction))
    setup = timing.setup(instruction) if words else 0
    return {"op": name, "machine": machine.name, "profile": profile, "cycles": setup + elements, "energy": 0, **ENERGY_UNIT,
            "breakdown": {"compute": elements, "fabric": 0, "stages": 0, "overhead": setup, "stream": 0}}
