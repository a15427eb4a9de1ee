"""T6: a 25-point stencil: four neighbors away in each direction of the plane, and along the column of each PE.

In each direction every PE multicasts its column to itself and the next four, all on one color. PEs take turns: the switch of
a router is in PASS (west to east and core), in SEND while it is its core's turn, and in END for the first sender after that,
which is five PEs away from the next one. The control wavelet behind each column carries a command for each router on its way,
and each pops its own: [sender, next: SEND, -, -, fifth: PASS]. So neither addresses nor barriers are needed.
"""

import numpy as np

from wsekern.examples.registry import Outcome, example, measure
from wsekern.fabric import Command, Position, control_payload
from wsekern.program import Layout, Program, Simulation
from wsekern.program.operands import Mem

RADIUS = 4
WEIGHTS = (0.25, 0.1, 0.05, 0.025, 0.0125)
"""Of the element itself, and of those one to four away."""
DIRECTIONS = {"E": ("W", 0), "W": ("E", 1), "S": ("N", 2), "N": ("S", 3)}
"""Where columns go: the port that they come in through, and the color."""
PASS, SEND, END = 0, 1, 2


def senders(place: int) -> tuple[int, ...]:
    """Distances of those whose columns come to the PE at ``place`` of a line, in the order in which they come; 0 is itself."""
    distances = [(place - turn) % (RADIUS + 1) for turn in range(RADIUS + 1)]
    return tuple(distance for distance in distances if distance <= place)


def commands_after(place: int) -> int:
    """The control wavelet behind the column of the PE at ``place``. The first ones hear nobody in the END position: they
    go back to what they were at the start."""
    own = Command.NOP if place == 0 else Command.SWITCH_RST if place < RADIUS else Command.SWITCH_ADV
    rest = [Command.SWITCH_ADV, Command.NOP, Command.NOP, Command.SWITCH_ADV]
    return control_payload([own, *rest], ignore_in_core=True)


def paint_chain(layout: Layout, side: str, x: int, y: int, place: int, is_last: bool) -> None:
    """The route of one direction in one router."""
    enter, color = DIRECTIONS[side]
    start = SEND if place % (RADIUS + 1) == 0 else END if place % (RADIUS + 1) == RADIUS else PASS
    onward = ["RAMP"] if is_last else [side, "RAMP"]
    layout.fabric.paint(color, enter, onward, x=x, y=y, switches=(Position(rx="RAMP"), Position(tx="RAMP")),
                        initial=start, ring_mode=True, pop_mode="always_pop")


def stencil_program(orders: dict[str, tuple[int, ...]], tails: dict[str, int], depth: int) -> Program:
    """``step`` replaces u, ``steps`` times. ``orders``: what comes from each side; ``tails``: control wavelets."""
    p = Program(f"stencil {orders} {tails}")
    u, v = p.array("u", "f32", depth), p.array("v", "f32", depth)
    steps, waits = p.variable("steps", "i32"), p.variable("waits", "i32")
    inbox = {side: p.array(f"from_{side}", "f32", depth * len(order)) for side, order in orders.items()}
    p.inputs = {4 + color: color for _, color in DIRECTIONS.values()}       # microthreads 0 to 3 send, 4 to 7 receive
    out = {side: p.fabout(color, depth, "f32") for side, (_, color) in DIRECTIONS.items()}
    with p.function("step") as t:
        with t.if_(t.get(steps) == 0):
            t.return_()
        t.put(steps, t.get(steps) - 1)
        t.put(waits, 2 * len(DIRECTIONS))
        for side, (_, color) in DIRECTIONS.items():
            t.fmovs(inbox[side], p.fabin(color, inbox[side].elements, "f32"), asynchronous=True, activate="arrived_" + side)
            t.fmovs(out[side], u, asynchronous=True, activate="sent_" + side)
    for side, (_, color) in DIRECTIONS.items():
        for name in ("arrived_" + side, "sent_" + side):
            with p.task(name) as t:
                if name.startswith("sent"):
                    t.give(p.fabout(color, 1, "u32", control=True), tails[side])
                left = t.get(waits) - 1
                t.put(waits, left)
                with t.if_(left == 0):
                    t.activate("combine")
    with p.task("combine") as t:
        t.fmuls(v, u, WEIGHTS[0])
        for away in range(1, min(RADIUS, depth - 1) + 1):
            low, high = Mem(v, depth - away), Mem(v, depth - away, away)
            t.fmacs(low, low, Mem(u, depth - away, away), WEIGHTS[away])
            t.fmacs(high, high, Mem(u, depth - away), WEIGHTS[away])
        for side, order in orders.items():
            for k, away in enumerate(order):
                if away:
                    t.fmacs(v, v, Mem(inbox[side], depth, k * depth), WEIGHTS[away])
        t.fmovs(u, v)
        t.activate("step")
    return p


def stencil_25pt_layout(machine: str, profile: str, width: int, height: int, depth: int) -> Layout:
    """Host: fill ``u`` (depth) and ``steps``, launch ``step``."""
    layout = Layout(machine, width, height, profile)
    programs: dict[str, Program] = {}
    for y in range(height):
        for x in range(width):
            places = {"E": x, "W": width - 1 - x, "S": y, "N": height - 1 - y}
            program = stencil_program({side: senders(place) for side, place in places.items()},
                                      {side: commands_after(place) for side, place in places.items()}, depth)
            layout.set_program(programs.setdefault(program.name, program), x, y)
            for side, place in places.items():
                paint_chain(layout, side, x, y, place, place == (width if side in "EW" else height) - 1)
    return layout


@example("stencil-25pt", tier="T6", features="host copy, asynchronous, multicast, control words, switches")
def stencil_25pt(machine: str, profile: str, width: int = 7, height: int = 6, depth: int = 6, steps: int = 2) -> Outcome:
    """A 25-point stencil: PEs take turns to multicast their columns, by chains of commands that routers pop."""
    u = np.random.default_rng(9).standard_normal((height, width, depth)).astype(np.float32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("u", u)
        simulation.memcpy_h2d("steps", np.full((height, width, 1), steps, np.int32))
        simulation.launch("step")
        simulation.run()
        return simulation.memcpy_d2h("u")

    expected = u.astype(np.float64)
    for _ in range(steps):
        around, before = np.pad(expected, RADIUS), expected
        expected = WEIGHTS[0] * before
        for axis in range(3):
            for away in range(1, RADIUS + 1):
                for shift in (-away, away):
                    moved = np.roll(around, shift, axis)[RADIUS:-RADIUS, RADIUS:-RADIUS, RADIUS:-RADIUS]
                    expected = expected + WEIGHTS[away] * moved
    return measure(stencil_25pt_layout(machine, profile, width, height, depth).compile(), host, expected, 1e-6)
