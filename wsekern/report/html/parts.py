"""What a page is made of, as data; and what the terminal shows as such parts."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich import table as rich_table
from rich.console import Console, ConsoleRenderable, Group, RenderableType
from rich.text import Text as RichText

from wsekern.report.html.charts import Plot
from wsekern.shown import Shown

BLOCKS = frozenset("█▏▎▍▌▋▊▉ ")
"""What bars on a terminal are drawn with."""


@dataclass(frozen=True, repr=False)
class Table(Shown):
    """Rows of text under ``header``; the first cell of a row is its name."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    caption: str = ""


@dataclass(frozen=True, repr=False)
class Lines(Shown):
    """A list of sentences."""

    items: Sequence[str]
    title: str = ""


@dataclass(frozen=True, repr=False)
class Text(Shown):
    """A paragraph; ``plain`` keeps its spaces and line breaks, as a text that a model wrote."""

    text: str
    plain: bool = False


Part = Table | Lines | Text | Plot


@dataclass(frozen=True, repr=False)
class Section(Shown):
    """Parts under a heading."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True, repr=False)
class Page(Shown):
    """``title`` (what was asked), ``answer`` (in one sentence), sections, and the ``data`` that ``--json`` of the same command
    writes: it lies in the page, to be taken from there."""

    title: str
    answer: str
    sections: Sequence[Section]
    data: Mapping[str, Any] = field(default_factory=dict)


def parts_of(view: RenderableType) -> list[Part]:
    """What the terminal would show, as tables, lines and paragraphs; bars, which a page draws otherwise, are left out."""
    return list(_parts(view))


def _parts(view: Any) -> Iterator[Part]:
    if isinstance(view, Group):
        for one in view.renderables:
            yield from _parts(one)
    elif isinstance(view, rich_table.Table):
        yield from _table(view)
    elif isinstance(view, str | RichText):
        yield from _sentences(str(view))
    elif isinstance(view, ConsoleRenderable):
        console = Console(file=io.StringIO(), width=10_000)
        for one in view.__rich_console__(console, console.options):
            yield from _parts(one)


def _table(view: rich_table.Table) -> Iterator[Table]:
    columns = [(_plain(column.header), [_plain(cell) for cell in column.cells]) for column in view.columns]
    kept = [(name, values) for name, values in columns
            if name or (any(values) and not all(set(value) <= BLOCKS for value in values))]
    if kept and kept[0][1]:
        yield Table([name.replace("\n", " ") for name, _ in kept], list(zip(*(values for _, values in kept), strict=True)),
                    _plain(view.title), _plain(view.caption))


def _plain(shown: Any) -> str:
    """Text of a cell, a title or nothing."""
    return "" if shown is None else str(shown).strip("\n").rstrip()


def _sentences(text: str) -> Iterator[Part]:
    """Lines that begin with a dash or a star as a list, under the line before; others as paragraphs."""
    title, items = "", list[str]()
    for line in text.split("\n"):
        marked = line.startswith(("- ", "* "))
        if items and not marked:
            yield Lines(items, title)
            title, items = "", []
        if marked:
            items.append(line[2:])
        elif line.strip():
            if title:
                yield Text(title)
            title = line.strip()
    if items:
        yield Lines(items, title)
    elif title:
        yield Text(title)
