"""Mesh operations: what each computes, how it runs on the wafer, what it costs."""

from wsekern.ops.allreduce import AllReduce
from wsekern.ops.broadcast import Broadcast
from wsekern.ops.flow import FlowEngine
from wsekern.ops.gemm import MeshGemm, MeshGemmTransposed
from wsekern.ops.gemv import Gemv
from wsekern.ops.local import LOCAL_KINDS, Local
from wsekern.ops.reduce import Reduce
from wsekern.ops.shift import Shift
from wsekern.ops.timing import DTYPES, Timing

__all__ = [
    "DTYPES",
    "LOCAL_KINDS",
    "AllReduce",
    "Broadcast",
    "FlowEngine",
    "Gemv",
    "Local",
    "MeshGemm",
    "MeshGemmTransposed",
    "Reduce",
    "Shift",
    "Timing",
]
