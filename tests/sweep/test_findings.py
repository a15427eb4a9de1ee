"""What sweeps show, on answers that are known."""

from math import log2

import pytest

from wsekern.report.sweeps import crossing_sentence, sweep_data
from wsekern.sweep.axes import Range
from wsekern.sweep.findings import Findings
from wsekern.sweep.spec import Sample, Spec, plan_of

MODEL = {"model": "llama3-8b"}


def findings(spec: Spec, better) -> Findings:
    """Of points whose wafers are ``better`` times as good as the clusters, by their inputs."""
    plan = plan_of(spec)
    records = [{"key": point.key, "inputs": point.inputs, "not_served": {}, "refused": None,
                "wafer_better_by": {} if better(point.inputs) is None else {"tokens_per_usd": better(point.inputs)}}
               for point in plan.points]
    return Findings(plan, records, "tokens_per_usd")


def test_crossings_lie_where_both_sides_are_equal():
    found = findings(Spec(inputs=MODEL, grid={"batch": [1, 4, 16, 64], "prompt": [128, 512, 999]}),
                     lambda one: {128: 8.0 / one["batch"], 512: 2.0, 999: 0.5}[one["prompt"]])
    crossings = {one.others["prompt"]: one for one in found.crossings}
    assert crossings[128].at == pytest.approx(8.0) and not crossings[128].wafers_win
    assert crossings[512].at is None and crossings[512].wafers_win and crossings[999].at is None
    assert crossing_sentence(found, crossings[128]) == "prompt 128: the cluster from about batch 8 on"
    assert crossing_sentence(found, crossings[999]) == "prompt 999: the cluster throughout"


def model(one: dict) -> float:
    """Two inputs whose logarithms add, the first with twice the range, and one that does nothing."""
    return 2.0 ** (2.0 * log2(one["batch"]) + log2(one["prompt"]))


AXES = {"batch": Range(1, 10**6, scale="log"), "prompt": Range(1, 10**6, scale="log"), "think": Range(0.0, 1.0)}


@pytest.mark.parametrize(("method", "count"), [("sobol", 128), ("morris", 20), ("latin-hypercube", 300)])
def test_effects_are_those_of_a_sum(method, count):
    """Of independent terms, variances add: 4 to 1; Morris' steps are 2 to 1."""
    found = findings(Spec(inputs=MODEL, sample=Sample(AXES, count, method, 3)), model)
    effects = {effect.name: effect for effect in found.effects}
    assert [effect.name for effect in found.effects][:2] == ["batch", "prompt"]
    if method == "morris":
        assert found.method == "morris" and effects["batch"].alone == pytest.approx(2.0 * effects["prompt"].alone, rel=0.02)
        assert effects["think"].alone == pytest.approx(0.0, abs=1e-9)
    else:
        assert found.method == ("sobol" if method == "sobol" else "variance")
        assert effects["batch"].alone == pytest.approx(0.8, abs=0.08)
        assert effects["prompt"].alone == pytest.approx(0.2, abs=0.08) and abs(effects["think"].alone) < 0.08
    assert found.map is not None and (found.map.x, found.map.y) == ("batch", "prompt")


def test_points_without_an_answer_are_left_out():
    found = findings(Spec(inputs=MODEL, grid={"batch": [1, 2, 4], "prompt": [64, 128]}),
                     lambda one: None if one["batch"] == 4 else 2.0 * one["batch"])
    data = sweep_data(found)
    assert data["points"] == 6 and data["answered"] == data["wafers_better"] == 4
    assert [effect["name"] for effect in data["effects"]] == ["batch", "prompt"]
    assert data["effects"][0]["alone"] == pytest.approx(1.0) and data["effects"][1]["alone"] == pytest.approx(0.0)
