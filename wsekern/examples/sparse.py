"""T2: a sparse matrix times a sparse vector; only what is not zero is stored or sent."""

import numpy as np

from wsekern.examples.registry import Outcome, example, measure
from wsekern.examples.streamed_products import B, X, Y, paint_columns, rows_of
from wsekern.program import Layout, Program, Simulation

END = 0xFFFF
"""Index of the word behind the last one of x."""


def _program(comes: int | None, leaves: int, rows: int, columns: int, most: int) -> Program:
    """A tile in compressed columns: column j has elements ``begin[j]`` to ``begin[j + 1]`` of ``row`` and ``value``."""
    program = Program(f"sparse {comes} {leaves}")
    begin = program.array("begin", "u16", columns + 1)
    row, value = program.array("row", "u16", most), program.array("value", "f32", most)
    y = program.array("y", "f32", rows)
    with program.data_task("on_word", X) as t:
        x, column = t.split("f16", "u16")
        with t.if_(column == END):
            out = program.fabout(leaves, rows, "f32")
            if comes is None:
                t.fmovs(out, y, asynchronous=True)
            else:
                t.fadds(out, y, program.fabin(comes, rows, "f32"), asynchronous=True)
            t.return_()
        factor = x.to("f32")
        with t.range(t.read(begin, column + 1).to("i32"), t.read(begin, column).to("i32")) as k:
            place = t.read(row, k)
            t.write(y, place, t.read(y, place) + t.read(value, k) * factor)
    return program


def _tiles(dense: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """begin, row and value of each tile of ``dense`` (height, width, rows, columns)."""
    height, width, _, columns = dense.shape
    begin, row = np.zeros((height, width, columns + 1), np.uint16), np.zeros((height, width, most), np.uint16)
    value = np.zeros((height, width, most), np.float32)
    for y, x in np.ndindex(height, width):
        column_of, row_of = np.nonzero(dense[y, x].T)
        begin[y, x] = np.searchsorted(column_of, np.arange(columns + 1))
        row[y, x, :len(row_of)], value[y, x, :len(row_of)] = row_of, dense[y, x][row_of, column_of]
    return begin, row, value


@example("spmv", tier="T2", features="host copy, streaming, multicast, data tasks, index, asynchronous")
def spmv(machine: str, profile: str, width: int = 4, height: int = 4, rows: int = 8, columns: int = 8,
         density: float = 0.2) -> Outcome:
    """Compressed columns on every PE; each word of x, an index and an fp16 value, starts a task that walks its column."""
    layout = Layout(machine, width, height, profile, open_edges=True)
    rng = np.random.default_rng(17)
    dense = rng.standard_normal((height, width, rows, columns), np.float32)
    dense *= rng.random(dense.shape) < density
    x_values = rng.standard_normal((width, columns)).astype(np.float16) * (rng.random((width, columns)) < 0.7)
    most = int((dense != 0).sum((2, 3)).max())
    tiles = dict(zip(("begin", "row", "value"), _tiles(dense, most), strict=True))
    for x, (comes, leaves) in enumerate(paint_columns(layout)):
        layout.set_program(_program(None if comes == B else comes, leaves, rows, columns, most), x, 0, 1, height)

    def host(simulation: Simulation) -> np.ndarray:
        for name, values in tiles.items():
            simulation.memcpy_h2d(name, values)
        simulation.memcpy_h2d("y", np.zeros((height, width, rows), np.float32))
        for x in range(width):
            used = np.flatnonzero(x_values[x]).astype(np.uint32)
            simulation.send(X, np.append(used << 16 | x_values[x, used].view(np.uint16), END << 16), x, 0, "N")
        simulation.run()
        return rows_of(simulation.receive(Y), height).view(np.float32)

    expected = np.einsum("hwrc,wc->hr", dense.astype(np.float64), x_values.astype(np.float64))
    return measure(layout.compile(), host, expected, 1e-5)
