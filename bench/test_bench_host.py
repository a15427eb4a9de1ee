"""Python hosts that are coupled to a wafer cycle by cycle: what a cycle and each call cost. Results are asserted, times never.

What bounds them: some 0.1 us for a call of a compiled method with its arguments checked when a port was opened, and the step of
a fabric in which few words move, under 1 us. Goal: each call <= 2 us; before ports, with its arguments checked at every word,
an offer cost 22 us, an inject 27 us and a drain 7 us.
"""

import pytest

from wsekern.fabric import Fabric, FabricPlan
from wsekern.program import Layout, Program

CYCLES = 2000


def fabric() -> Fabric:
    plan = FabricPlan(16, 16, "wse2")
    plan.connect((0, 0), (5, 0), colors=[3])
    return Fabric(plan)


def note(benchmark, calls: int) -> None:
    each = benchmark.stats.stats.median / calls * 1e6 if benchmark.stats else 0.0
    benchmark.extra_info.update(microseconds=each, goal="<= 2 us a call")


def test_a_cycle_with_ports(benchmark):
    """Offer a word, step, pop one."""
    host = fabric()
    west, east = host.port(0, 0, 3), host.port(5, 0, 3)

    def cycles() -> int:
        host.reset()
        taken = 0
        for word in range(CYCLES):
            west.offer(word)
            host.step()
            taken += east.pop() is not None
        return taken

    assert benchmark(cycles) == CYCLES - 8
    note(benchmark, 3 * CYCLES)


def test_a_cycle_with_calls_by_place(benchmark):
    """The same by offer, step and drain of the fabric, which check PE and color at every word."""
    host = fabric()

    def cycles() -> int:
        host.reset()
        host.drain()
        taken = 0
        for word in range(CYCLES):
            host.offer(0, 0, 3, word)
            host.step()
            taken += len(host.drain())
        return taken

    assert benchmark(cycles) == CYCLES - 8
    note(benchmark, 3 * CYCLES)


@pytest.mark.parametrize("call", ["push", "room", "top", "pop", "offer", "inject", "step", "drain", "next_event"])
def test_one_call(benchmark, call):
    host = fabric()
    port = host.port(0, 0, 3)
    calls = {"push": lambda: port.push(1), "room": port.room, "top": host.port(5, 0, 3).top, "pop": host.port(5, 0, 3).pop,
             "offer": lambda: host.offer(0, 0, 3, 1), "inject": lambda: host.inject(0, 0, 3, 1), "step": host.step,
             "drain": host.drain, "next_event": lambda: host.next_event}

    def many() -> None:
        host.reset()
        for _ in range(CYCLES):
            calls[call]()

    benchmark(many)
    note(benchmark, CYCLES)


def test_a_cycle_of_a_simulation(benchmark):
    """Send a word, step, receive: one PE that passes words on."""
    layout, pe = Layout("wse3", 1, 1, open_edges=True), Program("passes")
    with pe.task("go", active=True) as code:
        code.mov32(pe.fabout(1, CYCLES, "u32"), pe.fabin(0, CYCLES, "u32"))
    layout.set_program(pe)
    layout.set_route(0, "W", "RAMP")
    layout.set_route(1, "RAMP", "E")
    host = layout.compile()

    def cycles() -> int:
        host.reset()
        taken = 0
        for word in range(CYCLES):
            host.send(0, word, 0, 0)
            host.step()
            taken += len(host.receive())
        return taken

    assert benchmark(cycles) > CYCLES - 100
    note(benchmark, 3 * CYCLES)
