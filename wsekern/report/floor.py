"""The floor plan of a placement: each wafer with its regions, their layers, the head, and what is free."""

import os
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from rich import box
from rich.table import Table

from wsekern.machine.machine import sides_of
from wsekern.planning.layout import Placement
from wsekern.planning.regions import PlacedRegion
from wsekern.report.pictures import new_figure, save_figure

COLORS = {"layers": "#56b4e9", "head": "#e69f00"}
"""Of each kind of region (Okabe and Ito: told apart without seeing all colors); hatches tell them apart without any."""
HATCHES = {"layers": "", "head": "//"}
ACROSS = 5
"""Wafers beside each other at most."""
MOST_WAFERS = 20
"""Wafers that are drawn; more are all alike."""


def floor_plot(placement: Placement, path: str | os.PathLike[str]) -> None:
    """Draw the wafers (PNG, SVG or PDF by the file's ending)."""
    save_figure(floor_figure(placement), path)


def floor_figure(placement: Placement) -> Any:
    """The wafers as a matplotlib figure."""
    regions, shown = placement.rectangles, min(placement.wafers, MOST_WAFERS)
    columns = min(shown, ACROSS)
    rows = -(-shown // columns)
    size = 5.2 if shown == 1 else 3.2
    figure = new_figure((size * columns + 0.6, 1.05 * size * rows + 0.9))
    axes = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for wafer, area in enumerate(axes):
        area.set_axis_off()
        if wafer < shown:
            _wafer(area, placement, wafer, [region for region in regions if region.wafer == wafer])
    more = f", the first {shown} of {placement.wafers} wafers" if shown < placement.wafers else ""
    figure.suptitle(f"{placement.config.name} on {placement.wafers} x {placement.machine.title}{more}", fontsize=11)
    halves = "dotted: feed-forward parts on both sides; " if any(region.feed_width for region in regions) else ""
    figure.supxlabel(f"dark: memory in use; hatched: embedding and LM head; {halves}white: free PEs", fontsize=9)
    return figure


def _wafer(axes: Any, placement: Placement, wafer: int, regions: Sequence[PlacedRegion]) -> None:
    from matplotlib.patches import Rectangle

    width, height = sides_of(placement.machine)
    axes.set(xlim=(-0.01 * width, 1.01 * width), ylim=(1.01 * height, -0.01 * height), aspect="equal")
    axes.add_patch(Rectangle((0, 0), width, height, facecolor="white", edgecolor="black", linewidth=1.2))
    for region in regions:
        color, filled = COLORS[region.kind], filled_share(placement, region)
        axes.add_patch(Rectangle((region.x, region.y), region.width, region.height, facecolor=color, alpha=0.35, linewidth=0))
        axes.add_patch(Rectangle((region.x, region.y + (1 - filled) * region.height), region.width, filled * region.height,
                                 facecolor=color, hatch=HATCHES[region.kind], edgecolor="#0000004d", linewidth=0))
        axes.add_patch(Rectangle((region.x, region.y), region.width, region.height, fill=False, edgecolor="black",
                                 linewidth=0.7))
        if region.feed_width:
            for border in (region.feed_width // 2, region.width - region.feed_width // 2):
                axes.plot([region.x + border] * 2, [region.y, region.y + region.height], color="black", linewidth=0.7,
                          linestyle=":")
        axes.text(region.x + region.width / 2, region.y + region.height / 2, label(region), ha="center", va="center",
                  fontsize=_letters(region, height, 10 if placement.wafers == 1 else 7))
    axes.set_title(f"wafer {wafer + 1}, {100 * free_share(placement, wafer):.0f} % free", fontsize=9)


def _letters(region: PlacedRegion, height: int, most: float) -> float:
    """Size of letters that fit a region."""
    return max(4.0, min(most, 300.0 * region.height / height, 4.0 * most * region.width / (0.55 * height * len(label(region)))))


def label(region: PlacedRegion) -> str:
    """What a region keeps, layers counted from 1."""
    if region.kind != "layers":
        return region.kind
    first, last = region.first_layer + 1, region.first_layer + region.layers
    return f"{first}" if first == last else f"{first}-{last}"


def filled_share(placement: Placement, region: PlacedRegion) -> float:
    """Share of the memory of a region's fullest PE that is in use."""
    mapping = placement.head_mapping
    if region.kind == "layers":
        mapping = next(one for one, behind in zip(placement.mappings, _layers_behind(placement), strict=True)
                       if region.first_layer < behind)
    return min(1.0, sum(mapping.memory.values()) / int(placement.machine.core.sram))


def _layers_behind(placement: Placement) -> list[int]:
    """Of each shape of regions, the first layer behind all of them."""
    return list(accumulate(shape.held for shape in placement.shapes))


def floor_data(placement: Placement) -> list[dict[str, Any]]:
    """Plain data: every region; wafers and layers are counted from 1."""
    return [{"wafer": region.wafer + 1, "kind": region.kind, "x": region.x, "y": region.y, "width": region.width,
             "height": region.height, "feed_width": region.feed_width,
             "first_layer": region.first_layer + 1 if region.layers else None, "layers": region.layers,
             "memory_filled": filled_share(placement, region)}
            for region in placement.rectangles]


def floor_rows(placement: Placement) -> list[tuple[str, ...]]:
    """The floor plan in words, a line for wafers in a row that are alike and each size of regions there: wafers, regions on
    each, PEs of a region, its layers, the layers of all, memory in use, free PEs."""
    rows: list[tuple[str, ...]] = []
    for first, last in alike_wafers(placement):
        groups = [_groups(placement, wafer) for wafer in (first, last)]
        for key, regions in groups[0].items():
            (kind, wide, high, layers, feeds), ends = key, (regions[0], groups[1][key][-1])
            across = f"({wide - feeds}+{feeds})" if feeds else str(wide)
            whole = f"{ends[0].first_layer + 1}-{ends[1].first_layer + layers}" if kind == "layers" else kind
            rows.append((str(first + 1) if first == last else f"{first + 1}-{last + 1}", str(len(regions)), f"{across}x{high}",
                         str(layers), whole, f"{100 * filled_share(placement, regions[0]):.0f} %",
                         f"{100 * free_share(placement, first):.0f} %"))
    return rows


def _groups(placement: Placement, wafer: int) -> dict[tuple[str, int, int, int, int], list[PlacedRegion]]:
    """Regions of a wafer by kind, sides, layers, and columns for feed-forward parts alone."""
    found: dict[tuple[str, int, int, int, int], list[PlacedRegion]] = {}
    for region in placement.rectangles:
        if region.wafer == wafer:
            key = region.kind, region.width, region.height, region.layers, region.feed_width
            found.setdefault(key, []).append(region)
    return found


def alike_wafers(placement: Placement) -> list[tuple[int, int]]:
    """First and last wafer of each run of wafers that hold as many regions of the same sizes."""
    runs: list[tuple[int, int]] = []
    before = None
    for wafer in range(placement.wafers):
        shape = {key: len(regions) for key, regions in _groups(placement, wafer).items()}
        runs = [*runs[:-1], (runs[-1][0], wafer)] if shape == before else [*runs, (wafer, wafer)]
        before = shape
    return runs


def free_share(placement: Placement, wafer: int) -> float:
    """Share of a wafer's PEs outside all regions."""
    width, height = sides_of(placement.machine)
    used = sum(region.width * region.height for region in placement.rectangles if region.wafer == wafer)
    return 1.0 - used / (width * height)


HEADER = ("wafer", "regions", "PEs of each", "layers each", "layers", "memory filled", "wafer free")


def floor_table(placement: Placement) -> Table:
    """The floor plan in words."""
    table = Table(title="floor plan of the placement marked *", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in HEADER:
        table.add_column(name, justify="right")
    for row in floor_rows(placement):
        table.add_row(*row)
    return table
