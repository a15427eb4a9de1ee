"""Operations on lines of PEs that are alike, for the cycle engine: one line is stepped for all that begin alike.

What goes along one axis is the same on every line, and what sends nothing on every PE. Where two lines begin with the same
differences between their PEs, one ends as much later than the other as it began later, cycle for cycle, and does the same to
its own values. Lines that begin otherwise are stepped by themselves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.ops.engines.programs import compile_operations
from wsekern.ops.operation import Operation
from wsekern.program.alike import AlikeLines, OnLines
from wsekern.program.operands import NUMPY_TYPES
from wsekern.program.simulation import check_values

MOST_PATTERNS = 64
"""Ways of beginning up to which lines are told apart: each is a simulation of its own, and the values of few lines are computed
at the price of many."""
KEPT_LINES = 64
"""Operations compiled for one line that an engine keeps."""


@dataclass(frozen=True)
class Ended:
    """An operation that has run: its results (height, width, elements), and of each PE the cycle at which it was done."""

    values: tuple[np.ndarray, ...]
    clock: NDArray[np.int64]
    link_traversals: int


def shape_of_line(operation: Operation, timing: Timing, width: int, height: int) -> tuple[int, int] | None:
    """(width, height) of the PEs that stand for all others: one PE, a row or a column; None where no line stands for all."""
    lowered = operation.lowered(timing, width, height)
    if lowered.knows_grid or (lowered.axis is None and (lowered.colors or operation.sends)):
        return None
    if lowered.axis is None and len({lowered.role(y, height) for y in range(height)}) == 1:
        shape = 1, 1
    else:
        shape = (width, 1) if lowered.axis == "x" else (1, height)
    return shape if operation.lowered(timing, *shape) == lowered else None


class CompiledLine:
    """An operation compiled for one line of a grid of ``width`` x ``height`` PEs."""

    def __init__(self, operation: Operation, timing: Timing, shape: tuple[int, int], grid: tuple[int, int]) -> None:
        compiled = compile_operations([operation], timing.machine, *shape, timing.profile, timing.precision, True)
        self.shape, self.grid, self.inputs, self.results = shape, grid, compiled.inputs, compiled.results
        self.line = compiled.simulation
        self.alike = AlikeLines(self.line)

    def run(self, clock: NDArray[np.int64], tiles: Sequence[np.ndarray], threads: int) -> Ended | None:
        """Every PE from its ``clock`` (height, width) on, with its tiles; None where lines begin in too many ways, or one line
        cannot stand for others."""
        if len(tiles) != len(self.inputs):
            raise InputError(f"{len(tiles)} tiles for operations that take {len(self.inputs)}")
        tiles = [self._given(name, tile) for name, tile in zip(self.inputs, tiles, strict=True)]
        starts, done = self._clocks_of(clock), np.empty_like(clock)
        first = starts.min(axis=0)
        patterns = list(_patterns(starts - first))
        if not self.alike.fits or len(patterns) > MOST_PATTERNS:
            return None
        given = {name: self._on_lines(tile) for name, tile in zip(self.inputs, tiles, strict=True)}
        values = {name: self._empty(name) for name in self.results}
        taken, traversals = {name: self._on_lines(value) for name, value in values.items()}, 0
        for pattern, lines in patterns:
            self.line.parameters[:, 0] = pattern
            if not self.alike.run(given, taken, lines, threads):
                return None
            self._clocks_of(done)[:, lines] = self.line.clock.reshape(-1, 1) + first[lines]
            traversals += self.line.link_traversals * len(lines)
        return Ended(tuple(values.values()), done, traversals)

    def _clocks_of(self, clock: NDArray[np.int64]) -> NDArray[np.int64]:
        """Clocks (height, width) as (PEs of a line, lines)."""
        if self.shape == (1, 1):
            return clock.reshape(1, -1)
        return clock.T if self.shape[1] == 1 else clock

    def _on_lines(self, array: np.ndarray) -> OnLines:
        """Tiles (height, width, ...)."""
        if self.shape == (1, 1):
            return OnLines(array, None, (0, 1))
        return OnLines(array, 1, (0,)) if self.shape[1] == 1 else OnLines(array, 0, (1,))

    def _given(self, symbol: str, values: Any) -> np.ndarray:
        """Values for a symbol of all PEs (height, width, ...); :class:`InputError` where they are none."""
        values = np.asarray(values)
        check_values(values, self.grid, *self._symbol(symbol), symbol)
        return values if values.ndim > 1 else values.reshape(self.grid[1], self.grid[0], -1)

    def _symbol(self, symbol: str) -> tuple[str, int]:
        """Type and elements of a symbol."""
        return next(program.symbols[symbol] for program in self.line.layout.programs if symbol in program.symbols)

    def _empty(self, symbol: str) -> np.ndarray:
        """Zeros (height, width, elements) for the values of a symbol."""
        type, elements = self._symbol(symbol)
        return np.zeros((self.grid[1], self.grid[0], elements), NUMPY_TYPES[type])


class KeptLines:
    """Operations compiled for one line of a grid of ``width`` x ``height`` PEs, the last ones kept."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._lines: dict[tuple[Operation, str], CompiledLine | None] = {}

    def of(self, operation: Operation, timing: Timing) -> CompiledLine | None:
        """The line that stands for all lines of an operation; None where there is none."""
        key = operation, timing.precision
        if key not in self._lines:
            shape = shape_of_line(operation, timing, self.width, self.height)
            if len(self._lines) >= KEPT_LINES:
                self._lines.pop(next(iter(self._lines)))
            self._lines[key] = shape and CompiledLine(operation, timing, shape, (self.width, self.height))
        return self._lines[key]


def _patterns(offsets: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The different columns of ``offsets`` (PEs, lines), and which lines have each."""
    if (offsets == offsets[:, :1]).all():
        yield offsets[:, 0], np.arange(offsets.shape[1])
        return
    patterns, which = np.unique(offsets, axis=1, return_inverse=True)
    for number in range(patterns.shape[1]):
        yield patterns[:, number], np.flatnonzero(which.reshape(-1) == number)
