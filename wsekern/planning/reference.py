"""The sums of :mod:`wsekern.planning._strips` in numpy, and how narrow regions may be by the bytes of one layer."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


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
