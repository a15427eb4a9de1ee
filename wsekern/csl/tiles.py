"""What a layout says of its PEs, by blocks of PEs for which a statement says it at once: there are up to a million of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.csl import types as t
from wsekern.csl.source import Span
from wsekern.csl.values import Value, Varying, by_pe

MAX_INT = 1 << 63
NOBODY = -1


@dataclass(eq=False)
class Tiles:
    """What @set_tile_code says of PEs (``x``, ``y``); numbers of ``parameters`` that differ have one element for each."""

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    file: str
    parameters: dict[str, Value]
    span: Span | None


@dataclass(eq=False)
class Configured:
    """What @set_color_config says of a color at PEs."""

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    color: int
    fields: dict[str, Value]
    span: Span


Block = Tiles | Configured


@dataclass(eq=False)
class Board:
    """Blocks of PEs, and the number of the block that each PE is in, for each ``key``."""

    blocks: list[Any] = field(default_factory=list)
    grids: dict[int, NDArray[np.int32]] = field(default_factory=dict)

    def add(self, key: int, block: Any, size: tuple[int, int]) -> tuple[int, int, Any] | None:
        """Put a block down on a grid of (width, height); or the first of its PEs that has one, and that one."""
        grid = self.grids.get(key)
        if grid is None:
            grid = self.grids[key] = np.full(size[::-1], NOBODY, np.int32)
        taken = np.flatnonzero(grid[block.y, block.x] != NOBODY)
        if taken.size:
            x, y = int(block.x[taken[0]]), int(block.y[taken[0]])
            return x, y, self.blocks[grid[y, x]][1]
        places, counts = np.unique(block.y * size[0] + block.x, return_counts=True)
        if len(places) < len(block.x):
            y, x = divmod(int(places[counts.argmax()]), size[0])
            return x, y, block
        grid[block.y, block.x] = len(self.blocks)
        self.blocks.append((key, block))
        return None

    def cut(self, count: int) -> None:
        """Take away all blocks but the first ``count``."""
        for key, block in self.blocks[count:]:
            self.grids[key][block.y, block.x] = NOBODY
        del self.blocks[count:]


def rectangles(mask: NDArray[np.bool_]) -> Iterator[tuple[int, int, int, int]]:
    """(x, y, width, height) of rectangles that cover the PEs of ``mask`` [height][width], each once: runs along rows, those
    that rows below each other share together."""
    open_: dict[tuple[int, int], int] = {}
    for y in range(mask.shape[0]):
        edges = np.flatnonzero(np.diff(mask[y].astype(np.int8), prepend=0, append=0))
        runs = set(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
        for first, last in [run for run in open_ if run not in runs]:
            top = open_.pop((first, last))
            yield first, top, last - first, y - top
        for run in runs:
            open_.setdefault(run, y)
    for (first, last), top in open_.items():
        yield first, top, last - first, mask.shape[0] - top


def mask_of(shape: tuple[int, int], pes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """PEs [n][x, y] as truths on a grid of (height, width)."""
    mask = np.zeros(shape, bool)
    mask[pes[:, 1], pes[:, 0]] = True
    return mask


# ---- parameters ----


def differs(value: Value) -> bool:
    """Whether a value may differ between PEs that are compiled together: a whole number that 64 bits hold, or a truth."""
    if not isinstance(value.type, (t.Int, t.ComptimeInt, t.Bool)):
        return False
    return isinstance(value.data, Varying) or -MAX_INT <= value.data < MAX_INT


def template(value: Value) -> Any:
    """What of a parameter must be the same on PEs that are compiled together."""
    if differs(value):
        return str(value.type)
    if isinstance(value.data, dict):
        return tuple((name, template(each)) for name, each in value.data.items())
    if isinstance(value.data, np.ndarray):
        return str(value.type), value.data.tobytes()
    if isinstance(value.data, (int, float, bytes, t.Type, type(None))):
        return str(value.type), value.data
    if isinstance(value.data, list):
        return str(value.type), tuple(map(str, value.data))
    return str(value.type), id(value.data)


def joined(values: list[Value], counts: list[int]) -> Value:
    """A parameter of blocks of so many PEs as one value."""
    first = values[0]
    if isinstance(first.data, dict):
        return Value(first.type, {name: joined([each.data[name] for each in values], counts) for name in first.data})
    if not differs(first):
        return first
    dtype = bool if isinstance(first.type, t.Bool) else np.int64
    if not any(isinstance(each.data, Varying) for each in values):
        return _number(first.type, np.repeat(np.array([each.data for each in values], dtype), counts))
    parts = [np.asarray(each.data.each, dtype) if isinstance(each.data, Varying) else np.full(count, each.data, dtype)
             for each, count in zip(values, counts, strict=True)]
    return _number(first.type, np.concatenate(parts))


def chosen(value: Value, which: NDArray[np.int64]) -> Value:
    """A parameter of some of its PEs, by their places."""
    if isinstance(value.data, dict):
        return Value(value.type, {name: chosen(each, which) for name, each in value.data.items()})
    return _number(value.type, value.data.each[which]) if isinstance(value.data, Varying) else value


def _number(kind: t.Type, each: NDArray[Any]) -> Value:
    return Value(kind, by_pe(each))
