"""The columns of the shipped measurements are what the rules give, and are what is read."""

import gzip
from importlib.resources import files
from pathlib import Path

import pytest

from tests.calibration.conftest import shipped_rows
from wsekern.calibration.columns import CORE_FITTED, GPU_COLUMNS, TABLES, WAFER_FITTED, main, read_table, write_table
from wsekern.validation import cores, gpu, wafer
from wsekern.validation.gpu_notes import OTHER_THINGS
from wsekern.validation.gpu_rows import understand
from wsekern.validation.gpu_settings import APART, CACHED_PROMPTS

SHIPPED = Path(str(files("wsekern.validation") / "data"))
COMMAND = "run python -m wsekern.calibration.columns"


def without(rows, *names):
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


@pytest.mark.parametrize("name", TABLES)
def test_the_columns_are_what_the_rules_give(name):
    rows = read_table(SHIPPED / name)
    bare = without(rows, *GPU_COLUMNS)
    assert set(rows[0]) - set(bare[0]) == (set(GPU_COLUMNS) if name.startswith("gpu") else {"fitted"})
    found = TABLES[name](bare)
    assert [row for row, shipped in zip(found, rows, strict=True) if row != shipped] == [], COMMAND
    assert TABLES[name](rows[:1000]) == TABLES[name](bare[:1000])  # whatever stood there


def test_the_command_writes_what_is_shipped(tmp_path):
    for name in TABLES:
        write_table(tmp_path / name, without(read_table(SHIPPED / name), *GPU_COLUMNS))
    assert main([str(tmp_path)]) == 0
    for name in TABLES:
        unpack = gzip.decompress if name.endswith(".gz") else bytes
        written = (tmp_path / name).read_bytes()
        assert unpack(written) == unpack((SHIPPED / name).read_bytes())
        if name.endswith(".gz"):
            assert written[4:8] == bytes(4)  # the time of writing is not in it


def test_every_named_row_is_shipped():
    for name, named in (("wafer-validation.csv", WAFER_FITTED), ("core-validation.csv", CORE_FITTED)):
        rows = read_table(SHIPPED / name)
        assert {row["id"] for row in rows if row["fitted"] == "yes"} == named & {row["id"] for row in rows}


@pytest.mark.parametrize("module", [wafer, cores, gpu])
def test_a_table_without_the_columns_is_judged_by_the_same_rules(module, judged):
    assert module.predict_rows(without(shipped_rows(module), *GPU_COLUMNS)) == judged(module)


def test_what_a_table_states_wins_over_its_words():
    (row,) = [row for row in gpu.measurements() if row["id"] == "osdi25-d01"]
    assert understand({**row, "engine": "ideal"}).engine == "ideal" != understand({**row, "engine": ""}).engine
    (stated,) = gpu.predict_rows([{**row, "not_comparable": "the room was hot"}])
    assert stated.predicted is None and stated.note == "the room was hot" and not stated.fitted
    worded = {**row, "notes": "speculative decoding"}
    assert gpu.predict_rows([worded])[0].predicted  # the column says that it is comparable
    assert "speculative" in gpu.predict_rows(without([worded], "not_comparable"))[0].note
    for text, fitted in (("yes", True), ("no", False), ("", False)):
        assert gpu.predict_rows([{**row, "fitted": text}])[0].fitted is fitted


@pytest.mark.parametrize("module", [wafer, cores, gpu])
def test_a_column_that_says_neither_yes_nor_no_is_named(module, judged):
    results = zip(shipped_rows(module), judged(module), strict=True)
    first = next(row for row, result in results if result.predicted is not None)
    (found,) = module.predict_rows([{**first, "fitted": "perhaps"}])
    assert found.predicted is None and "perhaps" in found.note and not found.fitted


def test_reasons_are_shown_as_the_column_states_them(judged):
    results = {result.id: result for result in judged(gpu)}
    stated = [row for row in gpu.measurements() if row["not_comparable"]]
    assert len(stated) > 200 and {row["not_comparable"] for row in stated} > OTHER_THINGS - {APART, CACHED_PROMPTS}
    for row in stated:
        assert results[row["id"]].predicted is None and results[row["id"]].note == row["not_comparable"]


def test_a_folder_without_the_tables_is_refused_before_anything_is_written(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path)])
    assert stop.value.code == 2 and "gpu-measurements.csv.gz" in capsys.readouterr().err and not list(tmp_path.iterdir())
