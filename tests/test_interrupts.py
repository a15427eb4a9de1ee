"""What is interrupted in the middle of a run goes on to the same end; :mod:`tests.inference.test_kept_run` has models."""

import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from wsekern.fabric import Fabric, FabricPlan
from wsekern.program import Layout, Program, Simulation


def fabric() -> Fabric:
    plan = FabricPlan(60, 40, "wse2")
    for color in (1, 2, 3):
        plan.connect((0, 13 * (color - 1)), (59, 39), colors=[color])
    made = Fabric(plan)
    for color in (1, 2, 3):
        made.inject(0, 13 * (color - 1), color, np.arange(10_000, dtype=np.uint32))
    return made


def simulation() -> Simulation:
    layout, pe = Layout("wse3", 12, 12), Program("adds")
    a = pe.array("a", "f32", 64, initial=np.arange(64))
    with pe.function("go") as code:
        for _ in range(400):
            code.fadds(a, a, a)
    layout.set_program(pe, 0, 0, 12, 12)
    made = layout.compile()
    made.launch("go")
    return made


MADE: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "fabric": (fabric, lambda item: item.run_until_idle()), "program": (simulation, lambda item: item.run())}


@pytest.mark.parametrize("name", MADE)
def test_what_is_interrupted_goes_on_to_the_same_end(name, monkeypatch):
    make, run = MADE[name]
    whole, often, seen = make(), make(), []
    run(whole)

    def interrupt(number, frame):
        seen.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        wait = 0.002
        while True:
            signal.setitimer(signal.ITIMER_REAL, wait)
            try:
                run(often)
                break
            except KeyboardInterrupt:
                wait *= 2
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen, "it ended before it could be interrupted"
    assert often.cycle == whole.cycle and often.to_bytes() == whole.to_bytes()
