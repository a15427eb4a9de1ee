"""T1: what a link and a microthread give, by the time-stamp counter."""

import numpy as np

from wsekern.examples.registry import Outcome, example, measure
from wsekern.examples.routes import EAST, WEST, line
from wsekern.program import Layout, Program, Simulation


@example("bandwidth-test", tier="T1", features="host copy, local tasks, asynchronous, time stamps")
def bandwidth_test(machine: str, profile: str, hops: int = 3, words: int = 64) -> Outcome:
    """Cycles from launch to last word of two transfers over a line, one twice as long: their difference is the link's rate."""
    counts = (words, 2 * words)
    sender, receiver = Program("sender"), Program("receiver")
    for program in (sender, receiver):
        data = program.array("data", "u32", 2 * words)
        times = program.array("times", "u16", 12)
        for k, count in enumerate(counts):
            name = f"transfer_{k}"
            with program.function(name) as t:
                t.timestamp(times, 6 * k)
                if program is sender:
                    t.mov32(program.fabout(0, count, "u32"), data.view(count), asynchronous=True, activate=f"{name}_done")
                else:
                    t.mov32(data.view(count), program.fabin(0, count, "u32"), asynchronous=True, activate=f"{name}_done")
            with program.task(f"{name}_done") as t:
                t.timestamp(times, 6 * k + 3)
    layout = Layout(machine, hops + 1, 1, profile)
    layout.set_program(sender)
    layout.set_program(receiver, hops)
    line(layout, 0, EAST, 0, 0, hops + 1)
    values = np.random.default_rng(9).integers(0, 1 << 32, (1, 1, 2 * words), dtype=np.uint32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("data", values, width=1)
        cycles = []
        for k in range(2):
            simulation.launch(f"transfer_{k}")
            simulation.run()
            begin, end = (simulation.timestamps("times", 6 * k + part)[0, hops] for part in (0, 3))
            cycles.append(end - begin)
        return np.append(simulation.memcpy_d2h("data", hops)[0, 0], cycles[1] - cycles[0])

    timing = layout.timing
    return measure(layout.compile(), host, np.append(values[0, 0], timing.stream(2 * words) - timing.stream(words)))


@example("microthreads", tier="T1", features="host copy, asynchronous, microthread ids, priorities", machines=("wse3",))
def microthreads(machine: str, profile: str, words: int = 40) -> Outcome:
    """One PE sends to both neighbors at once, and receives from both, on microthreads that are not those of the queues."""
    middle = Program("middle")
    to_west, to_east, from_west, from_east = 0, 1, 2, 3
    sent = middle.array("sent", "f32", words)
    sums = {color: middle.array(name, "f32", words) for name, color in (("west", from_west), ("east", from_east))}
    with middle.function("start") as t:
        for thread, color in ((5, to_west), (6, to_east)):
            t.fmovs(middle.fabout(color, words, "f32"), sent, microthread=thread)
        for thread, (color, total) in zip((4, 7), sums.items(), strict=True):
            t.fadds(total, sent, middle.fabin(color, words, "f32"), microthread=thread, priority="high")
    layout = Layout(machine, 3, 1, profile)
    layout.set_program(middle, 1)
    for x, arrives, leaves, direction in ((0, to_west, from_west, EAST), (2, to_east, from_east, WEST)):
        echo = Program(f"echo {x}")
        with echo.function("start") as t:
            t.fmovs(echo.fabout(leaves, words, "f32"), echo.fabin(arrives, words, "f32"), microthread=3)
        layout.set_program(echo, x)
        line(layout, leaves, direction, x, 0, 2)
        line(layout, arrives, WEST if x == 0 else EAST, 1, 0, 2)
    values = np.random.default_rng(10).standard_normal((1, 1, words), np.float32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("sent", values, 1, width=1)
        simulation.launch("start")
        simulation.run()
        return np.stack([simulation.memcpy_d2h(name, 1)[0, 0] for name in ("west", "east")])

    return measure(layout.compile(), host, np.broadcast_to(values[0, 0] * 2, (2, words)))


@example("trace-buffers", tier="T1", features="host copy, multicast, data tasks, time stamps")
def trace_buffers(machine: str, profile: str, receivers: int = 3, words: int = 4) -> Outcome:
    """A log in each PE's memory, read by the host: a word multicast along a line reaches each next PE a hop later."""
    sender, receiver = Program("sender"), Program("receiver")
    with sender.function("start") as t:
        t.mov32(sender.fabout(0, words, "u32"), sender.array("data", "u32", words))
    log, entries = receiver.array("log", "u16", 4 * words), receiver.variable("entries", "i32")
    with receiver.data_task("on_word", 0) as t:
        at = t.get(entries)
        t.timestamp(log, at * 4)
        t.write(log, at * 4 + 3, t.word)
        t.put(entries, at + 1)
    layout = Layout(machine, receivers + 1, 1, profile)
    layout.set_program(sender)
    layout.set_program(receiver, 1, 0, receivers)
    line(layout, 0, EAST, 0, 0, receivers + 1, multicast=True)
    values = np.random.default_rng(21).integers(0, 1 << 16, (1, 1, words)).astype(np.uint32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("data", values, width=1)
        simulation.memcpy_h2d("entries", np.zeros((1, receivers, 1), np.int32), 1)
        simulation.launch("start")
        simulation.run()
        cycles = np.stack([simulation.timestamps("log", 4 * k)[0, 1:] for k in range(words)])      # (words, receivers)
        return np.concatenate([np.diff(cycles, axis=1).reshape(-1), simulation.memcpy_d2h("log", 1)[0, :, 3::4].reshape(-1)])

    hops = np.full(words * (receivers - 1), layout.timing.hop)
    return measure(layout.compile(), host, np.concatenate([hops, np.tile(values[0, 0], receivers)]))
