"""Ways of serving beyond one batch on one system, on both sides: drafted tokens, shared prefixes, prompts read elsewhere."""

from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from wsekern.cluster import load_cluster
from wsekern.compare import Serving, compare
from wsekern.compare.pairing import Pairing
from wsekern.errors import InputError
from wsekern.machine import load_machine
from wsekern.workload import Request, load_config
from wsekern.workload.speculation import Speculation

LLAMA, WSE3 = load_config("llama3-8b"), load_machine("wse3")
SETTINGS = settings(max_examples=5, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
sides = st.sampled_from(["wafer", "gpus", "ideal_gpus"])
requests = st.builds(Request, st.integers(64, 4096), st.integers(2, 512), st.integers(1, 64))


def serve(side, request, cluster="h100x8", **choices):
    pairing = Pairing(LLAMA, WSE3, load_cluster(cluster), None, "silicon", "stock", Serving(**choices))
    return getattr(pairing, side)(request)


@settings(SETTINGS, max_examples=4)
@given(sides, requests, st.integers(1, 7))
def test_drafts_that_are_never_accepted_help_nobody(side, request, drafted):
    for users in (1, request.batch):
        load = replace(request, batch=users)
        plain, none = serve(side, load), serve(side, load, speculation=Speculation(drafted, 0.0))
        assert none.requests_per_second <= plain.requests_per_second * 1.01


@SETTINGS
@given(sides, requests, st.integers(1, 7), st.floats(0.0, 1.0))
def test_a_draft_never_helps_more_than_as_many_times_as_tokens_are_checked(side, request, drafted, acceptance):
    plain, fast = serve(side, request), serve(side, request, speculation=Speculation(drafted, acceptance))
    assert fast.requests_per_second <= plain.requests_per_second * (drafted + 1) * 1.01


@SETTINGS
@given(sides, requests, st.integers(1, 7), st.floats(0.0, 0.9))
def test_more_accepted_drafts_are_never_slower_for_a_lone_user(side, request, drafted, acceptance):
    request = replace(request, batch=1)
    low, high = (serve(side, request, speculation=Speculation(drafted, share)) for share in (acceptance, acceptance + 0.1))
    assert high.request_seconds <= low.request_seconds * (1 + 1e-9)


def test_tokens_to_be_checked_follow_each_other_through_the_regions():
    """R regions and K drafted tokens take R + K region times instead of R, the head's apart."""
    plain = serve("wafer", Request())
    for drafted in (1, 3):
        placed = serve("wafer", Request(), speculation=Speculation(drafted, 0.0))
        if placed.facts["grid"] == plain.facts["grid"]:
            grown = placed.lone_time_per_output_token_seconds / plain.lone_time_per_output_token_seconds
            assert 1.0 < grown <= (plain.facts["regions"] + drafted) / plain.facts["regions"]


@pytest.mark.parametrize("side", ["wafer", "gpus", "ideal_gpus"])
def test_a_shared_prefix_of_nothing_changes_nothing(side):
    request = Request(2048, 128, 16)
    assert serve(side, request, shared_prefix=0.0).to_dict() == serve(side, request).to_dict()


@pytest.mark.parametrize("side", ["wafer", "gpus", "ideal_gpus"])
def test_the_more_of_a_prompt_is_shared_the_sooner_the_first_token_and_the_higher_the_rate(side):
    request = Request(8192, 128, 12)            # as many users as one wafer holds with nothing shared
    shares = [serve(side, request, shared_prefix=share) for share in (0.0, 0.5, 0.9, 1.0)]
    firsts = [one.lone_time_to_first_token_seconds for one in shares]
    rates = [one.requests_per_second for one in shares]
    assert firsts[-1] < 0.5 * firsts[0] and sorted(firsts, reverse=True) == firsts
    assert sorted(rates) == rates and rates[-1] > 1.2 * rates[0]


def test_a_shared_prefix_is_kept_once():
    request = Request(8192, 128, 16)
    whole, shared = (serve("gpus", request, tp=8, shared_prefix=share) for share in (0.0, 0.5))
    once = 2.0 * LLAMA.kv_elements_per_token * 4096  # bytes
    assert whole.memory_used_bytes - shared.memory_used_bytes == pytest.approx(15 * once, rel=1e-6)
    assert serve("wafer", request, shared_prefix=0.9).facts["wafers"] < serve("wafer", request).facts["wafers"]
    many = Request(8192, 128, 2048)
    with pytest.raises(InputError, match="the cache holds"):
        serve("gpus", many)
    assert serve("gpus", many, shared_prefix=0.95).requests_per_second > 0


@SETTINGS
@given(st.sampled_from(["wafer", "gpus"]), requests, st.sampled_from(["h100x1", "h200x8"]))
def test_systems_apart_are_bounded_by_both(side, request, prefill):
    together = serve(side, request, prefill_cluster=prefill)
    cycle = together.time_to_first_token_seconds + (request.output - 1) * together.time_per_output_token_seconds
    assert together.requests_per_second == pytest.approx(request.batch / cycle)
    reads = serve("gpus", replace(request, output=1), cluster=prefill)
    writes = serve(side, request, shared_prefix=1.0)
    assert together.requests_per_second <= reads.requests_per_second * 1.02
    if together.facts.get("wafers") == writes.facts.get("wafers"):  # a prompt that is kept once for all takes fewer
        assert together.requests_per_second <= writes.requests_per_second * 1.05
    assert together.time_to_first_token_seconds > together.facts["transfer_seconds"] > 0.0


def test_power_and_price_of_both_systems_are_counted():
    request = Request(1024, 256, 64)
    alone, apart = (serve("wafer", request, prefill_cluster=name) for name in (None, "h100x8"))
    assert apart.facts["prefill_gpus"] == 8 and apart.facts["prefill_watts"] > 2000
    assert apart.usd_per_hour == pytest.approx(alone.usd_per_hour + 8 * 2.9)
    assert apart.rated_watts == pytest.approx(alone.rated_watts + load_cluster("h100x8").power_max)
    assert apart.requests_per_second > 2.0 * alone.requests_per_second  # prompts fill the regions of this wafer
    assert "h100x8 for prompts" in apart.name and any("is sent in" in line for line in apart.assumptions)


def test_a_slower_way_between_the_systems_takes_longer():
    request = Request(8192, 64, 4)
    system = WSE3.system
    narrow = type(system)(**{name: getattr(system, name) for name in system.__struct_fields__} | {
        "io_bandwidth": type(system.io_bandwidth)(value=1e9, unit="B/s", source="a test")})
    slow = type(WSE3)(**{name: getattr(WSE3, name) for name in WSE3.__struct_fields__} | {"system": narrow})
    times = [Pairing(LLAMA, machine, load_cluster("h100x8"), serving=Serving(prefill_cluster="h100x8")).wafer(request)
             for machine in (WSE3, slow)]
    assert times[1].facts["transfer_seconds"] > 10 * times[0].facts["transfer_seconds"]
    assert times[1].time_to_first_token_seconds > times[0].time_to_first_token_seconds


def test_choices_go_together():
    found = compare(LLAMA, Request(2048, 128, 32), WSE3, None, "h100x8", serving=Serving(
        speculation=Speculation(2, 0.8), shared_prefix=0.5, prefill_cluster="h100x1", think_seconds=1.0))
    assert found.request.shared == 1024 and not found.not_served
    for side in found.served():
        cycle = side.request_seconds + 1.0
        assert side.requests_per_second == pytest.approx(32 / cycle)


@pytest.mark.parametrize(("choices", "words"), [
    ({"shared_prefix": 1.5}, "shared-prefix"), ({"prefill_cluster": "abacusx8"}, "abacus"), ({"shared_prefix": -0.1}, "share"),
])
def test_what_cannot_be_is_refused(choices, words):
    with pytest.raises(InputError, match=words):
        compare(LLAMA, Request(), WSE3, None, "h100x8", serving=Serving(**choices))
