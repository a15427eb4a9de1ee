"""Placements of regions that differ: bands of them across a wafer, where equal regions leave no room for the model.

A band has regions of one height side by side; bands lie above each other, and the head above those of the last wafer. Regions
keep any number of layers, whole ones or in halves, each as narrow as its memory lets it be. Which of them fill the bands, and
which bands the wafers, so that all layers have room and a token is quickest, is summed up exactly.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import groupby
from typing import Any

from wsekern.inference.code import code_bytes
from wsekern.inference.grid import Columns
from wsekern.inference.halves import feeds_alone, has_halves, mixers_alone
from wsekern.inference.kinds import LayerKind
from wsekern.inference.mapping import Mapping
from wsekern.inference.programs import Programs
from wsekern.machine import Machine
from wsekern.machine.machine import in_cycles, sides_of
from wsekern.planning._judge import RunBytes
from wsekern.planning.breakpoints import breakpoints
from wsekern.planning.candidates import Demand
from wsekern.planning.estimate import QuickPlacement
from wsekern.planning.estimator import Estimator, estimator
from wsekern.planning.head_part import with_share
from wsekern.planning.head_room import head_room
from wsekern.planning.layout import filled
from wsekern.planning.region_bytes import region_bytes
from wsekern.planning.regions import RegionShape, pack
from wsekern.planning.strips import Strip, Strips, dealt
from wsekern.workload.config import ModelConfig

MOST_IN_REGION = (12, 8, 5, 3)
"""Layers in a region of a band at most: each is tried."""

MOST_BANDS = 8
"""Bands above each other on a wafer at most."""

APART = 0.985
"""Heights are looked at that are so much smaller than the one before."""

WIDE = 0.95
"""A height is worth timing at which regions hold this share of the layers for each PE that the best ones hold."""

_PARTS: dict[Columns, Callable[[ModelConfig], ModelConfig]] = {"whole": lambda config: config, "mixers": mixers_alone,
                                                            "feeds": feeds_alone}

Band = tuple[Strips[RegionShape], int]
"""Regions side by side: what may lie there, and how many layers these have."""


@dataclass(frozen=True, eq=False)
class Bands:
    """What can lie in bands on wafers of ``machine``, whose regions run ``programs`` and have room for prompts in chunks of
    ``chunk``; with ``halves``, regions of halves of layers among them. ``load`` as of a search,
    ``seconds``: what placements are judged by. Not ``timed``, all regions are taken to be as quick: for who asks for room
    alone."""

    config: ModelConfig
    machine: Machine
    service: Demand
    programs: Programs
    load: dict[str, Any]
    seconds: Callable[[QuickPlacement], float]
    chunk: int = 1
    halves: bool = True
    timed: bool = True

    @cached_property
    def _sides(self) -> tuple[int, int]:
        return sides_of(self.machine)

    # -- what fits ---------------------------------------------------------------------------------------------------------
    def _grid(self, width: int, height: int, layers: int, part: Columns = "whole", feed_width: int = 0) -> Mapping:
        """A region of whole layers or of one half of them."""
        request, load = self.service.request, self.load
        return Mapping(_PARTS[part](self.config), width, height, request.precision, context=request.context,
                       chunk=self.chunk, users=request.batch, layers=layers, with_head=False, shared=request.shared,
                       activations=load.get("activations"), programs=self.programs, feed_width=feed_width, columns=part,
                       **{name: load[name] for name in ("weight_precision", "cache_precision", "expert_law") if name in load})

    @cache  # noqa: B019 - lives as long as the search that asks
    def _bytes_of(self, part: Columns) -> RunBytes:
        """Of regions with one layer."""
        return region_bytes(self._grid(1, 1, 1, part))

    @cache  # noqa: B019 - lives as long as the search that asks
    def _kinds_of(self, part: Columns) -> tuple[LayerKind, ...]:
        """Of their layers."""
        return self._grid(1, 1, 1, part).kinds

    @cache  # noqa: B019 - lives as long as the search that asks
    def _code_of_layer(self, part: Columns) -> int:
        """Bytes of code of each further layer."""
        one, two = (code_bytes(self._grid(1, 1, layers, part)) for layers in (1, 2))
        return two - one

    def _narrowest(self, height: int, part: Columns) -> list[int]:
        """Columns that are enough for 1, 2, ... layers, as far as the wafer has them."""
        request = self.service.request
        return self._bytes_of(part).narrowest(height, self.chunk, (request.batch, request.context, request.shared),
                                              int(self.machine.core.sram), self._code_of_layer(part),
                                              min(max(MOST_IN_REGION), self.config.layers), self._sides[0])

    @cache  # noqa: B019 - lives as long as the search that asks
    def shapes(self, height: int) -> tuple[RegionShape, ...]:
        """Regions of so many rows, of whole layers and of halves: as narrow as can be, and of whole layers as wide as leaves
        room for as many side by side."""
        across = self._sides[0]
        found = [RegionShape(width, height, layers, 1) for layers, narrow in enumerate(self._narrowest(height, "whole"), 1)
                 for width in sorted({narrow, across // (across // narrow)})]
        if self.halves and has_halves(self.config):
            pairs = zip(self._narrowest(height, "mixers"), self._narrowest(height, "feeds"), strict=False)
            found += [RegionShape(mixers + feeds, height, layers, 1, feeds)
                      for layers, (mixers, feeds) in enumerate(((max(2, least), feeds) for least, feeds in pairs), 1)
                      if mixers + feeds <= self._sides[0]]
        return tuple(found)

    @cached_property
    def _densities(self) -> dict[int, float]:
        """Heights of bands at which the residual stream is cut with little padding, and the most layers for each PE there."""
        heights: list[int] = []
        for height in breakpoints(self._sides[1], [self.config.hidden])[::-1]:
            if height >= self._sides[1] // MOST_BANDS and (not heights or height <= APART * heights[-1]):
                heights.append(height)
        held = {height: max((one.layers / one.area for one in self.shapes(height)), default=0.0) for height in heights}
        return {height: density for height, density in held.items() if density}

    @property
    def _heights(self) -> list[int]:
        """Those that fill wafers."""
        best = max(self._densities.values(), default=0.0)
        return [height for height, density in self._densities.items() if density >= WIDE * best]

    @cached_property
    def _most(self) -> int:
        """Layers for which no wafer has more room."""
        most = max(self._densities.values(), default=0.0) * math.prod(self._sides)
        return min(self.config.layers, math.ceil(most))

    # -- what is quick -------------------------------------------------------------------------------------------------------
    @cached_property
    def _position(self) -> int:
        """Cached positions of a token of the mix, on average."""
        total = sum(share for _, share in self.service.mix)
        return math.ceil(sum(share * (request.prompt + request.output / 2) for request, share in self.service.mix) / total)

    def _cycles(self, shape: RegionShape) -> float:
        """Of a token in a region, by the estimate."""
        parts: tuple[Columns, ...] = ("mixers", "feeds") if shape.feed_width else ("whole",)
        widths = (shape.width - shape.feed_width, shape.feed_width) if shape.feed_width else (shape.width,)
        height, kinds = shape.height, [self._kinds_of(part) for part in parts]
        context, hidden = self.service.request.context, -(-self.config.hidden // shape.height)
        work = self._quick.kinds(kinds, widths, height, -(-context // height), self.chunk, 0, 1,
                                 max(1, -(-self._position // height))) / self.config.layers
        return shape.layers * work + self._quick.passed_on(hidden, widths, height, stacked=False)

    @cached_property
    def _quick(self) -> Estimator:
        return estimator(in_cycles(self.machine), self.load["profile"], self.service.request.precision)

    @cached_property
    def _timed(self) -> dict[int, list[Strip[RegionShape]]]:
        """Regions of each height that is worth it."""
        cycles: Callable[[RegionShape], float] = self._cycles if self.timed else lambda shape: 1.0
        return {height: [Strip(shape.width, shape.layers, cycles(shape), shape) for shape in self.shapes(height)]
                for height in self._heights}

    @cache  # noqa: B019 - lives as long as the search that asks
    def _bands(self, most: int) -> Strips[Band]:
        """Bands on a wafer, of regions with up to ``most`` layers."""
        bands: list[Strip[Band]] = []
        for height, regions in self._timed.items():
            bands += self._of_height(height, min(most, max(one.layers for one in regions)))
        return Strips(_worthwhile(bands), self._sides[1], self._most)

    @cache  # noqa: B019 - lives as long as the search that asks
    def _of_height(self, height: int, most: int) -> list[Strip[Band]]:
        """Bands of one height, for each number of layers the quickest."""
        across, regions = self._sides[0], [one for one in self._timed[height] if one.layers <= most]
        room = int(across * max(one.layers / one.size for one in regions)) + 1  # no row has more layers
        row = Strips(regions, across, min(room, self._most))
        return [Strip(height, layers, cycles, (row, layers)) for layers, cycles in enumerate(row.cycles(across).tolist())
                if layers and math.isfinite(cycles)]

    @cached_property
    def _mosts(self) -> list[int]:
        """Those of :data:`MOST_IN_REGION` that differ in something."""
        there = max((one.layers for regions in self._timed.values() for one in regions), default=1)
        return list(dict.fromkeys(min(most, there) for most in MOST_IN_REGION))

    def placement(self, wafers: int) -> QuickPlacement | None:
        """The quickest on so many wafers; None if there is no room. Regions of few layers read prompts sooner, those of many
        answer sooner."""
        return min(self._placements(wafers), key=self.seconds, default=None)

    def holds(self, wafers: int) -> bool:
        """Whether there is room on so many wafers."""
        return bool(self._placements(wafers))

    def _placements(self, wafers: int) -> list[QuickPlacement]:
        """The head lies on the last wafer, or dealt to all where that leaves no room or halves are needed."""
        bands, found = [self._bands(most) for most in self._mosts] if self._heights else [], list[QuickPlacement]()
        for heads in sorted({1, wafers}):
            if not found or self.halves:
                found += self._with_heads(bands, wafers, heads)
        return found

    def _with_heads(self, bands: list[Strips[Band]], wafers: int, heads: int) -> list[QuickPlacement]:
        """The quickest of each of ``bands``, as far as they differ, with the vocabulary on ``heads`` wafers."""
        request, load = self.service.request, self.load
        rows = head_room(with_share(self.config, heads), in_cycles(self.machine), request.precision, self.programs,
                         load.get("activations"), load.get("weight_precision", "")).lowest
        if not rows:
            return []
        lengths, head = [self._sides[1]] * (wafers - heads) + [self._sides[1] - rows] * heads, (self._sides[0], rows)
        fitting = [shapes for shapes in dict.fromkeys(self._shapes_on(one, lengths) for one in bands)
                   if shapes and pack(self._sides, wafers, shapes, head, heads) is not None]
        placed = (filled(QuickPlacement(self.config, self.machine, request, wafers, shapes, head, self.chunk,
                                        programs=self.programs, head_wafers=heads, **load), self.service.inside)
                  for shapes in fitting)
        return [one for one in placed if one is not None]

    def _shapes_on(self, bands: Strips[Band], lengths: list[int]) -> tuple[RegionShape, ...]:
        """Regions for all layers on wafers of these heights, wafer by wafer; none where there is no room."""
        step = float(self.machine.system.io_latency) * float(self.machine.clock)
        counts = dealt([bands.cycles(length) for length in lengths], self.config.layers, step)
        chosen = (band.what for layers, length in zip(counts, lengths, strict=False) for band in bands.chosen(layers, length))
        return tuple(_grouped(region.what for row, layers in chosen for region in row.chosen(layers, row.length)))


def _worthwhile(strips: list[Strip[Band]]) -> list[Strip[Band]]:
    """Those that no other one beats that holds as many layers."""
    found: list[Strip[Band]] = []
    for strip in sorted(strips, key=lambda strip: (strip.layers, strip.size, strip.cycles)):
        if not found or found[-1].layers != strip.layers or strip.cycles < found[-1].cycles:
            found.append(strip)
    return found


def _grouped(shapes: Iterator[RegionShape]) -> Iterator[RegionShape]:
    """Equal ones that follow each other as one."""
    for shape, alike in groupby(shapes):
        yield replace(shape, count=len(list(alike)))
