"""Chains of operations: on the cycle engine in one run, on the flow engine one after the other. Where the clocks of the two
differ by a single cycle, a note says why they may."""

from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wsekern.errors import BudgetError
from wsekern.number_formats import NUMPY_DTYPES, round_bf16
from wsekern.ops import (
    PRECISIONS,
    AllReduce,
    Broadcast,
    Broadcast2D,
    FlowEngine,
    KTreeAllReduce,
    Reduce,
    Reduce2D,
    ReduceTree,
    RingAllReduce,
    RingShift,
    Shift,
    TreeAllReduce,
    TwoPhaseReduce,
)
from wsekern.ops.engines.contention import clocks_by_wavelet
from wsekern.ops.engines.programs import run_on_cycle_engine
from wsekern.ops.lines.tree_reduce import ALGORITHMS

machines = st.sampled_from([("wse2", "vendor-simulator"), ("wse2", "silicon"), ("wse3", "vendor-simulator"),
                            ("wse3", "silicon")])
axes, small, roots = st.sampled_from("xy"), st.integers(1, 5), st.integers(0, 4)


@st.composite
def chains(draw):
    """Tile words, and one to three operations on them."""
    words = draw(st.sampled_from([1, 2, 3, 6, 12, 33, 40]))

    def make(operation, *fields):
        return st.builds(lambda *drawn: operation(words, *drawn), *fields)

    line = st.one_of(
        make(AllReduce, axes, small), make(Reduce, axes, roots), make(Broadcast, axes, roots),
        make(TwoPhaseReduce, axes, small), make(TreeAllReduce, axes, st.sampled_from(["chain", "auto"])),
        make(ReduceTree, axes, st.sampled_from(ALGORITHMS), roots),
        make(KTreeAllReduce, axes, st.tuples(small, small)), make(RingAllReduce, axes), make(RingShift, axes, small),
        make(Shift, axes, st.sampled_from([-2, -1, 1, 2, 3])))
    plane = st.one_of(make(Reduce2D, st.just("xy"), st.sampled_from(["chain", "auto", "two-phase"])),
                      make(Reduce2D, st.just("snake")), make(Broadcast2D, roots, roots))
    return words, draw(st.lists(st.one_of(line, line, plane), min_size=1, max_size=3))


@settings(max_examples=150, deadline=None)
@given(machine=machines, width=st.sampled_from([1, 2, 3, 5, 8, 11]), height=st.sampled_from([1, 2, 3, 5, 12]), chain=chains(),
       precision=st.sampled_from(PRECISIONS), seed=st.integers(0, 99))
@example(machine=("wse3", "silicon"), width=2, height=1, precision="fp32", seed=0,
         chain=(33, [AllReduce(33, "x", 1), Broadcast2D(33, 0, 0), RingShift(33, "x", 1)]))
def test_no_chain_differs_in_silence(assert_same_bits, assert_same_clocks, machine, width, height, chain, precision, seed):
    words, operations = chain
    tile = np.random.default_rng(seed).standard_normal((height, width, words)).astype(np.float32)
    tile = round_bf16(tile).reshape(tile.shape) if precision == "bf16" else tile.astype(NUMPY_DTYPES[precision])
    engine, values = FlowEngine(machine[0], width, height, machine[1], precision), tile
    try:
        run = run_on_cycle_engine(operations, machine[0], width, height, machine[1], precision, tile)
    except BudgetError:
        return      # more colors or queues than a PE has for all of them at once
    for operation in operations:
        values = engine.run(operation, values)
    assert_same_bits(run.values, values)
    if not engine.notes:
        assert_same_clocks(run.clock, engine.clock)


@pytest.mark.parametrize(("operations", "width", "height", "reason"), [
    ((AllReduce(1, "x"), AllReduce(1, "x")), 5, 12, "go first than when it ran"),
    ((AllReduce(33, "y"), AllReduce(33, "x")), 7, 12, "queues of other depths"),
    ((Reduce(6, "x", 3), Broadcast(6, "y", 1)), 4, 5, ""), ((Reduce2D(6, "snake"), RingShift(6, "x")), 4, 5, "may meet"),
    ((TwoPhaseReduce(33, "y", 4), Broadcast2D(33, 0, 2)), 4, 12, "of the TwoPhaseReduce before it"),
    ((AllReduce(66, "x"), Broadcast2D(66), RingShift(66, "x")), 2, 1, "in a shallower queue"),
])
def test_each_cause_is_named(operations, width, height, reason):
    engine = FlowEngine("wse3", width, height, "silicon", "fp16_fp32")
    for operation in operations:
        engine.time(operation)
    said = "; ".join(engine.notes.values())
    assert reason in said if reason else not said


@pytest.mark.parametrize("machine", [("wse2", "silicon"), ("wse3", "silicon"), ("wse3", "vendor-simulator")])
@pytest.mark.parametrize(("length", "late"), [(2, 1), (3, 1), (5, 2)])
def test_a_late_core_holds_back_what_a_note_says(assert_same_clocks, machine, length, late):
    """Clocks are equal, also where links rest or an output queue fills; a note as soon as others are held back."""
    operations = [Reduce(100, "x", 4), ReduceTree(100, "x", "chain", 4), Broadcast(9, "x"), RingShift(33, "x")]
    for operation, cycles in product(operations, range(10, 27)):
        engine, start = FlowEngine(machine[0], length, 1, machine[1], "fp32"), np.zeros((1, length), np.int64)
        start[0, late] = cycles
        engine.set_line("x", start[0])
        engine.time(operation)
        if not engine.notes:
            assert_same_clocks(clocks_by_wavelet(operation, engine.timing, start), engine.clock)


@pytest.mark.parametrize(("machine", "first_held"), [("wse2", 8), ("wse3", 10)])
def test_words_fill_all_queues_on_the_way_before_their_sender_waits(machine, first_held):
    """Two PEs, of which the second takes words so many cycles after they came."""
    for wait in range(first_held - 2, first_held + 2):
        engine = FlowEngine(machine, 2, 1, "vendor-simulator", "fp32")
        engine.set_line("x", np.array([0, engine.timing.stage + engine.timing.hop + wait]))
        engine.time(Broadcast(100, "x"))
        assert bool(engine.notes) == (wait >= first_held)
