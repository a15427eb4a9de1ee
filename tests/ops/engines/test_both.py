"""Both engines at once: whatever has a wafer program runs on both, and what is refused leaves no trace."""

from copy import copy

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.ops import AllReduce, Broadcast2D, FlowEngine, Gather, Local, MeshGemm, ReduceTree, RingShift
from wsekern.ops.engines.both import BothEngines


def test_operations_given_by_schedules_run_on_both_engines_too(random_tile, assert_same_bits):
    tile, both, flow = random_tile(1, "fp16", 3, 4, 6), BothEngines("wse3", 4, 3), FlowEngine("wse3", 4, 3)
    for operation in (AllReduce(6, "x"), ReduceTree(6, "x", "tree"), RingShift(6, "y"), Broadcast2D(6, 1, 1), Gather(6, "x")):
        assert_same_bits(both.run(operation, tile), flow.run(operation, tile))
    assert both.operations_by_wavelet == 5 and both.local_work == 0
    both.run(Local("exp", 6), tile)
    assert both.local_work == 1


def test_one_line_stands_for_all_unless_links_are_looked_at(random_tile, assert_same_bits):
    """Bits and clocks are those of the whole grid, which alone tells what every link carries."""
    tile, seen = random_tile(1, "fp16", 5, 4, 6), []
    alike, whole = BothEngines("wse3", 4, 5), BothEngines("wse3", 4, 5)
    whole.on_links = lambda operation, links: seen.append(links.shape)
    for operation in (AllReduce(6, "x"), RingShift(6, "y"), Local("exp", 6), Broadcast2D(6, 1, 1)):
        assert_same_bits(alike.run(operation, tile), whole.run(operation, tile))
    assert alike.saved().counted == whole.saved().counted and alike.clock_difference == 0
    assert len(seen) == 3 and set(seen) == {(5, 4)}
    assert_same_bits(copy(alike).run(AllReduce(6, "x"), tile), alike.run(AllReduce(6, "x"), tile))


def test_products_run_staged_by_wavelet(random_tile, assert_same_bits):
    x, w = random_tile(1, "fp32", 3, 3, 2, 3), random_tile(2, "fp32", 3, 3, 3, 2)
    both, flow = (kind("wse3", 3, 3, "silicon", "fp32") for kind in (BothEngines, FlowEngine))
    assert_same_bits(both.run(MeshGemm(2, 3, 2), x, w), flow.run(MeshGemm(2, 3, 2), x, w))
    assert both.operations_by_wavelet == 1


def test_a_refused_operation_leaves_notes_as_they_were():
    """The notes of the engine are put aside while an operation is timed by wavelet: they are there again after an error."""
    for contended in ("bound", "cycle"):
        engine = FlowEngine("wse3", 5, 1, "silicon", "fp16", contended=contended)
        engine.notes["Earlier"] = "a reason"
        with pytest.raises(InputError, match="2 elements"):
            engine.run(AllReduce(2, "x"), np.zeros((1, 5, 3), np.float16))
        assert engine.notes == {"Earlier": "a reason"}
        engine.run(AllReduce(2, "x"), np.zeros((1, 5, 2), np.float16))
        assert engine.notes == {"Earlier": "a reason"} and engine.cycles > 0
