"""Chains of operations: on the cycle engine in one run, on the flow engine one after the other. Where the clocks of the two
differ by a single cycle, a note says why they may."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import BudgetError
from wsekern.number_formats import NUMPY_DTYPES, round_bf16
from wsekern.ops import (
    DTYPES,
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
       dtype=st.sampled_from(DTYPES), seed=st.integers(0, 99))
def test_no_chain_differs_in_silence(assert_same_bits, assert_same_clocks, machine, width, height, chain, dtype, seed):
    words, operations = chain
    tile = np.random.default_rng(seed).standard_normal((height, width, words)).astype(np.float32)
    tile = round_bf16(tile).reshape(tile.shape) if dtype == "bf16" else tile.astype(NUMPY_DTYPES[dtype])
    engine, values = FlowEngine(machine[0], width, height, machine[1], dtype), tile
    try:
        run = run_on_cycle_engine(operations, machine[0], width, height, machine[1], dtype, tile)
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
])
def test_each_cause_is_named(operations, width, height, reason):
    engine = FlowEngine("wse3", width, height, "silicon", "fp16_fp32")
    for operation in operations:
        engine.time(operation)
    said = "; ".join(engine.notes.values())
    assert reason in said if reason else not said
