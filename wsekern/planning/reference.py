"""The sums of :mod:`wsekern.planning._strips` in numpy, how narrow regions may be by the bytes of one layer, and what is free
on a wafer as in :mod:`wsekern.planning._boxes`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""x, y, width, height."""


class Sums:
    """As :class:`wsekern.planning._strips.Sums`, by a table of the fewest cycles of so many layers on so many PEs."""

    def __init__(self, strips: Sequence[tuple[int, int, float, Any]], length: int, most: int) -> None:
        self._strips, self._cycles = strips, np.full((most + 1, length + 1), np.inf)
        self._cycles[0] = 0.0
        for row in range(1, most + 1):
            for size, layers, cycles, _ in strips:
                if layers <= row and size <= length:
                    found = self._cycles[row - layers, :length + 1 - size] + cycles
                    np.minimum(self._cycles[row, size:], found, out=self._cycles[row, size:])

    def on(self, length: int) -> NDArray[np.float64]:
        """Cycles of 0, 1, ... layers on so many PEs; inf where there is no room."""
        return self._cycles[:, length]

    def chosen(self, row: int, length: int) -> list[int]:
        """Numbers of the strips whose cycles are those of ``row`` layers on ``length`` PEs: from the last on, of equally quick
        ones the first."""
        found: list[int] = []
        while row:
            found.append(next(number for number, (size, layers, cycles, _) in enumerate(self._strips)
                              if layers <= row and size <= length
                              and self._cycles[row - layers, length - size] + cycles == self._cycles[row, length]))
            size, layers, *_ = self._strips[found[-1]]
            row, length = row - layers, length - size
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
