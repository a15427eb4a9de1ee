"""The worked request of the page "What is measured": its sums are right, and its numbers are those of the command it names."""

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from wsekern.cli import cli
from wsekern.docs.worked import COMMAND, REQUEST, worked_comparison, worked_request

PAGE = Path(__file__).parents[2] / "docs" / "what-is-measured.md"


def number(text: str) -> float:
    return float(text.replace(",", ""))


def test_the_numbers_are_those_of_the_command_shown():
    text = worked_request()
    assert f"```\n{COMMAND}\n```" in text
    printed = json.loads(CliRunner().invoke(cli, [*shlex.split(COMMAND)[1:], "--json", "-"]).output)
    for name, side in worked_comparison().sides().items():
        figures = side.figures()
        assert printed[name]["name"] == figures.pop("name")
        assert figures == pytest.approx({key: printed[name][key] for key in figures}, rel=1e-12)


def test_every_sum_on_the_page_is_right():
    rows = [line.split("|")[2:4] for line in worked_request().splitlines() if " = " in line]
    assert len(rows) == 7
    for cell in (cell for row in rows for cell in row):
        left, right = re.sub(r" ms| s\b", "", cell).split(" = ")
        factors = re.sub(r"(?<=\d),(?=\d)", "", left).replace("x", "*")
        assert eval(factors) == pytest.approx(number(right), rel=2e-3)  # numbers are rounded where they are printed


def test_the_page_says_both_first_tokens_and_the_law():
    text = PAGE.read_text(encoding="utf-8")
    assert "users / (TTFT + (output - 1) x TPOT + think)" in text
    for words in ("first token, one user alone", "first token, under this load", "generated: worked-request"):
        assert words in text
    assert REQUEST.batch > 1
