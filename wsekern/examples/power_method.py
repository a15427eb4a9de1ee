"""T8: the power method on a 7-point stencil; norms by all-reduces that rewrite their routes."""

import numpy as np

from wsekern.examples.neighbors import Place, paint_neighbors, places
from wsekern.examples.registry import Outcome, example, measure
from wsekern.examples.rewriting import all_reduce, paint_all_reduce
from wsekern.examples.stencil_7pt import seven_points, seven_points_of
from wsekern.program import Layout, Program, Simulation

MATRIX = (6.0, -1.0, -1.0)


def power_program(place: Place, depth: int, iterations: int) -> Program:
    """``run``: x = A x / |A x|, ``iterations`` times; ``norm`` is the last |A x|, the eigenvalue of largest modulus."""
    p = Program(f"power {place}")
    x, y = p.array("x", "f32", depth), p.array("y", "f32", depth)
    square, norm, left = p.array("square", "f32", 1), p.variable("norm", "f32"), p.variable("left", "i32")
    with p.function("run") as t:
        t.put(left, iterations)
        t.activate("multiply")
    with p.task("multiply") as t:
        count = t.get(left) - 1
        t.put(left, count)
        with t.if_(count < 0):
            t.return_()
        seven_points(t, place, x, y, *MATRIX)
        scalar = square.view(1, stride=0)
        t.fmovs(scalar, 0.0)
        t.fmacs(scalar, scalar, y, y)
        t.activate("normalize")
    with p.task("normalize") as t:
        all_reduce(t, place, square)
        length = t.sqrt(t.read(square, 0))
        t.put(norm, length)
        t.fmuls(x, y, 1.0 / length)
        t.activate("multiply")
    return p


def power_method_layout(machine: str, profile: str, width: int, height: int, depth: int, iterations: int) -> Layout:
    """A domain of width x height x depth. Host: fill ``x`` (depth), launch ``run``; results are ``x`` and ``norm``."""
    layout = Layout(machine, width, height, profile)
    found, which = places(width, height)
    layout.set_programs([power_program(place, depth, iterations) for place in found], which)
    paint_neighbors(layout)
    paint_all_reduce(layout)
    return layout


@example("power-method", tier="T8", features="host copy, local tasks, asynchronous, multicast, route rewrite")
def power_method(machine: str, profile: str, width: int = 4, height: int = 3, depth: int = 6, iterations: int = 4) -> Outcome:
    """The power method on a 7-point stencil, normalized by an all-reduce along x, then y on rewritten routes."""
    x = np.random.default_rng(16).standard_normal((height, width, depth)).astype(np.float32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("x", x)
        simulation.launch("run")
        simulation.run()
        return np.concatenate([simulation.memcpy_d2h("x"), simulation.memcpy_d2h("norm")], 2)

    now, norm = x.astype(np.float64), 0.0
    for _ in range(iterations):
        now = seven_points_of(now, *MATRIX)
        norm = np.linalg.norm(now)
        now = now / norm
    expected = np.concatenate([now, np.full((height, width, 1), norm)], 2)
    return measure(power_method_layout(machine, profile, width, height, depth, iterations).compile(), host, expected, 1e-6)
