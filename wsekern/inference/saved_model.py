"""What a model on a wafer keeps between two passes, as data and arrays that a file can hold."""

import math

import msgspec
import numpy as np

from wsekern.errors import InputError
from wsekern.inference.steps import Values
from wsekern.ops.engines.saved import SavedClocks
from wsekern.ops.repeated import Repeated


class SavedTiles(msgspec.Struct, forbid_unknown_fields=True):
    """Tiles (height, width, ...tile) of all PEs, or, where ``held`` says (down, across), those that PEs hold in common as a
    :class:`Repeated` keeps them."""

    tiles: np.ndarray
    held: tuple[int, int] | None = None


class SavedModel(msgspec.Struct, forbid_unknown_fields=True):
    """A sequence of ``length`` tokens, of which ``furthest`` were there at most: the cache of each layer, and
    the clocks, with those of columns for feed-forward parts beside them."""

    length: int
    furthest: int
    caches: list[dict[str, SavedTiles]]
    cycles_by_part: dict[str, int]
    clocks: SavedClocks
    feed_clocks: SavedClocks | None = None


def save_tiles(cache: Values) -> dict[str, SavedTiles]:
    """The cache of a layer as data, whose arrays are the cache's own."""
    return {name: SavedTiles(found.tiles, (found.down, found.across)) if isinstance(found, Repeated) else SavedTiles(found)
            for name, found in cache.items()}


def restore_tiles(cache: Values, saved: dict[str, SavedTiles]) -> None:
    """Fill the empty ``cache`` of a layer, whose arrays stay as they lie in memory, with what was saved of it."""
    if set(cache) != set(saved):
        raise InputError(f"saved with a cache of {', '.join(saved) or 'nothing'}, expected {', '.join(cache) or 'nothing'}")
    for name, found in saved.items():
        empty, tiles = Repeated.of(cache[name]).full(), found.tiles
        (height, width), (down, across) = empty.shape[:2], found.held or (1, 1)
        there = 1 <= down <= height and 1 <= across <= width and tiles.shape[:2] == (-(-height // down), -(-width // across))
        each = math.prod(tiles.shape[2:])  # steps may leave a tile with other axes than it began with
        if not there or tiles.dtype != empty.dtype or each != math.prod(empty.shape[2:]):
            raise InputError(f"the saved {name} is {tiles.dtype} {tiles.shape}, expected {empty.dtype} {empty.shape}")
        if found.held is not None:
            cache[name] = Repeated(tiles, height, width, down, across)
        elif tiles.shape == empty.shape:
            empty[...] = tiles
        else:
            cache[name] = tiles
