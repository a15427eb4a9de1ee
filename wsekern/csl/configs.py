"""Configurations of colors that a layout gives to PEs, on grids, and painting them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.csl.apart import changed, groups_by, varying_of
from wsekern.csl.layout import ColorConfig, LayoutEffects, color_config
from wsekern.csl.source import CslError, Diagnostic, Span
from wsekern.csl.tiles import NOBODY, rectangles
from wsekern.csl.values import Value
from wsekern.errors import InputError
from wsekern.program.layout import Layout


@dataclass(eq=False)
class Chosen:
    """Configurations of a color that a program itself makes, each another one, and the number of each PE's."""

    configs: list[ColorConfig | None]
    which: NDArray[np.int64]

    @property
    def empty(self) -> NDArray[np.bool_]:
        """PEs with a configuration that says nothing."""
        return np.array([each is None for each in self.configs])[self.which]

    def with_those(self, other: "Chosen") -> "Chosen":
        """These, and behind them those of other PEs."""
        configs = self.configs + [each for each in other.configs if each not in self.configs]
        places = np.array([configs.index(each) for each in other.configs])
        return Chosen(configs, np.concatenate([self.which, places[other.which]]))


def chosen_config(fields: dict[str, Value], span: Span, count: int) -> Chosen:
    """Configurations of fields whose numbers may differ between a program's PEs."""
    differing = [each for value in fields.values() for each in varying_of(value.data)]
    if not differing:
        return Chosen([color_config(fields, span)], np.zeros(count, np.int64))
    groups, configs, numbers = groups_by(differing), [], []
    for first in np.unique(groups, return_index=True)[1]:
        here = {name: Value(each.type, changed(each.data, lambda varying, first=first: varying.each[first].item()))
                for name, each in fields.items()}
        config = color_config(here, span)
        if config not in configs:
            configs.append(config)
        numbers.append(configs.index(config))
    return Chosen(configs, np.array(numbers)[groups])


@dataclass(eq=False)
class Configs:
    """Configurations of the layout: by color, on a grid of (height, width), the number of each PE's in ``known``."""

    shape: tuple[int, int]
    known: list[ColorConfig] = field(default_factory=list)
    grids: dict[int, NDArray[np.int32]] = field(default_factory=dict)
    said: dict[int, NDArray[np.bool_]] = field(default_factory=dict)
    """PEs for which the layout says anything of a color."""

    def put(self, color: int, x: Any, y: Any, config: ColorConfig | None) -> None:
        """A configuration at PEs; None: one that routes nothing."""
        self.said.setdefault(color, np.zeros(self.shape, bool))[y, x] = True
        if config is None:
            return
        if config not in self.known:
            self.known.append(config)
        self.grids.setdefault(color, np.full(self.shape, NOBODY, np.int32))[y, x] = self.known.index(config)

    def at(self, x: int, y: int, color: int) -> ColorConfig | None:
        """That of a PE."""
        number = self.grids[color][y, x] if color in self.grids else NOBODY
        return None if number == NOBODY else self.known[number]

    def colors_at(self, x: Any, y: Any) -> set[int]:
        """Colors that have one at some of the PEs."""
        return {color for color, grid in self.grids.items() if (grid[y, x] != NOBODY).any()}

    def painted(self, color: int) -> NDArray[np.bool_]:
        """PEs for which the layout says anything of a color."""
        return self.said.get(color, np.zeros(self.shape, bool))


def colors_of(effects: LayoutEffects, made: Layout) -> Configs:
    """Paint the routes of the layout."""
    found = Configs((effects.height, effects.width))
    known: dict[int, ColorConfig | None] = {}
    for color, block in effects.colors.blocks:
        if id(block.fields) not in known:
            known[id(block.fields)] = color_config(block.fields, block.span)
        found.put(color, block.x, block.y, known[id(block.fields)])
    for (x, y, color), route in effects.routes.items():
        found.put(color, x, y, ColorConfig(route))
    for color, grid in found.grids.items():
        for number in np.unique(grid[grid != NOBODY]):
            paint(made, found.known[number], color, grid == number)
    return found


def paint(made: Layout, config: ColorConfig, color: int, mask: NDArray[np.bool_]) -> None:
    """A configuration at PEs."""
    try:
        for x, y, width, height in rectangles(mask):
            if config.route is not None:
                made.fabric.paint_route(color, config.route, x=x, y=y, width=width, height=height)
            if config.filter is not None:
                made.fabric.filter(color, config.filter, x=x, y=y, width=width, height=height)
    except InputError as error:
        raise CslError([Diagnostic(str(error), config.span)]) from None
