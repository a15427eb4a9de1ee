"""Every operation by name: one line makes an operation known to ``predict op``, to the crossovers and to the documentation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import isqrt, prod
from typing import NamedTuple

from wsekern.errors import InputError
from wsekern.ops.engines.engine import Engine
from wsekern.ops.engines.flow import FlowEngine
from wsekern.ops.grid.gemm import Cannon, MeshGemm, MeshGemmTransposed, Summa
from wsekern.ops.grid.plane import AllReduce2D, Broadcast2D, Reduce2D
from wsekern.ops.grid.transpose import Transpose
from wsekern.ops.lines.allreduce import AllReduce, default_groups
from wsekern.ops.lines.broadcast import Broadcast
from wsekern.ops.lines.distribute import AllGather, Gather, Scatter
from wsekern.ops.lines.reduce import Reduce, TwoPhaseReduce
from wsekern.ops.lines.ring import RingAllReduce, RingShift
from wsekern.ops.lines.scan import Scan
from wsekern.ops.lines.shift import Shift
from wsekern.ops.lines.tree_reduce import KTreeAllReduce, ReduceTree, TreeAllReduce
from wsekern.ops.local.functions import FUNCTIONS
from wsekern.ops.local.gemv import Gemv
from wsekern.ops.local.rows import FORMS, LOCAL_KINDS, Local
from wsekern.ops.operation import Operation
from wsekern.ops.packing import traffic
from wsekern.ops.request import OpRequest, check_size

CROSSOVERS = ("reduce", "allreduce")
"""Kinds of operations that have several algorithms."""


class Algorithm(NamedTuple):
    """An algorithm of a crossover: of which, under which name, and its operation for (PEs of a line, elements)."""

    crossover: str
    name: str
    build: Callable[[int, int], Operation]


@dataclass(frozen=True)
class OpSpec:
    """An operation that can be asked for by name."""

    name: str
    summary: str
    """What it does, in one sentence."""
    build: Callable[[OpRequest], Sequence[Operation]]
    """The operations, one after the other, that a request stands for."""
    sizes: str = "words"
    """Sizes that it needs beside the grid; those in brackets have a default."""
    precision: str = "fp32"
    """Number format where none is asked for."""
    aliases: tuple[str, ...] = ()
    levels: bool = False
    """Whether it has any number of levels of groups."""
    reports_groups: bool = False
    """Whether the answer tells the number of groups."""
    traversals: Callable[[OpRequest, Engine], int] | None = None
    """Link traversals on the flow engine, where they are not those of the grid given."""
    algorithms: tuple[Algorithm, ...] = ()
    """Algorithms of crossovers that it is, with sizes that do well."""


def _allreduce(r: OpRequest, elements: int) -> AllReduce:
    tail = 0 if r.tail is None else check_size("tail", r.tail, "fp32 elements behind the words")
    return AllReduce(elements, r.axis, r.groups_of("groups of PEs", default_groups(r.line)), tail=tail)


def _meshgemv(r: OpRequest) -> list[Operation]:
    rows, cols = r.tile_of("ROWSxCOLS")
    return [Gemv(rows, cols), _allreduce(r, cols)]


def _gemv_pipeline(r: OpRequest) -> list[Operation]:
    rows, cols = r.tile_of("ROWSxCOLS")
    return [Gemv(rows, cols), TreeAllReduce(cols, r.axis, "chain", 0)]


def _levels(r: OpRequest) -> tuple[int, ...]:
    """Groups of each level: those given; where there is one number, as many as its root in a third level."""
    if r.levels:
        return tuple(check_size("groups", count, "groups of PEs") for count in r.levels)
    groups = r.groups or max(1, round(r.line ** (2 / 3)))
    return groups, max(1, isqrt(groups))


def _three_levels(pes: int, elements: int) -> KTreeAllReduce:
    return KTreeAllReduce(elements, "x", (max(1, round(pes ** (2 / 3))), max(1, round(pes ** (1 / 3)))))


def _ring_shift(r: OpRequest) -> list[Operation]:
    elements = prod(r.tile_of("ROWSxCOLS"))
    return [RingShift(elements, r.axis, 1 if r.relays is None else r.relays_of(), overlapped=True)]


def _whole_block(r: OpRequest, engine: Engine) -> int:
    """A shift moves the whole block, past the edge of the grid given too."""
    return prod(r.grid or ()) * abs(r.relays or 0) * traffic(engine.timing, prod(r.tile or (0,))).results


def _allreduce_2d(r: OpRequest) -> list[Operation]:
    """With the root that is the quicker one."""
    def cycles(operation: Operation) -> int:
        engine = FlowEngine(r.machine, r.width, r.height, r.profile, r.precision or "fp32")
        engine.time(operation)
        return engine.cycles

    return [min((AllReduce2D(r.elements(), root=root) for root in ("middle", "first")), key=cycles)]


_of = partial(Algorithm, "reduce")
_all = partial(Algorithm, "allreduce")
SPECS = (
    OpSpec("meshgemv", "Vector times matrix: local products, then an all-reduce in two levels.", _meshgemv,
           "tile ROWSxCOLS [groups]", "fp16", reports_groups=True),
    OpSpec("gemv-pipeline", "Vector times matrix: local products, then chains and a multicast.", _gemv_pipeline,
           "tile ROWSxCOLS", "fp16"),
    OpSpec("gemv", "Vector times matrix on every PE; nothing is sent.", lambda r: [Gemv(*r.tile_of("ROWSxCOLS"))],
           "tile ROWSxCOLS", "fp16"),
    OpSpec("meshgemm", "Matrix times matrix by Cannon's algorithm on folded rings.",
           lambda r: [MeshGemm(*r.tile_of("MxKxN"))], "tile MxKxN", "fp16", aliases=("gemm",)),
    OpSpec("cannon", "Matrix times matrix by Cannon's algorithm on plain rings.",
           lambda r: [Cannon(*r.tile_of("MxKxN"))], "tile MxKxN", "fp16"),
    OpSpec("summa", "Matrix times matrix by SUMMA: blocks handed out along rows and columns.",
           lambda r: [Summa(*r.tile_of("MxKxN"))], "tile MxKxN", "fp16"),
    OpSpec("meshgemm-transposed", "Matrix times a transposed matrix that is never moved to another layout.",
           lambda r: [MeshGemmTransposed(*r.tile_of("MxNxK"))], "tile MxNxK", "fp16"),
    OpSpec("shift", "Every tile moves along its line by software relays.",
           lambda r: [Shift(prod(r.tile_of("ROWSxCOLS")), r.along or "x", r.relays_of())], "tile ROWSxCOLS, relays", "fp16",
           traversals=_whole_block),
    OpSpec("ring-shift", "Every tile moves around a ring that is folded onto its line.", _ring_shift,
           "tile ROWSxCOLS [relays]", "fp16"),
    OpSpec("allreduce", "The sum of a line to all its PEs, by groups and chains in two levels, with a tail of fp32 elements.",
           lambda r: [_allreduce(r, r.elements())], "words [groups, tail]", reports_groups=True, algorithms=(
               _all("one group", lambda pes, n: AllReduce(n, "x", 1)),
               _all("two levels", lambda pes, n: AllReduce(n, "x", max(1, isqrt(pes)))))),
    OpSpec("ktree-allreduce", "The sum of a line to all its PEs, by groups and chains in any number of levels.",
           lambda r: [KTreeAllReduce(r.elements(), r.axis, _levels(r))], "words [groups, or of each level]", levels=True,
           algorithms=(_all("three levels", _three_levels),)),
    OpSpec("tree-allreduce", "The sum of a line to all its PEs, over the generated tree and a multicast.",
           lambda r: [TreeAllReduce(r.elements(), r.axis)], algorithms=(
               _all("generated tree", lambda pes, n: TreeAllReduce(n, "x", "auto")),)),
    OpSpec("ring-allreduce", "The sum of a line to all its PEs, part by part around a folded ring.",
           lambda r: [RingAllReduce(r.elements(), r.axis, overlapped=True)], algorithms=(
               _all("ring", lambda pes, n: RingAllReduce(n, "x", overlapped=True)),)),
    OpSpec("chain-reduce", "The sum of a line to its first PE, passed from neighbor to neighbor.",
           lambda r: [Reduce(r.elements(), r.axis)], aliases=("reduce",),
           algorithms=(_of("chain", lambda pes, n: Reduce(n, "x")),)),
    OpSpec("star-reduce", "The sum of a line to its first PE, each PE sending to it.",
           lambda r: [ReduceTree(r.elements(), r.axis, "star")],
           algorithms=(_of("star", lambda pes, n: ReduceTree(n, "x", "star")),)),
    OpSpec("tree-reduce", "The sum of a line to its first PE over a binomial tree.",
           lambda r: [ReduceTree(r.elements(), r.axis, "tree")],
           algorithms=(_of("tree", lambda pes, n: ReduceTree(n, "x", "tree")),)),
    OpSpec("two-phase-reduce", "The sum of a line to its first PE: chains within groups, then a chain over the groups.",
           lambda r: [TwoPhaseReduce(r.elements(), r.axis, r.groups_of("PEs of a group", max(1, isqrt(r.line))))],
           "words [groups: PEs of one]", algorithms=(
               _of("two phases", lambda pes, n: TwoPhaseReduce(n, "x", max(1, isqrt(pes)))),)),
    OpSpec("auto-reduce", "The sum of a line to its first PE over the fastest tree that dynamic programming finds.",
           lambda r: [ReduceTree(r.elements(), r.axis, "auto")],
           algorithms=(_of("generated", lambda pes, n: ReduceTree(n, "x", "auto")),)),
    OpSpec("reduce-2d", "The sum of a grid to its first PE: rows, then the first column.",
           lambda r: [Reduce2D(r.elements(), "xy", "auto")]),
    OpSpec("snake-reduce", "The sum of a grid to its first PE by one chain through all PEs.",
           lambda r: [Reduce2D(r.elements(), "snake")]),
    OpSpec("allreduce-2d", "The sum of a grid to all its PEs: rows, then a column, back by one multicast.", _allreduce_2d),
    OpSpec("broadcast", "The tile of the first PE of a line to all its PEs.", lambda r: [Broadcast(r.elements(), r.axis)]),
    OpSpec("broadcast-2d", "The tile of the first PE of a grid to all its PEs.", lambda r: [Broadcast2D(r.elements())]),
    OpSpec("scatter", "Parts of the tile of the first PE of a line, one to each PE.",
           lambda r: [Scatter(r.elements(), r.axis, r.line)]),
    OpSpec("gather", "The tiles of a line, in order, to its first PE.", lambda r: [Gather(r.elements(), r.axis)]),
    OpSpec("all-gather", "The tiles of a line, in order, to all its PEs.", lambda r: [AllGather(r.elements(), r.axis)]),
    OpSpec("transpose", "A matrix of blocks, transposed over a rectangle of PEs.", lambda r: [Transpose(r.elements())]),
    OpSpec("scan", "The sum of each PE's tile and those before it on its line.", lambda r: [Scan(r.elements(), r.axis)]),
    OpSpec("line-multicast", "Words of 32 bits from the first PE of a line to all its PEs.",
           lambda r: [Broadcast(r.elements(), r.axis)], "words [receivers]", "u32", aliases=("multicast",)),
)
"""Operations, in the order in which they are listed."""
def _local(r: OpRequest) -> list[Operation]:
    name = r.name.removeprefix("local-")
    form = next((form for form in reversed(FORMS) if name.startswith(f"{form}-")), "scalar")
    return [Local(name.removeprefix(f"{form}-"), r.elements(), form=form)]


LOCAL = OpSpec("local-KIND", f"Vector work of every PE on a row of its own; KIND is {', '.join(LOCAL_KINDS)}; or vector- or "
               f"vector-fp32- and {', '.join(FUNCTIONS)}.", _local, precision="fp16")
"""All kinds of local work."""
_BY_NAME = {name: spec for spec in SPECS for name in (spec.name, *spec.aliases)}


def find_spec(name: str) -> OpSpec | None:
    """The operation of that name or alias, if any."""
    return LOCAL if name.startswith("local-") else _BY_NAME.get(name)


def algorithms(crossover: str) -> dict[str, Callable[[int, int], Operation]]:
    """Algorithms whose times cross ("reduce" or "allreduce"): name -> operation for (PEs of a line, elements)."""
    named = {algorithm.name: algorithm.build for spec in SPECS for algorithm in spec.algorithms
             if algorithm.crossover == crossover}
    if not named:
        raise InputError(f"no crossovers of {crossover!r}: use one of {', '.join(CROSSOVERS)}")
    return named
