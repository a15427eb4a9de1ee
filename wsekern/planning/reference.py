"""The sums of :mod:`wsekern.planning._strips` in numpy."""

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
