"""A row that nobody can read never ends a validation: it is listed, without a prediction or with one, and the others too."""

import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import InputError, WsekernError
from wsekern.validation import cores, gpu, wafer
from wsekern.validation.gpu_rows import COLUMNS, Refused, understand

BAD = ("", "0", "-1", "nan", "inf", "9" * 400, "9" * 5000, "..", "1.2.3", "TP0", "TP0 EP0", "PP0", "TP1 PP7", "TP99999999999",
       "x", "ctx ~", "max", "offline", ".", "/", "a" * 300, "\0", "0b", "9" * 400 + "b", "1b-a9999999999b", "avg batch 31.5.",
       "avg batch ..", "task:x", "1 GPU", "8 GPUs", "1e3", "½", "²", "V100", "h100 pcie", "fp32", "int4", "mxfp4",
       "deepseek-r1", "speculative", "splitwise", "InferenceX run", "yes", "maybe", "microbench all", "one layer", "1000001",
       "0x0", "-4x4", "1x99999", "llm-layer", "llm-service", "core-vector-", "setup", "slowdown", "allreduce_latency",
       "gpu_power_total", "ttft")
"""Texts that some column may hold and most may not."""


def spoiled(rows):
    """A few rows of a table, each with one of its columns changed."""
    names = [name for name in rows[0] if name != "id"]
    changes = st.tuples(st.sampled_from(rows), st.sampled_from(names), st.sampled_from(BAD))
    return st.lists(changes.map(lambda change: {**change[0], change[1]: change[2]}), min_size=1, max_size=20)


@pytest.mark.parametrize("module", [wafer, cores, gpu])
def test_any_text_in_any_column_is_predicted_or_refused_in_words(module):
    shipped = gpu.measurements() if module is gpu else module.shipped_rows()

    @settings(max_examples=60, deadline=None)
    @given(spoiled(shipped))
    def check(rows):
        results = module.predict_rows(rows)
        assert [result.id for result in results] == [row["id"] for row in rows]
        assert all(result.note for result in results if result.predicted is None)

    check()


@pytest.mark.parametrize("metric", ["ttft", "tpot_mean"])
def test_two_rows_of_one_id_of_which_one_has_no_number_are_both_listed(metric):
    good = {**next(entry for entry in gpu.measurements() if entry["metric"] == metric), "not_comparable": ""}
    first, second = gpu.predict_rows([good, {**good, "value": ""}])
    assert first.id == second.id and second.predicted is None and "not a number" in second.note


def test_what_is_refused_is_an_error_of_the_package():
    assert issubclass(Refused, WsekernError)


@pytest.fixture
def table(tmp_path):
    def write(rows):
        with (tmp_path / "own.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return tmp_path / "own.csv"

    return write


def row(**changes):
    return {"id": "x", "gpu": "H100", "n_gpus": "1", "model": "Llama-3.1-8B", "metric": "tpot_mean", "value": "7.5",
            "unit": "ms", **changes}


def test_a_table_of_the_least_columns_is_read(table):
    rows = [row(id=metric, metric=metric) for metric in gpu.PREDICTED] + [row(id="a", metric="allreduce_latency", n_gpus="two")]
    found = gpu.validate_rows(table(rows))["rows"]
    assert set(row()) == set(COLUMNS) and len(found) == len(rows)
    assert all(entry["predicted"] is None and entry["note"] for entry in found if "latency" in entry["id"])


def test_rows_that_end_early_have_empty_values(tmp_path):
    (tmp_path / "own.csv").write_text("id,gpu,n_gpus,model,metric,value,unit\nx\ny,H100,1,Llama-3.1-8B,tpot_mean,7,ms,more\n")
    (first, second) = gpu.validate_rows(tmp_path / "own.csv")["rows"]
    assert first["note"] == "value '' is not a number" and second["measured"] == 7


def test_a_truncated_archive_is_refused_in_one_sentence(tmp_path):
    from importlib.resources import files

    whole = (files("wsekern.validation") / "data" / "gpu-measurements.csv.gz").read_bytes()
    for name, content in (("short.csv.gz", whole[:5000]), ("not.csv.gz", b"id,gpu")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="cannot read"):
            gpu.validate_rows(tmp_path / name)


@pytest.mark.parametrize(("changes", "words"), [
    ({"parallelism": "TP0"}, "a degree is at least 1"), ({"parallelism": "DEP0"}, "a degree is at least 1"),
    ({"n_gpus": "0"}, "n_gpus is '0'"), ({"n_gpus": "9" * 30}, "n_gpus"), ({"isl": "9" * 30}, "at most"),
    ({"batch_or_concurrency": "9" * 30}, "at most"), ({"model": "m-" + "9" * 30 + "b"}, "not bundled"),
    ({"model": "a" * 300}, "not bundled"), ({"engine": "abacus"}, "abacus")])
def test_numbers_beyond_reason_are_refused(changes, words):
    with pytest.raises(WsekernError, match=words):
        understand(row(isl="128", osl="128", batch_or_concurrency="1") | changes)


def test_a_value_of_nothing_speaks_against_no_other_row():
    run = row(model="DeepSeek-R1", n_gpus="8", parallelism="TP8", precision="fp8", gpu="H200", isl="1024", osl="1024",
              batch_or_concurrency="4", notes="sglang")
    rows = [{**run, "id": name, "value": value} for name, value in (("a", "0"), ("b", "14"), ("c", "-3"))]
    found = {result.id: result for result in gpu.predict_rows(rows)}
    assert found["b"].predicted and not found["b"].note


@pytest.mark.parametrize("fault", [ZeroDivisionError("division by zero"), KeyError("rows"), OverflowError("too large")])
def test_a_fault_of_the_program_at_one_row_is_that_rows_note(table, monkeypatch, fault):
    """The other rows are predicted, and the note names the fault, so that it is seen."""
    def decode_step(deployment, *rest):
        if deployment.model.name == "mixtral-8x7b":
            raise fault
        return usual(deployment, *rest)

    usual = gpu.decode_step
    monkeypatch.setattr(gpu, "decode_step", decode_step)
    rows = [row(id="good", batch_or_concurrency="1"), row(id="bad", batch_or_concurrency="1", model="Mixtral-8x7B", n_gpus="4"),
            row(id="last", batch_or_concurrency="1", value="8")]
    found = {entry["id"]: entry for entry in gpu.validate_rows(table(rows))["rows"]}
    assert found["bad"]["predicted"] is None
    assert found["bad"]["note"].startswith(f"could not be predicted: {type(fault).__name__}")
    assert found["good"]["predicted"] and found["last"]["predicted"]


def test_a_result_that_is_no_number_is_not_a_prediction(monkeypatch):
    monkeypatch.setattr(gpu, "predict_row", lambda row: ("decode", float("nan")))
    (found,) = gpu.predict_rows([row()])
    assert found.predicted is None and "nan" in found.note


def test_copies_of_a_dense_model_are_predicted(table):
    """Two copies of Llama-3.1-8B ended every validation in a division by zero before copies had no experts to share."""
    rows = [row(n_gpus="2", parallelism="TP1 DP2", batch_or_concurrency="8", isl="512", osl="128")]
    assert gpu.validate_rows(table(rows))["rows"][0]["predicted"] > 0.0


@pytest.mark.parametrize("module", [wafer, cores])
def test_a_fault_at_one_row_of_the_wafer_never_ends_a_validation_either(module, monkeypatch):
    rows = module.shipped_rows()[:3]
    usual = module._predict

    def predict(one):
        if one["id"] == rows[1]["id"]:
            raise ZeroDivisionError("division by zero")
        return usual(one)

    monkeypatch.setattr(module, "_predict", predict)
    first, bad, last = module.predict_rows(rows)
    assert bad.predicted is None and bad.note == "could not be predicted: ZeroDivisionError: division by zero"
    assert first.predicted == module.predict_rows([rows[0]])[0].predicted and last.id == rows[2]["id"]
