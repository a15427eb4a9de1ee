"""Fabrics, simulations and flow engines in other processes and threads, after the parent's own threads have worked."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from wsekern.fabric import Fabric, FabricPlan
from wsekern.machine import load_machine
from wsekern.ops import AllReduce, FlowEngine
from wsekern.program import Layout, Program, Simulation

ROWS = 130      # three strips: up to three threads at work


def fabric() -> Fabric:
    plan = FabricPlan(3, ROWS, "wse2")
    plan.connect((0, 0), (2, 0, 1, ROWS), colors=[4])
    made = Fabric(plan, threads=3)
    made.inject(0, 0, 4, list(range(20)))
    made.step(30)
    return made


def simulation() -> Simulation:
    layout, pe = Layout("wse3", 2, ROWS), Program("adds")
    a = pe.array("a", "f32", 8, initial=np.arange(8))
    with pe.function("go") as code:
        for _ in range(6):
            code.fadds(a, a, a)
    layout.set_program(pe, 0, 0, 2, ROWS)
    made = layout.compile(threads=3)
    made.launch("go")
    made.step(5)
    return made


def engine() -> FlowEngine:
    made = FlowEngine(load_machine("wse3"), 8, 8, threads=3)
    made.run(AllReduce(4, "x"), np.ones((8, 8, 4), np.float16))
    return made


ENDS = """(one.run_until_idle(), one.drain().tolist(), two.run(), two.memcpy_d2h("a").sum(), three.run(sum_, tile).sum(),
          three.clock.max())"""
"""All that these three come to, where they go on: an expression, as a new process cannot import what only the tests have."""


def given() -> dict:
    tile = np.ones((8, 8, 4), np.float16)
    return {"one": fabric(), "two": simulation(), "three": engine(), "sum_": AllReduce(4, "y"), "tile": tile}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_go_on_with_what_they_are_given(method):
    expected = eval(ENDS, given())       # threads work in this process first
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        found = [pool.submit(eval, ENDS, given()) for _ in range(3)]
        assert [future.result(timeout=50) for future in found] == [expected] * 3


def test_threads_of_one_process_do_not_disturb_each_other():
    expected = eval(ENDS, given())
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(eval, ENDS, given()) for _ in range(8)]
        assert [future.result(timeout=50) for future in found] == [expected] * 8
