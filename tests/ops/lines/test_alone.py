"""Lines of PEs that are all ready at once, and clocks without notes: kernels that reckon what is alike once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.machine import load_machine
from wsekern.machine.timing import Timing
from wsekern.ops import PRECISIONS, AllGather, AllReduce, Broadcast, FlowEngine, Gemm, Local
from wsekern.ops._timing import LineCosts, allreduce_line
from wsekern.ops.engines.flow import TimingEngine
from wsekern.ops.lines.line import line_costs
from wsekern.ops.local import numbers
from wsekern.ops.operation import Operation

machines = st.sampled_from([("wse2", "vendor-simulator"), ("wse2", "silicon"), ("wse3", "vendor-simulator"),
                            ("wse3", "silicon")])
precisions, lengths = st.sampled_from(PRECISIONS), st.one_of(st.integers(1, 12), st.integers(1, 700))
GROUPS = st.one_of(st.integers(1, 40), st.sampled_from(["quickest", (), (7,), (9, 3), (60, 7), (81, 9)]), st.sampled_from(
    [(27, 9, 3), (30, 6, 2), (50, 20, 4), (75, 25, 5), (105, 35, 7)]))      # members alike at all levels, and not
words = st.one_of(st.integers(1, 9), st.integers(1, 1500))


@settings(max_examples=60, deadline=None)
@given(machine=machines, precision=precisions, lengths=st.lists(lengths, min_size=1, max_size=4), groups=GROUPS, elements=words,
       tail=st.sampled_from([0, 0, 1, 8]), own=st.sampled_from([None, "fp32"]))
def test_an_all_reduce_of_pes_that_are_alike_takes_as_long_as_on_the_engine(machine, precision, lengths, groups, elements, tail,
                                                                            own):
    """On lines of one length after the other, which share what is known of PEs that take the same streams."""
    operation = AllReduce(elements, "y", groups=groups, tail=tail, precision=own)
    alone = operation.alone(TimingEngine(machine[0], 1, 1, machine[1], precision))
    for length in lengths:
        engine = FlowEngine(machine[0], 1, length, machine[1], precision)
        engine.time(operation)
        assert alone(length) == engine.cycles


@settings(max_examples=30, deadline=None)
@given(machine=machines, precision=precisions, length=lengths, elements=words, root=st.integers(0, 700))
def test_a_broadcast_is_done_when_the_farthest_pe_is(machine, precision, length, elements, root):
    engine = FlowEngine(machine[0], length, 1, machine[1], precision)
    operation = Broadcast(elements, "x", root)
    engine.time(operation)
    assert operation.alone(engine)(length) == engine.cycles


@settings(max_examples=30, deadline=None)
@given(machine=machines, precision=precisions, length=st.integers(1, 60), segment=st.integers(0, 30),
       pairs=st.integers(1, 40), starts=st.lists(st.integers(0, 300), min_size=60, max_size=60))
def test_a_gather_without_notes_takes_as_long_as_its_schedule(machine, precision, length, segment, pairs, starts):
    clocks = []
    for kind in (FlowEngine, TimingEngine):
        engine = kind(machine[0], 1, length, machine[1], precision)
        engine.on_lines("y", lambda line: line.__setitem__((slice(None), 0), starts[:length]))
        engine.time(AllGather(2 * pairs, "y", segment=min(segment, length)))
        clocks.append(engine.clock)
    np.testing.assert_array_equal(*clocks)


def test_a_timing_engine_has_the_clocks_and_causes_of_the_flow_engine():
    operations: list[Operation] = [Gemm(2, 8, 6), AllReduce(12, "y", 3, tail=2), Local("mul", 6, 2), AllReduce(16, "x", 2),
                                   AllGather(4, "y"), Local("add", 8)]
    engines = [kind("wse3", 9, 12, "silicon", "fp16") for kind in (FlowEngine, TimingEngine)]
    for engine in engines:
        for operation in operations:
            engine.time(operation)
    assert engines[0].cycles == engines[1].cycles
    assert engines[0].breakdown == engines[1].breakdown
    np.testing.assert_array_equal(engines[0].clock, engines[1].clock)


@pytest.mark.parametrize("function", ["rsqrt", "one_over"])
@pytest.mark.parametrize("type", ["fp32", "fp16"])
def test_rows_of_scalar_code_beyond_the_first_take_as_long_as_those_before(monkeypatch, function, type):
    timing = Timing(load_machine("wse3"), "silicon", "fp32")

    def cycles() -> list[int]:
        return [numbers._scalar_cycles.__wrapped__.__wrapped__(function, count, 0.5, 1e-5, timing, type)
                for count in range(1, 18)]

    short = cycles()
    monkeypatch.setattr(numbers, "ROWS_WRITTEN", 100)
    assert cycles() == short


@settings(max_examples=120, deadline=None)
@given(machine=machines, length=st.integers(2, 90), segment=st.integers(1, 90), groups=st.lists(st.integers(1, 40), max_size=3),
       complete=st.booleans(), elements=st.integers(1, 90), tail=st.sampled_from([0, 1, 8]), root=st.integers(0, 89),
       late=st.sampled_from([1, 9, 400]), seed=st.integers(0, 9))
def test_streams_that_come_again_are_not_gone_through_again(machine, length, segment, groups, complete, elements, tail, root,
                                                            late, seed):
    """On lines whose PEs are ready at any times, or one after the other as behind a multicast: clocks, causes and flags are
    those of streams that are each gone through cycle by cycle."""
    timing = Timing(load_machine(machine[0]), machine[1], "fp16")
    line = np.random.default_rng(seed).integers(0, late, (length, 5))
    line[:, 0] += np.abs(np.arange(length) - root)
    costs = [line_costs.__wrapped__(timing, words, "allreduce_call") for words in (elements, tail) if words]
    found = []
    for costs[0].notes in (True, False, True):
        clocks = line.copy()
        found.append((allreduce_line(clocks, segment, tuple(groups), complete, *costs), clocks.tolist()))
    assert found[0] == found[1] == found[2]


def test_what_happens_to_streams_without_the_last_one_is_no_flag_of_all():
    """The ramp of a PE is left with another stream's turn when two of its streams are taken, not when the third is too."""
    timing, found = Timing(load_machine("wse1"), "vendor-simulator", "fp16"), []
    costs = [line_costs.__wrapped__(timing, words, "allreduce_call") for words in (33, 8)]
    for costs[0].notes in (True, False):
        clocks = np.zeros((10, 5), np.int64)
        clocks[:, 0] = 0, 130, 0, 209, 29, 0, 0, 251, 0, 0
        found.append((allreduce_line(clocks, 10, (2,), True, *costs), clocks.tolist()))
    assert found[0] == found[1]


def test_the_same_streams_through_queues_of_other_depths_are_gone_through_anew():
    costs, found = LineCosts(
        call=18, setup_send=14, setup_add=8, setup_receive=24, stage=8, hop=2, convert=3, stream_send=19, stream_add=19,
        paced_add=19, stream_broadcast=19, stream_receive=19, paced_broadcast=19, sums=20, step_send=1, step_add=1, down=5,
        link=(1, 1), depths=[6, 2, 4, 3, 5, 4, 7, 3], output=4, sends=5, buffer=4), []
    for costs.notes in (True, False):
        lines = [np.zeros((length, 5), np.int64) for length in (3, 10, 29, 31, 50, 101)]
        found.append([(allreduce_line(line, len(line), (13, 4), True, costs), line.tolist()) for line in lines])
    assert found[0] == found[1]
