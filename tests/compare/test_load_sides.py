"""Which wafers and GPUs are tried under a load."""

from dataclasses import replace

import numpy as np
import pytest

from wsekern.compare.load import cheapest, run_load
from wsekern.compare.load_comparison import compare_load, poisson_load
from wsekern.compare.load_report import Slo
from wsekern.compare.load_sides import WAFERS, LoadSides
from wsekern.compare.serving import Serving
from wsekern.errors import BudgetError, InputError
from wsekern.machine import load_machine
from wsekern.queueing import Traffic
from wsekern.queueing.traffic import poisson
from wsekern.workload import load_config


@pytest.fixture(scope="module")
def sides():
    return LoadSides(config=load_config("llama3-8b"), machine=load_machine("wse3"), cluster="h100x8")


@pytest.fixture(scope="module")
def traffic():
    return Traffic(np.arange(40) * 0.5, np.full(40, 1000), np.append(np.full(39, 100), 4000))


def test_wafers_come_in_order_of_price_and_hold_the_longest_request(sides, traffic):
    kinds = list(sides.wafers_for(traffic))
    prices = [kind.system.usd_per_hour for kind in kinds]
    assert len(kinds) > 1 and prices == sorted(prices) and prices[-1] <= WAFERS * prices[0]
    for kind in kinds:
        assert run_load(kind, traffic, 1, Slo()).outcome.finish_seconds[-1] > traffic.arrival_seconds[-1]


def test_layouts_come_once_each(sides):
    kinds = list(sides.gpus_for(poisson(1.0, 300, 1000, 100)))
    assert len(kinds) > 1 and len({str(kind.facts) for kind in kinds}) == len(kinds)


def test_what_the_user_fixes_is_the_only_kind(sides, traffic):
    fixed = replace(sides, users=8, serving=Serving(tp=4))
    (wafers,), (gpus,) = fixed.wafers_for(traffic), fixed.gpus_for(traffic)
    assert gpus.facts["tp"] == 4
    assert wafers.system.name.startswith("1 x WSE-3") or wafers.system.name.startswith("2 x WSE-3")
    assert sides.forced == [] and fixed.forced == ["cluster"] and replace(sides, wafers=3).forced == ["wafer"]
    (three,) = replace(fixed, wafers=3).wafers_for(traffic)
    assert three.system.name.startswith("3 x WSE-3")


def test_auto_names_a_cluster(sides, traffic):
    kind = next(iter(replace(sides, cluster="auto").gpus_for(traffic)))
    assert "x" in kind.system.name and kind.system.usd_per_hour > 0


def test_wafers_that_are_too_small_or_keep_another_cache_are_refused(sides, traffic):
    with pytest.raises(BudgetError):
        list(replace(sides, config=load_config("llama3-70b"), wafers=1).wafers_for(traffic))
    with pytest.raises(InputError, match="cache"):
        list(replace(sides, serving=Serving(kv_precision="fp8")).wafers_for(traffic))


def test_a_request_that_no_gpu_can_hold_is_refused_with_the_reason(sides):
    big = replace(sides, config=load_config("llama3-70b"), cluster="h100x1")
    with pytest.raises(BudgetError, match="weights take"):
        list(big.gpus_for(poisson(1.0, 5, 100, 10)))


@pytest.mark.parametrize("bad", [{"engine_level": "magic"}, {"cluster": "abacusx8"}, {"profile": "wood"}, {"precision": "fp3"},
                                 {"serving": Serving(gpu_precision="fp3")}, {"serving": Serving(tp=7)},
                                 {"serving": Serving(tp=16)}])
def test_what_no_load_could_change_is_refused_before_it_runs(sides, bad):
    with pytest.raises(InputError):
        replace(sides, **bad).check()


@pytest.mark.parametrize("model", ["llama3-8b", "qwen3-30b-a3b"])
def test_dense_models_and_mixtures_are_served_on_both_sides(sides, model):
    traffic = poisson(1.0, 30, 500, 50)
    both = replace(sides, config=load_config(model))
    for kinds in (both.wafers_for(traffic), both.gpus_for(traffic)):
        report = cheapest(kinds, traffic, 1, Slo())
        assert 0.0 < report.utilisation <= 1.0 and report.watts > 0


def test_a_machine_that_was_not_measured_is_told_in_the_verdict(sides):
    one = replace(sides, cluster="h100x8", serving=Serving(tp=8))
    load = poisson_load(1.0, 20, 100, 10)

    def unmeasured(traffic):
        (kind,) = one.gpus_for(traffic)
        assert kind.facts["not_measured"] == [] and kind.facts["time_factors"] == (1.0, 1.0)
        yield replace(kind, facts={**kind.facts, "not_measured": ["no fp8 on hopper"], "time_factors": (0.8, 3.0)})

    said = compare_load(one.config, load, one.gpus_for, unmeasured, Slo()).sentences()
    assert [line for line in said if "was not measured (no fp8 on hopper): its steps take 0.8 to 3 times as long" in line]


def test_latent_attention_is_served_on_both_sides(sides):
    config = load_config("deepseek-v2-lite")
    both = replace(sides, config=config)
    comparison = compare_load(config, poisson_load(1.0, 30, 500, 50), both.wafers_for, both.gpus_for, Slo())
    assert comparison.wafer.watts > 0 and comparison.cluster.watts > 0
    assert any("576 elements are kept of a position" in line for line in comparison.wafer.assumptions)
