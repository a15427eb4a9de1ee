"""Clocks of operations over both axes as pieces of a grid, against a clock of every PE."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.ops import PRECISIONS, AllReduce, AllReduce2D, Broadcast, Broadcast2D, FlowEngine, Reduce2D, ReduceTree, RingShift
from wsekern.ops.pieces import Pieces


@st.composite
def operations(draw):
    words = draw(st.sampled_from([1, 2, 7, 40]))
    x, y = draw(st.integers(0, 70)), draw(st.integers(0, 5))
    return draw(st.sampled_from([
        Broadcast2D(words, x, y), Reduce2D(words, "snake"), Reduce2D(words), Reduce2D(words, "xy", "auto"),
        AllReduce2D(words), AllReduce2D(words, "chain", "first"), AllReduce(words, "x"), Broadcast(words, "y"),
        ReduceTree(words, "x", "tree"), RingShift(words, "y")]))


@settings(max_examples=60, deadline=None)
@given(machine=st.sampled_from(["wse2", "wse3"]), width=st.sampled_from([1, 2, 5, 63, 64, 70]), height=st.integers(1, 5),
       precision=st.sampled_from(PRECISIONS), chain=st.lists(operations(), min_size=1, max_size=3), cycles=st.integers(0, 50))
def test_pieces_have_the_clock_of_every_pe(machine, width, height, precision, chain, cycles):
    pieces, plain = (FlowEngine(machine, width, height, "silicon", precision) for _ in range(2))
    plain.pieces = lambda: None
    for operation in chain:
        for engine in (pieces, plain):
            engine.time(operation)
            engine.spend(overhead=cycles)
        assert (pieces.cycles, pieces.breakdown, pieces.notes) == (plain.cycles, plain.breakdown, plain.notes)
        assert pieces.clock_of(None) == pieces.clock.min() == plain.clock_of(None)
        np.testing.assert_array_equal(pieces.clock, plain.clock)
    np.testing.assert_array_equal(pieces.grid(), plain.grid())


def test_a_wafer_after_a_reduction_has_no_clock_of_every_pe():
    engine = FlowEngine("wse2", 750, 994)
    for operation in (Reduce2D(8), Reduce2D(8, "snake"), Broadcast2D(8)):
        engine.reset()
        engine.time(operation)
        assert engine._grid is None and len(engine.pieces().parts) <= 8
        saved = engine.saved()
        again = FlowEngine("wse2", 750, 994)
        again.restore(saved)
        assert (again.cycles, again.breakdown) == (engine.cycles, engine.breakdown)


@given(data=st.data(), height=st.integers(1, 6), width=st.integers(1, 6))
def test_pieces_are_a_grid_of_clocks(data, height, width):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))

    def clocks(count):
        return rng.integers(0, 3, (count, 5))

    row, column = clocks(height), clocks(width)
    pieces, grid = Pieces(row, column), row[:, None] + column
    for _ in range(data.draw(st.integers(0, 4))):
        down = data.draw(st.sampled_from([slice(None), slice(1, None, 2), rng.integers(height).item()]))
        across = data.draw(st.sampled_from([slice(None), slice(0, None, 2), rng.integers(width).item()]))
        row, column = (clocks(len(np.atleast_1d(np.arange(n)[at]))) for n, at in ((height, down), (width, across)))
        pieces.put(down, across, row, column)
        grid[np.ix_(*(np.atleast_1d(np.arange(n)[at]) for n, at in ((height, down), (width, across))))] = row[:, None] + column
    found = np.empty_like(grid)
    pieces.spread(found)
    np.testing.assert_array_equal(found, grid)
    np.testing.assert_array_equal(pieces.clock(), grid.sum(axis=2))
    np.testing.assert_array_equal(pieces.latest(), grid.reshape(-1, 5)[grid.sum(axis=2).argmax()])
    np.testing.assert_array_equal(pieces.column(width - 1), grid[:, -1])
    over = rng.integers(0, 5, height), rng.integers(0, 5, width)
    assert pieces.latest_behind(*over) == (grid.sum(axis=2) - over[0][:, None] - over[1]).max()
