"""Each term of each form of a kernel, by hand: what its docstring says it stands for."""

import math

import pytest

from wsekern.cluster.kernels import (
    collective,
    decode_attention,
    elementwise,
    expert_ffn,
    gemm,
    prefill_attention,
    smooth_max,
)

RATES = {"memory": 0.5, "compute": 0.25, "overlap": 2.0, "fixed": 3.0}
"""Half of the bandwidth, a quarter of the FLOP/s, both at once as the root of their squares."""


def body(memory: float, compute: float) -> float:
    """What computing adds to streaming, of times of either alone."""
    return math.hypot(memory, compute) - memory


@pytest.mark.parametrize(("a", "b", "power", "found"), [
    (3.0, 4.0, 2.0, 5.0), (3.0, 4.0, 1.0, 7.0), (2.0, 2.0, 3.0, 2 * 2 ** (1 / 3))])
def test_a_smooth_maximum_lies_between_the_larger_and_the_sum(a, b, power, found):
    assert smooth_max(a, b, power) == smooth_max(b, a, power) == pytest.approx(found)


def test_a_product_moves_weights_input_and_result():
    fixed, memory, excess = gemm({**RATES, "depth": 5.0}, 2, 3, 8192, 1.5, 0.5, 100.0, 10.0)
    moved, work = 3 * 8192 * 1.5 + 2 * 8192 * 0.5 + 2 * 3 * 2, 2 * 2 * 3 * 8192
    assert (fixed, memory) == pytest.approx((3.0 + 5.0, moved / 5.0))
    assert excess == pytest.approx(body(moved / 5.0, work / 25.0))


def test_attention_of_one_token_spreads_rows_and_length_and_fills_the_memory():
    parameters = {**RATES, "rows": 7.0, "length": 11.0, "ramp": 13.0, "fill": 17.0}
    fixed, memory, excess = decode_attention(parameters, 2, 4096, 1024, 50.0, 75.0, 100.0, 10.0)
    whole = math.hypot(10.0, 3.0)
    assert fixed == pytest.approx(3.0 + 7.0 * 2 + 11.0 / 2)
    assert memory == pytest.approx(10.0 + 13.0 * whole / (whole + 17.0)) and excess == pytest.approx(body(10.0, 3.0))


def test_attention_of_a_prompt_grows_with_its_length():
    fixed, memory, excess = prefill_attention({**RATES, "length": 11.0}, 2048, 50.0, 75.0, 100.0, 10.0)
    assert (fixed, memory, excess) == pytest.approx((3.0 + 2 * 11.0, 10.0, body(10.0, 3.0)))


def test_experts_move_their_matrices_once_and_rows_through_each():
    parameters = {**RATES, "pad": 4.0, "group": 5.0, "depth": 7.0, "route": 11.0}
    fixed, memory, excess = expert_ffn(parameters, 8192, 256, 4096, 4096, 3, 0.5, 2.0, 100.0, 10.0)
    moved = 256 * 3 * 4096**2 * 0.5 + 8192 * (2 * 4096 + 3 * 4096) * 2.0
    work = 2 * 3 * (8192 + 256 * 4) * 4096**2
    assert fixed == pytest.approx(3.0 + 2 * 5.0 + 7.0 + 11.0)
    assert memory == pytest.approx(moved / 5.0) and excess == pytest.approx(body(moved / 5.0, work / 25.0))


@pytest.mark.parametrize(("operation", "wire"), [
    ("all_reduce", 2.0), ("all_gather", 1.0), ("reduce_scatter", 1.0), ("alltoall", 1.0), ("send", 1.0)])
def test_a_collective_takes_the_faster_of_one_step_and_a_ring(operation, wire):
    parameters = {"links": 0.5, "direct": 0.25, "extra": 2.0, "ramp": 3.0, "fixed": 5.0, "rank": 7.0}
    ring = wire * 0.75 * 4e6 / 5.0
    in_ring = 2.0 + ring + 3.0 * math.sqrt(1e-6 * ring)
    assert collective(parameters, operation, 4, 4e6, 10.0) == pytest.approx(5.0 + 21.0 + in_ring)
    assert collective(parameters, operation, 4, 1.0, 10.0) == pytest.approx(5.0 + 21.0 + 3.0 / 2.5)


def test_a_stream_takes_its_bytes():
    assert elementwise(RATES, 50.0, 10.0) == (3.0, 10.0, 0.0)
