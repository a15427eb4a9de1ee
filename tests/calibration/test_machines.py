"""What families of GPUs reach is fitted anew by a command, and says what it was fitted on."""

import numpy as np
import pytest

from wsekern.calibration.machines import calibrate, descend, main, settings_of, toml
from wsekern.cluster.efficiency import SCALES, efficiencies
from wsekern.validation.machines import is_fitted, measurements

SHIPPED = {entry.name: entry for entry in efficiencies()}


@pytest.mark.parametrize("name", ["spark-trtllm-fp4", "cdna3-vllm-fp8"])
def test_the_command_gives_the_shipped_numbers(name):
    (found,) = calibrate(measurements(), name)
    assert found == SHIPPED[name]
    assert f"[{name}]\n" in toml([found])


def test_every_setting_of_fitted_rows_is_shipped_and_no_other():
    found = settings_of(measurements())
    assert {setting.name: len(rows) for setting, rows in found.items()} == {name: each.rows for name, each in SHIPPED.items()}
    assert all(is_fitted(row) for rows in found.values() for row, _ in rows)
    assert all(0.01 <= float(getattr(entry, name)) <= 10.0 for entry in SHIPPED.values() for name in SCALES)


def test_a_number_that_does_not_matter_stays_where_it_was():
    found = descend(lambda logs: abs(logs[0] - 0.7) + 0.01 * abs(logs).sum(), np.zeros(3))
    assert abs(found[0] - 0.7) <= 0.05 and not found[1:].any()


def test_the_tool_says_how_it_is_called(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0 and "usage: python -m wsekern.calibration.machines " in capsys.readouterr().out
