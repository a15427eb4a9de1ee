"""The sums of :mod:`wsekern.planning._strips` in numpy, how narrow regions may be by the bytes of one layer, and what is free
on a wafer as in :mod:`wsekern.planning._boxes`."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""x, y, width, height."""


def fill(cycles: NDArray[np.float64], sizes: NDArray[np.int64], layers: NDArray[np.int64], each: NDArray[np.float64],
         least: NDArray[np.int64]) -> None:
    """The fewest ``cycles`` of 0, 1, ... layers (rows; the first is 0, all others inf) on 0, 1, ... PEs by strips of ``sizes``
    with ``layers`` that take ``each``; ``least`` (rows) becomes the fewest PEs."""
    length = cycles.shape[1] - 1
    least[0] = 0
    for row in range(1, len(cycles)):
        usable = np.flatnonzero(layers <= row)
        fewest = least[row - layers[usable]] + sizes[usable]
        least[row] = min(length + 1, *fewest, length + 1)
        for strip, size in zip(usable, fewest, strict=True):
            if size <= length:
                found = cycles[row - layers[strip], size - sizes[strip]:length + 1 - sizes[strip]] + each[strip]
                np.minimum(cycles[row, size:], found, out=cycles[row, size:])


def chosen(cycles: NDArray[np.float64], sizes: NDArray[np.int64], layers: NDArray[np.int64], each: NDArray[np.float64],
           row: int, length: int) -> list[int]:
    """Numbers of the strips whose ``cycles`` are those of ``row`` layers on ``length`` PEs: from the last on, of equally quick
    ones the first."""
    found: list[int] = []
    while row:
        usable = np.flatnonzero((layers <= row) & (sizes <= length))
        before = cycles[row - layers[usable], length - sizes[usable]] + each[usable]
        found.append(int(usable[np.flatnonzero(before == cycles[row, length])[0]]))
        row, length = row - int(layers[found[-1]]), length - int(sizes[found[-1]])
    return found


def narrowest(by_use: Callable[[int], tuple[int, int, int]], sram: int, more: int, layers: int, widest: int) -> list[int]:
    """As :meth:`wsekern.planning._judge.RunBytes.narrowest`, by the bytes of one layer on so many columns."""
    def held(width: int) -> int:
        weights, kept, beside = by_use(width)
        return max(0, (sram - weights - kept - beside) // (weights + kept + more) + 1)

    found = [0]
    for count in range(1, min(layers, held(widest)) + 1):
        low, high = found[-1], widest
        near = count * low // max(1, count - 1)  # as many more as the one before took
        for probe in (near, near - 4, near + 4):
            if low < probe < high:
                low, high = (low, probe) if held(probe) >= count else (probe, high)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if held(middle) >= count else (middle, high)
        found.append(high)
    return found[1:]


class Wafer:
    """What is free on one wafer: the largest rectangles, which may overlap."""

    def __init__(self, width: int, height: int) -> None:
        self.free: list[Box] = [(0, 0, width, height)]

    def place(self, width: int, height: int) -> tuple[int, int] | None:
        """The lowest place for a rectangle, which it takes."""
        found = min(((y, x) for x, y, wide, high in self.free if width <= wide and height <= high), default=None)
        if found is None:
            return None
        y, x = found
        self.take(x, y, width, height)
        return x, y

    def take(self, x: int, y: int, width: int, height: int) -> None:
        """Let that rectangle be free no more."""
        right, top, kept, cut = x + width, y + height, [], []
        for box in self.free:
            left, low, wide, high = box
            if left >= right or left + wide <= x or low >= top or low + high <= y:
                kept.append(box)
                continue
            cut += [(left, low, x - left, high)] if left < x else []
            cut += [(right, low, left + wide - right, high)] if left + wide > right else []
            cut += [(left, low, wide, y - low)] if low < y else []
            cut += [(left, top, wide, low + high - top)] if low + high > top else []
        cut = [box for index, box in enumerate(cut)
               if not any(_inside(box, other) and (other != box or at < index) for at, other in enumerate(cut) if at != index)
               and not any(_inside(box, other) for other in kept)]
        self.free = kept + cut


def _inside(box: Box, other: Box) -> bool:
    return (other[0] <= box[0] and other[1] <= box[1] and box[0] + box[2] <= other[0] + other[2]
            and box[1] + box[3] <= other[1] + other[3])
