"""T6: a matrix-vector product between a demultiplexer and a multiplexer: one stream in, one stream out, routers do the rest.

Column 0 hands the blocks of b to the rows, column 2 puts the blocks of y behind each other; neither has a program. A block ends
in a SWITCH_ADV, which all routers on its way obey: the one that had a place to itself from now on passes on what comes.
"""

import numpy as np

from wsekern.examples.registry import Outcome, example, measure
from wsekern.fabric import Command, Position, control_payload
from wsekern.program import Layout, Program, Simulation

BLOCKS, X, Y = 0, 1, 2
"""Colors: blocks of b, all of x for everybody, blocks of y."""
NEXT = control_payload([Command.SWITCH_ADV], ignore_in_core=True)


def gemv_program(rows: int, columns: int) -> Program:
    """y = A x + b for the rows of one PE; x, b and y are streams."""
    p = Program("gemv")
    A, b, x = p.array("A", "f32", rows * columns), p.array("b", "f32", rows), p.array("x", "f32", columns)
    column = p.descriptor("column", A.view(rows, stride=columns))
    with p.function("compute") as t:
        t.fmovs(b, p.fabin(BLOCKS, rows, "f32"), asynchronous=True, unblock="multiply")
        t.fmovs(x, p.fabin(X, columns, "f32"), asynchronous=True, activate="multiply")
    with p.task("multiply", blocked=True) as t:
        t.block("multiply")
        with t.range(columns) as j:
            t.set_base(column, A, j)
            t.fmacs(b, b, column, t.read(x, j))
        t.fmovs(p.fabout(Y, rows, "f32"), b)
        t.give(p.fabout(Y, 1, "u32", control=True), NEXT)
    return p


@example("gemv-demultiplexed", tier="T6", features="streaming, local tasks, block/unblock, multicast, control words, switches")
def gemv_demultiplexed(machine: str, profile: str, pes: int = 4, rows: int = 3, columns: int = 5) -> Outcome:
    """Blocks of b handed out to PEs, and blocks of y put together again, by switches that control wavelets advance."""
    layout = Layout(machine, 3, pes, profile, open_edges=True)
    layout.set_program(gemv_program(rows, columns), 1, 0, 1, pes)
    last = pes - 1
    for y in range(pes):
        onward = (Position(tx="S"),) if y < last else ()
        layout.fabric.paint(BLOCKS, "N", "E", x=0, y=y, switches=onward)
        layout.set_route(BLOCKS, ["W"], ["RAMP"], 1, y)
        layout.set_route(X, ["N"], ["S", "RAMP"] if y < last else ["RAMP"], 1, y)
        layout.set_route(Y, ["RAMP"], ["E"], 1, y)
        layout.fabric.paint(Y, "W", "N", x=2, y=y, switches=(Position(rx="S"),) if y < last else ())
    rng = np.random.default_rng(6)
    A, b, x = (rng.standard_normal(shape, np.float32) for shape in ((pes, 1, rows * columns), (pes, rows), (columns,)))

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("A", A, 1, 0, 1, pes)
        for block in b:
            simulation.send(BLOCKS, block, 0, 0, "N")
            simulation.send(BLOCKS, [NEXT], 0, 0, "N", control=True)
        simulation.send(X, x, 1, 0, "N")
        simulation.launch("compute")
        simulation.run()
        words = simulation.receive(Y)
        return words["data"][words["control"] == 0].view(np.float32)

    expected = A.reshape(pes * rows, columns).astype(np.float64) @ x + b.reshape(-1)
    return measure(layout.compile(), host, expected, 1e-6)
