"""T6: streams of unknown length that end in a sentinel: a control wavelet whose entry point starts a control task."""

import numpy as np

from wsekern.examples.registry import Outcome, example, measure
from wsekern.examples.routes import EAST, step
from wsekern.fabric import Command, control_payload
from wsekern.program import Layout, Program, Simulation

STREAM, SUMS, RESULT, END = 2, 3, 4, 43
"""Colors, and the entry point of the sentinel."""


@example("sentinels", tier="T6", features="streaming, data tasks, control tasks, control words")
def sentinels(machine: str, profile: str, rows: int = 4) -> Outcome:
    """Means of streams from the host: data tasks add until a sentinel comes, the next PE divides and sends to the host."""
    adder, divider = Program("adder"), Program("divider")
    total, count = adder.variable("total", "f32"), adder.variable("count", "f32")
    with adder.data_task("add", STREAM) as t:
        t.put(total, t.get(total) + t.word.bits("f32"))
        t.put(count, t.get(count) + 1.0)
    with adder.control_task("end", END) as t:
        for number in (total, count):
            t.give(adder.fabout(SUMS, 1, "f32"), t.get(number))
            t.put(number, 0.0)
    pair = divider.array("pair", "f32", 2)
    with divider.task("listen", active=True) as t:
        t.fmovs(pair, divider.fabin(SUMS, 2, "f32"), asynchronous=True, activate="divide")
    with divider.task("divide") as t:
        t.give(divider.fabout(RESULT, 1, "f32"), t.read(pair, 0) / t.read(pair, 1))

    layout = Layout(machine, 2, rows, profile, open_edges=True)
    layout.set_program(adder, 0, 0, 1, rows)
    layout.set_program(divider, 1, 0, 1, rows)
    layout.set_route(STREAM, ["W"], ["RAMP"], 0, 0, 1, rows)
    layout.set_route(RESULT, ["RAMP"], ["E"], 1, 0, 1, rows)
    for y in range(rows):
        step(layout, SUMS, EAST, 0, y)
    rng = np.random.default_rng(5)
    streams = [rng.standard_normal(3 + 4 * y).astype(np.float32) for y in range(rows)]

    def host(simulation: Simulation) -> np.ndarray:
        for y, stream in enumerate(streams):
            simulation.send(STREAM, stream, 0, y)
            simulation.send(STREAM, [control_payload([Command.NOP], entry_point=END)], 0, y, control=True)
        simulation.run()
        words = simulation.receive(RESULT)
        return words["data"][np.argsort(words["y"])].view(np.float32)

    expected = np.array([stream.astype(np.float64).mean() for stream in streams])
    return measure(layout.compile(), host, expected, 1e-6)
