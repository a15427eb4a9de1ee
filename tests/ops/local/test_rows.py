"""Local work on both engines: the program of every kind computes what the tile kernels compute, in the cycles of the law."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wsekern.errors import BudgetError, InputError
from wsekern.machine import load_machine
from wsekern.machine.timing import Timing
from wsekern.number_formats import round_bf16
from wsekern.ops import (
    LOCAL_KINDS,
    PRECISIONS,
    AllReduce,
    BatchedGemv,
    CycleEngine,
    FlowEngine,
    Gemm,
    GemmTransposed,
    Local,
)
from wsekern.ops.engines.both import BothEngines
from wsekern.ops.engines.programs import run_on_cycle_engine
from wsekern.ops.engines.regions import Part, Region, run_regions, run_regions_on_cycle_engine
from wsekern.ops.operation import ELEMENT_TYPES
from wsekern.ops.predict import predict_op

MACHINES = st.sampled_from([(machine, profile) for machine in ("wse1", "wse2", "wse3")
                            for profile in ("vendor-simulator", "silicon")])
GRIDS = st.sampled_from([(1, 1), (5, 1), (1, 4), (2, 3), (7, 3), (3, 3), (4, 2)])
SPECIAL = (0.0, -0.0, np.inf, -np.inf, 1e-7, -104.5, 88.0, 65504.0)


def made(rng: np.random.Generator, type: str, special: float, *shape: int) -> np.ndarray:
    """Numbers of many sizes, among them a share of special ones."""
    values = rng.standard_normal(shape) * 2.0 ** rng.integers(-6, 5, shape)
    values = np.where(rng.random(shape) < special, rng.choice(SPECIAL, shape), values).astype(np.float32)
    with np.errstate(over="ignore"):
        return round_bf16(values) if type == "bf16" else values.astype({"fp32": np.float32, "fp16": np.float16}[type])


def tiles_of(operation: Local, width: int, height: int, precision: str, seed: int = 0,
             special: float = 0.0) -> list[np.ndarray]:
    """Tiles as the tile kernels take them; sums are positive, as those of squares and exponentials are."""
    rng, found = np.random.default_rng(seed), []
    for shape, type in zip(operation.tiles(), operation.tile_types(ELEMENT_TYPES[precision]), strict=True):
        tile = made(rng, type, special, height, width, *shape)
        found.append(np.abs(tile) + np.float32(0.01) if type == "fp32" and found and operation.kind != "dot" else tile)
    if operation.kind == "rope":
        found[0] = found[0].reshape(height, width, operation.count // operation.heads, operation.heads, operation.n)
    return found


def same(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal bits; any NaN is as good as any other."""
    assert found.size == expected.size and found.dtype == expected.dtype
    found, expected = found.reshape(-1), expected.reshape(-1)
    words = found.dtype == np.uint16
    nan = [(part & 0x7FFF) > 0x7F80 if words else np.isnan(part) for part in (found, expected)]
    np.testing.assert_array_equal(nan[0], nan[1])
    assert found[~nan[0]].tobytes() == expected[~nan[1]].tobytes()


@settings(max_examples=400, deadline=None)
@given(machine=MACHINES, kind=st.sampled_from(LOCAL_KINDS), precision=st.sampled_from(PRECISIONS), grid=GRIDS,
       n=st.one_of(st.integers(0, 20), st.sampled_from([64, 131, 300])), count=st.sampled_from([0, 1, 2, 3, 6, 12]),
       heads=st.sampled_from([1, 2, 3]), factor=st.floats(-3, 3), divisor=st.sampled_from([1.0, 37.0, 4096.0]),
       special=st.sampled_from([0.0, 0.2]), seed=st.integers(0, 99))
@example(machine=("wse1", "vendor-simulator"), kind="fma", precision="fp16_fp32", grid=(7, 3), n=64, count=1, heads=1,
         factor=0.0, divisor=1.0, special=0.2, seed=0)      # a sum that fp32 rounds into the middle of two halves
def test_every_kind_is_the_same_on_both_engines(machine, kind, precision, grid, n, count, heads, factor, divisor, special,
                                                seed):
    n = max(n, 1) if kind == "rowmax" else n - n % 2 if kind == "rope" else n
    count = min(count, 6) if n == 300 else count        # four tiles of 12 such rows do not fit a PE
    heads = heads if count % heads == 0 else 1
    factor = abs(factor) + 0.1 if kind in ("softcap", "clip", "clamped_silu") else factor
    operation = Local(kind, n, count, factor=factor, divisor=divisor, eps=1e-5, heads=heads)
    flow = FlowEngine(machine[0], *grid, machine[1], precision)
    tiles = tiles_of(operation, *grid, precision, seed, special)
    with np.errstate(all="ignore"):
        expected = flow.run(operation, *tiles)
    done = run_on_cycle_engine(operation, machine[0], *grid, machine[1], precision, *tiles)
    same(done.values, expected)
    np.testing.assert_array_equal(done.clock, flow.clock)
    assert flow.cycles == sum(operation.cycles(flow.timing))


@settings(max_examples=120, deadline=None)
@given(machine=MACHINES, kind=st.sampled_from([Gemm, GemmTransposed, BatchedGemv]), precision=st.sampled_from(PRECISIONS),
       grid=GRIDS, sizes=st.tuples(*[st.one_of(st.integers(0, 5), st.just(17))] * 3), seed=st.integers(0, 99))
def test_products_of_tiles_are_the_same_on_both_engines(machine, kind, precision, grid, sizes, seed):
    operation, rng = kind(*sizes), np.random.default_rng(seed)
    tiles = [made(rng, ELEMENT_TYPES[precision], 0.0, grid[1], grid[0], *shape) for shape in operation.tiles()]
    engines = [engine(machine[0], *grid, machine[1], precision) for engine in (FlowEngine, CycleEngine)]
    for _ in range(2):
        expected, found = (engine.run(operation, *tiles) for engine in engines)
        assert found.shape == expected.shape
        same(found, expected)
        np.testing.assert_array_equal(engines[1].clock, engines[0].clock)
    done = run_on_cycle_engine(operation, machine[0], *grid, machine[1], precision, *tiles)
    same(done.values, expected)
    np.testing.assert_array_equal(2 * done.clock, engines[0].clock)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", LOCAL_KINDS)
def test_a_cycle_engine_runs_the_program_again_and_again(assert_same_clocks, kind, precision):
    """What a program adds to is clear at each run; PEs that begin at clocks of their own keep what lies between them."""
    operation = Local(kind, 6, 4, factor=0.7, divisor=24, eps=1e-5, heads=2)
    flow, cycle = (engine("wse3", 3, 2, "silicon", precision) for engine in (FlowEngine, CycleEngine))
    for engine in (flow, cycle):
        engine.run(AllReduce(3, "x"), made(np.random.default_rng(1), ELEMENT_TYPES[precision], 0, 2, 3, 3))
    for seed in range(2):
        tiles = tiles_of(operation, 3, 2, precision, seed)
        expected, found = flow.run(operation, *tiles), cycle.run(operation, *tiles)
        assert found.shape == expected.shape
        same(found, expected)
        assert_same_clocks(cycle.clock, flow.clock)
    assert cycle.breakdown == flow.breakdown


@settings(max_examples=25, deadline=None)
@given(machine=MACHINES, precision=st.sampled_from(PRECISIONS), width=st.integers(1, 4), height=st.integers(1, 4),
       n=st.integers(1, 9), count=st.integers(1, 4), seed=st.integers(0, 99))
def test_softmax_is_one_program_for_each_pe(machine, precision, width, height, n, count, seed):
    """A chain: the maximum of a column of PEs, then the exponentials of another tile against it, and their sum."""
    chain = [Local("rowmax", n, count), AllReduce(count, "y", op="max")]
    rng = np.random.default_rng(seed)
    x = made(rng, ELEMENT_TYPES[precision], 0, height, width, count, n)
    flow = FlowEngine(machine[0], width, height, machine[1], precision)
    top = flow.run(chain[1], flow.run(chain[0], x))
    done = run_on_cycle_engine(chain, machine[0], width, height, machine[1], precision, x)
    same(done.values, top)
    np.testing.assert_array_equal(done.clock, flow.clock)
    tail, start = [Local("silu", n, count), Local("sumsq", n, count)], flow.clock
    total = flow.run(tail[1], flow.run(tail[0], x))
    done = run_on_cycle_engine(tail, machine[0], width, height, machine[1], precision, x)
    same(done.values, total)
    np.testing.assert_array_equal(done.clock, flow.clock - start)


@pytest.mark.parametrize("kind", LOCAL_KINDS)
@pytest.mark.parametrize("profile", ["vendor-simulator", "silicon"])
def test_predictions_of_both_engines_are_the_same(kind, profile):
    flow, cycle = (predict_op(f"local-{kind}", "wse3", profile, grid=(3, 4), words=10, engine=engine)
                   for engine in ("flow", "cycle"))
    assert flow.pop("engine") == "flow" and cycle.pop("engine") == "cycle"
    assert flow == cycle and flow["energy"] == 0
    assert flow["cycles"] == sum(Local(kind, 10).cycles(Timing(load_machine("wse3"), profile, "fp16"))) > 0


def test_the_law_in_numbers():
    """WSE-3 silicon: set-up 11 (fmov 15, fmacs 17), exp 70, divide 50, rsqrt 110; one fmuls and two fsubs a cycle, a fmacs in
    two."""
    timing = Timing(load_machine("wse3"), "silicon", "fp16")
    expected = {Local("exp", 8, 3): 3 * 8 * 70, Local("silu", 8): 8 * 120, Local("rowdiv", 8, 3): 3 * 50 + 3 * (11 + 8),
                Local("expsub", 8, 3): 3 * (11 + 4 + 8 * 70), Local("silu_mul", 8, 3): 3 * (8 * 120 + 11 + 8),
                Local("rownorm", 8, 3): 17 + 6 + 3 * 110 + 3 * 2 * (11 + 8), Local("rowmax", 8, 3): 15 + 1 + 3 * (11 + 1)}
    for operation, cycles in expected.items():
        assert sum(operation.cycles(timing)) == timing.latency("local_call", timing.latency("call")) + cycles, operation


def test_kinds_run_at_once_on_regions():
    regions = [Region(0, 0, 2, 3), Region(2, 0, 3, 1), Region(2, 1, 1, 2)]
    work = [Local("rownorm", 5, 2, divisor=9), Local("rope", 6, 4, heads=2), Local("dot", 7, 3)]
    parts = [Part(region, operation, tuple(tiles_of(operation, region.width, region.height, "bf16")))
             for region, operation in zip(regions, work, strict=True)]
    engine = FlowEngine("wse2", 5, 3, "silicon", "bf16")
    expected, done = run_regions(engine, parts), run_regions_on_cycle_engine(parts, "wse2", 5, 3, "silicon", "bf16")
    for found, values in zip(done.values, expected, strict=True):
        same(found, values)
    np.testing.assert_array_equal(done.clock, engine.clock)


def test_both_engines_compare_local_work():
    engine = BothEngines("wse2", 2, 2, "vendor-simulator", "bf16")
    engine.run(Local("expsub", 4, 2), *tiles_of(Local("expsub", 4, 2), 2, 2, "bf16"))
    assert (engine.operations_by_wavelet, engine.local_work, engine.clock_difference) == (0, 1, 0)


@pytest.mark.parametrize(("make", "says"), [
    (lambda: Local("tanh", 4), "no local work 'tanh'"), (lambda: Local("rope", 3), "even number"),
    (lambda: Local("rope", 4, 3, heads=2), "a divisor of the 3 rows"), (lambda: Local("rope", 4, heads=0), "heads is 0"),
    (lambda: Local("exp", -1), "not negative"), (lambda: Gemm(2, -1, 3), "not negative"),
    (lambda: Local("exp", 1 << 40), "elements of a tile"),
])
def test_work_that_does_not_exist_is_refused(make, says):
    with pytest.raises(InputError, match=says):
        make()


@pytest.mark.parametrize("engine", [FlowEngine, CycleEngine])
def test_tiles_of_other_sizes_are_refused(engine):
    run = engine("wse3", 2, 1, "silicon", "fp16").run
    with pytest.raises(InputError, match="b has 6 elements on a PE: add of 1 rows of 4 takes 4"):
        run(Local("add", 4), np.zeros((1, 2, 4), np.float16), np.zeros((1, 2, 6), np.float16))
    with pytest.raises(InputError, match="1 tiles for add of 1 rows of 4, which takes 2"):
        run(Local("add", 4), np.zeros((1, 2, 4), np.float16))
    with pytest.raises(InputError, match="at least one, for the largest"):
        run(Local("rowmax", 0, 2), np.zeros((1, 2, 2, 0), np.float16))


def test_a_program_that_does_not_fit_a_pe_is_refused():
    operation = Local("silu_mul", 2, 2000)
    with pytest.raises(BudgetError, match="49152 B"):
        run_on_cycle_engine(operation, "wse3", 1, 1, "silicon", "fp32", *tiles_of(operation, 1, 1, "fp32"))
