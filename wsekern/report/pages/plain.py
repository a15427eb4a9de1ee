"""Pages of what has no picture of its own: the terminal's tables and sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType

from wsekern.report.html import Lines, Page, Part, Section, Table, parts_of, render
from wsekern.report.tables import fact_rows, quantity


def view_page(title: str, answer: str, views: Sequence[RenderableType], data: Mapping[str, Any],
              pictures: Sequence[Section] = ()) -> Page:
    """``views`` as the terminal shows them, behind ``pictures``."""
    parts = [part for view in views for part in parts_of(view)]
    return Page(title, answer, [*pictures, Section("Result", parts)], data)


def html_page(view: RenderableType, title: str) -> str:
    """Anything that the terminal shows as a whole page, for callers in Python."""
    return render(view_page(title, "", [view], {}))


def facts_page(title: str, answer: str, facts: Mapping[str, Any], pictures: Sequence[Section] = ()) -> Page:
    """One prediction: a fact a line."""
    return Page(title, answer, [*pictures, *facts_sections("All figures", facts)], facts)


def facts_sections(title: str, facts: Mapping[str, Any]) -> list[Section]:
    """A fact a line, and each list of sentences or records under a heading of its own."""
    lists = {name: value for name, value in facts.items() if isinstance(value, list) and value}
    plain = {name: value for name, value in facts.items() if name not in lists}
    return [Section(title, [facts_table(plain)]), *(Section(_words(name), _listed(value)) for name, value in lists.items())]


def facts_table(facts: Mapping[str, Any]) -> Table:
    """A fact a line, in words and with its unit."""
    return Table(["fact", "value"], [(name.replace("_", " "), shown) for name, shown in fact_rows(facts, quantity)])


def _listed(values: Sequence[Any]) -> list[Part]:
    """A list of sentences, or of records, a line each."""
    if not all(isinstance(value, dict) for value in values):
        return [Lines([shown for _, shown in fact_rows({"": list(values)})])]
    rows = [[shown for _, shown in fact_rows(value, _of_record)] for value in values]
    return [Table([name.replace("_", " ") for name in values[0]], rows)]


def _of_record(key: str, value: Any) -> str:
    """As any quantity; errors are shares of what was measured."""
    return f"{100 * value:+.1f}\N{NO-BREAK SPACE}%" if key == "error" and isinstance(value, float) else quantity(key, value)


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
