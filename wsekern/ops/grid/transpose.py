"""Transpose over a rectangle of PEs: rows gather where columns begin, which scatter."""

from dataclasses import dataclass
from math import lcm

import numpy as np

from wsekern.errors import BudgetError, InputError
from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops.lines.distribute import Into, write_gather, write_scatter
from wsekern.ops.operation import Clocks, WaferProgram, check_flat_tile, check_line
from wsekern.ops.packing import check_even, tile_packing, traffic
from wsekern.ops.schedule.operations import PlaneScheduled
from wsekern.ops.schedule.schedule import Schedule

MAX_STEPS = 25_000
"""Instructions of all PEs up to which the flow engine goes through them one by one: those of 64 x 64 PEs."""
MAX_WRITTEN = 1_000_000
"""Instructions of all PEs, hardly two of which run the same program, that may be written down for the cycle engine: some 4 GB
and two minutes."""


def busiest(pes: int, parts: int, each: int) -> int:
    """Parts that the busiest PE of a line passes on or takes where ``parts`` rounds gather one part of every PE at a root (or
    scatter from it), and the root moves to the next PE after ``each`` rounds."""
    pe, root = np.arange(pes)[:, None], np.arange(parts) // each
    passed = np.where(pe < root, pe + 1, np.where(pe > root, pes - pe, pes - 1))
    return int(passed.sum(axis=1).max())


@dataclass(frozen=True)
class Transpose(PlaneScheduled):
    """A matrix of L x L blocks of ``elements`` elements, transposed on W x H PEs, L the least common multiple of W and H.

    PE (x, y) holds a = L / H rows of b = L / W blocks, row by row: one block on a square, where the tile of PE (x, y) goes to
    PE (y, x). Afterwards it holds a rows of b blocks of the transposed matrix. Blocks stay as they are inside.

    Block row r lies in row r // a of the PEs and becomes a column of blocks, which belongs to column r // b of the PEs: it is
    gathered where both meet, and scattered along that column from there. A PE there holds L blocks for each block row, which
    is refused where it does not fit. Cost, B wavelets a block, stage s and hop h: ``max(W (s + h), a b B (W - 1)) + b L B +
    H (setup + s + h)``; on a rectangle every block that is taken costs a setup. In 16-bit precisions ``elements`` is even.
    """

    elements: int

    def __post_init__(self) -> None:
        check_line(self.elements, "x", 0)

    def shares(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of blocks on every PE."""
        return lcm(width, height) // height, lcm(width, height) // width

    def held(self, width: int, height: int) -> int:
        """Elements of the tiles on a PE where block rows are gathered: its old tile, its new tile, and the block rows."""
        rows, columns = self.shares(width, height)
        return (2 * rows * columns + min(rows, columns) * lcm(width, height)) * self.elements

    def write(self, width: int, height: int, timing: Timing) -> Schedule:
        """Block row by block row: all rows of PEs to where columns begin, then all columns from there."""
        check_even(self.elements, timing, "blocks")
        (rows, columns), blocks = self.shares(width, height), lcm(width, height)
        held, gathered = rows * columns * self.elements, blocks * self.elements
        schedule = Schedule(width * height, held, timing, "transpose_call", held,
                            {"gathered": (min(rows, columns) * gathered, "tile"), "own": (held, "tile")},
                            result=[("own", 0)] * (width * height), width=width)

        def slot(row: int) -> int:
            """Where the PE at which a block row is gathered has it."""
            return (row - max(row // rows * rows, row // columns * columns)) * gathered

        part = columns * self.elements
        for row in range(blocks):
            y = row // rows
            write_gather(schedule, row // columns, part, range(y * width, (y + 1) * width), row % rows * part, slot(row))
        parts = 1 if columns == 1 else rows
        for row in range(blocks):
            write_scatter(schedule, row // rows, rows * self.elements, range(row // columns, schedule.length, width),
                          ("gathered", slot(row)), Into("own", row % columns * self.elements, parts, part))
        return schedule

    @staticmethod
    def instructions(width: int, height: int) -> int:
        """About how many instructions all PEs run."""
        return lcm(width, height) * (3 * width + 2 * height + lcm(width, height))

    def _written_down(self, width: int, height: int) -> bool:
        """Whether the flow engine goes through the steps, and not by the closed form."""
        return self.instructions(width, height) <= MAX_STEPS

    def lowered(self, timing: Timing, width: int, height: int) -> WaferProgram:
        """What the cycle engine runs on a grid; refused before it is written down where it cannot be run."""
        size, sram = self.held(width, height) * 4 // tile_packing(timing), int(timing.machine.core.sram)
        if size > sram:
            raise BudgetError(f"a transpose of {self.elements}-element blocks on {width}x{height} PEs takes {size} B on a PE, "
                              f"one of {timing.machine.name} has {sram} B: use smaller blocks, or sides with more common "
                              "factors")
        if self.instructions(width, height) > MAX_WRITTEN:
            raise InputError(f"a transpose on {width}x{height} PEs: expected up to {MAX_WRITTEN:,} instructions to write down "
                             f"for the cycle engine, not some {self.instructions(width, height):,}")
        return super().lowered(timing, width, height)

    def time(self, engine: Clocks) -> None:
        """Advance the clocks of ``engine`` by this operation; on large grids by its closed form."""
        if not self.elements or self._written_down(engine.width, engine.height):
            super().time(engine)
        else:
            self._spend(engine)
            engine.note(self, f"a transpose of more than {MAX_STEPS:,} instructions is timed by its closed form")

    def _spend(self, engine: Clocks) -> None:
        """The closed form, all PEs in step."""
        timing, width, height = engine.timing, engine.width, engine.height
        check_even(self.elements, timing, "blocks")
        rows, columns = self.shares(width, height)
        parts = 1 if columns == 1 else rows
        wavelets, setup = traffic(timing, self.elements).results, timing.stream_setup(timing.instruction("mov"))
        first, chain = timing.stream(columns * wavelets * (width - 1)), width * (timing.stage + timing.hop)
        further = timing.stream(columns * wavelets * busiest(width, rows, columns)) - first
        long = first > chain
        behind = height + (0 if long else width)
        engine.synchronise()
        engine.spend(overhead=timing.latency("transpose_call", timing.latency("call"))
                     + height * parts * (setup + 1) + (columns - 1) * parts * setup,
                     stages=behind * timing.stage, fabric=behind * timing.hop,
                     stream=rows * wavelets * (busiest(height, columns, rows) + columns) + further + (first if long else 0))
        engine.link_traversals += self.link_traversals(engine)

    def link_traversals(self, engine: Clocks) -> int:
        """Wavelets times links of one run on the whole grid."""
        width, height, wavelets = engine.width, engine.height, traffic(engine.timing, self.elements).results
        if self._written_down(width, height):
            return super().link_traversals(engine)
        rows, columns = self.shares(width, height)
        return sum(share * share * wavelets * (pes ** 3 - pes) // 3 for share, pes in ((columns, width), (rows, height)))

    def memory_bytes(self, engine: Clocks) -> int:
        """Bytes of the tiles on a PE where block rows are gathered."""
        return np.dtype(NUMPY_DTYPES[engine.precision]).itemsize * self.held(engine.width, engine.height)

    def flow(self, engine: Clocks, tile: np.ndarray) -> np.ndarray:
        """Tiles (H, W, ...) of a b ``elements`` elements -> the same, transposed over the grid."""
        rows, columns = self.shares(engine.width, engine.height)
        tile = check_flat_tile(engine, tile, rows * columns * self.elements, engine.precision)
        self.time(engine)
        return self.reference(tile, engine.timing)

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy."""
        height, width = tile.shape[:2]
        (rows, columns), blocks = self.shares(width, height), lcm(width, height)
        matrix = tile.reshape(height, width, rows, columns, self.elements).swapaxes(1, 2)
        turned = matrix.reshape(blocks, blocks, self.elements).swapaxes(0, 1)
        out = turned.reshape(height, rows, width, columns, self.elements).swapaxes(1, 2)
        return np.ascontiguousarray(out).reshape(tile.shape)
