"""All-reduces with a tail: fp32 elements behind those of the number format, on both engines bit for bit, in the same cycles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.ops import PRECISIONS, AllReduce, FlowEngine
from wsekern.ops.engines.both import BothEngines
from wsekern.ops.engines.cycle import CycleEngine
from wsekern.ops.predict import predict_op
from wsekern.ops.repeated import Repeated

machines = st.sampled_from([("wse2", "vendor-simulator"), ("wse2", "silicon"), ("wse3", "vendor-simulator"),
                            ("wse3", "silicon")])
GROUPS = st.one_of(st.integers(1, 6), st.sampled_from(["quickest", (), (3,), (5, 3), (9, 3)]))
ops, sizes = st.sampled_from(["sum", "max"]), st.sampled_from([1, 2, 3, 7, 8, 12, 33])


@settings(max_examples=120, deadline=None)
@given(machine=machines, length=st.integers(1, 26), lines=st.integers(1, 2), axis=st.sampled_from("xy"), elements=sizes,
       tail=st.sampled_from([1, 2, 5, 9]), groups=GROUPS, segment=st.sampled_from([0, 0, 4, 7]), op=ops, tail_op=ops,
       precision=st.sampled_from(PRECISIONS), late=st.sampled_from([0, 30]), seed=st.integers(0, 99))
def test_a_tail_rides_the_same_on_both_engines(random_tile, assert_same_bits, assert_same_clocks, machine, length, lines, axis,
                                               elements, tail, groups, segment, op, tail_op, precision, late, seed):
    width, height = (length, lines) if axis == "x" else (lines, length)
    operation = AllReduce(elements, axis, groups, op, segment, tail=tail, tail_op=tail_op)
    tiles = random_tile(seed, precision, height, width, elements), random_tile(seed + 1, "fp32", height, width, tail)
    flow, cycle = (kind(machine[0], width, height, machine[1], precision) for kind in (FlowEngine, CycleEngine))
    starts = np.random.default_rng(seed).integers(0, late + 1, (height, width))
    flow.set_clock(starts)
    cycle._clock += starts
    for found, by_wavelet, expected in zip(flow.run(operation, *tiles), cycle.run(operation, *tiles),
                                           operation.reference(*tiles, flow.timing), strict=True):
        assert_same_bits(found, expected)
        assert_same_bits(by_wavelet, expected)
    assert cycle.link_traversals == flow.link_traversals == operation.link_traversals(flow)
    if not flow.notes:
        assert_same_clocks(cycle.clock, flow.clock)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_tail_gives_the_values_of_a_reduction_of_its_own(random_tile, assert_same_bits, precision):
    x, sums = random_tile(1, precision, 6, 4, 5), random_tile(2, "fp32", 6, 4, 2)
    engine = FlowEngine("wse3", 4, 6, "silicon", precision)
    head, tail = engine.run(AllReduce(5, "y", 2, tail=2), x, sums)
    assert_same_bits(head, engine.run(AllReduce(5, "y", 2), x))
    assert_same_bits(tail, engine.run(AllReduce(2, "y", 2, precision="fp32"), sums))
    assert AllReduce(5, "y", tail=2).memory_bytes(engine) == x[0, 0].nbytes + sums[0, 0].nbytes


def test_a_tail_costs_less_than_a_reduction_of_its_own():
    def cycles(*operations):
        engine = FlowEngine("wse3", 1, 130, "silicon", "fp16")
        for operation in operations:
            engine.time(operation)
        return engine.cycles

    head = AllReduce(40, "y", 11)
    apart = cycles(head, AllReduce(1, "y", 11, precision="fp32"))
    assert cycles(head) < cycles(AllReduce(40, "y", 11, tail=1)) < cycles(head) + (apart - cycles(head)) / 4


def test_what_lines_hold_in_common_is_computed_once(random_tile, assert_same_bits):
    x, sums = random_tile(1, "fp16", 6, 1, 3), random_tile(2, "fp32", 6, 1, 1)
    both, operation = BothEngines("wse3", 4, 6), AllReduce(3, "y", 2, tail=1)
    head, tail = both.values(operation, *(Repeated(tile, 6, 4, 1, 4) for tile in (x, sums)))
    flow = FlowEngine("wse3", 4, 6).values(operation, *(Repeated(tile, 6, 4, 1, 4) for tile in (x, sums)))
    assert [value.tiles.shape for value in flow] == [(1, 1, 3), (1, 1, 1)]
    for found, expected in zip((head, tail), flow, strict=True):
        assert_same_bits(np.ascontiguousarray(found.full()), np.ascontiguousarray(expected.full()))
    assert both.operations_by_wavelet == 1 and both.clock_difference == 0


def test_clocks_by_wavelet_know_the_tail():
    engine = FlowEngine("wse1", 12, 1, "silicon", "fp32", contended="cycle")
    bound = FlowEngine("wse1", 12, 1, "silicon", "fp32")
    for one in (engine, bound):
        one.time(AllReduce(40, "x", 3, tail=2))
    assert "counts them anew" in bound.notes["AllReduce"] and not engine.notes
    assert 0 <= engine.cycles - bound.cycles <= 3


def test_tails_can_be_predicted_and_wrong_ones_are_refused():
    flow, cycle = (predict_op("allreduce", "wse3", grid=(24, 1), words=8, tail=2, precision="fp16", engine=engine)
                   for engine in ("flow", "cycle"))
    assert flow["cycles"] == cycle["cycles"] and flow["energy"] == cycle["energy"]
    with pytest.raises(InputError, match="behind none"):
        AllReduce(0, "x", tail=1)
    with pytest.raises(InputError, match="has no tail"):
        predict_op("scan", "wse3", grid=(24, 1), words=8, tail=2)
    with pytest.raises(InputError, match="1 tiles"):
        FlowEngine("wse3", 2, 1).run(AllReduce(1, "x", tail=1), np.zeros((1, 2, 1), np.float16))
