"""Products of matrices over a grid of PEs as schedules: Cannon's on a folded or a plain ring, SUMMA, and the transposed form.

The inner size is cut into as many blocks as the least common multiple of width and height, so that every PE of a row holds
as many blocks of X, and every PE of a column as many of W: one each on a square.

A core here sends, takes and multiplies by one instruction after the other ("staged"), so that a round costs the sum of what
the released kernels do at the same time in microthreads. A PE's second buffers are ``x`` and ``w``; ``accumulator`` holds
the sum of tile products in fp32 where the precision says so, and ``product`` the result.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import lcm

from wsekern.machine.timing import Timing
from wsekern.ops.lines.ring import Send, Take, exchange
from wsekern.ops.lines.tree_reduce import write_reduce
from wsekern.ops.lines.trees import chain_tree
from wsekern.ops.local.product import WIDE
from wsekern.ops.schedule.schedule import Schedule
from wsekern.ops.schedule.steps import Buffer


class _Product:
    """A schedule being written, with the tiles at hand on every PE."""

    def __init__(self, width: int, height: int, timing: Timing, m: int, k: int, n: int, transposed: bool = False) -> None:
        self.width, self.height, self.m, self.k, self.n = width, height, m, k, n
        self.rounds = lcm(width, height)
        self.x_blocks, self.w_blocks = self.rounds // width, self.rounds // height
        left, result = m * k * (1 if transposed else self.x_blocks), m * n * (self.x_blocks if transposed else 1)
        right = k * n * self.w_blocks
        buffers = {"x": (left, "tile"), "w": (right, "tile"), "product": (m * n, "tile"), "scores": (result, "tile"),
                   "accumulator": (m * n, "fp32"), "sum": (m * n, "sums")}
        self.schedule = Schedule(width * height, left, timing, "meshgemm_call", result, buffers,
                                 result=[("scores" if transposed else "product", 0)] * (width * height), width=width,
                                 second=right, product=(m, k, n, transposed))
        self.accumulator = "accumulator" if timing.precision in WIDE else "product"

    def pe(self, row: int, column: int) -> int:
        """A PE, counted row by row."""
        return row * self.width + column

    def clear(self) -> None:
        """All sums to zero."""
        for pe in range(self.schedule.length):
            self.schedule.step(pe, "clear", self.m * self.n, (self.accumulator, 0), (self.accumulator, 0))

    def multiply(self, pe: int, x: Buffer, w: Buffer) -> None:
        """One tile product onto a PE's sum."""
        if self.k:
            self.schedule.step(pe, "multiply", self.m * self.n, (self.accumulator, 0), x, w)

    def finish(self) -> None:
        """All sums rounded to the tile's precision."""
        if self.accumulator != "product":
            for pe in range(self.schedule.length):
                self.schedule.step(pe, "round", self.m * self.n, ("product", 0), (self.accumulator, 0))

    def spend_all(self, key: str) -> None:
        """A fixed cost of a round."""
        for pe in range(self.schedule.length):
            self.schedule.spend(pe, self.schedule.timing.latency(key))


class _Moving:
    """A tile that goes round rings of PEs: it lies in one of two buffers on every PE of a ring."""

    def __init__(self, product: _Product, buffers: tuple[str, str], elements: int, rings: Sequence[Sequence[int]]) -> None:
        self.product, self.buffers, self.elements, self.rings = product, buffers, elements, rings
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
        exchange(self.product.schedule, order, [Send(self.elements, here, False)] * len(order),
                 [Take("mov", self.elements, there)] * len(order))
        self.turn[ring] = 1 - self.turn[ring]


def write_cannon(width: int, height: int, timing: Timing, m: int, k: int, n: int, rings: tuple[Sequence[int], Sequence[int]],
                 skewed: bool) -> Schedule:
    """Cannon's algorithm, logical neighbors along x and y as in ``rings``: align X on the device, then a round of product
    and shift for every block of the inner size.

    Row i needs its tiles i logical PEs lower: it shifts i times, or P - i times the other way round.
    """
    product, (ring_x, ring_y) = _Product(width, height, timing, m, k, n), rings
    x = _Moving(product, ("tile", "x"), m * k * product.x_blocks,
                [[product.pe(row, column) for column in ring_x] for row in ring_y])
    w = _Moving(product, ("second", "w"), k * n * product.w_blocks,
                [[product.pe(row, column) for row in ring_y] for column in ring_x])
    for t in range(0 if skewed else align_rounds(width, height)):
        for i in range(height):
            if min(i % width, width - i % width) > t:
                for pe in x.rings[i]:
                    product.schedule.spend(pe, timing.latency("gemm_align"))
                x.shift(i, backwards=i % width > width // 2)
    product.clear()
    for t in range(product.rounds):
        product.spend_all("gemm_round")
        for i in range(height):
            for j in range(width):
                block = (i + j + t) % product.rounds
                product.multiply(x.rings[i][j], (x.buffer(i), block // width * m * k), (w.buffer(j), block // height * k * n))
        for i in range(height if t < product.rounds - 1 else 0):
            x.shift(i)
        for j in range(width if t < product.rounds - 1 else 0):
            w.shift(j)
    product.finish()
    return product.schedule


def align_rounds(width: int, height: int) -> int:
    """Shifts of the row that is farthest from where its tiles of X are needed."""
    return max(min(i % width, width - i % width) for i in range(height))


def _hand_out(product: _Product, line: Sequence[int], owner: int, source: Buffer, buffer: str, elements: int) -> None:
    """The tile of one PE of a line to all others, which take it into ``buffer`` and hand it on."""
    schedule = product.schedule
    for side in (line[owner::-1], line[owner:]):
        for here, there in pairwise(side):
            message = schedule.message(here, there, elements, sums=False)
            schedule.step(here, "mov", elements, message, source if here == line[owner] else (buffer, 0))
            schedule.step(there, "mov", elements, (buffer, 0), message)


def write_summa(width: int, height: int, timing: Timing, m: int, k: int, n: int) -> Schedule:
    """SUMMA: in round q the column that has block q hands out its X along the rows and the row that has it its W along the
    columns."""
    product = _Product(width, height, timing, m, k, n)
    product.clear()
    for q in range(product.rounds):
        product.spend_all("gemm_round")
        column_of, row_of = q // product.x_blocks, q // product.w_blocks
        x, w = ("tile", q % product.x_blocks * m * k), ("second", q % product.w_blocks * k * n)
        for row in range(height):
            _hand_out(product, [product.pe(row, c) for c in range(width)], column_of, x, "x", m * k)
        for column in range(width):
            _hand_out(product, [product.pe(r, column) for r in range(height)], row_of, w, "w", k * n)
        for row in range(height):
            for column in range(width):
                product.multiply(product.pe(row, column), x if column == column_of else ("x", 0),
                                 w if row == row_of else ("w", 0))
    product.finish()
    return product.schedule


def write_transposed(width: int, height: int, timing: Timing, m: int, k: int, n: int, ring: Sequence[int]) -> Schedule:
    """Q K^T: only K moves, along y; in every round each row's products are summed by chains to a root that moves along."""
    product = _Product(width, height, timing, m, k, n, transposed=True)
    rows = [[product.pe(row, column) for column in range(width)] for row in ring]
    keys = _Moving(product, ("second", "w"), k * n * product.w_blocks,
                   [[product.pe(row, column) for row in ring] for column in range(width)])
    for t in range(height):
        product.spend_all("gemm_round")
        for u in range(product.w_blocks):
            product.clear()
            for i in range(height):
                for column in range(width):
                    product.multiply(rows[i][column], ("tile", 0), (keys.buffer(column), u * k * n))
            product.finish()
            for i in range(height):
                root, block = divmod((i + t) % height * product.w_blocks + u, product.x_blocks)
                write_reduce(product.schedule, chain_tree(width, root), "sum", rows[i], m * n, "product",
                             ("scores", block * m * n))
        for column in range(width if t < height - 1 else 0):
            keys.shift(column)
    return product.schedule
