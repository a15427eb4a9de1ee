"""The page of a profile of CSL: where thread-cycles go, and the source with what each line did."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from wsekern.program.profile import Row
from wsekern.program.waiting import WAITS
from wsekern.report.csl import profile_view
from wsekern.report.html import Page, Part, Section, Text, bars, parts_of
from wsekern.sdk.profile import Profiled

LINES = 16
"""Lines that the picture shows."""


def profile_data(found: Sequence[Profiled]) -> dict[str, Any]:
    """The runs, and what each line of CSL did in them, the costliest first."""
    return {"runs": [{"cycles": run.cycles, "pes": run.pes, "lines": [
        {"file": row.file, "line": row.line, "functions": row.functions, "times": row.count, "cycles": row.cycles,
         "waits": row.waits} for row in _by_cost(run)]} for run in found]}


def profile_page(command: str, found: Sequence[Profiled]) -> Page:
    """Where the thread-cycles of each run went, in a picture and line by line."""
    sections = []
    for number, run in enumerate(found, 1):
        name = f"Run {number}" if len(found) > 1 else "Lines"
        sections.append(Section(name, [*_picture(run), *parts_of(profile_view(run))]))
    return Page(f"wsekern csl profile {command}", _answer(found[-1]), sections, profile_data(found))


def _by_cost(run: Profiled) -> list[Row]:
    return sorted(run.rows, key=_cost, reverse=True)


def _cost(row: Row) -> int:
    return row.cycles + row.waiting


def _place(row: Row) -> str:
    return f"{PurePath(row.file).name}:{row.line}"


def _answer(run: Profiled) -> str:
    """Which line took the most, and how much of that was waiting."""
    took = f"{run.cycles:,} cycles on {run.pes:,} PEs"
    costly = _by_cost(run)[:1]
    total = sum(map(_cost, run.rows))
    if not total:
        return f"{took}; no line did anything."
    return f"{took}; {_place(costly[0])} took {_cost(costly[0]) / total:.0%} of all thread-cycles, " \
           f"{costly[0].waiting / _cost(costly[0]):.0%} of them waiting."


def _picture(run: Profiled) -> list[Part]:
    """A bar for each of the costliest lines: cycles at work, and those that waited, by what for."""
    costly = [row for row in _by_cost(run)[:LINES] if _cost(row)]
    if not costly:
        return [Text("No line did anything.")]
    names = _names(costly)
    waits = {wait: what for wait, what in WAITS.items() if any(row.waits[wait] for row in costly)}
    heads = ["at work", *(f"waiting for {what}" for what in waits.values())]
    figures = {name: [row.cycles, *(row.waits[wait] for wait in waits)] for name, row in names.items()}
    parts = {name: [(head, float(value), color) for color, (head, value) in enumerate(zip(heads, values, strict=True))]
             for name, values in figures.items()}
    rows = [(name, *(f"{value:,}" for value in values)) for name, values in figures.items()]
    return [bars("Where thread-cycles go", f"The {len(costly)} lines that took the most.", parts, "thread-cycles",
                 "thread-cycles", lane=24, header=("line", *heads), rows=rows)]


def _names(rows: Sequence[Row]) -> Mapping[str, Row]:
    """Rows by file and line, with the folder where two files have one name."""
    files: dict[str, set[str]] = {}
    for row in rows:
        files.setdefault(PurePath(row.file).name, set()).add(row.file)
    return {_place(row) if len(files[PurePath(row.file).name]) == 1 else f"{row.file}:{row.line}": row for row in rows}
