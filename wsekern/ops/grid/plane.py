"""Operations over both axes of a grid: reductions to one PE, multicast to all, the sum of all PEs to all."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.ops._timing import LineCosts, broadcast_plane, reduce_snake
from wsekern.ops.lines.line import line_costs, run_line
from wsekern.ops.lines.tree_reduce import ALGORITHMS, ReduceTree, write_reduce
from wsekern.ops.lines.trees import chain_tree
from wsekern.ops.operation import Axis, Clocks, Operation, check_flat_tile, check_line
from wsekern.ops.packing import traffic
from wsekern.ops.pieces import Pieces
from wsekern.ops.schedule.clocks import run_schedule, schedule_values
from wsekern.ops.schedule.operations import PlaneScheduled
from wsekern.ops.schedule.schedule import MAX_FEEDS, Schedule


def snake(width: int, height: int) -> np.ndarray:
    """PEs of a grid, row by row, the odd rows backwards: each lies beside the previous one."""
    pes = np.arange(width * height).reshape(height, width)
    pes[1::2] = pes[1::2, ::-1]
    return pes.reshape(-1)


def _call(schedule: Schedule, pes: Iterable[int], call: str) -> None:
    """The fixed software cost of a further operation on some PEs."""
    for pe in pes:
        schedule.spend(pe, schedule.timing.latency(f"{call}_call", schedule.timing.latency("call")))


def time_column(operation: Operation, engine: Clocks, rows: ReduceTree, column: ReduceTree) -> None:
    """Advance the clocks of the column of the rows' roots by its reduction, behind that of the rows."""
    at, timing, pieces = rows.root_of(engine.width), engine.timing, engine.pieces()
    before = int(rows.schedule(engine.width, timing).input_queues[1][at])
    line = np.ascontiguousarray(engine.grid()[:, at]) if pieces is None else pieces.column(at)
    schedule = _behind(column, engine.height, timing, before)
    run_schedule(operation, engine, schedule, line)
    if pieces is None:
        engine.grid()[:, at] = line
    else:
        pieces.put(slice(None), at, line, np.zeros_like(line[:1]))
    engine.link_traversals += schedule.link_traversals


_STARTS = 64
"""PEs of a chain through a grid that are looked at one by one."""


def _snake_at_once(pieces: Pieces | None, timing: Timing, costs: LineCosts) -> int | None:
    """What ``reduce_snake`` does on a grid whose PEs are all ready at once: from some PE on each is done as much later than the
    one before it as its words are under way. Flags; None, and no clock moved, where it is not so, or not soon."""
    ready = pieces.at_once() if pieces else None
    if pieces is None or ready is None or pieces.width < _STARTS or pieces.height < 2:
        return None
    shorter, line = (np.tile(ready, (1, pes, 1)) for pes in (_STARTS - 1, _STARTS))
    reduce_snake(shorter, costs)
    flags, later = reduce_snake(line, costs), np.array((0, timing.hop, timing.stage, 0, 0), np.int64)
    first, done = line[0, :0:-1], line[0, 0]            # in the order of the chain, which goes to place 0
    if bool((first[-2:] != first[-3:-1] + later).any() or (done != shorter[0, 0] + later).any()):
        return None
    width, height, steady = pieces.width, pieces.height, first[-1] - (len(first) - 1) * later
    along = np.arange(width)[:, None] * later
    begin, rows = steady + along, steady + np.arange(height - 1, -1, -1)[:, None] * width * later
    begin[:len(first)] = first
    for parity, way in ((0, -1), (1, 1)):
        pieces.put(slice(parity, None, 2), slice(None), rows[parity::2], along[::way])
    pieces.put(height - 1, slice(None), np.zeros_like(rows[:1]), begin[::1 if height % 2 == 0 else -1])
    pieces.put(0, 0, done + (width * height - _STARTS) * later, np.zeros_like(done))
    return flags


def _multicast_to_ready(pieces: Pieces | None, timing: Timing, root_x: int, root_y: int, costs: LineCosts) -> int | None:
    """What ``broadcast_plane`` does on a grid whose PEs are all ready before the first word comes: each is done as much later
    as it is farther from the root. Flags; None, and no clock moved, where it is not so."""
    if pieces is None or pieces.width * pieces.height < 2:
        return None
    hop = np.array((0, timing.hop, 0, 0, 0), np.int64)
    down, across = np.abs(np.arange(pieces.height) - root_y), np.abs(np.arange(pieces.width) - root_x)
    root, latest = pieces.column(root_x)[root_y], pieces.latest_behind(down * timing.hop, across * timing.hop)
    if latest > root.sum() + timing.stage:              # a PE takes by the same instruction as the root sends
        return None
    one, other = (np.array([[root, (0, 0, 0, clock, 0)]], np.int64) for clock in (latest + timing.hop, -1 << 40))
    flags = broadcast_plane(one, 0, 0, costs) | broadcast_plane(other, 0, 0, costs)
    if (one[0, 1] != other[0, 1]).any():                # the last word of some PE waits for its core
        return None
    pieces.put(slice(None), slice(None), one[0, 1] + (down[:, None] - 1) * hop, across[:, None] * hop)
    pieces.put(root_y, root_x, one[0, 0], np.zeros_like(root))
    return flags


@lru_cache(maxsize=64)
def _behind(column: ReduceTree, height: int, timing: Timing, queues: int) -> Schedule:
    """The schedule of a column whose PEs have used some of their input queues."""
    schedule = column.write(height, timing)
    schedule.queues_taken = queues
    return schedule


def plane_values(engine: Clocks, tile: np.ndarray, rows: ReduceTree, column: ReduceTree) -> np.ndarray:
    """What every PE holds behind the reductions of the rows and of the column of their roots."""
    out = schedule_values(rows.schedule(engine.width, engine.timing), tile, "x", engine.precision, engine.threads)
    at = slice(rows.root_of(engine.width), rows.root_of(engine.width) + 1)
    line = np.ascontiguousarray(out[:, at])
    out[:, at] = schedule_values(column.schedule(engine.height, engine.timing), line, "y", engine.precision, 1)
    return out


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
        _call(schedule, column, "reduce")
        write_reduce(schedule, self.column.tree(height, timing), self.op, column)
        return schedule

    def time(self, engine: Clocks) -> None:
        """Advance the clocks of ``engine`` by this operation."""
        if not self.elements:
            return
        if self.path == "snake":
            costs = line_costs(engine.timing, self.elements, "reduce_call", self.op)
            flags = _snake_at_once(engine.pieces(), engine.timing, costs)
            engine.happened(self, reduce_snake(engine.grid(), costs) if flags is None else flags)
            engine.link_traversals += self.link_traversals(engine)
            return
        self.rows.time(engine)
        time_column(self, engine, self.rows, self.column)

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
        tile = check_flat_tile(engine, tile, self.elements, engine.precision)
        self.time(engine)
        if self.path == "snake":
            order = snake(engine.width, engine.height)
            out = tile.copy()
            line = np.ascontiguousarray(tile.reshape(1, len(order), -1)[:, order])
            out[0, 0] = run_line(engine, "reduce", self.op, line, "x", 0, 0, engine.precision)[0, 0].reshape(out[0, 0].shape)
            return out
        return plane_values(engine, tile, self.rows, self.column)

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
        self.write_into(schedule)
        return schedule

    def write_into(self, schedule: Schedule) -> None:
        """The same behind what a schedule of a grid does already."""
        x, y = self._root(schedule.width, schedule.length // schedule.width)
        if schedule.length > 1:
            root = y * schedule.width + x
            message = schedule.multicast(root, 0, schedule.length - 1, self.elements, "plane")
            schedule.step(root, "mov", self.elements, message, ("tile", 0))
            for pe in range(schedule.length):
                if pe != root:
                    schedule.step(pe, "mov", self.elements, ("tile", 0), message)

    def time(self, engine: Clocks) -> None:
        """Advance the clocks of ``engine`` by this operation."""
        if self.elements:
            costs = line_costs(engine.timing, self.elements, "broadcast_call")
            root = self._root(engine.width, engine.height)
            flags = _multicast_to_ready(engine.pieces(), engine.timing, *root, costs)
            engine.happened(self, broadcast_plane(engine.grid(), *root, costs) if flags is None else flags)
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
        tile = check_flat_tile(engine, tile, self.elements, engine.precision)
        self.time(engine)
        return self.reference(tile, engine.timing)

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy."""
        x, y = self._root(tile.shape[1], tile.shape[0])
        return np.broadcast_to(tile[y, x], tile.shape).copy()


@dataclass(frozen=True)
class AllReduce2D(PlaneScheduled):
    """All-reduce of ``elements`` elements per PE over both axes: every PE ends with the sum (or maximum) of all PEs' tiles.

    All rows to one of their PEs, then that column to one of its PEs, each as ``ReduceTree`` does with ``algorithm``; back from
    there by one multicast to the whole grid. ``root``: the ``middle`` PE of the grid, to which the way is the shortest, or
    the ``first`` one, which takes fewer sums: the better one of many words. In fp16 with fp32 accumulation a row's sum is
    rounded to fp16. Cost, B wavelets, M x N PEs, D hops from the root to the farthest PE: ``allreduce_call + T(M) + T(N)`` of
    lines, then ``B + D h + output + 2 T_R + input``; on one row or one column it is a :class:`TreeAllReduce`.
    """

    elements: int
    algorithm: str = "auto"
    root: Literal["middle", "first"] = "middle"
    op: str = "sum"
    leaves_words_under_way: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.root not in ("middle", "first"):
            raise InputError(f"no root {self.root!r} of an all-reduce over a grid: use middle or first")
        self.line("x").root_of(1)

    def line(self, axis: Axis) -> ReduceTree:
        """The reduction of all rows, or of the column of their roots."""
        root = None if self.root == "middle" else 0
        return ReduceTree(self.elements, axis, self.algorithm, root, self.op, 0, MAX_FEEDS // 2)

    def back(self, width: int, height: int) -> Broadcast2D:
        """The multicast of the sum."""
        return Broadcast2D(self.elements, self.line("x").root_of(width), self.line("y").root_of(height))

    def write(self, width: int, height: int, timing: Timing) -> Schedule:
        """Rows, a column, the multicast."""
        schedule = Schedule(width * height, self.elements, timing, "allreduce_call", self.elements,
                            {"sum": (self.elements, "sums")}, width=width)
        back = self.back(width, height)
        every, column = range(schedule.length), range(back.root_x, schedule.length, width)
        _call(schedule, every, "reduce")
        for y in range(height):
            write_reduce(schedule, self.line("x").tree(width, timing), self.op, range(y * width, (y + 1) * width))
        _call(schedule, column, "reduce")
        write_reduce(schedule, self.line("y").tree(height, timing), self.op, column)
        _call(schedule, every, "broadcast")
        back.write_into(schedule)
        return schedule

    def time(self, engine: Clocks) -> None:
        """Advance the clocks of ``engine`` by this operation."""
        if self.elements:
            back = self.back(engine.width, engine.height)
            engine.spend(overhead=engine.timing.latency("allreduce_call", engine.timing.latency("call")))
            self.line("x").time(engine)
            time_column(self, engine, self.line("x"), self.line("y"))
            back.time(engine)

    def link_traversals(self, engine: Clocks) -> int:
        """Wavelets times links of one run on the whole grid."""
        column = self.line("y").schedule(engine.height, engine.timing)
        back = self.back(engine.width, engine.height)
        return self.line("x").link_traversals(engine) + column.link_traversals + back.link_traversals(engine)

    def sent_along(self) -> Sequence[Operation]:
        """Rows, then the column."""
        return self.line("x"), self.line("y")

    def flow(self, engine: Clocks, tile: np.ndarray) -> np.ndarray:
        """Tiles (height, width, ...) of ``elements`` elements -> the same, each PE with the result."""
        tile = check_flat_tile(engine, tile, self.elements, engine.precision)
        self.time(engine)
        values = plane_values(engine, tile, self.line("x"), self.line("y"))
        return self.back(engine.width, engine.height).reference(values, engine.timing)

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        out, back = self.line("x").reference(tile, timing), self.back(tile.shape[1], tile.shape[0])
        middle = out[:, back.root_x:back.root_x + 1]
        return back.reference(np.broadcast_to(self.line("y").reference(middle, timing), tile.shape), timing)
