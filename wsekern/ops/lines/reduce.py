"""Reduce along lines: one PE of a line ends with the sum (or maximum) of all tiles of the line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wsekern.machine.timing import Timing
from wsekern.ops._timing import reduce_line
from wsekern.ops.lines.line import (
    Axis,
    LineEmitter,
    LinePainter,
    Stream,
    along,
    chains,
    check_line,
    check_words,
    line_costs,
    run_line,
    segment_at,
    segments,
    stream_of,
    traffic,
    travelling,
)
from wsekern.ops.lines.tree_reduce import ReduceTree
from wsekern.ops.schedule.schedule import Schedule
from wsekern.ops.schedule.scheduled import Scheduled

if TYPE_CHECKING:
    from wsekern.ops.engines.cycle import Emission
    from wsekern.ops.engines.flow import FlowEngine
    from wsekern.program import Layout


@dataclass(frozen=True)
class Reduce:
    """Chain reduce of ``words`` elements per PE along ``axis`` to PE ``root`` of every line (HPDC'24).

    Chains run from both ends to the root; each PE adds its tile to the stream and passes it on, the root adds the chain
    from below, then the one from above. Other PEs keep their tiles. Cost from one end, B wavelets, P PEs:
    ``B + (2 T_R + h + output + input)(P - 1)``, the published ``B + (2 T_R + 2)(P - 1)`` where h = output = 1, input
    = 0.
    """

    words: int
    axis: Axis
    root: int = 0
    op: str = "sum"
    segment: int = 0
    dtype: str | None = None
    """Precision other than the engine's, such as fp32 for statistics."""
    colors: ClassVar[int] = 4
    """Up and down, by parity of the sender."""

    def __post_init__(self) -> None:
        check_line(self.words, self.axis, self.segment, root=self.root + 1)

    def time(self, engine: "FlowEngine") -> None:
        """Advance the clocks of ``engine`` by this operation."""
        if not self.words:
            return
        costs = line_costs(engine.timing_of(self.dtype), self.words, "reduce_call", self.op)
        segment = self.segment or engine.length(self.axis)
        engine.on_lines(self.axis, lambda line: engine.happened(self, reduce_line(line, segment, self.root, costs)))
        engine.energy += self.energy(engine)

    def flow(self, engine: "FlowEngine", tile: np.ndarray) -> np.ndarray:
        """Tiles (height, width, ...) of words elements -> the same, with the result at the root of every line."""
        tile = check_words(engine, tile, self.words, self.dtype or engine.dtype)
        self.time(engine)
        return run_line(engine, "reduce", self.op, tile, self.axis, self.segment, self.root, self.dtype or engine.dtype)

    def reference(self, tile: np.ndarray, dtype: str = "fp32") -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        out = tile.copy()
        for source, target in zip(along(tile, self.axis), along(out, self.axis), strict=True):
            for begin, end in segments(len(source), self.segment):
                root = min(self.root, end - begin - 1)
                target[begin + root] = chains(dtype, travelling(dtype, source[begin:end]), root, self.op)
        return out

    def energy(self, engine: "FlowEngine") -> int:
        """Link traversals of one run on the whole grid."""
        hops = sum(end - begin - 1 for begin, end in segments(engine.length(self.axis), self.segment))
        return hops * traffic(engine.timing_of(self.dtype), self.words).sums * engine.lines(self.axis)

    def tiles(self) -> tuple[tuple[int, ...], ...]:
        """Shape of the tile on each PE."""
        return ((self.words,),)

    def role(self, position: int, length: int) -> Stream:
        """Which streams the PE at ``position`` of a line takes in and puts out."""
        begin, end = segment_at(position, length, self.segment)
        return stream_of(position - begin, min(self.root, end - begin - 1), end - begin, 0)

    def paint(self, layout: "Layout", colors: Sequence[int]) -> None:
        """Routes of all lines."""
        for begin, end in segments(layout.height if self.axis == "y" else layout.width, self.segment):
            painter = LinePainter(layout, self.axis, begin)
            painter.chains(colors, range(end - begin), min(self.root, end - begin - 1))

    def emit(self, out: "Emission", role: Stream) -> str:
        """One add in the stream on the way, one add into the tile for each chain at the root."""
        tile = out.inputs[0]
        if self.words:
            out.program.spend(out.timing.latency("reduce_call", out.timing.latency("call")))
            emitter = LineEmitter(out, self.words, self.op, tile)
            emitter.combine(role)
            if emitter.held != tile:
                emitter.finish()
        return tile


@dataclass(frozen=True)
class TwoPhaseReduce(Scheduled):
    """Reduce along ``axis`` to the first PE of every line in two phases (HPDC'24): chains of ``group`` PEs to their
    first PE, then a chain over those, whose words pass the routers between them. Where PEs are left over, the first group is
    smaller.

    Cost, B wavelets, P PEs, S of them in a group, s = output + 2 T_R + input: ``2 B + (S - 1)(s + h) + (P/S - 1)(s +
    S h)``.
    """

    words: int
    axis: Axis
    group: int
    op: str = "sum"

    def __post_init__(self) -> None:
        check_line(self.words, self.axis, 0, group=self.group)

    @property
    def tree(self) -> ReduceTree:
        """The same over a tree."""
        return ReduceTree(self.words, self.axis, "two-phase", 0, self.op, self.group)

    def write(self, length: int, timing: Timing) -> Schedule:
        """Sums up the tree."""
        return self.tree.write(length, timing)

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        return self.tree.reference(tile, timing)
