"""T1: a 7-point stencil; each PE holds a column of a three-dimensional domain and sends it to its four neighbors in each step.

The four sends run on microthreads beside the arithmetic; what arrives is multiplied and added as it comes in.
"""

import numpy as np

from wsekern.errors import InputError
from wsekern.examples.neighbors import Place, paint_neighbors, places
from wsekern.examples.registry import Outcome, example, measure
from wsekern.program import Layout, Program, Simulation
from wsekern.program.code import Code
from wsekern.program.operands import Array, Mem

CENTRE, PLANE, COLUMN = 0.375, 0.125, 0.0625


def seven_points(t: Code, place: Place, x: Array, y: Array, centre: float, plane: float, column: float) -> None:
    """y = centre * x + plane * (its neighbors in the plane) + column * (those above and below); nothing lies outside."""
    p, depth = t.program, x.elements
    for side in place.sides:
        t.fmovs(place.send(p, side, depth, "f32"), x, asynchronous=True)
    t.fmuls(y, x, centre)
    if depth > 1:
        below, above = slice_of(y, 0, depth - 1), slice_of(y, 1, depth - 1)
        t.fmacs(below, below, slice_of(x, 1, depth - 1), column)
        t.fmacs(above, above, slice_of(x, 0, depth - 1), column)
    for side in place.sides:
        t.fmacs(y, y, place.receive(p, side, depth, "f32"), plane)


def slice_of(array: Array, first: int, extent: int) -> Mem:
    """``extent`` elements of an array from ``first`` on."""
    return array.view(extent, first)


def seven_points_of(u: np.ndarray, centre: float, plane: float, column: float) -> np.ndarray:
    """The same in numpy: ``u`` of shape (height, width, depth)."""
    around = np.pad(u, 1)
    inner = slice(1, -1)
    return (centre * u
            + plane * (around[:-2, inner, inner] + around[2:, inner, inner]
                       + around[inner, :-2, inner] + around[inner, 2:, inner])
            + column * (around[inner, inner, :-2] + around[inner, inner, 2:]))


def stencil_program(place: Place, depth: int, steps: int) -> Program:
    """``run`` takes ``steps`` steps on ``u``; every second one from ``v`` back to ``u``."""
    p = Program(f"stencil {place.column}{place.row} {''.join(place.sides)}")
    u, v = p.array("u", "f32", depth), p.array("v", "f32", depth)
    with p.function("run") as t:
        if steps > 1:
            with t.range(steps // 2):
                seven_points(t, place, u, v, CENTRE, PLANE, COLUMN)
                seven_points(t, place, v, u, CENTRE, PLANE, COLUMN)
        if steps % 2:
            seven_points(t, place, u, v, CENTRE, PLANE, COLUMN)
    return p


def stencil_layout(machine: str = "wse3", profile: str = "vendor-simulator", width: int = 8, height: int = 8,
                   depth: int = 16, steps: int = 4) -> Layout:
    """A domain of width x height x depth fp32 on as many PEs as it has columns. Host: fill ``u`` (depth), launch ``run``; the
    result is ``u`` after an even number of steps, ``v`` after an odd one."""
    if depth < 1 or steps < 0:
        raise InputError(f"{steps} steps on columns of depth {depth}: expected 0 or more steps, and a depth of 1 or more")
    layout = Layout(machine, width, height, profile)
    found, which = places(width, height)
    layout.set_programs([stencil_program(place, depth, steps) for place in found], which)
    paint_neighbors(layout)
    return layout


@example("stencil-7pt", tier="T1", features="host copy, asynchronous")
def stencil_7pt(machine: str, profile: str, size: int = 5, steps: int = 3) -> Outcome:
    """A 7-point stencil in three dimensions: columns of the domain on PEs, exchanged by microthreads in each step."""
    u = np.random.default_rng(size).standard_normal((size, size + 1, 2 * size)).astype(np.float32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("u", u)
        simulation.launch("run")
        simulation.run()
        return simulation.memcpy_d2h("v" if steps % 2 else "u")

    expected = u.astype(np.float64)
    for _ in range(steps):
        expected = seven_points_of(expected, CENTRE, PLANE, COLUMN)
    layout = stencil_layout(machine, profile, size + 1, size, 2 * size, steps)
    return measure(layout.compile(), host, expected, 1e-6)
