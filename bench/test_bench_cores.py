"""PE cores under programs: a stencil, a solver, cores that sleep. Results are asserted, times never.

What bounds them: each word costs an event of its sender (issue), of its ramp, of its receiver (delivery, issue) and the
routers' step. By perf on a stencil of 128x512 PEs three loads alone took 21 % of the time where each event waited for the state
of its PE (threads, words to leave, words to take); since memory of coming events is asked for early (`pe_ahead.h`) no load
takes more than 6 %: elements in memory, then the first word of an output queue, and the rest is instructions. Vector
instructions in memory cost a few nanoseconds an element. Cores that wait or sleep cost nothing.
"""

import numpy as np
import pytest

from wsekern.examples.conjugate_gradient import conjugate_gradient_layout
from wsekern.examples.stencil_7pt import CENTRE, COLUMN, PLANE, seven_points_of, stencil_layout
from wsekern.program import Layout, Program

VENDOR_SIMULATOR = 92_937
"""Active tile-cycles/s per thread of the vendor's simulator (SPMM sim_stats.json: 464,684 on 5 threads)."""


def note_rate(benchmark, simulation, **more) -> None:
    """Active PE-cycles per second: cycles from 0 to the one at which each PE became idle."""
    rate = int(simulation.clock.sum()) / benchmark.stats.stats.median if benchmark.stats else 0
    hops = simulation.link_traversals / benchmark.stats.stats.median if benchmark.stats else 0
    benchmark.extra_info.update(pe_cycles_per_s=rate, wavelet_hops_per_s=hops, against_vendor_simulator=rate / VENDOR_SIMULATOR,
                                engine="cycle", **more)


@pytest.mark.parametrize(("width", "height", "threads"), [(64, 64, 1), (128, 512, 1), (128, 512, 2)])
def test_stencil(benchmark, width, height, threads):
    """Seven-point stencil, 16 fp32 deep, two steps. Goal: >= 1e7 PE-cycles/s (100x the vendor's), two threads >= 1.7x one."""
    depth, steps = 16, 2
    u = np.random.default_rng(0).standard_normal((height, width, depth)).astype(np.float32)
    simulation = stencil_layout("wse3", "vendor-simulator", width, height, depth, steps).compile(threads)

    def set_up() -> None:
        simulation.reset()
        simulation.memcpy_h2d("u", u)
        simulation.launch("run")

    benchmark.pedantic(simulation.run, setup=set_up, rounds=3)
    expected = u
    for _ in range(steps):
        expected = seven_points_of(expected, CENTRE, PLANE, COLUMN)
    np.testing.assert_allclose(simulation.memcpy_d2h("u"), expected, rtol=1e-4, atol=1e-5)
    note_rate(benchmark, simulation, width=width, height=height, threads=threads, tile=depth, dtype="fp32",
              goal="pe_cycles_per_s >= 1e7; two threads >= 1.7x one")


def test_conjugate_gradient(benchmark):
    """Twenty iterations of a conjugate gradient with its all-reduces, 64 x 64 PEs. Goal: >= 1e7 PE-cycles/s."""
    b = np.random.default_rng(0).standard_normal((64, 64, 16)).astype(np.float32)
    simulation = conjugate_gradient_layout("wse3", "vendor-simulator", 64, 64, 16, 20, 1e-9).compile()

    def set_up() -> None:
        simulation.reset()
        simulation.memcpy_h2d("b", b)
        simulation.launch("solve")

    benchmark.pedantic(simulation.run, setup=set_up, rounds=2)
    assert np.unique(simulation.memcpy_d2h("iterations")).size == 1
    note_rate(benchmark, simulation, width=64, height=64, threads=1, tile=16, dtype="fp32", goal="pe_cycles_per_s >= 1e7")


@pytest.mark.parametrize(("fabric", "asleep"), [(8, False), (700, False), (700, True)], ids=["8", "700", "700-asleep"])
def test_idle_and_sleeping_pes_cost_nothing(benchmark, fabric, asleep):
    """The same 4 x 4 program alone, on a large fabric, and there among PEs whose tasks all sleep. Goal: within 1.2x."""
    layout = Layout("wse2", fabric, fabric)
    if asleep:
        sleeper = Program("sleeper")
        with sleeper.data_task("woken", 5) as code:
            code.activate("blocked")
        with sleeper.task("blocked", blocked=True) as code:
            code.spend(5)
        layout.set_program(sleeper, 0, 0, fabric, fabric)
    program = Program("work")
    x = program.array("x", "f32", 64, 1.0)
    with program.task("main", active=True) as code, code.range(2000):
        code.fadds(x, x, 1.0)
    layout.set_program(program, fabric // 2, fabric // 2, 4, 4)
    simulation = layout.compile()
    benchmark.pedantic(simulation.run, setup=simulation.reset, rounds=5)
    assert simulation.counters()["elements"].sum() == 16 * 2000 * 64
    note_rate(benchmark, simulation, width=fabric, height=fabric, threads=1, goal="all within 1.2x of each other")
