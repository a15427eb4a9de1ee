"""The cycle engine with PE cores, and the flow engine's clocks and values. Results are asserted, times never."""

import numpy as np
import pytest

from wsekern.ops import AllReduce, FlowEngine, Gemv
from wsekern.ops.cycle import run_on_cycle_engine
from wsekern.program import Layout, Program

VENDOR_SIMULATOR = 92_937
"""Active tile-cycles/s per thread of the vendor's simulator (SPMM sim_stats.json: 464,684 on 5 threads)."""


def gemv_tiles(pes: int, rows: int, cols: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((pes, pes, rows)).astype(np.float16),
            rng.standard_normal((pes, pes, rows, cols)).astype(np.float16))


@pytest.mark.parametrize(("pes", "tile", "groups"), [(64, 7, 8), (256, 7, 16), (660, 7, 22)])
def test_meshgemv_wavelet_by_wavelet(benchmark, pes, tile, groups):
    """Every wavelet of a MeshGEMV. Bound by cache misses on the state of the PE that wakes; goal 100x the vendor's rate."""
    operations = [Gemv(tile, tile), AllReduce(tile, "y", groups)]
    flow = FlowEngine("wse2", pes, pes, "silicon", "fp16")
    for operation in operations:
        flow.time(operation)
    x, w = gemv_tiles(pes, tile, tile)
    simulation = run_on_cycle_engine(operations, "wse2", pes, pes, "silicon", "fp16", x, w).simulation
    cycles = benchmark.pedantic(lambda: simulation.run(), setup=simulation.reset, rounds=3 if pes < 600 else 1)
    assert cycles == flow.cycles
    rate = int(simulation.clock.sum()) / benchmark.stats.stats.median if benchmark.stats else 0
    benchmark.extra_info.update(pe_cycles_per_s=rate, against_vendor_simulator=rate / VENDOR_SIMULATOR, width=pes,
                                height=pes, threads=1, tile=f"{tile}x{tile}", dtype="fp16", engine="cycle",
                                goal="pe_cycles_per_s >= 1e7 and, at 660, <= 15 s")


@pytest.mark.parametrize("fabric", [8, 700])
def test_idle_pes_cost_nothing(benchmark, fabric):
    """The same 4 x 4 program on a small and on a large fabric; bound by the 4 x 4 PEs. Goal: within 1.2x of each other."""
    layout = Layout("wse2", fabric, fabric)
    program = Program("work")
    for _ in range(1000):
        program.spend(3)
    layout.set_program(program, fabric // 2, fabric // 2, 4, 4)
    simulation = layout.compile()
    cycles = benchmark.pedantic(lambda: simulation.run(), setup=simulation.reset, rounds=3)
    assert cycles == 3000
    rate = 16 * cycles / benchmark.stats.stats.median if benchmark.stats else 0
    benchmark.extra_info.update(pe_cycles_per_s=rate, width=fabric, height=fabric, threads=1, engine="cycle",
                                goal="time at 700 within 1.2x of that at 8")


@pytest.mark.parametrize("threads", [1, 2])
def test_all_reduce_values_of_a_whole_grid(benchmark, threads):
    """660 x 660 tiles of 7 fp16; bound by the short rows of 7 elements. Goal: GEMV and all-reduce together <= 25 ms."""
    tile = np.random.default_rng(0).standard_normal((660, 660, 7)).astype(np.float16)
    engine = FlowEngine("wse2", 660, 660, "silicon", "fp16", threads)
    operation = AllReduce(7, "x", 22)
    result = benchmark(engine.run, operation, tile)
    assert np.all(result == result[:, :1])
    adds = tile.size / benchmark.stats.stats.median if benchmark.stats else 0
    benchmark.extra_info.update(mac_per_s=adds, width=660, height=660, threads=threads, tile="7", dtype="fp16", engine="flow",
                                goal="<= 10 ms")


def test_clocks_alone(benchmark):
    """Clocks of one all-reduce on 750 x 994 PEs: two lines stand for all. Goal <= 20 ms."""
    engine = FlowEngine("wse2", 750, 994, "silicon", "fp16")
    operation = AllReduce(7, "y", 31)
    benchmark(engine.time, operation)
    assert engine.cycles > 0
    benchmark.extra_info.update(width=750, height=994, threads=1, engine="flow", goal="<= 20 ms")
