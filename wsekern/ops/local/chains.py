"""Sums and maxima of rows by chains of vector instructions: for each row its own, or one for all.

A chain goes through the elements of a row in their order: an instruction for each row; one for a column of all rows, mapped
over the columns; or one of all elements, whose target begins anew with each column, where no number has to be waited for
(:meth:`wsekern.machine.timing.Timing.follows`). All give the same bits; the quickest is taken.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from wsekern.machine.timing import Timing
from wsekern.ops.local.product import LONGEST
from wsekern.ops.operation import Emission
from wsekern.program import Mem, Mem4d
from wsekern.tiles import local, rowsum, sumsq


@dataclass(frozen=True)
class _RowChains(ABC):
    """``count`` chains of ``n`` elements."""

    n: int
    count: int

    @abstractmethod
    def instruction(self, timing: Timing) -> str:
        """What each element is added by."""

    @property
    def chained(self) -> int:
        """Elements of a row in its chain, the last ones."""
        return self.n

    def _ways(self, timing: Timing) -> dict[str, tuple[int, int]]:
        """(elements, set-ups) of each order."""
        name, n, count = self.instruction(timing), self.chained, self.count
        setup = timing.setup(name)
        ways = {"rows": (count * timing.elements(name, n), count * setup),
                "columns": (n * timing.elements(name, count), setup + n * timing.latency("map"))}
        if timing.follows(name, count) and n * count <= LONGEST:
            ways["whole"] = timing.elements(name, n * count), setup
        return ways

    def _order(self, timing: Timing) -> str:
        """The quickest one, the first of equal ones."""
        found, *others = self._ways(timing).items()
        for one in others:
            found = one if sum(one[1]) < sum(found[1]) else found
        return found[0]

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(elements, set-ups) of all instructions in cycles."""
        return self._ways(timing)[self._order(timing)] if self.chained else (0, 0)

    def emit(self, out: Emission, result: str) -> None:
        """Write the instructions; ``result``: the symbol of the chains' beginnings."""
        if not self.chained:
            return
        order, length, count, first = self._order(out.timing), self.chained, self.count, self.n - self.chained
        a = out.inputs[0]
        if order == "rows":
            for row in range(count):
                self._write(out, Mem(result, length, row, 0), Mem(a, length, row * self.n + first))
        elif order == "columns":
            self._write(out, Mem(result, count), Mem(a, count, first, self.n, advance=1), length, out.timing.latency("map"))
        else:
            self._write(out, Mem4d(result, (length, count), (0, 1)), Mem4d(a, (length, count), (1, self.n), first))

    def _write(self, out: Emission, total: Mem | Mem4d, own: Mem | Mem4d, repeat: int = 1, between: int = 0) -> None:
        """One instruction."""
        out.program.emit(self.instruction(out.timing), total, *self.sources(total, own), repeat=repeat, between=between)

    @abstractmethod
    def sources(self, total: Mem | Mem4d, own: Mem | Mem4d) -> tuple[Mem | Mem4d, ...]:
        """What an instruction reads: the chains so far, and elements."""


@dataclass(frozen=True)
class RowSums(_RowChains):
    """Sums of rows, or of their ``squares``, in fp32 from 0 on."""

    squares: bool = False

    def instruction(self, timing: Timing) -> str:
        """An add or multiply-add onto fp32."""
        return timing.instruction("fma" if self.squares else "add", "fp32" if timing.precision == "fp32" else "fp16_fp32")

    def sources(self, total: Mem | Mem4d, own: Mem | Mem4d) -> tuple[Mem | Mem4d, ...]:
        return (total, own, own) if self.squares else (total, own)

    def values(self, precision: str, threads: int, *tiles: np.ndarray) -> np.ndarray:
        """Sums (height, width, ...) of rows (height, width, ..., n)."""
        return (sumsq if self.squares else rowsum)(tiles[0], precision, threads)


@dataclass(frozen=True)
class RowMaxima(_RowChains):
    """The largest of each row, from its first element on."""

    @property
    def chained(self) -> int:
        """All but the first."""
        return self.n - 1

    def instruction(self, timing: Timing) -> str:
        """A maximum in the precision."""
        return timing.instruction("max")

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(elements, set-ups), with those of the move of the first elements."""
        (elements, setups), mov = super().cycles(timing), timing.instruction("mov")
        return elements + timing.elements(mov, self.count), setups + timing.setup(mov)

    def emit(self, out: Emission, result: str) -> None:
        """The first elements, then the larger ones."""
        out.program.emit(out.timing.instruction("mov"), Mem(result, self.count), Mem(out.inputs[0], self.count, 0, self.n))
        super().emit(out, result)

    def sources(self, total: Mem | Mem4d, own: Mem | Mem4d) -> tuple[Mem | Mem4d, ...]:
        return own, total

    def values(self, precision: str, threads: int, *tiles: np.ndarray) -> np.ndarray:
        """The largest (height, width, ...) of rows (height, width, ..., n)."""
        return local("rowmax", *tiles, precision=precision, threads=threads)
