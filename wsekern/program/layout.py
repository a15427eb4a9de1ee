"""A layout: programs on PEs, ready to be compiled."""

from wsekern.program.compiled import bytes_of
from wsekern.program.plan import ProgramPlan
from wsekern.program.simulation import Simulation


class Layout(ProgramPlan):
    """Programs and routes of a ``width`` x ``height`` grid of PEs of one machine under one timing profile.

    PE (x, y) lies x columns east and y rows south of the north-west corner. ``open_edges``: routes may lead over the edge of
    the grid, where the host sends and receives streams. ``banks``: vector instructions slow down where their operands meet
    in a memory bank, where one is long, and where they reduce into a scalar; False lets them all run at the full rate, as
    the flow engine does.
    """

    def compile(self, threads: int = 1, taps: tuple[int, ...] = (), *, strict: bool = False,
                watch_memory: bool = False) -> Simulation:
        """Check every budget, and make the simulation; it steps strips of 64 rows on up to ``threads`` threads. Words of colors
        in ``taps`` that routers give to their cores go to the host instead, which receives them.

        What programs do that the hardware allows and that is hardly meant is told at the end of a run, in one warning for each
        kind; ``strict``: in an error. ``watch_memory``: memory that is read and that nobody has written is told as well.
        """
        return Simulation(self, threads, taps, strict=strict, watch_memory=watch_memory)

    def to_bytes(self) -> bytes:
        """Check every budget, and all that a simulation is made from as bytes: ``wsk_program_open`` of the C library
        (``wsekern_program.h``) makes a program of them without Python. They are for one version of its ABI."""
        return bytes_of(self)
