"""``wsekern plan``, and plan files in the commands that take them."""

import json

import pytest

PLAN = ("plan", "sample", "--context", "256", "--users", "1:2", "--mix", "100/50", "--wafers", "1", "--precision", "fp32")


@pytest.fixture(scope="module")
def plan_file(tmp_path_factory):
    """A plan of the sample, and what the command said."""
    import io
    import sys
    from contextlib import redirect_stdout
    from unittest.mock import patch

    from wsekern.cli import main

    folder, out = tmp_path_factory.mktemp("plan"), io.StringIO()
    files = ("--out", str(folder / "plan.toml"), "--picture", str(folder / "floor.svg"), "--plot", str(folder / "curves.png"))
    with patch.object(sys, "argv", ["wsekern", *PLAN, *files]), redirect_stdout(out), pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    return folder / "plan.toml", out.getvalue()


def test_plan_prints_the_front_and_writes_file_and_pictures(plan_file):
    path, text = plan_file
    assert "contexts to 256, 1 to 2 users, 100/50" in text and "of a token" in text and "wafer free" in text
    assert 'model = "sample"' in path.read_text()
    assert (path.parent / "floor.svg").read_text().startswith("<?xml")
    assert (path.parent / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_compare_and_predict_take_a_plan_file(wsekern, plan_file):
    path = str(plan_file[0])
    code, out, _ = wsekern("compare", "--plan", path, "--cluster", "h100x1", "--prompt", "100", "--output", "50", "--json", "-")
    side = json.loads(out)["wafer"]
    assert code == 0 and side["facts"]["wafers"] == 1
    code, out, _ = wsekern("predict", "wafer", "--plan", path, "--phase", "decode", "--context", "125", "--json", "-")
    found = json.loads(out)
    assert code == 0 and found["tokens_per_second"] == pytest.approx(side["tokens_per_second_per_user"], rel=0.01)
    assert 0 < found["share_of_bound"] < 1 and found["binds"]


def test_run_executes_a_plan_on_the_grid_of_a_region(wsekern, plan_file):
    path = plan_file[0]
    code, out, _ = wsekern("run", "--plan", str(path), "--prompt", "Once", "--tokens", "2", "--json", "-")
    found = json.loads(out)
    assert code == 0 and found["precision"] == "fp32" and found["same_tokens_as_reference"]
    region = path.read_text().split("[[regions]]")[1]
    assert all(f"{name} = {size}" in region for name, size in zip(("width", "height"), found["grid"].split("x"), strict=True))


@pytest.mark.parametrize(("arguments", "words"), [
    (("compare", "--wafers", "2"), "--wafers goes without --plan"),
    (("compare", "llama3-8b"), "places 'sample': leave MODEL out"),
    (("predict", "wafer", "--phase", "decode", "--context", "9", "--grid", "8x8"), "--grid goes without --plan"),
    (("predict", "wafer", "--phase", "decode", "--context", "999999999"), "does not fit where"),
    (("run", "--prompt", "x", "--activations", "scalar"), "--activations goes without --plan"),
])
def test_what_a_plan_says_is_not_said_twice(wsekern, plan_file, arguments, words):
    code, out, err = wsekern(*arguments, "--plan", str(plan_file[0]))
    assert code == 2 and not out and words in err and err.count("\n") == 1


@pytest.mark.parametrize(("arguments", "words"), [
    (("--users", "2:1"), "users is '2:1'"), (("--users", "x"), "users is 'x'"), (("--wafers", "0"), "wafers is '0'"),
    (("--wafers", "1:99"), "at most 64 are tried"), (("--mix", "9"), "mix is '9'"),
    (("--mix", "300/9"), "more than the context"),
    (("--weight-precision", "joy"), "weight_precision is 'joy'"), (("--program-set", "1999"), "1999"),
    (("--pick", "99"), "pick is 99, but the front has at most"),
    (("--precision", "fp16", "--weight-precision", "experts=mxfp4"), "has no matrices of experts that can lie packed"),
    (("--out", "/nowhere/plan.toml"), "cannot write"), (("--picture", "floor.gif"), "floor.gif"),
])
def test_other_services_are_refused_in_one_sentence(wsekern, arguments, words):
    kept = [word for name, value in zip(PLAN[2::2], PLAN[3::2], strict=True) if name not in arguments for word in (name, value)]
    code, out, err = wsekern(*PLAN[:2], *kept, *arguments)
    assert code == 2 and not out and words in err and err.count("\n") == 1


def test_commands_without_a_model_and_without_a_plan_say_so(wsekern):
    for arguments in (("run", "--prompt", "x"), ("predict", "wafer", "--phase", "decode", "--context", "9", "--grid", "8x8")):
        code, _, err = wsekern(*arguments)
        assert code == 2 and "or a plan file with --plan" in err
    assert "--plan is empty, expected a plan file" in wsekern("compare", "--plan", "")[2]


@pytest.mark.parametrize("command", [("compare", "llama3-8b", "--cluster", "h100x1"),
                                     ("predict", "wafer", "llama3-8b", "--phase", "decode", "--grid", "400x400", "--context",
                                      "100", "--mapping", "ours")])
def test_programs_of_2024_are_slower(wsekern, command):
    speeds = []
    for name in ("default", "2024-08"):
        found = json.loads(wsekern(*command, "--program-set", name, "--json", "-")[1])
        speeds.append(found["wafer"]["tokens_per_second_per_user"] if "wafer" in found else found["tokens_per_second"])
    assert speeds[1] < speeds[0]
