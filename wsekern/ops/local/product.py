"""Orders in which a PE goes through the product of its tiles, each with its instructions and its cycles.

All add the terms of an element in the order of the inner index, so that they give the same bits: a row of the left tile after
the other, a multiply-add of its columns mapped over the inner index; an instruction for each inner index, of several rows; or
one instruction of all, whose target begins anew with each inner index. A sum may then be needed again before it is there: that
order is left out for tiles so small that a core would wait (:meth:`wsekern.machine.timing.Timing.follows`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from wsekern.formulas import largest, smallest
from wsekern.machine.timing import Timing
from wsekern.ops.local.vector import PIECE
from wsekern.ops.operation import Emission
from wsekern.program import Mem, Mem4d

WIDE = ("fp16_fp32", "bf16")
"""Number formats whose products are summed in fp32 and rounded once at the end."""
LONGEST = 0x7FFE
"""Elements of an instruction at most: longer ones do not end on WSE-3."""

Order = Literal["rows", "inner", "whole"]


@dataclass(frozen=True)
class TileProduct:
    """Y (m, n) of X (m, k) and W (k, n); ``transposed``: W lies as (n, k); ``own``: each row of X has a W of its own (m, k, n).
    """

    m: int
    k: int
    n: int
    transposed: bool = False
    own: bool = False

    def cycles(self, timing: Timing, together: bool) -> tuple[int, int]:
        """(compute, overhead) cycles of one PE, row by row or in the quickest order, called once."""
        if not self.m * self.k * self.n:
            return 0, 0
        compute, overhead = self._of(self.order(timing, together), timing)
        return compute, overhead + timing.latency("gemv_call", timing.latency("call"))

    def order(self, timing: Timing, together: bool) -> Order:
        """The quickest order; of equally quick ones that of more instructions."""
        if not together:
            return "rows"
        orders: list[Order] = ["rows", "inner"]
        if timing.follows(timing.instruction("fma"), self.m * self.n) and self.m * self.n <= LONGEST:
            orders.append("whole")
        found, best = orders[0], sum(self._of(orders[0], timing))
        for order in orders[1:]:
            cycles = sum(self._of(order, timing))
            if cycles < best:
                found, best = order, cycles
        return found

    def _of(self, order: Order, timing: Timing) -> tuple[int, int]:
        """(compute, overhead) of the instructions of an order."""
        ways: dict[Order, Callable[[Timing], tuple[int, int]]] = {
            "rows": self._rows, "inner": self._inner, "whole": self._whole}
        return ways[order](timing)

    def _rows(self, timing: Timing) -> tuple[int, int]:
        fma = timing.instruction("fma")
        convert = timing.vector(timing.instruction("mov"), self.n) if timing.precision in WIDE else 0
        return (self.m * (self.k * timing.elements(fma, self.n) + convert),
                self.m * (timing.setup(fma) + self.k * timing.latency("map")))

    def _inner(self, timing: Timing) -> tuple[int, int]:
        fma, mov = timing.instruction("fma"), timing.instruction("mov")
        sizes = block_sizes(self.m, self.n)
        convert = sum(count * timing.vector(mov, size) for count, size in sizes) if timing.precision in WIDE else 0
        elements = sum(count * timing.elements(fma, size) for count, size in sizes)
        return self.k * elements + convert, sum(count for count, _ in sizes) * self.k * timing.setup(fma)

    def _whole(self, timing: Timing) -> tuple[int, int]:
        fma, each = timing.instruction("fma"), self.m * self.n
        longest = largest(1, LONGEST // each)
        times, rest = divmod(self.k, longest)
        convert = timing.vector(timing.instruction("mov"), each) if timing.precision in WIDE else 0
        return (times * timing.elements(fma, longest * each) + timing.elements(fma, rest * each) + convert,
                (times + smallest(rest, 1)) * timing.setup(fma))

    def emit(self, out: Emission, together: bool) -> str:
        """Write its program: sums are zero when the program is loaded. The symbol that holds the result."""
        timing, program = out.timing, out.program
        result = program.memory(f"y.{out.serial}", out.type, self.m * self.n, 0)
        if not self.m * self.k * self.n:
            return result
        program.spend(timing.latency("gemv_call", timing.latency("call")))
        wide = timing.precision in WIDE
        sums = program.memory(f"y32.{out.serial}", "fp32", self.m * self.n, 0) if wide else result
        ways = {"rows": self._emit_rows, "inner": self._emit_inner, "whole": self._emit_whole}
        for start, elements in ways[self.order(timing, together)](out, sums):
            if wide:
                program.emit(timing.instruction("mov"), Mem(result, elements, start), Mem(sums, elements, start))
        return result

    @property
    def _strides(self) -> tuple[int, int, int]:
        """Elements of W from one inner index, row and column to the next."""
        return 1 if self.transposed else self.n, self.k * self.n if self.own else 0, self.k if self.transposed else 1

    def _emit_rows(self, out: Emission, sums: str) -> Iterator[tuple[int, int]]:
        """Write the instructions; behind those of each (first element, elements) of Y."""
        (x, w), (inner, beside, across) = out.inputs, self._strides
        for row in range(self.m):
            target = Mem(sums, self.n, row * self.n)
            out.program.emit(out.timing.instruction("fma"), target, target, Mem(x, self.n, row * self.k, stride=0, advance=1),
                             Mem(w, self.n, row * beside, stride=across, advance=inner), repeat=self.k,
                             between=out.timing.latency("map"))
            yield row * self.n, self.n

    def _emit_inner(self, out: Emission, sums: str) -> Iterator[tuple[int, int]]:
        (x, w), (inner, beside, across) = out.inputs, self._strides
        for row, rows in row_blocks(self.m, self.n):
            target, shape = Mem(sums, rows * self.n, row * self.n), (rows, self.n)
            for index in range(self.k):
                left = Mem4d(x, shape, (self.k, 0), row * self.k + index)
                right = Mem4d(w, shape, (beside, across), row * beside + index * inner)
                out.program.emit(out.timing.instruction("fma"), target, target, left, right)
            yield row * self.n, rows * self.n

    def _emit_whole(self, out: Emission, sums: str) -> Iterator[tuple[int, int]]:
        (x, w), (inner, beside, across), each = out.inputs, self._strides, self.m * self.n
        longest = LONGEST // each
        for index in range(0, self.k, longest):
            shape = min(longest, self.k - index), self.m, self.n
            target = Mem4d(sums, shape, (0, self.n, 1))
            out.program.emit(out.timing.instruction("fma"), target, target, Mem4d(x, shape, (1, self.k, 0), index),
                             Mem4d(w, shape, (inner, beside, across), index * inner))
        yield 0, each


def row_blocks(rows: int, cols: int) -> Iterator[tuple[int, int]]:
    """(first, rows) of the rows of ``cols`` elements that an instruction takes together: up to :data:`PIECE` elements."""
    together = max(1, PIECE // max(1, cols))
    return ((row, min(together, rows - row)) for row in range(0, rows, together))


def block_sizes(rows: int, cols: int) -> tuple[tuple[int, int], ...]:
    """(how many, elements) of the equal ones of :func:`row_blocks`."""
    together = largest(1, PIECE // largest(1, cols))
    whole, rest = divmod(rows, together)
    return ((whole, together * cols), (smallest(rest, 1), rest * cols))
