"""T5: MeshGEMM, the matrix product of WaferLLM (OSDI'25), as PE programs: Cannon's shifts on folded rings, two hops at most.

PE (x, y) has a tile of C and, in every round, the tiles of X and W that meet there: X goes round along the rows, W along the
columns. Four microthreads exchange the tiles for the next round while the main thread multiplies those of this one. The host
lays the tiles out as they meet in the first round. All numbers are fp16, two to a word.
"""

import numpy as np

from wsekern.examples.registry import Outcome, example, measure
from wsekern.examples.ring_all_reduce import FoldedRing
from wsekern.program import Layout, Program, Simulation


def gemm_program(rows: tuple[int, int], columns: tuple[int, int], size: int, m: int, k: int, n: int) -> Program:
    """``rows`` and ``columns``: colors that X and W are sent and received on. Tiles by columns (X, C) and by rows (W), each in
    two buffers, of which ``now`` says which is multiplied."""
    p = Program(f"mesh_gemm {rows} {columns}")
    tiles = {"X": (m * k, *rows), "W": (k * n, *columns)}
    X, W, C = p.array("X", "f16", 2 * m * k), p.array("W", "f16", 2 * k * n), p.array("C", "f16", m * n)
    now, turn, waits = p.variable("now", "i32"), p.variable("turn", "i32"), p.variable("waits", "i32")
    p.outputs, p.inputs = {0: rows[0], 1: columns[0]}, {2: rows[1], 3: columns[1]}
    x_now, w_now = p.descriptor("x_now", X.view(m)), p.descriptor("w_now", W.view(n, stride=0, advance=1))
    send = {name: p.descriptor(f"send_{name}", array.view(tiles[name][0])) for name, array in (("X", X), ("W", W))}
    keep = {name: p.descriptor(f"keep_{name}", array.view(tiles[name][0])) for name, array in (("X", X), ("W", W))}

    with p.function("multiply") as t:
        t.fmovh(C, 0.0)
        t.put(now, 0)
        t.put(turn, 0)
        t.activate("round")
    with p.task("round") as t:
        with t.if_(t.get(turn) == size):
            t.return_()
        this = t.get(now)
        t.put(turn, t.get(turn) + 1)
        t.put(now, 1 - this)
        t.put(waits, 5)
        for thread, (name, array) in enumerate((("X", X), ("W", W))):
            words, sends, listens = tiles[name]
            t.set_base(send[name], array, this * words)
            t.set_base(keep[name], array, (1 - this) * words)
            t.fmovh(keep[name], p.fabin(listens, words, "f16"), microthread=2 + thread, activate=f"have_{name}")
            t.fmovh(p.fabout(sends, words, "f16"), send[name], microthread=thread, activate=f"sent_{name}")
        column = C.view(m, advance=m)
        with t.range(k) as inner:
            t.set_base(x_now, X, this * (m * k) + inner * m)
            t.set_base(w_now, W, this * (k * n) + inner * n)
            t.fmach(column, column, x_now, w_now, repeat=n)     # mapped over the columns of C
        t.activate("multiplied")
    for name in ("have_X", "have_W", "sent_X", "sent_W", "multiplied"):
        with p.task(name) as t:
            left = t.get(waits) - 1
            t.put(waits, left)
            with t.if_(left == 0):
                t.activate("round")
    return p


def mesh_gemm_layout(machine: str, profile: str, size: int, m: int, k: int, n: int) -> Layout:
    """MeshGEMM on ``size`` x ``size`` PEs, tiles m x k and k x n. Host: fill the first halves of ``X`` and ``W``
    (:func:`meeting` says what lies where), launch ``multiply``; the result is ``C``."""
    layout = Layout(machine, size, size, profile)
    along, down = FoldedRing(size, 0), FoldedRing(size, 4)
    along.paint(layout)
    down.paint(layout, vertical=True)
    programs: dict[tuple, Program] = {}
    for y in range(size):
        for x in range(size):
            colors = (along.sends(x), along.listens(x)), (down.sends(y), down.listens(y))
            if colors not in programs:
                programs[colors] = gemm_program(*colors, size, m, k, n)
            layout.set_program(programs[colors], x, y)
    return layout


def meeting(size: int) -> np.ndarray:
    """Index along k of the tiles of X and W that PE (x, y) has at the start, (height, width)."""
    ring = FoldedRing(size)
    number = np.array([ring.number(place) for place in range(size)])
    return (number[:, None] + number[None, :]) % size


@example("mesh-gemm", tier="T5", features="host copy, asynchronous, microthread ids, explicit descriptors, packed words, map")
def mesh_gemm(machine: str, profile: str, size: int = 5, m: int = 4, k: int = 3, n: int = 2) -> Outcome:
    """MeshGEMM as WaferLLM describes it: tiles go round on folded rings while PEs multiply, fp16."""
    rng, inner, line = np.random.default_rng(13), meeting(size), np.arange(size)
    X = rng.integers(-2, 3, (size, size, m, k)).astype(np.float16)      # by row of PEs and index along k
    W = rng.integers(-2, 3, (size, size, k, n)).astype(np.float16)      # by index along k and column of PEs
    x_tiles = X[line[:, None], inner].transpose(0, 1, 3, 2).reshape(size, size, -1)
    w_tiles = W[inner, line[None, :]].reshape(size, size, -1)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("X", np.concatenate([x_tiles, np.zeros_like(x_tiles)], 2))
        simulation.memcpy_h2d("W", np.concatenate([w_tiles, np.zeros_like(w_tiles)], 2))
        simulation.launch("multiply")
        simulation.run()
        return simulation.memcpy_d2h("C").reshape(size, size, n, m).transpose(0, 3, 1, 2).reshape(size * m, size * n)

    whole_x = X.transpose(0, 2, 1, 3).reshape(size * m, size * k).astype(np.float32)
    whole_w = W.transpose(0, 2, 1, 3).reshape(size * k, size * n).astype(np.float32)
    return measure(mesh_gemm_layout(machine, profile, size, m, k, n).compile(), host, (whole_x @ whole_w).astype(np.float16))
