"""Laws of the measure that hold on either side, for any load: what is printed of one system never contradicts itself."""

from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from wsekern.cluster import load_cluster
from wsekern.compare import Serving
from wsekern.compare.cluster_side import deployed
from wsekern.compare.pairing import Pairing
from wsekern.compare.side import copies_of
from wsekern.compare.wafer_side import placed, wafer_side
from wsekern.errors import BudgetError
from wsekern.machine import load_machine
from wsekern.workload import Request, load_config

SETTINGS = settings(max_examples=6, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
LEVELS = ("stock", "tuned", "sglang", "eager", "ideal")

loads = st.fixed_dictionaries({
    "model": st.sampled_from(["llama3.2-1b", "qwen3-0.6b", "llama3-8b"]), "wafers": st.booleans(),
    "level": st.sampled_from(LEVELS), "cluster": st.sampled_from(["h100x1", "h100x8", "b200x4"]),
    "prompt": st.integers(16, 8192), "output": st.integers(1, 1024), "users": st.integers(1, 256),
    "think": st.sampled_from([0.0, 0.5, 30.0]), "chunked": st.booleans(),
})


def pairing_of(load, level=None):
    serving = Serving(think_seconds=load["think"], chunked_prefill=load["chunked"])
    return Pairing(load_config(load["model"]), load_machine("wse3"), load_cluster(load["cluster"]), None, "silicon",
                   level or load["level"], serving)


def side_of(load, level=None, **changes):
    """The side of a load; None where the cache is too small for it."""
    load = {**load, **changes}
    pairing, request = pairing_of(load, level), Request(load["prompt"], load["output"], load["users"])
    try:
        return pairing.wafer(request) if load["wafers"] else pairing.gpus(request)
    except BudgetError:
        return None


def system_of(load, users):
    """A system of fixed size that serves any number of users up to ``users``, as sides; None where it is too small for all."""
    pairing, request = pairing_of(load), Request(load["prompt"], load["output"], users)
    try:
        if load["wafers"]:
            placement = placed(pairing.config, request, pairing.machine, None, "silicon", pairing.serving)
            return lambda some: wafer_side(replace(placement, request=replace(request, batch=some)), pairing.machine.system)
        system = deployed(pairing.config, request, pairing.cluster, load["level"], pairing.serving)
        system.side(0.0)
    except BudgetError:
        return None
    alone = replace(system, copies=1)
    return lambda some: replace(alone, request=replace(request, batch=some)).side(load["think"])


@SETTINGS
@given(loads)
def test_totals_are_users_over_the_time_of_a_request(load):
    side = side_of(load)
    if side is None:
        return
    cycle = side.time_to_first_token_seconds + (load["output"] - 1) * side.time_per_output_token_seconds + load["think"]
    assert side.requests_per_second == pytest.approx(load["users"] / cycle)
    assert side.tokens_per_second == pytest.approx(load["users"] * load["output"] / cycle)
    assert side.prompt_tokens_per_second == pytest.approx(load["users"] * load["prompt"] / cycle)
    assert side.tokens_per_second_per_user == pytest.approx(1.0 / side.time_per_output_token_seconds)


@SETTINGS
@given(loads)
def test_energy_and_cost_of_requests_are_those_of_their_tokens_and_of_the_hour(load):
    side = side_of(load)
    if side is None:
        return
    assert side.joules_per_request == pytest.approx(load["output"] * side.joules_per_token)
    assert side.usd_per_request == pytest.approx(load["output"] * side.usd_per_million_tokens / 1e6)
    assert side.joules_per_request * side.requests_per_second == pytest.approx(side.watts)
    assert side.usd_per_request * side.requests_per_second * 3600.0 == pytest.approx(side.usd_per_hour)
    assert 0.0 < side.watts <= side.rated_watts * (1.0 + 1e-9)


@SETTINGS
@given(loads)
def test_nobody_waits_less_under_load_than_alone_on_wafers(load):
    side = side_of(load, wafers=True)
    if side is None:
        return
    assert side.time_to_first_token_seconds >= side.lone_time_to_first_token_seconds * (1.0 - 1e-9)
    assert side.time_per_output_token_seconds >= side.lone_time_per_output_token_seconds * (1.0 - 1e-9)


@SETTINGS
@given(loads)
def test_one_user_is_a_lone_user(load):
    side = side_of(load, users=1)
    if side is None:
        return
    assert side.time_to_first_token_seconds == pytest.approx(side.lone_time_to_first_token_seconds)
    assert side.time_per_output_token_seconds == pytest.approx(side.lone_time_per_output_token_seconds)


@SETTINGS
@given(loads)
def test_no_cluster_beats_its_own_ideal(load):
    real, ideal = side_of(load, wafers=False), side_of(load, "ideal", wafers=False)
    if real is None or ideal is None:
        return
    assert ideal.requests_per_second >= real.requests_per_second * (1.0 - 1e-9)
    assert ideal.lone_time_to_first_token_seconds <= real.lone_time_to_first_token_seconds * (1.0 + 1e-9)


@SETTINGS
@given(loads, st.integers(1, 64))
def test_totals_never_fall_when_a_system_gets_more_users(load, more):
    """The same wafers, cut for all of them; the same GPUs, each copy with as many of them."""
    system = system_of(load, load["users"] + more)
    if system is None:
        return
    try:
        few, many = (system(users).requests_per_second for users in (load["users"], load["users"] + more))
    except BudgetError:  # one copy of several holds fewer
        return
    assert many >= few * (1.0 - 1e-3)


@SETTINGS
@given(loads, st.integers(1, 9))
def test_copies_serve_as_many_times_the_requests_at_the_same_energy_and_price(load, count):
    side = side_of(load)
    if side is None:
        return
    several = copies_of(side, count)
    assert several.requests_per_second == pytest.approx(count * side.requests_per_second)
    assert several.joules_per_request == pytest.approx(side.joules_per_request)
    assert several.usd_per_million_tokens == pytest.approx(side.usd_per_million_tokens)
    assert several.request_seconds == side.request_seconds


@SETTINGS
@given(loads)
def test_who_thinks_longer_asks_less_often(load):
    busy, slow = side_of(load, think=0.0), side_of(load, think=3.0)
    if busy is None or slow is None:
        return
    assert slow.requests_per_second <= busy.requests_per_second * (1.0 + 0.01)  # steady states of full systems are approximate
