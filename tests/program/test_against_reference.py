"""The kernel of the cores against the plain reference, cycle by cycle, on random programs."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import DeadlineError, DeadlockError, WsekernError
from wsekern.fabric.reference import BrokenRule, Word
from wsekern.program.operands import TYPE_BYTES
from wsekern.program.reference.parts import BrokenProgram
from wsekern.program.reference.simulation import ReferenceSimulation

MACHINES = [(machine, profile) for machine in ("wse2", "wse3") for profile in ("vendor-simulator", "silicon")]


def thread_of(state: str, at: int, word: int, is_main: bool) -> tuple:
    """What is compared of a thread: what it is at where it waits or is in a stream, else that it is idle or at work."""
    if state == "idle":
        return ("idle",)
    waits = state in ("input", "output", "fifo", "microthread")
    return (state if waits else "works", *((at, word) if waits or word >= 0 or not is_main else ()))


def state_of(core) -> dict:
    """A core of the reference as :meth:`wsekern.program.Simulation.state` tells of a core."""
    names = {number: name for name, number in core.placed.tasks.items()}
    return {
        "threads": {n: thread_of(thread.state, thread.at, thread.word, n == 8) for n, thread in core.threads.items()},
        "registers": core.registers, "activated": sorted(names[task] for task in core.activated),
        "blocked": sorted(names[task] for task in core.blocked),
        "blocked_queues": sum(1 << queue for queue in core.blocked_queues), "live": core.live,
        "inputs": {queue: [word[0] for word in words] for queue, words in core.inputs.items()},
        "outputs": {queue: [word[0].data for word in words] for queue, words in core.outputs.items()},
        "descriptors": [(place.base, place.extent, place.stride, place.at) for place in core.own.values()],
        "fifos": [(fifo.head, fifo.count) for fifo in core.fifos.values()],
    }


def seen(simulation, x: int, y: int, core) -> dict:
    """The same of the kernel; of registers those that the reference has written."""
    state = simulation.state(x, y)
    state["threads"] = {n: thread_of(thread["state"], thread["instruction"], thread["word"], n == 8)
                        for n, thread in state["threads"].items()}
    state["registers"] = {n: state["registers"][n] for n in core.registers}
    state["activated"], state["blocked"] = sorted(state["activated"]), sorted(state["blocked"])
    return state


def different(core, there: bytes) -> list[str]:
    """Symbols whose bytes differ."""
    sizes = {symbol: TYPE_BYTES[type] * elements for symbol, (type, elements) in core.program.symbols.items()}
    return [symbol for symbol, at in core.placed.addresses.items()
            if bytes(core.memory[at:at + sizes[symbol]]) != there[at:at + sizes[symbol]]]


def compare(simulation, reference: ReferenceSimulation) -> None:
    """Everything that every core holds and has counted."""
    assert simulation.cycle == reference.cycle
    counters = simulation.counters()
    for (x, y), core in reference.cores.items():
        where = f"PE ({x}, {y}), cycle {reference.cycle}"
        state, counts = seen(simulation, x, y, core), core.counters | {"done": core.done}
        for name, expected in state_of(core).items():
            assert state[name] == expected, f"{name} of {where}"
        assert {name: int(counters[name][y, x]) for name in counts} == counts, where
        there = simulation.memory_of(x, y)
        assert there == core.memory, f"memory of {where}: {different(core, there)}"
    for color in reference.fabric.colors:
        there = np.zeros((reference.layout.height, reference.layout.width), np.uint8)
        for (x, y, c), queue in reference.fabric.queues.items():
            if c == color:
                there[y, x] = queue.reserved
        np.testing.assert_array_equal(simulation.fabric.occupancy(color), there)


def same_profile(simulation, reference: ReferenceSimulation) -> None:
    """How often each instruction began, and thread-cycles at it, of all PEs."""
    layout = reference.layout
    first = np.concatenate([[0], np.cumsum([simulation.instructions_of(k) for k in range(len(layout.programs))])])
    expected = np.zeros((first[-1], 6), np.int64)
    for (x, y), core in reference.cores.items():
        for at, counts in core.spent.items():
            expected[first[layout.program_of[y, x]] + at] += counts
    np.testing.assert_array_equal(simulation.instruction_counts(), expected)


def same_findings(simulation, reference: ReferenceSimulation) -> None:
    """What the programs did that is hardly meant; of unread words those in queues of cores."""
    rows = {rule: (count, cycle, pe, color, instruction, number) for rule, count, cycle, pe, color, _, instruction, number
            in simulation._cores.findings(simulation.fabric)}
    expected = {rule: rest for rule, *rest in reference.findings() if rule != "unwritten" or simulation.watches_memory}
    words = rows.pop("unread", None)
    if "unread" in expected:
        assert [*words[2:4], words[-1]] == expected.pop("unread")
    assert {rule: list(row) for rule, row in rows.items()} == expected


def inject(rng: random.Random, simulation, reference: ReferenceSimulation, entries: list) -> None:
    """Words of the host, at a random ramp or edge."""
    x, y, color, port = rng.choice(entries)
    words = [Word(rng.getrandbits(32), rng.random() < 0.1) for _ in range(rng.randrange(1, 12))]
    simulation.send(color, np.array([word.data for word in words], np.uint32), x, y, port,
                    control=[word.control for word in words])
    reference.fabric.inject(x, y, color, words, port)


def same_edge(simulation, reference: ReferenceSimulation) -> None:
    """Words that left the grid."""
    rows = simulation.receive()[["cycle", "x", "y", "color", "port", "control", "data"]].tolist()
    assert sorted(rows) == sorted(reference.edge)
    reference.edge = []


def run_both(rng: random.Random, simulation, reference: ReferenceSimulation, steps: list[int], entries: list) -> bool:
    """Step both and compare; False where rules were broken, in both alike, or a result was no number."""
    simulation.count_instructions()
    for cycles in steps:
        if rng.random() < 0.05:
            simulation.launch("later")
            for core in reference.cores.values():
                core.launch("later")
        if rng.random() < 0.15:
            inject(rng, simulation, reference, entries)
        try:
            reference.step(cycles)
        except (BrokenRule, BrokenProgram):
            with pytest.raises(WsekernError):
                simulation.step(cycles)
            return False
        simulation.step(cycles)
        if any(core.nans for core in reference.cores.values()):
            return False
        compare(simulation, reference)
        same_profile(simulation, reference)
        same_edge(simulation, reference)
    same_findings(simulation, reference)
    return True


def random_steps(rng: random.Random, count: int) -> list[int]:
    return [rng.choice([1, 1, 2, 3, 7, 40]) for _ in range(count)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**63))
def test_cycle_by_cycle(random_layout, seed):
    rng = random.Random(seed)
    layout, entries = random_layout(rng, *rng.choice(MACHINES), rng.randrange(1, 4), rng.randrange(1, 4))
    if layout.programs:
        run_both(rng, layout.compile(watch_memory=rng.random() < 0.5), ReferenceSimulation(layout), random_steps(rng, 40),
                 entries)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**63))
def test_whole_runs_skip_what_nothing_happens_in(random_layout, seed):
    """A run that sleeps, jumps and lets scalar code run ahead ends in the state to which the reference goes step by step."""
    rng = random.Random(seed)
    layout, entries = random_layout(rng, *rng.choice(MACHINES), rng.randrange(1, 4), rng.randrange(1, 4))
    if not layout.programs:
        return
    simulation, reference = layout.compile(watch_memory=True), ReferenceSimulation(layout)
    simulation.count_instructions()
    for _ in range(rng.randrange(4)):
        inject(rng, simulation, reference, entries)
    try:
        simulation.run(deadline=rng.randrange(100, 700), quiet=True)
    except (DeadlockError, DeadlineError):
        pass
    except WsekernError:
        with pytest.raises((BrokenRule, BrokenProgram)):
            reference.step(simulation.cycle + 700)
        return
    reference.step(simulation.cycle)
    if not any(core.nans for core in reference.cores.values()):
        compare(simulation, reference)
        same_profile(simulation, reference)
        same_edge(simulation, reference)
        same_findings(simulation, reference)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**63))
def test_two_threads_on_two_strips(random_layout, seed):
    """More than 64 rows: two threads step them, and words cross from one strip to the other."""
    rng = random.Random(seed)
    layout, entries = random_layout(rng, *rng.choice(MACHINES), 1, 67)
    if layout.programs:
        run_both(rng, layout.compile(threads=2), ReferenceSimulation(layout), random_steps(rng, 12), entries)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**63))
def test_reset_runs_the_same_again(random_layout, seed):
    """From cycle 0, with the memory as the first run left it."""
    rng = random.Random(seed)
    layout, entries = random_layout(rng, *rng.choice(MACHINES), rng.randrange(1, 3), rng.randrange(1, 3))
    if not layout.programs:
        return
    simulation, reference = layout.compile(), ReferenceSimulation(layout)
    if run_both(rng, simulation, reference, random_steps(rng, 15), entries):
        simulation.reset()
        reference.reset()
        same_profile(simulation, reference)
        compare(simulation, reference)
        run_both(rng, simulation, reference, random_steps(rng, 15), entries)
