"""Sweeps, datacentres and choices of clusters on the command line."""

import json
import re
from importlib.resources import files

import pytest


def test_a_sweep_says_who_wins_from_where_on(wsekern, tmp_path):
    plot = tmp_path / "sweep.png"
    code, out, _ = wsekern("compare", "llama3-8b", "--batches", "1,64", "--prompts", "512,4096", "--plot", str(plot))
    assert code == 0 and out.count("WSE-3") >= 4 and "per dollar" in out and "per watt" in out and "Assumed" in out
    assert plot.stat().st_size > 10_000


def test_equal_power_gives_the_smaller_side_more_systems(wsekern):
    code, out, _ = wsekern("compare", "llama3-8b", "--equal", "power", "--cluster", "h100x1", "--batch", "32", "--json", "-")
    data = json.loads(out)
    (cell,) = data["cells"]
    assert code == 0 and data["mode"] == "equal-power" and cell["batch"] == 32 and cell["cluster_copies"] > 10
    assert 0.7 < cell["cluster"]["watts"] / cell["wafer"]["watts"] < 1.5
    assert {one["measure"] for one in data["crossovers"]} == {"usd_per_million_tokens", "joules_per_token"}


def test_equal_power_says_at_which_batch_the_sides_are_equal(wsekern):
    arguments = ("compare", "llama3-8b", "--equal", "power", "--batches", "1,4")
    said = "copies equalise the watts: the wafers' at the full batch, the GPUs' at batch 1"
    _, out, _ = wsekern(*arguments, "--json", "-")
    assert all(said in cell["notes"] for cell in json.loads(out)["cells"])
    _, out, _ = wsekern(*arguments)
    assert out.count(f"- {said}") == 1


def test_a_datacentre_is_filled_on_both_sides(wsekern):
    code, out, _ = wsekern("compare", "llama3-8b", "--power", "750MW", "--min-speed", "100", "--json", "-")
    data = json.loads(out)
    assert code == 0
    for site in (data["wafers"], data["gpus"]):
        assert 0.7 * 570e6 < site["systems"] * site["system_watts"] <= 570.1e6  # 750 MW / 1.25 less 5 %
        assert site["tokens_per_second_per_user"] >= 100 and site["users"] == site["systems"] * site["users_per_system"]
        assert any("PUE" in line for line in site["assumptions"])
    code, out, _ = wsekern("compare", "llama3-8b", "--power", "1 MW", "--min-speed", "700")
    assert code == 0 and "h100x8 cannot" in out and "Assumed" in out


def test_auto_takes_the_cluster_that_answers_soonest(wsekern):
    speeds = {}
    for cluster in ("auto", "h100x8", "b200x8"):
        _, out, _ = wsekern("compare", "llama3-8b", "--cluster", cluster, "--json", "-")
        speeds[cluster] = json.loads(out)["cluster"]["tokens_per_second_per_user"]
    assert speeds["auto"] >= max(speeds.values())


def test_several_machines_are_named_in_lists_and_files(wsekern, tmp_path):
    own = tmp_path / "mine, all.toml"
    text = next(files("wsekern.cluster").glob("data/*/h100.toml")).read_text()
    own.write_text(re.sub(r'^name = ".*"$', 'name = "mine"', text, flags=re.MULTILINE))
    arguments = ("compare", "llama3-8b", "--cluster", f"{own}x8", "--cluster", "b200x8,h200x8")
    code, out, _ = wsekern(*arguments, "--json", "-", "--plot", str(tmp_path / "p.png"))
    data = json.loads(out)
    assert code == 0 and [one["name"] for one in data["clusters"]] == ["minex8", "b200x8", "h200x8"]
    assert set(data["front"]) == {"usd_per_million_tokens", "joules_per_token"} and "cluster" not in data
    code, out, _ = wsekern(*arguments)
    assert code == 0 and "on the Pareto front of" in " ".join(out.split()) and "whole requests, soonest first" in out
    code, _, err = wsekern(*arguments, "--json", str(own))
    assert code == 2 and "--cluster reads" in err


def test_predict_cluster_keeps_the_bounds_and_draws_the_fronts(wsekern, tmp_path):
    plot = tmp_path / "fronts.svg"
    arguments = ("predict", "cluster", "llama3-70b", "--cluster", "h100x8", "--cluster", "b200x8", "--objective", "throughput",
                 "--max-tpot", "20")
    code, out, _ = wsekern(*arguments, "--json", "-", "--plot", str(plot))
    data = json.loads(out)
    assert code == 0 and data["best"]["time_per_output_token_seconds"] <= 0.02 and data["best"]["batch"] > 1
    assert {point["cluster"] for point in data["pareto"]} == {"h100x8", "b200x8"} and plot.stat().st_size > 1000
    code, out, _ = wsekern(*arguments)
    assert code == 0 and "Pareto front" in out


@pytest.mark.parametrize(("arguments", "words"), [
    (["compare", "--batches", "1,2"], ["MODEL"]),
    (["compare", "llama3-8b", "--batches", "1,zwei"], ["batches", "1,zwei"]),
    (["compare", "llama3-8b", "--prompts", "0"], ["prompts"]),
    (["compare", "llama3-8b", "--prompts", "8,9", "--prompt", "7"], ["--prompt ", "--prompts"]),
    (["compare", "llama3-8b", "--batches", "8,9", "--batch", "7"], ["--batch ", "--batches"]),
    (["compare", "llama3-8b", "--power", "1e400MW"], ["1e400MW", "750MW"]),
    (["compare", "llama3-8b", "--power", "lots"], ["lots", "750MW"]),
    (["compare", "llama3-8b", "--power", "1MW", "--equal", "cost"], ["--power"]),
    (["compare", "llama3-8b", "--min-speed", "5"], ["--power"]),
    (["compare", "llama3-8b", "--engine-level", "magic"], ["magic"]),
    (["compare", "llama3-8b", "--cluster", "h100x8,,b200x8"], ["h100x8,,b200x8", "missing"]),
    (["compare", "llama3-8b", "--cluster", "h100x8", "--cluster", "b200x8,h100x8"], ["h100x8 is named twice"]),
    (["compare", "llama3-8b", "--cluster", "h100x8,abacusx8"], ["abacus"]),
    (["predict", "cluster", "llama3-70b", "--max-tpot", "0.001"], ["relax a bound"]),
    (["predict", "cluster", "llama3-70b", "--max-gpus", "-2"], ["gpus"]),
    (["predict", "cluster", "llama3-70b", "--cluster", "abacusx8"], ["abacus"]),
])
def test_bad_input_is_one_sentence(wsekern, arguments, words):
    code, out, err = wsekern(*arguments)
    assert code == 2 and out == "" and err.startswith("wsekern: ") and err.count("\n") == 1
    assert all(word in err for word in words)


def test_errors_per_gpu_and_family(wsekern):
    code, out, _ = wsekern("validate", "--only", "gpu", "--families")
    assert code == 0 and "qwen MoE" in out and "h200" in out
    code, _, errors = wsekern("validate", "--only", "wafer", "--families")
    assert code == 2 and "--only gpu" in errors


def test_users_of_a_sweep_and_of_a_datacentre_are_those_asked_for(wsekern):
    _, out, _ = wsekern("compare", "llama3-8b", "--batch", "3", "--prompts", "128,256", "--json", "-")
    assert [(cell["prompt"], cell["batch"]) for cell in json.loads(out)["cells"]] == [(128, 3), (256, 3)]
    _, out, _ = wsekern("compare", "llama3-8b", "--batch", "3", "--power", "1MW", "--json", "-")
    assert json.loads(out)["wafers"]["users_per_system"] == json.loads(out)["gpus"]["users_per_system"] == 3


def test_every_cell_and_site_keeps_the_law_with_the_users_and_the_think_time_it_states(wsekern):
    arguments = ("compare", "llama3-8b", "--think", "2", "--output", "64")
    _, out, _ = wsekern(*arguments, "--batches", "1,16", "--equal", "power", "--json", "-")
    sides = [cell[name] for cell in json.loads(out)["cells"] for name in ("wafer", "cluster", "ideal")]
    _, out, _ = wsekern(*arguments, "--power", "1MW", "--json", "-")
    sides += [json.loads(out)[name] for name in ("wafers", "gpus", "gpus_ideal")]
    for side in sides:
        seconds = side["time_to_first_token_seconds"] + 63 * side["time_per_output_token_seconds"] + side["think_seconds"]
        assert side["think_seconds"] == 2.0
        assert side["requests_per_second"] == pytest.approx(side["users"] / seconds)
