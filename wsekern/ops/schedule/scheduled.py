"""Operations along lines that are given by a schedule: values, clocks, routes and programs all follow from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from wsekern.errors import InputError, raise_for_status
from wsekern.machine.timing import Timing
from wsekern.ops._timing import HELD_FLAG, run_steps
from wsekern.ops._values import path_values
from wsekern.ops.lines.line import Axis, LinePainter, check_words, tile_packing
from wsekern.ops.schedule.schedule import Place, Schedule, instruction_cycles, multiply_cycles
from wsekern.program import Fabric, Mem
from wsekern.program.instructions import Label

if TYPE_CHECKING:
    from wsekern.ops.engines.cycle import Emission
    from wsekern.ops.engines.flow import FlowEngine
    from wsekern.program import Layout


class Scheduled:
    """What an operation gets for writing a schedule: the three views. Subclasses are frozen dataclasses."""

    axis: Axis
    words: int

    def write(self, length: int, timing: Timing) -> Schedule:
        """The schedule on a line of ``length`` PEs."""
        raise NotImplementedError

    def schedule(self, length: int, timing: Timing) -> Schedule:
        """The schedule on a line of ``length`` PEs; kept."""
        return _schedule(self, length, timing)

    def time(self, engine: "FlowEngine") -> None:
        """Advance the clocks of ``engine`` by this operation."""
        if self.words:
            schedule = self.schedule(engine.length(self.axis), engine.timing)
            engine.on_lines(self.axis, lambda line: run_schedule(self, engine, schedule, line))
            engine.energy += schedule.energy * engine.lines(self.axis)

    def flow(self, engine: "FlowEngine", tile: np.ndarray) -> np.ndarray:
        """Tiles (height, width, ...) -> what each PE ends with; the same shape where it is as large."""
        schedule = self.schedule(engine.length(self.axis), engine.timing)
        tile = check_words(engine, tile, schedule.words, engine.dtype)
        self.time(engine)
        return schedule_values(schedule, tile, self.axis, engine.dtype, engine.threads)

    def lowered(self, timing: Timing, width: int, height: int) -> "LoweredLine":
        """What the cycle engine runs on a grid."""
        return _lowered(self, timing, height if self.axis == "y" else width)


class PlaneScheduled:
    """What an operation over a whole grid gets for writing a schedule. Subclasses are frozen dataclasses."""

    words: int

    def write(self, width: int, height: int, timing: Timing) -> Schedule:
        """The schedule on a grid; its places count row by row."""
        raise NotImplementedError

    def schedule(self, width: int, height: int, timing: Timing) -> Schedule:
        """The schedule on a grid; kept."""
        return _plane(self, width, height, timing)

    def time(self, engine: "FlowEngine") -> None:
        """Advance the clocks of ``engine`` by this operation."""
        if getattr(self, "words", 1):
            schedule = self.schedule(engine.width, engine.height, engine.timing)
            grid = engine.grid()
            run_schedule(self, engine, schedule, grid.reshape(-1, grid.shape[2]))
            engine.energy += schedule.energy

    def flow(self, engine: "FlowEngine", tile: np.ndarray) -> np.ndarray:
        """Tiles (height, width, ...) -> what each PE ends with."""
        schedule = self.schedule(engine.width, engine.height, engine.timing)
        tile = check_words(engine, tile, schedule.words, engine.dtype)
        self.time(engine)
        return path_results(schedule, tile, np.arange(schedule.length)[None], engine.dtype, engine.threads)

    def arrange(self, tiles: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """Tiles (height, width, ...) as the host lays them onto the PEs: as they are, unless an operation says otherwise."""
        return tiles

    def restore(self, values: np.ndarray) -> np.ndarray:
        """Values of the PEs as the host reads them: the inverse of :meth:`arrange`."""
        return values

    def lowered(self, timing: Timing, width: int, height: int) -> "LoweredPlane":
        """What the cycle engine runs on a grid."""
        return _lowered_plane(self, timing, width, height)


@lru_cache(maxsize=16)
def _plane(operation: PlaneScheduled, width: int, height: int, timing: Timing) -> Schedule:
    return operation.write(width, height, timing)


@lru_cache(maxsize=16)
def _lowered_plane(operation: PlaneScheduled, timing: Timing, width: int, height: int) -> "LoweredPlane":
    return LoweredPlane(operation.schedule(width, height, timing), operation)


@lru_cache(maxsize=256)
def _schedule(operation: Scheduled, length: int, timing: Timing) -> Schedule:
    return operation.write(length, timing)


@lru_cache(maxsize=64)
def _lowered(operation: Scheduled, timing: Timing, length: int) -> "LoweredLine":
    return LoweredLine(operation.schedule(length, timing), operation.axis)


def run_schedule(operation: Any, engine: "FlowEngine", schedule: Schedule, line: np.ndarray) -> None:
    """Advance the clocks (PEs, causes) by the ``schedule`` of an operation, and note why they are bounds where they are."""
    times, waits, flags = schedule_times(schedule, line)
    engine.happened(operation, flags & ~HELD_FLAG)
    engine.note(operation, schedule.meetings.note(times, waits))


def schedule_times(schedule: Schedule, line: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Advance the clocks (PEs, causes) by ``schedule``; the first and the last cycle in which every message is sent, how
    long the first word of every message that is taken waits, and what happened (flags)."""
    steps, takes, costs = schedule.clock_tables
    line[:, 3] += schedule.timing.latency(schedule.call, schedule.timing.latency("call"))
    times, waits = np.zeros((len(schedule.messages), 2), np.int64), np.zeros(len(takes), np.int64)
    flags = run_steps(line, steps, takes, times, waits, costs)
    return times, waits, flags


def schedule_values(schedule: Schedule, tile: np.ndarray, axis: Axis, dtype: str, threads: int) -> np.ndarray:
    """What every PE ends with, for all lines along ``axis``."""
    height, width = tile.shape[:2]
    places = np.arange(height * width).reshape(height, width)
    return path_results(schedule, tile, places.T if axis == "y" else places, dtype, threads)


def path_results(schedule: Schedule, tile: np.ndarray, paths: np.ndarray, dtype: str, threads: int) -> np.ndarray:
    """What every PE ends with; ``paths`` (paths, PEs of a path) are the places of PEs in the grid, row by row."""
    same = schedule.result_words == schedule.words
    out = np.empty_like(tile) if same else np.empty((*tile.shape[:2], schedule.result_words), tile.dtype)
    moves, arena, reserved, result = schedule.value_tables
    raise_for_status(path_values(dtype, np.ascontiguousarray(paths, np.int64), moves, arena, reserved, schedule.words,
                                 schedule.result_words, result, tile.reshape(-1).view(np.uint8),
                                 out.reshape(-1).view(np.uint8), threads))
    return out


@dataclass(eq=False)
class LoweredLine:
    """A schedule on all lines along ``axis``, as the cycle engine takes operations."""

    plan: Schedule
    axis: Axis

    @property
    def colors(self) -> int:
        """Colors it takes."""
        return self.plan.color_count

    @property
    def turns_switches(self) -> bool:
        """Whether it leaves switches advanced: its colors do not serve a second run."""
        return self.plan.turns_switches

    def tiles(self) -> tuple[tuple[int, ...], ...]:
        """Shape of the tile on each PE."""
        return ((self.plan.words,),)

    def role(self, position: int, length: int) -> tuple:
        """Everything that the PE at ``position`` of a line does."""
        return self.plan.role(position)

    def paint(self, layout: "Layout", colors: Sequence[int]) -> None:
        """Routes of all lines."""
        painter = LinePainter(layout, self.axis, 0)
        for route, color in routes_of(self.plan).items():
            source, low, high, kind = route
            target = high if source == low else low
            if kind == "turns":
                painter.turns(colors[color], senders_of(self.plan, route), target)
            elif kind:
                painter.multicast(colors[color], source, low, high + 1)
            else:
                painter.link(colors[color], source, target)

    def emit(self, out: "Emission", role: tuple) -> str:
        """The steps of one PE."""
        return emit_role(self.plan, out, role)


@dataclass(eq=False)
class LoweredPlane:
    """A schedule on a whole grid, as the cycle engine takes operations."""

    plan: Schedule
    operation: "PlaneScheduled"

    def arrange(self, tiles: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """Tiles as the host lays them onto the PEs."""
        return self.operation.arrange(tiles)

    def restore(self, values: np.ndarray) -> np.ndarray:
        """Values of the PEs as the host reads them."""
        return self.operation.restore(values)

    @property
    def colors(self) -> int:
        """Colors it takes."""
        return self.plan.color_count

    @property
    def turns_switches(self) -> bool:
        """Whether it leaves switches advanced: its colors do not serve a second run."""
        return self.plan.turns_switches

    def tiles(self) -> tuple[tuple[int, ...], ...]:
        """Shape of the tiles on each PE."""
        return ((self.plan.words,), (self.plan.second,)) if self.plan.product else ((self.plan.words,),)

    def role_at(self, x: int, y: int) -> tuple:
        """Everything that PE (x, y) does."""
        return self.plan.role(y * self.plan.width + x)

    def paint(self, layout: "Layout", colors: Sequence[int]) -> None:
        """All routes, each along a row or a column, or over the whole grid."""
        width = self.plan.width
        for (source, low, high, kind), color in routes_of(self.plan).items():
            (y, x), (far_y, far_x) = divmod(source, width), divmod(high if source == low else low, width)
            along_x = y == far_y
            painter = LinePainter(layout, "x", 0, y, 1) if along_x else LinePainter(layout, "y", 0, x, 1)
            if kind == "plane":
                paint_plane(layout, colors[color], x, y)
            elif kind == "turns":
                senders = [divmod(place, width)[along_x] for place in senders_of(self.plan, (source, low, high, kind))]
                painter.turns(colors[color], senders, far_x if along_x else far_y)
            else:
                painter.link(colors[color], *((x, far_x) if along_x else (y, far_y)))

    def emit(self, out: "Emission", role: tuple) -> str:
        """The steps of one PE."""
        return emit_role(self.plan, out, role)


def paint_plane(layout: "Layout", color: int, x: int, y: int) -> None:
    """From PE (x, y) to all others: both ways along its row, and from every PE of the row both ways along its column."""
    def to(*ports: tuple[str, bool]) -> list[str]:
        return [port for port, there in ports if there]

    width, height = layout.width, layout.height
    for k in range(width):
        out = to(("N", y > 0), ("S", y < height - 1), ("W", 0 < k <= x), ("E", x <= k < width - 1))
        source = "RAMP" if k == x else "E" if k < x else "W"
        if k != x or out:
            layout.set_route(color, (source,), (*out, *(["RAMP"] if k != x else [])), k, y)
    for row in range(height):
        if row != y:
            onward = to(("N", 0 < row < y), ("S", y < row < height - 1))
            layout.set_route(color, ("S" if row < y else "N",), (*onward, "RAMP"), 0, row, width, 1)


def routes_of(schedule: Schedule) -> dict[tuple[int, int, int, str], int]:
    """Color of every route."""
    return {message.route: color for message, color in zip(schedule.messages, schedule.colors, strict=True)}


def senders_of(schedule: Schedule, route: tuple[int, int, int, str]) -> list[int]:
    """Places of the PEs that take turns on a route, in order."""
    return sorted({message.source for message in schedule.messages if message.route == route})


def emit_role(schedule: Schedule, out: "Emission", role: tuple) -> str:
    """Write the program of a PE: each step is one instruction. Returns the symbol of the result."""
    steps, result = role
    names = dict(zip(("tile", "second"), out.inputs, strict=False))

    def symbol(buffer: str) -> str:
        if buffer not in names:
            words, kind = schedule.buffers[buffer]
            names[buffer] = f"{buffer}.{out.serial}"
            wide = kind == "fp32" or (kind == "sums" and schedule.wide)
            out.program.memory(names[buffer], "fp32" if wide else out.type, words)
        return names[buffer]

    def operand(place: tuple | None, words: int, target: bool) -> Mem | Fabric | None:
        if place is None:
            return None
        if isinstance(place[0], str):
            return Mem(symbol(place[0]), words, place[1])
        type = "fp32" if place[1] and schedule.wide else out.type
        if target:
            return out.program.fabout(out.colors[place[0]], words, type, advance_switch=place[2])
        return out.program.fabin(out.colors[place[0]], words, type)

    if schedule.words or schedule.product:
        out.program.spend(out.timing.latency(schedule.call, out.timing.latency("call")))
    def write(op: str, words: int, dst: tuple, a: tuple | None, b: tuple | None) -> None:
        if op == "spend":
            out.program.spend(words)
        elif op in ("multiply", "clear"):
            emit_local(schedule, out, op, words, *((symbol(place[0]), place[1]) for place in (dst, a, b) if place is not None))
        else:
            out.program.emit(schedule.instruction(op), operand(dst, words, True), operand(a, words, False),
                             operand(b, words, False), microthread=-1 if op == "aside" else None)

    code, known = out.program.code, {}
    for step in steps:                      # rounds repeat: what was written once is checked and encoded once
        if step in known:
            code.extend(known[step])
        else:
            before = len(code)
            write(*step)
            known[step] = [item for item in code[before:] if not isinstance(item, Label)]
    if result is not None:
        return symbol(result[0])
    held = {place[0] for place in schedule.result if place is not None}
    return "tile" if "tile" in held else f"{held.pop()}.{out.serial}"


def emit_local(schedule: Schedule, out: "Emission", op: str, words: int, dst: Place, a: Place, b: Place = ("", 0)) -> None:
    """A step without messages, on symbols: a buffer set to zero, or a tile product as one mapped multiply-add for each inner
    index."""
    program = out.program
    if op == "clear":
        zero = program.memory(f"zero.{program.symbols[dst[0]][0]}", program.symbols[dst[0]][0], 1)
        program.emit(schedule.instruction(op), Mem(dst[0], words), Mem(zero, words, stride=0))
        return
    m, k, n, transposed = schedule.product
    target = Mem(dst[0], m, stride=n, advance=1)
    program.spend(sum(multiply_cycles(out.timing, m, k, n)) - instruction_cycles(out.timing, m, k, n))
    for inner in range(k):
        right = Mem(b[0], m, b[1] + inner, 0, k) if transposed else Mem(b[0], m, b[1] + inner * n, 0, 1)
        program.emit(out.timing.instruction("fma"), target, target, Mem(a[0], m, a[1] + inner, k), right, repeat=n)


def check_even(words: int, timing: Timing, what: str) -> None:
    """Refuse parts of a stream that do not fill their wavelets."""
    if words % tile_packing(timing):
        raise InputError(f"{what} of {words} elements of {timing.dtype} fill half of their last wavelet: pad them to "
                         f"{words + 1}")


def lower(operation: Any, timing: Timing, width: int, height: int) -> Any:
    """What the cycle engine runs of ``operation`` on a grid."""
    return operation.lowered(timing, width, height) if hasattr(operation, "lowered") else operation
