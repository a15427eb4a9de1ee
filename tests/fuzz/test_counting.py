"""What counts inputs: figures add up, those of several counts at once too; a fork is a process as any other."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.fuzz.figures import keep
from tests.fuzz.forks import outcome_of_fork


def test_figures_are_added_and_others_stay(tmp_path: Path):
    path = tmp_path / "figures.json"
    processes = []
    for _ in range(4):
        if (process := os.fork()) == 0:
            for _ in range(25):
                keep(path, "fuzz", {"a": {"inputs": 2, "refused": 1}}, ("inputs", "refused"))
            os._exit(0)
        processes.append(process)
    assert [os.waitpid(process, 0)[1] for process in processes] == [0] * 4
    keep(path, "mutants", {"m": {"killed": 3, "survivors": ["one"]}})
    keep(path, "mutants", {"m": {"killed": 4, "survivors": []}})
    assert json.loads(path.read_text()) == {"fuzz": {"a": {"inputs": 200, "refused": 100}},
                                            "mutants": {"m": {"killed": 4, "survivors": []}}}


@pytest.mark.parametrize(("line", "code", "out", "err"), [
    ("machines --json -", 0, "{", ""), ("machines wse9", 2, "", "wsekern: "), ("nosuch", 2, "", "wsekern: ")])
def test_a_fork_has_its_own_streams_folder_and_status(line: str, code: int, out: str, err: str):
    before = os.getcwd(), sys.argv, sys.stdout
    found = outcome_of_fork(line.split())
    assert found[0] == code and found[1].startswith(out) and found[2].startswith(err)
    assert (found[1] == "") == (out == "") and found[2].count("\n") == (err != "")
    assert before == (os.getcwd(), sys.argv, sys.stdout)
