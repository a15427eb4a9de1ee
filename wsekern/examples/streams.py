"""T2: words that the host streams in over the edges of the grid and takes where they leave it."""

from collections.abc import Callable

import numpy as np

from wsekern.examples.registry import Outcome, example, measure
from wsekern.program import Layout, Program, Simulation

IN, OUT = 2, 3
"""Colors of a stream through one PE, from west to east."""


def through_one_pe(machine: str, profile: str, program: Program) -> Layout:
    """A program that takes words from the western edge and sends others over the eastern one."""
    layout = Layout(machine, 1, 1, profile, open_edges=True)
    layout.set_program(program)
    layout.set_route(IN, ["W"], ["RAMP"])
    layout.set_route(OUT, ["RAMP"], ["E"])
    return layout


def _stream(layout: Layout, words: np.ndarray, expected: np.ndarray, decode: Callable[[np.ndarray], np.ndarray]) -> Outcome:
    """Send ``words`` in, start ``start`` where there is such a function, and decode what comes out."""
    has_start = any("start" in program.tasks for program in layout.programs)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.send(IN, words, 0, 0, "W")
        if has_start:
            simulation.launch("start")
        simulation.run()
        return decode(simulation.receive(OUT)["data"])

    return measure(layout.compile(), host, expected)


@example("stream-add", tier="T2", features="streaming, asynchronous")
def stream_add(machine: str, profile: str, count: int = 20) -> Outcome:
    """One instruction adds 1 to every 16-bit element of a stream, from the input queue straight to the output queue."""
    program = Program("add")
    with program.function("start") as t:
        t.add16(program.fabout(OUT, count, "i16", 1), program.fabin(IN, count, "i16", 1), 1, asynchronous=True)
    numbers = np.random.default_rng(11).integers(-9999, 9999, count).astype(np.int16)
    return _stream(through_one_pe(machine, profile, program), numbers.view(np.uint16).astype(np.uint32), numbers + 1,
                   lambda words: words.astype(np.uint16).view(np.int16))


@example("stream-words", tier="T2", features="streaming, data tasks")
def stream_words(machine: str, profile: str, count: int = 12) -> Outcome:
    """Every word starts a data task, which sends its square less the word before it."""
    program = Program("words")
    last = program.variable("last", "i32")
    with program.function("start") as t:
        t.put(last, 0)
    with program.data_task("on_word", IN) as t:
        word = t.word.bits("i32")
        t.give(program.fabout(OUT, 1, "i32"), word * word - t.get(last))
        t.put(last, word)
    numbers = np.random.default_rng(12).integers(-99, 99, count).astype(np.int32)
    return _stream(through_one_pe(machine, profile, program), numbers.view(np.uint32),
                   numbers**2 - np.concatenate([[0], numbers[:-1]]), lambda words: words.view(np.int32))


@example("sparse-tensor", tier="T2", features="host copy, streaming, data tasks, index")
def sparse_tensor(machine: str, profile: str, size: int = 16, count: int = 10) -> Outcome:
    """A sparse vector comes in, an index and a 16-bit value to each word, and is added to a dense one."""
    program = Program("sparse")
    dense = program.array("dense", "i16", size)
    with program.data_task("on_word", IN) as t:
        value, index = t.split("i16", "u16")
        t.write(dense, index, t.read(dense, index) + value)
    layout = through_one_pe(machine, profile, program)
    rng = np.random.default_rng(13)
    start = rng.integers(-99, 99, size).astype(np.int16)
    indices, values = rng.integers(0, size, count).astype(np.uint32), rng.integers(-99, 99, count).astype(np.int16)
    expected = start.copy()
    np.add.at(expected, indices, values)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("dense", start.reshape(1, 1, -1))
        simulation.send(IN, indices << 16 | values.view(np.uint16), 0, 0, "W")
        simulation.run()
        return simulation.memcpy_d2h("dense")[0, 0]

    return measure(layout.compile(), host, expected)
