"""Numbers of PEs at which the pieces of a vector become shorter: sides of regions that are worth trying."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Any

from wsekern.workload.config import ModelConfig


def moved(points: list[int], value: int, step: int) -> int:
    """The point ``step`` places from ``value``, which may lie between two points."""
    if not step:
        return value
    at = bisect_left(points, value) if step < 0 else bisect_right(points, value) - 1
    return points[min(max(at + step, 0), len(points) - 1)]


def breakpoints(side: int, sizes: Iterable[int]) -> list[int]:
    """Numbers of PEs up to ``side`` over which a vector of one of ``sizes`` is cut into shorter pieces than over one less."""
    found = {-(-size // piece) for size in sizes for piece in {-(-size // pes) for pes in range(1, side + 1)}}
    return sorted(point for point in found | {side} if 1 <= point <= side)


def widths_of(config: ModelConfig) -> list[int]:
    """Sizes of the vectors that lie along x: of heads, and inside the feed-forward parts."""
    found = []
    for block, _ in config.kinds:
        for part in (*block.mixers, *([block.feed] if block.feed else [])):
            found += sizes_of(part)
    return sorted({size for size in found if size})


def sizes_of(part: Any) -> list[int]:
    """Of the vectors of a part of a block, by the names that descriptions have."""
    names = ("width", "heads", "kv_heads", "q_size", "kv_size", "q_rank", "kv_rank")
    own = [getattr(part, name, 0) for name in names]
    inner = [getattr(part, name, None) for name in ("expert", "shared", "dense")]
    found = [size for size in own if isinstance(size, int)]
    return found + [size for one in inner if one is not None for size in sizes_of(one)]


def first_from(points: list[int], value: int) -> int:
    """Place of the first point that is not below ``value``."""
    return min(bisect_left(points, value), len(points) - 1)
