"""Mesh operations: what each computes, how it runs on the wafer, what it costs.

Every operation is defined once and has three views: the numerical contract, in which order it adds (``reference``, plain
numpy); how it runs on the wafer, colors, routes and PE programs for the cycle engine; what it costs, values and a local
clock of every PE for the flow engine. One reduction, side by side:

>>> from wsekern.ops import ReduceTree
>>> from wsekern.ops.views import three_views
>>> print(three_views(ReduceTree(elements=2, axis="x", algorithm="two-phase", group=2), pes=4))
1. what it computes: first word of every PE, before and after
   [1.0, 2.0, 3.0, 4.0] -> [10.0, 2.0, 3.0, 4.0]
2. how it runs: instructions of every PE in order, cycle engine's last cycle of each PE
   PE 1: PE 0 over color 0 <- tile  (fmovs, 2 elements)
   PE 3: PE 2 over color 0 <- tile  (fmovs, 2 elements)
   PE 2: sum <- tile + PE 3  (fadds, 2 elements)
   PE 2: PE 0 over color 1 <- sum  (fmovs, 2 elements)
   PE 0: tile <- tile + PE 1  (fadds, 2 elements)
   PE 0: tile <- tile + PE 2  (fadds, 2 elements)
   [17, 2, 10, 2], values the same
3. what it costs: flow engine's clock of each PE, causes on the critical path, link traversals
   [17, 2, 10, 2], {'compute': 2, 'fabric': 3, 'stages': 10, 'overhead': 0, 'stream': 2}, 8

Which algorithm is the fastest depends on the PEs and the words (``best_reduce`` and the like give the reason); its picture,
time against PEs for each algorithm, is drawn by ``plot_crossover`` or ``wsekern predict op reduce-crossover --words 64
--machine wse2 --profile vendor-simulator --plot FILE.svg``:

>>> from wsekern.ops import crossover
>>> found = crossover("reduce", 64, "wse2", "vendor-simulator", pes=(4, 16, 64, 256))
>>> for name, cycles in found.cycles.items():
...     print(f"{name:10} {cycles}")
chain      (82, 154, 442, 1594)
star       (198, 966, 4038, 16326)
tree       (140, 270, 400, 602)
two phases (141, 173, 261, 533)
generated  (82, 144, 217, 414)
>>> found.changes
((4, 'chain'), (16, 'generated'))
>>> print(found.picture(9))
cycles
  16326     .    .    .    s
   8424     .    .    .    .
   4346     .    .    s    .
   2242     .    .    .    .
   1157     .    s    .    c
    597     .    .    c    t
    308     .    t    t    g
    159     s    c    g    .
     82     c    .    .    .
    PEs     4   16   64  256
c chain, s star, t tree, w two phases, g generated

Clocks of the two engines are equal on every PE, but where words of
several messages meet on a link or a ramp, or wait for a busy core until its queue is full: there ``FlowEngine.notes`` says so.

``operation.py`` is the contract: what an engine may ask of an operation, and an operation of an engine. An operation is written
as a schedule (``lines/scan.py`` is the shortest) and named by one line of ``registry.py``.
"""

from wsekern.machine.timing import PRECISIONS, Timing
from wsekern.ops.choose import (
    Choice,
    Crossover,
    best_allreduce,
    best_broadcast,
    best_gemm,
    best_gemv,
    best_groups,
    best_reduce,
    best_reduce_2d,
    crossover,
    plot_crossover,
)
from wsekern.ops.engines.cycle import CycleEngine
from wsekern.ops.engines.engine import Engine
from wsekern.ops.engines.flow import FlowEngine
from wsekern.ops.engines.regions import Part, Region, run_regions, run_regions_on_cycle_engine
from wsekern.ops.grid.gemm import Cannon, MeshGemm, MeshGemmTransposed, Summa
from wsekern.ops.grid.plane import AllReduce2D, Broadcast2D, Reduce2D
from wsekern.ops.grid.transpose import Transpose
from wsekern.ops.lines.allreduce import AllReduce
from wsekern.ops.lines.broadcast import Broadcast
from wsekern.ops.lines.distribute import AllGather, Gather, Scatter
from wsekern.ops.lines.reduce import Reduce, TwoPhaseReduce
from wsekern.ops.lines.ring import RingAllReduce, RingShift
from wsekern.ops.lines.shift import Shift
from wsekern.ops.lines.tree_reduce import KTreeAllReduce, ReduceTree, TreeAllReduce
from wsekern.ops.local.batched import BatchedGemv
from wsekern.ops.local.gemm import Gemm, GemmTransposed
from wsekern.ops.local.gemv import Gemv
from wsekern.ops.local.padding import Padded, join_tiles, split_matrix, split_operands
from wsekern.ops.local.rows import LOCAL_KINDS, Local
from wsekern.ops.operation import Operation
from wsekern.ops.views import three_views

__all__ = [
    "LOCAL_KINDS",
    "PRECISIONS",
    "AllGather",
    "AllReduce",
    "AllReduce2D",
    "BatchedGemv",
    "Broadcast",
    "Broadcast2D",
    "Cannon",
    "Choice",
    "Crossover",
    "CycleEngine",
    "Engine",
    "FlowEngine",
    "Gather",
    "Gemm",
    "GemmTransposed",
    "Gemv",
    "KTreeAllReduce",
    "Local",
    "MeshGemm",
    "MeshGemmTransposed",
    "Operation",
    "Padded",
    "Part",
    "Reduce",
    "Reduce2D",
    "ReduceTree",
    "Region",
    "RingAllReduce",
    "RingShift",
    "Scatter",
    "Shift",
    "Summa",
    "Timing",
    "Transpose",
    "TreeAllReduce",
    "TwoPhaseReduce",
    "best_allreduce",
    "best_broadcast",
    "best_gemm",
    "best_gemv",
    "best_groups",
    "best_reduce",
    "best_reduce_2d",
    "crossover",
    "join_tiles",
    "plot_crossover",
    "run_regions",
    "run_regions_on_cycle_engine",
    "split_matrix",
    "split_operands",
    "three_views",
]
