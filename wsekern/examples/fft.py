"""T7: a one-dimensional FFT across a line of PEs, in four steps with one transposition, done by counter filters.

N = L * L points x[L n1 + n2]: each PE has r = L / PEs of the columns n2. FFTs over n1, twiddles, then the transposition: every
PE multicasts all that it has, in turns, and a counter before each core lets one block of L r words in PEs blocks pass: its
own rows. FFTs over n2 give X[k1 + L k2]. Turns east and west are chains of commands that routers pop (as in stencil_25pt).
"""

from dataclasses import dataclass

import numpy as np

from wsekern.errors import InputError
from wsekern.examples.registry import Outcome, example, measure
from wsekern.fabric import Command, CounterFilter, Position, control_payload
from wsekern.program import Layout, Mem4d, Program, Simulation
from wsekern.program.code import Code
from wsekern.program.operands import Array

EAST, WEST = 0, 1


@dataclass(frozen=True)
class Kind:
    """Vector instructions of a precision."""

    type: str
    mov: str
    add: str
    sub: str
    mul: str
    fma: str


KINDS = {"fp32": Kind("f32", "fmovs", "fadds", "fsubs", "fmuls", "fmacs"),
         "fp16": Kind("f16", "fmovh", "faddh", "fsubh", "fmulh", "fmach")}


class Butterflies:
    """Code of FFTs of length ``length`` over all rows of an array: real parts first, then imaginary ones."""

    def __init__(self, t: Code, kind: Kind, data: Array, scratch: Array, length: int) -> None:
        self.t, self.kind, self.data, self.scratch, self.length = t, kind, data, scratch, length
        self.points = data.elements // 2

    def run(self, operation: str, *operands: object) -> None:
        """One vector instruction in this precision."""
        self.t.vector(getattr(self.kind, operation), *operands)

    def multiply(self, re: object, im: object, wr: object, wi: object, out_re: object, out_im: object) -> None:
        """out = (re, im) (wr, wi); wi is given twice, negated first, where it is a number."""
        minus, plus = (-wi, wi) if isinstance(wi, float) else wi
        self.run("mul", out_re, im, minus)
        self.run("fma", out_re, out_re, re, wr)
        self.run("mul", out_im, im, wr)
        self.run("fma", out_im, out_im, re, plus)

    def transform(self) -> None:
        """In place, decimated in frequency: results stand in bit-reversed order."""
        half = self.length // 2
        while half:
            for j in range(half):
                self._pair(j, half, np.exp(-1j * np.pi * j / half))
            half //= 2

    def _pair(self, j: int, half: int, w: complex) -> None:
        count, stride = self.points // (2 * half), 2 * half
        low = [self.data.view(count, part * self.points + j, stride) for part in range(2)]
        high = [self.data.view(count, part * self.points + j + half, stride) for part in range(2)]
        difference = [self.scratch.view(count, part * self.points) for part in range(2)]
        for part in range(2):
            self.run("sub", difference[part], low[part], high[part])
            self.run("add", low[part], low[part], high[part])
        self.multiply(*difference, float(w.real), float(w.imag), *high)


def fft_program(place: int, pes: int, length: int, kind: Kind) -> Program:
    """The PE at ``place``: ``x`` holds r rows of ``length`` points, ``y`` the rows after the transposition."""
    p, r = Program(f"fft {place}"), length // pes
    points = r * length
    x, y, scratch = (p.array(name, kind.type, 2 * points) for name in ("x", "y", "scratch"))
    twiddles = p.array("twiddles", kind.type, 3 * points)           # real, minus imaginary, imaginary parts
    p.inputs = {4: EAST, 5: WEST}
    sent = {EAST: "sent_east", WEST: "sent_west"}
    with p.function("run") as t:
        fft = Butterflies(t, kind, x, scratch, length)
        fft.transform()
        w = [twiddles.view(points, k * points) for k in range(3)]
        parts, rotated = ([array.view(points, k * points) for k in range(2)] for array in (x, scratch))
        fft.multiply(*parts, w[0], w[1:], *rotated)
        # By k1, which is bit-reversed in each row, and row within it: the block of each PE is in one piece.
        order = Mem4d(scratch, (2, length, r), (points, 1, length))
        come_from = {EAST: (0, place + 1, r), WEST: ((pes - 1) * r, pes - place, -r)}
        for color, (first, count, apart) in come_from.items():
            t.vector(kind.mov, p.fabout(color, 2 * points, kind.type, 1), order, asynchronous=True, activate=sent[color])
            t.vector(kind.mov, Mem4d(y, (count, 2, r, r), (apart, points, length, 1), first),
                     p.fabin(color, count * 2 * r * r, kind.type, 1), asynchronous=True,
                     **({"activate": "rows"} if color == EAST else {"unblock": "rows"}))
    for color, turns in ((EAST, place), (WEST, pes - 1 - place)):
        own = Command.SWITCH_ADV if turns else Command.NOP          # the first of a chain is the first again next time
        rest = [Command.SWITCH_ADV] + [Command.NOP] * (pes - 2)
        with p.task(sent[color]) as t:
            t.give(p.fabout(color, 1, "u32", control=True), control_payload([own, *rest], ignore_in_core=True))
    with p.task("rows", blocked=True) as t:
        t.block("rows")
        Butterflies(t, kind, y, scratch, length).transform()
    return p


def rows_per_pe(pes: int, length: int) -> int:
    """Rows of ``length`` points on each PE; a control wavelet has commands for eight routers."""
    if not 1 <= pes <= 8 or length < 1 or length & (length - 1) or length % pes:
        raise InputError(f"an FFT of {length} x {length} points on {pes} PEs: expected a power of two, and 1, 2, 4 or 8 PEs")
    return length // pes


def fft_layout(machine: str, profile: str, pes: int, length: int, kind: Kind) -> Layout:
    """A line of ``pes`` PEs with their filters and switches."""
    layout, r = Layout(machine, pes, 1, profile), rows_per_pe(pes, length)
    words = r * length
    for place in range(pes):
        layout.set_program(fft_program(place, pes, length, kind), place)
        for color, enter, leave, turn in ((EAST, "W", "E", place), (WEST, "E", "W", pes - 1 - place)):
            onward = [leave, "RAMP"] if turn < pes - 1 else ["RAMP"]
            layout.fabric.paint(color, enter, onward, x=place, switches=(Position(rx="RAMP"),), initial=int(turn == 0),
                                ring_mode=True, pop_mode="always_pop")
            layout.fabric.filter(color, CounterFilter(words - 1, r * r - 1, (words - place * r * r) % words), x=place, y=0)
    return layout


def bit_reversed(length: int) -> np.ndarray:
    """Index of each place in bit-reversed order."""
    bits = length.bit_length() - 1
    return np.array([int(f"{k:0{bits}b}"[::-1], 2) for k in range(length)])


def _run(machine: str, profile: str, pes: int, length: int, precision: str, tolerance: float) -> Outcome:
    kind, r, order = KINDS[precision], rows_per_pe(pes, length), bit_reversed(length)
    precision = np.float32 if precision == "fp32" else np.float16
    rng = np.random.default_rng(11)
    x = (rng.standard_normal((2, length, length)) / length).astype(precision)       # real and imaginary parts, by n1 and n2
    columns = x.reshape(2, length, pes, r).transpose(2, 0, 3, 1).reshape(1, pes, -1)
    angles = np.exp(-2j * np.pi * np.outer(np.arange(length), order) / length**2)   # by n2 and place of k1
    twiddles = np.stack([angles.real, -angles.imag, angles.imag]).reshape(3, pes, -1).transpose(1, 0, 2).reshape(1, pes, -1)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("x", np.ascontiguousarray(columns))
        simulation.memcpy_h2d("twiddles", twiddles.astype(precision))
        simulation.launch("run")
        simulation.run()
        rows = simulation.memcpy_d2h("y").reshape(pes, 2, r, length).astype(np.float64)
        by_place = (rows[:, 0] + 1j * rows[:, 1]).reshape(length, length)
        found = np.empty_like(by_place)
        found[np.ix_(order, order)] = by_place
        return found.T.reshape(-1)                                               # X[k1 + L k2]

    signal = x[0].astype(np.float64) + 1j * x[1]
    layout = fft_layout(machine, profile, pes, length, kind)
    return measure(layout.compile(), host, np.fft.fft(signal.reshape(-1)), tolerance)


@example("fft", tier="T7", features="host copy, multicast, filters, control words, switches, mem4d, asynchronous")
def fft(machine: str, profile: str, pes: int = 4, length: int = 8) -> Outcome:
    """A one-dimensional fp32 FFT over a line of PEs, transposed by multicasts of which counter filters let a block pass."""
    return _run(machine, profile, pes, length, "fp32", 1e-6)


@example("fft-fp16", tier="T7", features="host copy, multicast, filters, control words, switches, mem4d, asynchronous")
def fft_fp16(machine: str, profile: str, pes: int = 4, length: int = 8) -> Outcome:
    """The same FFT in fp16."""
    return _run(machine, profile, pes, length, "fp16", 5e-3)
