"""What small PE programs take on the cycle engine: each function writes one, runs it, and reads its cycles.

They are the programs behind ``validate`` for cores. A measurement is a difference between two runs wherever the published one
is a rate or leaves out what stands around it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from wsekern.program.code import Code
from wsekern.program.layout import Layout
from wsekern.program.operands import Array
from wsekern.program.program import Program
from wsekern.program.simulation import Simulation

Write = Callable[[Program, Code], None]
OUT, IN = 3, 4
"""Colors that lead east out of a PE, and from the west into it."""
_LETTER = {"h": "f16", "s": "f32", "6": "u16", "2": "u32"}


class Bench:
    """Programs on one machine under one profile."""

    def __init__(self, machine: str, profile: str) -> None:
        self.machine, self.profile = machine, profile
        self.timing = self._layout(1).timing

    def _layout(self, width: int) -> Layout:
        layout = Layout(self.machine, width, 1, self.profile, open_edges=True)
        layout.set_route(OUT, ["RAMP"], ["E"])
        layout.set_route(IN, ["W"], ["RAMP"])
        return layout

    def one(self, write: Write, words: int = 0) -> Simulation:
        """A PE whose only task is what ``write`` writes, after its run; ``words`` come to it from the west."""
        program, layout = Program("one"), self._layout(1)
        with program.task("body", active=True) as code:
            write(program, code)
        layout.set_program(program)
        return _run(layout, words)

    def cycles(self, write: Write) -> int:
        """Cycles that such a task takes."""
        return int(self.one(write).clock[0, 0])

    # ---- vector instructions

    def vector(self, name: str, n: int, form: str = "", stride: int = 1) -> int:
        """One instruction of ``n`` elements, memory to memory. ``form``: "" (all operands in memory, but the factor of an fma),
        "fill" (one number into all), "axpy" (y = y + x * s), "reduce" (into a register), "conflict" (both sources begin in
        the same bank)."""
        def write(p: Program, t: Code) -> None:
            kind = _LETTER[name[-1]]
            target = p.array("target", kind, n)
            a = _source(p, "a", kind, n * stride, 0).view(n, stride=stride)
            b = _source(p, "b", kind, n, 0 if form == "conflict" else 4).view(n)
            if form == "reduce":
                total = t.let(kind)
                t.vector(name, total, total, a)
            elif "mov" in name:
                t.vector(name, target, 1.5 if form == "fill" else a)
            elif "mac" in name:
                t.vector(name, target, *((target, a) if form == "axpy" else (a, b)), p.variable("factor", kind, 1.5))
            else:
                t.vector(name, target, a, b)

        return self.cycles(write)

    def dot(self, n: int) -> int:
        """Products into memory, then their sum into a register (fp16)."""
        def write(p: Program, t: Code) -> None:
            a, b = _source(p, "a", "f16", n, 0), _source(p, "b", "f16", n, 4)
            total = t.let("f16")
            t.fmulh(b, a, b)
            t.faddh(total, total, b)

        return self.cycles(write)

    def tiles(self, form: str, n: int, tile: int = 16) -> int:
        """y = a + b * s (fp16) over ``n`` elements in tiles: "map" (one map), "for-map" (a map for each of as many groups as a
        group has tiles), "while" (one instruction for each tile, its descriptors in registers that move on)."""
        count = n // tile
        groups = int(count ** 0.5) if form == "for-map" else 1
        between = self.timing.latency("map_tile", self.timing.latency("map"))

        def write(p: Program, t: Code) -> None:
            y, a, b = p.array("y", "f16", n), _source(p, "a", "f16", n, 0), _source(p, "b", "f16", n, 4)
            factor = t.let("f16", 1.5)
            if form == "map":
                t.fmach(*(x.view(tile, advance=tile) for x in (y, a, b)), factor, repeat=count, between=between)
                return
            held = [p.descriptor(f"d_{x}", x.view(tile, advance=tile, save=True)) for x in (y, a, b)]
            with t.range(groups if form == "for-map" else count):
                if form == "for-map":
                    t.fmach(*held, factor, repeat=count // groups, between=between)
                else:
                    t.fmach(*held, factor)

        return self.cycles(write)

    # ---- scalar code

    def scalar(self, what: str) -> float:
        """Cycles of a piece of scalar code beyond the code around it."""
        return _SCALAR[what](self)

    def _beyond(self, write: Callable[[Program, Code, int], None], most: int = 1, least: int = 0) -> float:
        """Cycles of each further piece: ``write`` writes as many as it is told."""
        found = [self.cycles(lambda p, t, count=count: write(p, t, count)) for count in (least, most)]
        return (found[1] - found[0]) / (most - least)

    def _branch(self, value: int) -> float:
        def write(p: Program, t: Code, count: int) -> None:
            condition = t.let("u16", value)
            for _ in range(count):
                with t.if_(condition):
                    pass

        return self._beyond(write)

    def _load_load_op_store(self) -> float:
        def write(p: Program, t: Code, count: int) -> None:
            x, y, z = (p.variable(name, "f32") for name in "xyz")
            if count:
                t.put(z, t.get(x) + t.get(y))

        return self._beyond(write)

    def _dependent(self) -> float:
        def write(p: Program, t: Code, count: int) -> None:
            x, total = t.let("f32", 1.0), t.let("f32")
            for _ in range(count):
                total += x

        return self._beyond(write, 9, 1)

    def _divide(self) -> float:
        def write(p: Program, t: Code, count: int) -> None:
            x, y = t.let("f32", 1.0), t.let("f32", 3.0)
            if count:
                x / y

        return self._beyond(write)

    def _descriptor(self) -> float:
        def write(p: Program, t: Code, count: int) -> None:
            a = p.array("a", "f32", 8)
            held = p.descriptor("held", a.view(4))
            for _ in range(count):
                t.set_base(held, a)

        return self._beyond(write)

    def _back_edge(self) -> float:
        def write(p: Program, t: Code, count: int) -> None:
            with t.range(count):
                pass

        return self._beyond(write, 9, 1)

    def _scalar_dot(self) -> float:
        def write(p: Program, t: Code, count: int) -> None:
            a, b = p.array("a", "f16", 16), p.array("b", "f16", 16)
            total = p.variable("total", "f16")
            with t.range(count) as i:
                product = t.read(a, i) * t.read(b, i)
                t.put(total, t.get(total) + product)

        return self._beyond(write, 9, 1)

    def _timestamps(self) -> float:
        def write(p: Program, t: Code) -> None:
            stamps = p.array("stamps", "u16", 6)
            t.timestamp(stamps)
            t.timestamp(stamps, 3)

        found = self.one(write)
        return int((found.timestamps("stamps", 3) - found.timestamps("stamps"))[0, 0])

    def emit_loop(self) -> float:
        """A loop that loads an element and sends it, per word."""
        def write(p: Program, t: Code, count: int) -> None:
            a, out = p.array("a", "u32", 64), p.fabout(OUT, 64, "u32")
            with t.range(count) as i:
                t.give(out, t.read(a, i))

        return self._beyond(write, 33, 1)

    # ---- tasks

    def data_task(self) -> float:
        """A task that adds every word to a variable, per word."""
        return (self._summed(40) - self._summed(8)) / 32

    def _summed(self, words: int) -> int:
        program, layout = Program("sum"), self._layout(1)
        total = program.variable("total", "u32")
        with program.data_task("add", IN) as t:
            t.put(total, t.get(total) + t.word)
        layout.set_program(program)
        return int(_run(layout, words).clock[0, 0])

    def completion(self, words: int = 8) -> int:
        """From the last word of an asynchronous receive to the first instruction of the task that it activates."""
        program, layout = Program("receive"), self._layout(1)
        target, stamp = program.array("target", "u32", words), program.array("stamp", "u16", 3)
        with program.task("done") as t:
            t.timestamp(stamp)
        with program.task("body", active=True) as t:
            t.mov32(target, program.fabin(IN, words, "u32"), asynchronous=True, activate="done")
        layout.set_program(program)
        began = int(_run(layout, words).timestamps("stamp")[0, 0])
        last = int(self.one(lambda p, t: t.mov32(p.array("target", "u32", words), p.fabin(IN, words, "u32")),
                            words).clock[0, 0]) - 1
        return began - last

    # ---- between PEs

    def dispatch(self) -> int:
        """Cycle in which a send's first element executes, its set-up done."""
        return self.cycles(lambda p, t: _send(p, t, 1)) - 1

    def to_link(self) -> int:
        """From there until the first word is on the link."""
        arrived = self.one(lambda p, t: _send(p, t, 1)).receive(OUT)["cycle"][0]
        return int(arrived) - self.timing.hop - self.dispatch()

    def arrival_to_receive(self) -> int:
        """From a word's arrival at a PE to the element that uses it."""
        return self.transfer(1) - self.to_link() - self.timing.hop

    def transfer(self, words: int) -> int:
        """From the first element of a send to the last one of the receive, one hop away."""
        return int(self._received(words)) - 1 - self.dispatch()

    def stream(self, words: int) -> float:
        """Cycles of each further word of a long stream over one link."""
        return (self._received(words) - self._received(words // 2)) / (words - words // 2)

    def _received(self, words: int) -> int:
        layout = self._layout(2)
        layout.set_program(_task("send", lambda p, t: _send(p, t, words)))
        layout.set_program(_task("receive", lambda p, t: t.mov32(p.array("target", "u32", words),
                                                                p.fabin(OUT, words, "u32"))), 1)
        layout.set_route(OUT, ["W"], ["RAMP"], 1)
        return int(_run(layout).clock[0, 1])

    def senders(self, words: int, both: bool) -> int:
        """Cycle at which a PE has all words of one or of two senders that share its link."""
        layout, count = self._layout(3), 2 if both else 1
        layout.set_program(_task("far", lambda p, t: _send(p, t, words)))
        layout.set_route(OUT, ["W"], ["E"], 1)
        layout.set_route(OUT, ["W"], ["RAMP"], 2)
        if both:
            layout.set_program(_task("near", lambda p, t: _send(p, t, words, IN)), 1)
            layout.set_route(IN, ["RAMP"], ["E"], 1)
            layout.set_route(IN, ["W"], ["RAMP"], 2)

        def receive(p: Program, t: Code) -> None:
            for color in (OUT, IN)[:count]:
                t.mov32(p.array(f"from_{color}", "u32", words), p.fabin(color, words, "u32"), asynchronous=True)

        layout.set_program(_task("receive", receive), 2)
        return int(_run(layout).clock[0, 2])

    def relay(self, pes: int, words: int) -> int:
        """Store and forward over ``pes`` hops: PEs receive ``words`` words into memory and then send them on. From the time
        stamp that the first PE takes, all three parts of it, before it sends to the one that the last PE takes."""
        layout = self._layout(pes + 1)
        layout.set_program(_task("send", lambda p, t: _relay(p, t, words, None, OUT)))
        for k in range(1, pes + 1):
            came, goes = (OUT, IN) if k % 2 else (IN, OUT)
            last = k == pes
            layout.set_program(_task("relay", lambda p, t, c=came, g=None if last else goes: _relay(p, t, words, c, g)), k)
            layout.set_route(came, ["W"], ["RAMP"], k)
            layout.set_route(goes, ["RAMP"], ["E"], k)
        stamps = _run(layout).timestamps("stamp")[0]
        return int(stamps[pes] - stamps[0])

    def multicast(self, receivers: int) -> np.ndarray:
        """Cycles at which the task for the same word begins on each receiver of a multicast, first receiver first."""
        layout = self._layout(receivers + 1)
        layout.set_program(_task("send", lambda p, t: _send(p, t, 1)))
        program = Program("log")
        stamp = program.array("stamp", "u16", 3)
        with program.data_task("print", OUT) as t:
            t.timestamp(stamp)
        layout.set_program(program, 1, width=receivers)
        layout.set_route(OUT, ["W"], ["RAMP", "E"], 1, width=receivers)
        layout.set_route(OUT, ["W"], ["RAMP"], receivers)
        return _run(layout).timestamps("stamp")[0, 1:]


_SCALAR: dict[str, Callable[[Bench], float]] = {
    "not-taken": lambda bench: bench._branch(1), "taken": lambda bench: bench._branch(0), "back-edge": Bench._back_edge,
    "load-load-op-store": Bench._load_load_op_store, "dependent": Bench._dependent, "divide": Bench._divide,
    "descriptor": Bench._descriptor, "dot": Bench._scalar_dot, "timestamps": Bench._timestamps, "emit": Bench.emit_loop,
}
SCALARS = tuple(_SCALAR)


def _run(layout: Layout, words: int = 0) -> Simulation:
    simulation = layout.compile()
    if words:
        simulation.send(IN, np.ones(words, np.uint32), 0, 0)
    simulation.run()
    return simulation


def _task(name: str, write: Write) -> Program:
    program = Program(name)
    with program.task("body", active=True) as code:
        write(program, code)
    return program


def _source(p: Program, name: str, kind: str, elements: int, place: int) -> Array:
    """Memory that begins ``place`` bytes behind a multiple of 8, as its bank."""
    missing = (place - p.data_bytes) % 8
    if missing:
        p.array(f"before_{name}", "u32", missing // 4)
    return p.array(name, kind, elements)


def _send(p: Program, t: Code, words: int, color: int = OUT) -> None:
    t.mov32(p.fabout(color, words, "u32"), p.array("source", "u32", words))


def _relay(p: Program, t: Code, words: int, came: int | None, goes: int | None) -> None:
    """Receive into memory, send on, with descriptors in registers of their own."""
    held: Any = p.descriptor("held", p.array("words", "u32", words).view())
    stamp = p.array("stamp", "u16", 3)
    if came is None:
        t.timestamp(stamp)
    if came is not None:
        t.mov32(held, p.descriptor("in", p.fabin(came, words, "u32")))
    if goes is not None:
        t.mov32(p.descriptor("out", p.fabout(goes, words, "u32")), held)
    else:
        t.timestamp(stamp)
