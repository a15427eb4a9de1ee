"""The page of ``wsekern validate``: predictions beside measurements."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType

from wsekern.report.html import Page, Section, Series, Table, curves, parts_of
from wsekern.report.words import amount

MOST_POINTS = 1200
"""Points that are drawn; of more, evenly chosen ones."""
FAR, MOST_ROWS = 0.25, 40
"""Errors as shares of the measurement that are told with their reason, and how many of them."""


def validation_page(validation: Mapping[str, Any], view: RenderableType) -> Page:
    """Errors by group, and every prediction against its measurement; the page carries groups alone as data, since rows are
    many."""
    rows = [row for row in validation["rows"] if row["predicted"] is not None and row["predicted"] > 0 and row["measured"] > 0]
    tested = sorted(abs(row["error"]) for row in rows if not row["fitted"])
    answer = f"Of {len(validation['rows']):,} measurements {len(rows):,} have a prediction."
    if tested:
        half, most = (100 * tested[int(share * (len(tested) - 1))] for share in (0.5, 0.9))
        answer = (f"{answer[:-1]}; of {len(tested):,} that set no constant, half are within {half:.1f} %, nine in ten within "
                  f"{most:.1f} %.")
    pictures = [Section("Predicted over measured", [_ratios(rows)])] if rows else []
    return Page("Predictions beside measurements", answer, [*pictures, Section("Errors by group", parts_of(view)), *_far(rows)],
                {name: value for name, value in validation.items() if name != "rows"})


def _far(rows: Sequence[Mapping[str, Any]]) -> list[Section]:
    """Rows that are far off for a reason that is known."""
    known = sorted((row for row in rows if abs(row["error"]) > FAR and row["note"] and not row["fitted"]),
                   key=lambda row: -abs(row["error"]))[:MOST_ROWS]
    listed = [(row["id"], row["group"], f"{100 * row['error']:+.0f}\N{NO-BREAK SPACE}%", row["note"]) for row in known]
    return [Section("Far off, and why", [Table(["row", "group", "error", "why"], listed)])] if listed else []


def _ratios(rows: Sequence[Mapping[str, Any]]) -> Any:
    """A point a row: what was measured, and how many times that is predicted."""
    step = -(-len(rows) // MOST_POINTS)
    shown = rows[::step]
    series = []
    for color, (name, fitted) in enumerate((("predicted", False), ("used for fitting", True))):
        points = [(row["measured"], row["predicted"] / row["measured"],
                   f"{row['group']}, {row['id']}: measured {amount(row['measured'])} {row['unit']}, predicted "
                   f"{amount(row['predicted'])}") for row in shown if row["fitted"] == fitted]
        if points:
            series.append(Series(name, points, color, joined=False, style="small"))
    words = f"Every {step}th of {len(rows):,} rows" if step > 1 else f"{len(rows):,} rows"
    listed = [(row["group"], row["id"], amount(row["measured"]), amount(row["predicted"]), row["unit"]) for row in shown]
    return curves("Predicted over measured", f"{words}, each in its own unit; 1 is exact.", series,
                  "measured, in the row's unit", "predicted / measured", guides=[("y", 1.0, "exact")],
                  header=("group", "row", "measured", "predicted", "unit"), rows=listed)
