"""Mesh operations: what each computes, how it runs on the wafer, what it costs."""

from wsekern.machine.timing import DTYPES, Timing
from wsekern.ops.allreduce import AllReduce
from wsekern.ops.broadcast import Broadcast
from wsekern.ops.choose import Choice, best_allreduce, best_reduce
from wsekern.ops.cycle import CycleEngine
from wsekern.ops.distribute import AllGather, Gather, Scatter
from wsekern.ops.flow import FlowEngine, Operation
from wsekern.ops.gemm import Gemm, GemmTransposed, MeshGemm, MeshGemmTransposed
from wsekern.ops.gemv import Gemv
from wsekern.ops.local import LOCAL_KINDS, Local
from wsekern.ops.reduce import Reduce, TwoPhaseReduce
from wsekern.ops.ring import RingAllReduce, RingShift
from wsekern.ops.shift import Shift
from wsekern.ops.tree import KTreeAllReduce, ReduceTree

__all__ = [
    "DTYPES",
    "LOCAL_KINDS",
    "AllGather",
    "AllReduce",
    "Broadcast",
    "Choice",
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
    "Reduce",
    "ReduceTree",
    "RingAllReduce",
    "RingShift",
    "Scatter",
    "Shift",
    "Timing",
    "TwoPhaseReduce",
    "best_allreduce",
    "best_reduce",
]
