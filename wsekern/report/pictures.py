"""Pictures, with matplotlib where it is installed."""

import io
import os
from pathlib import Path
from typing import Any

from wsekern.compare import SHARES, Comparison
from wsekern.errors import InputError
from wsekern.report.files import write_file
from wsekern.report.words import amount


def comparison_plot(comparison: Comparison, path: str | os.PathLike[str]) -> None:
    """One picture (PNG, SVG or PDF by the file's ending): speed for one user, and where a token's time goes."""
    figure_class = _figure_class()
    figure = figure_class(figsize=(10, 4.5), layout="constrained")
    speed, why = figure.subplots(1, 2)
    sides = (comparison.wafer, comparison.cluster, comparison.cluster_ideal)
    names = [side.name.replace(" (", "\n(") for side in sides]
    bars = speed.bar(names, [side.tokens_per_second_per_user for side in sides], color=["#e07a1f", "#4c78a8", "#9ec3e6"])
    speed.bar_label(bars, [amount(side.tokens_per_second_per_user) for side in sides])
    speed.set_ylabel("tokens/s for each user")
    speed.set_title(f"{comparison.model}, {comparison.request.batch} user(s)")
    colours = {"compute": "#54a24b", "memory": "#4c78a8", "communication": "#b279a2", "overhead": "#eeca3b"}
    bottom = [0.0] * len(sides)
    for share in SHARES:
        values = [1e3 * side.time_per_output_token_seconds * side.shares[share] for side in sides]
        why.bar(names, values, bottom=bottom, label=share, color=colours[share])
        bottom = [low + value for low, value in zip(bottom, values, strict=True)]
    why.set_ylabel("time per output token (ms)")
    why.set_title("where the time goes")
    why.legend()
    save_figure(figure, path)


def _figure_class():
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("pictures need matplotlib, which is not installed: type `pip install 'wsekern[plot]'`") from None
    return Figure


def save_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a matplotlib figure whole or not at all."""
    kind = Path(path).suffix.lstrip(".").lower() or "png"
    if kind not in ("png", "svg", "pdf"):
        raise InputError(f"cannot draw {path}: expected a name that ends in .png, .svg or .pdf")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=120)
    write_file(path, buffer.getvalue())


def validation_plot(found: dict[str, list[dict]], path: str | os.PathLike[str]) -> None:
    """Predictions against measurements, one colour per group, on logarithmic axes; the line is perfect agreement."""
    figure = _figure_class()(figsize=(7.5, 6.5), layout="constrained")
    axes = figure.subplots()
    groups: dict[str, list[tuple[float, float]]] = {}
    for row in found["rows"]:
        if row["predicted"] is not None and row["predicted"] > 0 and row["measured"] > 0:
            groups.setdefault(f"{row['group']} ({row['unit']})", []).append((row["measured"], row["predicted"]))
    if not groups:
        raise InputError("there is nothing to draw: no row has a prediction")
    for name, points in sorted(groups.items()):
        axes.scatter(*zip(*points, strict=True), s=12, label=name, alpha=0.7)
    every = [value for points in groups.values() for point in points for value in point]
    axes.plot([min(every), max(every)], [min(every), max(every)], color="black", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="measured", ylabel="predicted")
    axes.legend(fontsize=6)
    save_figure(figure, path)
