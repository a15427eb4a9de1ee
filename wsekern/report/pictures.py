"""Pictures, with matplotlib, which is imported where one is drawn."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

from wsekern.compare import SHARES, Comparison, Side
from wsekern.compare.front import front
from wsekern.errors import InputError
from wsekern.output import write_figure
from wsekern.report.sides import in_cell
from wsekern.report.words import amount

WAFERS, BOUND = "#e07a1f", "#9ec3e6"
"""Colors of the wafers, and of one cluster with ideal software."""
CLUSTERS = ("#4c78a8", "#54a24b", "#b279a2", "#e45756", "#72b7b2", "#9d755d", "#eeca3b", "#bab0ac")
"""Colors of the clusters in their order, and again from the first on."""
STYLES = ("-", "--", ":", "-.")
"""Lines of several prompt lengths."""


def colors_of(names: Iterable[str]) -> dict[str, str]:
    """Color of each side by name, the wafers first."""
    first, *others = names
    found = {first: WAFERS, **{name: CLUSTERS[index % len(CLUSTERS)] for index, name in enumerate(others)}}
    return found | {name: BOUND for name in others if name.endswith("ideal")}


def comparison_plot(comparison: Comparison, path: str | os.PathLike[str]) -> None:
    """One picture (PNG, SVG or PDF by the file's ending): speed of one answer, requests of all users, where a token's time
    goes, and of several clusters the front of speed and cost."""
    several, titles = len(comparison.clusters) > 1, comparison.titles()
    named = {name: side for name, side in comparison.sides().items() if side is not None}
    figure = new_figure((14 + 1.2 * max(0, len(named) - 3) + (5 if several else 0), 4.5))
    speed, rate, why, *more = figure.subplots(1, 4 if several else 3)
    sides, colors = list(named.values()), colors_of(comparison.sides())
    names = [titles[name] if several else side.name.replace(" (", "\n(") for name, side in named.items()]
    bars = speed.bar(names, [side.tokens_per_second_per_user for side in sides], color=[colors[name] for name in named])
    speed.bar_label(bars, [in_cell(side, lambda one: amount(one.tokens_per_second_per_user)) for side in sides])
    speed.set_ylabel("tokens/s for each user")
    speed.set_title(f"{comparison.model}, {comparison.request.batch} user(s)")
    _requests(rate, sides, names, [bar.get_facecolor() for bar in bars])
    _causes(why, sides, names)
    for axes in more:
        draw_front(axes, named, colors, "-")
        for name, side in named.items():
            axes.annotate(f" {titles[name]}", (side.tokens_per_second_per_user, side.usd_per_million_tokens), fontsize=8)
    for axes in (speed, rate, why) if len(named) > 3 else ():
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    figure.legend(*why.get_legend_handles_labels(), loc="outside right center", reverse=True)
    save_figure(figure, path)


def _causes(axes: Any, sides: list[Side], names: list[str]) -> None:
    """Where the time of a token goes."""
    colors = {"compute": "#54a24b", "memory": "#4c78a8", "communication": "#b279a2", "overhead": "#eeca3b"}
    bottom = [0.0] * len(sides)
    for share in SHARES:
        values = [1e3 * side.time_per_output_token_seconds * side.shares[share] for side in sides]
        axes.bar(names, values, bottom=bottom, label=share, color=colors[share])
        bottom = [low + value for low, value in zip(bottom, values, strict=True)]
    axes.set_ylabel("time per output token (ms)")
    axes.set_title("where the time goes")


def draw_front(axes: Any, systems: Mapping[Any, Side], colors: Mapping[Any, str], style: str) -> None:
    """Every system as a point of the speed of a user and the price of a token, and the line through those that none beats."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    cost = "usd_per_million_tokens"
    for key, side in systems.items():
        axes.plot(side.tokens_per_second_per_user, getattr(side, cost), "o", color=colors[key], markersize=4)
    kept = [systems[key] for key in front(systems, cost)]
    axes.plot([side.tokens_per_second_per_user for side in kept], [getattr(side, cost) for side in kept], style, color="black",
              linewidth=1, zorder=0)
    axes.set(xscale="log", yscale="log", xlabel="tokens/s for each user", ylabel="USD per million output tokens",
             title="front: faster to the right, cheaper below")
    axes.margins(0.15)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FormatStrFormatter("%g"))
        axis.set_minor_formatter(NullFormatter())


def _requests(axes: Any, sides: list[Side], names: list[str], colors: list[Any]) -> None:
    """Whole requests a second of all users, with what each costs."""
    bars = axes.bar(names, [side.requests_per_second for side in sides], color=colors)
    axes.bar_label(bars, [f"{in_cell(side, lambda one: amount(one.requests_per_second))}\n"
                          f"{in_cell(side, lambda one: amount(one.joules_per_request))} J each" for side in sides])
    axes.margins(y=0.15)
    axes.set_ylabel("requests/s in total")
    axes.set_title("whole requests, prompts included")


def new_figure(inches: tuple[float, float]) -> Any:
    """An empty matplotlib figure, drawn without a screen."""
    from matplotlib.figure import Figure

    return Figure(figsize=inches, layout="constrained")


def save_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a matplotlib figure whole or not at all."""
    write_figure(path, figure, dpi=120)


def validation_plot(validation: dict[str, list[dict]], path: str | os.PathLike[str]) -> None:
    """Predictions against measurements, one color per unit, beside predicted over measured, one line per group."""
    rows = [row for row in validation["rows"] if row["predicted"] is not None and row["predicted"] > 0 and row["measured"] > 0]
    if not rows:
        raise InputError("there is nothing to draw: no row has a prediction")
    groups = sorted({row["group"] for row in rows}, reverse=True)
    figure = new_figure((13, max(5.5, 1.5 + 0.19 * len(groups))))
    scatter, ratios = figure.subplots(1, 2)
    _scatter_by_unit(scatter, rows)
    _ratios_by_group(ratios, rows, groups)
    save_figure(figure, path)


def _scatter_by_unit(axes: Any, rows: list[dict]) -> None:
    for unit in sorted({row["unit"] for row in rows}):
        here = [row for row in rows if row["unit"] == unit]
        axes.scatter([row["measured"] for row in here], [row["predicted"] for row in here], s=10, label=unit, alpha=0.6)
    ends = [min(row["measured"] for row in rows), max(row["measured"] for row in rows)]
    axes.plot(ends, ends, color="black", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="measured", ylabel="predicted")
    axes.legend(title="unit")


def _ratios_by_group(axes: Any, rows: list[dict], groups: list[str]) -> None:
    """Rows used for fitting are hollow; the band is 10 % to either side."""
    axes.axvspan(0.9, 1.1, color="#e8e8e8")
    axes.axvline(1, color="black", linewidth=0.8)
    for fitted, face in ((False, "#4c78a8"), (True, "none")):
        here = [row for row in rows if row["fitted"] == fitted]
        axes.scatter([row["predicted"] / row["measured"] for row in here], [groups.index(row["group"]) for row in here], s=12,
                     facecolors=face, edgecolors="#4c78a8", linewidths=0.6, alpha=0.5,
                     label="used for fitting" if fitted else "predicted")
    axes.set(xscale="log", xlabel="predicted / measured", xlim=(0.1, 10), ylim=(-1, len(groups)))
    ticks = (0.1, 0.2, 0.5, 1, 2, 5, 10)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_yticks(range(len(groups)), groups, fontsize=8)
    axes.legend(loc="lower right")
