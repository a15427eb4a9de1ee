"""The closed queue in closed form: beside the same queue step by step, and its laws."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from wsekern.queueing._closed import lines
from wsekern.queueing.batching import StepCosts, interpolate, simulate_batching
from wsekern.queueing.closed import closed_queue
from wsekern.queueing.reference import closed as reference
from wsekern.queueing.traffic import turns


def costs(decode=5e-3, sequence=2e-5, token=1e-8, prompt=2e-5, weights=4e-3, look=1e-10, **fields):
    """An engine that streams ``weights`` in each step; seconds for each step, sequence, token of context and of a prompt."""
    grid, tokens = np.array([1.0, 4096.0]), np.array([1.0, 256.0, 8192.0])
    together = np.maximum(weights, prompt * tokens)
    return StepCosts(**{
        "decode_grid": grid, "decode_base": decode + sequence * grid, "decode_slope": token * grid, "prompt_grid": tokens,
        "crowded": tokens, "alone": 1e-3 + together, "together": together, "look": look * tokens, "step_tokens": 8192,
        "cache_tokens": 10**9, "sequences": 4096, **fields})


def simulated(engine, users, prompt, output, think=0.0):
    """(requests/s, first token, further token) of the same users, when they have spread."""
    cycle = users / closed_queue(engine, users, prompt, output, think).requests_per_second
    rounds = max(12, -(-300 // users))
    traffic = turns(users, prompt, output, users * rounds, think_seconds=think, over_seconds=cycle)
    found, kept = simulate_batching(engine, traffic), slice(4 * users, (rounds - 1) * users)
    writing = (found.finish_seconds - found.first_token_seconds)[kept].sum()
    return (users / (found.request_time[kept].mean() + think), found.time_to_first_token[kept].mean(),
            writing / max(1, (traffic.output[kept] - 1).sum()))


def random_settings(count, seed):
    random = np.random.default_rng(seed)
    for _ in range(count):
        step, sequence, token, prompt = 10.0 ** random.uniform((-3, -6, -10, -6), (-1.5, -4, -7, -4))
        users, tokens, output = (int(x) for x in 2.0 ** random.uniform((0, 4, 0), (12, 17, 12)))
        engine = costs(step, sequence, token, prompt, chunked=bool(random.random() < 0.7),
                       request_seconds=float(random.choice([0.0, 0.01])))
        yield engine, users, tokens, output, float(random.choice([0.0, 0.0, 1.0]))


def test_the_closed_form_is_within_five_per_cent_of_the_simulation():
    """Median over 200 engines and loads."""
    errors = []
    for engine, users, prompt, output, think in random_settings(200, 3):
        found = closed_queue(engine, users, prompt, output, think)
        expected = simulated(engine, users, prompt, output, think)
        answer = (found.requests_per_second, found.time_to_first_token_seconds, found.time_per_output_token_seconds)
        errors.append([abs(a / b - 1.0) if b else 0.0 for a, b in zip(answer, expected, strict=True)])
    rate, first, token = np.median(errors, 0)
    assert rate <= 0.02 and first <= 0.05 and token <= 0.02
    assert np.quantile(errors, 0.9, 0)[0] <= 0.15


cases = st.tuples(st.builds(costs, st.floats(1e-3, 3e-2), st.floats(1e-6, 1e-4), st.floats(1e-10, 1e-7), st.floats(1e-6, 1e-4),
                            chunked=st.booleans(), request_seconds=st.sampled_from([0.0, 0.01])),
                  st.integers(16, 131072), st.integers(1, 4096), st.sampled_from([0.0, 1.0]))


@settings(max_examples=200, deadline=None)
@given(cases, st.integers(1, 4096))
def test_users_fill_the_cycle(case, users):
    engine, prompt, output, think = case
    found = closed_queue(engine, users, prompt, output, think)
    cycle = found.time_to_first_token_seconds + (output - 1) * found.time_per_output_token_seconds + think
    assert found.requests_per_second == pytest.approx(users / cycle)
    assert 0.0 <= found.decoding_users <= users * (1 + 1e-9) and found.step_sequences <= max(1.0, users) * (1 + 1e-9)
    assert found.stalled_seconds >= 0.0
    alone = closed_queue(engine, 1, prompt, output, think)
    assert found.time_per_output_token_seconds >= alone.time_per_output_token_seconds * (1 - 1e-9)
    assert found.requests_per_second <= users * alone.requests_per_second * (1 + 1e-9) or engine.chunked


@settings(max_examples=200, deadline=None)
@given(cases, st.integers(1, 2048))
def test_more_users_are_served_no_less(case, users):
    """Nearly: an engine that is full loses a little where further tokens cost more than those before, as at the knee of these
    tables. The closed form is not accurate enough for answers of a few tokens, whose users come and go together."""
    engine, prompt, output, think = case
    assume(output >= 8)
    few, more = (closed_queue(engine, count, prompt, output, think).requests_per_second for count in (users, 2 * users))
    assert more >= 0.9 * few


@given(cases)
def test_a_lone_user_waits_for_nobody(case):
    engine, prompt, output, think = case
    found = closed_queue(engine, 1, prompt, output, think)
    lone = simulated(engine, 1, prompt, output, think) if prompt < 20000 and output > 1 else None
    if lone is not None:
        assert found.time_to_first_token_seconds == pytest.approx(lone[1], rel=1e-3)
    assert found.stalled_seconds == 0.0
    assert found.time_per_output_token_seconds == pytest.approx(engine.decode_seconds(1, prompt + output / 2))


def test_time_per_token_levels_off_where_prompts_fill_the_steps():
    """Waiting moves to the first token, and a prompt-first engine does the opposite."""
    engine = costs(prompt=5e-5)
    token = [closed_queue(engine, users, 4096, 64).time_per_output_token_seconds for users in (64, 256, 1024, 2048)]
    first = [closed_queue(engine, users, 4096, 64).time_to_first_token_seconds for users in (64, 256, 1024, 2048)]
    assert token[-1] == pytest.approx(token[-2], rel=0.02) and token[-1] < 1.5 * token[1]
    assert first[-1] > 1.9 * first[-2] > 3.0 * first[-3]
    whole = closed_queue(costs(prompt=5e-5, chunked=False), 1024, 4096, 64)
    assert whole.time_per_output_token_seconds > 2.0 * token[2] and whole.time_to_first_token_seconds < first[2]


@settings(max_examples=200, deadline=None)
@example(2, 9778, 2, True)
@example(2, 8300, 2, True)
@given(st.integers(1, 500), st.integers(16, 20_000), st.integers(1, 100), st.booleans())
def test_prompts_are_read_no_faster_than_an_engine_that_does_nothing_else(users, prompt, output, chunked):
    rate = closed_queue(costs(weights=0.0, chunked=chunked), users, prompt, output).requests_per_second
    assert rate * prompt * 2e-5 <= 1.0


def test_users_whom_the_cache_does_not_hold_wait_outside():
    held = closed_queue(costs(cache_tokens=100 * 1280), 80, 1024, 256)
    full = closed_queue(costs(cache_tokens=100 * 1280), 400, 1024, 256)
    assert full.decoding_users < 115 and full.requests_per_second >= held.requests_per_second
    assert full.time_to_first_token_seconds > 10 * held.time_to_first_token_seconds
    assert full.requests_per_second == pytest.approx(simulated(costs(cache_tokens=100 * 1280), 400, 1024, 256)[0], rel=0.1)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 500), st.integers(100, 20_000), st.integers(2, 1000), st.floats(0.0, 0.99))
def test_tokens_that_are_cached_are_looked_back_on_but_not_read(users, prompt, output, share):
    """Reading nothing new of a prompt is the least that can be done: the first token is sooner, the rate higher."""
    cached = round(share * prompt)
    whole = closed_queue(costs(), users, prompt, output)
    part = closed_queue(costs(cached=cached, shared=cached), users, prompt - cached, output)
    assert part.requests_per_second >= whole.requests_per_second * 0.999
    assert part.time_to_first_token_seconds <= whole.time_to_first_token_seconds * 1.02


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 500), st.integers(16, 20_000), st.integers(2, 1000), st.integers(2, 8))
def test_tokens_kept_from_a_step_shorten_answers_at_most_as_many_times(users, prompt, output, checked):
    """Where an answer takes but a few steps beside long prompts the closed form errs by as much as it is allowed to here."""
    plain = closed_queue(costs(), users, prompt, output)
    none, every = (closed_queue(costs(checked=checked, kept=kept), users, prompt, output) for kept in (1.0, float(checked)))
    assert none.requests_per_second <= plain.requests_per_second * 1.001
    assert plain.requests_per_second * 0.85 <= every.requests_per_second <= plain.requests_per_second * checked * 1.001


def test_shared_tokens_leave_room_for_more_users():
    tight = {"cache_tokens": 20_000, "cached": 1800}
    own, shared = (closed_queue(costs(**tight, shared=kept), 64, 200, 100) for kept in (0, 1800))
    assert shared.decoding_users > 3 * own.decoding_users and shared.requests_per_second > own.requests_per_second


@pytest.mark.parametrize("seed", range(4))
def test_the_kernel_is_the_reference(seed):
    """To the bit, also where drafts are checked, parts of prompts are cached, and pipelines have stages."""
    random = np.random.default_rng(seed)
    for engine, users, prompt, output, think in random_settings(60, seed):
        if random.random() < 0.4:
            cached, stages = float(random.integers(0, prompt)), int(random.integers(1, 5))
            engine = replace(engine, checked=4, kept=2.2, cached=cached, stages=stages)
        if random.random() < 0.2:
            engine = replace(engine, cache_tokens=int(prompt * users * random.random()) + 4096)
        output = 1 if random.random() < 0.1 else output
        load = engine, float(users * random.choice([1.0, 1.3])), prompt, output, think
        assert closed_queue(*load) == reference.closed_queue(*load), load


def test_lines_at_many_places_are_those_at_each():
    random = np.random.default_rng(5)
    for count in (1, 2, 7):
        grid, values = np.cumsum(random.random(count) + 0.1), random.random(count)
        places = np.concatenate((grid, random.uniform(-1.0, grid[-1] + 1.0, 20)))
        assert lines(grid, values, places).tolist() == [interpolate(grid, values, place) for place in places]
