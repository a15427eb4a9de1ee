"""A number for each row: as scalar code or in vector instructions, the same bits; both engines, the same cycles."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.machine import load_machine
from wsekern.machine.timing import Timing
from wsekern.ops import PRECISIONS, FlowEngine, Local
from wsekern.ops.engines.code import code_size
from wsekern.ops.engines.programs import run_on_cycle_engine
from wsekern.ops.local import numbers
from wsekern.ops.local.numbers import RowNumbers

MACHINES = st.sampled_from([(machine, profile) for machine in ("wse1", "wse2", "wse3")
                            for profile in ("vendor-simulator", "silicon")])
WSE3 = Timing(load_machine("wse3"), "silicon", "fp32")


@settings(max_examples=60, deadline=None)
@given(machine=MACHINES, kind=st.sampled_from(["rowscale", "rowdiv", "rownorm"]), precision=st.sampled_from(PRECISIONS),
       count=st.integers(1, 24), n=st.integers(1, 9), seed=st.integers(0, 99))
def test_few_rows_and_many_are_the_same_on_both_engines(random_tile, assert_same_bits, assert_same_clocks, machine, kind,
                                                        precision, count, n, seed):
    work = Local(kind, n, count, divisor=37.0, eps=1e-5, form="scalar" if kind == "rowscale" else "vector")
    gain = [random_tile(seed + 2, precision, 1, 2, n)] if kind == "rownorm" else []
    rows = random_tile(seed, precision, 1, 2, count, n)
    sums = np.abs(random_tile(seed + 1, "fp32", 1, 2, count)) * np.float32(2.0**(seed % 40 - 20)) + np.float32(1e-6)
    flow = FlowEngine(machine[0], 2, 1, machine[1], precision)
    found, clock = flow.run(work, rows, sums, *gain), flow.clock
    cycle = run_on_cycle_engine(work, machine[0], 2, 1, machine[1], precision, rows, sums, *gain)
    assert_same_bits(cycle.values, found)
    assert_same_clocks(cycle.clock, clock)
    alone = [flow.run(replace(work, count=1), rows[:, :, row], sums[:, :, row:row + 1], *gain) for row in range(count)]
    assert_same_bits(found, np.stack(alone, axis=2))


@settings(max_examples=40, deadline=None)
@given(machine=MACHINES, kind=st.sampled_from(["rowsum", "sumsq"]), precision=st.sampled_from(PRECISIONS),
       count=st.integers(1, 12), n=st.integers(1, 12), seed=st.integers(0, 99))
def test_sums_by_rows_or_by_elements_have_the_same_bits(random_tile, assert_same_bits, assert_same_clocks, machine, kind,
                                                        precision, count, n, seed):
    rows, flow = random_tile(seed, precision, 1, 2, count, n), FlowEngine(machine[0], 2, 1, machine[1], precision)
    expected, before = flow.run(Local(kind, n, count), rows), flow.clock
    found, clock = flow.run(Local(kind, n, count, form="vector"), rows), flow.clock - before
    cycle = run_on_cycle_engine(Local(kind, n, count, form="vector"), machine[0], 2, 1, machine[1], precision, rows)
    assert_same_bits(found, expected)
    assert_same_bits(cycle.values, expected)
    assert_same_clocks(cycle.clock, clock)
    assert (clock <= before).all()


@pytest.mark.parametrize("function", ["rsqrt", "one_over"])
@pytest.mark.parametrize("scalars", [True, False])
def test_either_way_is_executed(monkeypatch, random_tile, assert_same_bits, function, scalars):
    """The way that is not the quicker one gives the same bits too."""
    kind, form = ("rowscale", "scalar") if function == "rsqrt" else ("rowdiv", "vector")
    rows, sums = random_tile(1, "fp16", 1, 1, 6, 4), np.abs(random_tile(2, "fp32", 1, 1, 6)) + np.float32(0.1)
    expected = FlowEngine("wse3", 1, 1).run(Local(kind, 4, 6, form=form), rows, sums)
    monkeypatch.setattr(numbers, "_scalar_cycles", lambda *given: 0 if scalars else 1 << 30)
    done = run_on_cycle_engine(Local(kind, 4, 6, form=form), "wse3", 1, 1, "silicon", "fp16", rows, sums)
    assert_same_bits(done.values, expected)


@pytest.mark.parametrize(("function", "exact"), [("rsqrt", lambda x: 1 / np.sqrt(x)), ("one_over", lambda x: 1 / x)])
def test_numbers_are_within_two_units_of_the_last_place(function, exact):
    given = np.exp(np.random.default_rng(1).uniform(-60, 60, 4096)).astype(np.float32)
    found = RowNumbers(function, 4096).values(given.reshape(1, 1, -1)).reshape(-1)
    assert np.abs(found / exact(given.astype(np.float64)) - 1).max() < 2 * 2.0**-23


def test_scalar_code_is_quicker_for_few_rows_and_vectors_for_many():
    one, many = (sum(RowNumbers("rsqrt", count, 0.1, 1e-5).cycles(WSE3, "fp16")) for count in (1, 64))
    assert one < WSE3.call("lib_rsqrt") / 2 and many < 64 * one
    few, more = (code_size(Local("rowscale", 9, count), WSE3, 1, 1).code for count in (2, 5))
    assert few <= more < 2 * few        # rows are a loop
