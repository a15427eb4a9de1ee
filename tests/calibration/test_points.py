"""The measured points are made anew from the shipped rows; every maintainers' tool says how it is called."""

import importlib
import json
from importlib.resources import files

import pytest

from wsekern.calibration.points import POINTS, main


def test_the_shipped_points_are_those_that_the_command_writes(tmp_path):
    assert main(["--output", str(tmp_path / "points.json")]) == 0
    written = (tmp_path / "points.json").read_text()
    assert written == (files("wsekern.cluster") / "data" / "points.json").read_text()
    points = json.loads(written)
    assert 100 < sum(point["id"].startswith("m") for point in points) <= POINTS < len(points)


@pytest.mark.parametrize("tool", ["kernels", "engines", "points", "measure"])
def test_tools_say_how_they_are_called(tool, capsys):
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"wsekern.calibration.{tool}").main(["--help"])
    assert ended.value.code == 0
    assert f"usage: python -m wsekern.calibration.{tool} " in capsys.readouterr().out
