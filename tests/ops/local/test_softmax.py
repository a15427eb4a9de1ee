"""Local work of a softmax relative to a bound: the same on both engines, and what it says it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.number_formats import NUMPY_DTYPES, round_bf16
from wsekern.ops import PRECISIONS, FlowEngine
from wsekern.ops.engines.programs import run_on_cycle_engine
from wsekern.ops.local.softmax import (
    SEEN,
    KeyRange,
    ScoreBound,
    SoftmaxFactor,
    SoftmaxMessage,
    SoftmaxQuotients,
    WholeReference,
)
from wsekern.ops.operation import ELEMENT_TYPES

OPERATIONS = [KeyRange(6, 1), KeyRange(4, 3), ScoreBound(1, 3, 4), ScoreBound(2, 2, 7), ScoreBound(1, 2, 1), WholeReference(5),
              SoftmaxFactor(6), SoftmaxMessage(4, 3), SoftmaxMessage(2, 5, weighed=True), SoftmaxQuotients(4, 3),
              SoftmaxQuotients(4, 3, "vector"), SoftmaxQuotients(3, 2, "vector", copies=5), SoftmaxQuotients(3, 2, copies=5)]


def tile(random, type, *shape):
    values = (random.standard_normal(shape) * 2.0 ** random.integers(-3, 5, shape)).astype(np.float32)
    return round_bf16(values) if type == "bf16" else values.astype(NUMPY_DTYPES[type])


@settings(max_examples=80, deadline=None)
@given(operation=st.sampled_from(OPERATIONS), precision=st.sampled_from(PRECISIONS), seed=st.integers(0, 99),
       machine=st.sampled_from([("wse2", "vendor-simulator"), ("wse3", "silicon")]))
def test_the_work_is_the_same_on_both_engines(operation, precision, seed, machine):
    random = np.random.default_rng(seed)
    shapes = zip(operation.tiles(), operation.tile_types(ELEMENT_TYPES[precision]), strict=True)
    tiles = [tile(random, type, 2, 3, *shape) for shape, type in shapes]
    if isinstance(operation, SoftmaxQuotients):
        tiles[1] = np.abs(tiles[1]) + np.float32(1e-3)
    flow = FlowEngine(machine[0], 3, 2, machine[1], precision)
    expected = flow.run(operation, *tiles)
    done = run_on_cycle_engine(operation, machine[0], 3, 2, machine[1], precision, *tiles)
    assert done.values.tobytes() == expected.tobytes() == operation.reference(*tiles, flow.timing).tobytes()
    np.testing.assert_array_equal(done.clock, flow.clock)


@given(seed=st.integers(0, 999))
def test_no_score_lies_above_the_bound_of_its_query(seed):
    random = np.random.default_rng(seed)
    engine = FlowEngine("wse3", 1, 1, "silicon", "fp32")
    keys, queries = (random.standard_normal((1, 1, count, 6)).astype(np.float32) for count in (9, 4))
    kept = engine.run(KeyRange(6, 9), keys, np.full((1, 1, 2, 6), -1e30, np.float32))
    bound = engine.run(ScoreBound(1, 4, 6), queries[:, :, None], kept[:, :, :, None])
    scores = queries[0, 0] @ keys[0, 0].T
    assert (scores.max(axis=1) <= bound[0, 0] + 1e-5).all()
    alone = engine.run(ScoreBound(1, 9, 6), keys[:, :, None], np.stack([keys[:, :, 0], -keys[:, :, 0]], 2)[:, :, :, None])
    np.testing.assert_allclose(alone[0, 0], keys[0, 0] @ keys[0, 0, 0], rtol=1e-5, atol=1e-5)     # of one key, its score


def test_factors_are_powers_of_two_that_never_lose_a_row_that_sees_something():
    own, bound = (np.array([[rows]], np.float32) for rows in ([4, 3, -90, -500, -1e30], [9.3, 9.3, 9.3, 9.3, 9.3]))
    seen = np.array([[[SEEN, SEEN, SEEN, SEEN, 0]]], np.float32)
    found = FlowEngine("wse3", 1, 1, "silicon", "fp32").run(SoftmaxFactor(5), own, bound, seen)[0, 0]
    assert found.tolist() == [2.0**91, 2.0**90, 2.0**-3, 2.0**-126, 0]


def test_sizes_that_are_none_are_refused():
    with pytest.raises(InputError, match="at least 1"):
        SoftmaxMessage(0, 3)
