"""PE programs: what runs on the cores of the cycle engine, in the words of a CSL programmer.

A :class:`Program` has symbols, queues bound to colors, and tasks; a :class:`Layout` puts programs and routes on rectangles of
PEs; a :class:`Simulation` is the host's side: copies, launches, streams, time stamps. y = A x on four PEs in a row, each
with four columns of A; partial sums run east, added as their words arrive:

>>> import numpy as np
>>> from wsekern.program import Layout, Program
>>> M, N, P = 6, 4, 4
>>> layout = Layout("wse3", P, 1)
>>> for k in range(P):
...     pe = Program(f"PE {k}")
...     A, x, y = pe.array("A", "f32", M * N), pe.array("x", "f32", N), pe.array("y", "f32", M)
...     column = pe.descriptor("column", A.view(M, save=True))          # a mem1d that moves on by itself
...     west, east = k % 2, 1 - k % 2                                   # neighbors' links alternate between two colors
...     with pe.function("compute") as code:                            # what the host launches
...         with code.range(N) as j:
...             code.fmacs(y, y, code.read(x, j), column)               # y += x[j] * A[:, j]
...         if k > 0:
...             code.fadds(y, y, pe.fabin(west, M, "f32"))              # partial sums, as their words arrive
...             layout.set_route(west, ["W"], ["RAMP"], k)
...         if k < P - 1:
...             code.fmovs(pe.fabout(east, M, "f32"), y, asynchronous=True)
...             layout.set_route(east, ["RAMP"], ["E"], k)
...     layout.set_program(pe, k)
>>> simulation = layout.compile()
>>> matrix, vector = np.arange(P * N * M, dtype=np.float32), np.arange(P * N, dtype=np.float32)
>>> simulation.memcpy_h2d("A", matrix.reshape(1, P, N * M))
>>> simulation.memcpy_h2d("x", vector.reshape(1, P, N))
>>> simulation.launch("compute")
>>> simulation.run()                                                    # cycles until all cores are idle
267
>>> bool((simulation.memcpy_d2h("y")[0, P - 1] == vector @ matrix.reshape(P * N, M)).all())
True
>>> simulation.stalls["input"].tolist()                                 # cycles that each PE waited for words
[[0, 16, 49, 82]]

Vector instructions have their CSL names (:data:`INSTRUCTIONS`) and run on the main thread, or with ``asynchronous=True`` on a
microthread; ``lib_exp``, ``lib_div``, ``lib_rsqrt`` and ``lib_silu`` call the software library for each element. Scalars are
Python expressions on what ``read``, ``let``, ``get`` and ``take`` return; ``range``, ``loop``, ``if_`` and ``else_`` are the
control flow of the PE. ``data_task``, ``control_task``, ``task`` and ``subroutine`` open other code; ``activate``, ``block``
and ``unblock`` steer it. Whole programs: ``python -m wsekern.examples``.
"""

from wsekern.program.instructions import INSTRUCTIONS
from wsekern.program.layout import Layout
from wsekern.program.operands import Array, Fabric, Fifo, Mem, Mem4d, Ring
from wsekern.program.program import Program
from wsekern.program.simulation import Simulation

__all__ = ["INSTRUCTIONS", "Array", "Fabric", "Fifo", "Layout", "Mem", "Mem4d", "Program", "Ring", "Simulation"]
