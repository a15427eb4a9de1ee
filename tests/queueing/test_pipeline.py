"""Requests through a line of regions: the same times as in plain Python, the limits of queueing theory, and laws."""

import signal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.queueing import LineCosts, Outcome, Traffic, simulate_line
from wsekern.queueing.reference.pipeline import Line as PlainLine
from wsekern.queueing.traffic import poisson, turns

seconds = st.floats(0.01, 1.0)


@st.composite
def lines(draw) -> LineCosts:
    most, chunk = draw(st.integers(1, 4)), draw(st.integers(1, 4))

    def costs(size: int) -> dict[str, np.ndarray]:
        steps = draw(st.lists(seconds, min_size=size, max_size=size))
        slopes = draw(st.lists(st.floats(0.0, 0.02), min_size=size, max_size=size))
        return {"base": np.cumsum(steps), "slope": np.array(slopes)}

    group, read = costs(most), costs(chunk)
    return LineCosts(
        regions=draw(st.integers(1, 6)), group_base=group["base"], group_slope=group["slope"], chunk_base=read["base"],
        chunk_slope=read["slope"], head_seconds=draw(st.sampled_from([0.0, 0.05, 1.7])),
        crossing_seconds=draw(st.sampled_from([0.0, 0.31])), crossing_token_seconds=draw(st.sampled_from([0.0, 0.053])),
        last_share=draw(st.sampled_from([1.0, 0.4])), cache_slots=draw(st.sampled_from([30, 2**40])),
        slot_tokens=draw(st.integers(1, 3)))


@st.composite
def traffics(draw) -> Traffic:
    rows = draw(st.lists(st.tuples(st.floats(0.0, 60.0), st.integers(1, 14), st.integers(1, 12)), min_size=1, max_size=30))
    arrival, prompt, output = (np.array(column) for column in zip(*sorted(rows), strict=True))
    users = draw(st.none() | st.integers(1, len(rows)))
    return Traffic(arrival.astype(float), prompt, output, users, draw(st.sampled_from([0.0, 1.3])))


@settings(max_examples=150, deadline=None)
@given(costs=lines(), traffic=traffics())
def test_the_same_times_as_with_a_process_for_each_job(costs, traffic):
    """Open and closed, with and without room in the cache, tokens and prompts mixed."""
    fast, plain = simulate_line(costs, traffic), PlainLine(costs, traffic).run()
    for name in ("arrival_seconds", "first_token_seconds", "finish_seconds"):
        np.testing.assert_allclose(getattr(fast, name), getattr(plain, name), rtol=1e-9, atol=1e-9)
    assert fast.busy_seconds == pytest.approx(plain.busy_seconds, rel=1e-9)
    assert fast.busy_seconds <= fast.finish_seconds.max() - fast.arrival_seconds.min() + 1e-9


def server(service: float) -> LineCosts:
    """One region that reads a token of a prompt in ``service`` seconds."""
    return LineCosts(regions=1, group_base=np.ones(1), group_slope=np.zeros(1), chunk_base=np.array([service]),
                     chunk_slope=np.zeros(1), head_seconds=0.0)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_equal_prompts_of_one_chunk_wait_as_in_a_queue_with_constant_service(load):
    """M/D/1: load / (2 (1 - load)) services (Pollaczek and Khinchine)."""
    outcome = simulate_line(server(1.0), poisson(load, 300_000, 1, 1))
    assert outcome.time_to_first_token.mean() - 1.0 == pytest.approx(0.5 * load / (1.0 - load), rel=0.02)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_prompts_of_random_lengths_wait_as_in_a_queue_with_exponential_service(load):
    """M/M/1: 1 / (1 - load) services in all, for lengths of 200 tokens on average."""
    count = 300_000
    lengths = np.maximum(1, np.rint(np.random.default_rng(5).exponential(200.0, count))).astype(np.int64)
    traffic = Traffic(poisson(load, count, 1, 1).arrival_seconds, lengths, np.ones(count, np.int64))
    outcome = simulate_line(server(1.0 / lengths.mean()), traffic)
    assert outcome.time_to_first_token.mean() == pytest.approx(1.0 / (1.0 - load), rel=0.02)


LINE = LineCosts(regions=16, group_base=np.linspace(40e-6, 200e-6, 8), group_slope=np.full(8, 1e-9),
                 chunk_base=np.linspace(40e-6, 200e-6, 8), chunk_slope=np.full(8, 1e-9), head_seconds=7e-6)


def in_system(outcome: Outcome, start: float, end: float) -> float:
    """Time average of the requests that have arrived and are not complete."""
    there = np.minimum(outcome.finish_seconds, end) - np.maximum(outcome.arrival_seconds, start)
    return float(np.maximum(there, 0.0).sum()) / (end - start)


def test_users_are_in_the_system_for_rate_times_time():
    """Little's law, of requests that arrive by chance and of users who take turns."""
    outcome = simulate_line(LINE, poisson(5.0, 20_000, 1000, 100))
    span = np.quantile(outcome.arrival_seconds, [0.1, 0.9])
    here = (outcome.arrival_seconds >= span[0]) & (outcome.arrival_seconds < span[1])
    expected = here.sum() / (span[1] - span[0]) * outcome.request_time[here].mean()
    assert in_system(outcome, *span) == pytest.approx(expected, rel=0.01)
    closed = simulate_line(LINE, turns(20, 1000, 100, 8000, think_seconds=0.5, over_seconds=1.0))
    span = np.quantile(closed.finish_seconds, [0.1, 0.9])
    here = (closed.finish_seconds >= span[0]) & (closed.finish_seconds < span[1])
    assert here.sum() / (span[1] - span[0]) * (closed.request_time[here].mean() + 0.5) == pytest.approx(20, rel=0.01)


def test_one_user_meets_nobody():
    """The lone pass: chunks behind each other, then a token at a time."""
    outcome = simulate_line(LINE, Traffic(np.zeros(1), np.array([80]), np.array([3])))
    chunks = 200e-6 + 1e-9 * (8.0 * np.arange(10) + 4.5)
    first = chunks.sum() + 15 * chunks[-1] + 7e-6
    assert outcome.first_token_seconds[0] == pytest.approx(first, rel=1e-12)
    assert outcome.finish_seconds[0] == pytest.approx(first + sum(16 * (40e-6 + 1e-9 * c) + 7e-6 for c in (81, 82)), rel=1e-12)


def test_no_more_requests_than_the_cache_holds():
    costs = LineCosts(**{**vars(LINE), "cache_slots": 3 * 11, "slot_tokens": 100})
    outcome = simulate_line(costs, turns(50, 1000, 50, 400, spread=0.0))
    answered = np.concatenate([outcome.first_token_seconds, outcome.finish_seconds])
    change = np.repeat([1, -1], 400)[np.argsort(answered, kind="stable")]
    assert change.cumsum().max() == 3


def test_a_request_longer_than_the_cache_is_refused():
    costs = LineCosts(**{**vars(LINE), "cache_slots": 10, "slot_tokens": 100})
    with pytest.raises(InputError, match=r"request 1 has 1000 \+ 50 tokens, but the cache holds 1000"):
        simulate_line(costs, Traffic(np.zeros(2), np.array([10, 1000]), np.array([10, 50])))


def test_a_simulation_can_be_interrupted():
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            simulate_line(LINE, poisson(1.0, 200_000, 131_072, 1))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
