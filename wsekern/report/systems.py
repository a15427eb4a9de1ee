"""Sweeps, datacentres and choices of clusters: tables and pictures."""

import os
from collections.abc import Sequence
from dataclasses import asdict

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wsekern.cluster.choose import Point
from wsekern.compare.datacentre import Site, Sites
from wsekern.compare.side import Side
from wsekern.compare.sweep import Cell, Crossover
from wsekern.report.comparison import CARRIED
from wsekern.report.pictures import new_figure, save_figure
from wsekern.report.words import amount, seconds


def sweep_view(model: str, mode: str, cells: list[Cell], crossovers: list[Crossover]) -> RenderableType:
    """Both sides for every prompt length and batch, then from how many users on which side is the better choice."""
    table = Table(title=f"{model}, {mode.replace('-', ' ')}", title_justify="left", caption=CARRIED, caption_justify="left",
                  box=box.SIMPLE, padding=(0, 1, 0, 0))
    for name in ("prompt", "users", "system", "1st tok\nalone", "1st tok\nloaded", "tok/s\na user", "tok/s\nin all",
                 "J a\ntoken", "USD a\nmillion"):
        table.add_column(name, justify="left" if name == "system" else "right", no_wrap=name != "system")
    for cell in cells:
        table.add_row(f"{cell.prompt:,}", f"{cell.batch:,}", *_figures(cell.wafer))
        table.add_row("", "", *_figures(cell.cluster), end_section=cell.ideal is None)
        if cell.ideal is not None:
            table.add_row("", "", *_figures(cell.ideal), end_section=True)
    words = Text("\n".join(f"* {crossover.sentence()}" for crossover in crossovers))
    notes = sorted({note for cell in cells for note in cell.notes})
    counted = [line for cell in cells for line in cell.assumptions]
    return Group(table, words, Text("\n".join(notes), style="dim"), _assumptions(_first_sides(cells), counted))


def _figures(side: Side | None) -> tuple[str, ...]:
    if side is None:
        return ("cannot", "-", "-", "-", "-", "-", "-")
    return (side.name, seconds(side.lone_time_to_first_token_seconds), seconds(side.time_to_first_token_seconds),
            amount(side.tokens_per_second_per_user),
            amount(side.tokens_per_second), amount(side.joules_per_token), amount(side.usd_per_million_tokens))


def _first_sides(cells: list[Cell]) -> list[Side]:
    wafers, clusters = [c.wafer for c in cells if c.wafer], [c.cluster for c in cells if c.cluster]
    return [*wafers[:1], *clusters[:1]]


def _assumptions(sides: list[Side] | list[Site], more: Sequence[str] = ()) -> RenderableType:
    lines = [*more, *(line for side in sides for line in side.assumptions)]
    return Text("\n".join(["Assumed", *(f"- {line}" for line in dict.fromkeys(lines))]), style="dim")


def datacentre_view(model: str, power: str, sites: Sites) -> RenderableType:
    """What each side does with the power."""
    table = Table("", title=f"{model} in a datacentre of {power}", title_justify="left", caption=CARRIED,
                  caption_justify="left")
    filled = [site for site in (sites.wafers, sites.gpus, sites.gpus_ideal) if site is not None]
    for site in filled:
        table.add_column(site.system, justify="right")
    for name, show in (
        ("systems", lambda s: f"{s.systems:,}"), ("users for each system", lambda s: f"{s.users_per_system:,}"),
        ("users", lambda s: f"{s.users:,}"), ("requests/s in total", lambda s: amount(s.requests_per_second)),
        ("output tokens/s in total", lambda s: amount(s.tokens_per_second)),
        ("tokens/s for each user", lambda s: amount(s.tokens_per_second_per_user)),
        ("first token, under this load", lambda s: seconds(s.time_to_first_token_seconds)),
        ("a whole request", lambda s: seconds(s.request_seconds)),
        ("energy per output token", lambda s: f"{amount(s.joules_per_token)} J"),
        ("cost per million output tokens", lambda s: f"{amount(s.usd_per_million_tokens)} USD"),
        ("rated power of a system", lambda s: f"{s.system_watts / 1e3:.3g} kW"),
    ):
        table.add_row(name, *(show(site) for site in filled))
    missing = [f"The {name} cannot: the model does not fit, the power does not feed one system, or no load is as fast as asked."
               for name, site in (("wafer side", sites.wafers), ("GPU side", sites.gpus)) if site is None]
    return Group(table, Text("\n".join(missing)), _assumptions(filled)) if filled else Text("\n".join(missing))


def choice_view(facts: RenderableType, fronts: dict[str, list[Point]]) -> RenderableType:
    """The chosen cluster, and the Pareto fronts of all that were looked at."""
    table = Table("cluster", title="Pareto front: no other layout and batch is better in both speeds", title_justify="left")
    for name in ("layout", "users", "tokens/s a user", "tokens/s a GPU", "first token", "USD a million"):
        table.add_column(name, justify="right")
    for name, front in fronts.items():
        for point in front:
            layout = " ".join(f"{key}{degree}" for key, degree in asdict(point.layout).items() if degree > 1)
            table.add_row(name, layout or "1 GPU", f"{point.batch:,}", amount(point.tokens_per_second_per_user),
                          amount(point.tokens_per_second_per_gpu), seconds(point.time_to_first_token_seconds),
                          amount(point.usd_per_million_tokens))
    return Group(facts, Text(""), table)


def sweep_plot(model: str, cells: list[Cell], path: str | os.PathLike[str]) -> None:
    """Speed of a user, energy and cost of an output token, its share of the prompt included, over the number of users: one line
    per side and prompt length."""
    figure = new_figure((13, 4.5))
    measures = {"tokens_per_second_per_user": "tokens/s for each user", "joules_per_token": "J per output token",
                "usd_per_million_tokens": "USD per million output tokens"}
    for axes, (measure, label) in zip(figure.subplots(1, 3), measures.items(), strict=True):
        for index, prompt in enumerate(sorted({cell.prompt for cell in cells})):
            for side, style, name in (("wafer", "o-", "wafers"), ("cluster", "s--", "GPUs"), ("ideal", ":", "GPUs, ideal")):
                points = [(cell.batch, getattr(getattr(cell, side), measure)) for cell in cells
                          if cell.prompt == prompt and getattr(cell, side)]
                if points:
                    axes.plot(*zip(*points, strict=True), style, color=f"C{index}", markersize=4,
                              label=f"{name}, prompt {prompt:,}")
        axes.set(xscale="log", yscale="log", xlabel="users at once", ylabel=label)
    axes.legend(fontsize=8)
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
