"""T6: Cholesky factorization on a triangle of PEs, a tile of A on each.

In step k the PEs of column k finish their tiles of L and multicast them east along their rows. A row's color is first PASS
(west to east and core); the control wavelet behind a tile turns the next PE's switch to SEND, and each switch that it turns
pops its command: one router after another gets its turn. The PE on the diagonal sends what comes along its row down its column.
"""

import numpy as np

from wsekern.examples.registry import Outcome, example, measure
from wsekern.fabric import Command, Position, control_payload
from wsekern.program import Layout, Program, Simulation
from wsekern.program.code import Code
from wsekern.program.operands import Array, Mem

ROW, COLUMN, POP = 0, 1, "pop_on_advance"
YOUR_TURN = control_payload([Command.SWITCH_ADV] + [Command.NOP] * 7, ignore_in_core=True)
"""The sender's own switch stays in its last position, and so leaves the command; the next router obeys and pops it; the others
see a NOP that their cores ignore."""


class Tile:
    """Code on tiles of ``n`` x ``n`` fp32, by columns; ``n`` is known when the code is written: loops are unrolled."""

    def __init__(self, t: Code, n: int) -> None:
        self.t, self.n = t, n

    def column(self, tile: Array, j: int, first: int = 0) -> Mem:
        """Column j of a tile from row ``first`` on."""
        return tile.view(self.n - first, j * self.n + first)

    def subtract_product(self, a: Array, left: Array, right: Array) -> None:
        """a -= left right^T."""
        for j in range(self.n):
            for k in range(self.n):
                factor = -self.t.read(right, k * self.n + j)
                self.t.fmacs(self.column(a, j), self.column(a, j), self.column(left, k), factor)

    def factorize(self, a: Array) -> None:
        """The lower triangle of a = its Cholesky factor."""
        for k in range(self.n):
            self.t.fmuls(self.column(a, k, k), self.column(a, k, k), 1.0 / self.t.sqrt(self.t.read(a, k * self.n + k)))
            for j in range(k + 1, self.n):
                factor = -self.t.read(a, k * self.n + j)
                self.t.fmacs(self.column(a, j, j), self.column(a, j, j), self.column(a, k, j), factor)

    def solve(self, a: Array, factor: Array) -> None:
        """a = a factor^-T."""
        for k in range(self.n):
            self.t.fmuls(self.column(a, k), self.column(a, k), 1.0 / self.t.read(factor, k * self.n + k))
            for j in range(k + 1, self.n):
                self.t.fmacs(self.column(a, j), self.column(a, j), self.column(a, k), -self.t.read(factor, k * self.n + j))


def program_of(i: int, j: int, pes: int, n: int) -> Program:
    """Row i, column j of the triangle."""
    p, words = Program(f"cholesky {i} {j}"), n * n
    a, left, right = (p.array(name, "f32", words) for name in ("A", "left", "right"))
    with p.function("factorize") as t:
        tile, last_row = Tile(t, n), i == pes - 1
        for _ in range(j):
            t.fmovs(left, p.fabin(ROW, words, "f32"))
            if i == j:
                tile.subtract_product(a, left, left)
                if not last_row:
                    t.fmovs(p.fabout(COLUMN, words, "f32"), left)
            else:
                t.fmovs(right, p.fabin(COLUMN, words, "f32"))
                tile.subtract_product(a, left, right)
        if i == j:
            tile.factorize(a)
            if not last_row:
                t.fmovs(p.fabout(COLUMN, words, "f32"), a)
        else:
            t.fmovs(right, p.fabin(COLUMN, words, "f32"))
            tile.solve(a, right)
            t.fmovs(p.fabout(ROW, words, "f32"), a, asynchronous=True)
            t.fmovs(left, p.fabin(ROW, words, "f32"))       # it comes back: a switch of WSE-2 replaces one side only
            t.give(p.fabout(ROW, 1, "u32", control=True), YOUR_TURN)
    return p


def cholesky_layout(machine: str, profile: str, pes: int, n: int) -> Layout:
    """``pes`` rows of PEs; host: fill ``A`` (n x n by columns) on and below the diagonal, launch ``factorize``."""
    layout = Layout(machine, pes, pes, profile)
    for i in range(pes):
        for j in range(i + 1):
            layout.set_program(program_of(i, j, pes, n), j, i)
            if i == j:
                if j:
                    layout.set_route(ROW, ["W"], ["RAMP"], j, i)
                if i < pes - 1:
                    layout.set_route(COLUMN, ["RAMP"], ["S"], j, i)
                continue
            if j:
                layout.fabric.paint(ROW, "W", "E RAMP", x=j, y=i, switches=(Position(rx="RAMP"),), pop_mode=POP)
            else:
                layout.fabric.paint(ROW, "RAMP", "E RAMP", x=j, y=i, pop_mode=POP)
            layout.set_route(COLUMN, ["N"], ["S", "RAMP"] if i < pes - 1 else ["RAMP"], j, i)
    return layout


@example("cholesky", tier="T6", features="host copy, asynchronous, multicast, control words, switches")
def cholesky(machine: str, profile: str, pes: int = 4, tile: int = 3) -> Outcome:
    """Cholesky factorization on a triangle of PEs, whose rows take turns by switches that pop commands as they advance."""
    size = pes * tile
    root = np.random.default_rng(10).standard_normal((size, size))
    matrix = (root @ root.T + size * np.eye(size)).astype(np.float32)
    tiles = matrix.reshape(pes, tile, pes, tile).transpose(0, 2, 3, 1)      # by rows and columns of PEs, by columns inside

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("A", np.ascontiguousarray(tiles.reshape(pes, pes, -1)))
        simulation.launch("factorize")
        simulation.run()
        found = simulation.memcpy_d2h("A").reshape(pes, pes, tile, tile).transpose(0, 3, 1, 2)
        return np.tril(found.reshape(size, size))

    expected = np.linalg.cholesky(matrix.astype(np.float64))
    return measure(cholesky_layout(machine, profile, pes, tile).compile(), host, expected, 1e-5)
