"""Mesh operations: what each computes, how it runs on the wafer, what it costs."""

from wsekern.machine.timing import DTYPES, Timing
from wsekern.ops.allreduce import AllReduce
from wsekern.ops.broadcast import Broadcast
from wsekern.ops.choose import Choice, best_allreduce, best_reduce
from wsekern.ops.cycle import CycleEngine
from wsekern.ops.flow import FlowEngine, Operation
from wsekern.ops.gemm import Gemm, GemmTransposed, MeshGemm, MeshGemmTransposed
from wsekern.ops.gemv import Gemv
from wsekern.ops.local import LOCAL_KINDS, Local
from wsekern.ops.reduce import Reduce, TwoPhaseReduce
from wsekern.ops.shift import Shift

__all__ = [
    "DTYPES",
    "LOCAL_KINDS",
    "AllReduce",
    "Broadcast",
    "Choice",
    "CycleEngine",
    "FlowEngine",
    "Gemm",
    "GemmTransposed",
    "Gemv",
    "Local",
    "MeshGemm",
    "MeshGemmTransposed",
    "Operation",
    "Reduce",
    "Shift",
    "Timing",
    "TwoPhaseReduce",
    "best_allreduce",
    "best_reduce",
]
