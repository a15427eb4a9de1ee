"""A cluster that serves traffic: how requests are shared, its power, what it refuses."""

from dataclasses import replace

import numpy as np
import pytest

from wsekern.cluster import deploy, serve_on
from wsekern.cluster.engine import without_chunks
from wsekern.cluster.system import ClusterSystem
from wsekern.errors import InputError
from wsekern.queueing import Traffic, simulate_batching
from wsekern.queueing.traffic import poisson, turns
from wsekern.workload import Request, load_config

LLAMA = load_config("llama3-8b")
ONE = deploy(LLAMA, "h100x8", context=1280, tp=1, pp=1)


def test_requests_go_to_the_engines_in_turn():
    traffic = poisson(20.0, 101, 1024, 64)
    system = ClusterSystem.of(ONE, traffic, copies=4)
    found = system.simulate(traffic)
    for first in range(4):
        own = Traffic(*(values[first::4].copy() for values in (traffic.arrival_seconds, traffic.prompt, traffic.output)))
        alone = simulate_batching(system.costs, own)
        np.testing.assert_array_equal(found.finish_seconds[first::4], alone.finish_seconds)
    assert found.prompt_tokens == traffic.prompt.sum() and found.output_tokens == traffic.output.sum()
    assert system.gpus == 4 and system.usd_per_hour == pytest.approx(4 * float(ONE.gpu.price.per_hour))


def test_copies_and_data_parallel_ranks_of_a_dense_model_are_the_same():
    traffic = poisson(20.0, 200, 1024, 64)
    ranks = deploy(LLAMA, "h100x8", context=1280, tp=1, dp=4)
    copies, wide = ClusterSystem.of(ONE, traffic, copies=4), ClusterSystem.of(ranks, traffic)
    assert copies.engines == wide.engines == 4
    assert wide.simulate(traffic).request_time.mean() == pytest.approx(copies.simulate(traffic).request_time.mean(), rel=0.1)


def test_users_who_take_turns_are_shared_too():
    traffic = turns(10, 256, 64, 2000)
    found = ClusterSystem.of(ONE, traffic, copies=4).simulate(traffic)
    assert found.requests_in_system == pytest.approx(10.0, rel=0.02)
    few = turns(2, 256, 64, 50)
    assert ClusterSystem.of(ONE, few, copies=4).simulate(few).finish_seconds.min() > 0.0


def test_power_is_that_of_the_steady_state_under_the_same_load():
    request = Request(1024, 256, 32, "bf16")
    served = serve_on(ONE, request)
    traffic = turns(32, 1024, 256, 640, over_seconds=served.request_seconds)
    system = ClusterSystem.of(ONE, traffic)
    found = system.simulate(traffic)
    assert system.watts(found) == pytest.approx(served.watts, rel=0.05)
    assert found.output_tokens / found.seconds == pytest.approx(served.tokens_per_second, rel=0.06)
    joules = system.watts(found) * found.seconds / found.output_tokens
    assert joules == pytest.approx(served.joules_per_token, rel=0.1)


def test_idle_systems_draw_less():
    rare, often = poisson(0.1, 50, 1024, 64), poisson(10.0, 1000, 1024, 64)
    system = ClusterSystem.of(ONE, often)
    calm, busy = system.watts(system.simulate(rare)), system.watts(system.simulate(often))
    power = ONE.gpu.power
    assert float(power.host) < calm < busy < float(power.tdp) + float(power.host)
    twice = ClusterSystem.of(ONE, often, copies=2)
    assert twice.watts(twice.simulate(often)) > busy


def test_a_request_that_never_fits_is_named():
    traffic = Traffic(np.arange(3.0), np.array([10, 10, 10**6]), np.array([5, 5, 5]))
    with pytest.raises(InputError, match="request 2 has 1000000"):
        ClusterSystem(ONE, 1024, 64, copies=2).simulate(traffic)


def test_facts_name_the_layout_and_the_software():
    system = ClusterSystem(replace(ONE, engine=without_chunks(ONE.engine)), 1024, 64, copies=2)
    assert system.facts["gpus"] == 2 and system.facts["tp"] == 1 and system.facts["chunked_prefill"] is False
    assert system.name == f"h100x8, {ONE.engine.title}, whole prompts"
    assert system.assumptions[-1] == "requests go to the 2 engines in turn"
