"""Specifications: which points they give, and which they refuse."""

from itertools import pairwise

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.sweep.axes import Range
from wsekern.sweep.batches import batches
from wsekern.sweep.design import draw
from wsekern.sweep.spec import Sample, Spec, load_plan, plan_of

MODEL = {"model": "llama3-8b"}


def test_points_are_all_combinations_and_each_is_there_once():
    plan = plan_of(Spec(inputs=MODEL | {"prompt": 128}, points=[{"batch": 1}, {"batch": 8, "prompt": 512}],
                        grid={"engine_level": ["stock", "tuned"], "machine.fabric.hop_latency": Range(1, 3, 3)},
                        sample=Sample(axes={"gpu.price.per_hour": [1.0, 2.0]}, count=9, method="random")))
    assert len(plan.points) == 2 * 2 * 3 * 2 and len({point.key for point in plan.points}) == len(plan.points)
    assert plan.swept["machine.fabric.hop_latency"] == [1, 2, 3] and plan.swept["prompt"] == [128, 512]
    assert plan.numbers == ["prompt", "batch", "machine.fabric.hop_latency", "gpu.price.per_hour"]
    latencies = {float(point.case.pairing.machine.fabric.hop_latency) for point in plan.points}
    assert latencies == {1.0, 2.0, 3.0} and plan.points[-1].case.request.prompt == 512


def test_a_range_gives_whole_numbers_if_it_is_written_in_them():
    plan = plan_of(Spec(inputs=MODEL, grid={"batch": Range(1, 64, 7, "log"), "think": Range(0.0, 1.0, 3)}))
    assert plan.swept == {"batch": [1, 2, 4, 8, 16, 32, 64], "think": [0.0, 0.5, 1.0]}


def test_keys_say_what_is_asked_and_of_which_machines():
    first, other = (plan_of(Spec(inputs=MODEL | more)).points[0] for more in ({"batch": 2}, {"batch": 2, "wafer": "wse2"}))
    again = plan_of(Spec(inputs={"batch": 2} | MODEL)).points[0]
    assert first.key == again.key != other.key and first.case.hashes["machine"] != other.case.hashes["machine"]


@pytest.mark.parametrize("method", ["random", "latin-hypercube", "sobol", "morris"])
def test_samples_are_the_same_for_the_same_seed(method):
    axes = {"batch": Range(1, 1000), "think": Range(0.1, 10.0, scale="log"), "engine_level": ["stock", "tuned", "ideal"]}
    one, same, other = (draw(method, axes, 16, seed) for seed in (1, 1, 2))
    assert one.rows == same.rows != other.rows
    count = {"sobol": 16 * 5, "morris": 16 * 4}.get(method, 16)
    assert one.shares.shape == (count, 3) and {row["engine_level"] for row in one.rows} == {"stock", "tuned", "ideal"}
    assert all(1 <= row["batch"] <= 1000 and 0.1 <= row["think"] <= 10.0 for row in one.rows)


def test_a_latin_hypercube_has_one_value_in_each_part_of_an_axis():
    shares = draw("latin-hypercube", {"a": Range(0.0, 1.0), "b": Range(0.0, 1.0)}, 50, 0).shares
    assert (np.sort((shares * 50).astype(int), axis=0) == np.arange(50)[:, None]).all()


@pytest.mark.parametrize(("spec", "said"), [
    ({}, "which model"), ({"inputs": MODEL | {"size": 3}}, "unknown input 'size'"),
    ({"inputs": MODEL | {"machine.fabric.speed": 3}}, "place of no number: expected one of width"),
    ({"inputs": MODEL | {"machine.fabric": 3}}, "place of no number"),
    ({"inputs": MODEL | {"machine.fabric.hop_latency": 1.5}}, "expected a whole number"),
    ({"inputs": MODEL | {"machine.fabric.user_width": 9000}}, "user_width is larger"),
    ({"inputs": MODEL | {"machine.clock": "fast"}}, "expected a number of Hz"),
    ({"inputs": MODEL | {"batch": 0}}, "batch is 0"), ({"inputs": MODEL | {"batch": "many"}}, "batch is 'many'"),
    ({"inputs": MODEL | {"wafers": "some"}}, "wafers is 'some'"), ({"inputs": {"model": 3}}, "in quotes"),
    ({"inputs": MODEL | {"cluster": "auto"}}, "name the machines"), ({"inputs": MODEL | {"slo_ttft": 0.0}}, "above 0"),
    ({"inputs": MODEL | {"speculate": 3}}, "go together"), ({"inputs": MODEL, "grid": {"batch": []}}, "is empty"),
    ({"inputs": MODEL | {"batch": 1}, "grid": {"batch": [2]}}, "said in two places"),
    ({"inputs": MODEL, "grid": {"batch": Range(1, 9)}}, "count"),
    ({"inputs": MODEL, "grid": {"batch": Range(9, 1, 3)}}, "larger"),
    ({"inputs": MODEL, "grid": {"think": Range(0.0, 1.0, 3, "log")}}, "log scale"),
    ({"inputs": MODEL, "grid": {"batch": Range(1, 2000, 2000), "prompt": Range(1, 2000, 2000)}}, "points"),
    ({"inputs": MODEL, "grid": {"batch": Range(1, 9, 10**12)}}, "from 2 to 1,000,000"),
    ({"inputs": MODEL, "sample": Sample(axes={"batch": Range(1, 9)}, count=2**19, method="sobol")}, "1,572,864 points"),
    ({"inputs": MODEL, "sample": Sample(axes={"batch": Range(1, 9)}, count=4, method="halton")}, "sample.method"),
    ({"inputs": MODEL, "sample": Sample(axes={"batch": Range(1, 9)}, count=0)}, "sample wants"),
    ({"inputs": MODEL, "sample": Sample(axes={"batch": Range(1, 9, 3)}, count=4)}, "count of its own"),
    ({"inputs": MODEL, "sample": Sample(axes={"batch": Range(1, 9)}, count=3, method="sobol")}, "power of 2"),
])
def test_what_no_comparison_would_take_is_refused(spec, said):
    with pytest.raises(InputError, match=said):
        plan_of(Spec(**spec))


def test_a_file_is_refused_with_its_place(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text('[inputs]\nmodel = "llama3-8b"\n[grid]\nbatch = { from = 1, to = 2, step = 1 }\n')
    with pytest.raises(InputError, match=r"sweep\.toml: grid.*unknown key 'step'"):
        load_plan(path)


def test_batches_hold_all_points_those_of_a_kind_together():
    plan = plan_of(Spec(grid={"model": ["llama3-8b", "qwen3-4b"], "machine.clock": [1e9, 2e9], "batch": [1, 2, 4],
                              "gpu.price.per_hour": [1.0, 2.0]}))
    found = batches(plan.points, 1)
    assert sorted(point.key for batch in found for point in batch) == sorted(point.key for point in plan.points)
    for batch in found:
        assert len({point.inputs["model"] for point in batch}) == 1
    order = [(point.inputs["model"], point.inputs["batch"]) for batch in found for point in batch]
    assert sum(one != other for one, other in pairwise(order)) == 5, "prices and clocks last"
