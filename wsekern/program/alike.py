"""Lines of PEs that are alike: one is stepped, and what it does to values is done to those of all lines.

Lines on which programs, routes and starts are the same, and between which no word goes, have the same clocks as long as nothing
but values depends on values. One line then says what every instruction does, word by word; the values of all lines follow in
the same order, many lines at a time. Programs that branch on values, start tasks by words or count in registers are not of
this kind: :attr:`AlikeLines.fits` says so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from wsekern.errors import InputError, raise_for_status
from wsekern.program.operands import NUMPY_TYPES
from wsekern.program.simulation import Simulation


@dataclass(frozen=True)
class OnLines:
    """An array of tiles of any strides, seen as PEs of a line, lines, and elements of a tile.

    ``pes``: the axis along a line, None where a line is one PE; ``lines``: the axes that lines are counted on, row by row;
    all further axes are of the tile.
    """

    array: np.ndarray
    pes: int | None
    lines: tuple[int, ...]

    @property
    def tile(self) -> tuple[int, ...]:
        """The shape of a tile."""
        return self.array.shape[2:]

    def at_lines(self, lines: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bytes from the first PE to the first one of each line."""
        return np.ascontiguousarray(self._offsets(self.lines)[lines])

    def at_halves(self) -> NDArray[np.int64]:
        """Bytes from a tile to each halfword of it."""
        elements = self._offsets(range(2, self.array.ndim))
        return (elements[:, None] + 2 * np.arange(self.array.itemsize // 2)).reshape(-1)

    def _offsets(self, axes: Iterable[int]) -> NDArray[np.int64]:
        found = np.zeros(1, np.int64)
        for axis in axes:
            found = (found[:, None] + self.array.strides[axis] * np.arange(self.array.shape[axis])).reshape(-1)
        return found


class AlikeLines:
    """A simulation of one line of PEs, which stands for any number of lines."""

    def __init__(self, line: Simulation) -> None:
        self.line = line
        self.fits = line._cores.can_tape(line._fabric)
        """Whether the clocks of its programs do not depend on values."""

    def run(self, tiles: Mapping[str, OnLines], results: Mapping[str, OnLines], lines: NDArray[np.int64],
            threads: int = 1) -> bool:
        """From the start of the programs to their end, with the first values of memory everywhere.

        ``tiles``, ``results``: of a symbol, what is laid into it at the start and read from it at the end, on ``lines``. False
        where memory is not even, so that every line has to be simulated.
        """
        line, cores = self.line, self.line._cores
        if not self.fits:
            raise InputError("what these programs do depends on values: simulate every line")
        line.reset()
        line.fill_memory()
        cores.start_tape()
        try:
            line.run()
            if cores.tape is None or cores.tape[2]:
                return False
            held = [self._place(symbol, on_lines, lines, result) for result, given in ((False, tiles), (True, results))
                    for symbol, on_lines in given.items() if prod(on_lines.tile)]
            raise_for_status(cores.run_tape(held, len(lines), threads))
        finally:
            cores.drop_tape()
        return True

    def _place(self, symbol: str, on_lines: OnLines, lines: NDArray[np.int64], result: bool) -> tuple:
        """A tile as the cores take it."""
        layout, array = self.line.layout, on_lines.array
        address = np.full(layout.width * layout.height, -1, np.int32)
        for index, pes, type, elements, at in self.line._holders(symbol, 0, 0, layout.width, layout.height):
            if elements != prod(on_lines.tile) or array.dtype != NUMPY_TYPES[type]:
                raise InputError(f"values of shape {array.shape} and type {array.dtype} for symbol {symbol} of "
                                 f"{layout.programs[index].name}: expected {elements} elements of {type} per PE")
            address[pes] = at
        by_pe = 0 if on_lines.pes is None else array.strides[on_lines.pes]
        return array.ctypes.data, by_pe, on_lines.at_lines(lines), on_lines.at_halves(), address, result
