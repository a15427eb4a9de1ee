"""Operations over both axes of a grid: reductions to one PE, multicast to all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.ops._timing import broadcast_plane, reduce_snake
from wsekern.ops.lines.line import line_costs, run_line
from wsekern.ops.lines.tree_reduce import ALGORITHMS, ReduceTree, write_reduce
from wsekern.ops.lines.trees import chain_tree
from wsekern.ops.operation import Clocks, Operation, check_flat_tile, check_line
from wsekern.ops.packing import traffic
from wsekern.ops.schedule.clocks import run_schedule, schedule_values
from wsekern.ops.schedule.operations import PlaneScheduled
from wsekern.ops.schedule.schedule import MAX_FEEDS, Schedule


def snake(width: int, height: int) -> np.ndarray:
    """PEs of a grid, row by row, the odd rows backwards: each lies beside the previous one."""
    pes = np.arange(width * height).reshape(height, width)
    pes[1::2] = pes[1::2, ::-1]
    return pes.reshape(-1)


@dataclass(frozen=True)
class Reduce2D(PlaneScheduled):
    """Reduce ``elements`` elements per PE of the whole grid to PE (0, 0) (HPDC'24).

    ``xy``: all rows to their first PE, then the first column, each as ``ReduceTree`` does with ``algorithm``; in fp16 with
    fp32 accumulation a row's sum is rounded to fp16. ``snake``: one chain through all PEs, row by row, every other row
    backwards. Cost, B wavelets, M x N PEs: ``T(M) + T(N)`` of the line; ``B + (2 T_R + h + output + input)(M N - 1)``.
    """

    elements: int
    path: str = "xy"
    algorithm: str = "chain"
    op: str = "sum"

    def __post_init__(self) -> None:
        check_line(self.elements, "x", 0)
        if self.path not in ("xy", "snake"):
            raise InputError(f"no path {self.path!r} of a reduction over a grid: use xy or snake")
        if self.algorithm not in ALGORITHMS:
            raise InputError(f"no reduction {self.algorithm!r}: use one of {', '.join(ALGORITHMS)}")

    @property
    def rows(self) -> ReduceTree:
        """The reduction of all rows."""
        return ReduceTree(self.elements, "x", self.algorithm, 0, self.op, 0, MAX_FEEDS // 2)

    @property
    def column(self) -> ReduceTree:
        """The reduction of the first column."""
        return ReduceTree(self.elements, "y", self.algorithm, 0, self.op, 0, MAX_FEEDS // 2)

    def write(self, width: int, height: int, timing: Timing) -> Schedule:
        """Rows, then a column; or the snake."""
        schedule = Schedule(width * height, self.elements, timing, "reduce_call", self.elements,
                            {"sum": (self.elements, "sums")}, width=width)
        if self.path == "snake":
            write_reduce(schedule, chain_tree(schedule.length, 0), self.op, snake(width, height).tolist())
            return schedule
        for y in range(height):
            write_reduce(schedule, self.rows.tree(width, timing), self.op, range(y * width, (y + 1) * width))
        column = range(0, schedule.length, width)
        for pe in column:
            schedule.spend(pe, timing.latency("reduce_call", timing.latency("call")))
        write_reduce(schedule, self.column.tree(height, timing), self.op, column)
        return schedule

    def time(self, engine: Clocks) -> None:
        """Advance the clocks of ``engine`` by this operation."""
        if not self.elements:
            return
        if self.path == "snake":
            costs = line_costs(engine.timing, self.elements, "reduce_call", self.op)
            engine.happened(self, reduce_snake(engine.grid(), costs))
            engine.link_traversals += self.link_traversals(engine)
            return
        self.rows.time(engine)
        column, grid = self.column.schedule(engine.height, engine.timing), engine.grid()
        line = np.ascontiguousarray(grid[:, 0])
        run_schedule(self, engine, column, line)
        grid[:, 0] = line
        engine.link_traversals += column.link_traversals

    def link_traversals(self, engine: Clocks) -> int:
        """Wavelets times links of one run on the whole grid."""
        if self.path == "snake":
            return (engine.width * engine.height - 1) * traffic(engine.timing, self.elements).sums
        column = self.column.schedule(engine.height, engine.timing)
        return self.rows.link_traversals(engine) + column.link_traversals

    def sent_along(self) -> Sequence[Operation]:
        """Rows, then the column."""
        return (self.rows, self.column) if self.path == "xy" else ()

    def flow(self, engine: Clocks, tile: np.ndarray) -> np.ndarray:
        """Tiles (height, width, ...) of ``elements`` elements -> the same, with the result at PE (0, 0)."""
        tile = check_flat_tile(engine, tile, self.elements, engine.dtype)
        self.time(engine)
        if self.path == "snake":
            order = snake(engine.width, engine.height)
            out = tile.copy()
            line = np.ascontiguousarray(tile.reshape(1, len(order), -1)[:, order])
            out[0, 0] = run_line(engine, "reduce", self.op, line, "x", 0, 0, engine.dtype)[0, 0].reshape(out[0, 0].shape)
            return out
        out = schedule_values(self.rows.schedule(engine.width, engine.timing), tile, "x", engine.dtype, engine.threads)
        column = np.ascontiguousarray(out[:, :1])
        out[:, :1] = schedule_values(self.column.schedule(engine.height, engine.timing), column, "y", engine.dtype, 1)
        return out

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        if self.path == "xy":
            out = self.rows.reference(tile, timing)
            out[:, :1] = self.column.reference(out[:, :1], timing)
            return out
        order, out = snake(tile.shape[1], tile.shape[0]), tile.copy()
        line = tile.reshape(1, len(order), self.elements)[:, order]
        out[0, 0] = ReduceTree(self.elements, "x", "chain", 0, self.op).reference(line, timing)[0, 0]
        return out


@dataclass(frozen=True)
class Broadcast2D(PlaneScheduled):
    """Multicast of ``elements`` elements from PE (root_x, root_y) to all PEs of the grid, over one color.

    Along the root's row both ways, and from every PE of the row both ways along its column. Cost, B wavelets, M x N PEs
    from a corner: ``B + (M + N - 2) h + output + 2 T_R + input``, the published ``B + M + N - 2 + 2 T_R + 1``.
    """

    elements: int
    root_x: int = 0
    root_y: int = 0
    settles: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_line(self.elements, "x", 0, root_x=self.root_x + 1, root_y=self.root_y + 1)

    def _root(self, width: int, height: int) -> tuple[int, int]:
        return min(self.root_x, width - 1), min(self.root_y, height - 1)

    def write(self, width: int, height: int, timing: Timing) -> Schedule:
        """One message to all."""
        schedule = Schedule(width * height, self.elements, timing, "broadcast_call", self.elements, width=width)
        x, y = self._root(width, height)
        if schedule.length > 1:
            root = y * width + x
            message = schedule.multicast(root, 0, schedule.length - 1, self.elements, "plane")
            schedule.step(root, "mov", self.elements, message, ("tile", 0))
            for pe in range(schedule.length):
                if pe != root:
                    schedule.step(pe, "mov", self.elements, ("tile", 0), message)
        return schedule

    def time(self, engine: Clocks) -> None:
        """Advance the clocks of ``engine`` by this operation."""
        if self.elements:
            costs = line_costs(engine.timing, self.elements, "broadcast_call")
            engine.happened(self, broadcast_plane(engine.grid(), *self._root(engine.width, engine.height), costs))
            engine.link_traversals += self.link_traversals(engine)

    def link_traversals(self, engine: Clocks) -> int:
        """Wavelets times links of one run on the whole grid."""
        return (engine.width * engine.height - 1) * traffic(engine.timing, self.elements).results

    def first_sender(self, engine: Clocks) -> int | None:
        """The root."""
        x, y = self._root(engine.width, engine.height)
        return y * engine.width + x

    def flow(self, engine: Clocks, tile: np.ndarray) -> np.ndarray:
        """Tiles (height, width, ...) of ``elements`` elements -> the same, each PE with the root's tile."""
        tile = check_flat_tile(engine, tile, self.elements, engine.dtype)
        self.time(engine)
        return self.reference(tile, engine.timing)

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy."""
        x, y = self._root(tile.shape[1], tile.shape[0])
        return np.broadcast_to(tile[y, x], tile.shape).copy()
