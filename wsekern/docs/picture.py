"""The overview picture: four inputs, the mapping, one operation with three views, two engines, kernels, and what comes out.

The background is clear and every text stands on a filled box or in a grey that is readable on white and on black.
"""

import html
import io
import re
from typing import Any

from wsekern.docs.results import comparison
from wsekern.report.words import amount

WIDTH, HEIGHT = 10.0, 7.1
GREY = "#7d8590"
WAFER, GPU, OPERATION, ENGINE, KERNEL, PLAIN = "#c2571a", "#2f6db5", "#6b4fa0", "#1f7a5c", "#4a5561", "#8a6d1c"
SETTINGS = {"svg.hashsalt": "wsekern", "svg.fonttype": "path", "font.family": "DejaVu Sans", "path.simplify": False}


def draw_overview() -> str:
    """The picture as SVG text; the same text for the same version of matplotlib."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, HEIGHT))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
        axes.set_axis_off()
        _inputs(axes)
        _wafer_side(axes)
        _cluster_side(axes)
        return svg_text(figure, transparent=True)


def svg_text(figure: Any, **options: bool) -> str:
    """A matplotlib figure as SVG text without a date, made under :data:`SETTINGS`."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "python -m wsekern.docs"}, **options)
    shorter = re.sub(r'(?<= d=")[^"]*', _short_numbers, buffer.getvalue())
    return "\n".join(line.strip() for line in shorter.splitlines()) + "\n"


def _short_numbers(path: re.Match[str]) -> str:
    """Hundredths of a point are enough for the outline of a shape."""
    return re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", path[0])


def labels_of(svg: str) -> list[str]:
    """Texts of a picture that :func:`draw_overview` drew, in order: what it says, whatever draws the letters."""
    return [html.unescape(text) for text in re.findall(r"<!-- (.*?) -->", svg)]


def _inputs(axes: Any) -> None:
    _heading(axes, 0.15, 6.93, "four inputs, kept apart")
    _box(axes, 0.15, 5.75, 2.2, 1.0, WAFER, "machine", "a wafer: cores, SRAM,\ncolors, queues, latencies")
    _box(axes, 2.5, 5.75, 2.2, 1.0, PLAIN, "workload", "a Hugging Face model\nand a request")
    _box(axes, 4.85, 5.75, 2.2, 1.0, OPERATION, "mapping", "which PE holds\nwhich piece")
    _box(axes, 7.45, 5.75, 2.4, 1.0, GPU, "cluster", "which GPUs, how many,\nhow joined")


def _wafer_side(axes: Any) -> None:
    for x in (1.25, 3.6, 5.95):
        _arrow(axes, (x, 5.73), (x, 5.37))
    _box(axes, 0.15, 4.72, 6.9, 0.62, OPERATION, "a model on a wafer = a list of mesh operations", "")
    _arrow(axes, (3.6, 4.7), (3.6, 4.42))
    _heading(axes, 0.15, 4.42, "one operation, three views")
    _box(axes, 0.15, 3.33, 2.2, 0.95, OPERATION, "what it computes", "plain numpy,\norder of every sum")
    _box(axes, 2.5, 3.33, 2.2, 0.95, OPERATION, "how it runs", "colors, routes,\nPE programs")
    _box(axes, 4.85, 3.33, 2.2, 0.95, OPERATION, "what it costs", "values and a clock\nfor every PE")
    _arrow(axes, (3.6, 3.31), (2.6, 2.86))
    _arrow(axes, (5.95, 3.31), (5.6, 2.86))
    _heading(axes, 0.15, 2.95, "two engines")
    _box(axes, 0.15, 1.83, 3.3, 0.98, ENGINE, "cycle engine", "every wavelet, every core,\nevery cycle")
    _box(axes, 3.75, 1.83, 3.3, 0.98, ENGINE, "flow engine", "whole operations,\nall PEs at once")
    _heading(axes, 3.6, 1.62, "tests compare both: same values, bit for bit", "center")
    for x in (1.2, 6.0):
        _arrow(axes, (x, 1.81), (x, 1.42))
    names = ("fabric", "program", "tiles", "ops")
    texts = ("wavelets and\nrouters", "PE cores", "tile products,\nSIMD", "clocks, values,\ntrees")
    for i, (name, text) in enumerate(zip(names, texts, strict=True)):
        _box(axes, 0.15 + 1.75 * i, 0.38, 1.65, 1.0, KERNEL, f"src/{name}", text)
    _heading(axes, 0.15, 0.17, "kernels in C and Cython: src/X serves wsekern/X")


def _cluster_side(axes: Any) -> None:
    _arrow(axes, (8.65, 5.73), (8.65, 5.37), GPU)
    _box(axes, 7.45, 4.34, 2.4, 1.0, GPU, "GPU model", "fitted kernels, engines,\nlayouts, power, queues")
    _arrow(axes, (8.65, 4.32), (8.65, 3.96), GPU)
    _arrow(axes, (7.07, 2.32), (7.43, 2.32))
    _bars(axes, 7.45, 0.38, 2.4, 3.55)


def _bars(axes: Any, x: float, y: float, width: float, height: float) -> None:
    """One comparison, as ``wsekern compare llama3-8b --cluster h100x8`` prints it."""
    from matplotlib.patches import FancyBboxPatch

    sides = comparison("llama3-8b", "h100x8").served()
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.08", facecolor="#f4f5f7",
                                  edgecolor=GREY, linewidth=0.8))
    axes.text(x + 0.15, y + height - 0.3, "wsekern compare", color="#1b1f24", fontsize=10.5, fontweight="bold", va="center")
    axes.text(x + 0.15, y + height - 0.62, "llama3-8b, one user,\ntokens/s", color="#3c434b", fontsize=8.5, va="top")
    colors = (WAFER, GPU, "#7fa9d8")
    speeds = [side.tokens_per_second_per_user for side in sides]
    for i, (side, speed, color) in enumerate(zip(sides, speeds, colors, strict=True)):
        top = y + height - 1.35 - 0.72 * i
        axes.text(x + 0.15, top, side.name, color="#3c434b", fontsize=8.5, va="center")
        length = 1.45 * speed / max(speeds)
        axes.barh(top - 0.27, length, 0.24, left=x + 0.15, color=color)
        axes.text(x + 0.22 + length, top - 0.27, amount(speed), color="#1b1f24", fontsize=9, va="center")


def _box(axes: Any, x: float, y: float, width: float, height: float, color: str, title: str, text: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.08", facecolor=color,
                                  edgecolor="none"))
    middle = x + width / 2
    if not text:
        axes.text(middle, y + height / 2, title, color="white", fontsize=11, fontweight="bold", ha="center", va="center")
        return
    axes.text(middle, y + height - 0.24, title, color="white", fontsize=11, fontweight="bold", ha="center", va="center")
    axes.text(middle, y + (height - 0.34) / 2, text, color="white", fontsize=8.8, ha="center", va="center", linespacing=1.25)


def _heading(axes: Any, x: float, y: float, text: str, align: str = "left") -> None:
    axes.text(x, y, text, color=GREY, fontsize=9, ha=align, va="center", style="italic")


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float], color: str = GREY) -> None:
    axes.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 1.6,
                                                        "shrinkA": 0, "shrinkB": 0, "mutation_scale": 12})
