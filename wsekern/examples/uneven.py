"""T2: long scalar work on streams: a product of long integers, and pixels that differ in what they cost."""

import numpy as np

from wsekern.examples.registry import Outcome, example, measure
from wsekern.examples.streams import IN, OUT, through_one_pe
from wsekern.program import Layout, Program, Simulation


@example("wide-multiplication", tier="T2", features="streaming, data tasks, block/unblock, local tasks")
def wide_multiplication(machine: str, profile: str, limbs: int = 6) -> Outcome:
    """The product of two long integers whose 16-bit limbs stream in: each limb of the second one yields one of the product."""
    A, B = IN, 4
    program = Program("wide")
    a, out = program.array("a", "u16", limbs), program.array("out", "u16", 2 * limbs)
    have_a, have_b = program.variable("have_a", "u32"), program.variable("have_b", "u32")
    with program.data_task("first", A) as t:
        have = t.get(have_a)
        t.write(a, have, t.word)
        t.put(have_a, have + 1)
        with t.if_(have == limbs - 1):
            t.unblock("second")
    with program.data_task("second", B, blocked=True) as t:
        have, word, carry = t.get(have_b), t.word + 0, t.let("u32", 0)
        with t.range(limbs) as i:
            place = i + have
            part = t.read(a, i).to("u32") * word + t.read(out, place).to("u32") + carry
            t.write(out, place, part & 0xFFFF)
            t.set(carry, part >> 16)
        t.write(out, have + limbs, carry)
        t.give(program.fabout(OUT, 1, "u16", 1), t.read(out, have))
        t.put(have_b, have + 1)
        with t.if_(have == limbs - 1):
            t.activate("upper_half")
    with program.task("upper_half") as t:
        t.mov16(program.fabout(OUT, limbs, "u16", 1), out.view(limbs, limbs))
        t.put(have_a, 0)
        t.put(have_b, 0)
        t.mov16(out, 0)
        t.block("second")
    layout = through_one_pe(machine, profile, program)
    layout.set_route(B, ["W"], ["RAMP"])
    numbers = np.random.default_rng(14).integers(1 << 15, 1 << 16, (2, limbs)).astype(np.uint32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.send(A, numbers[0], 0, 0, "W")
        simulation.send(B, numbers[1], 0, 0, "W")
        simulation.run()
        return simulation.receive(OUT)["data"]

    p, q = (sum(int(limb) << 16 * k for k, limb in enumerate(number)) for number in numbers)
    return measure(layout.compile(), host, np.array([p * q >> 16 * k & 0xFFFF for k in range(2 * limbs)], np.uint32))


@example("mandelbrot", tier="T2", features="streaming, local tasks, asynchronous")
def mandelbrot(machine: str, profile: str, width: int = 4, height: int = 4, pixels: int = 4, most: int = 24) -> Outcome:
    """Uneven work: every PE iterates a few pixels, sends its counts east, then hands on those from the west."""
    layout = Layout(machine, width, height, profile, open_edges=True)
    across, down = 3.0 / (width * pixels), 2.4 / height
    for x in range(width):
        program, leaves = Program(f"mandelbrot {x}"), x % 2
        counts = program.array("counts", "u32", pixels)
        with program.function("start") as t:
            imaginary = t.get_parameter("row").to("f32") * down - 1.2
            with t.range(pixels) as i:
                real, n = (i + x * pixels).to("f32") * across - 2.25, t.let("u32", 0)
                zr, zi = t.let("f32", 0.0), t.let("f32", 0.0)
                with t.loop() as loop:
                    a, b = zr * zr, zi * zi
                    loop.leave_if((a + b) >= 4.0)
                    loop.leave_if(n == most)
                    t.set(zi, zr * zi * 2.0 + imaginary)
                    t.set(zr, a - b + real)
                    n += 1
                t.write(counts, i, n)
            own = {"activate": "hand_on"} if x else {}
            t.mov32(program.fabout(leaves, pixels, "u32"), counts, asynchronous=True, **own)
        if x:
            with program.task("hand_on") as t:
                t.mov32(program.fabout(leaves, x * pixels, "u32"), program.fabin(1 - leaves, x * pixels, "u32"),
                        asynchronous=True)
        layout.set_program(program, x, 0, 1, height)
        layout.set_parameter(program, "row", np.arange(height)[:, None])
        layout.set_route(leaves, ["RAMP"], ["E"], x, 0, 1, height)
        if x:
            layout.set_route(1 - leaves, ["W"], ["RAMP"], x, 0, 1, height)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.launch("start")
        simulation.run()
        words = simulation.receive((width - 1) % 2)
        rows = [words["data"][words["y"] == y] for y in range(height)]
        return np.stack(rows).reshape(height, width, pixels)[:, ::-1].reshape(height, -1)      # eastern PEs come first

    return measure(layout.compile(), host, _escape(width * pixels, height, np.float32(across), np.float32(down), most))


def _escape(width: int, height: int, across: np.float32, down: np.float32, most: int) -> np.ndarray:
    """Iterations of every pixel, in fp32."""
    real = np.arange(width, dtype=np.float32) * across - np.float32(2.25)
    imaginary = np.arange(height, dtype=np.float32)[:, None] * down - np.float32(1.2)
    zr, zi, counts = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32), np.zeros((height, width))
    for _ in range(most):
        inside = zr * zr + zi * zi < 4
        counts += inside
        zr, zi = (np.where(inside, zr * zr - zi * zi + real, zr).astype(np.float32),
                  np.where(inside, zr * zi * np.float32(2) + imaginary, zi).astype(np.float32))
    return counts.astype(np.uint32)
