"""T7: filters before the cores: everybody is sent everything, and takes what is meant for it."""

import numpy as np

from wsekern.examples.registry import Outcome, example, measure
from wsekern.examples.routes import EAST, line
from wsekern.fabric import RangeFilter
from wsekern.program import Layout, Program, Simulation

COLOR = 5


@example("range-filter", tier="T7", features="host copy, multicast, index, filters, asynchronous")
def range_filter(machine: str, profile: str, receivers: int = 4, words: int = 6) -> Outcome:
    """One multicast of numbered words down a line; a filter on the number gives each PE its own, the last one twice as many."""
    counts = [words] * (receivers - 1) + [2 * words]
    sender = Program("sender")
    data = sender.array("data", "u16", sum(counts))
    with sender.function("run") as t:
        t.mov16(sender.fabout(COLOR, data.elements, "u16", index=0), data)
    layout = Layout(machine, receivers + 1, 1, profile)
    layout.set_program(sender)
    line(layout, COLOR, EAST, 0, 0, receivers + 1, multicast=True)
    for k, count in enumerate(counts):
        p = Program(f"receiver {k}")
        taken = p.array("taken", "u16", count)
        with p.function("run") as t:
            t.mov16(taken, p.fabin(COLOR, count, "u16", packing=1), asynchronous=True)
        layout.set_program(p, k + 1)
        layout.fabric.filter(COLOR, RangeFilter(k * words, k * words + count - 1), x=k + 1, y=0)
    values = np.random.default_rng(7).integers(0, 1 << 16, sum(counts), dtype=np.uint16)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("data", values.reshape(1, 1, -1), 0, 0, 1, 1)
        simulation.launch("run")
        simulation.run()
        return np.concatenate([simulation.memcpy_d2h("taken", k + 1, 0, 1, 1)[0, 0] for k in range(receivers)])

    return measure(layout.compile(), host, values)
