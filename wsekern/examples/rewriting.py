"""T8: routes that programs change while they run: the same colors for two all-reduces, and a line that a teardown turns."""

import numpy as np

from wsekern.examples.neighbors import Place, places
from wsekern.examples.registry import Outcome, example, measure
from wsekern.fabric import Command, Position, control_payload
from wsekern.program import Layout, Program, Simulation
from wsekern.program.code import Code
from wsekern.program.operands import Array

CHAIN, SPREAD, TURNING = 8, 12, 3
"""Colors: two of chains, by the sender's parity, one of results; the line's."""
Ends = tuple[tuple[str, ...], tuple[str, ...]]


def axis_routes(parity: int, before: str, after: str, sides: tuple[str, ...]) -> dict[int, Ends]:
    """Routes of an all-reduce along one axis in a PE with this ``parity`` on it: sums go from ``after`` to ``before``, the
    result comes back. The first PE hears its own result, so that it knows when its router has passed it on."""
    routes: dict[int, Ends] = {}
    if before in sides:
        routes[CHAIN + parity] = (("RAMP",), (before,))
    if after in sides:
        routes[CHAIN + 1 - parity] = ((after,), ("RAMP",))
    if before in sides or after in sides:
        onward = (after, "RAMP") if after in sides else ("RAMP",)
        routes[SPREAD] = ((before,) if before in sides else ("RAMP",), onward)
    return routes


def both_axes(place: Place) -> tuple[dict[int, Ends], dict[int, Ends]]:
    """Routes along x and along y; the same colors."""
    return axis_routes(place.column, "W", "E", place.sides), axis_routes(place.row, "N", "S", place.sides)


def waiting_room(color: int, other: dict[int, Ends]) -> tuple[Position, ...]:
    """A switch position that nobody selects, listening where the color's other route does: words of a neighbor that is
    ahead wait there for the rewrite, instead of falling on a router that does not know them."""
    return (Position(rx=other[color][0]),) if color in other else ()


def reduce_along(t: Code, v: Array, parity: int, before: str, after: str, sides: tuple[str, ...]) -> None:
    """v = its sum over the PEs of a line."""
    p, n = t.program, v.elements
    if before not in sides and after not in sides:
        return
    come_in = p.fabin(CHAIN + 1 - parity, n, "f32") if after in sides else None
    if before in sides:
        out = p.fabout(CHAIN + parity, n, "f32")
        if come_in:
            t.fadds(out, v, come_in)
        else:
            t.fmovs(out, v)
    else:
        t.fadds(v, v, come_in)
        t.fmovs(p.fabout(SPREAD, n, "f32"), v, asynchronous=True)
    t.fmovs(v, p.fabin(SPREAD, n, "f32"))


def all_reduce(t: Code, place: Place, v: Array) -> None:
    """v = its sum over the grid: along x, then along y with rewritten routes, which are put back in the end."""
    p, (along_x, along_y) = t.program, both_axes(place)
    for color in along_x.keys() & along_y.keys():
        p.route(f"x{color}", *along_x[color], waiting_room(color, along_y))
        p.route(f"y{color}", *along_y[color], waiting_room(color, along_x))
    reduce_along(t, v, place.column, "W", "E", place.sides)
    for color in sorted(along_x.keys() & along_y.keys()):
        t.set_route(color, f"y{color}")
    reduce_along(t, v, place.row, "N", "S", place.sides)
    for color in sorted(along_x.keys() & along_y.keys()):
        t.set_route(color, f"x{color}")


def paint_all_reduce(layout: Layout) -> None:
    """The routes along x; those along y where a PE has no other use for a color."""
    found, which = places(layout.width, layout.height)
    for y in range(layout.height):
        for x in range(layout.width):
            along_x, along_y = both_axes(found[which[y, x]])
            for color in along_x.keys() | along_y.keys():
                first, second = (along_x, along_y) if color in along_x else (along_y, {})
                layout.fabric.paint(color, *first[color], x=x, y=y, switches=waiting_room(color, second))


@example("all-reduce-rewritten", tier="T8", features="host copy, multicast, route rewrite")
def all_reduce_rewritten(machine: str, profile: str, width: int = 5, height: int = 4, words: int = 6) -> Outcome:
    """Two sums over a grid, each along x, then along y on the same three colors, whose routes every PE rewrites in between."""
    layout = Layout(machine, width, height, profile)
    found, which = places(width, height)
    programs = []
    for place in found:
        p = Program(f"all_reduce {place}")
        v = p.array("v", "f32", words)
        with p.function("run") as t:
            all_reduce(t, place, v)
            all_reduce(t, place, v)
        programs.append(p)
    layout.set_programs(programs, which)
    paint_all_reduce(layout)
    v = np.random.default_rng(14).integers(-50, 50, (height, width, words)).astype(np.float32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("v", v)
        simulation.launch("run")
        simulation.run()
        return simulation.memcpy_d2h("v")

    return measure(layout.compile(), host, np.broadcast_to(v.sum((0, 1)) * width * height, v.shape))


@example("teardown", tier="T8", features="host copy, multicast, block/unblock, control words, teardown, route rewrite")
def teardown(machine: str, profile: str, width: int = 5, words: int = 7) -> Outcome:
    """A multicast that ends in a teardown: each PE on its way turns its route round, and the last one answers to all."""
    layout, programs = Layout(machine, width, 1, profile), [Program(name) for name in ("first", "middle", "last")]
    there = [("RAMP", "E"), ("W", "E RAMP"), ("W", "RAMP")]
    back = [("E", "RAMP"), ("E", "W RAMP"), ("RAMP", "W")]
    for k, p in enumerate(programs):
        question, answer = p.array("question", "f32", words), p.array("answer", "f32", words)
        p.route("back", *back[k])
        with p.function("run") as t:
            if k == 0:
                t.fmovs(p.fabout(TURNING, words, "f32"), question)
                t.give(p.fabout(TURNING, 1, "u32", control=True), control_payload([Command.TEARDOWN], ignore_in_core=True))
            else:
                t.fmovs(question, p.fabin(TURNING, words, "f32"))
            t.activate("turned")
        with p.teardown_task() as t:            # the color stands still until it is left
            t.set_route(TURNING, "back")
            t.leave_teardown(TURNING)
            t.unblock("turned")
        with p.task("turned", blocked=True) as t:
            t.block("turned")
            if k == 2:
                t.fadds(answer, question, question)
                t.fmovs(p.fabout(TURNING, words, "f32"), answer)
            else:
                t.fmovs(answer, p.fabin(TURNING, words, "f32"))
    layout.set_programs(programs, np.array([[0] + [1] * (width - 2) + [2]]))
    for x in range(width):
        layout.fabric.paint(TURNING, *there[0 if x == 0 else 2 if x == width - 1 else 1], x=x)
    values = np.random.default_rng(15).standard_normal((1, 1, words), np.float32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("question", values, 0, 0, 1, 1)
        simulation.launch("run")
        simulation.run()
        return simulation.memcpy_d2h("answer")

    return measure(layout.compile(), host, np.broadcast_to(2 * values, (1, width, words)))
