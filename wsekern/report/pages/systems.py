"""The pages of ``wsekern compare`` that look at more than one request: a sweep, a datacentre, a real load."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wsekern.compare.datacentre import Site, Sites
from wsekern.compare.load_comparison import LoadComparison
from wsekern.compare.load_report import TIMES
from wsekern.compare.sweep import Cell, Crossover
from wsekern.report.html import Page, Plot, Section, Series, bars, curves
from wsekern.report.load import LABELS, load_view
from wsekern.report.pages.plain import view_page
from wsekern.report.systems import MEASURES, datacentre_view, sweep_view
from wsekern.report.words import amount, seconds

POINTS = 60
"""Of a distribution's line."""


def sweep_page(model: str, mode: str, cells: list[Cell], crossovers: list[Crossover], data: Mapping[str, Any]) -> Page:
    """Every measure over the users, and from how many on which side is the better choice."""
    sentences = [one.sentence() for one in crossovers]
    prompts = sorted({cell.prompt for cell in cells})
    plots = [_over_users(cells, prompt, measure, label) for prompt in prompts for measure, label in MEASURES.items()]
    return view_page(f"{model}, {mode.replace('-', ' ')}: {len(cells)} loads", "; ".join(sentences[:2]) + ".",
                     [sweep_view(model, mode, cells, crossovers)], data, [Section("Over users", plots)])


def _over_users(cells: Sequence[Cell], prompt: int, measure: str, label: str) -> Plot:
    series, rows = [], []
    for color, (name, title) in enumerate(cells[0].titles().items()):
        points = [(cell.batch, getattr(side, measure)) for cell in cells
                  if cell.prompt == prompt and (side := cell.sides().get(name)) is not None]
        series.append(Series(title, [(users, value, f"{title}, {users:,} users: {amount(value)} {label}")
                                     for users, value in points], color, dashed="ideal" in name))
        rows += [(title, f"{users:,}", amount(value)) for users, value in points]
    return curves(f"{label[0].upper()}{label[1:]}, prompt {prompt:,}", "", [one for one in series if one.points],
                  "users at once", label, header=("system", "users", label), rows=rows)


def datacentre_page(model: str, power: str, sites: Sites, data: Mapping[str, Any]) -> Page:
    """What each side does with the power."""
    filled = {name: site for name, site in sites.sides().items() if site is not None}
    real = [site for site in sites.chosen().values() if site is not None]
    best = max(real, key=lambda site: site.tokens_per_second)
    answer = (f"With {power}, {best.system} writes the most: {amount(best.tokens_per_second)} tokens/s for {best.users:,} "
              f"users, {amount(best.tokens_per_second_per_user)} each.")
    plots = [_sites("Output tokens/s in total", filled, "tokens/s", lambda site: site.tokens_per_second),
             _sites("Cost per million output tokens", filled, "USD", lambda site: site.usd_per_million_tokens)]
    return view_page(f"{model} in a datacentre of {power}", answer, [datacentre_view(model, power, sites)], data,
                     [Section("Side by side", plots)])


def _sites(title: str, filled: Mapping[str, Site], unit: str, value: Any) -> Plot:
    parts = {site.system: [(title, value(site), number)] for number, site in enumerate(filled.values())}
    return bars(title, "", parts, unit, unit, legend=(), header=("system", unit),
                rows=[(site.system, amount(value(site))) for site in filled.values()])


def load_page(comparison: LoadComparison, data: Mapping[str, Any]) -> Page:
    """What users waited for on every side."""
    sentences = comparison.sentences() or [f"{side}: {why}" for side, why in comparison.not_served.items()]
    plots = [plot for time in TIMES if (plot := _waits(comparison, time)) is not None]
    return view_page(f"{comparison.model}: {comparison.load.words()}", f"{sentences[0]}.", [load_view(comparison)], data,
                     [Section("What users waited for", plots)] if plots else [])


def _waits(comparison: LoadComparison, time: str) -> Plot | None:
    """The share of the requests that waited no longer, for each side; None where none has such a time."""
    shares, series = np.linspace(0.0, 1.0, POINTS), []
    for color, report in enumerate(comparison.reports().values()):
        values = report.times(time)
        if len(values):
            points = [(float(value), 100.0 * float(share), f"{report.name}: {100 * share:.0f} % within {seconds(float(value))}")
                      for value, share in zip(np.quantile(values, shares), shares, strict=True)]
            series.append(Series(report.name, points, color, style="small"))
    limit = {TIMES[0]: comparison.slo.time_to_first_token_seconds, TIMES[1]: comparison.slo.time_per_output_token_seconds}
    guides = [] if limit.get(time) is None else [("x", limit[time], f"objective: {seconds(limit[time])}")]
    return None if not series else curves(
        LABELS[time].capitalize(), "Share of the requests that waited no longer.", series, "seconds", "percent of the requests",
        log=(True, False), guides=guides, header=("system", "share", "within"),
        rows=[(one.name, f"{point[1]:.0f} %", seconds(point[0])) for one in series for point in one.points[::6]])
