"""T1: the residual of a linear system and its norm: products, chains along rows and down a column."""

import numpy as np

from wsekern.examples.products import X, paint, reduce_row
from wsekern.examples.registry import Outcome, example, measure
from wsekern.examples.routes import SOUTH, step
from wsekern.program import Layout, Program, Simulation


@example("residual", tier="T1", features="host copy, local tasks, asynchronous, explicit descriptors")
def residual(machine: str, profile: str, width: int = 2, height: int = 2, rows: int = 4, columns: int = 5) -> Outcome:
    """r = b - A x and its largest absolute element: products, a chain along rows, a chain of maxima down the last column."""
    layout = Layout(machine, width, height, profile)
    paint(layout, width, height)
    norm_colors = (3, 4)
    for y in range(height - 1):
        step(layout, norm_colors[y % 2], SOUTH, width - 1, y)
    for x in range(width):
        for y in range(height):
            layout.set_program(residual_program(x, y, width, height, rows, columns, norm_colors), x, y)
    rng = np.random.default_rng(6)
    A = rng.standard_normal((height, width, columns, rows), np.float32)
    x_values, b = rng.standard_normal((1, width, columns), np.float32), rng.standard_normal((height, 1, rows), np.float32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("A", A)
        simulation.memcpy_h2d("x", x_values, height=1)
        simulation.memcpy_h2d("b", b, width - 1, width=1)
        simulation.memcpy_h2d("y", np.zeros((height, width, rows), np.float32))
        simulation.launch("start")
        simulation.run()
        return simulation.memcpy_d2h("norm", width - 1, height - 1).reshape(1)

    r = b[:, 0] - np.einsum("hwcr,wc->hr", A.astype(np.float64), x_values[0])
    return measure(layout.compile(), host, np.array([np.abs(r).max()]), 1e-5)


def residual_program(x: int, y: int, width: int, height: int, rows: int, columns: int, colors: tuple[int, int]) -> Program:
    """Program of one PE of the residual."""
    program = Program(f"residual {x} {y}")
    A, vector, total = (program.array(name, "f32", n) for name, n in (("A", rows * columns), ("x", columns), ("y", rows)))
    column = program.descriptor("column", A.view(rows))
    with program.function("start") as t:
        fabric = program.fabout(X, columns, "f32") if y == 0 else program.fabin(X, columns, "f32")
        t.fmovs(*((fabric, vector) if y == 0 else (vector, fabric)), asynchronous=True, activate="compute")
    with program.task("compute") as t:
        with t.range(columns) as j:
            t.set_base(column, A, j * rows)
            t.fmacs(total, total, column, t.read(vector, j))
        more = {"activate": "subtract"} if x == width - 1 else {}
        reduce_row(program, t, total, rows, x, width, **more)
    if x < width - 1:
        return program
    b, norm = program.array("b", "f32", rows), program.variable("norm", "f32")
    with program.task("subtract") as t:
        t.fmacs(b, b, total, -1.0)
        t.fabss(b, b)
        t.put(norm, 0.0)
        t.fmaxs(norm, norm, b)                          # a scalar target: the largest element of b
        if y > 0:
            t.fmaxs(norm, norm, program.fabin(colors[(y - 1) % 2], 1, "f32"))
        if y < height - 1:
            t.fmovs(program.fabout(colors[y % 2], 1, "f32"), norm)
    return program
