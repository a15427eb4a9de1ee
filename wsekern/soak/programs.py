"""Random programs, on which the kernel of the cores and the plain reference are set side by side."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from wsekern.errors import WsekernError
from wsekern.fabric.reference import BrokenRule, Word
from wsekern.program import Simulation
from wsekern.program.operands import TYPE_BYTES
from wsekern.program.places import held_by
from wsekern.program.reference.core import ReferenceCore
from wsekern.program.reference.parts import BrokenProgram
from wsekern.program.reference.simulation import ReferenceSimulation
from wsekern.soak.difference import Difference, same
from wsekern.soak.fabrics import Entries

MACHINES = [(machine, profile) for machine in ("wse2", "wse3") for profile in ("vendor-simulator", "silicon")]
"""Wafers and timing profiles."""


def thread_of(state: str, at: int, word: int, is_main: bool) -> tuple:
    """What is compared of a thread: what it is at where it waits or is in a stream, else that it is idle or at work."""
    if state == "idle":
        return ("idle",)
    waits = state in ("input", "output", "fifo", "microthread")
    return (state if waits else "works", *((at, word) if waits or word >= 0 or not is_main else ()))


def state_of(core: ReferenceCore) -> dict[str, Any]:
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


def seen(simulation: Simulation, x: int, y: int, core: ReferenceCore) -> dict[str, Any]:
    """The same of the kernel; of registers those that the reference has written."""
    state = held_by(simulation.layout, simulation._cores, simulation._placed, x, y)
    state["threads"] = {n: thread_of(thread["state"], thread["instruction"], thread["word"], n == 8)
                        for n, thread in state["threads"].items()}
    state["registers"] = {n: state["registers"][n] for n in core.registers}
    state["activated"], state["blocked"] = sorted(state["activated"]), sorted(state["blocked"])
    return state


def different(core: ReferenceCore, there: bytes) -> list[str]:
    """Symbols whose bytes differ."""
    sizes = {symbol: TYPE_BYTES[type] * elements for symbol, (type, elements) in core.program.symbols.items()}
    return [symbol for symbol, at in core.placed.addresses.items()
            if bytes(core.memory[at:at + sizes[symbol]]) != there[at:at + sizes[symbol]]]


def compare(simulation: Simulation, reference: ReferenceSimulation) -> None:
    """Everything that every core holds and has counted."""
    same(simulation.cycle, reference.cycle, "the cycle")
    counters = simulation.counters()
    for (x, y), core in reference.cores.items():
        where = f"PE ({x}, {y}), cycle {reference.cycle}"
        state, counts = seen(simulation, x, y, core), core.counters | {"done": core.done}
        for name, expected in state_of(core).items():
            same(state[name], expected, f"{name} of {where}")
        same({name: int(counters[name][y, x]) for name in counts}, counts, f"counters of {where}")
        there = simulation.memory_of(x, y)
        same(different(core, there), [], f"symbols of other bytes on {where}")
        same(there == core.memory, True, f"whether memory is the same on {where}")
    for color in reference.fabric.colors:
        words = np.zeros((reference.layout.height, reference.layout.width), np.uint8)
        for (x, y, c), queue in reference.fabric.queues.items():
            if c == color:
                words[y, x] = queue.reserved
        same(simulation.fabric.occupancy(color), words, f"words of color {color} in cycle {reference.cycle}")


def same_profile(simulation: Simulation, reference: ReferenceSimulation) -> None:
    """How often each instruction began, and thread-cycles at it, of all PEs; of a simulation that counts them."""
    layout = reference.layout
    first = np.concatenate([[0], np.cumsum([simulation.instructions_of(k) for k in range(len(layout.programs))])])
    expected = np.zeros((first[-1], 6), np.int64)
    for (x, y), core in reference.cores.items():
        for at, counts in core.spent.items():
            expected[first[layout.program_of[y, x]] + at] += counts
    same(simulation.instruction_counts(), expected, f"what instructions did until cycle {reference.cycle}")


def same_findings(simulation: Simulation, reference: ReferenceSimulation) -> None:
    """What the programs did that is hardly meant; of unread words those in queues of cores."""
    rows = {rule: (count, cycle, pe, color, instruction, number) for rule, count, cycle, pe, color, _, instruction, number
            in simulation._cores.findings(simulation.fabric)}
    expected = {rule: rest for rule, *rest in reference.findings() if rule != "unwritten" or simulation.watches_memory}
    words = rows.pop("unread", None)
    if "unread" in expected:
        same(words and [*words[2:4], words[-1]], expected.pop("unread"), "unread words")
    same({rule: list(row) for rule, row in rows.items()}, expected, "what is hardly meant")


def inject(rng: random.Random, simulation: Simulation, reference: ReferenceSimulation, entries: Entries) -> None:
    """Words of the host, at a random ramp or edge."""
    x, y, color, port = rng.choice(entries)
    words = [Word(rng.getrandbits(32), rng.random() < 0.1) for _ in range(rng.randrange(1, 12))]
    simulation.send(color, np.array([word.data for word in words], np.uint32), x, y, port,
                    control=[word.control for word in words])
    reference.fabric.inject(x, y, color, words, port)


def same_edge(simulation: Simulation, reference: ReferenceSimulation) -> None:
    """Words that left the grid."""
    rows = simulation.receive()[["cycle", "x", "y", "color", "port", "control", "data"]].tolist()
    same(sorted(rows), sorted(reference.edge), "words that left the grid")
    reference.edge = []


def run_both(rng: random.Random, simulation: Simulation, reference: ReferenceSimulation, steps: Sequence[int],
             entries: Entries) -> bool:
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
            same_rule_broken(simulation, cycles)
            return False
        simulation.step(cycles)
        if any(core.nans for core in reference.cores.values()):
            return False
        compare(simulation, reference)
        same_profile(simulation, reference)
        same_edge(simulation, reference)
    same_findings(simulation, reference)
    return True


def same_rule_broken(simulation: Simulation, cycles: int) -> None:
    """A rule is broken in the next cycles, as the reference has found."""
    try:
        simulation.step(cycles)
    except WsekernError:
        return
    raise Difference(f"no rule is broken in the {cycles} cycles to {simulation.cycle}, but by the reference")


def random_steps(rng: random.Random, count: int) -> list[int]:
    """Numbers of cycles to go."""
    return [rng.choice([1, 1, 2, 3, 7, 40]) for _ in range(count)]
