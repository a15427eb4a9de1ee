"""Products of matrices over P x P PEs: the cycle engine's programs against the tile kernels and the schedules' clocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.ops import DTYPES, Cannon, CycleEngine, FlowEngine, MeshGemm, MeshGemmTransposed, Summa
from wsekern.ops.cycle import run_on_cycle_engine
from wsekern.ops.line import NUMPY_DTYPES, round_bf16

machines = st.sampled_from([("wse2", "vendor-simulator"), ("wse2", "silicon"), ("wse3", "vendor-simulator"),
                            ("wse3", "silicon")])


def random_tile(seed: int, dtype: str, *shape: int) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return round_bf16(values).reshape(shape) if dtype == "bf16" else values.astype(NUMPY_DTYPES[dtype])


def assemble(tiles: np.ndarray) -> np.ndarray:
    """Tiles (P, P, m, n) as one matrix (P m, P n)."""
    rows, columns, m, n = tiles.shape
    return tiles.swapaxes(1, 2).reshape(rows * m, columns * n)


@settings(max_examples=20, deadline=None)
@given(machine=machines, pes=st.sampled_from([1, 2, 3, 4, 5]), sizes=st.tuples(*[st.integers(0, 4)] * 3),
       dtype=st.sampled_from(DTYPES), seed=st.integers(0, 99))
def test_products_are_the_same_on_both_engines(machine, pes, sizes, dtype, seed):
    m, k, n = sizes
    x, w = random_tile(seed, dtype, pes, pes, m, k), random_tile(seed + 1, dtype, pes, pes, k, n)
    keys = random_tile(seed + 2, dtype, pes, pes, n, k)
    for operation, right in ((MeshGemm(m, k, n, overlapped=False), w), (MeshGemm(m, k, n, True, False), w),
                             (Cannon(m, k, n, overlapped=False), w), (Summa(m, k, n, False), w),
                             (MeshGemmTransposed(m, n, k, False), keys)):
        flow = FlowEngine(machine[0], pes, pes, machine[1], dtype)
        values = flow.run(operation, x, right)
        run = run_on_cycle_engine(operation, machine[0], pes, pes, machine[1], dtype, x, right)
        assert run.values.tobytes() == values.tobytes()
        assert run.simulation.link_traversals == flow.energy
        if not flow.notes:
            np.testing.assert_array_equal(run.clock, flow.clock)
        else:
            assert np.abs(run.clock - flow.clock).max() <= pes * (2 * (m * n + m * k + k * n) + 20)


@pytest.mark.parametrize("kind", [MeshGemm, Cannon, Summa])
def test_products_are_those_of_the_matrices(kind):
    x, w = random_tile(1, "fp32", 5, 5, 2, 3), random_tile(2, "fp32", 5, 5, 3, 4)
    for overlapped in (True, False):
        engine = FlowEngine("wse3", 5, 5, "silicon", "fp32")
        product = engine.run(kind(2, 3, 4, overlapped=overlapped), x, w)
        np.testing.assert_allclose(assemble(product), assemble(x) @ assemble(w), rtol=1e-4, atol=1e-5)
        assert engine.cycles > 0 and engine.energy > 0


def test_a_round_of_cannon_grows_with_the_grid_and_one_of_meshgemm_does_not():
    """PLMR: Cannon's wrap-around edge crosses the row; folding the ring keeps neighbours two hops apart."""
    def per_round(kind: type, pes: int) -> float:
        engine = FlowEngine("wse3", pes, pes, "silicon", "fp16")
        engine.time(kind(1, 1, 1))
        return engine.cycles / pes

    assert per_round(MeshGemm, 700) < 1.01 * per_round(MeshGemm, 100)
    assert per_round(Cannon, 700) > 5 * per_round(MeshGemm, 700)


def test_the_cycle_engine_runs_products_again_and_again():
    """Sums start from zero in every run of the same program."""
    x, w = random_tile(1, "fp16", 4, 4, 2, 2), random_tile(2, "fp16", 4, 4, 2, 2)
    flow, cycle = (kind("wse3", 4, 4, "silicon", "fp16") for kind in (FlowEngine, CycleEngine))
    operation = MeshGemm(2, 2, 2, overlapped=False)
    for _ in range(2):
        assert flow.run(operation, x, w).tobytes() == cycle.run(operation, x, w).tobytes()
    assert abs(flow.cycles - cycle.cycles) <= 8


def test_products_refuse_grids_that_are_not_square_and_threads_that_there_are_not():
    x = np.zeros((2, 3, 1, 1), np.float16)
    with pytest.raises(InputError, match="square"):
        FlowEngine("wse3", 3, 2).run(Summa(1, 1, 1), x, x)
    with pytest.raises(InputError, match="overlapped=False"):
        run_on_cycle_engine(MeshGemm(1, 1, 1), "wse3", 2, 2, "silicon", "fp16", x[:, :2], x[:, :2])
