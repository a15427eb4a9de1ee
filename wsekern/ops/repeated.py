"""Tiles that neighbors hold in common, kept once.

After an all-reduce every PE of a line holds the same, a norm is the same on a whole row: what a wafer computes on each of them
is computed once here. A :class:`Repeated` says which PEs hold the same tile; the tiles may lie in memory in any order of axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Repeated:
    """Tiles of ``height`` x ``width`` PEs: PE (y, x) holds ``tiles[y // down, x // across]``.

    ``tiles`` has shape (ceil(height / down), ceil(width / across), ...tile); ``down`` is ``height`` where all rows hold the
    same, ``across`` is ``width`` where all columns do. Tiles that are held in common are not written to.
    """

    tiles: np.ndarray
    height: int
    width: int
    down: int = 1
    across: int = 1

    @classmethod
    def of(cls, array: "np.ndarray | Repeated") -> "Repeated":
        """``array`` (height, width, ...tile): an axis of PEs with stride 0 is one tile."""
        if isinstance(array, Repeated):
            return array
        height, width = array.shape[:2]
        down = height if array.strides[0] == 0 and height else 1
        across = width if array.strides[1] == 0 and width else 1
        if down > 1 or across > 1:
            array = array[:1 if down > 1 else None, :1 if across > 1 else None]
        return cls(array, height, width, down, across)

    def with_tiles(self, tiles: np.ndarray) -> "Repeated":
        """Other tiles, held in common by the same PEs."""
        return Repeated(tiles, self.height, self.width, self.down, self.across)

    def at(self, down: int, across: int) -> np.ndarray:
        """The tiles as blocks of ``down`` x ``across`` PEs hold them, (ceil(height / down), ceil(width / across), ...tile):
        each of them is a part of a block that holds one tile here."""
        if down == self.down and across == self.across:
            return self.tiles
        tiles = _spread(self.tiles, 0, self.height, self.down, down)
        return _spread(tiles, 1, self.width, self.across, across)

    def some(self, axis: int, part: slice) -> "Repeated | None":
        """Those of ``part`` (start, stop) of the rows (``axis`` 0) or columns (1) of PEs; None where blocks of these that hold
        the same are more than one and not all."""
        size, held, length = part.stop - part.start, (self.down, self.across)[axis], (self.height, self.width)[axis]
        if held not in (1, length):
            return None
        tiles = self.tiles if held > 1 else self.tiles[(slice(None),) * axis + (part,)]
        if axis:
            return Repeated(tiles, self.height, size, self.down, size if held > 1 else 1)
        return Repeated(tiles, size, self.width, size if held > 1 else 1, self.across)

    def full(self) -> np.ndarray:
        """The tiles of all PEs (height, width, ...tile), to be read."""
        return self.at(1, 1)


def common(tiles: Sequence[Repeated]) -> tuple[int, int]:
    """The largest blocks (down, across) of PEs that hold one tile of each of ``tiles``, which lie on one grid."""
    down, across = tiles[0].down, tiles[0].across
    for other in tiles[1:]:
        down, across = _common(down, other.down, other.height), _common(across, other.across, other.width)
    return down, across


def _common(one: int, other: int, length: int) -> int:
    """All of a line is a block for itself, whatever divides it."""
    if one == other or other == length:
        return one
    return other if one == length else gcd(one, other)


def _spread(tiles: np.ndarray, axis: int, length: int, held: int, wanted: int) -> np.ndarray:
    """``tiles``, each for ``held`` PEs of a line of ``length`` along ``axis``, as each of ``wanted`` PEs."""
    if held == wanted:
        return tiles
    blocks = -(-length // wanted)
    if tiles.shape[axis] == 1:
        return np.broadcast_to(tiles, (*tiles.shape[:axis], blocks, *tiles.shape[axis + 1:]))
    return np.take(tiles, np.arange(blocks) * wanted // held, axis)
