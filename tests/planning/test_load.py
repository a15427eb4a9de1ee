"""Wafers under load: costs of regions, users in steady state, requests event by event, power."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.planning.small import SMALL, WSE3, wafer
from wsekern.errors import InputError
from wsekern.inference.step_times import CHUNKS
from wsekern.planning.load import WaferSystem, active_share, serve_on_wafers
from wsekern.planning.placement import Placement, place_model
from wsekern.queueing import Traffic
from wsekern.queueing.traffic import poisson, turns
from wsekern.workload import Request, load_config


@cache
def placed(model: str, request: Request, wafers: int | None = None) -> Placement:
    return place_model(load_config(model), request, WSE3, wafers)


@cache
def two_wafers() -> Placement:
    """With room for many users and long requests."""
    return placed("llama3-8b", Request(2048, 256, 64), 2)


@pytest.mark.parametrize(("model", "wafers"), [("llama3-8b", 1), ("mixtral-8x7b", 3)])
def test_times_between_the_timed_numbers_of_tokens_lie_on_the_line(model, wafers):
    """Within 3 % up to the longest chunk, and 5 % at other contexts: vector instructions are issued for 128 elements at a time,
    whole tokens or not, and PEs share work in whole rows."""
    placement = replace(placed(model, Request(1000, 100), wafers), chunk=64)
    line = placement.line
    slots, context = -(-501 // placement.height), 0.5 * 1001
    for tokens in (1, 3, 8, 17, 64):
        expected = placement.region_seconds(tokens, slots)
        assert line.chunk_base[tokens - 1] + line.chunk_slope[tokens - 1] * context == pytest.approx(expected, rel=0.03)
    general = placement.general_line()
    for slots in (1, 3, placement.mapping.slots):
        context = (slots - 0.5) * placement.height
        expected = placement.region_seconds(64, slots)
        assert general.group_base[63] + general.group_slope[63] * context == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(("model", "wafers"), [("llama3-8b", 1), ("llama3-70b", 5)])
def test_a_lone_user_has_the_whole_line(model, wafers):
    placement = placed(model, Request(1024, 256), wafers)
    clock, request = float(WSE3.clock), placement.request
    token = placement.decode().cycles / clock + placement.crossing_seconds(1)
    assert placement.token_seconds() == pytest.approx(token, rel=1e-12)
    assert request.prompt % placement.chunk == 0
    rows = placement.shapes[placement.slowest].height
    stage = placement.region_seconds(placement.chunk, -(-(request.prompt // 2 + 1) // rows))
    passed = placement.line.regions - 1 + placement.line.last_share  # regions as slow as the slowest one
    first = (request.prompt // placement.chunk + passed - 1) * stage + placement.line.head_seconds
    assert placement.first_token_seconds() == pytest.approx(first + placement.crossing_seconds(placement.chunk), rel=1e-12)


def test_one_user_has_the_lone_figures_exactly():
    served = serve_on_wafers(placed("llama3-8b", Request(1000, 100)))
    assert served.time_to_first_token_seconds == served.lone_time_to_first_token_seconds
    assert served.time_per_output_token_seconds == served.lone_time_per_output_token_seconds
    assert served.breakdown["waiting"] == 0.0


@pytest.mark.parametrize("users", [1, 8, 64])
def test_figures_of_served_users_hold_together(users):
    placement = two_wafers().serving(Request(1024, 256, users))
    served = serve_on_wafers(placement)
    answer = 255 * served.time_per_output_token_seconds
    assert served.measure.requests_per_second * (served.time_to_first_token_seconds + answer) == pytest.approx(users)
    assert sum(served.breakdown.values()) == pytest.approx(served.time_per_output_token_seconds)
    assert served.decoding_users == pytest.approx(served.measure.requests_per_second * answer)
    assert 2 * WSE3.system.watts(0.0) < served.watts < 2 * float(WSE3.system.power)
    assert served.activity < served.busy <= 1.0


def test_users_who_think_load_the_wafer_less():
    placement = two_wafers().serving(Request(1024, 256, 16))
    busy, calm = (serve_on_wafers(replace(placement, think_seconds=seconds)) for seconds in (0.0, 10.0))
    assert calm.busy < busy.busy and calm.watts < busy.watts
    assert calm.time_per_output_token_seconds < busy.time_per_output_token_seconds


def test_more_users_are_served_more_in_all():
    totals = [serve_on_wafers(two_wafers().serving(Request(1024, 256, users))).measure.tokens_per_second
              for users in (1, 2, 4, 8, 16, 32, 64, 128)]
    assert totals == sorted(totals)


@pytest.mark.parametrize("request_", [Request(1024, 256, 8), Request(4096, 16, 4), Request(100, 1000, 40)])
def test_the_chunk_serves_the_users_soonest(request_):
    placement = place_model(SMALL, request_, wafer(), 1)
    others = [replace(placement, chunk=chunk) for chunk in CHUNKS if chunk <= request_.prompt]
    assert placement.request_seconds() == min(other.request_seconds() for other in others if other.fits())


def test_the_steady_state_agrees_with_the_events_on_the_same_wafers():
    """Requests a second and power, over prompts, answers, users and think times: 5 % in the median, 15 % at most."""
    rng, errors = np.random.default_rng(2), []
    for _ in range(12):
        users, prompt, output = (int(np.exp(rng.uniform(np.log(low), np.log(high))))
                                 for low, high in ((2, 64), (64, 8192), (2, 1024)))
        placement = replace(two_wafers().serving(Request(prompt, output, users)), think_seconds=float(rng.choice([0.0, 1.0])))
        served, system, count = serve_on_wafers(placement), WaferSystem(placement), max(100, 10 * users)
        traffic = turns(users, prompt, output, count, think_seconds=placement.think_seconds, seed=1, spread=0.2,
                        over_seconds=users / served.measure.requests_per_second)
        traffic = replace(traffic, output=np.minimum(traffic.output, placement.mapping.slots * placement.height - prompt))
        outcome = system.simulate(traffic)
        ends, skipped = np.sort(outcome.finish_seconds), max(users, count // 10)
        rate = (count - 2 * skipped) / (ends[-1 - skipped] - ends[skipped - 1])
        errors.append(abs(served.measure.requests_per_second / rate - 1.0))
        assert system.watts(outcome) == pytest.approx(served.watts, rel=0.1)
    assert np.median(errors) <= 0.05 and max(errors) <= 0.15


def test_requests_of_many_lengths_are_served():
    placement = placed("llama3-8b", Request(7936, 256, 4))
    system, rng, count = WaferSystem(placement), np.random.default_rng(0), 200
    traffic = Traffic(poisson(2.0, count, 1, 1).arrival_seconds, rng.integers(16, 7936, count), rng.integers(1, 256, count))
    outcome = system.simulate(traffic)
    assert (outcome.first_token_seconds > outcome.arrival_seconds).all()
    assert outcome.busy_seconds < outcome.seconds
    assert 0.0 < active_share(placement, outcome.busy_seconds / outcome.seconds, 0.0) < 1.0
    assert system.watts(outcome) > placement.wafers * WSE3.system.watts(0.0)
    assert system.name == f"{placement.wafers} x {WSE3.title}"
    assert system.usd_per_hour == placement.wafers * float(WSE3.system.price_per_hour)


def test_the_cache_holds_at_least_the_users_it_is_placed_for():
    placement = two_wafers().serving(Request(1000, 24, 32))
    assert placement.line.cache_slots >= placement.users_inside * placement.mapping.slots


def test_a_request_longer_than_the_placement_is_refused():
    system = WaferSystem(placed("llama3-8b", Request(1000, 100)))
    with pytest.raises(InputError, match=r"a request has 5,000 tokens in all, but 1 x .* is placed for up to 1,"):
        system.simulate(Traffic(np.zeros(1), np.array([4000]), np.array([1000])))


def test_users_wait_outside_where_that_serves_all_sooner():
    """The only cut with room for the caches of all has regions of 1,170 rows, and half the rate."""
    placement = placed("llama3.2-1b", Request(6607, 157, 80), 1)
    assert placement.inside is not None
    assert 0.75 * 80 <= placement.inside < 80 and placement.mapping.fits(WSE3)
    served, few = (serve_on_wafers(place) for place in (placement, placed("llama3.2-1b", Request(6607, 157, 76), 1)))
    assert served.users_inside == placement.inside >= served.decoding_users
    assert few.users_inside == 76 and served.measure.requests_per_second >= 0.99 * few.measure.requests_per_second
    assert served.time_to_first_token_seconds > few.time_to_first_token_seconds
