"""Tables with a column for each side: nothing is cut where the screen is narrow."""

import pytest
from rich.console import Console

from wsekern.report.sides import SideTable, assumed, front_marks


class Side:
    """What it assumes."""

    def __init__(self, *assumptions):
        self.assumptions = list(assumptions)


def shown(view, width):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(view)
    console.file.close()
    return console.export_text()


@pytest.mark.parametrize("width", [60, 80, 118, 250])
def test_every_column_is_shown_whole_on_any_screen(width):
    names = [f"machine-{number}x8 (stock)" for number in range(9)]
    cells = [f"{number},234 USD" for number in range(9)]
    text = shown(SideTable("title", names, [("cost per million output tokens", cells)], "caption"), width)
    assert all(text.count(f"machine-{number}x8") == 1 and text.count(cells[number]) == 1 for number in range(9))
    assert text.count("title") == text.count("caption") == 1 and max(map(len, text.splitlines())) <= width


def test_what_several_assume_is_said_once_with_their_names_and_what_all_assume_without():
    sides = {"one": Side("a", "b", "d"), "two": Side("b", "d"), "three": Side("c", "d")}
    said = assumed(sides, ["shared"]).plain.splitlines()
    assert said == ["Assumed", "- shared", "- one: a", "- one, two: b", "- d", "- three: c"]
    assert assumed({"one": Side("a")}).plain.endswith("- one: a")


def test_marks_name_the_costs_on_whose_front_a_system_is():
    found = {"usd_per_million_tokens": ["a", "b"], "joules_per_token": ["b"]}
    assert [front_marks(found, name) for name in "abc"] == ["USD", "USD, J", ""]
