"""Lines of PEs that are alike: one is stepped, and what it does to values is done to those of all lines.

Lines on which programs, routes and starts are the same, and between which no word goes, have the same clocks as long as nothing
but values depends on values. One line then says what every instruction does, word by word; the values of all lines follow in
the same order, many lines at a time. Programs that branch on values, start tasks by words or count in registers are not of
this kind: :attr:`AlikeLines.fits` says so.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from wsekern.errors import InputError, raise_for_status
from wsekern.program.simulation import Simulation


class AlikeLines:
    """A simulation of one line of PEs, which stands for any number of lines."""

    def __init__(self, line: Simulation) -> None:
        self.line = line
        self.fits = line._cores.can_tape(line._fabric)
        """Whether the clocks of its programs do not depend on values."""

    def run(self, tiles: Mapping[str, np.ndarray], results: Mapping[str, np.ndarray], lines: Sequence[int] | NDArray[np.int64],
            threads: int = 1) -> bool:
        """From the start of the programs to their end, with the first values of memory everywhere.

        ``tiles``, ``results``: of a symbol, what is laid into it at the start and read from it at the end: arrays (PEs of a
        line, lines, elements), of which ``lines`` are meant. False where memory is not even, so that values have to be
        computed line by line.
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
            held = [(*self._bytes_of(symbol, array), result) for result, given in ((False, tiles), (True, results))
                    for symbol, array in given.items()]
            raise_for_status(cores.run_tape(held, np.ascontiguousarray(lines, np.int32), threads))
        finally:
            cores.drop_tape()
        return True

    def _bytes_of(self, symbol: str, array: np.ndarray) -> tuple[np.ndarray, NDArray[np.int32]]:
        """An array as bytes (PEs, lines, bytes), and the address of the symbol on each PE, -1: it has none."""
        layout = self.line.layout
        address = np.full(layout.width * layout.height, -1, np.int32)
        for _, pes, _, elements, at in self.line._holders(symbol, 0, 0, layout.width, layout.height):
            if elements * array.itemsize != array.shape[2] * array.itemsize or array.shape[0] != address.size:
                raise InputError(f"values of shape {array.shape} for symbol {symbol}: expected {elements} elements on each of "
                                 f"{address.size} PEs of a line")
            address[pes] = at
        return array.view(np.uint8), address
