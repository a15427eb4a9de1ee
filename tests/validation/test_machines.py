"""Measured rows of other machines: what is read, what is refused, and the bars of the errors."""

import csv
import json

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.cli import cli
from wsekern.errors import InputError
from wsekern.validation import machines
from wsekern.validation.gpu_rows import Refused
from wsekern.validation.machine_rows import COLUMNS, layout_of, level_of, machine_of, understand
from wsekern.workload import load_config

ROW = {"id": "line 2", "accelerator": "MI300X", "count": "8", "model": "Llama-3.1-70B", "engine": "vLLM tp8",
       "precision": "fp8", "batch_or_concurrency": "16", "input_len": "1024", "output_len": "128", "metric": "tpot_mean",
       "value": "0.02", "unit": "s", "date": "2026-05-01", "source": "a test"}


@pytest.fixture(scope="module")
def result():
    return machines.validate_rows()


def test_models_are_fitted_or_judged_as_wholes(result):
    rows = machines.measurements()
    sides = {}
    for row, shown in zip(rows, result["rows"], strict=True):
        if shown["predicted"] is not None:
            sides.setdefault(row["model"], set()).add(shown["fitted"])
    assert all(len(side) == 1 for side in sides.values())
    assert {True} in sides.values() and {False} in sides.values()


def test_every_row_without_a_prediction_says_why_in_one_sentence(result):
    for row in result["rows"]:
        assert row["predicted"] is not None or (row["note"] and "\n" not in row["note"])
        assert "could not be predicted" not in row["note"]


@pytest.mark.parametrize(("group", "bar"), [
    ("AMD decode", 0.12), ("AMD throughput", 0.20), ("AMD first token under load", 0.25)])
def test_bars(result, group, bar):
    found = next(each for each in result["groups"] if each["group"] == group)
    assert found["tested"] and found["median_error"] <= bar, found


@pytest.mark.parametrize(("label", "name"), [
    ("MI355X", "mi355x"), ("DGX Spark (GB10)", "dgx-spark"), ("Jetson AGX Thor T5000", "jetson-thor"),
    ("Jetson AGX Orin 64GB", "jetson-orin"), ("Rubin NVL72", "rubin"), ("MI325X", "mi325x"), ("Gaudi3", "gaudi3"),
    ("NVIDIA B200", "b200"), ("Groq 3 LPU (LP30; NVIDIA LPX rack)", "groq-lp30"),
])
def test_labels_of_machines(label, name):
    assert machine_of(label).name == name


def test_an_unknown_machine_or_engine_is_refused_in_a_sentence():
    for change, words in (({"accelerator": "Abacus 9"}, "machine 'Abacus 9' is not described"),
                          ({"engine": "FooServe 3"}, "engine 'FooServe 3' is unknown"),
                          ({"engine": "sglang tp8 mtp"}, "speculative"), ({"model": "Mystery"}, "not bundled"),
                          ({"count": "-1"}, "count is '-1'"), ({"metric": "joy"}, "metric 'joy'"),
                          ({"input_len": "1e99"}, "input_len"), ({"engine": "vLLM tp0"}, "at least 1"),
                          ({"value": "many"}, "not a number")):
        found = machines.predict_rows([{**ROW, **change}])[0]
        assert found.predicted is None and words in found.note


def test_only_rows_that_the_package_ships_were_fitted():
    """Other runs of a model that set constants are tests of them."""
    known = next(row for row in machines.measurements() if machines.is_fitted(row))
    assert not machines.is_fitted({**known, "accelerator": "MI325X"}) and machines.may_fit(known)


def test_degrees_count_devices():
    llama = load_config("llama3.1-70b")
    assert layout_of("SGLang-JAX tp8", 4, 2, llama).tp == 4
    assert layout_of("vLLM Neuron tp8 logical cores", 2, 4, llama).tp == 2
    assert layout_of("vLLM TorchTPU tp1 dp8", 4, 2, llama).dp == 4
    with pytest.raises(Refused, match="do not multiply"):
        layout_of("vLLM tp8", 3, 1, llama)


def test_the_date_says_which_engine_ran():
    assert level_of("sglang tp8", "2025-11-02", "cdna4") == "sglang-2025"
    assert level_of("sglang tp8", "2026-02-02", "cdna4") == "sglang-overlapped"
    assert level_of("vLLM offline", "2024-10", "cdna3") == "stock-2024-eager"
    assert level_of("atom tp8", "2026-02-02", "cdna4") == "atom"


def test_own_rows_of_the_same_columns_are_read(tmp_path):
    own = tmp_path / "own.csv"
    with own.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows([ROW, {**ROW, "accelerator": "nothing known"}])
    done = CliRunner().invoke(cli, ["validate", "--data", str(own), "--json", "-"])
    assert done.exit_code == 0, done.output
    first, second = json.loads(done.output)["rows"]
    assert first["predicted"] > 0.0 and second["predicted"] is None and "not described" in second["note"]
    own.write_text("accelerator,count\nMI300X,8\n")
    with pytest.raises(InputError):
        machines.measurements(own)


WORDS = st.one_of(st.sampled_from([
    "", "0", "-1", "1e9", "nan", "∞", "tp8 ep8 dp2", "x" * 300, "MI300X", "TPU7x (Ironwood)", "fp4", "w4", "vLLM tp64 pp9",
    "Qwen3.5-397B-A17B", "sglang tp1 ep8 dpattn", "9999999", "1.5"]), st.text(max_size=12))


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from(COLUMNS), WORDS, min_size=1, max_size=3))
def test_no_row_ends_a_validation(change):
    found = machines.predict_rows([{**ROW, **change}])[0]
    assert found.predicted is not None or found.note
    assert "could not be predicted" not in found.note


def test_a_recipe_has_shorter_requests_than_it_states():
    plain, recipe = (understand({**ROW, "source": source}) for source in ("a page", "InferenceX (SemiAnalysis) published runs"))
    assert (plain.prompt, recipe.prompt) == (1024, 922)
