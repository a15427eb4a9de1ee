"""T1: matrix-vector products over several PEs, with static routes, multicast and chains of partial sums."""

import numpy as np

from wsekern.examples.registry import Outcome, example, measure
from wsekern.examples.routes import EAST, SOUTH, line, step
from wsekern.program import Layout, Program, Simulation
from wsekern.program.code import Code

X, PARTIAL = 5, (0, 1)
"""Colors: x down the columns; partial sums, by the parity of the column that sends them."""


@example("gemv-two-pes", tier="T1", features="host copy, asynchronous, explicit descriptors")
def gemv_two_pes(machine: str, profile: str, rows: int = 4, columns: int = 6) -> Outcome:
    """Each of two PEs has half of the columns; the left one sends its partial sums to the right one."""
    left, right = Program("left"), Program("right")
    for program in (left, right):
        A, x, y = (program.array(name, "f32", n) for name, n in (("A", rows * columns), ("x", columns), ("y", rows)))
        column = program.descriptor("column", A.view(rows, stride=columns))
        with program.function("compute") as t:
            with t.range(columns) as j:
                t.set_base(column, A, j)
                t.fmacs(y, y, column, t.read(x, j))
            if program is left:
                t.fmovs(program.fabout(PARTIAL[0], rows, "f32"), y, asynchronous=True)
            else:
                t.fadds(y, y, program.fabin(PARTIAL[0], rows, "f32"), asynchronous=True)
    layout = Layout(machine, 2, 1, profile)
    layout.set_program(left)
    layout.set_program(right, 1)
    step(layout, PARTIAL[0], EAST, 0, 0)
    rng = np.random.default_rng(4)
    A, x, b = (rng.standard_normal(shape, np.float32) for shape in ((1, 2, rows, columns), (1, 2, columns), (1, 2, rows)))

    def host(simulation: Simulation) -> np.ndarray:
        for name, values in (("A", A), ("x", x), ("y", b)):
            simulation.memcpy_h2d(name, values)
        simulation.launch("compute")
        simulation.run()
        return simulation.memcpy_d2h("y", 1)[0, 0]

    expected = np.einsum("hwrc,hwc->r", A.astype(np.float64), x) + b.sum((0, 1))
    return measure(layout.compile(), host, expected, 1e-5)


def reduce_row(program: Program, t: Code, y: str, rows: int, x: int, width: int, **more: object) -> None:
    """One stage of a chain along a row: add what comes from the west to y and send it east; the last column keeps it."""
    arrives, leaves = PARTIAL[(x - 1) % 2], PARTIAL[x % 2]
    if x == width - 1:
        t.fadds(y, y, program.fabin(arrives, rows, "f32"), asynchronous=True, **more)
    elif x == 0:
        t.fmovs(program.fabout(leaves, rows, "f32"), y, asynchronous=True, **more)
    else:
        t.fadds(program.fabout(leaves, rows, "f32"), y, program.fabin(arrives, rows, "f32"), asynchronous=True, **more)


def paint(layout: Layout, width: int, height: int) -> None:
    """x down the columns, partial sums from column to column."""
    for x in range(width):
        line(layout, X, SOUTH, x, 0, height, multicast=True)
    for y in range(height):
        for x in range(width - 1):
            step(layout, PARTIAL[x % 2], EAST, x, y)


def _run(layout: Layout, rows: int, columns: int, function: str) -> Outcome:
    """A on all PEs, x in the top row, b in the west column; y = A x + b in the east column."""
    width, height = layout.width, layout.height
    rng = np.random.default_rng(5)
    A = rng.standard_normal((height, width, columns, rows), np.float32)      # of each PE, column by column
    x, b = rng.standard_normal((1, width, columns), np.float32), rng.standard_normal((height, 1, rows), np.float32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("A", A)
        simulation.memcpy_h2d("x", x, height=1)
        simulation.memcpy_h2d("y", np.pad(b, ((0, 0), (0, width - 1), (0, 0))))
        simulation.launch(function)
        simulation.run()
        return simulation.memcpy_d2h("y", width - 1)[:, 0]

    expected = np.einsum("hwcr,wc->hr", A.astype(np.float64), x[0]) + b[:, 0]
    return measure(layout.compile(), host, expected, 1e-5)


@example("gemv-2x2", tier="T1", features="host copy, local tasks, asynchronous, explicit descriptors")
def gemv_2x2(machine: str, profile: str, width: int = 2, height: int = 2, rows: int = 4, columns: int = 4) -> Outcome:
    """x goes down each column as one vector, whose end activates the task that computes; sums go east along the rows."""
    layout = Layout(machine, width, height, profile)
    paint(layout, width, height)
    for x in range(width):
        for top in (True, False):
            program = Program(f"column {x}{' top' * top}")
            A, vector, y = (program.array(name, "f32", n) for name, n in
                            (("A", rows * columns), ("x", columns), ("y", rows)))
            column = program.descriptor("column", A.view(rows))
            with program.function("start") as t:
                if top:
                    t.fmovs(program.fabout(X, columns, "f32"), vector, asynchronous=True, activate="compute")
                else:
                    t.fmovs(vector, program.fabin(X, columns, "f32"), asynchronous=True, activate="compute")
            with program.task("compute") as t:
                with t.range(columns) as j:
                    t.set_base(column, A, j * rows)
                    t.fmacs(y, y, column, t.read(vector, j))
                reduce_row(program, t, y, rows, x, width)
            layout.set_program(program, x, 0 if top else 1, 1, 1 if top else height - 1)
    return _run(layout, rows, columns, "start")


@example("gemv-4x3", tier="T1", features="host copy, multicast, data tasks, local tasks, asynchronous, saved addresses, "
                                          "explicit descriptors")
def gemv_4x3(machine: str, profile: str, width: int = 4, height: int = 3, rows: int = 4, columns: int = 4) -> Outcome:
    """Every word of x starts a data task, which multiplies it with its column of A."""
    layout = Layout(machine, width, height, profile)
    paint(layout, width, height)
    for x in range(width):
        for top in (True, False):
            program = Program(f"column {x}{' top' * top}")
            A, vector, y = (program.array(name, "f32", n) for name, n in
                            (("A", rows * columns), ("x", columns if top else 0), ("y", rows)))
            column = program.descriptor("column", A.view(rows, save=True))      # each fmacs goes on behind the last one
            left = program.variable("left", "i32")
            with program.function("start") as t:
                t.put(left, columns)
                if top:
                    t.fmovs(program.fabout(X, columns, "f32"), vector, asynchronous=True)
                    with t.range(columns) as j:
                        t.fmacs(y, y, column, t.read(vector, j))
                    t.activate("reduce")
            if not top:
                with program.data_task("multiply", X) as t:
                    t.fmacs(y, y, column, t.word.bits("f32"))
                    rest = t.get(left) - 1
                    t.put(left, rest)
                    with t.if_(rest == 0):
                        t.activate("reduce")
            with program.task("reduce") as t:
                reduce_row(program, t, y, rows, x, width)
            layout.set_program(program, x, 0 if top else 1, 1, 1 if top else height - 1)
    return _run(layout, rows, columns, "start")
