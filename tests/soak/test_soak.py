"""Long differential runs: short ones here; a kernel that is wrong is told with what makes its case come again."""

import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from wsekern.fabric import Fabric, FabricPlan
from wsekern.soak import cases
from wsekern.soak.cases import KINDS, Case, run_cases
from wsekern.soak.difference import Difference, same, same_bits
from wsekern.soak.fabrics import compare, lines_plan


def soak(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "wsekern.soak", *arguments], capture_output=True, text=True, check=False)


def test_a_short_run_tells_cases_and_seed():
    done = soak("--cases", "2", "--seed", "11")
    assert (done.returncode, done.stderr) == (0, "")
    first, *levels, last = done.stdout.splitlines()
    known = first.removeprefix("seed 11, levels ").split(", ")
    assert known[0] == "base" and [line.partition(":")[0] for line in levels] == known
    each = 2 * len(known)
    assert last == (f"seed 11: {3 * each} cases without a difference ({each} fabrics, {each} programs, {each} operations)")


@pytest.mark.parametrize("arguments", ["--minutes 0", "--cases 0", "--first -1", "--only x", "--minutes x"])
def test_what_it_cannot_do_is_refused_in_a_sentence(arguments: str):
    done = soak(*arguments.split())
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1) and done.stderr.startswith("wsekern: ")


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_cases_as_are_asked_for_or_as_there_is_time(kind: str):
    assert run_cases([kind], 5, {kind: 7}, 3, 60.0) == {kind: 3}
    assert run_cases([kind], 5, {}, None, 0.0) == {kind: 0}


def test_a_lone_pe_has_lines_too():
    """Once its words had nowhere to turn to."""
    for seed in range(60):
        plan, entries = lines_plan(random.Random(seed), (1, 1))
        assert plan.painted and entries


def test_a_fabric_without_routes_is_one_too():
    compare(FabricPlan(1, 1), [], random.Random(1), meddle=1.0)


def test_large_cases_are_those_of_the_tests(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cases, "LARGE", 1.0)
    assert run_cases(["operations", "fabrics"], 2, {}, 2, 60.0) == {"operations": 2, "fabrics": 2}


def test_a_wrong_kernel_is_found_and_told(monkeypatch: pytest.MonkeyPatch):
    occupancy = Fabric.occupancy

    def wrong(self: Fabric, color: int) -> np.ndarray:
        found = occupancy(self, color)
        return found + (self.cycle == 9)

    monkeypatch.setattr(Fabric, "occupancy", wrong)
    with pytest.raises(Difference) as caught:
        run_cases(["fabrics"], 1, {}, 20, 60.0)
    told = str(caught.value)
    assert "in routers in cycle 9" in told and "it comes again with --seed 1 --only fabrics" in told
    number = int(told.partition(" --first ")[2].split()[0])
    with pytest.raises(Difference, match="in cycle 9"):
        Case("fabrics", 1, number).run()


def test_what_raises_is_a_difference_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(cases.KINDS, "broken", lambda rng: 1 // 0)
    with pytest.raises(Difference, match="broken, seed 3, case 4: ZeroDivisionError"):
        Case("broken", 3, 4).run()


@pytest.mark.parametrize(("found", "expected", "told"), [
    (1, 2, "x: 1, expected 2"), (np.zeros((2, 2)), np.eye(2), "x: 2 elements differ, first 0.0 at .0, 0., expected 1.0"),
    (np.zeros(2), np.zeros(3), "x: an array of shape .2,., expected .3,.")])
def test_differences_are_told(found: Any, expected: Any, told: str):
    with pytest.raises(Difference, match=told):
        same(found, expected, "x")
    same(expected, expected, "x")


def test_bits_are_compared_where_numbers_are_equal():
    one, other = np.zeros((1, 1, 2, 2), np.float32), np.full((1, 1, 4), -0.0, np.float32)
    same_bits(one, -other, "x")
    same_bits(np.full(3, np.nan), np.full(3, np.nan), "x")
    for wrong in (other, one.astype(np.float16), one[..., :1]):
        with pytest.raises(Difference, match="x"):
            same_bits(wrong, one, "x")
