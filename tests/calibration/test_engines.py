"""The fit of engine levels and power finds the numbers that made the measurements, and leaves the levels as they were."""

import csv
from importlib.resources import files

import numpy as np
import pytest

from wsekern.calibration.engines import (
    FITTED,
    SAME,
    changed,
    fit_level,
    fit_levels,
    fit_power,
    fitted_rows,
    main,
    of_level,
    popularity_errors,
    power_rows,
)
from wsekern.cluster import experts
from wsekern.cluster.constants import constants
from wsekern.cluster.engine import engine_levels
from wsekern.cluster.hardware import load_gpu
from wsekern.cluster.power import levels, power_share
from wsekern.validation import gpu as validation
from wsekern.validation.gpu_rows import read_rows


@pytest.fixture(scope="module")
def rows():
    return read_rows(files("wsekern.validation") / "data" / "gpu-measurements.csv.gz")


@pytest.fixture(scope="module")
def fitted(rows):
    return fitted_rows(rows)


def test_only_marked_rows_are_fitted(judged, fitted):
    marked = {result.id for result in judged(validation)
              if result.fitted and not result.group.startswith(("kernel", "layer"))}
    assert {row["id"] for row, _, _ in fitted} == marked
    assert all(of_level(fitted, level, "step") for level in FITTED)


def test_known_numbers_are_found(fitted):
    known, before = {"per_step": 3e-3, "per_layer": 1e-5}, engine_levels()["stock-2024"]
    chosen = of_level(fitted, "stock-2024", "step")[::3]
    with engine_levels.replaced({**engine_levels(), "stock-2024": changed(before, known)}):
        made = [{**row, "value": str(validation.predict_row(row)[1])} for row in chosen]
    found, error = fit_level(made, "stock-2024", list(known))
    assert found == pytest.approx(known, rel=0.02) and error < 0.005
    assert engine_levels()["stock-2024"] == before


def test_shipped_levels_share_what_they_should():
    for level, (origin, names) in SAME.items():
        for name in names:
            assert getattr(engine_levels()[level], name).value == getattr(engine_levels()[origin], name).value, (level, name)


def test_known_power_is_found():
    generator = np.random.default_rng(0)
    shares = generator.dirichlet((1.0, 1.0, 1.0, 1.0), 60).T[:3]  # of latencies, streaming, computing; the rest is waiting
    rates = generator.random(60) * 0.2
    lines = np.stack([*shares, rates, power_share((0.3, 0.45, 0.6, 0.9), *shares, rates)], axis=1)
    best, error = fit_power(lines)
    assert best == pytest.approx([0.3, 0.45, 0.6, 0.9], rel=0.02) and error < 0.004


def test_the_shipped_levels_are_those_that_the_rows_give(rows):
    """Within the spread that rows of other step times would give too: no level was set by hand."""
    for name, lines in power_rows(rows).items():
        power = load_gpu(name).power
        shipped = np.mean(np.abs(np.log(power_share(levels(power), *lines.T[:4]) / lines.T[4])))
        assert shipped < np.mean(np.abs(np.log(lines.T[4] / np.median(lines.T[4]))))  # better than one number for all
        assert shipped < 1.5 * fit_power(lines)[1]


def test_the_command_prints_one_level(fitted, tmp_path, capsys):
    few = [row for row, _, case in fitted if case.engine == "stock-2024"][::4]
    with (tmp_path / "rows.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(few[0]))
        writer.writeheader()
        writer.writerows(few)
    before = dict(engine_levels())
    assert main([str(tmp_path / "rows.csv"), "--level", "stock-2024"]) == 0
    assert engine_levels() == before
    printed = capsys.readouterr().out
    assert "[stock-2024]" in printed and "per_step = " in printed and ".power]" not in printed


def test_another_popularity_is_used_at_once():
    usual = experts.in_service(20, 8, 128, 1)
    with constants.replaced(changed(constants(), {"popularity_exponent": 0.0})):
        _, reached = experts.in_service(20, 8, 128, 1)
        assert reached == pytest.approx(128 * (1 - (1 - 8 / 128) ** 20)) and reached > usual[1]
    assert experts.in_service(20, 8, 128, 1) == usual


def test_popularities_are_compared_and_nothing_is_left_changed(fitted):
    """On some rows of two levels, of which one takes numbers from the other."""
    few = [row for row, _, case in fitted if case.engine in ("tuned-2024", "stock-2024") and case.model.mixture][::4]
    shipped, before = constants(), dict(engine_levels())
    error, routed = popularity_errors(few, 0.0)
    assert 0.0 < error == routed < 0.5
    assert error != popularity_errors(few, 1.2)[0]
    assert constants() is shipped and engine_levels() == before


def test_levels_are_fitted_with_those_before_them(fitted):
    rows = {name: [row for row, _, case in fitted if case.engine == name] for name in ("tuned", "tuned-overlapped")}
    few = [row for named in rows.values() for row in named[::20]]
    before = dict(engine_levels())
    fits = list(fit_levels(few, ("tuned", "tuned-overlapped")))
    levels = [fit.level for fit in fits]
    assert levels[0] == "tuned" and levels[-1] == "tuned-overlapped"
    last = fits[-1].levels
    for name in SAME["tuned-overlapped"][1]:
        assert getattr(last["tuned-overlapped"], name).value == getattr(last["tuned"], name).value == fits[0].values[name]
    assert engine_levels() == before
