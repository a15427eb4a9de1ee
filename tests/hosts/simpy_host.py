"""SimPy: a memory sends words into one PE, a processor takes them out of another; a unit of SimPy's time is a cycle."""

import simpy

from wsekern.fabric import Fabric, FabricPlan


def memory(env: simpy.Environment, words: list[int], west) -> None:
    """A word a cycle from cycle 0 on, while the ramp has room."""
    for word in words:
        while not west.offer(word):
            yield env.timeout(1)
        yield env.timeout(1)


def wafer(env: simpy.Environment, fabric: Fabric) -> None:
    """The fabric, one step in the middle of each cycle: after words are offered, before others are taken."""
    yield env.timeout(0.5)
    while True:
        fabric.step()
        yield env.timeout(1)


def processor(env: simpy.Environment, east, every: int, taken: list[tuple[int, int]]) -> None:
    """Looks for a word at the start of each cycle; one that it took keeps it busy for a while."""
    while True:
        word = east.pop()
        if word is not None:
            taken.append((round(env.now), word))
        yield env.timeout(1 if word is None else every)


def run(words: list[int], every: int, cycles: int) -> list[tuple[int, int]]:
    """What the processor took, at which cycles."""
    plan = FabricPlan(6, 1, "wse2")
    color = plan.connect((0, 0), (5, 0)).color
    fabric, env, taken = Fabric(plan, sink="core"), simpy.Environment(), []
    env.process(memory(env, words, fabric.port(0, 0, color)))
    env.process(wafer(env, fabric))
    env.process(processor(env, fabric.port(5, 0, color, depth=4), every, taken))
    env.run(until=cycles)
    return taken
