"""What operations along lines share whose clocks and values a kernel knows: geometry, costs, programs.

:class:`LineOperation` is their base; ``broadcast.py`` shows the little that one of them adds.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, ClassVar

import numpy as np

from wsekern.errors import InputError, raise_for_status
from wsekern.machine.timing import Timing
from wsekern.number_formats import memory_order
from wsekern.ops._timing import LineCosts, LineRates
from wsekern.ops._values import line_values
from wsekern.ops.operation import Axis, Clocks, Emission, Operation, Shapes, check_flat_tile, check_values
from wsekern.ops.packing import tile_packing, traffic
from wsekern.ops.reference import along, travelling
from wsekern.ops.repeated import Repeated
from wsekern.ops.schedule.painter import LinePainter
from wsekern.program import Layout, Mem
from wsekern.tiles.arguments import empty


def group_begin(group: int, length: int, groups: int) -> int:
    """First PE of ``group`` on a line of ``length`` PEs in ``groups`` groups."""
    return group * length // groups


def group_root(group: int, length: int, groups: int) -> int:
    """Middle PE of ``group``, where its sum ends up."""
    begin = group_begin(group, length, groups)
    return begin + (group_begin(group + 1, length, groups) - begin) // 2


def segments(length: int, segment: int) -> list[tuple[int, int]]:
    """(begin, end) of every independent line on a line of ``length`` PEs; ``segment`` 0 is the whole line."""
    size = segment or length
    return [(begin, min(begin + size, length)) for begin in range(0, length, size)]


def segment_at(position: int, length: int, segment: int) -> tuple[int, int]:
    """(begin, end) of the independent line that the PE at ``position`` is in."""
    size = segment or length
    begin = position // size * size
    return begin, min(begin + size, length)


@lru_cache(maxsize=512)
def line_costs(timing: Timing, elements: int, call: str, op: str = "sum") -> LineCosts:
    """Whole-cycle constants of an operation on ``elements`` elements of every PE of a line: they keep what lines of any length
    have in common."""
    return _line_rates(timing, call, op).costs(elements)


@lru_cache(maxsize=1024)
def _line_rates(timing: Timing, call: str, op: str) -> LineRates:
    """What of them depends on no elements, and how they follow from these."""
    move, combine = timing.instruction("mov"), timing.instruction("add" if op == "sum" else "max")
    wide, rate = timing.precision == "fp16_fp32", timing.rate(move)
    sum_packing, result_packing = 1 if wide else timing.packing, tile_packing(timing)
    base = LineCosts(
        call=timing.latency(call, timing.latency("call")), setup_send=timing.stream_setup(move),
        setup_add=timing.stream_setup(combine), setup_receive=timing.stream_setup(move), stage=timing.stage, hop=timing.hop,
        convert=0, stream_send=0, stream_add=0, paced_add=0, stream_broadcast=0, stream_receive=0, paced_broadcast=0, sums=0,
        step_send=timing.step(move, sum_packing), step_add=timing.step(combine, sum_packing),
        down=timing.ramp + timing.latency("input"), link=timing.link, depths=timing.machine.core.input_queues.values,
        output=timing.latency("output"), sends=timing.machine.core.output_queues.values[0],
        buffer=int(timing.machine.fabric.buffer_depth))
    return LineRates(base, sum_packing=sum_packing, result_packing=result_packing, receive=timing.step(move, result_packing),
                     convert=(timing.setup(move), rate.denominator, rate.numerator) if wide else (0, 0, 1))


WORTH_THREADS = 1 << 18
"""Elements of an operation along lines from which on a second thread saves more than it costs."""


def run_line(engine: Clocks, kind: str, op: str, tiles: np.ndarray, axis: str, segment: int,
             parameter: int | tuple[int, ...], precision: str, once: bool = False) -> np.ndarray:
    """Values of a line operation on ``tiles`` (height, width, ...), or of some lines of it, in the kernel's threads. ``once``:
    those of an all-reduce for each independent line, not for each PE. The axes of the result lie in memory as those of
    ``tiles`` do."""
    if precision == "u32" and kind != "broadcast":
        raise InputError(f"u32 words can be broadcast only, not taken through {kind}")
    along = 0 if axis == "y" else 1
    order, back = memory_order(tiles.strides)
    laid = np.ascontiguousarray(tiles.transpose(order))
    place, length = order.index(along), tiles.shape[along]
    shape = list(laid.shape)
    if once:
        shape[place] = -(-length // (segment or length)) if length else 0
    out = empty(tuple(shape), tiles.dtype)
    if laid.size:
        outer, inner = prod(laid.shape[:place]), prod(laid.shape[place + 1:])
        threads = engine.threads if laid.size >= WORTH_THREADS else 1
        raise_for_status(line_values(kind, precision, op, outer, length, inner, segment or length, parameter, once,
                                     laid.reshape(-1).view(np.uint8), out.reshape(-1).view(np.uint8), threads))
    return out.transpose(back)


@dataclass(frozen=True)
class Stream:
    """Part of a PE in the chains of one level, as indices of colors: sums it takes, in order, and where it sends."""

    takes: tuple[int, ...] = ()
    sends: int | None = None

    @property
    def adds(self) -> list[tuple[int | None, int | None]]:
        """(color taken or None, color on which what it makes is sent or None), in order; the last sum is passed on."""
        taken = self.takes or ((None,) if self.sends is not None else ())
        return [(color, self.sends if index == len(taken) - 1 else None) for index, color in enumerate(taken)]


def stream_of(member: int, root: int, count: int, first: int) -> Stream:
    """Part of ``member`` of ``count`` PEs in two chains to ``root``; colors: ``first`` on what the root takes from below, the
    next one on what it takes from above, and in turns farther away, so that no PE takes and sends on one."""
    from_below, from_above = (first,) * (root > 0), (first + 1,) * (member < count - 1)
    if member == root:
        return Stream((*from_below, *from_above))
    near = abs(member - root) % 2
    if member < root:
        return Stream((first + near,) * (member > 0), first + 1 - near)
    return Stream((first + 1 - near,) * (member < count - 1), first + near)


class LineEmitter:
    """Writes the instructions of line operations into a PE program.

    ``held`` is the symbol of what the PE has so far: its tile, then its sum. Sums of fp16 tiles with fp32
    accumulation are held and travel as fp32; everything else in the type of the tile.
    """

    def __init__(self, out: Emission, elements: int, op: str, tile: str) -> None:
        self.out, self.elements, self.tile, self.held = out, elements, tile, tile
        self.wide = out.timing.precision == "fp16_fp32"
        self.sum_type = "fp32" if self.wide else out.type
        self.move = out.timing.instruction("mov")
        self.add = out.timing.instruction("add" if op == "sum" else "max")

    def combine(self, taken: int | None, sent: int | None) -> None:
        """Add what comes on color ``taken`` to what the PE holds, into the stream on color ``sent`` where there is one; nothing
        taken: send what it holds."""
        program, n, colors = self.out.program, self.elements, self.out.colors
        onward = None if sent is None else program.fabout(colors[sent], n, self.sum_type)
        if taken is None:
            program.emit(self.move, onward, Mem(self.held, n))
            return
        incoming = program.fabin(colors[taken], n, self.sum_type)
        if onward is not None:
            program.emit(self.add, onward, Mem(self.held, n), incoming)
            return
        target = program.memory("sum", "fp32", n) if self.wide else self.tile
        program.emit(self.add, Mem(target, n), Mem(self.held, n), incoming)
        self.held = target

    def finish(self) -> None:
        """Round what is held to the tile's type, into the tile."""
        if self.wide:
            self.out.program.emit(self.move, Mem(self.tile, self.elements), Mem(self.held, self.elements))
            self.held = self.tile

    def send(self, color: int) -> None:
        """Send the tile."""
        program = self.out.program
        program.emit(self.move, program.fabout(color, self.elements, self.out.type), Mem(self.tile, self.elements))

    def receive(self, color: int) -> None:
        """Receive the tile."""
        program = self.out.program
        program.emit(self.move, Mem(self.tile, self.elements), program.fabin(color, self.elements, self.out.type))


class LineOperation(Operation):
    """An operation along all lines of ``axis``, each cut into independent lines of ``segment`` PEs (0: not cut), whose clocks
    and values a kernel knows by ``kind``. Subclasses say what happens on one independent line."""

    elements: int
    axis: Axis
    segment: int
    op: str = "sum"
    kind: ClassVar[str]
    """Name of the kernel of values and of the latency of the call."""
    ends_alike: ClassVar[bool] = False
    """Whether all PEs of an independent line end with the same."""
    sends = True

    @abstractmethod
    def parameter_on(self, engine: Clocks) -> int | tuple[int, ...]:
        """What the kernel is told beside the sizes: a root, or groups of each level."""

    @abstractmethod
    def advance(self, line: np.ndarray, segment: int, parameter: Any, *costs: LineCosts) -> int:
        """Advance the clocks (PEs, causes) of a line by :meth:`parameter_on` and :meth:`costs`; what happened to words on their
        way (flags)."""

    @abstractmethod
    def reference_line(self, precision: str, line: np.ndarray) -> np.ndarray:
        """Plain numpy: what the PEs of one independent line (PEs, elements) end with."""

    @abstractmethod
    def hops(self, length: int) -> tuple[int, int]:
        """Links that sums go over, and links that results go over, on an independent line of ``length`` PEs."""

    @abstractmethod
    def role_on(self, pe: int, length: int) -> Any:
        """Role of a PE of an independent line."""

    @abstractmethod
    def paint_line(self, painter: LinePainter, colors: Sequence[int], length: int) -> None:
        """Routes of an independent line."""

    @abstractmethod
    def write(self, emitter: LineEmitter, role: Any) -> None:
        """The instructions of one role; what the emitter holds at the end lies in the tile."""

    def costs(self, engine: Clocks) -> tuple[LineCosts, ...]:
        """Whole-cycle constants of what a PE sends."""
        return (line_costs(engine.timing_of(self.precision), self.elements, f"{self.kind}_call", self.op),)

    def time(self, engine: Clocks) -> None:
        """Advance the clocks of ``engine`` by this operation."""
        if self.elements:
            parameter, costs = self.parameter_on(engine), self.costs(engine)
            segment = self.segment or engine.length(self.axis)
            engine.on_lines(self.axis, lambda line: engine.happened(self, self.advance(line, segment, parameter, *costs)))
            if engine.reports:
                engine.link_traversals += self.link_traversals(engine)

    def flow(self, engine: Clocks, tile: np.ndarray) -> np.ndarray:
        """Tiles (height, width, ...) of ``elements`` elements -> what each PE ends with, the same shape."""
        precision = self.precision or engine.precision
        tile = check_flat_tile(engine, tile, self.elements, precision)
        self.time(engine)
        return run_line(engine, self.kind, self.op, tile, self.axis, self.segment, self.parameter_on(engine), precision)

    def values(self, engine: Clocks, *tiles: Repeated) -> Repeated:
        """Values alone; of lines that hold the same, once."""
        tile, = tiles
        precision, on_y = self.precision or engine.precision, self.axis == "y"
        check_values(engine, tile, self.elements, precision)
        down, across = (1, tile.across) if on_y else (tile.down, 1)
        held = min(self.segment or engine.length(self.axis), engine.length(self.axis)) if self.ends_alike else 1
        out = self.compute(engine, tile.at(down, across), precision)
        return Repeated(out, tile.height, tile.width, held if on_y else down, across if on_y else held)

    def values_of(self, first: Operation, engine: Clocks, *tiles: Repeated) -> Any:
        """Values alone, of some lines after others where that is possible: what ``first`` makes of all is never in memory."""
        precision, on_y = self.precision or engine.precision, self.axis == "y"
        fits = self.ends_alike and len(self.tiles()) == 1 and precision == engine.precision
        pieces = first.pieces(engine, self.axis, *tiles) if fits else None
        if pieces is None:
            return super().values_of(first, engine, *tiles)
        held, out = min(self.segment or engine.length(self.axis), engine.length(self.axis)), None
        for part, piece in pieces:
            found = self.compute(engine, piece, precision)
            if out is None:
                order, back = memory_order(found.strides)
                shape = [*found.shape[:1], engine.width] if on_y else [engine.height, *found.shape[1:2]]
                shape += found.shape[2:]
                out = empty(tuple(shape[axis] for axis in order), found.dtype).transpose(back)
            out[(slice(None), part) if on_y else part] = found
        assert out is not None
        return Repeated(out, engine.height, engine.width, held if on_y else 1, 1 if on_y else held)

    def compute(self, engine: Clocks, tiles: np.ndarray, precision: str) -> np.ndarray:
        """Values of some lines of ``tiles`` (height, width, ...): one for each independent line where it ends alike."""
        return run_line(engine, self.kind, self.op, tiles, self.axis, self.segment, self.parameter_on(engine), precision,
                        self.ends_alike)

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        out, precision = np.empty_like(tile), self.precision or timing.precision
        for source, target in zip(along(tile, self.axis), along(out, self.axis), strict=True):
            for begin, end in segments(len(source), self.segment):
                target[begin:end] = self.reference_line(precision, travelling(precision, source[begin:end])).astype(tile.dtype)
        return out

    def link_traversals(self, engine: Clocks) -> int:
        """Wavelets times links of one run on the whole grid."""
        wavelets, total = traffic(engine.timing_of(self.precision), self.elements), 0
        for begin, end in segments(engine.length(self.axis), self.segment):
            sums, results = self.hops(end - begin)
            total += sums * wavelets.sums + results * wavelets.results
        return total * engine.lines(self.axis)

    def tiles(self) -> Shapes:
        """Shape of the tile on each PE."""
        return ((self.elements,),)

    def role(self, position: int, length: int) -> Any:
        """Role of the PE at ``position`` of a line."""
        begin, end = segment_at(position, length, self.segment)
        return self.role_on(position - begin, end - begin)

    def paint(self, layout: Layout, colors: Sequence[int]) -> None:
        """Routes of all lines."""
        for begin, end in segments(layout.height if self.axis == "y" else layout.width, self.segment):
            self.paint_line(LinePainter(layout, self.axis, begin), colors, end - begin)

    def emit(self, out: Emission, role: Any) -> str:
        """The program of one role; the result replaces the tile."""
        tile = out.inputs[0]
        if self.elements:
            out.program.spend(out.timing.latency(f"{self.kind}_call", out.timing.latency("call")))
            self.write(LineEmitter(out, self.elements, self.op, tile), role)
        return tile
