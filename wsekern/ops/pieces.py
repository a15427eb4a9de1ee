"""Clocks of a grid of PEs as few pieces, in each of which they are those of a row and of a column."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Clock = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Piece:
    """The PEs at some ``rows`` and some ``columns`` of a grid, in order: cycles by cause ``row`` (rows, causes) and ``column``
    (columns, causes), which add up."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    row: Clock
    column: Clock

    def without(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> "list[Piece]":
        """What is left without the PEs at ``rows`` and ``columns``."""
        down, across = np.isin(self.rows, rows), np.isin(self.columns, columns)
        if not (down.any() and across.any()):
            return [self]
        return [self.cut(~down, np.ones(len(across), bool)), self.cut(down, ~across)]

    def cut(self, down: NDArray[np.bool_], across: NDArray[np.bool_]) -> "Piece":
        """The part at some of its rows and columns."""
        return Piece(self.rows[down], self.columns[across], self.row[down], self.column[across])


class Pieces:
    """All PEs of a grid, each in one piece: at first those of a ``row`` (height, causes) and a ``column`` (width, causes)."""

    def __init__(self, row: Clock, column: Clock) -> None:
        self.height, self.width = len(row), len(column)
        self.parts = [Piece(np.arange(self.height), np.arange(self.width), row, column)]

    def put(self, rows: slice | int, columns: slice | int, row: Clock, column: Clock) -> None:
        """Set the clocks of the PEs at ``rows`` and ``columns``."""
        down, across = (np.atleast_1d(np.arange(size)[which]) for size, which in ((self.height, rows), (self.width, columns)))
        left = [piece for part in self.parts for piece in part.without(down, across)]
        found = [*left, Piece(down, across, np.atleast_2d(row), np.atleast_2d(column))]
        self.parts = [piece for piece in found if len(piece.rows) and len(piece.columns)]

    def column(self, x: int) -> Clock:
        """Clocks (height, causes) of the PEs of a column; a copy."""
        found = np.empty((self.height, self.parts[0].row.shape[1]), np.int64)
        for part in self.parts:
            for at in np.flatnonzero(part.columns == x):
                found[part.rows] = part.row + part.column[at]
        return found

    def latest(self) -> Clock:
        """Cycles by cause of the PE with the latest clock, of the first, row by row, of those that have it."""
        found = []
        for part in self.parts:
            y, x = part.row.sum(axis=1).argmax(), part.column.sum(axis=1).argmax()
            causes = part.row[y] + part.column[x]
            found.append((-int(causes.sum()), int(part.rows[y]), int(part.columns[x]), causes))
        return min(found, key=lambda one: one[:3])[3]

    def latest_behind(self, over_rows: Clock, over_columns: Clock) -> int:
        """The latest clock, less what is given for its row and its column."""
        return max(int((part.row.sum(axis=1) - over_rows[part.rows]).max()
                       + (part.column.sum(axis=1) - over_columns[part.columns]).max()) for part in self.parts)

    def at_once(self) -> Clock | None:
        """Cycles by cause of every PE, where they are the same for all."""
        row, column = self.parts[0].row, self.parts[0].column
        same = len(self.parts) == 1 and bool((row == row[0]).all()) and bool((column == column[0]).all())
        return row[0] + column[0] if same else None

    def spend(self, cycles: Clock) -> None:
        """Work that is the same on every PE: ``cycles`` by cause."""
        self.parts = [Piece(part.rows, part.columns, part.row + cycles, part.column) for part in self.parts]

    def spread(self, grid: Clock) -> None:
        """Cycles by cause of every PE, into (height, width, causes)."""
        for part in self.parts:
            if len(self.parts) == 1:
                np.add(part.row[:, None], part.column, out=grid)
            else:
                grid[np.ix_(part.rows, part.columns)] = part.row[:, None] + part.column

    def clock(self) -> Clock:
        """Clocks (height, width) of all PEs."""
        found = np.empty((self.height, self.width), np.int64)
        for part in self.parts:
            found[np.ix_(part.rows, part.columns)] = part.row.sum(axis=1)[:, None] + part.column.sum(axis=1)
        return found
