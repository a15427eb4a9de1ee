"""What a model on a wafer keeps between two passes, as data and arrays that a file can hold."""

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
    """A sequence of ``length`` tokens, of which ``furthest`` were there at most: the cache of each layer, and the clocks."""

    length: int
    furthest: int
    caches: list[dict[str, SavedTiles]]
    cycles_by_part: dict[str, int]
    clocks: SavedClocks


def save_tiles(cache: Values) -> dict[str, SavedTiles]:
    """The cache of a layer as data, whose arrays are the cache's own."""
    return {name: SavedTiles(found.tiles, (found.down, found.across)) if isinstance(found, Repeated) else SavedTiles(found)
            for name, found in cache.items()}


def restore_tiles(cache: Values, saved: dict[str, SavedTiles]) -> None:
    """Fill the empty ``cache`` of a layer, whose arrays stay as they lie in memory, with what was saved of it."""
    if set(cache) != set(saved):
        raise InputError(f"saved with a cache of {', '.join(saved) or 'nothing'}, expected {', '.join(cache) or 'nothing'}")
    for name, found in saved.items():
        empty = Repeated.of(cache[name]).full()
        height, width = empty.shape[:2]
        held = _in_common(found.tiles, height, width, *(found.held or (1, 1)), name)
        if held.tiles.dtype != empty.dtype or held.full().size != empty.size:  # steps may leave other axes than they began with
            raise InputError(f"the saved {name} is {held.tiles.dtype} {held.full().shape}, expected {empty.dtype} {empty.shape}")
        if found.held is not None or found.tiles.shape != empty.shape:
            cache[name] = held if found.held is not None else found.tiles
        else:
            empty[...] = found.tiles


def _in_common(tiles: np.ndarray, height: int, width: int, down: int, across: int, name: str) -> Repeated:
    if not (1 <= down <= height and 1 <= across <= width) or tiles.shape[:2] != (-(-height // down), -(-width // across)):
        raise InputError(f"the saved {name} has tiles {tiles.shape} held by blocks of {down} x {across} PEs of {height} x {width}")
    return Repeated(tiles, height, width, down, across)
