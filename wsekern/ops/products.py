"""Products of matrices over P x P PEs as schedules: Cannon's on a folded or a plain ring, SUMMA, and the transposed form.

A core here sends, takes and multiplies by one instruction after the other ("staged"), so that a round costs the sum of what
the released kernels do at the same time in microthreads. A PE's second buffers are ``x`` and ``w``; ``accumulator`` holds
the sum of tile products in fp32 where the precision says so, and ``product`` the result.
"""

from collections.abc import Sequence
from itertools import pairwise

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.ops.gemv import WIDE
from wsekern.ops.ring import exchange
from wsekern.ops.schedule import Schedule
from wsekern.ops.tree import write_reduce
from wsekern.ops.trees import chain_tree


class _Product:
    """A schedule being written, with the tiles at hand on every PE."""

    def __init__(self, width: int, height: int, timing: Timing, m: int, k: int, n: int, transposed: bool = False) -> None:
        if width != height:
            raise InputError(f"a product of matrices runs on a square of PEs, not on {width}x{height}")
        self.pes, self.m, self.k, self.n = width, m, k, n
        buffers = {"x": (m * k, "tile"), "w": (k * n, "tile"), "product": (m * n, "tile"), "scores": (m * n, "tile"),
                   "accumulator": (m * n, "fp32"), "sum": (m * n, "sums")}
        self.schedule = Schedule(width * height, m * k, timing, "meshgemm_call", m * n, buffers,
                                 result=[("scores" if transposed else "product", 0)] * (width * height), width=width,
                                 second=k * n, product=(m, k, n, transposed))
        self.accumulator = "accumulator" if timing.dtype in WIDE else "product"

    def place(self, row: int, column: int) -> int:
        """Place of a PE."""
        return row * self.pes + column

    def clear(self) -> None:
        """All sums to zero."""
        for place in range(self.schedule.length):
            self.schedule.step(place, "clear", self.m * self.n, (self.accumulator, 0), (self.accumulator, 0))

    def multiply(self, place: int, x: str, w: str) -> None:
        """One tile product onto a PE's sum."""
        if self.k:
            self.schedule.step(place, "multiply", self.m * self.n, (self.accumulator, 0), (x, 0), (w, 0))

    def finish(self) -> None:
        """All sums rounded to the tile's precision."""
        if self.accumulator != "product":
            for place in range(self.schedule.length):
                self.schedule.step(place, "round", self.m * self.n, ("product", 0), (self.accumulator, 0))

    def spend_all(self, key: str) -> None:
        """A fixed cost of a round."""
        for place in range(self.schedule.length):
            self.schedule.spend(place, self.schedule.timing.latency(key))


class _Moving:
    """A tile that goes round rings of PEs: it lies in one of two buffers on every PE of a ring."""

    def __init__(self, product: _Product, buffers: tuple[str, str], words: int, rings: Sequence[Sequence[int]]) -> None:
        self.product, self.buffers, self.words, self.rings = product, buffers, words, rings
        self.turn = [0] * len(rings)

    def buffer(self, ring: int) -> str:
        """Where the PEs of a ring have their tile."""
        return self.buffers[self.turn[ring]]

    def shift(self, ring: int, backwards: bool = False) -> None:
        """Every PE of a ring hands its tile to the one before it (or, backwards, after it)."""
        if len(self.rings[ring]) < 2:
            return
        order = list(self.rings[ring] if backwards else self.rings[ring][::-1])
        here, there = (self.buffer(ring), 0), (self.buffers[1 - self.turn[ring]], 0)
        exchange(self.product.schedule, order, [(self.words, here, False)] * len(order),
                 [("mov", self.words, there, None)] * len(order))
        self.turn[ring] = 1 - self.turn[ring]


def write_cannon(width: int, height: int, timing: Timing, m: int, k: int, n: int, ring: Sequence[int],
                 skewed: bool) -> Schedule:
    """Cannon's algorithm, logical neighbours as in ``ring``: align X on the device, then P rounds of product and shift.

    Row i needs its tiles i logical PEs lower: it shifts i times, or P - i times the other way round.
    """
    product, pes = _Product(width, height, timing, m, k, n), width
    x = _Moving(product, ("tile", "x"), m * k, [[product.place(row, column) for column in ring] for row in ring])
    w = _Moving(product, ("second", "w"), k * n, [[product.place(row, column) for row in ring] for column in ring])
    for t in range(0 if skewed else pes // 2):
        for i in range(pes):
            if min(i, pes - i) > t:
                for place in x.rings[i]:
                    product.schedule.spend(place, timing.latency("gemm_align"))
                x.shift(i, backwards=i > pes // 2)
    product.clear()
    for t in range(pes):
        product.spend_all("gemm_round")
        for i in range(pes):
            for j in range(pes):
                product.multiply(x.rings[i][j], x.buffer(i), w.buffer(j))
        for line in range(pes if t < pes - 1 else 0):
            x.shift(line)
        for line in range(pes if t < pes - 1 else 0):
            w.shift(line)
    product.finish()
    return product.schedule


def _hand_out(product: _Product, line: Sequence[int], owner: int, source: str, buffer: str, words: int) -> None:
    """The tile of one PE of a line to all others, which take it into ``buffer`` and hand it on."""
    schedule = product.schedule
    for side in (line[owner::-1], line[owner:]):
        for here, there in pairwise(side):
            message = schedule.message(here, there, words, sums=False)
            schedule.step(here, "mov", words, message, (source if here == line[owner] else buffer, 0))
            schedule.step(there, "mov", words, (buffer, 0), message)


def write_summa(width: int, height: int, timing: Timing, m: int, k: int, n: int) -> Schedule:
    """SUMMA: in round q, column q hands out its X along the rows and row q its W along the columns."""
    product, pes = _Product(width, height, timing, m, k, n), width
    product.clear()
    for q in range(pes):
        product.spend_all("gemm_round")
        for row in range(pes):
            _hand_out(product, [product.place(row, c) for c in range(pes)], q, "tile", "x", m * k)
        for column in range(pes):
            _hand_out(product, [product.place(r, column) for r in range(pes)], q, "second", "w", k * n)
        for row in range(pes):
            for column in range(pes):
                product.multiply(product.place(row, column), "tile" if column == q else "x", "second" if row == q else "w")
    product.finish()
    return product.schedule


def write_transposed(width: int, height: int, timing: Timing, m: int, k: int, n: int, ring: Sequence[int]) -> Schedule:
    """Q K^T: only K moves, along y; in every round each row's products are summed by chains to a root that moves along."""
    product, pes = _Product(width, height, timing, m, k, n, transposed=True), width
    rows = [[product.place(row, column) for column in range(pes)] for row in ring]
    keys = _Moving(product, ("second", "w"), k * n, [[product.place(row, column) for row in ring] for column in range(pes)])
    for t in range(pes):
        product.spend_all("gemm_round")
        product.clear()
        for i in range(pes):
            for column in range(pes):
                product.multiply(rows[i][column], "tile", keys.buffer(column))
        product.finish()
        for i in range(pes):
            write_reduce(product.schedule, chain_tree(pes, (i + t) % pes), "sum", rows[i], m * n, "product", "scores")
        for column in range(pes if t < pes - 1 else 0):
            keys.shift(column)
    return product.schedule
