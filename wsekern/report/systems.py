"""Sweeps, datacentres and choices of clusters: tables and pictures."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wsekern.cluster.choose import Point
from wsekern.compare.datacentre import Site, Sites
from wsekern.compare.front import fronts
from wsekern.compare.side import Side
from wsekern.compare.sweep import Cell, Crossover
from wsekern.report.comparison import CARRIED
from wsekern.report.pictures import STYLES, colors_of, draw_front, new_figure, save_figure
from wsekern.report.sides import FRONT, SideTable, assumed, front_marks, in_cell
from wsekern.report.words import amount, seconds


def sweep_view(model: str, mode: str, cells: list[Cell], crossovers: list[Crossover]) -> RenderableType:
    """All sides for every prompt length and batch, then from how many users on which side is the better choice, and the front
    of speed and cost."""
    table = _sweep_table("prompt", "users", "system", "1st tok\nalone", "1st tok\nloaded", "tok/s\na user", "tok/s\nin all",
                         "J a\ntoken", "USD a\nmillion", title=f"{model}, {mode.replace('-', ' ')}", caption=CARRIED)
    for cell in cells:
        titles, named = cell.titles(), (f"{cell.prompt:,}", f"{cell.batch:,}")
        shown = [name for name, side in cell.sides().items() if side is not None or name in cell.not_served]
        for name in shown:
            table.add_row(*named, *_figures(titles[name], cell.sides()[name]), end_section=name == shown[-1])
            named = ("", "")
    words = Text("\n".join(f"* {crossover.sentence()}" for crossover in crossovers))
    notes = sorted({note for cell in cells for note in cell.notes})
    counted = [line for cell in cells for line in cell.assumptions]
    return Group(table, words, Text(""), _sweep_front(cells), Text("\n".join(notes), style="dim"),
                 assumed(_first_sides(cells), counted))


def _sweep_table(*names: str, title: str, caption: str) -> Table:
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left", box=box.SIMPLE,
                  padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name, justify="left" if name == "system" else "right", no_wrap=name != "system")
    return table


def _sweep_front(cells: list[Cell]) -> Table:
    """Systems and numbers of users that no others beat."""
    table = _sweep_table("prompt", "system", "users", "tok/s\na user", "USD a\nmillion", "J a\ntoken", "front of",
                         title="Pareto front", caption=FRONT)
    for prompt in sorted({cell.prompt for cell in cells}):
        systems = {(cell.batch, name): side for cell in cells if cell.prompt == prompt for name, side in cell.chosen().items()}
        marks = fronts(systems)
        for key, side in sorted(systems.items(), key=lambda item: -item[1].tokens_per_second_per_user if item[1] else 0.0):
            if side is not None and (mark := front_marks(marks, key)):
                table.add_row(f"{prompt:,}", side.name, f"{key[0]:,}", amount(side.tokens_per_second_per_user),
                              amount(side.usd_per_million_tokens), amount(side.joules_per_token), mark)
    return table


def _figures(title: str, side: Side | None) -> tuple[str, ...]:
    if side is None:
        return (f"{title} cannot", "-", "-", "-", "-", "-", "-")
    shows: tuple[Callable[[Side], str], ...] = (
        lambda s: seconds(s.lone_time_to_first_token_seconds), lambda s: seconds(s.time_to_first_token_seconds),
        lambda s: amount(s.tokens_per_second_per_user), lambda s: amount(s.tokens_per_second),
        lambda s: amount(s.joules_per_token), lambda s: amount(s.usd_per_million_tokens))
    return (side.name, *(in_cell(side, show) for show in shows))


def _first_sides(cells: list[Cell]) -> dict[str, Side]:
    """Of the wafers and of each cluster the first that serves, by its name."""
    first: dict[str, Side] = {}
    for cell in cells:
        first = {**{name: side for name, side in cell.chosen().items() if side is not None}, **first}
    return {side.name: side for side in first.values()}


def datacentre_view(model: str, power: str, sites: Sites) -> RenderableType:
    """What each side does with the power."""
    filled = {name: site for name, site in sites.sides().items() if site is not None}
    titles = sites.titles()
    missing = Text("\n".join(f"{titles[name]} cannot: {why}" for name, why in sites.not_served.items()))
    if not filled:
        return missing
    several = len(sites.clusters) > 1
    rows = [(name, [in_cell(site, show) for site in filled.values()]) for name, show in SITE_LINES]
    if several:
        ideal, marks = {one.name: one.cluster_ideal for one in sites.clusters}, fronts(filled)
        rows += [("output tokens/s in total, ideal software", [in_cell(ideal.get(name), lambda s: amount(s.tokens_per_second))
                                                              for name in filled]),
                 ("on the Pareto front of", [front_marks(marks, name) for name in filled])]
    table = SideTable(f"{model} in a datacentre of {power}", [site.system for site in filled.values()], rows,
                      f"{CARRIED}\n{FRONT}" if several else CARRIED)
    return Group(table, missing, assumed({site.system: site for site in filled.values()}))


SITE_LINES: tuple[tuple[str, Callable[[Site], str]], ...] = (
    ("systems", lambda s: f"{s.systems:,}"), ("users for each system", lambda s: f"{s.users_per_system:,}"),
    ("users", lambda s: f"{s.users:,}"), ("requests/s in total", lambda s: amount(s.requests_per_second)),
    ("output tokens/s in total", lambda s: amount(s.tokens_per_second)),
    ("tokens/s for each user", lambda s: amount(s.tokens_per_second_per_user)),
    ("first token, under this load", lambda s: seconds(s.time_to_first_token_seconds)),
    ("a whole request", lambda s: seconds(s.request_seconds)),
    ("energy per output token", lambda s: f"{amount(s.joules_per_token)} J"),
    ("cost per million output tokens", lambda s: f"{amount(s.usd_per_million_tokens)} USD"),
    ("rated power of a system", lambda s: f"{s.system_watts / 1e3:.3g} kW"),
    ("price of all systems, an hour", lambda s: f"{amount(s.usd_per_hour)} USD"),
)
"""Every figure of a datacentre, and how a site's is shown."""


def choice_view(facts: RenderableType, fronts: dict[str, list[Point]]) -> RenderableType:
    """The chosen cluster, and the Pareto fronts of all that were looked at."""
    return Group(facts, Text(""), points_table(fronts))


def points_table(fronts: Mapping[str, Sequence[Point]]) -> Table:
    """The Pareto fronts, a line a point."""
    table = Table("cluster", title="Pareto front: no other layout and batch is better in both speeds", title_justify="left")
    for name in ("layout", "users", "tokens/s a user", "tokens/s a GPU", "first token", "USD a million"):
        table.add_column(name, justify="right")
    for name, front in fronts.items():
        for point in front:
            layout = " ".join(f"{key}{degree}" for key, degree in asdict(point.layout).items() if degree > 1)
            table.add_row(name, layout or "1 GPU", f"{point.batch:,}", amount(point.tokens_per_second_per_user),
                          amount(point.tokens_per_second_per_gpu), seconds(point.time_to_first_token_seconds),
                          amount(point.usd_per_million_tokens))
    return table


MEASURES = {"tokens_per_second_per_user": "tokens/s for each user", "joules_per_token": "J per output token",
            "usd_per_million_tokens": "USD per million output tokens"}
"""What is drawn over the number of users, in words."""


def sweep_plot(model: str, cells: list[Cell], path: str | os.PathLike[str]) -> None:
    """Speed of a user, energy and cost of an output token, its share of the prompt included, over the number of users, and the
    fronts of speed and cost: a color for each side, a style of line for each prompt length."""
    figure = new_figure((17, 4.5))
    *over_users, last = figure.subplots(1, 4)
    prompts = {prompt: STYLES[index % len(STYLES)] for index, prompt in enumerate(sorted({cell.prompt for cell in cells}))}
    colors = colors_of(cells[0].sides())
    for axes, (measure, label) in zip(over_users, MEASURES.items(), strict=True):
        for prompt, style in prompts.items():
            for name, color in colors.items():
                points = [(cell.batch, getattr(cell.sides()[name], measure)) for cell in cells
                          if cell.prompt == prompt and cell.sides()[name]]
                if points:
                    axes.plot(*zip(*points, strict=True), style, color=color, marker="o", markersize=3,
                              label=f"{cells[0].titles()[name]}, prompt {prompt:,}")
        axes.set(xscale="log", yscale="log", xlabel="users at once", ylabel=label)
    for prompt, style in prompts.items():
        systems = {(name, cell.batch): side for cell in cells if cell.prompt == prompt
                   for name, side in cell.chosen().items() if side is not None}
        draw_front(last, systems, {key: colors[key[0]] for key in systems}, style)
    figure.legend(*over_users[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.suptitle(model)
    save_figure(figure, path)


def front_plot(fronts: dict[str, list[Point]], path: str | os.PathLike[str]) -> None:
    """Pareto fronts: tokens/s per user against tokens/s per GPU."""
    figure = new_figure((7, 4.5))
    axes = figure.subplots()
    for name, front in fronts.items():
        axes.plot([point.tokens_per_second_per_user for point in front], [point.tokens_per_second_per_gpu for point in front],
                  marker="o", label=name)
    axes.set(xlabel="tokens/s for each user", ylabel="tokens/s for each GPU", xscale="log", yscale="log")
    axes.legend()
    save_figure(figure, path)
