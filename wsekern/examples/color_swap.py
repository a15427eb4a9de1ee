"""T10 (WSE-2): colors that swap as words cross a link, so that one program serves all PEs of a row."""

import numpy as np

from wsekern.examples.registry import Outcome, example, measure
from wsekern.program import Layout, Program, Simulation

LEAVES, ARRIVES = 4, 5
"""A pair of colors that differ in the lowest bit: what leaves on the one arrives on the other."""


@example("color-swap", tier="T10", features="host copy, asynchronous, color swap", machines=("wse2",))
def color_swap(machine: str, profile: str, width: int = 5, words: int = 8) -> Outcome:
    """Every PE of a row hands its words to the next: all send on one color, and listen to the one that a link makes of it."""
    programs = [Program(name) for name in ("first", "middle", "last")]
    for k, program in enumerate(programs):
        data, taken = program.array("data", "f32", words), program.array("taken", "f32", words)
        with program.function("run") as t:
            if k > 0:
                t.fmovs(taken, program.fabin(ARRIVES, words, "f32"), asynchronous=True)
            if k < 2:
                t.fmovs(program.fabout(LEAVES, words, "f32"), data)
    layout = Layout(machine, width, 1, profile)
    layout.set_programs(programs, np.array([[0] + [1] * (width - 2) + [2]]))
    layout.fabric.paint(LEAVES, "RAMP", "E", width=width - 1, swap="EW")
    layout.fabric.paint(LEAVES, "RAMP", "RAMP", x=width - 1, swap="EW")   # a word is swapped where it comes in
    layout.fabric.paint(ARRIVES, "W", "RAMP", x=1, width=width - 1)
    values = np.random.default_rng(8).standard_normal((1, width, words), np.float32)
    return measure(layout.compile(), lambda simulation: _shift(simulation, values), values[:, :-1])


def _shift(simulation: Simulation, values: np.ndarray) -> np.ndarray:
    simulation.memcpy_h2d("data", values)
    simulation.launch("run")
    simulation.run()
    return simulation.memcpy_d2h("taken", 1)
