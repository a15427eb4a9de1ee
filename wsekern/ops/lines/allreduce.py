"""All-reduce along lines: every PE of a line ends with the sum (or maximum) of all tiles of the line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wsekern.ops._timing import HELD_FLAG, allreduce_line
from wsekern.ops.lines.line import (
    Axis,
    LineEmitter,
    LinePainter,
    Stream,
    along,
    chains,
    check_line,
    check_words,
    group_begin,
    group_root,
    line_costs,
    run_line,
    segment_at,
    segments,
    stream_of,
    traffic,
    travelling,
)

if TYPE_CHECKING:
    from wsekern.ops.engines.cycle import Emission
    from wsekern.ops.engines.flow import FlowEngine
    from wsekern.program import Layout


@dataclass(frozen=True)
class AllReduce:
    """Two-level K-tree all-reduce of ``words`` elements per PE along ``axis`` (MeshGEMV of WaferLLM, OSDI'25).

    A line of P PEs is cut into ``groups`` contiguous groups. Level 1: chains run from both ends of each group to its
    middle PE, one hop a link, each PE adding its tile to the stream. Level 2: chains run over the group roots, from
    both ends to the middle one. Then one multicast both ways. Order of adds at each root: own tile, sum from below,
    sum from above. Cost, B wavelets, stage s = output + 2 T_R + input, hop h, after the fixed call: ``(P/2g)(s + h) +
    (g/2) s + (P/2) h + s + (P/2) h + O(B)``, each PE at its own clock.
    """

    words: int
    axis: Axis
    groups: int = 1
    op: str = "sum"
    segment: int = 0
    dtype: str | None = None
    """Precision other than the engine's, such as fp32 for statistics."""
    colors: ClassVar[int] = 9
    """Up and down, by parity of the sender: 4 within groups, 4 between group roots; and the multicast."""

    def __post_init__(self) -> None:
        check_line(self.words, self.axis, self.segment, groups=self.groups)

    def time(self, engine: "FlowEngine") -> None:
        """Advance the clocks of ``engine`` by this operation."""
        if not self.words:
            return
        segment = self.segment or engine.length(self.axis)
        costs = line_costs(engine.timing_of(self.dtype), self.words, "allreduce_call", self.op)

        def advance(line: np.ndarray) -> None:
            # Who is held back waits for the result anyway.
            engine.happened(self, allreduce_line(line, segment, self.groups, costs) & ~HELD_FLAG)

        engine.on_lines(self.axis, advance)
        if 1 < self.groups < segment < 3 * self.groups:
            engine.note(self, "groups of fewer than three PEs: sums between groups and within them share links")
        engine.energy += self.energy(engine)

    def flow(self, engine: "FlowEngine", tile: np.ndarray) -> np.ndarray:
        """Tiles (height, width, ...) of words elements -> the same, each PE with its line's result."""
        tile = check_words(engine, tile, self.words, self.dtype or engine.dtype)
        self.time(engine)
        return run_line(engine, "allreduce", self.op, tile, self.axis, self.segment, self.groups,
                        self.dtype or engine.dtype)

    def reference(self, tile: np.ndarray, dtype: str = "fp32") -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        out = np.empty_like(tile)
        for source, target in zip(along(tile, self.axis), along(out, self.axis), strict=True):
            for begin, end in segments(len(source), self.segment):
                target[begin:end] = self._segment(dtype, travelling(dtype, source[begin:end])).astype(tile.dtype)
        return out

    def _segment(self, dtype: str, line: np.ndarray) -> np.ndarray:
        length, groups = len(line), min(self.groups, len(line))
        sums = []
        for j in range(groups):
            begin, end = group_begin(j, length, groups), group_begin(j + 1, length, groups)
            sums.append(chains(dtype, line[begin:end], group_root(j, length, groups) - begin, self.op))
        return chains(dtype, np.stack(sums), groups // 2, self.op)

    def energy(self, engine: "FlowEngine") -> int:
        """Link traversals of one run on the whole grid."""
        wavelets, lines = traffic(engine.timing_of(self.dtype), self.words), engine.lines(self.axis)
        total = 0
        for begin, end in segments(engine.length(self.axis), self.segment):
            length, groups = end - begin, min(self.groups, end - begin)
            roots = group_root(groups - 1, length, groups) - group_root(0, length, groups)
            total += (length - groups + roots) * wavelets.sums + (length - 1) * wavelets.results
        return total * lines

    def tiles(self) -> tuple[tuple[int, ...], ...]:
        """Shape of the tile on each PE."""
        return ((self.words,),)

    def role(self, position: int, length: int) -> "Role":
        """Which streams the PE at ``position`` of a line takes in and puts out."""
        begin, end = segment_at(position, length, self.segment)
        return role_of(position - begin, end - begin, self.groups)

    def paint(self, layout: "Layout", colors: Sequence[int]) -> None:
        """Routes of all lines."""
        length = layout.height if self.axis == "y" else layout.width
        for begin, end in segments(length, self.segment):
            paint_segment(LinePainter(layout, self.axis, begin), colors, end - begin, min(self.groups, end - begin))

    def emit(self, out: "Emission", role: "Role") -> str:
        """Adds in the stream on the way in, one receive on the way out; the result replaces the tile."""
        tile = out.inputs[0]
        if not self.words:
            return tile
        out.program.spend(out.timing.latency("allreduce_call", out.timing.latency("call")))
        emitter = LineEmitter(out, self.words, self.op, tile)
        for stream in (role.group, role.roots):
            emitter.combine(stream)
        if role.root and role.line > 1:
            emitter.finish()
            emitter.send(out.colors[-1])
        elif not role.root:
            emitter.receive(out.colors[-1])
        return tile


@dataclass(frozen=True)
class Role:
    """Part of a PE in an all-reduce: in the chains of its group, in those of the roots, is it the last root."""

    group: Stream
    roots: Stream
    root: bool
    line: int


def role_of(place: int, length: int, groups: int) -> Role:
    """Role of PE ``place`` of a line of ``length`` PEs in ``groups`` groups."""
    groups = min(groups, length)
    j = next(j for j in range(groups) if group_begin(j + 1, length, groups) > place)
    begin, end, root = group_begin(j, length, groups), group_begin(j + 1, length, groups), group_root(j, length, groups)
    group = stream_of(place - begin, root - begin, end - begin, 0)
    if place != root:
        return Role(group, Stream(), False, length)
    return Role(group, stream_of(j, groups // 2, groups, 4), j == groups // 2, length)


def paint_segment(painter: LinePainter, colors: Sequence[int], length: int, groups: int) -> None:
    """Routes of one line: chains of each group, chains of the roots through the PEs between them, the multicast."""
    roots = [group_root(j, length, groups) for j in range(groups)]
    for j, root in enumerate(roots):
        begin, end = group_begin(j, length, groups), group_begin(j + 1, length, groups)
        painter.chains(colors[:4], list(range(begin, end)), root - begin)
    painter.chains(colors[4:8], roots, groups // 2)
    painter.multicast(colors[8], roots[groups // 2], 0, length)
