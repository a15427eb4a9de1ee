"""What a sweep shows: on the terminal, in a picture, as data, as a page."""

import os
from collections import Counter
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wsekern.report import html
from wsekern.report.pictures import CLUSTERS, WAFERS, new_figure, save_figure
from wsekern.report.words import amount
from wsekern.sweep.axes import Value
from wsekern.sweep.findings import Crossing, Findings, Map

MOST_LINES = 24
"""Crossings that are shown."""

WORDS = {"tokens_per_usd": "tokens per dollar", "tokens_per_joule": "tokens per joule", "request_seconds": "time of a request",
         "tokens_per_second_per_user": "tokens/s of each user", "tokens_per_second": "tokens/s in total",
         "time_to_first_token": "time to the first token"}
"""What the wafers are how many times better in."""

METHODS = {
    "sobol": ("share of the variance of the answer's logarithm, by Sobol's indices", "alone", "with others"),
    "morris": ("steps of the answer's logarithm, by Morris' trajectories", "mean size of a step", "spread of steps"),
    "variance": ("share of the variance of the answer's logarithm that each input explains alone", "alone", "")}
"""How effects were found, and what their two numbers are."""


def times(answer: float) -> str:
    """An answer as how many times better the better side is."""
    return f"{amount(2.0 ** abs(answer))}x {'wafers' if answer >= 0 else 'cluster'}"


def _where(inputs: dict[str, Value]) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in inputs.items()) or "all else the same"


def _shown(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def answer_sentence(found: Findings) -> str:
    """All points in a sentence."""
    answers = [answer for _, answer in found.answered]
    wins, what = sum(answer >= 0 for answer in answers), WORDS[found.measure]
    refused = len(found.records) - len(answers)
    alone = f"; {refused:,} have no answer on one side or both" if refused else ""
    if not answers:
        why = [sentence for _, sentence in reasons(found)[:1]]
        return "; ".join([f"none of {len(found.records):,} points has figures on both sides", *why])
    if len(answers) == 1:
        return f"the one point with an answer: {times(answers[0])}, in {what}{alone}"
    return (f"the wafers are better in {what} at {wins:,} of {len(answers):,} points, from {times(max(answers))} to "
            f"{times(min(answers))}{alone}")


def reasons(found: Findings) -> list[tuple[int, str]]:
    """Why points have no answer, and of how many, the commonest first."""
    why = Counter(sentence for record in found.records
                  for sentence in {record["refused"], *record["not_served"].values()} - {None})
    return [(count, sentence) for sentence, count in why.most_common(MOST_LINES)]


def crossing_sentence(found: Findings, crossing: Crossing) -> str:
    """Where a side takes over."""
    side = "wafers" if crossing.wafers_win else "cluster"
    where = "throughout" if crossing.at is None else f"from about {found.along} {amount(crossing.at)} on"
    return f"{_where(crossing.others)}: the {side} {where}"


def sweep_data(found: Findings) -> dict[str, Any]:
    """What is printed, as data; the records are in their file."""
    answers = [answer for _, answer in found.answered]
    return {"points": len(found.records), "answered": len(answers), "wafers_better": sum(answer >= 0 for answer in answers),
            "measure": found.measure, "method": found.method,
            "effects": [vars(effect) for effect in found.effects],
            "crossings": [{"inputs": one.others, "along": found.along, "at": one.at, "wafers_win": one.wafers_win,
                           "sentence": crossing_sentence(found, one)} for one in found.crossings],
            "map": None if found.map is None else {"x": found.map.x, "y": found.map.y, "cells": [
                {found.map.x: found.map.x_values[x], found.map.y: found.map.y_values[y], "wafer_better_by": 2.0 ** answer}
                for (x, y), answer in sorted(found.map.cells.items())]}}


def sweep_report(found: Findings, path: str) -> RenderableType:
    """For people at a terminal."""
    parts: list[RenderableType] = [Text(f"{answer_sentence(found)}; records in {path}")]
    title, first, second = METHODS[found.method]
    if found.effects:
        table = Table("input", first, *([second] if second else []), title=title, title_justify="left", box=box.SIMPLE)
        for effect in found.effects:
            table.add_row(effect.name, f"{effect.alone:.2f}", *([f"{effect.in_all:.2f}"] if second else []))
        parts.append(table)
    sentences = [f"* {crossing_sentence(found, one)}" for one in found.crossings]
    if sentences:
        more = [f"and {len(sentences) - MOST_LINES:,} more: --json has all"] if len(sentences) > MOST_LINES else []
        parts.append(Text("\n".join([f"better in {WORDS[found.measure]}:", *sentences[:MOST_LINES], *more])))
    return Group(*parts)


def sweep_picture(found: Findings, path: str | os.PathLike[str]) -> None:
    """The answer along an input, the map over two, and what each input moves: PNG, SVG or PDF by the file's ending."""
    drawn = [one for one, there in ((_draw_lines, found.crossings), (_draw_map, found.map), (_draw_effects, found.effects))
             if there]
    figure = new_figure((6.0 * max(1, len(drawn)), 4.5))
    axes = figure.subplots(1, max(1, len(drawn)), squeeze=False)[0]
    for one, draw in zip(axes, drawn, strict=False):
        draw(found, one)
    figure.suptitle(answer_sentence(found), fontsize=10)
    save_figure(figure, path)


def _draw_lines(found: Findings, axes: Any) -> None:
    for number, crossing in enumerate(found.crossings[:MOST_LINES]):
        axes.plot([value for value, _ in crossing.line], [2.0 ** answer for _, answer in crossing.line], marker="o",
                  markersize=3, color=(WAFERS, *CLUSTERS)[number % (1 + len(CLUSTERS))], label=_where(crossing.others))
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set(yscale="log", xlabel=found.along, ylabel=f"wafers better by, {WORDS[found.measure]}")
    if min(value for crossing in found.crossings for value, _ in crossing.line) > 0:
        axes.set_xscale("log")
    if len(found.crossings) <= len(CLUSTERS):
        axes.legend(fontsize=7)


def _draw_map(found: Findings, axes: Any) -> None:
    """Colored by who is better; the black line is where both sides are equal."""
    import numpy as np

    shown = found.map
    assert shown is not None
    values = np.full((len(shown.y_values), len(shown.x_values)), np.nan)
    for (x, y), answer in shown.cells.items():
        values[y, x] = answer
    most = max(1.0, float(np.nanmax(np.abs(values))))
    filled = axes.contourf(shown.x_values, shown.y_values, values, levels=np.linspace(-most, most, 13), cmap="PuOr_r")
    axes.figure.colorbar(filled, ax=axes, label=f"log2 of wafers better by, {WORDS[found.measure]}")
    if np.nanmin(values) < 0.0 < np.nanmax(values):
        axes.contour(shown.x_values, shown.y_values, values, levels=[0.0], colors="black")
    axes.set(xlabel=shown.x, ylabel=shown.y)
    for side, ends in (("x", shown.x_values), ("y", shown.y_values)):
        if min(ends) > 0 and max(ends) > 20 * min(ends):
            getattr(axes, f"set_{side}scale")("log")


def _draw_effects(found: Findings, axes: Any) -> None:
    title, first, second = METHODS[found.method]
    names = [effect.name for effect in reversed(found.effects)]
    axes.barh(names, [effect.alone for effect in reversed(found.effects)], height=0.4, color=CLUSTERS[0], label=first)
    if second:
        places = [number + 0.4 for number in range(len(names))]
        axes.barh(places, [effect.in_all for effect in reversed(found.effects)], height=0.4, color=CLUSTERS[1], label=second)
        axes.legend(fontsize=8)
    axes.set_xlabel(title, fontsize=8)


def sweep_page(found: Findings, name: str) -> html.Page:
    """A page: the answer, where a side takes over, the map, what moves the answer, and refused points."""
    sections = [html.Section(title, parts) for title, parts in (
        ("Where a side takes over", _page_lines(found)),
        ("Over two inputs", [_page_map(found, found.map)] if found.map else []),
        ("Which input moves the answer most", _page_effects(found)), ("Points without an answer", _page_refused(found)))
        if parts]
    return html.Page(f"wsekern sweep, {name}", answer_sentence(found), sections, sweep_data(found))


def _page_lines(found: Findings) -> list[html.Part]:
    shown, along = found.crossings[:MOST_LINES], str(found.along)
    if not shown:
        return []
    what = WORDS[found.measure]
    series = [html.Series(_where(one.others), [
        (value, 2.0 ** answer, f"{_where(one.others)}, {along} {value:,.6g}: {times(answer)}")
        for value, answer in one.line], number) for number, one in enumerate(shown)]
    rows = [(_where(one.others), f"{value:,.6g}", times(answer)) for one in shown for value, answer in one.line]
    log = min(value for one in shown for value, _ in one.line) > 0
    chart = html.curves(f"How many times better the wafers are in {what}",
                        "Above 1 the wafers are better, below it the cluster.", series, along,
                        "wafers better by", log=(log, True), guides=[("y", 1.0, "equal")],
                        header=("line", along, "better by"), rows=rows)
    return [chart, html.Lines([crossing_sentence(found, one) for one in shown], f"Better in {what}")]


def _page_map(found: Findings, shown: Map) -> html.Part:
    names = [[f"{value:,.6g}" for value in values] for values in (shown.x_values, shown.y_values)]
    cells = {(names[0][x], names[1][y]): (f"{shown.x} {names[0][x]}, {shown.y} {names[1][y]}: {times(answer)}",
                                          0 if answer >= 0 else 1, amount(2.0 ** abs(answer)))
             for (x, y), answer in shown.cells.items()}
    rows = [(across, up, label.rpartition(": ")[2]) for (across, up), (label, _, _) in cells.items()]
    return html.cells(f"Who is better in {WORDS[found.measure]}, and how many times",
                      "Each cell is the mean over all points in it.", (shown.x, names[0]), (shown.y, names[1]), cells,
                      header=(shown.x, shown.y, "better"), rows=rows, legend=[(0, "", "wafers"), (1, "", "cluster")])


def _page_effects(found: Findings) -> list[html.Part]:
    title, first, second = METHODS[found.method]
    if not found.effects:
        return []
    parts = {effect.name: [(first, max(0.0, effect.alone), 0),
                           *([(second, max(0.0, effect.in_all - effect.alone if found.method == "sobol" else effect.in_all), 1)]
                             if effect.in_all is not None else [])] for effect in found.effects}
    rows = [(effect.name, f"{effect.alone:.3f}", "" if effect.in_all is None else f"{effect.in_all:.3f}")
            for effect in found.effects]
    return [html.bars(title[:1].upper() + title[1:], "The longest bar moves the answer most.", parts, title, "",
                      header=("input", first, second or "with others"), rows=rows)]


def _page_refused(found: Findings) -> list[html.Part]:
    """Why, and of how many points, each sentence once."""
    most = reasons(found)
    return [html.Table(("points", "why"), [(f"{count:,}", sentence) for count, sentence in most])] if most else []
