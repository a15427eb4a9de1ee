"""T2: matrix-vector products that the host feeds with streams: x from the north, b from the west, y to the east."""

import numpy as np

from wsekern.examples.registry import Outcome, example, measure
from wsekern.program import Layout, Program, Simulation

X, B, Y, PARTIAL = 5, 3, 4, (0, 1)
"""Colors: x down the columns, b from the western edge, y over the eastern one, sums between columns in turns."""


def paint_columns(layout: Layout) -> list[tuple[int, int]]:
    """Paint the streams; colors that each column's sums come from and leave on."""
    width, height = layout.width, layout.height
    layout.set_route(X, ["N"], ["S", "RAMP"], 0, 0, width, height)
    layout.set_route(X, ["N"], ["RAMP"], 0, height - 1, width)
    colors = []
    for x in range(width):
        comes, leaves = B if x == 0 else PARTIAL[(x - 1) % 2], Y if x == width - 1 else PARTIAL[x % 2]
        layout.set_route(comes, ["W"], ["RAMP"], x, 0, 1, height)
        layout.set_route(leaves, ["RAMP"], ["E"], x, 0, 1, height)
        colors.append((comes, leaves))
    return colors


def rows_of(words: np.ndarray, height: int) -> np.ndarray:
    """Words that left over the eastern edge, by rows."""
    return np.stack([words["data"][words["y"] == y] for y in range(height)])


@example("gemv-streaming", tier="T2", features="host copy, streaming, multicast, data tasks, block/unblock, local tasks, "
                                               "asynchronous, explicit descriptors, saved addresses")
def gemv_streaming(machine: str, profile: str, width: int = 4, height: int = 3, rows: int = 4, columns: int = 5,
                   vectors: int = 3) -> Outcome:
    """A stays on the PEs while several x and b stream through: words of the next x wait until the sums have gone."""
    layout = Layout(machine, width, height, profile, open_edges=True)
    for x, (comes, leaves) in enumerate(paint_columns(layout)):
        program = Program(f"column {x}")
        A, y = program.array("A", "f32", rows * columns), program.array("y", "f32", rows)
        column = program.descriptor("column", A.view(rows, save=True))
        left = program.variable("left", "i32", columns)
        with program.data_task("multiply", X) as t:
            t.fmacs(y, y, column, t.word.bits("f32"))
            rest = t.get(left) - 1
            t.put(left, rest)
            with t.if_(rest == 0):
                t.block("multiply")
                t.fadds(program.fabout(leaves, rows, "f32"), y, program.fabin(comes, rows, "f32"), asynchronous=True,
                        activate="begin_again")
        with program.task("begin_again") as t:
            t.fmovs(y, 0.0)
            t.set_base(column, A)
            t.put(left, columns)
            t.unblock("multiply")
        layout.set_program(program, x, 0, 1, height)
    rng = np.random.default_rng(15)
    A = rng.standard_normal((height, width, columns, rows), np.float32)
    x_values = rng.standard_normal((width, vectors, columns), np.float32)
    b = rng.standard_normal((height, vectors, rows), np.float32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("A", A)
        for x in range(width):
            simulation.send(X, x_values[x], x, 0, "N")
        for y in range(height):
            simulation.send(B, b[y], 0, y, "W")
        simulation.run()
        return rows_of(simulation.receive(Y), height).view(np.float32).reshape(b.shape)

    return measure(layout.compile(), host, np.einsum("hwcr,wvc->hvr", A.astype(np.float64), x_values) + b, 1e-5)


@example("gemv-checkerboard", tier="T2", features="host copy, streaming, multicast, data tasks, index, local tasks, "
                                                  "explicit descriptors")
def gemv_checkerboard(machine: str, profile: str, size: int = 4, rows: int = 4, columns: int = 4) -> Outcome:
    """In fp16, index and value in one word, sums on colors in turns like the fields of a chessboard; y keeps its index."""
    layout = Layout(machine, size, size, profile, open_edges=True)
    layout.set_route(X, ["N"], ["S", "RAMP"], 0, 0, size, size)
    layout.set_route(X, ["N"], ["RAMP"], 0, size - 1, size)
    for x in range(size):
        for field in range(2):
            program = _checkerboard_program(x, field, size, rows, columns)
            for y in range((x + field) % 2, size, 2):
                layout.set_program(program, x, y)
                layout.set_route(Y if x == size - 1 else PARTIAL[field], ["RAMP"], ["E"], x, y)
                if x:
                    layout.set_route(PARTIAL[1 - field], ["W"], ["RAMP"], x, y)
            if x == size - 1:
                layout.set_parameter(program, "first", np.arange(size)[:, None] * rows)
    rng = np.random.default_rng(16)
    A = rng.integers(-4, 5, (size, size, columns, rows)).astype(np.float16)     # whole numbers: fp16 sums are exact
    x_values = rng.integers(-4, 5, (size, columns)).astype(np.float16)
    order = rng.permutation(columns).astype(np.uint32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("A", A)
        simulation.memcpy_h2d("y", np.zeros((size, size, rows), np.float16))
        simulation.memcpy_h2d("left", np.full((size, size, 1), columns, np.int32))
        for x in range(size):
            simulation.send(X, order << 16 | x_values[x, order].view(np.uint16), x, 0, "N")
        simulation.run()
        words = simulation.receive(Y)["data"]
        y = np.zeros(size * rows, np.float16)
        y[words >> 16] = (words & 0xFFFF).astype(np.uint16).view(np.float16)
        return y

    expected = np.einsum("hwcr,wc->hr", A.astype(np.float32), x_values.astype(np.float32))
    return measure(layout.compile(), host, expected.reshape(-1).astype(np.float16))


def _checkerboard_program(x: int, field: int, size: int, rows: int, columns: int) -> Program:
    """Program of the PEs of column ``x`` on black or white fields."""
    program = Program(f"column {x}, field {field}")
    A, y = program.array("A", "f16", rows * columns), program.array("y", "f16", rows)
    column, left = program.descriptor("column", A.view(rows)), program.variable("left", "i32")
    with program.data_task("multiply", X) as t:
        value, index = t.split("f16", "u16")
        t.set_base(column, A, index * rows)
        t.fmach(y, y, column, value)
        rest = t.get(left) - 1
        t.put(left, rest)
        with t.if_(rest == 0):
            t.activate("reduce")
    with program.task("reduce") as t:
        arrives = program.fabin(PARTIAL[1 - field], rows, "f16", 1) if x else None
        if x == size - 1:
            out = program.descriptor("out", program.fabout(Y, rows, "f16", index=0))
            t.set_index(out, t.get_parameter("first"))
        else:
            out = program.fabout(PARTIAL[field], rows, "f16", 1)
        if arrives:
            t.faddh(out, y, arrives)
        else:
            t.fmovh(out, y)
    return program
