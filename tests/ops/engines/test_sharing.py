"""Operations that follow each other: where words of two may meet, the flow engine says so."""

import numpy as np
import pytest

from wsekern.ops import AllReduce, Broadcast, FlowEngine, Reduce, Reduce2D, ReduceTree, TwoPhaseReduce
from wsekern.ops.engines.programs import run_on_cycle_engine


def run_both(assert_same_bits, operations, width, height, words):
    """The flow engine after ``operations``, and how far the cycle engine's clocks are from its own."""
    engine = FlowEngine("wse3", width, height, "silicon", "fp32")
    tile = values = np.ones((height, width, words), np.float32)
    for operation in operations:
        values = engine.run(operation, values)
    run = run_on_cycle_engine(operations, "wse3", width, height, "silicon", "fp32", tile)
    assert_same_bits(run.values, values)
    return engine, int(np.abs(run.clock - engine.clock).max())


@pytest.mark.parametrize(("operations", "width", "height"), [
    ((Reduce2D(32), Reduce2D(32)), 6, 6), ((TwoPhaseReduce(32, "y", 2), ReduceTree(32, "y", "auto")), 5, 4),
    ((Reduce2D(32), Reduce(32, "y"), Reduce(32, "x")), 16, 2),
])
def test_operations_whose_words_meet_leave_a_note(assert_same_bits, operations, width, height):
    engine, difference = run_both(assert_same_bits, operations, width, height, 32)
    assert difference > 20 and any("before it" in note for note in engine.notes.values())


@pytest.mark.parametrize("operations", [
    (AllReduce(8, "x", 2), AllReduce(8, "x", 2)), (Reduce(8, "x"), Broadcast(8, "x"), Reduce(8, "x")),
    (Reduce(8, "x"), Reduce(8, "y")),
])
def test_operations_that_do_not_meet_leave_none(assert_same_bits, operations):
    engine, difference = run_both(assert_same_bits, operations, 8, 3, 8)
    assert not engine.notes and difference == 0


def test_a_new_run_forgets_the_last_one():
    engine = FlowEngine("wse3", 9, 1, "silicon", "fp32")
    engine.time(TwoPhaseReduce(32, "x", 3))
    engine.reset()
    engine.time(TwoPhaseReduce(32, "x", 3))
    assert not engine.notes
    engine.time(TwoPhaseReduce(32, "x", 3))
    assert "TwoPhaseReduce" in engine.notes
