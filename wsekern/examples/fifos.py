"""T3: FIFOs in a PE's memory, between what comes in and what works on it."""

import numpy as np

from wsekern.examples.registry import Outcome, example, measure
from wsekern.program import Layout, Program, Simulation


def _pipeline(machine: str, profile: str, stages: list[Program], words: np.ndarray, expected: np.ndarray) -> Outcome:
    """One stage a PE from west to east; color k comes into stage k and k + 1 leaves it."""
    layout = Layout(machine, len(stages), 1, profile, open_edges=True)
    for k, program in enumerate(stages):
        layout.set_program(program, k)
        layout.set_route(k, ["W"], ["RAMP"], k)
        layout.set_route(k + 1, ["RAMP"], ["E"], k)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.send(0, words, 0, 0, "W")
        simulation.launch("start")
        simulation.run()
        return simulation.receive(len(stages))["data"].astype(words.dtype)

    return measure(layout.compile(), host, expected)


@example("fifo-pipeline", tier="T3", features="streaming, FIFO, asynchronous")
def fifo_pipeline(machine: str, profile: str, count: int = 30) -> Outcome:
    """One microthread takes the stream into a FIFO, another adds to what it takes out, and sends it on.

    A microthread has the number of its queue: input queue 1 and output queue 0 let the two run side by side.
    """
    program = Program("fifo")
    fifo = program.fifo("fifo", "u16", 8)
    with program.function("start") as t:
        t.mov16(fifo.of(count), program.fabin(0, count, "u16", 1, queue=1), asynchronous=True)
        t.add16(program.fabout(1, count, "u16", 1), fifo.of(count), 5, asynchronous=True)
    numbers = np.random.default_rng(18).integers(0, 1 << 16, count).astype(np.uint16)
    return _pipeline(machine, profile, [program], numbers, numbers + np.uint16(5))


@example("fifo-three-pes", tier="T3", features="streaming, FIFO, asynchronous, data tasks")
def fifo_three_pes(machine: str, profile: str, count: int = 24) -> Outcome:
    """Three stages on three PEs; the slow one in the middle, a task for each word, is buffered on both sides."""
    stages = []
    for k, constant in enumerate((3, 0, 7)):
        program = Program(f"stage {k}")
        if constant:
            fifo = program.fifo("fifo", "u32", 16)
            with program.function("start") as t:
                t.mov32(fifo.of(count), program.fabin(k, count, "u32", queue=1), asynchronous=True)
                t.add32(program.fabout(k + 1, count, "u32"), fifo.of(count), constant, asynchronous=True)
        else:
            with program.data_task("square", k) as t:
                t.give(program.fabout(k + 1, 1, "u32"), t.word * t.word)
        stages.append(program)
    numbers = np.random.default_rng(19).integers(0, 1 << 16, count).astype(np.uint32)
    return _pipeline(machine, profile, stages, numbers, (numbers + np.uint32(3)) ** 2 + np.uint32(7))


@example("fifo-events", tier="T3", features="host copy, streaming, FIFO, local tasks, explicit descriptors, saved addresses")
def fifo_events(machine: str, profile: str, count: int = 20, room: int = 4) -> Outcome:
    """A task fills a FIFO until it is full; a pop from the full FIFO activates it again, a push into the empty one the
    task that drains it.
    """
    program = Program("events")
    fifo = program.fifo("fifo", "f32", room, on_push="drain", on_pop="fill")
    data = program.array("data", "f32", count)
    source = program.descriptor("source", data.view(1, save=True))      # moves on only where the push found room
    left, times = (program.variable(name, "i32") for name in ("left", "times"))
    with program.function("start") as t:
        t.put(left, count)
        t.put(times, 0)
        t.set_base(source, data)
        t.activate("fill")
        t.activate("drain")
    with program.task("fill") as t:
        t.put(times, t.get(times) + 1)
        pushed = t.let("u32", 0)
        with t.loop() as loop:
            loop.leave_if(t.get(left) == 0)
            t.fnegs(fifo.of(1), source, done=pushed)
            loop.leave_if(pushed == 0)
            t.put(left, t.get(left) - 1)
    with program.task("drain") as t:
        t.fmovs(program.fabout(1, count, "f32"), fifo)                  # ends early where the FIFO is empty
    layout = Layout(machine, 1, 1, profile, open_edges=True)
    layout.set_program(program)
    layout.set_route(1, ["RAMP"], ["E"])
    values = np.random.default_rng(20).standard_normal((1, 1, count), np.float32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("data", values)
        simulation.launch("start")
        simulation.run()
        return np.append(simulation.receive(1)["data"].view(np.float32), simulation.memcpy_d2h("times"))

    return measure(layout.compile(), host, np.append(-values[0, 0], -(-count // room)))      # a full FIFO each time
