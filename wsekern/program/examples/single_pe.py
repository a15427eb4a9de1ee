"""T0: programs of single PEs. y = A x + b, four ways, from scalar loops to vector instructions."""

import numpy as np

from wsekern.program import Array, Layout, Program, Simulation
from wsekern.program.examples.registry import Outcome, example, measure


def _system(rows: int, columns: int, pes: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A (1, pes, rows, columns), x (1, pes, columns) and b (1, pes, rows)."""
    rng = np.random.default_rng(1)
    shapes = ((1, pes, rows, columns), (1, pes, columns), (1, pes, rows))
    return tuple(rng.standard_normal(shape, np.float32) for shape in shapes)


def _arrays(program: Program, rows: int, columns: int) -> tuple[Array, Array, Array]:
    return program.array("A", "f32", rows * columns), program.array("x", "f32", columns), program.array("y", "f32", rows)


def _solve(layout: Layout, A: np.ndarray, x: np.ndarray, b: np.ndarray) -> Outcome:
    """Run ``compute`` on every PE; y holds b at the start."""
    expected = np.einsum("hwrc,hwc->hwr", A.astype(np.float64), x) + b

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("A", A)
        simulation.memcpy_h2d("x", x)
        simulation.memcpy_h2d("y", b)
        simulation.launch("compute")
        simulation.run()
        return simulation.memcpy_d2h("y")

    return measure(layout.compile(), host, expected, 1e-5)


@example("gemv-scalar", tier="T0", features="host copy")
def gemv_scalar(machine: str, profile: str, rows: int = 4, columns: int = 6) -> Outcome:
    """Dense matrix-vector product on one PE, in scalar loops."""
    program = Program("gemv")
    A, x, y = _arrays(program, rows, columns)
    with program.function("compute") as t, t.range(rows) as i:
        total = t.let("f32", t.read(y, i))
        with t.range(columns) as j:
            total += t.read(A, i * columns + j) * t.read(x, j)
        t.write(y, i, total)
    layout = Layout(machine, 1, 1, profile)
    layout.set_program(program)
    return _solve(layout, *_system(rows, columns))


@example("gemv-descriptors", tier="T0", features="host copy, explicit descriptors")
def gemv_descriptors(machine: str, profile: str, rows: int = 4, columns: int = 6) -> Outcome:
    """The same with one fmacs for each column: a descriptor walks down the columns of A."""
    program = Program("gemv")
    A, x, y = _arrays(program, rows, columns)
    column = program.descriptor("column", A.view(rows, stride=columns))
    with program.function("compute") as t, t.range(columns) as j:
        t.set_base(column, A, j)
        t.fmacs(y, y, column, t.read(x, j))
    layout = Layout(machine, 1, 1, profile)
    layout.set_program(program)
    return _solve(layout, *_system(rows, columns))
