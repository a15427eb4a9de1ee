"""Published speeds of a service on wafers beside placements: what is compared, and why a row is not."""

import pytest

from wsekern.machine import load_machine
from wsekern.planning.placement import place_model
from wsekern.validation.wafer import shipped_rows, validate_rows
from wsekern.workload import Request, load_config

HEADER = "id,machine,profile,op,dtype,model,context,wafers,metric,value,unit,note,program_set"
SERVICE = "a,wse3,silicon,llm-service,fp16,llama3.1-8b,{context},{wafers},{metric},100,{unit},{note},{program_set}"


@pytest.fixture
def predict(tmp_path):
    """One row of a table of one's own."""
    def row_of(context="", wafers="", metric="tokens_per_second_per_user", unit="", note="", program_set="",
               **changes: str) -> dict:
        line = SERVICE.format(context=context, wafers=wafers, metric=metric, unit=unit, note=note, program_set=program_set)
        for old, new in changes.items():
            line = line.replace({"model": "llama3.1-8b", "machine": "wse3"}[old], new)
        path = tmp_path / "services.csv"
        path.write_text(f"{HEADER}\n{line}\n")
        (row,) = validate_rows(path)["rows"]
        return row

    return row_of


def test_the_two_public_speeds_without_speculation_are_rows_on_which_nothing_was_set():
    rows = {row["id"]: row for row in validate_rows()["rows"]}
    for name, value in (("W0581", 1800), ("W0582", 450)):
        row = rows[name]
        assert row["measured"] == value and row["source"].startswith("Cerebras blog, 2024-08-27") and not row["fitted"]
        assert row["group"] == "llm-service decode wse3 silicon"
        assert row["predicted"] is not None or "does not fit 4 wafers" in row["note"]
    placement = place_model(load_config("llama3.1-8b"), Request(1024, 256), load_machine("wse3"), 1, programs="2024-08")
    assert rows["W0581"]["predicted"] == pytest.approx(1 / placement.token_seconds())


def test_a_speed_with_speculation_is_shown_and_not_compared():
    services = [row for row in shipped_rows() if row["op"] == "llm-service"]
    rows = {row["id"]: row for row in validate_rows()["rows"]}
    speculative = [row for row in services if "speculat" in row["note"] and "no speculation" not in row["note"]]
    assert len(speculative) >= 10
    for row in speculative:
        assert rows[row["id"]]["predicted"] is None and "speculative decoding" in rows[row["id"]]["note"]
    assert not any(row["fitted"] for row in services)


@pytest.mark.parametrize(("metric", "unit", "scale"), [("time_to_first_token", "s", 1), ("time_to_first_token", "ms", 1e3),
                                                       ("request_time", "ms", 1e3), ("tokens_per_second_per_user", "", 1)])
def test_rows_of_ones_own_are_predicted_in_their_unit(predict, metric, unit, scale):
    row = predict(context="4000+100", wafers="2", metric=metric, unit=unit)
    placement = place_model(load_config("llama3.1-8b"), Request(4000, 100), load_machine("wse3"), 2)
    seconds = {"time_to_first_token": placement.first_token_seconds(), "request_time": placement.request_seconds(),
               "tokens_per_second_per_user": 1 / placement.token_seconds()}
    assert row["predicted"] == pytest.approx(scale * seconds[metric]) and not row["note"]


def test_what_a_row_does_not_state_is_said():
    row = next(row for row in validate_rows()["rows"] if row["id"] == "W0587")
    assert "1,024 tokens in, 256 out" in row["note"] and "number of systems is not stated" in row["note"]
    assert "measured from outside" in row["note"]


def test_programs_of_the_time_are_slower_than_those_of_today_and_are_named(predict):
    then, today = predict(wafers="1", program_set="2024-08"), predict(wafers="1")
    assert then["predicted"] < 0.9 * today["predicted"]
    assert "with the programs of 2024-08" in then["note"] and "programs" not in today["note"]


def test_half_stated_lengths_are_completed(predict):
    assert "4,000 tokens in, 256 out" in predict(context="4000", wafers="1")["note"]


@pytest.mark.parametrize(("changes", "words"), [
    ({"wafers": "many"}, "wafers is 'many'"), ({"wafers": "0"}, "wafers is '0'"), ({"context": "long"}, "context is 'long'"),
    ({"metric": "joy"}, "metric 'joy'"), ({"unit": "ms"}, "unit is 'ms'"),
    ({"metric": "request_time", "unit": "h"}, "unit is 'h'"),
    ({"context": "0+4"}, "prompt is 0"), ({"model": "nobody-8b"}, "nobody-8b"), ({"machine": "wse9"}, "wse9"),
    ({"model": "llama3.1-70b", "wafers": "2"}, "does not fit 2 wafers"), ({"model": "deepseek-v4-pro"}, "cannot be mapped"),
    ({"note": "with speculation"}, "speculative decoding"), ({"program_set": "1999"}, "no program set '1999'"),
])
def test_a_row_without_a_prediction_says_why(predict, changes, words):
    row = predict(**changes)
    assert row["predicted"] is None and words in row["note"]


@pytest.mark.parametrize("note", ["no speculation", "without speculative decoding", ""])
def test_a_row_that_denies_speculation_is_compared(predict, note):
    assert predict(wafers="1", note=note)["predicted"] > 0
