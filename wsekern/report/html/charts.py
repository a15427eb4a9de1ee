"""Charts as marks in percent of an area: bars and lanes of time, curves and points, plans of rectangles, cells of two axes.

Every mark has a label that says its values in words: the pointer, the keyboard and a screen reader show it. ``color`` is a
number of :data:`COLORS`, which ``style.css`` has for light and dark pages; people who do not see all colors tell them apart
(Okabe and Ito), and a pattern or a letter tells the same where it matters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite

from wsekern.report.html.scales import Scale
from wsekern.shown import Shown

COLORS = 8
"""Colors of marks, counted from 0; more begin again."""
LANE = 22
"""Height of a lane, pixels."""
DOT = 0.0
"""Width and height of a mark that is a point."""


@dataclass(frozen=True, repr=False)
class Mark(Shown):
    """A rectangle, or a point where it has no size, in percent of the area from its left and its lower side."""

    left: float
    bottom: float
    width: float
    height: float
    label: str
    color: int = 0
    text: str = ""
    """Shown inside, where there is room."""
    style: str = ""
    """``hatched``; of points ``small``, ``best``; in legends ``light``, ``frame``, ``dot``: beside its color."""
    filled: float | None = None
    """Share of its height that has the whole color, from below; the rest is light."""


@dataclass(frozen=True, repr=False)
class Line(Shown):
    """Through ``points`` (percent of the area, from its left and lower side)."""

    points: Sequence[tuple[float, float]]
    color: int = 0
    dashed: bool = False


@dataclass(frozen=True, repr=False)
class Plot(Shown):
    """A chart: what it shows in ``title`` and ``summary`` (a sentence for who does not see it), and ``header`` and ``rows``,
    the table behind it.

    ``x_ticks`` and ``y_ticks``: percent and text. ``guides``: lines across at a percent of either axis, with their text.
    ``aspect``: width over height where that is of the thing shown, else ``height`` pixels.
    """

    title: str
    summary: str
    marks: Sequence[Mark]
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    lines: Sequence[Line] = ()
    x_ticks: Sequence[tuple[float, str]] = ()
    y_ticks: Sequence[tuple[float, str]] = ()
    guides: Sequence[tuple[str, float, str]] = ()
    x_label: str = ""
    y_label: str = ""
    legend: Sequence[tuple[int, str, str]] = ()
    """Color, style and meaning."""
    height: int = 300
    aspect: float = 0.0

    @property
    def gutter(self) -> int:
        """Letters of the widest text beside the vertical axis."""
        return max((len(text) for _, text in self.y_ticks), default=0)


@dataclass(frozen=True, repr=False)
class Span(Shown):
    """A piece of a lane, from ``start`` on, ``length`` long."""

    lane: str
    start: float
    length: float
    label: str
    color: int = 0
    text: str = ""
    style: str = ""


def lanes(title: str, summary: str, spans: Sequence[Span], x_label: str, lane: int = LANE, **more: object) -> Plot:
    """Spans on a lane for each name, in the order in which names come first, from zero on to the right; ``more``: other fields
    of :class:`Plot`."""
    names = list(dict.fromkeys(span.lane for span in spans))
    ends = [span.start + span.length for span in spans]
    scale = Scale(0.0, max(ends, default=1.0) or 1.0)
    each = 100.0 / max(1, len(names))
    lower = {name: 100.0 - each * (number + 1) for number, name in enumerate(names)}
    marks = [Mark(scale.at(span.start), lower[span.lane] + 0.1 * each, scale.at(span.length), 0.8 * each, span.label,
                  span.color, span.text, span.style) for span in spans]
    plot = Plot(title, summary, marks, x_ticks=scale.ticks(), y_ticks=[(lower[name] + each / 2, name) for name in names],
                x_label=x_label, height=max(2 * lane, lane * len(names)))
    return replace(plot, **more)  # type: ignore[arg-type]


def bars(title: str, summary: str, parts: Mapping[str, Sequence[tuple[str, float, int]]], x_label: str, unit: str,
         **more: object) -> Plot:
    """A stacked bar for each name: its parts (meaning, value, color) one behind the other; ``unit`` stands behind the values in
    labels."""
    spans = []
    for name, pieces in parts.items():
        start = 0.0
        for meaning, value, color in pieces:
            if not value:
                continue
            spans.append(Span(name, start, value, f"{name}, {meaning}: {value:,.4g} {unit}".strip(), color))
            start += value
    legend = list({(color, "", meaning): None for pieces in parts.values() for meaning, _, color in pieces})
    return lanes(title, summary, spans, x_label, **{"lane": 34, "legend": legend if len(legend) > 1 else ()} | more)


@dataclass(frozen=True, repr=False)
class Series(Shown):
    """Points (x, y, label) of one kind; ``joined`` by a line in their order."""

    name: str
    points: Sequence[tuple[float, float, str]]
    color: int = 0
    joined: bool = True
    style: str = ""
    dashed: bool = False


def curves(title: str, summary: str, series: Sequence[Series], x_label: str, y_label: str,
           log: tuple[bool, bool] = (True, True), guides: Sequence[tuple[str, float, str]] = (), **more: object) -> Plot:
    """Points and lines over two axes; ``guides``: ``x`` or ``y``, a value and what it is, kept in view. What has no place there
    (zero on a ``log`` axis, infinity) is in the table alone."""
    series = [replace(one, points=[point for point in one.points if _has_place(point, log)]) for one in series]
    points = [point for one in series for point in one.points]
    shown_at = {axis: [*(point[axis] for point in points), *(value for name, value, _ in guides if name == "xy"[axis])]
                for axis in (0, 1)}
    scales = [Scale.of(values or [1.0], log[axis]) for axis, values in shown_at.items()]

    def at(point: tuple[float, float, str]) -> tuple[float, float]:
        return scales[0].at(point[0]), scales[1].at(point[1])

    marks = [Mark(*at(point), DOT, DOT, point[2], one.color, style=one.style) for one in series for point in one.points]
    lines = [Line([at(point) for point in one.points], one.color, one.dashed) for one in series if one.joined]
    shown = [(name, scales["xy".index(name)].at(value), text) for name, value, text in guides]
    legend = [(one.color, one.style or "dot", one.name) for one in series if one.name]
    plot = Plot(title, summary, marks, lines=lines, x_ticks=scales[0].ticks(), y_ticks=scales[1].ticks(), guides=shown,
                x_label=x_label, y_label=y_label, legend=legend)
    return replace(plot, **more)  # type: ignore[arg-type]


def _has_place(point: tuple[float, float, str], log: tuple[bool, bool]) -> bool:
    return all(isfinite(value) and (value > 0.0 or not each) for value, each in zip(point[:2], log, strict=True))


def floor(title: str, summary: str, width: float, height: float, boxes: Sequence[tuple[float, float, float, float, Mark]],
          **more: object) -> Plot:
    """A plan of ``width`` x ``height``: boxes (x, y, width, height), y counted from the top, with the label, color, text and
    style of a mark."""
    marks = [replace(mark, left=100.0 * x / width, bottom=100.0 - 100.0 * (y + high) / height, width=100.0 * wide / width,
                     height=100.0 * high / height) for x, y, wide, high, mark in boxes]
    return replace(Plot(title, summary, marks, aspect=width / height), **more)  # type: ignore[arg-type]


def cells(title: str, summary: str, across: tuple[str, Sequence[str]], up: tuple[str, Sequence[str]],
          found: Mapping[tuple[str, str], tuple[str, int, str]], **more: object) -> Plot:
    """A cell for each pair of names of two axes (label, names): ``found`` has its label, color and text by (across, up)."""
    (x_label, columns), (y_label, rows) = across, up
    wide, high = 100.0 / len(columns), 100.0 / len(rows)
    marks = [Mark(wide * column, high * row, wide, high, *found[name, other])
             for row, other in enumerate(rows) for column, name in enumerate(columns) if (name, other) in found]
    plot = Plot(title, summary, marks, x_ticks=[(wide * (number + 0.5), name) for number, name in enumerate(columns)],
                y_ticks=[(high * (number + 0.5), name) for number, name in enumerate(rows)], x_label=x_label,
                y_label=y_label, height=max(120, 34 * len(rows)))
    return replace(plot, **more)  # type: ignore[arg-type]
