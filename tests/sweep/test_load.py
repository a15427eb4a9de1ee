"""Points that ask for a load: the answers of ``compare --rate`` and ``--trace``, with the rate or the trace as an axis."""

import json

import pytest
from click.testing import CliRunner

from wsekern.cli import cli
from wsekern.errors import InputError
from wsekern.sweep.batches import batches
from wsekern.sweep.processes import record_of
from wsekern.sweep.spec import Spec, plan_of

INPUTS = {"model": "qwen3-0.6b", "wafers": 1, "batch": 4, "slo_ttft": 0.05, "slo_tpot": 0.01}
ANSWER = ["compare", "qwen3-0.6b", "--wafers", "1", "--batch", "4", "--slo-ttft", "0.05", "--slo-tpot", "0.01", "--json", "-"]


def said(*more: str) -> dict:
    """What the command says."""
    done = CliRunner().invoke(cli, [*ANSWER, *more])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def assert_same(record: dict, data: dict) -> None:
    """Every figure of both sides."""
    for side in ("wafer", "cluster"):
        for name in record[side].keys() - {"keeps_slo", "keeps_up"}:
            assert record[side][name] == data[side][name], (side, name)
    first = [data[side]["request_seconds"]["mean"] for side in ("cluster", "wafer")]
    assert record["wafer_better_by"]["request_seconds"] == first[0] / first[1]


def test_a_rate_is_an_axis():
    plan = plan_of(Spec(inputs=INPUTS | {"prompt": 64, "output": 16, "requests": 40}, grid={"rate": [5.0, 400.0]}))
    assert plan.numbers == ["rate"] and len(batches(plan.points, 1)) == 2
    slow, fast = (record_of(point.inputs) for point in plan.points)
    assert slow["wafer"]["offered_requests_per_second"] < fast["wafer"]["offered_requests_per_second"]
    assert slow["wafer"]["keeps_slo"] is True and slow["cluster_ideal"] is None
    assert_same(fast, said("--rate", "400", "--prompt", "64", "--output", "16", "--requests", "40"))


def test_a_trace_is_an_axis_and_its_content_part_of_the_key(tmp_path, monkeypatch):
    from wsekern.sweep.load import trace_hash

    lines = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(f"{0.01 * number},64,{8 + number}\n" for number in range(20))
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(lines if name == "a.csv" else lines.replace(",64,", ",128,"))
    monkeypatch.chdir(tmp_path)
    plan = plan_of(Spec(inputs=INPUTS, grid={"trace": ["a.csv", "b.csv"], "trace_scale": [1.0, 2.0]}))
    keys = {point.key for point in plan.points}
    assert len(keys) == 4
    assert_same(record_of(plan.points[3].inputs), said("--trace", "b.csv", "--trace-scale", "2"))
    (tmp_path / "a.csv").write_text(lines.replace(",64,", ",65,"))
    trace_hash.cache_clear()
    assert len(keys & {point.key for point in plan_of(plan.spec).points}) == 2


@pytest.mark.parametrize(("inputs", "why"), [
    ({"rate": 0.0}, "above 0"), ({"rate": 1.0, "trace": "a.csv"}, "rate goes without trace"),
    ({"requests": 5}, "goes with a load"),
    ({"rate": 1.0, "trace_scale": 2.0}, "goes with trace"), ({"trace": "a.csv", "prompt": 8}, "a trace says itself"),
    ({"rate": 1.0, "systems": "some"}, "expected \"auto\""), ({"rate": 1.0, "systems": "auto"}, "which wants slo_ttft"),
    ({"rate": 1.0, "slo_share": 1.5}, "at most 1"), ({"rate": 1.0, "seed": -1}, "seed is -1"),
    ({"rate": 1.0, "think": 2.0}, "goes with neither"), ({"trace": "missing.csv"}, "cannot read the trace"),
])
def test_what_no_load_would_take_is_refused(inputs, why):
    with pytest.raises(InputError, match=why):
        for point in plan_of(Spec(inputs={"model": "qwen3-0.6b"} | inputs)).points:
            assert point.key
