"""What one PE computes on its own tiles, for all PEs of a grid at once.

Every array is (height, width, ...tile) with the PE first; float32 for ``fp32``, float16 for ``fp16`` and ``fp16_fp32``, uint16
(or ml_dtypes.bfloat16) for ``bf16``. Arrays may be broadcast views. Results have the same bits for any number of threads,
on any SIMD level, on any machine (a NaN is a NaN; its payload is not fixed).

Sums of products are chains of fused multiply-adds, the inner index increasing, starting from c (or 0). Rounded:
``fp32`` every step to fp32; ``fp16`` every step once to fp16; ``fp16_fp32`` and ``bf16`` every step to fp32, and the sum at
the end to the storage type. All other functions compute in fp32 and round each result once to the storage type,
except where their docstring says otherwise.
"""

from wsekern.tiles.arguments import PRECISIONS, Array
from wsekern.tiles.by_name import local
from wsekern.tiles.elements import add, exp, fma, maximum, mov, mul, reciprocal, rope, rsqrt, scale, silu, silu_mul, sub
from wsekern.tiles.products import gemm, gemm_naive, gemm_transposed, gemv, mesh_gemm, mesh_gemm_transposed
from wsekern.tiles.rows import dot, expsub, rowdiv, rowmax, rownorm, rowsub, rowsum, sumsq

__all__ = ["PRECISIONS", "Array", "add", "dot", "exp", "expsub", "fma", "gemm", "gemm_naive", "gemm_transposed", "gemv",
           "local", "maximum", "mesh_gemm", "mesh_gemm_transposed", "mov", "mul", "reciprocal", "rope", "rowdiv", "rowmax",
           "rownorm", "rowsub", "rowsum", "rsqrt", "scale", "silu", "silu_mul", "sub", "sumsq"]
