"""T1: conjugate gradients on a 7-point stencil: scalar logic as a state machine of tasks, dot products by an all-reduce.

    solve -> reduce -> check -> multiply -> reduce -> update -> reduce -> check ...      ``reduced`` goes where ``state`` says

All PEs see the same sums, so all leave in the same iteration.
"""

import numpy as np

from wsekern.errors import InputError
from wsekern.examples.all_reduce import paint_all_reduce, sum_over_grid
from wsekern.examples.neighbors import Place, paint_neighbors, places
from wsekern.examples.registry import Outcome, example, measure
from wsekern.examples.stencil_7pt import seven_points, seven_points_of
from wsekern.program import Layout, Program, Simulation
from wsekern.program.code import Code
from wsekern.program.operands import Array
from wsekern.program.values import Variable

MATRIX = (6.5, -1.0, -1.0)
CHECK, UPDATE = 0, 1


def dot(t: Code, into: Variable, a: Array, b: Array) -> None:
    """The dot product of this PE's parts, and on to the sum over all."""
    t.fmovs(into, 0.0)
    t.fmacs(into, into, a, b)
    t.activate("reduce")


def conjugate_gradient_program(place: Place, depth: int, iterations: int, tolerance: float) -> Program:
    """``solve``: x with A x = b from x = 0, until |r| <= ``tolerance`` |b|, in at most ``iterations``."""
    p = Program(f"conjugate gradient {place.column}{place.row} {''.join(place.sides)}")
    b, x, r, d, q = (p.array(name, "f32", depth) for name in ("b", "x", "r", "d", "q"))
    number, total, rho, limit = (p.variable(name, "f32") for name in ("number", "total", "rho", "limit"))
    state, done = p.variable("state", "u16"), p.variable("iterations", "i32", -1)

    with p.function("solve") as t:
        t.fmovs(x, 0.0)
        t.fmovs(r, b)
        t.fmovs(d, 0.0)
        t.put(state, CHECK)
        t.put(done, -1)
        t.put(rho, 1.0)
        dot(t, number, r, r)

    with p.task("reduce") as t:
        sum_over_grid(t, place, number, total, "reduced")

    with p.task("reduced") as t:
        with t.if_(t.get(state) == CHECK):
            t.activate("check")
        with t.else_():
            t.activate("update")

    with p.task("check") as t:
        count, now = t.get(done) + 1, t.get(total)
        t.put(done, count)
        with t.if_(count == 0):
            t.put(limit, now * tolerance**2)
        with t.if_(now <= t.get(limit)):
            t.return_()
        with t.if_(count >= iterations):
            t.return_()
        t.fmacs(d, r, d, now / t.get(rho))      # d = r + beta d
        t.put(rho, now)
        t.activate("multiply")

    with p.task("multiply") as t:
        seven_points(t, place, d, q, *MATRIX)
        t.put(state, UPDATE)
        dot(t, number, d, q)

    with p.task("update") as t:
        alpha = t.get(rho) / t.get(total)
        t.fmacs(x, x, d, alpha)
        t.fmacs(r, r, q, -alpha)
        t.put(state, CHECK)
        dot(t, number, r, r)
    return p


def conjugate_gradient_layout(machine: str = "wse3", profile: str = "vendor-simulator", width: int = 8, height: int = 8,
                              depth: int = 16, iterations: int = 100, tolerance: float = 1e-5) -> Layout:
    """A domain of width x height x depth unknowns, fp32. Host: fill ``b`` (depth), launch ``solve``; the result is ``x``, and
    ``iterations`` on each PE."""
    if depth < 1 or iterations < 0:
        raise InputError(f"{iterations} iterations on columns of depth {depth}: expected 0 or more, and a depth of 1 or more")
    layout = Layout(machine, width, height, profile)
    found, which = places(width, height)
    layout.set_programs([conjugate_gradient_program(place, depth, iterations, tolerance) for place in found], which)
    paint_neighbors(layout)
    paint_all_reduce(layout)
    return layout


@example("conjugate-gradient", tier="T1", features="host copy, local tasks, asynchronous, multicast")
def conjugate_gradient(machine: str, profile: str, size: int = 3) -> Outcome:
    """Conjugate gradients on a 7-point stencil: a state machine of tasks around an all-reduce of dot products."""
    b = np.random.default_rng(size).standard_normal((size, size + 1, 2 * size)).astype(np.float32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("b", b)
        simulation.launch("solve")
        simulation.run()
        return simulation.memcpy_d2h("x")

    unit = np.eye(b.size).reshape(b.size, *b.shape)
    matrix = np.stack([seven_points_of(column, *MATRIX).reshape(-1) for column in unit])
    expected = np.linalg.solve(matrix, b.reshape(-1).astype(np.float64)).reshape(b.shape)
    layout = conjugate_gradient_layout(machine, profile, size + 1, size, 2 * size)
    return measure(layout.compile(), host, expected, 2e-5)
