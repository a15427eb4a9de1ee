"""Rectangles of PEs on wafers: the regions that keep layers and the head, packed on shelves, and what is left over used.

Rectangles are placed one after the other, each as low as possible and then as far left as possible on the first wafer that has
room: equal ones stand side by side on shelves. What is free on a wafer is kept as the largest free rectangles, which may
overlap (Jukka Jylänki, "A thousand ways to pack the bin", 2010: maximal rectangles, bottom-left), so that a rest strip beside
or above the shelves takes whatever fits it.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from wsekern.planning._boxes import Wafer
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Block, Mixture

Kind = Literal["layers", "head"]
Box = tuple[int, int, int, int]
"""x, y, width, height."""


@dataclass(frozen=True)
class RegionShape:
    """``count`` regions of ``width`` x ``height`` PEs, one behind the other, each with ``layers`` consecutive layers.

    Where ``feed_width`` is not 0, so many columns have the feed-forward parts of the layers, on both sides of the others, which
    have the mixers.
    """

    width: int
    height: int
    layers: int
    count: int
    feed_width: int = 0

    @property
    def held(self) -> int:
        """Layers of all of them."""
        return self.layers * self.count

    @property
    def area(self) -> int:
        """PEs of one."""
        return self.width * self.height


@dataclass(frozen=True)
class PlacedRegion:
    """A rectangle of PEs on a wafer (all counted from 0), and the layers that it keeps; none where ``kind`` is not ``layers``.

    PE (x, y) is the corner with the lowest coordinates; ``feed_width`` columns, half of them on either side, have feed-forward
    parts alone, if any have. A wafer turned by a quarter has its sides exchanged.
    """

    wafer: int
    x: int
    y: int
    width: int
    height: int
    first_layer: int
    layers: int
    kind: Kind = "layers"
    feed_width: int = 0


Size = tuple[int, int]
"""Width and height."""


@dataclass(frozen=True)
class Packing:
    """Where regions lie, (wafer, x, y) of each, the head last, and what is left free on its wafer: the largest free
    rectangles."""

    places: tuple[tuple[int, int, int], ...]
    free: tuple[Box, ...]


@lru_cache(maxsize=4096)
def pack(sides: Size, wafers: int, shapes: tuple[RegionShape, ...], head: Size | None, heads: int = 1) -> Packing | None:
    """All regions of ``shapes``, in the order of their layers, on as few of the ``wafers`` wafers as hold them, and
    the head in the upper corner of the last of these, or of the last ``heads``; None if they do not fit."""
    sizes = [(shape.width, shape.height) for shape in shapes] + ([head] if head else [])
    if any(width > sides[0] or height > sides[1] for width, height in sizes):
        return None
    area = sum(shape.area * shape.count for shape in shapes) + (heads * head[0] * head[1] if head else 0)
    for used in range(max(heads, -(-area // (sides[0] * sides[1]))), wafers + 1):
        found = _packed(sides, used, shapes, head, heads)
        if found is not None:
            return found
    return None


def _packed(sides: Size, wafers: int, shapes: tuple[RegionShape, ...], head: Size | None, heads: int) -> Packing | None:
    filled = [Wafer(*sides) for _ in range(wafers)]
    corner = (sides[0] - head[0], sides[1] - head[1]) if head else sides
    for last in filled[-heads:] if head else ():
        last.take(*corner, *head)
    places: list[tuple[int, int, int]] = []
    full: dict[Size, int] = {}  # size -> first wafer that may have room for it
    for shape in shapes:
        size = shape.width, shape.height
        for _ in range(shape.count):
            at = full.get(size, 0)
            while (found := filled[at].place(*size)) is None:
                at += 1
                if at == wafers:
                    return None
            full[size] = at
            places.append((at, *found))
    return Packing((*places, (wafers - 1, *corner)) if head else tuple(places), tuple(filled[-1].free))


def equal_shapes(width: int, height: int, layers: int, in_all: int, feed_width: int = 0) -> tuple[RegionShape, ...]:
    """Regions of ``layers`` layers each, the last with what is left of ``in_all``."""
    whole, rest = divmod(in_all, layers)
    shapes = (RegionShape(width, height, layers, whole, feed_width), RegionShape(width, height, rest, 1, feed_width))
    return tuple(shape for shape in shapes if shape.held)


def shapes_of(config: ModelConfig, width: int, height: int, layers: int, feed_width: int = 0) -> tuple[RegionShape, ...]:
    """Regions for all layers of ``config`` with ``layers`` in each; of light layers before the others (the dense ones before
    mixtures) as many as weigh no more than those; one region where ``layers`` are all."""
    if layers >= config.layers:
        return equal_shapes(width, height, layers, config.layers, feed_width)
    first, together = _light_layers(config)
    light = equal_shapes(width, height, max(1, layers * together), first, feed_width) if first else ()
    return light + equal_shapes(width, height, layers, config.layers - first, feed_width)


@lru_cache(maxsize=4096)
def layers_of(config: ModelConfig, first: int, count: int) -> ModelConfig:
    """A model of ``count`` layers of ``config`` from ``first`` on, as many as there are."""
    return config if not first and count >= config.layers else replace(config, blocks=config.blocks[first:first + count])


@lru_cache(maxsize=256)
def _light_layers(config: ModelConfig) -> tuple[int, int]:
    """How many layers before the others weigh half as much as one of these or less, and how many of them one of these."""
    sizes = {block: block.parameters(config.hidden) for block, _ in config.kinds}
    weights = [sizes[block] for block in config.blocks]
    heaviest = max(weights)
    first = next((index for index, weight in enumerate(weights) if 2 * weight > heaviest), 0)
    return first, heaviest // max(weights[:first]) if first else 1


def expert_weights(block: Block, hidden: int) -> int:
    """Weights of the experts of a block that may lie on other wafers."""
    feed = block.feed
    if not isinstance(feed, Mixture):
        return 0
    return feed.experts * feed.expert.parameters(feed.latent or hidden)
