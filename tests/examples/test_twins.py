"""Examples in CSL beside their twins in Python."""

import json

import pytest

from wsekern.errors import InputError
from wsekern.examples.__main__ import main
from wsekern.examples.twins import TWINS


@pytest.mark.parametrize(("name", "machine"), [(name, machine) for name, twin in TWINS.items() for machine in twin.machines])
def test_both_programs_compute_the_same(name, machine):
    pair = TWINS[name].run(machine)
    assert pair.python.correct and pair.csl.correct, (pair.csl.got, pair.csl.expected)
    assert pair.same
    assert pair.python.cycles <= 1.25 * pair.csl.cycles and pair.csl.cycles <= 3 * pair.python.cycles


def test_a_twin_refuses_a_machine_that_cannot_run_it():
    with pytest.raises(InputError, match="wse3 cannot run color-swap"):
        TWINS["color-swap"].run("wse3")


def test_the_command_prints_both(capsys):
    assert main.main(["gemv-2x2", "map-lengths", "--csl", "--machine", "wse2", "--json", "-"], standalone_mode=False) == 0
    rows = json.loads(capsys.readouterr().out)["examples"]
    assert [row["name"] for row in rows] == ["map-lengths", "gemv-2x2"]
    assert all(row["same"] and row["correct"] and row["cycles_csl"] > row["cycles_python"] for row in rows)
