"""Scans: every PE's prefix sum, on both engines bit for bit and in the same cycles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.ops import DTYPES, FlowEngine
from wsekern.ops.lines.scan import Scan
from wsekern.ops.predict import predict_op

machines = st.sampled_from([("wse2", "vendor-simulator"), ("wse2", "silicon"), ("wse3", "vendor-simulator"),
                            ("wse3", "silicon")])


@settings(max_examples=60, deadline=None)
@given(machine=machines, length=st.integers(1, 14), lines=st.integers(1, 3), axis=st.sampled_from("xy"),
       elements=st.sampled_from([0, 1, 2, 5, 12, 40]), op=st.sampled_from(["sum", "max"]), dtype=st.sampled_from(DTYPES),
       seed=st.integers(0, 99), threads=st.integers(1, 2))
def test_scans_are_the_same_on_both_engines(assert_one_operation, machine, length, lines, axis, elements, op, dtype, seed,
                                            threads):
    width, height = (length, lines) if axis == "x" else (lines, length)
    assert_one_operation(Scan(elements, axis, op), machine, width, height, dtype, elements, seed, threads)


@settings(max_examples=20, deadline=None)
@given(machine=machines, length=st.integers(1, 40), elements=st.integers(1, 60), dtype=st.sampled_from(DTYPES))
def test_no_clock_of_a_scan_is_a_bound(machine, length, elements, dtype):
    engine = FlowEngine(machine[0], length, 1, machine[1], dtype)
    engine.time(Scan(elements, "x"))
    assert not engine.notes


@pytest.mark.parametrize("axis", ["x", "y"])
def test_whole_numbers_are_summed_exactly(axis):
    tile = np.arange(24, dtype=np.float32).reshape(3, 4, 2)
    values = FlowEngine("wse3", 4, 3, "silicon", "fp32").run(Scan(2, axis), tile)
    np.testing.assert_array_equal(values, tile.cumsum(axis=1 if axis == "x" else 0))


def test_a_scan_can_be_predicted_on_both_engines():
    flow, cycle = (predict_op("scan", "wse3", grid=(24, 1), words=8, engine=engine) for engine in ("flow", "cycle"))
    assert flow["cycles"] == cycle["cycles"] and flow["energy"] == cycle["energy"] == 8 * 23
    assert flow["dtype"] == "fp32"
    with pytest.raises(InputError, match="words is missing"):
        predict_op("scan", "wse3", grid=(24, 1))
    with pytest.raises(InputError, match="axis is 'z'"):
        Scan(1, "z")
