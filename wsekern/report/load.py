"""A load on all sides: the table with the verdict, and the picture of what users waited for and of the load over time."""

import os
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from wsekern.compare.load_comparison import LoadComparison
from wsekern.compare.load_report import QUANTILES, TIMES, LoadReport, percent
from wsekern.report.pictures import colors_of, new_figure, save_figure
from wsekern.report.sides import SideTable, assumed
from wsekern.report.words import amount, seconds

LABELS = dict(zip(TIMES, ("time to first token", "time per output token", "request time"), strict=True))
"""What users wait for, in words."""

_SHORT = dict(zip(TIMES, ("first token", "output token", "request"), strict=True))

_POINTS = 500  # of a distribution's line


def load_view(comparison: LoadComparison) -> RenderableType:
    """All sides under the load, then the verdict, what was done to the load, and what is assumed."""
    reports, titles = comparison.reports(), comparison.titles()
    title = Text(f"{comparison.model}: {comparison.load.words()}", "italic")
    table = SideTable("", [report.name for report in reports.values()], _rows(list(reports.values())))
    verdict = Text("\n".join(f"* {sentence}" for sentence in comparison.sentences()))
    missing = [f"{titles[side]} cannot serve this load: {reason}" for side, reason in comparison.not_served.items()]
    notes = Text("\n".join([*missing, *comparison.load.notes]))
    parts = [part for part in (verdict, notes) if part.plain]
    return Group(title, table, *(Group(Text(""), part) for part in parts), Text(""),
                 assumed({report.name: report for report in reports.values()}))


def _rows(reports: list[LoadReport]) -> list[tuple[str, list[str]]]:
    """Lines of the table: a name, and a cell for each side."""
    rows = []
    for time, label in _SHORT.items():
        summaries = [report.summary(time) for report in reports]
        for name in QUANTILES:
            cells = ["-" if summary is None else seconds(summary[name]) for summary in summaries]
            rows.append((f"{label}, {name}", cells))
    if not reports[0].slo.empty:
        rows += _objective_rows(reports)
    for name, show in (
        ("requests/s offered", lambda r: _or_dash(r.offered_requests_per_second)),
        ("requests/s served", lambda r: amount(r.outcome.requests_per_second)),
        ("output tokens/s", lambda r: amount(r.outcome.output_tokens / r.seconds)),
        ("requests in the system", lambda r: _mean_most(r.queues()["requests_in_system"])),
        ("waiting for first token", lambda r: _mean_most(r.queues()["requests_waiting"])),
        ("busy", lambda r: percent(r.utilisation)),
        ("power", lambda r: f"{r.watts / 1e3:.3g} kW"),
        ("energy", lambda r: f"{r.joules / 3.6e6:.3g} kWh in {r.seconds:,.4g} s"),
        ("energy per request", lambda r: f"{amount(r.joules_per_request)} J"),
        ("energy per output token", lambda r: f"{amount(r.joules_per_token)} J"),
        ("cost", lambda r: f"{amount(r.usd)} USD ({amount(r.usd_per_hour)} an hour)"),
        ("cost per million tokens", lambda r: f"{amount(r.usd_per_million_tokens)} USD"),
    ):
        rows.append((name, [show(report) for report in reports]))
    return rows


def _objective_rows(reports: list[LoadReport]) -> list[tuple[str, list[str]]]:
    """Shares within each bound, and what is served within all of them."""
    rows, slo = [], reports[0].slo
    bounds = {"time_to_first_token": ("first token", slo.time_to_first_token_seconds),
              "time_per_output_token": ("output token", slo.time_per_output_token_seconds)}
    shares = [report.shares_within() for report in reports]
    for name, (words, bound) in bounds.items():
        if bound is not None:
            rows.append((f"{words} in {seconds(bound)}", [percent(share[name]) for share in shares]))
    if len(rows) == 2:
        rows.append(("both in time", [percent(share["both"]) for share in shares]))
    goods = [report.goodput() for report in reports]
    rows.append(("requests/s in time", [amount(good["requests_per_second"]) for good in goods]))
    rows.append(("output tokens/s in time", [amount(good["tokens_per_second"]) for good in goods]))
    return rows


def _or_dash(value: float | None) -> str:
    return "-" if value is None else amount(value)


def _mean_most(queue: dict[str, float]) -> str:
    return f"{amount(queue['mean'])}, at most {queue['max']:,}"


def load_plot(comparison: LoadComparison, path: str | os.PathLike[str]) -> None:
    """One picture (PNG, SVG or PDF by the file's ending): distributions of what users waited for, and the load over time."""
    figure = new_figure((13, 7.5))
    above, below = figure.subfigures(2, 1)
    colors = colors_of(comparison.sides())
    bounds = {TIMES[0]: comparison.slo.time_to_first_token_seconds, TIMES[1]: comparison.slo.time_per_output_token_seconds}
    for index, (axes, time) in enumerate(zip(above.subplots(1, 3), TIMES, strict=True)):
        for side, report in comparison.reports().items():
            _distribution(axes, report, time, colors[side])
        if bounds.get(time) is not None:
            axes.axvline(bounds[time], color="black", linestyle=":", linewidth=1, label="objective")
        axes.set(xscale="log", ylim=(0, 1.02), xlabel=f"{LABELS[time]} (s)", ylabel="" if index else "share of the requests")
        if axes.get_legend_handles_labels()[0]:  # answers of one token have no time per output token
            axes.legend(fontsize=8, loc="lower right")
    queues = {"requests_in_system": "requests in the system", "requests_waiting": "waiting for their first token"}
    for axes, (name, label) in zip(below.subplots(1, 2), queues.items(), strict=True):
        for side, report in comparison.reports().items():
            over_time = report.over_time()
            axes.plot(over_time["seconds"], over_time[name], color=colors[side], linewidth=1, label=report.name)
        axes.set(xlabel="time (s)", ylabel=label, yscale="symlog", ylim=(0, None))
        axes.legend(fontsize=8)
    figure.suptitle(f"{comparison.model}: {comparison.load.words()}")
    save_figure(figure, path)


def _distribution(axes: Any, report: LoadReport, time: str, color: str) -> None:
    """The share of the requests that waited no longer."""
    values = report.times(time)
    if len(values):
        shares = np.linspace(0.0, 1.0, min(_POINTS, len(values)))
        axes.step(np.quantile(values, shares), shares, color=color, where="post", label=report.name)
