"""T9: a sparse matrix-vector product: products travel with their row number to the last PE, and PEs hand over by themselves.

Every row of PEs has rows of A; each PE those of its columns, with its part of x, as a list of (row, column, value). A router
first passes what its own core sends; the last word of a core asks it to advance its switch, and from then on it passes what
comes from the west. The last PE adds: its data task has priority over its own products, each a run of a low-priority task.
"""

import numpy as np

from wsekern.examples.registry import Outcome, example, measure
from wsekern.fabric import Position
from wsekern.program import Layout, Program, Simulation

COLOR = 6
ROWS, COLUMNS, VALUES = "rows", "columns", "values"


def sparse_program(is_last: bool, entries: int, part: int, rows: int) -> Program:
    """A PE with up to ``entries`` products (``count``, at least one), of ``part`` elements of x and ``rows`` of y."""
    p = Program("adder" if is_last else "sender")
    row, column = p.array(ROWS, "u16", entries), p.array(COLUMNS, "u16", entries)
    value, x, y = p.array(VALUES, "f16", entries), p.array("x", "f16", part), p.array("y", "f16", rows)
    count, at = p.variable("count", "i32"), p.variable("at", "i32")
    if not is_last:
        with p.function("multiply") as t:
            last = t.get(count) - 1
            with t.range(t.get(count)) as k:
                product = t.read(value, k) * t.read(x, t.read(column, k))
                with t.if_(k < last):
                    t.give(p.fabout(COLOR, 1, "f16", index=0), product, t.read(row, k))
                with t.else_():
                    t.give(p.fabout(COLOR, 1, "f16", index=0, advance_switch=True), product, t.read(row, k))
        return p
    with p.function("multiply") as t:
        t.fmovh(y, 0.0)
        t.put(at, 0)
        t.activate("own")
    with p.task("own") as t:
        k = t.get(at)
        t.put(at, k + 1)
        i = t.read(row, k)
        t.write(y, i, t.read(y, i) + t.read(value, k) * t.read(x, t.read(column, k)))
        with t.if_(k + 1 < t.get(count)):
            t.activate("own")
    with p.data_task("add", COLOR, priority="high") as t:
        term, i = t.split("f16", "u16")
        t.write(y, i, t.read(y, i) + term)
    return p


def sparse_layout(machine: str, profile: str, width: int, height: int, entries: int, part: int, rows: int) -> Layout:
    """Senders in all columns but the last."""
    layout = Layout(machine, width, height, profile)
    layout.set_program(sparse_program(False, entries, part, rows), 0, 0, width - 1, height)
    layout.set_program(sparse_program(True, entries, part, rows), width - 1, 0, 1, height)
    layout.set_route(COLOR, ["RAMP"], ["E"], 0, 0, 1, height)
    if width > 2:
        layout.fabric.paint(COLOR, "RAMP", "E", x=1, width=width - 2, height=height, switches=(Position(rx="W"),))
    layout.set_route(COLOR, ["W"], ["RAMP"], width - 1, 0, 1, height)
    return layout


def lists(A: np.ndarray, width: int, height: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Entries of each PE, (height, width, entries) by name, and how many there are; a PE without any has a zero."""
    rows, part = A.shape[0] // height, A.shape[1] // width
    tiles = A.reshape(height, rows, width, part).transpose(0, 2, 1, 3)
    counts = np.maximum(1, np.count_nonzero(tiles, (2, 3))).astype(np.int32)
    out = {name: np.zeros((height, width, counts.max()), np.float16 if name == VALUES else np.uint16)
           for name in (ROWS, COLUMNS, VALUES)}
    for y in range(height):
        for x in range(width):
            i, j = np.nonzero(tiles[y, x])
            out[ROWS][y, x, :len(i)], out[COLUMNS][y, x, :len(i)], out[VALUES][y, x, :len(i)] = i, j, tiles[y, x][i, j]
    return out, counts[:, :, None]


@example("sparse-matrix-vector", tier="T9",
         features="host copy, data tasks, local tasks, index, switches, advance_switch, priorities")
def sparse_matrix_vector(machine: str, profile: str, width: int = 4, height: int = 3, rows: int = 5, part: int = 4) -> Outcome:
    """A hypersparse product: numbered words to a data task of high priority, PEs in turns by advance_switch; uneven work."""
    rng = np.random.default_rng(17)
    shape = (height * rows, width * part)
    A = (rng.integers(-3, 4, shape) * (rng.random(shape) < 0.15)).astype(np.float16)
    x = rng.integers(-3, 4, width * part).astype(np.float16)
    entries, counts = lists(A, width, height)

    def host(simulation: Simulation) -> np.ndarray:
        for name, values in entries.items():
            simulation.memcpy_h2d(name, values)
        simulation.memcpy_h2d("count", counts)
        simulation.memcpy_h2d("x", np.broadcast_to(x.reshape(1, width, part), (height, width, part)))
        simulation.launch("multiply")
        simulation.run()
        return simulation.memcpy_d2h("y", width - 1).reshape(-1)

    layout = sparse_layout(machine, profile, width, height, entries[ROWS].shape[2], part, rows)
    return measure(layout.compile(), host, (A.astype(np.float32) @ x.astype(np.float32)).astype(np.float16))
