"""``predict op``: one mesh operation on the flow engine's clocks, without values."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from wsekern.errors import InputError
from wsekern.machine import Machine, load_machine
from wsekern.machine.timing import Timing
from wsekern.ops.allreduce import AllReduce
from wsekern.ops.broadcast import Broadcast
from wsekern.ops.cycle import CycleEngine
from wsekern.ops.flow import FlowEngine, Operation
from wsekern.ops.gemm import MeshGemm, MeshGemmTransposed
from wsekern.ops.gemv import Gemv
from wsekern.ops.line import NUMPY_DTYPES, Axis
from wsekern.ops.reduce import Reduce, TwoPhaseReduce
from wsekern.ops.shift import Shift


@dataclass(frozen=True, kw_only=True)
class OpRequest:
    """What to predict: the grid, and those sizes that the operation needs."""

    width: int
    height: int
    tile: tuple[int, ...] | None = None
    groups: int | None = None
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


def _meshgemv(request: OpRequest) -> list[Operation]:
    rows, cols = request.tile_of("ROWSxCOLS")
    return [Gemv(rows, cols), _allreduce(request, cols)]


def _words(request: OpRequest) -> int:
    return request.need("words", "elements on each PE")


_OPERATIONS: dict[str, Callable[[OpRequest], Sequence[Operation]]] = {
    "meshgemv": _meshgemv,
    "meshgemm": lambda r: [MeshGemm(*r.tile_of("MxKxN"))],
    "meshgemm-transposed": lambda r: [MeshGemmTransposed(*r.tile_of("MxNxK"))],
    "gemv": lambda r: [Gemv(*r.tile_of("ROWSxCOLS"))],
    "shift": lambda r: [Shift(math.prod(r.tile_of("ROWSxCOLS")), "x", r.need("relays", "PEs to move by"))],
    "allreduce": lambda r: [_allreduce(r, _words(r))],
    "broadcast": lambda r: [Broadcast(_words(r), r.axis)],
    "chain-reduce": lambda r: [Reduce(_words(r), r.axis)],
    "two-phase-reduce": lambda r: [TwoPhaseReduce(_words(r), r.axis, r.need("groups", "PEs of a group"))],
}
_DTYPES = {"line-multicast": "u32", "multicast": "u32", "broadcast": "fp32", "reduce": "fp32", "chain-reduce": "fp32",
           "two-phase-reduce": "fp32", "allreduce": "fp32"}
_ALIASES = {"gemm": "meshgemm", "reduce": "chain-reduce", "line-multicast": "broadcast", "multicast": "broadcast"}

OPERATIONS = (*_OPERATIONS, "line-multicast", "vector-INSTRUCTION")
"""Names that :func:`predict_op` knows."""


def predict_op(name: str, machine: str | Machine, profile: str = "silicon", *, grid: tuple[int, int] | None = None,
               tile: tuple[int, ...] | None = None, groups: int | None = None, relays: int | None = None,
               words: int | None = None, dtype: str | None = None, receivers: int | None = None,
               conflict: bool = False, engine: str = "flow") -> dict[str, Any]:
    """Cycles, link traversals and breakdown of operation ``name`` on a ``grid`` (width, height) of PEs.

    ``tile`` is what one PE holds: rows x cols, or m x k x n; ``groups`` counts groups of an all-reduce, and PEs of a
    group of the two-phase reduce; ``receivers`` stands for a grid of one line. A vector instruction such as
    ``vector-fmuls`` takes ``words`` elements, from operands that meet in a memory bank where ``conflict``. Without a
    ``dtype``, words are wavelets (fp32, or u32 for the line multicast) and tiles fp16. ``engine="cycle"`` moves every
    wavelet (of zeros) instead; operations that have no PE program are refused.
    """
    machine = load_machine(machine) if isinstance(machine, str) else machine
    if name.startswith("vector-"):
        return _predict_vector(name, machine, profile, words, dtype or "fp16", conflict)
    dtype = dtype or _DTYPES.get(name, "fp16")
    if receivers is not None:
        grid = (receivers + 1, 1)
    operation = _OPERATIONS.get(_ALIASES.get(name, name))
    if operation is None:
        raise InputError(f"no operation {name!r}: use one of {', '.join(OPERATIONS)}")
    if grid is None:
        raise InputError("grid is missing: expected WIDTHxHEIGHT PEs")
    kind = {"flow": FlowEngine, "cycle": CycleEngine}.get(engine)
    if kind is None:
        raise InputError(f"no engine {engine!r}: use flow or cycle")
    run = kind(machine, *grid, profile=profile, dtype=dtype)
    request = OpRequest(width=grid[0], height=grid[1], tile=tile, groups=groups, relays=relays, words=words)
    for step in operation(request):
        _run_step(run, step)
    energy = run.energy
    if name == "shift":  # the whole block moves, past the edge of the grid given too
        energy = math.prod(grid) * abs(relays or 0) * run.timing.wavelets(math.prod(tile or (0,)))
    chosen = {"groups": groups or default_groups(request.line)} if name in ("meshgemv", "allreduce") else {}
    return {"op": name, "machine": machine.name, "profile": profile, "grid": f"{grid[0]}x{grid[1]}", "dtype": dtype,
            **chosen, "engine": engine, "cycles": run.cycles, "energy": energy, "breakdown": dict(run.breakdown)}


def _run_step(run: FlowEngine, step: Operation) -> None:
    """Time alone on the flow engine; on the cycle engine with tiles of zeros."""
    if not isinstance(run, CycleEngine):
        return run.time(step)
    if not hasattr(step, "tiles"):
        raise InputError(f"{type(step).__name__} has no program for the cycle engine: use the flow engine")
    shapes = [(run.height, run.width, *shape) for shape in step.tiles()]
    run.run(step, *(np.zeros(shape, NUMPY_DTYPES[run.dtype]) for shape in shapes))


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
    special = f"{instruction}_conflict" if conflict else f"{instruction}_long"
    elements = ceil(words / timing.rate(special if special in rates else instruction))
    setup = timing.setup(instruction) if words else 0
    return {"op": name, "machine": machine.name, "profile": profile, "cycles": setup + elements, "energy": 0,
            "breakdown": {"compute": elements, "fabric": 0, "stages": 0, "overhead": setup, "words": 0}}
