"""The two engines are one: values bit for bit and every PE's clock, wavelet by wavelet against operation by operation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import BudgetError, InputError
from wsekern.machine import load_machine
from wsekern.ops import DTYPES, AllReduce, Broadcast, CycleEngine, FlowEngine, Gemm, Gemv, Local, Reduce, Shift, TwoPhaseReduce
from wsekern.ops.engines.programs import ColorAllocator, run_on_cycle_engine
from wsekern.ops.predict import predict_op

LATE = 16
"""Cycles that a word may be late where two messages meet once: a stage and its hops, 12 at most, and a few words ahead."""
QUEUE = 8
"""Words of the deepest input queue of a core, in cycles at one word each."""


def links_are_shared(length: int, groups: int) -> bool:
    """Groups so small that a sum between group roots meets a chain inside a group on one link."""
    return 1 < groups < length and length // groups < 3


machines = st.sampled_from([("wse2", "vendor-simulator"), ("wse2", "silicon"), ("wse3", "vendor-simulator"),
                            ("wse3", "silicon")])
sizes = st.sampled_from([1, 2, 3, 5, 7, 8, 11, 13, 16])


@settings(max_examples=60, deadline=None)
@given(machine=machines, width=sizes, height=sizes, rows=st.integers(0, 9), cols=st.sampled_from([1, 2, 3, 8, 21]),
       axis=st.sampled_from("xy"), groups=st.integers(1, 5), op=st.sampled_from(["sum", "max"]),
       segment=st.sampled_from([0, 0, 4]), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 99))
def test_gemv_and_all_reduce_are_the_same_on_both_engines(random_tile, assert_same_bits, assert_same_clocks, machine, width,
                                                          height, rows, cols, axis, groups, op, segment, dtype, seed):
    rng = np.random.default_rng(seed)
    x, w = random_tile(rng, dtype, height, width, rows), random_tile(rng, dtype, height, width, rows, cols)
    gemv, reduce = Gemv(rows, cols), AllReduce(cols, axis, groups, op, segment)
    flow = FlowEngine(machine[0], width, height, machine[1], dtype)
    product = flow.run(gemv, x, w)
    assert_same_bits(product, gemv.reference(x, w, flow.timing))
    values = flow.run(reduce, product)
    run = run_on_cycle_engine([gemv, reduce], machine[0], width, height, machine[1], dtype, x, w)
    assert_same_bits(run.values, values)
    length = height if axis == "y" else width
    lengths = {min(segment or length, length), (length % segment or segment) if segment else length}
    if any(links_are_shared(n, groups) for n in lengths):
        assert np.abs(run.clock - flow.clock).max() <= LATE
    else:
        assert_same_clocks(run.clock, flow.clock)


@settings(max_examples=40, deadline=None)
@given(machine=machines, width=sizes, height=sizes, words=st.sampled_from([1, 2, 5, 12, 40]), axis=st.sampled_from("xy"),
       op=st.sampled_from(["sum", "max"]), segment=st.sampled_from([0, 0, 5]), root=st.integers(0, 15),
       dtype=st.sampled_from(DTYPES), seed=st.integers(0, 99))
def test_reduce_and_broadcast_are_the_same_on_both_engines(random_tile, assert_same_bits, assert_same_clocks, machine, width,
                                                           height, words, axis, op, segment, root, dtype, seed):
    """All clocks exactly, but where a chain is held back while the root takes the other one: there its senders end later,
    by no more than the words held back, and the root exactly."""
    length = height if axis == "y" else width
    root %= min(segment or length, length)
    tile = random_tile(np.random.default_rng(seed), dtype, height, width, words)
    for operation in (Reduce(words, axis, root, op, segment), Broadcast(words, axis, root, segment)):
        flow = FlowEngine(machine[0], width, height, machine[1], dtype)
        values = flow.run(operation, tile)
        run = run_on_cycle_engine(operation, machine[0], width, height, machine[1], dtype, tile)
        assert_same_bits(run.values, values)
        assert run.clock.max() == flow.cycles
        late = run.clock - flow.clock
        if flow.notes:
            stage = flow.timing.stage + flow.timing.hop
            assert late.min() >= 0 and late.max() <= 2 * words + LATE + stage * length
        else:
            assert_same_clocks(run.clock, flow.clock)


@settings(max_examples=40, deadline=None)
@given(machine=machines, width=sizes, height=sizes, words=st.sampled_from([1, 2, 5, 12, 40]), axis=st.sampled_from("xy"),
       op=st.sampled_from(["sum", "max"]), group=st.integers(1, 6), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 99))
def test_two_phase_reduce_is_the_same_on_both_engines(random_tile, assert_same_bits, assert_same_clocks, machine, width, height,
                                                      words, axis, op, group, dtype, seed):
    """All clocks exactly where the groups are equal; a shorter last group is done early and meets the chain before it."""
    length = height if axis == "y" else width
    tile = random_tile(np.random.default_rng(seed), dtype, height, width, words)
    operation = TwoPhaseReduce(words, axis, group, op)
    flow = FlowEngine(machine[0], width, height, machine[1], dtype)
    values = flow.run(operation, tile)
    run = run_on_cycle_engine(operation, machine[0], width, height, machine[1], dtype, tile)
    assert_same_bits(run.values, values)
    assert run.simulation.link_traversals == flow.link_traversals
    if length % group == 0:
        assert_same_clocks(run.clock, flow.clock)
    else:
        assert np.abs(run.clock - flow.clock).max() <= 2 * words + LATE


def test_a_reduction_in_another_precision_than_the_engine_runs_on_both(random_tile, assert_same_bits, assert_same_clocks):
    tile = random_tile(np.random.default_rng(4), "fp32", 6, 3, 5)
    operation = AllReduce(5, "y", 2, dtype="fp32")
    flow = FlowEngine("wse3", 3, 6, "silicon", "fp16")
    values = flow.run(operation, tile)
    run = run_on_cycle_engine(operation, "wse3", 3, 6, "silicon", "fp16", tile)
    assert_same_bits(run.values, values)
    assert_same_clocks(run.clock, flow.clock)


@settings(max_examples=15, deadline=None)
@given(machine=machines, width=st.integers(3, 12), height=st.integers(3, 12), words=st.integers(1, 12),
       dtype=st.sampled_from(["fp32", "fp16"]), seed=st.integers(0, 99))
def test_a_second_all_reduce_starts_on_each_pe_when_that_pe_is_ready(random_tile, assert_same_bits, assert_same_clocks, machine,
                                                                     width, height, words, dtype, seed):
    """No barrier between operations: the second one starts at clocks that differ from PE to PE.

    Its streams come through queues of another depth than if it ran alone, which moves who has the ramp by that depth.
    """
    tile = random_tile(np.random.default_rng(seed), dtype, height, width, words)
    chain = [AllReduce(words, "y"), AllReduce(words, "x")]
    flow = FlowEngine(machine[0], width, height, machine[1], dtype)
    values = flow.run(chain[1], flow.run(chain[0], tile))
    run = run_on_cycle_engine(chain, machine[0], width, height, machine[1], dtype, tile)
    assert_same_bits(run.values, values)
    assert np.abs(run.clock - flow.clock).max() <= QUEUE
    if words * (4 if dtype == "fp32" else 2) <= 4:
        assert_same_clocks(run.clock, flow.clock)


def test_long_streams_with_full_queues_keep_the_clocks(random_tile, assert_same_bits, assert_same_clocks):
    """200 words a PE: every queue fills, the streams that wait for their turn are held back and go on at full rate."""
    for machine, profile in (("wse2", "vendor-simulator"), ("wse3", "silicon")):
        tile = random_tile(np.random.default_rng(1), "fp32", 1, 16, 200)
        operation = AllReduce(200, "x", 3)
        flow = FlowEngine(machine, 16, 1, profile, "fp32")
        values = flow.run(operation, tile)
        run = run_on_cycle_engine(operation, machine, 16, 1, profile, "fp32", tile)
        assert_same_bits(run.values, values)
        assert_same_clocks(run.clock, flow.clock)


def test_the_cycle_engine_repeats_itself(random_tile, assert_same_bits, assert_same_clocks):
    tile = random_tile(np.random.default_rng(2), "fp16", 5, 7, 9)
    operation = AllReduce(9, "x", 2)
    runs = [run_on_cycle_engine(operation, "wse3", 7, 5, "silicon", "fp16", tile) for _ in range(2)]
    assert_same_bits(runs[0].values, runs[1].values)
    assert_same_clocks(runs[0].clock, runs[1].clock)


def test_a_cycle_engine_is_a_flow_engine_that_moves_every_wavelet(random_tile, assert_same_bits, assert_same_clocks):
    """A layer in small: norm, product and reductions over both axes, each operation starting at each PE's own clock."""
    rng, engines = np.random.default_rng(6), []
    x, w = random_tile(rng, "fp16", 6, 6, 1, 4), random_tile(rng, "fp16", 6, 6, 4, 5)
    for kind in (FlowEngine, CycleEngine):
        engine = kind("wse3", 6, 6, "silicon", "fp16")
        squares = engine.run(AllReduce(1, "y", 2, dtype="fp32"), engine.run(Local("sumsq", 4), x))
        normed = engine.run(Local("rownorm", 4, divisor=24, eps=1e-5), x, squares, np.ones((6, 6, 4), np.float16))
        y = engine.run(AllReduce(5, "x", 2), engine.run(Gemm(1, 4, 5), normed, w))
        y = engine.run(Broadcast(5, "y", 3), y)
        engines.append((engine, y))
    (flow, flow_values), (cycle, cycle_values) = engines
    assert_same_bits(flow_values, cycle_values)
    assert_same_clocks(cycle.clock, flow.clock)
    assert flow.link_traversals == cycle.link_traversals > 0
    assert sum(cycle.breakdown.values()) == cycle.cycles
    moved = [engine.run(Shift(5, "x"), flow_values.reshape(6, 6, 5)) for engine in (flow, cycle)]
    assert_same_bits(*moved)
    assert abs(flow.cycles - cycle.cycles) <= LATE + 4
    with pytest.raises(InputError, match="with values only"):
        cycle.time(Shift(5, "x"))


def test_budgets_are_enforced():
    machine = load_machine("wse3")
    allocator = ColorAllocator(machine)
    colors = allocator.allot(21, "a test")
    with pytest.raises(BudgetError, match="1 colors, 0 of 24"):
        allocator.allot(1, "one more")
    allocator.free(colors[:3])
    assert allocator.allot(3, "again") == colors[:3]
    with pytest.raises(BudgetError, match="49152 B"):
        run_on_cycle_engine(Gemv(200, 200), "wse3", 1, 1, "silicon", "fp32", np.zeros((1, 1, 200), np.float32),
                            np.zeros((1, 1, 200, 200), np.float32))


def test_tiles_that_do_not_fit_the_operations_are_refused():
    with pytest.raises(InputError, match="1 tiles for operations that take 2"):
        run_on_cycle_engine(Gemv(2, 2), "wse3", 1, 1, "silicon", "fp32", np.zeros((1, 1, 2), np.float32))
    with pytest.raises(InputError, match="symbol in0"):
        run_on_cycle_engine(AllReduce(2, "x"), "wse3", 2, 1, "silicon", "fp32", np.zeros((1, 2, 3), np.float32))


@pytest.mark.parametrize(("name", "sizes"), [
    ("meshgemv", {"grid": (16, 16), "tile": (4, 4), "groups": 2}), ("allreduce", {"grid": (9, 9), "words": 3}),
    ("chain-reduce", {"grid": (12, 1), "words": 20}), ("broadcast", {"grid": (12, 1), "words": 20}),
    ("two-phase-reduce", {"grid": (12, 1), "words": 20, "groups": 4}), ("line-multicast", {"receivers": 9, "words": 16}),
])
def test_predictions_of_both_engines_are_the_same(name, sizes):
    flow, cycle = (predict_op(name, "wse3", engine=engine, **sizes) for engine in ("flow", "cycle"))
    assert flow.pop("engine") == "flow" and cycle.pop("engine") == "cycle"
    assert flow == cycle


def test_engines_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match="no engine 'quick'"):
        predict_op("allreduce", "wse3", grid=(4, 4), words=2, engine="quick")
