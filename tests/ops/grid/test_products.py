"""Products of matrices over rectangles of PEs: the cycle engine's programs against the tile kernels and the
schedules' clocks."""

from math import lcm

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.ops import (
    PRECISIONS,
    Cannon,
    CycleEngine,
    FlowEngine,
    MeshGemm,
    MeshGemmTransposed,
    Summa,
    join_tiles,
    split_operands,
)
from wsekern.ops.engines.programs import run_on_cycle_engine

machines = st.sampled_from([("wse2", "vendor-simulator"), ("wse2", "silicon"), ("wse3", "vendor-simulator"),
                            ("wse3", "silicon")])


def assemble(tiles: np.ndarray) -> np.ndarray:
    """Tiles (P, P, m, n) as one matrix (P m, P n)."""
    rows, columns, m, n = tiles.shape
    return tiles.swapaxes(1, 2).reshape(rows * m, columns * n)


QUEUE = 8
"""Words of the deepest input queue of a core, in cycles at one word each."""
GRIDS = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (1, 3), (3, 1), (2, 3), (3, 2), (4, 2), (2, 4), (4, 6), (5, 2)]


def check(random_tile, assert_same_bits, assert_same_clocks, machine, grid, operation, precision, seed):
    """Values and energy the same on both engines, clocks too where the flow engine does not say otherwise."""
    width, height = grid
    left, right, _ = operation.shapes(width, height)
    x, w = random_tile(seed, precision, height, width, *left), random_tile(seed + 1, precision, height, width, *right)
    flow = FlowEngine(machine[0], width, height, machine[1], precision)
    values = flow.run(operation, x, w)
    assert values.shape == operation.result_shape(flow)
    run = run_on_cycle_engine(operation, machine[0], width, height, machine[1], precision, x, w)
    assert_same_bits(run.values, values)
    assert run.simulation.link_traversals == flow.link_traversals
    if not flow.notes:
        assert_same_clocks(run.clock, flow.clock)
    else:
        words = left[0] * left[1] + right[0] * right[1] + values[0, 0].size
        assert np.abs(run.clock - flow.clock).max() <= lcm(width, height) * (2 * words + 20)


@settings(max_examples=30, deadline=None)
@given(machine=machines, grid=st.sampled_from(GRIDS), sizes=st.tuples(*[st.integers(0, 4)] * 3),
       precision=st.sampled_from(PRECISIONS), seed=st.integers(0, 99))
def test_products_are_the_same_on_both_engines(random_tile, assert_same_bits, assert_same_clocks, machine, grid, sizes,
                                               precision,
                                               seed):
    m, k, n = sizes
    for operation in (MeshGemm(m, k, n, overlapped=False), MeshGemm(m, k, n, True, False), Cannon(m, k, n, overlapped=False),
                      Summa(m, k, n, False), MeshGemmTransposed(m, n, k, False)):
        check(random_tile, assert_same_bits, assert_same_clocks, machine, grid, operation, precision, seed)


@pytest.mark.parametrize(("machine", "precision", "grid", "sizes"), [
    (("wse2", "silicon"), "fp32", (4, 3), (2, 3, 0)), (("wse2", "silicon"), "fp32", (5, 4), (2, 3, 0)),
    (("wse2", "vendor-simulator"), "fp32", (5, 2), (2, 3, 0)), (("wse2", "vendor-simulator"), "fp16", (5, 2), (3, 5, 0)),
])
def test_two_messages_that_wait_together_fill_a_queue(random_tile, assert_same_bits, assert_same_clocks, machine, precision,
                                                      grid, sizes):
    """Each alone would have room: found by the soak."""
    check(random_tile, assert_same_bits, assert_same_clocks, machine, grid, MeshGemmTransposed(*sizes, False), precision, 3)


@pytest.mark.parametrize("grid", [(11, 7), (7, 11), (1, 70), (67, 1), (24, 9)])
def test_staged_products_have_more_than_64_blocks_a_side(random_tile, assert_same_bits, assert_same_clocks, grid):
    for operation in (MeshGemm(1, 2, 1, overlapped=False), Cannon(1, 1, 2, overlapped=False), Summa(2, 1, 1, False),
                      MeshGemmTransposed(1, 1, 1, False)):
        assert lcm(*grid) > 64
        check(random_tile, assert_same_bits, assert_same_clocks, ("wse3", "silicon"), grid, operation, "fp16_fp32", 3)


@settings(max_examples=30, deadline=None)
@given(kind=st.sampled_from([MeshGemm, Cannon, Summa]), width=st.integers(1, 7), height=st.integers(1, 7),
       rows=st.integers(1, 20), inner=st.integers(1, 50), columns=st.integers(1, 20))
def test_products_are_those_of_the_matrices(kind, width, height, rows, inner, columns):
    """Any rectangle, sizes that do not divide: padded, multiplied, cut."""
    random = np.random.default_rng(rows)
    a, b = random.standard_normal((rows, inner), np.float32), random.standard_normal((inner, columns), np.float32)
    x, w, sizes = split_operands(a, b, height, width)
    engine = FlowEngine("wse3", width, height, "silicon", "fp32")
    product = engine.run(kind(*sizes), x.tiles, w.tiles)
    np.testing.assert_allclose(join_tiles(product, (rows, columns)), a @ b, rtol=1e-4, atol=1e-4)
    assert engine.cycles > 0 and x.padding >= 0 and w.padding >= 0


@settings(max_examples=30, deadline=None)
@given(width=st.integers(1, 7), height=st.integers(1, 7), m=st.integers(1, 3), n=st.integers(1, 3), k=st.integers(1, 3))
def test_scores_are_queries_times_keys(random_tile, width, height, m, n, k):
    operation, engine = MeshGemmTransposed(m, n, k), FlowEngine("wse3", width, height, "silicon", "fp32")
    left, right, _ = operation.shapes(width, height)
    q, keys = random_tile(1, "fp32", height, width, *left), random_tile(2, "fp32", height, width, *right)
    np.testing.assert_allclose(assemble(engine.run(operation, q, keys)), assemble(q) @ assemble(keys).T, rtol=1e-4, atol=1e-4)


def test_a_round_of_cannon_grows_with_the_grid_and_one_of_meshgemm_does_not():
    """PLMR: Cannon's wrap-around edge crosses the row; folding the ring keeps neighbors two hops apart."""
    def per_round(kind: type, pes: int) -> float:
        engine = FlowEngine("wse3", pes, pes, "silicon", "fp16")
        engine.time(kind(1, 1, 1))
        return engine.cycles / pes

    assert per_round(MeshGemm, 700) < 1.01 * per_round(MeshGemm, 100)
    assert per_round(Cannon, 700) > 5 * per_round(MeshGemm, 700)


def test_the_cycle_engine_runs_products_again_and_again(random_tile):
    """Sums start from zero in every run of the same program."""
    x, w = random_tile(1, "fp16", 4, 4, 2, 2), random_tile(2, "fp16", 4, 4, 2, 2)
    flow, cycle = (kind("wse3", 4, 4, "silicon", "fp16") for kind in (FlowEngine, CycleEngine))
    operation = MeshGemm(2, 2, 2, overlapped=False)
    for _ in range(2):
        assert flow.run(operation, x, w).tobytes() == cycle.run(operation, x, w).tobytes()
    assert abs(flow.cycles - cycle.cycles) <= QUEUE


def test_products_refuse_tiles_that_do_not_belong_there_and_threads_that_there_are_not():
    x = np.zeros((2, 3, 1, 1), np.float16)
    with pytest.raises(InputError, match="shape"):
        FlowEngine("wse3", 3, 2).run(Summa(1, 1, 1), x, x)
    with pytest.raises(InputError, match="overlapped=False"):
        run_on_cycle_engine(MeshGemm(1, 1, 1), "wse3", 2, 2, "silicon", "fp16", x[:, :2], x[:, :2])
    with pytest.raises(InputError, match="for 10100 blocks of the inner size on 101x100 PEs"):
        FlowEngine("wse3", 101, 100).time(Summa(1, 1, 1, False))
