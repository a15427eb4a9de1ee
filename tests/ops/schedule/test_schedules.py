"""Operations given by schedules: values against plain numpy and wavelet by wavelet, bit for bit; clocks of every PE."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import BudgetError, InputError
from wsekern.machine.timing import timing
from wsekern.ops import (
    PRECISIONS,
    AllGather,
    FlowEngine,
    Gather,
    KTreeAllReduce,
    ReduceTree,
    RingAllReduce,
    RingShift,
    Scatter,
    Shift,
    TreeAllReduce,
)
from wsekern.ops.engines.programs import run_on_cycle_engine
from wsekern.ops.lines.ring import folded_ring
from wsekern.ops.lines.tree_reduce import ALGORITHMS
from wsekern.ops.lines.trees import auto_tree, binomial_tree, chain_tree, level_tree, star_tree, two_phase_tree

machines = st.sampled_from([("wse2", "vendor-simulator"), ("wse2", "silicon"), ("wse3", "vendor-simulator"),
                            ("wse3", "silicon")])
SET_UP = 20
"""Cycles of set-up, ramps and routers of one message, at most."""
sizes = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 11, 13])
lengths = st.sampled_from([0, 1, 2, 6, 12, 40])


@settings(max_examples=60, deadline=None)
@given(machine=machines, length=sizes, lines=st.integers(1, 3), axis=st.sampled_from("xy"), words=lengths,
       algorithm=st.sampled_from(ALGORITHMS), root=st.integers(0, 12), op=st.sampled_from(["sum", "max"]),
       precision=st.sampled_from(PRECISIONS), seed=st.integers(0, 99))
def test_reductions_over_trees_are_the_same_on_both_engines(assert_one_operation, machine, length, lines, axis, words,
                                                            algorithm, root, op, precision, seed):
    operation = ReduceTree(words, axis, algorithm, root, op)
    width, height = (length, lines) if axis == "x" else (lines, length)
    try:
        assert_one_operation(operation, machine, width, height, precision, words, seed)
    except BudgetError as error:
        assert "queues" in str(error) and machine[0] == "wse2"


@settings(max_examples=60, deadline=None)
@given(machine=machines, length=sizes, lines=st.integers(1, 3), axis=st.sampled_from("xy"), words=lengths,
       groups=st.lists(st.integers(1, 6), max_size=2), op=st.sampled_from(["sum", "max"]),
       precision=st.sampled_from(PRECISIONS),
       seed=st.integers(0, 99), threads=st.integers(1, 2))
def test_all_reduces_over_k_trees_and_rings_are_the_same_on_both_engines(assert_one_operation, machine, length, lines, axis,
                                                                         words, groups, op, precision, seed, threads):
    width, height = (length, lines) if axis == "x" else (lines, length)
    for operation in (KTreeAllReduce(words, axis, tuple(groups), op), RingAllReduce(words, axis, op),
                      TreeAllReduce(words, axis, "auto", None, op)):
        assert_one_operation(operation, machine, width, height, precision, words, seed, threads)


@settings(max_examples=60, deadline=None)
@given(machine=machines, length=sizes, lines=st.integers(1, 2), axis=st.sampled_from("xy"), words=lengths,
       root=st.integers(0, 12), steps=st.integers(1, 4), precision=st.sampled_from(PRECISIONS))
def test_operations_that_move_tiles_are_the_same_on_both_engines(assert_one_operation, machine, length, lines, axis, words,
                                                                 root, steps, precision):
    width, height = (length, lines) if axis == "x" else (lines, length)
    assert_one_operation(RingShift(words, axis, steps), machine, width, height, precision, words)
    words += words % 2
    assert_one_operation(Gather(words, axis, root), machine, width, height, precision, words)
    assert_one_operation(AllGather(words, axis), machine, width, height, precision, words)
    assert_one_operation(AllGather(words, axis, 1 + root), machine, width, height, precision, words)
    assert_one_operation(Scatter(words, axis, length, root), machine, width, height, precision, words * length)


@settings(max_examples=40, deadline=None)
@given(machine=machines, length=sizes, lines=st.integers(1, 2), axis=st.sampled_from("xy"), words=lengths,
       relays=st.integers(-14, 14).filter(bool), precision=st.sampled_from(PRECISIONS))
def test_software_relays_take_the_time_that_was_measured(random_tile, assert_same_bits, assert_same_clocks, machine, length,
                                                         lines, axis, words, relays, precision):
    """The program's relays keep step, so that its clocks are those of the closed form set on silicon."""
    width, height = (length, lines) if axis == "x" else (lines, length)
    operation, tile = Shift(words, axis, relays), random_tile(0, precision, height, width, words)
    flow = FlowEngine(machine[0], width, height, machine[1], precision)
    values = flow.run(operation, tile)
    run = run_on_cycle_engine(operation, machine[0], width, height, machine[1], precision, tile)
    assert_same_bits(run.values, values)
    assert run.simulation.link_traversals == flow.link_traversals
    if abs(relays) <= length and words <= 12 and "silicon" in machine and machine[0] == "wse3":
        assert_same_clocks(run.clock, flow.clock)
    else:
        assert np.abs(run.clock - flow.clock).max() <= (abs(relays) + 1) * (words + SET_UP)


def test_most_clocks_are_exact():
    """Chains, K-trees and rings carry no note, so their clocks are compared exactly: no words meet on a link."""
    def notes(operation, machine: str, profile: str) -> dict[str, str]:
        engine = FlowEngine(machine, 32, 1, profile, "fp32")
        engine.time(operation)
        return engine.notes

    for machine, profile in (("wse2", "vendor-simulator"), ("wse3", "silicon")):
        for operation in (ReduceTree(40, "x", "chain"), KTreeAllReduce(4, "x", (4,)), RingAllReduce(40, "x")):
            assert not notes(operation, machine, profile)
        assert "share links" in notes(ReduceTree(64, "x", "tree"), machine, profile)["ReduceTree"]
        assert "wait for their turn" in notes(ReduceTree(40, "x", "star"), machine, profile)["ReduceTree"]
        assert "until its queue is full" in notes(Gather(40, "x"), machine, profile)["Gather"]


@pytest.mark.parametrize("pes", [1, 2, 3, 9, 16, 50])
def test_trees_span_the_line_and_do_not_cross(pes):
    costs = timing("wse3", "silicon", "fp16")
    trees = [make(pes, root) for make in (chain_tree, star_tree, binomial_tree) for root in {0, pes // 2, pes - 1}]
    trees += [two_phase_tree(pes, pes // 3, group) for group in (1, 2, 5)]
    trees += [auto_tree(pes, root, 4, costs) for root in (0, pes // 2)] + [level_tree(pes, (pes // 2 + 1, 3))]
    for tree in trees:
        assert sorted(tree.bottom_up()) == list(range(pes))
        spans = [sorted((k, parent)) for k, parent in enumerate(tree.parent) if k != parent]
        assert not any(a < c < b < d for a, b in spans for c, d in spans)
    assert binomial_tree(16, 0).depth == 4 and chain_tree(16, 8).depth == 8 and star_tree(16, 3).depth == 1
    assert two_phase_tree(16, 0, 4).depth == 6


@pytest.mark.parametrize(("pes", "words"), [(64, 1), (64, 64), (256, 16), (512, 4), (512, 1024)])
def test_the_generated_tree_is_as_fast_as_any(pes, words):
    """HPDC'24: auto-gen is never behind star, chain, tree or two phases."""
    def cycles(algorithm: str) -> int:
        engine = FlowEngine("wse2", pes, 1, "vendor-simulator", "fp32")
        engine.time(ReduceTree(words, "x", algorithm))
        return engine.cycles

    assert cycles("auto") <= min(cycles("chain"), cycles("two-phase"))
    if pes <= 256:
        assert cycles("auto") <= cycles("tree")


def test_a_k_tree_of_two_levels_is_the_all_reduce_of_meshgemv(random_tile):
    from wsekern.ops import AllReduce

    tile = random_tile(5, "fp16", 1, 60, 7)
    one, two = (FlowEngine("wse3", 60, 1, "silicon", "fp16") for _ in range(2))
    np.testing.assert_array_equal(one.run(AllReduce(7, "x", 6), tile), two.run(KTreeAllReduce(7, "x", (6,)), tile))
    assert one.link_traversals == two.link_traversals and abs(one.cycles - two.cycles) <= 2 * SET_UP


def test_neighbors_on_a_folded_ring_are_two_hops_apart():
    for length in range(1, 40):
        ring = folded_ring(length)
        assert sorted(ring) == list(range(length))
        assert all(abs(a - b) <= 2 for a, b in zip(ring, ring[1:] + ring[:1], strict=True))


def test_what_does_not_fit_is_refused():
    tile = np.zeros((1, 40, 3), np.float32)
    with pytest.raises(InputError, match="no reduction 'bush'"):
        ReduceTree(3, "x", "bush")
    with pytest.raises(InputError, match="pad them to 4"):
        FlowEngine("wse3", 40, 1, "silicon", "fp16").run(Gather(3, "x"), tile.astype(np.float16))
    with pytest.raises(InputError, match="40 PEs"):
        FlowEngine("wse3", 40, 1, "silicon", "fp32").time(Scatter(3, "x", 39))


@settings(max_examples=20, deadline=None)
@given(machine=machines, length=st.sampled_from([2, 3, 5, 7]), words=st.sampled_from([2, 12, 40]), root=st.integers(0, 6),
       precision=st.sampled_from(PRECISIONS))
def test_the_cycle_engine_can_be_asked_for_what_meets(random_tile, assert_same_clocks, machine, length, words, root, precision):
    """contended="cycle": operations whose words meet or wait are timed wavelet by wavelet, and every clock is exact."""
    from wsekern.ops import AllReduce, Reduce

    tile = random_tile(0, precision, 2, length, words)
    for operation in (Gather(words, "x", root), ReduceTree(words, "x", "star", root), Reduce(words, "x", min(root, length - 1)),
                      AllReduce(words, "x", 3), RingShift(words, "x")):
        engine = FlowEngine(machine[0], length, 2, machine[1], precision, contended="cycle")
        try:
            engine.run(operation, tile)
            run = run_on_cycle_engine(operation, machine[0], length, 2, machine[1], precision, tile)
        except BudgetError:
            continue
        assert_same_clocks(engine.clock, run.clock)
        assert not engine.notes and sum(engine.breakdown.values()) == engine.cycles
    with pytest.raises(InputError, match="contended is 'maybe'"):
        FlowEngine("wse3", 2, 2, contended="maybe")
