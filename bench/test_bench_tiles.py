"""Tile kernels: products of small matrices for every PE of a grid. Results are asserted, times never.

Every benchmark measures, in the same run, the multiply-adds per second that one core can do from registers, and reports its
best rate as a share of it: ``peak_share``. Where every PE has its own tiles, they also measure how soon the same bytes are
read and written without a multiplication, and report the best rate as a share of what both allow, ``bound_share``, and which
of them ``limits``. Groups put ours beside batched ``numpy.matmul``. All on one thread, timed by that
thread's processor time, so that a busy machine disturbs them less.
"""

import math
import time

import numpy as np
import pytest

from wsekern import tiles
from wsekern.tiles import _tiles

pytestmark = pytest.mark.benchmark(timer=time.thread_time)

LIBXSMM = {4: 13.3, 8: 44.7, 16: 89.5, 32: 102.1, 64: 107.1}
"""GFLOP/s of libxsmm, fp32, one thread, on a core with a peak of 115 GFLOP/s (its better case: tiles in cache, or 10,000)."""


def peak_macs_per_s() -> float:
    """Multiply-adds per second of this core from registers; the best of several short runs."""
    best = 0.0
    for _ in range(5):
        start = time.thread_time()
        done = _tiles.peak(300_000)
        best = max(best, done / (time.thread_time() - start))
    return best


def make(precision: str, grid: int, tile: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    values = [random.random((grid, grid, tile, tile), dtype=np.float32) - np.float32(0.5) for _ in range(2)]
    if precision == "fp32":
        return tuple(tiles.mov(v) for v in values)      # to arrays that start on a cache line, for numpy too
    if precision == "bf16":
        return tuple((v.view(np.uint32) >> 16).astype(np.uint16) for v in values)
    return tuple(tiles.mov(v.astype(np.float16), precision) for v in values)


def grid_for(tile: int) -> int:
    """256 x 256 PEs; 128 x 128 where that would take more than a gigabyte."""
    return 256 if tile < 64 else 128


def traffic_seconds(size: int) -> float:
    """Seconds in which one core reads two grids of ``size`` bytes and writes a third; the best of several runs, by stores of
    either kind."""
    a, b, out = (tiles.mov(np.ones((1, 1, size // 4), np.float32))[0, 0] for _ in range(3))
    best = math.inf
    for past_caches in (False, True) * 4:
        start = time.thread_time()
        _tiles.traffic(a, b, out, past_caches)
        best = min(best, time.thread_time() - start)
    assert out[0] == out[-1] == 2
    return best


def report_bound(benchmark, macs: int, size: int, **parameters) -> None:
    """As :func:`report`; and the share of the roofline: multiply-adds from registers, and grids of ``size`` bytes that move."""
    if benchmark.stats:
        multiplying, moving = macs / peak_macs_per_s(), traffic_seconds(size)
        benchmark.extra_info.update(
            bound_share=max(multiplying, moving) / benchmark.stats.stats.min, bound_peak_share=min(1.0, multiplying / moving),
            bytes_per_s=3 * size / moving, limits="memory" if moving > multiplying else "multiply-add units")
    report(benchmark, macs, **parameters)


def report(benchmark, macs: int, **parameters) -> None:
    rate = macs / benchmark.stats.stats.min if benchmark.stats else 0
    benchmark.extra_info.update(mac_per_s=rate, peak_share=rate / peak_macs_per_s(), threads=1, engine="tiles", **parameters)


@pytest.mark.parametrize("precision", tiles.PRECISIONS)
@pytest.mark.parametrize("tile", [4, 8, 16, 32, 64])
def test_tile_matmul_over_the_grid(benchmark, tile, precision):
    """Every PE its own tiles, which come from memory: three numbers move for 2 x tile operations.

    ``bytes_per_s`` is what the memory gives one core for that traffic, and ``bound_peak_share`` the share of the peak that it
    allows. Where that is 25 GB/s, as on the shared server with a peak of 240 GFLOP/s on which these were written, 70 % of
    the peak at tile 32 takes 32 GB/s and is out of reach however the products are made; in cache it is met.
    """
    benchmark.group = f"tile matmul {tile}, all PEs"
    grid = grid_for(tile)
    x, w = make(precision, grid, tile)
    out = tiles.mov(x, precision)
    benchmark.pedantic(tiles.gemm, (x, w, precision), {"out": out}, warmup_rounds=1, rounds=5)
    some = slice(3, 5), slice(7, 9)
    assert out[some].tobytes() == tiles.gemm_naive(x[some], w[some], precision).tobytes()
    report_bound(benchmark, grid**2 * tile**3, out.nbytes, width=grid, height=grid, tile=tile, dtype=precision,
           goal={"fp32": "ahead of numpy.matmul; 70 % of peak at 32", "fp16": ">= 25 % of fp32 at 8 to 32"}.get(precision, ""))


@pytest.mark.parametrize("tile", [4, 8, 16, 32, 64])
def test_numpy_matmul_over_the_grid(benchmark, tile):
    """The yardstick: batched numpy.matmul on the same tiles, fp32."""
    benchmark.group = f"tile matmul {tile}, all PEs"
    grid = grid_for(tile)
    x, w = make("fp32", grid, tile)
    out = tiles.mov(x)
    benchmark.pedantic(np.matmul, (x, w), {"out": out}, warmup_rounds=1, rounds=3)
    np.testing.assert_allclose(out[0, :2], tiles.gemm(x[:1, :2], w[:1, :2])[0], atol=1e-4)
    report(benchmark, grid**2 * tile**3, width=grid, height=grid, tile=tile, dtype="fp32", goal="")


@pytest.mark.parametrize("precision", tiles.PRECISIONS)
@pytest.mark.parametrize("tile", [4, 8, 16, 32, 64])
def test_tile_matmul_in_cache(benchmark, tile, precision):
    """The same number of products on few tiles that stay in cache: what the kernel does when memory does not hold it up.

    Bound by the multiply-add units from 16 on; by permutations and loads below; fp16 without AVX512-FP16 (WSEKERN_SIMD=avx512)
    by the seven operations of a step that rounds to odd and then to fp16.
    """
    benchmark.group = f"tile matmul {tile}, in cache"
    grid = grid_for(tile)
    few = max(1, 2048 // tile**2)
    x, w = (np.broadcast_to(t[:1, :few], (grid**2 // few, few, tile, tile)) for t in make(precision, grid, tile))
    out = np.lib.stride_tricks.as_strided(np.empty_like(x[0]), x.shape, (0, *x[0].copy().strides))
    benchmark.pedantic(tiles.gemm, (x, w, precision), {"out": out}, warmup_rounds=1, rounds=5)
    assert out[0].tobytes() == tiles.gemm_naive(x[:1], w[:1], precision)[0].tobytes()
    report(benchmark, out.size * tile, width=few, height=grid**2 // few, tile=tile, dtype=precision,
           goal={"fp32": f"{LIBXSMM[tile] / 1.25 / 115:.0%} of peak (libxsmm / 1.25); 70 % at 32",
                 "fp16": ">= 25 % of fp32 at 8 to 32"}.get(precision, ""))


def test_gemv_of_a_decode_step(benchmark):
    """660 x 660 PEs, tile 7 x 7, fp16 with exactly rounded fp16 sums. Bound by the latency of a step: 7 in a chain."""
    random = np.random.default_rng(2)
    x = random.standard_normal((660, 660, 7), dtype=np.float32).astype(np.float16)
    w = random.standard_normal((660, 660, 7, 7), dtype=np.float32).astype(np.float16)
    got = benchmark.pedantic(tiles.gemv, (x, w, "fp16"), {"threads": 1}, warmup_rounds=1, rounds=5)
    assert got[:2].tobytes() == tiles.gemm_naive(x[:2, :, None], w[:2], "fp16").tobytes()
    report(benchmark, 660**2 * 49, width=660, height=660, tile=7, dtype="fp16", goal="<= 25 ms with the all-reduce")


def test_mesh_gemm_against_the_tile_kernel(benchmark):
    """96 x 96 PEs, tile 8 x 8 x 8, fp16: all rounds. Bound by the tile kernel: tiles come from cache, sums stay in registers.

    ``times_tile_kernel`` is the time per multiply-add against the tile kernel's on tiles in cache. The same at 720 x 720
    takes 360 times as long; per multiply-add it is no slower (columns are packed four at a time).
    """
    p, tile = 96, 8
    x, w = make("fp16", p, tile)
    got = benchmark.pedantic(tiles.mesh_gemm, (x, w, "fp16"), {"threads": 1}, warmup_rounds=1, rounds=5)
    i, j = 5, 11
    order = [(i + j + r) % p for r in range(p)]
    left, right = np.concatenate(x[i, order], axis=1), np.concatenate(w[order, j], axis=0)
    assert got[i, j].tobytes() == tiles.gemm_naive(left[None, None], right[None, None], "fp16").tobytes()
    cached = [np.broadcast_to(t[:1, :16], (p * p, 16, tile, tile)) for t in (x, w)]
    out = np.empty((p * p, 16, tile, tile), np.float16)
    times = []
    for _ in range(5):
        start = time.thread_time()
        tiles.gemm(*cached, "fp16", out=out)
        times.append((time.thread_time() - start) / (p * p * 16 * tile**3))
    if benchmark.stats:
        per_mac = benchmark.stats.stats.min / (p**3 * tile**3)
        benchmark.extra_info["times_tile_kernel"] = per_mac / min(times)
    report(benchmark, p**3 * tile**3, width=p, height=p, tile=tile, dtype="fp16", goal="times_tile_kernel <= 2")


@pytest.mark.parametrize("kind", ["add", "mul", "silu_mul", "exp"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_element_wise(benchmark, kind, precision):
    """660 x 660 PEs of 32 elements. Bound by memory, exp and silu_mul by division and the polynomial."""
    random = np.random.default_rng(3)
    a = random.standard_normal((660, 660, 32), dtype=np.float32).astype(np.float32 if precision == "fp32" else np.float16)
    operands = (a,) if kind == "exp" else (a, a)
    got = benchmark.pedantic(tiles.local, (kind, *operands), {"precision": precision, "threads": 1}, warmup_rounds=1, rounds=5)
    one = tuple(t[:1, :1] for t in operands)
    assert got[:1, :1].tobytes() == tiles.local(kind, *one, precision=precision).tobytes()
    benchmark.extra_info.update(elements_per_s=a.size / benchmark.stats.stats.min if benchmark.stats else 0, width=660,
                                height=660, threads=1, tile=32, dtype=precision, engine="tiles", goal="")
