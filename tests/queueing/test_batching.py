"""One engine with continuous batching: beside the same step by step, and beside formulas of queues."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.queueing.batching import StepCosts, interpolate, simulate_batching
from wsekern.queueing.reference.batching import batching_reference
from wsekern.queueing.traffic import Traffic, poisson, turns


def costs(seed=0, **fields):
    """Tables that rise with the number of sequences and of tokens, and differ with the seed."""
    random = np.random.default_rng(seed)
    points = random.integers(1, 6, 2)

    def table(count, start, steep):
        return start * random.uniform(0.5, 2.0) + np.cumsum(random.uniform(0.0, steep, count))

    grids = [np.concatenate(([1.0], 1.0 + np.cumsum(random.uniform(0.5, 40.0, count)))) for count in points]
    decode, prompt = points + 1
    return StepCosts(**{
        "decode_grid": grids[0], "decode_base": table(decode, 1e-3, 1e-3), "decode_slope": table(decode, 1e-6, 1e-6),
        "prompt_grid": grids[1], "crowded": grids[1] * random.uniform(1.0, 2.0), "alone": table(prompt, 1e-3, 5e-3),
        "together": table(prompt, 1e-4, 5e-3), "look": table(prompt, 1e-6, 1e-5),
        "step_tokens": 64, "cache_tokens": 4096, "sequences": 16, **fields})


def server(seconds, **fields):
    """An engine that reads prompts one after the other, in ``seconds`` a token."""
    zero = np.zeros(2)
    fields = {"step_tokens": 10**9, "cache_tokens": 10**12, "sequences": 1, **fields}
    grid = np.array([0.0, 1.0])
    return StepCosts(decode_grid=np.array([1.0, 2.0]), decode_base=zero, decode_slope=zero, prompt_grid=grid, crowded=grid,
                     alone=grid * seconds, together=grid * seconds, look=zero, **fields)


def agree(engine, traffic):
    found, expected = simulate_batching(engine, traffic), batching_reference(engine, traffic)
    for name in ("arrival_seconds", "first_token_seconds", "finish_seconds"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-12)
    assert found.busy_seconds == pytest.approx(expected.busy_seconds, rel=1e-9)
    assert (found.prompt_tokens, found.output_tokens) == (expected.prompt_tokens, expected.output_tokens)
    assert found.preemptions == expected.preemptions
    return found


engines = st.builds(costs, st.integers(0, 10**6), step_tokens=st.sampled_from([1, 7, 64, 300]),
                    sequences=st.sampled_from([1, 3, 16]), cache_tokens=st.sampled_from([130, 200, 400, 10_000]),
                    page_tokens=st.sampled_from([1, 5, 16]), chunked=st.booleans(), stages=st.sampled_from([1, 3]),
                    request_seconds=st.sampled_from([0.0, 0.0123]), beside_seconds=st.sampled_from([0.0, 0.0077]),
                    whole=st.booleans(), look_steps=st.sampled_from([1, 2, 7]), hold_steps=st.sampled_from([0, 3, 20]),
                    hold_tokens=st.sampled_from([0, 50, 150]))


@settings(max_examples=300, deadline=None)
@given(engines, st.integers(0, 10**6), st.integers(1, 40), st.floats(1e-4, 0.1), st.sampled_from([None, 1, 4, 12]),
       st.sampled_from([0.0, 0.0456]))
def test_every_request_is_served_as_step_by_step(engine, seed, count, gap, users, think):
    random = np.random.default_rng(seed)
    prompt, output = random.integers(1, 70, count), random.integers(1, 45, count)
    users = users and min(users, count)
    agree(engine, Traffic(np.cumsum(random.exponential(gap, count)), prompt, output, users, think))


def test_full_caches_pre_empt_the_latest_and_nothing_is_lost():
    """Eight requests whose prompts fit the cache together, but not their answers."""
    traffic = Traffic(np.zeros(8), np.full(8, 20), np.full(8, 60))
    found = agree(costs(3, cache_tokens=240), traffic)
    assert found.preemptions > 0 and found.prompt_tokens > 8 * 20
    assert np.all(np.diff(found.finish_seconds) >= 0)
    assert agree(costs(3, cache_tokens=8 * 96), traffic).preemptions == 0


def test_chunks_let_others_decode_and_prompts_alone_let_them_wait():
    """A long prompt comes while a first answer is written: its user waits in one step, or for a little in many."""
    traffic = Traffic(np.array([0.0, 0.05]), np.array([4, 2000]), np.array([200, 2]))
    chunked = agree(costs(1), traffic)
    whole = agree(costs(1, chunked=False), traffic)
    assert whole.first_token_seconds[1] < chunked.first_token_seconds[1]
    assert whole.finish_seconds[0] - chunked.finish_seconds[0] != 0


def test_rare_looks_at_the_line_let_prompts_wait_for_the_next():
    """A second prompt comes while a first answer is written: read at the tenth step, or at once."""
    traffic = Traffic(np.array([0.0, 0.012]), np.array([4, 4]), np.array([200, 2]))
    often, rarely = (agree(costs(1, look_steps=steps), traffic) for steps in (1, 50))
    assert rarely.first_token_seconds[1] > often.first_token_seconds[1]
    assert agree(costs(1, look_steps=1000), traffic).first_token_seconds[1] > often.finish_seconds[0]


def test_prompts_of_few_tokens_wait_for_more_but_not_for_ever():
    traffic = Traffic(np.array([0.0, 0.012, 0.04]), np.array([4, 4, 50]), np.array([400, 2, 2]))
    at_once, held, timed_out = (agree(costs(1, hold_steps=steps, hold_tokens=50), traffic) for steps in (0, 10**6, 3))
    assert at_once.first_token_seconds[1] < timed_out.first_token_seconds[1] <= held.first_token_seconds[1]
    assert held.first_token_seconds[1] == held.first_token_seconds[2]


def test_a_request_that_never_fits_is_refused_by_name():
    with pytest.raises(InputError, match=r"request 1 has 90 \+ 40 tokens, but the cache of the engine holds 128"):
        simulate_batching(costs(cache_tokens=130), Traffic(np.zeros(2), np.array([90, 90]), np.array([39, 40])))
    simulate_batching(costs(cache_tokens=130), Traffic(np.zeros(1), np.array([90]), np.array([39])))


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_server_with_even_prompts_waits_as_m_d_1(load):
    """Pollaczek and Khinchine: with service s the mean wait is load s / 2 (1 - load)."""
    found = simulate_batching(server(0.01), poisson(load / 1.0, 400_000, 100, 1, seed=5))
    assert found.time_to_first_token.mean() == pytest.approx(1.0 + load / (2.0 * (1.0 - load)), rel=0.02)
    assert found.busy_seconds / found.seconds == pytest.approx(load, rel=0.02)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_server_with_exponential_prompts_waits_as_m_m_1(load):
    random = np.random.default_rng(8)
    arrivals = np.cumsum(random.exponential(1.0 / load, 1_000_000))
    prompts = np.maximum(1, np.rint(random.exponential(10_000.0, len(arrivals)))).astype(np.int64)
    found = simulate_batching(server(1e-4), Traffic(arrivals, prompts, np.ones(len(arrivals), np.int64)))
    assert found.time_to_first_token.mean() == pytest.approx(1.0 / (1.0 - load), rel=0.02)


def in_system(outcome):
    """Time average of the requests inside, counted up at arrivals and down at finishes."""
    times = np.concatenate((outcome.arrival_seconds, outcome.finish_seconds))
    changes = np.repeat([1, -1], len(outcome.traffic))
    order = np.argsort(times, kind="stable")
    return float((np.cumsum(changes[order])[:-1] * np.diff(times[order])).sum() / (times.max() - times.min()))


@settings(max_examples=50, deadline=None)
@given(engines, st.integers(0, 10**6), st.sampled_from([None, 1, 5, 20]))
def test_littles_law_holds(engine, seed, users):
    random = np.random.default_rng(seed)
    prompt, output = random.integers(1, 70, 60), random.integers(1, 45, 60)
    found = simulate_batching(engine, Traffic(np.cumsum(random.exponential(0.02, 60)), prompt, output, users))
    assert in_system(found) == pytest.approx(found.requests_per_second * found.request_time.mean(), rel=1e-6)
    if users:
        assert in_system(found) <= users + 1e-6
    assert found.busy_seconds <= found.seconds * (1 + 1e-9)
    assert np.all(found.arrival_seconds < found.first_token_seconds)
    assert np.all(found.first_token_seconds <= found.finish_seconds)


def test_users_who_take_turns_are_all_inside():
    found = simulate_batching(costs(2), turns(8, 30, 20, 4000))
    assert in_system(found) == pytest.approx(8.0, rel=0.01)
    thinking = simulate_batching(costs(2), turns(8, 30, 20, 4000, think_seconds=1.0))
    assert thinking.requests_per_second * (thinking.request_time.mean() + 1.0) == pytest.approx(8.0, rel=0.01)


def test_tables_are_straight_between_their_points_and_beyond():
    grid, values = np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 3.5])
    assert [interpolate(grid, values, x) for x in (0.0, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0)] == [-1.0, 1.0, 2.0, 3.0, 3.25, 3.5, 4.5]
    assert interpolate(grid[:1], values[:1], 7.0) == 1.0


def test_faster_steps_serve_sooner():
    traffic = poisson(20.0, 200, 50, 30)
    slow = costs(4)
    fast = replace(slow, decode_base=slow.decode_base / 2, together=slow.together / 2, alone=slow.alone / 2)
    assert simulate_batching(fast, traffic).request_time.mean() < simulate_batching(slow, traffic).request_time.mean()
