"""The cycle engine with PE cores, and the flow engine's clocks and values. Results are asserted, times never."""

import numpy as np
import pytest

from wsekern.ops import (
    AllReduce,
    Broadcast2D,
    CycleEngine,
    FlowEngine,
    Gather,
    Gemv,
    KTreeAllReduce,
    Reduce2D,
    ReduceTree,
    RingAllReduce,
    Scatter,
)
from wsekern.ops.engines.programs import run_on_cycle_engine
from wsekern.ops.lines import trees
from wsekern.ops.predict import predict_op
from wsekern.ops.registry import find_spec
from wsekern.ops.schedule import operations

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


class DecodeLayer:
    """The products and ten all-reduces of one decode layer in WaferLLM's shapes (OSDI'25): one head, square cached tile."""

    def __init__(self, pes: int, tile: int, ffn: int, groups: int) -> None:
        self.pes, self.ffn, self.groups = pes, ffn, groups
        self.rng = np.random.default_rng(0)
        self.x = self._tiles(tile)
        self.qkv, self.keys, self.values, self.o = (self._tiles(tile, k) for k in (3 * tile, tile, tile, tile))
        self.up, self.down = self._tiles(tile, 2 * ffn), self._tiles(ffn, tile)

    def _tiles(self, *shape: int) -> np.ndarray:
        block = (self.rng.standard_normal((6, 6, *shape)) / self.pes).astype(np.float16)
        return np.tile(block, (self.pes // 6, self.pes // 6, *[1] * len(shape)))

    def run(self, engine: FlowEngine) -> np.ndarray:
        """One token through the layer."""
        def product(vector: np.ndarray, weights: np.ndarray, axis: str) -> np.ndarray:
            y = engine.run(Gemv(*weights.shape[2:]), vector, weights)
            return engine.run(AllReduce(weights.shape[3], axis, self.groups), y)

        def statistic(axis: str, op: str = "sum") -> None:
            engine.run(AllReduce(1, axis, self.groups, op), self.x[:, :, :1])

        statistic("y")                                                  # norm
        query = product(self.x, self.qkv, "y")[:, :, :self.x.shape[2]]
        scores = product(query, self.keys, "x")
        statistic("y", "max")                                           # softmax
        statistic("y")
        x = product(product(scores, self.values, "y"), self.o, "x")
        statistic("y")                                                  # norm
        hidden = product(x, self.up, "y")[:, :, :self.ffn]
        return product(hidden, self.down, "x")


@pytest.mark.parametrize(("kind", "pes", "groups"), [(FlowEngine, 660, 22), (CycleEngine, 96, 8), (CycleEngine, 660, 22)])
def test_decode_layer(benchmark, kind, pes, groups):
    """Llama-3-8B's decode layer as WaferLLM cuts it for 660 x 660 PEs (7 x 7 and 7 x 22 tiles), with values.

    Flow: bound by memory traffic of the weight tiles, goal <= 2 s at 660. Cycle: every wavelet of one line for all lines that
    are alike, then their values, bound by the pages of new tiles and by laying tiles of sixteen lines side by side; goal
    <= 3 s at 660. The flow engine's values and the clocks of every PE are asserted.
    """
    layer, engine = DecodeLayer(pes, 7, 22, groups), kind("wse2", pes, pes, "silicon", "fp16", 2)
    rounds = 1 if kind is CycleEngine and pes > 96 else 2
    values = benchmark.pedantic(layer.run, args=(engine,), setup=engine.reset, rounds=rounds)
    flow = FlowEngine("wse2", pes, pes, "silicon", "fp16", 1)
    np.testing.assert_array_equal(layer.run(flow), values)
    np.testing.assert_array_equal(engine.clock, flow.clock)
    seconds = benchmark.stats.stats.median if benchmark.stats else 1
    benchmark.extra_info.update(pe_cycles_per_s=pes * pes * engine.cycles / seconds, width=pes, height=pes, threads=2,
                                tile="7x7 and 7x22", dtype="fp16", engine=kind.__name__, cycles=engine.cycles,
                                goal="660 x 660: flow <= 2 s, cycle <= 3 s")


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


@pytest.mark.parametrize("operation", [
    AllReduce(7, "y", 31), KTreeAllReduce(7, "y", (100, 10)), RingAllReduce(994, "y"), ReduceTree(8, "y", "auto"),
    Reduce2D(8), Reduce2D(8, "snake"), Broadcast2D(8), Gather(4, "y"), Scatter(4, "y", 994)],
    ids=lambda operation: f"{type(operation).__name__} {getattr(operation, 'path', '')}".strip())
def test_clocks_alone(benchmark, operation):
    """Clocks of one operation on 750 x 994 PEs: two lines stand for all, or every PE has its own. Goal <= 20 ms."""
    engine = FlowEngine("wse2", 750, 994, "silicon", "fp16")
    engine.time(operation)
    benchmark.pedantic(engine.time, (operation,), setup=engine.reset, rounds=5)
    assert engine.cycles > 0
    benchmark.extra_info.update(width=750, height=994, threads=1, engine="flow", goal="<= 20 ms")


@pytest.mark.parametrize("name", [
    "meshgemv", "gemv-pipeline", "meshgemm", "cannon", "summa", "meshgemm-transposed", "shift", "ring-shift", "allreduce",
    "ktree-allreduce", "tree-allreduce", "ring-allreduce", "chain-reduce", "star-reduce", "tree-reduce", "two-phase-reduce",
    "auto-reduce", "reduce-2d", "snake-reduce", "broadcast", "broadcast-2d", "gather", "scatter", "all-gather"])
def test_clocks_at_first(benchmark, name):
    """Clocks alone where nothing of the operation is known yet: its schedule is written, colored and turned into tables.

    Bound by the interpreter, as measured by process clock: half of the time goes to planting a tree and writing its rows, some
    2.5 us a PE of a line, the rest to numpy over those rows (colors, queues, meetings on links).
    """
    grid, tile = (750, 994), {"meshgemv": (8, 8), "gemv-pipeline": (8, 8), "shift": (8, 8), "ring-shift": (8, 8)}

    def forget() -> None:
        for known in (operations._schedule, operations._plane, trees.best_side):
            known.cache_clear()

    sizes = {size: value for size, value in (("tile", tile.get(name, (8, 8, 8))), ("words", 8), ("relays", 3))
             if size in find_spec(name).sizes}
    found = benchmark.pedantic(lambda: predict_op(name, "wse2", grid=grid, **sizes), setup=forget, rounds=7, warmup_rounds=1)
    assert found["cycles"] > 0
    benchmark.extra_info.update(width=750, height=994, threads=1, engine="flow", goal="<= 20 ms")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("axis", ["x", "y"])
def test_gemv_with_all_reduce(benchmark, threads, axis):
    """A whole MeshGEMV with values, 660 x 660 PEs, tile 7 x 7 fp16. Bound by fp16 sums of short rows; goal <= 25 ms on two."""
    x, w = gemv_tiles(660, 7, 7)
    engine = FlowEngine("wse2", 660, 660, "silicon", "fp16", threads)
    product, reduction = Gemv(7, 7), AllReduce(7, axis, 22)
    result = benchmark(lambda: engine.run(reduction, engine.run(product, x, w)))
    assert result.shape == (660, 660, 7) and np.all(result == (result[:, :1] if axis == "x" else result[:1]))
    seconds = benchmark.stats.stats.median if benchmark.stats else 1
    benchmark.extra_info.update(mac_per_s=660 * 660 * 49 / seconds, width=660, height=660, threads=threads, tile="7x7",
                                dtype="fp16", engine="flow", goal="two threads: <= 25 ms")
