"""Several operations at once, each on a rectangle of the grid of its own.

Two reductions side by side take as long as the longer one alone, and every other PE stays at cycle 0:

>>> from wsekern.ops import FlowEngine, Part, Reduce, Region, run_regions
>>> engine = FlowEngine("wse2", 8, 2, "vendor-simulator", "fp32")
>>> left, right = Region(0, 0, 3, 1), Region(3, 0, 5, 1)
>>> run_regions(engine, [Part(left, Reduce(4, "x")), Part(right, Reduce(4, "x"))])
[]
>>> engine.clock[:, [0, 3]].tolist(), engine.link_traversals
([[16, 28], [0, 0]], 24)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsekern.errors import InputError
from wsekern.machine import Machine, load_machine
from wsekern.machine.timing import Timing
from wsekern.ops.engines.flow import FlowEngine
from wsekern.ops.engines.programs import ColorAllocator, place_operations
from wsekern.ops.operation import Operation
from wsekern.program import Layout, Program, Simulation
from wsekern.shown import Shown, Tabled


@dataclass(frozen=True)
class Region(Tabled):
    """``width`` x ``height`` PEs, the first of them at column ``x`` and row ``y``."""

    x: int
    y: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


@dataclass(frozen=True, eq=False, repr=False)
class Part(Shown):
    """An operation on a region, with its tiles (height, width of the region, ...)."""

    region: Region
    operation: Operation
    tiles: tuple[NDArray, ...] = ()


def check_disjoint(parts: Iterable[Part], width: int, height: int) -> None:
    """Refuse regions that do not lie on the grid or that overlap: their PEs would run two programs, and share links."""
    taken = np.full((height, width), -1)
    for index, part in enumerate(parts):
        region = part.region
        inside = (min(region.x, region.y) >= 0 and min(region.width, region.height) > 0
                  and region.x + region.width <= width and region.y + region.height <= height)
        if not inside:
            raise InputError(f"{region} does not lie on {width}x{height} PEs")
        overlap = taken[region.slices]
        if (overlap >= 0).any():
            raise InputError(f"the regions of operations {int(overlap.max())} and {index} overlap: expected disjoint "
                             "rectangles")
        overlap[:] = index


def run_regions(engine: FlowEngine, parts: Sequence[Part]) -> list[NDArray]:
    """Run operations at once on disjoint regions of the flow engine's grid: their values; clocks alone without tiles.

    No operation leaves its region, so that no two share a link: the clocks are those of each alone.
    """
    check_disjoint(parts, engine.width, engine.height)
    values = []
    for part in parts:
        inner = FlowEngine(engine.machine, part.region.width, part.region.height, engine.profile, engine.precision,
                           engine.threads)
        clocks = engine.grid()[part.region.slices]
        inner.grid()[:] = clocks
        if part.tiles:
            values.append(inner.run(part.operation, *part.tiles))
        else:
            inner.time(part.operation)
        clocks[:] = inner.grid()
        engine.link_traversals += inner.link_traversals
        engine.notes |= inner.notes
    return values


class Window:
    """A rectangle of a layout, as operations see a layout."""

    def __init__(self, layout: Layout, region: Region) -> None:
        self.layout, self.region = layout, region
        self.machine, self.timing = layout.machine, layout.timing
        self.width, self.height = region.width, region.height

    def set_route(self, color: int, rx: Iterable[str], tx: Iterable[str], x: int = 0, y: int = 0, width: int = 1,
                  height: int = 1, then: str | None = None) -> None:
        """As Layout.set_route, from the region's first PE on."""
        self.layout.set_route(color, rx, tx, x + self.region.x, y + self.region.y, width, height, then)

    def set_programs(self, programs: list[Program], which: np.ndarray) -> None:
        """As Layout.set_programs, on the region."""
        for index, program in enumerate(programs):
            for y, x in np.argwhere(which == index).tolist():
                self.layout.set_program(program, x + self.region.x, y + self.region.y)


@dataclass(frozen=True)
class RegionsRun:
    """Values of each region's operation, end of each PE in cycles (height, width), and the simulation."""

    values: list[NDArray]
    clock: NDArray
    simulation: Simulation


def run_regions_on_cycle_engine(parts: Sequence[Part], machine: Machine | str, width: int, height: int, profile: str,
                                precision: str) -> RegionsRun:
    """Run operations at once on disjoint regions, wavelet by wavelet, in one simulation. Regions use the same colors."""
    machine = load_machine(machine)
    check_disjoint(parts, width, height)
    layout = Layout(machine, width, height, profile, banks=False)
    placed = []
    for index, part in enumerate(parts):
        window = Window(layout, part.region)
        placed.append(place_operations(window, Timing(machine, profile, precision), [part.operation],
                                       ColorAllocator(machine), prefix=f"part{index}."))
    simulation = layout.compile()
    for part, (inputs, _) in zip(parts, placed, strict=True):
        for name, tile in zip(inputs, part.tiles, strict=True):
            whole = np.zeros((height, width, tile[0, 0].size), tile.dtype)
            whole[part.region.slices] = tile.reshape(*tile.shape[:2], -1)
            simulation.memcpy_h2d(name, whole)
    simulation.run()
    values = [simulation.memcpy_d2h(result)[part.region.slices] for part, (_, (result, *_)) in zip(parts, placed, strict=True)]
    return RegionsRun(values, simulation.clock, simulation)
