"""Mesh operations: what each computes, how it runs on the wafer, what it costs."""

from wsekern.machine.timing import DTYPES, Timing
from wsekern.ops.allreduce import AllReduce
from wsekern.ops.broadcast import Broadcast
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
from wsekern.ops.cycle import CycleEngine
from wsekern.ops.distribute import AllGather, Gather, Scatter
from wsekern.ops.flow import FlowEngine, Operation
from wsekern.ops.gemm import Cannon, Gemm, GemmTransposed, MeshGemm, MeshGemmTransposed, Summa
from wsekern.ops.gemv import Gemv
from wsekern.ops.local import LOCAL_KINDS, Local
from wsekern.ops.plane import Broadcast2D, Reduce2D, Transpose
from wsekern.ops.reduce import Reduce, TwoPhaseReduce
from wsekern.ops.regions import Part, Region, run_regions, run_regions_on_cycle_engine
from wsekern.ops.ring import RingAllReduce, RingShift
from wsekern.ops.shift import Shift
from wsekern.ops.tree import KTreeAllReduce, ReduceTree, TreeAllReduce

__all__ = [
    "DTYPES",
    "LOCAL_KINDS",
    "AllGather",
    "AllReduce",
    "Broadcast",
    "Broadcast2D",
    "Cannon",
    "Choice",
    "Crossover",
    "CycleEngine",
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
    "plot_crossover",
    "run_regions",
    "run_regions_on_cycle_engine",
]
