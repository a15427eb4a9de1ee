"""The fit of sparse attention and states finds the numbers that made the measurements, and prints those that are shipped."""

import csv
from importlib.resources import files

import pytest

from wsekern.calibration.engines import changed
from wsekern.calibration.mixers import FITS, errors, fit_mixers, main, rows_of
from wsekern.cluster.constants import constants
from wsekern.cluster.engine import engine_levels
from wsekern.validation.gpu_layers import METRICS, predict_layer
from wsekern.validation.gpu_rows import read_rows


@pytest.fixture(scope="module")
def rows():
    table = read_rows(files("wsekern.validation") / "data" / "gpu-measurements.csv.gz")
    return [row for row in table if row["metric"] in METRICS]


def test_two_thirds_of_the_rows_set_numbers_and_the_others_test_them(rows):
    for kind in FITS:
        chosen, others = rows_of(rows, kind)
        assert chosen and others and not {row["id"] for row in chosen} & {row["id"] for row in others}
    chosen, others = rows_of(rows, "sparse")
    assert len(chosen) == pytest.approx(2 * len(others), rel=0.15)
    assert not rows_of(rows, "latent")[0]  # no constant was fitted on these


def test_known_numbers_are_found(rows):
    chosen, _ = rows_of(rows, "state decode")
    with constants.replaced(changed(constants(), {"linear_fixed": 2e-5})):
        made = [{**row, "value": str(predict_layer(row)[1])} for row in chosen]
    (fit,) = fit_mixers(made, ("state decode",))
    assert fit.values == pytest.approx({"linear_fixed": 2e-5}, rel=0.02) and fit.fitted[0] < 0.01 < fit.shipped[0]


def test_the_shipped_numbers_are_those_that_the_rows_give(rows):
    for kind in ("state decode", "state prefill"):
        (fit,) = fit_mixers(rows, (kind,))
        assert fit.fitted == pytest.approx(fit.shipped, abs=0.01), kind
    chosen, others = rows_of(rows, "sparse")
    assert all(errors(part, {}).mean() < 0.25 for part in (chosen, others))


def test_numbers_of_levels_go_to_these_alone(rows):
    chosen, _ = rows_of(rows, "state prefill")
    moved = errors(chosen, {"state_passes sglang tuned": 40.0}) - errors(chosen, {})
    assert {row["source"].split("/")[1] for row, change in zip(chosen, moved, strict=True) if abs(change) > 1e-9} == {"sglang"}


def test_the_command_prints_the_errors_of_both_parts_and_leaves_all_as_it_was(rows, tmp_path, capsys):
    before, shipped = dict(engine_levels()), constants()
    with (tmp_path / "rows.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert main([str(tmp_path / "rows.csv"), "--kind", "state decode"]) == 0
    printed = capsys.readouterr().out
    assert "held out" in printed and "linear_fixed = 5e-06" in printed
    assert engine_levels() == before and constants() is shipped
