"""Print a digest of every kernel's results on fixed inputs, for 1 and 2 threads: equal on every SIMD level (test_levels.py)."""

import hashlib
import sys

import numpy as np

from wsekern import simd_level, tiles
from wsekern.tiles import arguments

GRID = (13, 11)


def make(random: np.random.Generator, dtype: str, *tile: int) -> np.ndarray:
    """Numbers of many sizes; some zeros of both signs, infinities and the most negative number."""
    values = random.standard_normal((*GRID, *tile)) * 2.0 ** random.integers(-16, 8, (*GRID, *tile))
    place = random.integers(0, 400, values.shape)
    for index, special in enumerate((0.0, -0.0, np.inf, -np.inf, -65504.0)):
        values[place == index] = special
    values = values.astype(np.float32)
    if dtype == "fp32":
        return values
    return values.astype(np.float16) if dtype.startswith("fp16") else (values.view(np.uint32) >> 16).astype(np.uint16)


def results(random: np.random.Generator, dtype: str, threads: int):
    """Pairs (name, result)."""
    kw = {"dtype": dtype, "threads": threads}
    for m, k, n in ((1, 7, 7), (4, 4, 4), (8, 8, 8), (5, 16, 16), (13, 6, 50), (2, 3, 40), (32, 8, 32)):
        x, w, c = make(random, dtype, m, k), make(random, dtype, k, n), make(random, dtype, m, n)
        yield f"gemm {m} {k} {n}", tiles.gemm(x, w, c=c, **kw)
        yield f"gemm_transposed {m} {k} {n}", tiles.gemm_transposed(x, np.swapaxes(w, 2, 3), **kw)
    square = slice(0, 11), slice(0, 11)
    x, w = make(random, dtype, 5, 3)[square], make(random, dtype, 3, 9)[square]
    yield "mesh_gemm", tiles.mesh_gemm(x, w, **kw)
    yield "mesh_gemm_transposed", tiles.mesh_gemm_transposed(x, np.swapaxes(w, 2, 3), **kw)
    a, b, gain = make(random, dtype, 3, 37), make(random, dtype, 3, 37), make(random, dtype, 37)
    s = np.abs(make(random, "fp32", 3)) + np.float32(0.01)
    for kind in ("add", "sub", "mul", "max", "silu_mul", "dot"):
        yield kind, tiles.local(kind, a, b, **kw)
    for kind in ("mov", "exp", "reciprocal", "rsqrt", "silu", "rowsum", "rowmax", "sumsq"):
        yield kind, tiles.local(kind, a, **kw)
    yield "fma", tiles.fma(a, b, b, **kw)
    yield "scale", tiles.scale(a, 0.3, **kw)
    yield "expsub", tiles.expsub(a, make(random, dtype, 3), **kw)
    yield "rowdiv", tiles.rowdiv(a, s, **kw)
    yield "rownorm", tiles.rownorm(a, s, gain, divisor=111, eps=1e-5, **kw)
    yield "rope", tiles.rope(make(random, dtype, 2, 3, 26), make(random, dtype, 2, 13), make(random, dtype, 2, 13), **kw)


def canonical(result: np.ndarray) -> bytes:
    """Bits, with every NaN the same."""
    words = result.dtype == np.uint16
    nan = (result & 0x7FFF) > 0x7F80 if words else np.isnan(result)
    result = result.copy()
    result[nan] = 0x7FC0 if words else np.nan
    return result.tobytes()


if __name__ == "__main__":
    np.seterr(all="ignore")
    arguments.WORTH_THREADS = 0
    print(simd_level(), file=sys.stderr)
    for precision in tiles.DTYPES:
        one, two = (results(np.random.default_rng(3), precision, threads) for threads in (1, 2))
        for (name, first), (_, second) in zip(one, two, strict=True):
            assert canonical(first) == canonical(second), f"{precision} {name}: threads differ"
            print(precision, name, hashlib.sha256(canonical(first)).hexdigest()[:16])
