"""Operations over both axes, and several at once: values and clocks, wavelet by wavelet against operation by operation."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import BudgetError, InputError
from wsekern.ops import (
    PRECISIONS,
    AllReduce,
    AllReduce2D,
    Broadcast,
    Broadcast2D,
    CycleEngine,
    FlowEngine,
    Gather,
    Gemv,
    KTreeAllReduce,
    Part,
    Reduce,
    Reduce2D,
    ReduceTree,
    Region,
    RingShift,
    TreeAllReduce,
    run_regions,
    run_regions_on_cycle_engine,
)
from wsekern.ops.engines.programs import run_on_cycle_engine
from wsekern.ops.grid.plane import snake

machines = st.sampled_from([("wse2", "vendor-simulator"), ("wse2", "silicon"), ("wse3", "vendor-simulator"),
                            ("wse3", "silicon")])
SET_UPS = 40
"""Cycles of the set-ups, ramps and calls of one PE, at most: what it may wait for beside the words of a message."""
QUEUE = 8
"""Words of the deepest input queue of a core, in cycles at one word each."""
sizes = st.sampled_from([1, 2, 3, 4, 5, 7])
lengths = st.sampled_from([0, 1, 2, 6, 12, 40])


@settings(max_examples=40, deadline=None)
@given(machine=machines, width=sizes, height=sizes, words=lengths, precision=st.sampled_from(PRECISIONS), x=st.integers(0, 6),
       y=st.integers(0, 6), op=st.sampled_from(["sum", "max"]), seed=st.integers(0, 99))
def test_operations_over_a_grid_are_the_same_on_both_engines(random_tile, assert_same_bits, assert_same_clocks, machine, width,
                                                             height, words, precision, x, y, op, seed):
    operations = [Reduce2D(words, "xy", "chain", op), Reduce2D(words, "xy", "auto", op), Reduce2D(words, "snake", op=op),
                  Broadcast2D(words, x, y), AllReduce2D(words, "auto", "middle", op), AllReduce2D(words, "chain", "first", op)]
    tile = random_tile(seed, precision, height, width, words)
    for operation in operations:
        flow = FlowEngine(machine[0], width, height, machine[1], precision)
        values = flow.run(operation, tile)
        assert_same_bits(values, operation.reference(tile, flow.timing))
        run = run_on_cycle_engine(operation, machine[0], width, height, machine[1], precision, tile)
        assert_same_bits(run.values, values)
        assert run.simulation.link_traversals == flow.link_traversals
        if not flow.notes:
            assert_same_clocks(run.clock, flow.clock)
        else:
            assert np.abs(run.clock - flow.clock).max() <= (width + height) * (2 * words + SET_UPS)


@settings(max_examples=40, deadline=None)
@given(machine=machines, width=sizes, height=sizes, words=lengths, algorithm=st.sampled_from(["chain", "star", "auto"]),
       root=st.sampled_from(["middle", "first"]), seed=st.integers(0, 99))
def test_the_sum_of_all_pes_is_on_all_pes(random_tile, machine, width, height, words, algorithm, root, seed):
    tile = np.rint(8 * random_tile(seed, "fp32", height, width, words))          # sums of whole numbers are exact
    engine = FlowEngine(machine[0], width, height, machine[1], "fp32")
    values = engine.run(AllReduce2D(words, algorithm, root), tile)
    np.testing.assert_array_equal(values, np.broadcast_to(tile.sum((0, 1)), tile.shape))
    assert engine.cycles == sum(engine.breakdown.values())


@settings(max_examples=20, deadline=None)
@given(machine=machines, pes=st.integers(1, 12), words=lengths, precision=st.sampled_from(PRECISIONS))
def test_the_all_reduce_of_one_row_or_one_column_is_that_of_a_line(assert_same_clocks, machine, pes, words, precision):
    for axis, (width, height) in (("x", (pes, 1)), ("y", (1, pes))):
        plane, line = (FlowEngine(machine[0], width, height, machine[1], precision) for _ in range(2))
        plane.time(AllReduce2D(words, "chain"))
        line.time(TreeAllReduce(words, axis, "chain"))
        assert_same_clocks(plane.clock, line.clock)
        assert plane.link_traversals == line.link_traversals


def test_nothing_is_under_way_behind_an_all_reduce_over_the_grid(random_tile, assert_same_clocks):
    """As behind every multicast to all: what follows meets none of its words, and leaves no note."""
    chain = [AllReduce2D(16), Reduce(16, "x")]
    flow, cycle = (kind("wse3", 6, 5, "silicon", "fp32") for kind in (FlowEngine, CycleEngine))
    for engine in (flow, cycle):
        value = random_tile(4, "fp32", 5, 6, 16)
        for operation in chain:
            value = engine.run(operation, value)
    assert "Reduce" not in flow.notes
    assert np.abs(flow.clock - cycle.clock).max() <= QUEUE


def test_roots_and_algorithms_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match="no root 'last'"):
        AllReduce2D(2, root="last")
    with pytest.raises(InputError, match="no reduction 'bush'"):
        AllReduce2D(2, "bush")
    with pytest.raises(BudgetError, match="input queues"):
        FlowEngine("wse3", 11, 11, "silicon", "fp32").time(AllReduce2D(2, "tree"))


def test_the_published_times_of_operations_over_a_grid():
    """HPDC'24: 2-D broadcast B + M + N - 2 + 2 T_R + 1; the snake is one chain through all PEs."""
    engine = FlowEngine("wse2", 30, 20, "vendor-simulator", "fp32")
    engine.time(Broadcast2D(64))
    assert engine.cycles == 64 + 30 + 20 - 2 + 2 * 2 + 1
    engine.reset()
    engine.time(Reduce2D(64, "snake"))
    assert engine.cycles == 64 + 6 * (30 * 20 - 1)
    engine.reset()
    engine.time(Reduce2D(64))
    assert engine.cycles == 64 + 6 * 29 + 64 + 6 * 19


def test_a_snake_goes_from_neighbor_to_neighbor():
    order = snake(5, 4)
    assert sorted(order.tolist()) == list(range(20))
    assert all(abs(a % 5 - b % 5) + abs(a // 5 - b // 5) == 1 for a, b in pairwise(order.tolist()))


def test_after_an_operation_over_the_grid_every_pe_has_a_clock_of_its_own(random_tile, assert_same_bits):
    """A multicast back over the grid starts from clocks that are not row plus column: as on the cycle engine."""
    tile, engines = random_tile(3, "fp32", 4, 6, 5), []
    for kind in (FlowEngine, CycleEngine):
        engine = kind("wse3", 6, 4, "silicon", "fp32")
        value = engine.run(Reduce2D(5), tile)
        value = engine.run(Broadcast2D(5), value)
        value = engine.run(AllReduce(5, "x"), value)
        value = engine.run(KTreeAllReduce(5, "y", (2,)), value)
        value = engine.run(Broadcast(5, "y", 2), value)
        engines.append((engine, value))
    (flow, expected), (cycle, found) = engines
    assert_same_bits(expected, found)
    assert np.abs(flow.clock - cycle.clock).max() <= QUEUE
    assert flow.cycles == sum(flow.breakdown.values()) and flow.link_traversals == cycle.link_traversals
    flow.synchronise()
    assert len(np.unique(flow.clock)) == 1


@settings(max_examples=15, deadline=None)
@given(machine=machines, words=st.sampled_from([1, 4, 12]), precision=st.sampled_from(PRECISIONS), seed=st.integers(0, 99))
def test_operations_on_disjoint_regions_run_at_once(random_tile, assert_same_bits, machine, words, precision, seed):
    """Four operations on four rectangles of one grid: as each alone, in one simulation, with the same colors."""
    regions = [Region(0, 0, 5, 3), Region(5, 0, 2, 7), Region(0, 3, 4, 4), Region(4, 3, 1, 4)]
    operations = [Reduce(words, "x"), AllReduce(words, "y", 2), ReduceTree(words, "y", "auto", 2), RingShift(words, "y", 2)]
    parts = [Part(region, operation, (random_tile(seed, precision, region.height, region.width, words),))
             for region, operation in zip(regions, operations, strict=True)]
    engine = FlowEngine(machine[0], 8, 7, machine[1], precision)
    values = run_regions(engine, parts)
    run = run_regions_on_cycle_engine(parts, machine[0], 8, 7, machine[1], precision)
    for found, expected in zip(run.values, values, strict=True):
        assert_same_bits(found, expected)
    assert run.simulation.link_traversals == engine.link_traversals
    for part in parts:
        if type(part.operation).__name__ not in engine.notes:
            np.testing.assert_array_equal(run.clock[part.region.slices], engine.clock[part.region.slices])
    assert engine.clock[6, 7] == 0 == run.clock[6, 7]


def test_regions_that_overlap_or_leave_the_grid_are_refused():
    engine = FlowEngine("wse3", 8, 8, "silicon", "fp32")
    with pytest.raises(InputError, match="operations 0 and 1 overlap"):
        run_regions(engine, [Part(Region(0, 0, 5, 5), Gemv(1, 1)), Part(Region(4, 4, 2, 2), Gemv(1, 1))])
    with pytest.raises(InputError, match="does not lie on 8x8"):
        run_regions(engine, [Part(Region(4, 0, 5, 5), Gemv(1, 1))])


def test_what_a_grid_cannot_hold_is_refused():
    with pytest.raises(InputError, match="no path"):
        Reduce2D(2, "spiral")
    with pytest.raises(BudgetError, match="49152 B"):
        run_on_cycle_engine(Gather(4000, "x"), "wse3", 8, 1, "silicon", "fp32", np.zeros((1, 8, 4000), np.float32))


def test_the_closed_form_of_long_rings_is_near_their_schedule(monkeypatch):
    """Above LONGEST PEs nobody writes down every step."""
    from wsekern.ops import RingAllReduce
    from wsekern.ops.lines import ring

    for precision in ("fp16", "fp16_fp32"):
        cycles, energy = [], []
        for longest in (64, 8):
            monkeypatch.setattr(ring, "LONGEST", longest)
            engine = FlowEngine("wse3", 40, 1, "silicon", precision)
            engine.time(RingAllReduce(100, "x"))
            cycles.append(engine.cycles)
            energy.append(engine.link_traversals)
        assert cycles[1] == pytest.approx(cycles[0], rel=0.06) and energy[1] == pytest.approx(energy[0], rel=0.01)
