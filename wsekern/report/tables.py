"""Predictions and validation as tables."""

from collections.abc import Callable, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from wsekern.report.words import amount, seconds, size


def facts_view(title: str, facts: dict[str, Any]) -> RenderableType:
    """A prediction: one fact a line, nested ones indented; times and rates as ranges where the machine was not measured."""
    table = Table(title=title, title_justify="left", show_header=False, box=None)
    for row in fact_rows(facts):
        table.add_row(*row)
    return table


def fact_rows(facts: Mapping[str, Any], shown: Callable[[str, Any], str] = lambda key, value: _fact(value)
              ) -> list[tuple[str, str]]:
    """Name and value of each fact, as ``shown`` writes them: unless told, numbers in the units that the names carry."""
    factors, rows = facts.get("time_factors") if facts.get("not_measured") else None, list[tuple[str, str]]()
    for key, value in facts.items():
        if isinstance(value, dict):
            rows += [(key, ""), *((f"  {name}", shown(_inner(facts, key, name), item)) for name, item in value.items())]
        elif isinstance(value, list):
            rows += [(key if index == 0 else "", shown(key, item)) for index, item in enumerate(value)]
        else:
            rows.append((key, shown(key, value) if factors is None else _ranged(shown, key, value, *factors)))
    return rows


def _inner(facts: Mapping[str, Any], key: str, name: str) -> str:
    """A fact inside another, with the name that carries the unit: parts of a breakdown are cycles on a wafer and else
    seconds."""
    return f"{name} {('cycles' if 'cycles' in facts else 'seconds') if key == 'breakdown' else key}"


def quantity(key: str, value: Any) -> str:
    """A fact for people: three digits, and the unit that its name carries."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "none" if value is None else _fact(value)
    for ending, written in _UNITS.items():
        if key.endswith(ending):
            return written(float(value))
    return f"{value:,}" if isinstance(value, int) else amount(value)


_UNITS: dict[str, Callable[[float], str]] = {
    "seconds": seconds, "bytes": size, "watts": lambda value: f"{amount(value)} W",
    "hertz": lambda value: f"{value / 1e9:.3g} GHz",
    "joules_per_request": lambda value: f"{amount(value)} J", "usd_per_request": lambda value: f"{amount(value)} USD",
    "joules_per_token": lambda value: f"{amount(value)} J", "usd_per_million_tokens": lambda value: f"{amount(value)} USD",
    "usd_per_hour": lambda value: f"{amount(value)} USD", "cycles": lambda value: f"{value:,.0f}"}
"""How values are written whose names end so."""


def _ranged(shown: Callable[[str, Any], str], key: str, value: Any, least: float, most: float) -> str:
    """A predicted time or rate whose machine was not measured, between its bounds; any other fact as it is."""
    if isinstance(value, float) and key.endswith("seconds") and key not in ("roofline_seconds", "think_seconds"):
        return f"{shown(key, value * least)} to {shown(key, value * most)}"
    if isinstance(value, float) and "_per_second" in key:
        return f"{shown(key, value / most)} to {shown(key, value / least)}"
    return shown(key, value)


def _fact(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_fact(item)}" for name, item in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(_fact, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def validation_view(validation: dict[str, list[dict]], show_rows: bool) -> RenderableType:
    """Errors by group; with ``show_rows`` every row, else those without a prediction counted by their reason."""
    groups = Table(_names("group"), title="Predictions beside measurements", title_justify="left", box=SIMPLE_HEAD,
                   padding=(0, 1, 0, 0))
    for name in ("rows", "predicted", "fitted", "median error", "p90", "worst"):
        groups.add_column(name, justify="right")
    for group in validation["groups"]:
        if not group["predicted"]:
            continue  # counted by reason below
        groups.add_row(group["group"], str(group["count"]), str(group["predicted"]), str(group["fitted"]),
                       _percent(group["median_error"]), _percent(group["p90_error"]), _percent(group["worst_error"]))
    return Group(groups, Text(""), _rows(validation["rows"]) if show_rows else _unpredicted(validation["rows"]))


def families_view(families: list[dict]) -> Table:
    """Errors of GPU rows that set no constant, per kind, GPU and model family."""
    table = Table("kind", "GPU", "family", title="Errors per GPU and model family, fitted rows left out", title_justify="left")
    for name in ("rows", "median error", "p90"):
        table.add_column(name, justify="right")
    for line in families:
        table.add_row(line["kind"], line["gpu"], line["family"], str(line["tested"]), _percent(line["median_error"]),
                      _percent(line["p90_error"]))
    return table


def _names(header: str) -> Column:
    """A column of names: as wide as their longest word on a narrow screen, and never cut."""
    return Column(header, overflow="fold", min_width=16 if header == "group" else 5)


def _rows(rows: list[dict]) -> Table:
    table = Table(_names("id"), _names("group"), box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("measured", "predicted", "unit", "error"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("note", overflow="fold", min_width=8)
    for row in rows:
        predicted = "-" if row["predicted"] is None else amount(row["predicted"])
        note = "fitted" if row["fitted"] else row["note"]
        table.add_row(row["id"], row["group"], amount(row["measured"]), predicted, row["unit"], _percent(row["error"]), note)
    return table


def _unpredicted(rows: list[dict]) -> Table:
    """Rows without a prediction, counted by the reason."""
    reasons: dict[str, int] = {}
    for row in rows:
        if row["predicted"] is None:
            reasons[row["note"]] = reasons.get(row["note"], 0) + 1
    table = Table("rows", "without a prediction, because", box=None)
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
        table.add_row(str(count), reason)
    return table if reasons else Table(box=None)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
