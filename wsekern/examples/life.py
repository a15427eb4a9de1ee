"""T1: the game of life, one cell to a PE: data tasks that block themselves keep neighbors in step."""

import numpy as np

from wsekern.examples.registry import Outcome, example, measure
from wsekern.examples.routes import EAST, NORTH, SOUTH, WEST, step
from wsekern.program import Layout, Program, Simulation
from wsekern.program.code import Code

COLORS = {"E": (0, 1), "W": (2, 3), "S": (4, 5), "N": (6, 7)}
"""Colors of words that go east, west, south and north, by the parity of the column or row that sends them."""
STEPS = {"E": EAST, "W": WEST, "S": SOUTH, "N": NORTH}
OPPOSITE = {"E": "W", "W": "E", "S": "N", "N": "S"}


def _neighbors(x: int, y: int, width: int, height: int) -> str:
    """Sides on which PE (x, y) has a neighbor."""
    return "E" * (x < width - 1) + "W" * (x > 0) + "S" * (y < height - 1) + "N" * (y > 0)


class Cell:
    """Builds the program of PEs whose column and row have these parities, with neighbors on these ``sides``."""

    def __init__(self, column: int, row: int, sides: str) -> None:
        self.program = program = Program(f"cell {column} {row} {sides}")
        self.parity = {"E": column, "W": column, "S": row, "N": row}
        self.sides = sides
        self.alive, self.generations = (program.variable(name, "u32") for name in ("alive", "generations"))
        self.in_row, self.around = (program.variable(name, "u32") for name in ("in_row", "around"))
        self.waits = {"EW": program.variable("waits_row", "u32"), "SN": program.variable("waits_column", "u32")}
        self._tasks()

    def send(self, t: Code, axis: str, value: object) -> None:
        """A word to each neighbor on an axis."""
        for side in axis:
            if side in self.sides:
                t.give(self.program.fabout(COLORS[side][self.parity[side]], 1, "u32"), value)

    def _listen(self, side: str) -> None:
        """The data task of words from ``side``: it blocks itself until the next generation."""
        axis, total, following = ("EW", self.in_row, "row_done") if side in "EW" else ("SN", self.around, "column_done")
        name = f"from_{side}"
        with self.program.data_task(name, COLORS[OPPOSITE[side]][1 - self.parity[side]], blocked=True) as t:
            t.block(name)
            t.put(total, t.get(total) + t.word)
            left = t.get(self.waits[axis]) - 1
            t.put(self.waits[axis], left)
            with t.if_(left == 0):
                t.activate(following)

    def _tasks(self) -> None:
        program, sides = self.program, self.sides
        with program.function("generation") as t:
            with t.if_(t.get(self.generations) == 0):
                t.return_()
            alive = t.get(self.alive)
            t.put(self.in_row, alive)
            t.put(self.around, 0)
            for axis, waits in self.waits.items():
                t.put(waits, sum(side in sides for side in axis))
            for side in sides:
                t.unblock(f"from_{side}")
            self.send(t, "EW", alive)
            if not set("EW") & set(sides):
                t.activate("row_done")
        with program.task("row_done") as t:             # three cells of this row are counted: tell those above and below
            self.send(t, "SN", t.get(self.in_row))
            if not set("SN") & set(sides):
                t.activate("column_done")
            t.unblock("column_done")
        with program.task("column_done", blocked=True) as t:    # the rows above and below may come before the own one
            t.block("column_done")
            alive = t.get(self.alive)
            count = t.get(self.in_row) + t.get(self.around) - alive
            t.put(self.alive, ((count | alive) == 3).to("u32"))     # three neighbors, or two of a cell that lives
            t.put(self.generations, t.get(self.generations) - 1)
            t.activate("generation")
        for side in sides:
            self._listen(side)


def life_layout(machine: str, profile: str, width: int, height: int) -> Layout:
    """Cells on ``width`` x ``height`` PEs; the function ``generation`` runs for as long as ``generations`` says."""
    layout = Layout(machine, width, height, profile)
    cells: dict[tuple[int, int, str], Program] = {}
    for y in range(height):
        for x in range(width):
            sides = _neighbors(x, y, width, height)
            kind = (x % 2, y % 2, sides)
            if kind not in cells:
                cells[kind] = Cell(*kind).program
            layout.set_program(cells[kind], x, y)
            for side in sides:
                step(layout, COLORS[side][(x if side in "EW" else y) % 2], STEPS[side], x, y)
    return layout


@example("game-of-life", tier="T1", features="host copy, data tasks, local tasks, block/unblock")
def game_of_life(machine: str, profile: str, width: int = 12, height: int = 12, generations: int = 6) -> Outcome:
    """The game of life with one cell to a PE: sums of three along rows, then along columns, by data tasks."""
    board = np.random.default_rng(8).integers(0, 2, (height, width, 1)).astype(np.uint32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("alive", board)
        simulation.memcpy_h2d("generations", np.full((height, width, 1), generations, np.uint32))
        simulation.launch("generation")
        simulation.run()
        return simulation.memcpy_d2h("alive")[:, :, 0]

    cells = board[:, :, 0]
    for _ in range(generations):
        padded = np.pad(cells, 1)
        around = sum(padded[1 + dy:1 + dy + height, 1 + dx:1 + dx + width] for dy in (-1, 0, 1) for dx in (-1, 0, 1)) - cells
        cells = ((around == 3) | ((around == 2) & (cells == 1))).astype(np.uint32)
    return measure(life_layout(machine, profile, width, height).compile(), host, cells)
