"""T6: switches that control wavelets turn: a ring of four positions, and a wavelet that also starts a task.

A PE in the middle of a cross has one color for all four neighbors; the switch of its own router says who gets what it sends.
"""

import numpy as np

from wsekern.examples.registry import Outcome, example, measure
from wsekern.fabric import Command, Position, control_payload
from wsekern.program import Layout, Program, Simulation

COLOR, WEIGH = 3, 40
"""The color, and the entry point of the control task."""
SIDES = {"W": (0, 1), "E": (2, 1), "S": (1, 2), "N": (1, 0)}
"""Whom the positions 0 to 3 reach, and where that PE lies."""
OPPOSITE = {"W": "E", "E": "W", "S": "N", "N": "S"}
ADVANCE = control_payload([Command.SWITCH_ADV], ignore_in_core=True)
RESET = control_payload([Command.SWITCH_RST], ignore_in_core=True)


def cross(machine: str, profile: str, sender: Program, receivers: dict[str, Program]) -> Layout:
    """3 x 3 PEs, with ``sender`` in the middle; its switch turns through W, E, S and N, and on to W."""
    layout = Layout(machine, 3, 3, profile)
    layout.set_program(sender, 1, 1)
    layout.fabric.paint(COLOR, "RAMP", "W", x=1, y=1, ring_mode=True, switches=tuple(Position(tx=side) for side in "ESN"))
    for side, (x, y) in SIDES.items():
        layout.set_program(receivers[side], x, y)
        layout.set_route(COLOR, [OPPOSITE[side]], ["RAMP"], x, y)
    return layout


@example("switch-ring", tier="T6", features="host copy, control words, switches")
def switch_ring(machine: str, profile: str, words: int = 5) -> Outcome:
    """One color to four neighbors in turns: SWITCH_ADV turns the switch all round and on, SWITCH_RST back to its first one."""
    order = "WESNWE" + "W"          # after the second E, a reset
    sender = Program("sender")
    data = sender.array("data", "f32", words * len(order))
    with sender.function("run") as t:
        for k in range(len(order)):
            t.fmovs(sender.fabout(COLOR, words, "f32"), data.view(words, k * words))
            turn = RESET if order[k:] == "EW" else ADVANCE
            if k < len(order) - 1:
                t.give(sender.fabout(COLOR, 1, "u32", control=True), turn)
    receivers = {}
    for side in SIDES:
        p = receivers[side] = Program(f"receiver {side}")
        taken = p.array("taken", "f32", words * order.count(side))
        with p.function("run") as t:
            t.fmovs(taken, p.fabin(COLOR, taken.elements, "f32"))
    values = np.random.default_rng(3).standard_normal(words * len(order), np.float32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("data", values.reshape(1, 1, -1), 1, 1, 1, 1)
        simulation.launch("run")
        simulation.run()
        return np.concatenate([simulation.memcpy_d2h("taken", x, y, 1, 1)[0, 0] for x, y in SIDES.values()])

    blocks = values.reshape(len(order), words)
    expected = np.concatenate([blocks[k] for side in SIDES for k in range(len(order)) if order[k] == side])
    return measure(cross(machine, profile, sender, receivers).compile(), host, expected)


@example("switch-entry-points", tier="T6", features="data tasks, control tasks, control words, switches")
def switch_entry_points(machine: str, profile: str, words: int = 4) -> Outcome:
    """One control wavelet turns the sender's switch, and starts a task with an argument in the core that it reaches."""
    sender = Program("sender")
    data, weights = sender.array("data", "u32", 4 * words), sender.array("weights", "u16", 4)
    with sender.function("run") as t:
        for k in range(4):
            t.mov32(sender.fabout(COLOR, words, "u32"), data.view(words, k * words))
            turn_and_start = control_payload([Command.SWITCH_ADV], entry_point=WEIGH)
            t.give(sender.fabout(COLOR, 1, "u32", control=True), t.read(weights, k).to("u32") | turn_and_start)
    receiver = Program("receiver")
    total, result = receiver.variable("total", "u32"), receiver.variable("result", "u32")
    with receiver.data_task("add", COLOR) as t:
        t.put(total, t.get(total) + t.word)
    with receiver.control_task("weigh", WEIGH) as t:        # its argument is the low half of the control wavelet
        t.put(result, t.get(total) * t.word.to("u32"))
        t.put(total, 0)
    rng = np.random.default_rng(4)
    values, factors = rng.integers(0, 1000, 4 * words, np.uint32), rng.integers(1, 1000, 4, np.uint16)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("data", values.reshape(1, 1, -1), 1, 1, 1, 1)
        simulation.memcpy_h2d("weights", factors.reshape(1, 1, -1), 1, 1, 1, 1)
        simulation.launch("run")
        simulation.run()
        return np.array([simulation.memcpy_d2h("result")[y, x, 0] for x, y in SIDES.values()])

    expected = values.reshape(4, words).sum(1, dtype=np.uint32) * factors
    return measure(cross(machine, profile, sender, dict.fromkeys(SIDES, receiver)).compile(), host, expected)
