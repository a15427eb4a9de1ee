"""Real load on a system that is known by hand, beside formulas: times, shares, queues, energy, cost, systems needed."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.compare.load import cheapest, cheapest_needed, lone_outcome, run_load, systems_needed
from wsekern.compare.load_comparison import Load, compare_load, poisson_load, trace_load, within_context
from wsekern.compare.load_report import INTERVALS, TIMES, LoadReport, Slo, percent
from wsekern.errors import BudgetError, InputError
from wsekern.output import to_json
from wsekern.queueing import Traffic
from wsekern.queueing.traffic import poisson, turns
from wsekern.workload import load_config

REQUESTS = st.lists(st.tuples(st.floats(0, 5), st.integers(1, 2000), st.integers(1, 40)), min_size=1, max_size=40)


def traffic_of(rows) -> Traffic:
    gaps, prompt, output = zip(*rows, strict=True)
    return Traffic(np.cumsum(gaps), np.array(prompt), np.array(output))


@pytest.fixture(scope="module")
def config():
    return load_config("llama3-8b")


def test_one_request_by_hand(one_server):
    report = run_load(one_server(), Traffic(np.array([5.0]), np.array([1000]), np.array([11])), 1, Slo())
    data = report.to_dict()
    assert data["time_to_first_token_seconds"]["p99"] == pytest.approx(0.1 + 0.01)
    assert data["time_per_output_token_seconds"]["mean"] == pytest.approx(0.01)
    assert data["request_seconds"]["max"] == pytest.approx(0.21) == data["seconds"] == data["drain_seconds"]
    assert data["watts"] == pytest.approx(500) and data["joules_per_token"] == pytest.approx(500 * 0.21 / 11)
    assert data["usd"] == pytest.approx(3.6 * 0.21 / 3600)
    assert data["usd_per_million_tokens"] == pytest.approx(1e6 * data["usd"] / 11)
    assert data["offered_requests_per_second"] is None and data["requests_per_second"] == pytest.approx(1 / 0.21)
    assert data["requests_in_system"] == {"mean": pytest.approx(1), "max": 1} and data["utilisation"] == pytest.approx(1)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_waiting_is_that_of_one_server_with_fixed_times(one_server, load):
    """M/D/1: mean wait = load x service / (2 (1 - load))."""
    server = one_server(prompt_seconds=1e-3, output_seconds=0.0)
    report = run_load(server, poisson(load, 200_000, 1000, 1, seed=4), 1, Slo())
    waiting = report.summary("time_to_first_token_seconds")["mean"] - 1.0
    assert waiting == pytest.approx(load / (2 * (1 - load)), rel=0.02)
    assert report.utilisation == pytest.approx(load, rel=0.01)
    assert report.queues()["requests_waiting"]["mean"] == pytest.approx(load * (waiting + 1.0), rel=0.01)


@given(REQUESTS, st.integers(1, 6))
@settings(deadline=None)
def test_means_over_time_rates_energy_and_cost_add_up(one_server, rows, systems):
    traffic = traffic_of(rows)
    report = run_load(one_server(), traffic, min(systems, len(traffic)), Slo())
    data = report.to_dict()
    rate, times = data["requests_per_second"], data["request_seconds"]["mean"]
    assert data["requests_in_system"]["mean"] == pytest.approx(rate * times)  # Little's law
    over_time = data["over_time"]
    assert len(over_time["seconds"]) == INTERVALS
    assert np.mean(over_time["requests_in_system"]) == pytest.approx(rate * times)
    assert np.mean(over_time["requests_waiting"]) == pytest.approx(data["requests_waiting"]["mean"])
    assert data["joules"] == pytest.approx(data["joules_per_request"] * len(traffic))
    assert data["joules"] == pytest.approx(data["joules_per_token"] * traffic.output.sum())
    assert data["usd"] == pytest.approx(data["usd_per_million_tokens"] * traffic.output.sum() / 1e6)
    busy = float((1e-4 * traffic.prompt + 1e-2 * traffic.output).sum())
    idle = report.systems * report.seconds - busy
    assert data["joules"] == pytest.approx(500 * busy + 100 * idle)  # systems that stand idle draw power to the end
    json.loads(to_json(data))


@given(REQUESTS, st.integers(1, 40))
@settings(deadline=None)
def test_systems_share_the_requests_in_turn_and_each_serves_its_own(one_server, rows, systems):
    traffic, server = traffic_of(rows), one_server()
    systems = min(systems, len(traffic))
    report = run_load(server, traffic, systems, Slo())
    for k in range(systems):
        alone = server.system.simulate(Traffic(traffic.arrival_seconds[k::systems], traffic.prompt[k::systems],
                                        traffic.output[k::systems]))
        assert np.array_equal(report.outcome.finish_seconds[k::systems], alone.finish_seconds)
        assert np.array_equal(report.outcome.first_token_seconds[k::systems], alone.first_token_seconds)
    assert report.outcome.traffic is traffic
    assert report.usd_per_hour == pytest.approx(3.6 * systems)


def test_systems_without_requests_and_users_who_take_turns_are_refused(one_server):
    traffic = poisson(1.0, 3, 10, 10)
    for systems in (0, 4):
        with pytest.raises(InputError, match="systems"):
            run_load(one_server(), traffic, systems, Slo())
    with pytest.raises(InputError, match="take turns"):
        run_load(one_server(), turns(2, 10, 10, 20), 2, Slo())


def test_shares_and_goodput_by_hand(one_server):
    # service 1 s each: first tokens after 0.91, 1.91 and 2.91 s; a request of one token keeps any time per output token
    traffic = Traffic(np.zeros(3), np.full(3, 9000), np.array([10, 10, 1]))
    slo = Slo(time_to_first_token_seconds=2.0, time_per_output_token_seconds=0.005)
    report = run_load(one_server(), traffic, 1, slo)
    shares = report.shares_within()
    assert shares["time_to_first_token"] == pytest.approx(2 / 3) and shares["time_per_output_token"] == pytest.approx(1 / 3)
    assert shares["both"] == 0.0
    assert report.goodput() == {"requests_per_second": 0.0, "tokens_per_second": 0.0}
    slower = run_load(one_server(), traffic, 1, replace(slo, time_per_output_token_seconds=0.02))
    assert slower.shares_within()["both"] == pytest.approx(2 / 3)
    assert slower.goodput()["tokens_per_second"] == pytest.approx(20 / slower.seconds)
    none = run_load(one_server(), traffic, 1, Slo())
    assert none.goodput() is None and set(none.shares_within().values()) == {None}


def test_answers_of_one_token_have_no_time_per_output_token(one_server):
    report = run_load(one_server(), Traffic(np.zeros(2), np.ones(2, int), np.ones(2, int)), 1,
                      Slo(time_per_output_token_seconds=1e-9))
    assert report.summary("time_per_output_token_seconds") is None and report.shares_within()["both"] == 1.0


@pytest.mark.parametrize("bad", [{"share": 0.0}, {"share": 1.01}, {"time_to_first_token_seconds": 0.0},
                                 {"time_per_output_token_seconds": float("inf")}])
def test_an_objective_that_makes_no_sense_is_refused(bad):
    with pytest.raises(InputError):
        Slo(**bad)


def test_a_share_below_1_never_reads_as_all():
    assert [percent(share) for share in (1.0, 0.99999, 0.99, 0.123)] == ["100 %", "99.9 %", "99 %", "12.3 %"]


def test_alone_no_request_meets_another(one_server):
    traffic = Traffic(np.zeros(5), np.array([10, 20, 10, 10, 20]), np.array([200_000, 1, 200_000, 1, 1]))
    outcome, which = lone_outcome(one_server().system, traffic)
    assert len(outcome.traffic) == 3  # requests alike are served once
    alone = 1e-4 * traffic.prompt + 1e-2 * traffic.output
    assert outcome.request_time[which] == pytest.approx(alone)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_as_few_systems_as_needed_keep_the_objective_and_one_less_does_not(one_server, share):
    server, traffic, runs = one_server(), poisson(60.0, 1500, 1000, 20, seed=2), []
    slo = Slo(time_to_first_token_seconds=0.5, share=share)
    needed, report = systems_needed(server, traffic, slo, on_run=lambda: runs.append(1))
    assert needed.lone_share == 1.0 and needed.systems == report.systems > 10
    assert report.shares_within()["both"] >= share
    assert run_load(server, traffic, needed.systems - 1, slo).shares_within()["both"] < share
    assert len(runs) <= 12


def test_one_system_is_enough_for_little(one_server):
    needed, report = systems_needed(one_server(), poisson(0.1, 50, 10, 10), Slo(time_to_first_token_seconds=1.0))
    assert needed.systems == report.systems == 1


def test_an_objective_that_a_lone_request_misses_is_kept_by_no_number(one_server):
    traffic = Traffic(np.arange(4.0), np.array([100, 100, 100, 50_000]), np.full(4, 10))
    needed, report = systems_needed(one_server(), traffic, Slo(time_to_first_token_seconds=1.0, share=0.8))
    assert needed.systems is None and needed.lone_share == 0.75 and report.systems == 1
    assert "alone" in needed.reason and "75 %" in needed.reason


def test_the_search_gives_up_at_a_stated_number(one_server):
    needed, report = systems_needed(one_server(), poisson(60.0, 500, 1000, 20), Slo(time_to_first_token_seconds=0.5), most=3)
    assert needed.systems is None and report.systems == 3 and "3 systems do not suffice" in needed.reason


def test_the_cheapest_kind_that_keeps_up_is_taken_and_dearer_ones_are_not_tried(one_server):
    def kinds():
        yield one_server("too slow", output_seconds=1.0)
        yield one_server("slow", output_seconds=0.02)
        yield one_server("quick", output_seconds=0.01)
        yield one_server("dear", output_seconds=0.001, usd_per_hour=4.0)
        raise AssertionError("no dearer kind is made")

    traffic, runs = poisson(1.0, 300, 10, 10), []
    report = cheapest(kinds(), traffic, 2, Slo(), on_run=lambda: runs.append(1))
    assert report.system == "quick" and len(runs) == 3
    within = Slo(time_per_output_token_seconds=0.005)
    dear = cheapest([one_server("slow"), one_server("dear", output_seconds=0.001, usd_per_hour=4.0)], traffic, 1, within)
    assert dear.system == "dear" and dear.keeps_objective
    none = cheapest([one_server("slow", output_seconds=2.0), one_server("slower", output_seconds=3.0)], traffic, 1, within)
    assert none.system == "slow" and not none.succeeds
    with pytest.raises(InputError):
        cheapest([], traffic, 1, Slo())


def test_systems_are_counted_of_the_kind_of_which_they_cost_least_together(one_server):
    traffic, slo = poisson(60.0, 1500, 1000, 20, seed=2), Slo(time_to_first_token_seconds=0.5)
    slow, quick = one_server("slow"), one_server("quick", 2e-5, 2e-3, usd_per_hour=4.0)
    dear = one_server("dear", 2e-5, 2e-3, usd_per_hour=400.0)
    counts = {kind.system.name: systems_needed(kind, traffic, slo)[0].systems for kind in (slow, quick, dear)}
    assert counts["slow"] > 2 * counts["quick"] == 2 * counts["dear"]
    needed, report = cheapest_needed([slow, quick, dear], traffic, slo)
    assert (report.system, needed.systems) == ("quick", counts["quick"])
    needed, report = cheapest_needed([slow, dear], traffic, slo)
    assert (report.system, needed.systems) == ("slow", counts["slow"])
    never = Slo(time_to_first_token_seconds=1e-3)
    needed, report = cheapest_needed([slow, quick], traffic, never)
    assert needed.systems is None
    with pytest.raises(InputError):
        cheapest_needed([], traffic, slo)


def test_without_an_objective_no_number_of_systems_is_looked_for(one_server):
    with pytest.raises(InputError, match="objective"):
        systems_needed(one_server(), poisson(1.0, 5, 10, 10), Slo())


@given(REQUESTS, st.floats(0.01, 1.0))
@settings(deadline=None)
def test_a_wafer_and_a_gpu_with_the_same_service_times_give_the_same_report(one_server, config, rows, bound):
    load = Load(traffic_of(rows), "made up", {})
    comparison = compare_load(config, load, lambda traffic: [one_server("wafer")], lambda traffic: [one_server("gpu")],
                              Slo(time_to_first_token_seconds=bound), None)
    data = comparison.to_dict()
    for side in ("wafer", "cluster"):
        assert {data[side].pop(key) for key in ("name", "system")}
    assert data["wafer"] == data["cluster"]
    assert data["systems_needed"]["wafer"] == data["systems_needed"]["cluster"]


def test_a_side_that_cannot_serve_leaves_the_other_and_says_why(one_server, config):
    def cannot(traffic):
        raise InputError("it does not fit")

    load = poisson_load(2.0, 50, 100, 10)
    comparison = compare_load(config, load, cannot, lambda traffic: [one_server()], Slo())
    data = comparison.to_dict()
    assert comparison.wafer is None and data["wafer"] is None and data["cluster"]["requests"] == 50
    assert data["not_served"] == {"wafer": "it does not fit"}
    with pytest.raises(InputError, match="it does not fit"):
        compare_load(config, load, cannot, cannot, Slo())


def test_a_size_that_the_user_fixed_and_that_is_too_small_is_refused(one_server, config):
    def too_small(traffic):
        raise BudgetError("use more wafers")

    load = poisson_load(2.0, 50, 100, 10)
    assert compare_load(config, load, too_small, lambda traffic: [one_server()], Slo(), forced=["cluster"]).not_served
    with pytest.raises(BudgetError, match="more wafers"):
        compare_load(config, load, too_small, lambda traffic: [one_server()], Slo(), forced=["wafer"])


def test_several_clusters_under_one_load_are_ranked(one_server, config):
    def too_small(traffic):
        raise BudgetError("use more GPUs")

    clusters = {name: lambda traffic, name=name, seconds=seconds: [one_server(name, output_seconds=seconds)]
                for name, seconds in (("mid", 2e-3), ("slow", 4e-3))} | {"small": too_small}
    found = compare_load(config, poisson_load(1.0, 50, 100, 10), lambda traffic: [one_server("quick", 1e-5, 1e-3)], clusters,
                         Slo(time_to_first_token_seconds=1.0), None, forced=["cluster"])
    data = found.to_dict()
    assert [one["name"] for one in data["clusters"]] == ["mid", "slow", "small"] and data["clusters"][2]["cluster"] is None
    assert data["not_served"] == {"small": "use more GPUs"} and set(data["systems_needed"]) == {"wafer", "mid", "slow"}
    first = "further tokens (99th percentile), soonest first"
    assert f"{first}: quick; mid 2.0 times; slow 4.0 times" in data["reasons"]
    with pytest.raises(BudgetError, match="more GPUs"):
        compare_load(config, found.load, lambda traffic: [one_server()], dict.fromkeys("ab", too_small), Slo(),
                     forced=["cluster"])


def test_requests_longer_than_the_context_are_left_out_and_told(config):
    load = Load(Traffic(np.arange(3.0), np.array([8000, 8000, 9000]), np.array([192, 193, 1])), "made up", {})
    short = within_context(load, config)
    assert len(short.traffic) == 1 and "2 of 3 requests left out" in short.notes[0] and "8,192" in short.notes[0]
    with pytest.raises(InputError, match="no request fits"):
        within_context(poisson_load(1.0, 5, 9000, 10), config)
    assert within_context(short, config) is short


def test_a_load_says_where_its_requests_come_from(tmp_path):
    (tmp_path / "t.csv").write_text("arrival,prompt,output\n0,10,1\n8,30,3\n4,20,2\n")
    load = trace_load(tmp_path / "t.csv", 2, 2.0)
    assert load.traffic.arrival_seconds.tolist() == [0.0, 2.0] and load.traffic.prompt.tolist() == [10, 20]
    assert "t.csv, 2 times as fast" in load.words() and load.to_dict()["prompt_tokens"] == 15.0
    assert [note for note in load.notes if "sorted" in note] and [note for note in load.notes if "first 2 of 3" in note]
    load = poisson_load(4.0, 1000, 10, 5, seed=3)
    assert load.to_dict() == {"requests_per_second": 4.0, "seed": 3, "requests": 1000, "prompt_tokens": 10.0,
                              "output_tokens": 5.0, "notes": []}
    for rate in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(InputError, match="rate"):
            poisson_load(rate, 10, 10, 5)


def test_the_verdict_says_who_is_faster_who_keeps_the_objective_and_at_what_price(one_server, config):
    def compare(slo, systems=1, rate=0.5):
        return compare_load(config, poisson_load(rate, 400, 1000, 20), lambda traffic: [one_server("quick", 1e-5, 1e-3)],
                            lambda traffic: [one_server("slow", usd_per_hour=1.0, busy_watts=110.0)], slo, systems).sentences()

    words = "\n".join(compare(Slo()))
    assert "further tokens are 10.0 times faster on quick than on slow" in words and "objective" not in words
    assert "per dollar, slow answers" in words and "cannot keep up" not in words
    words = "\n".join(compare(Slo(time_to_first_token_seconds=0.1, time_per_output_token_seconds=0.1)))
    assert "quick keeps the objective" in words and "slow misses the objective" in words and "USD an hour" in words
    words = "\n".join(compare(Slo(time_to_first_token_seconds=0.2), None, rate=20.0))
    assert "1 system (quick) is enough" in words and "systems (slow) are enough" in words and "are not, for" in words
    words = "\n".join(compare(Slo(time_to_first_token_seconds=0.05), None))
    assert "no number of systems (slow)" in words
    same = compare_load(config, poisson_load(1.0, 50, 100, 10), lambda traffic: [one_server("one")],
                        lambda traffic: [one_server("other")], Slo()).sentences()
    assert "first tokens are as fast on one as on other (99th percentile)" in same
    assert "slow cannot keep up" in "\n".join(compare(Slo(), rate=20.0))


@pytest.mark.parametrize(("rate", "steady"), [(1.0, True), (3.0, True), (4.0, False), (50.0, False)])
def test_a_queue_that_grows_is_noticed(one_server, rate, steady):
    report = run_load(one_server(), poisson(rate, 3000, 1000, 20), 1, Slo())  # 3.3 requests a second at most
    assert report.keeps_up is steady


def test_a_few_requests_at_once_are_no_growing_queue(one_server):
    assert run_load(one_server(), Traffic(np.zeros(1), np.array([10]), np.array([10])), 1, Slo()).keeps_up


def test_names_of_times_are_those_of_the_report(one_server):
    report = run_load(one_server(), poisson(1.0, 10, 10, 10), 1, Slo())
    assert isinstance(report, LoadReport) and all(report.to_dict()[name] == report.summary(name) for name in TIMES)
