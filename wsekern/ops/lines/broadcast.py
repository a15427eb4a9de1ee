"""Broadcast along lines: every PE of a line ends with the tile of one of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wsekern.ops._timing import broadcast_line
from wsekern.ops.lines.line import (
    Axis,
    LineEmitter,
    LinePainter,
    along,
    check_line,
    check_words,
    line_costs,
    run_line,
    segment_at,
    segments,
    traffic,
)

if TYPE_CHECKING:
    from wsekern.ops.engines.cycle import Emission
    from wsekern.ops.engines.flow import FlowEngine
    from wsekern.program import Layout


@dataclass(frozen=True)
class Broadcast:
    """Multicast of ``words`` elements from PE ``root`` of every line along ``axis`` to all its PEs.

    One send; routers copy each wavelet to the core and onward, both ways from the root. Cost, B wavelets to the PE d
    hops away: ``B + d h + output + 2 T_R + input`` (HPDC'24: B + P + 2 T_R for the whole line from its end).
    """

    words: int
    axis: Axis
    root: int = 0
    segment: int = 0
    dtype: str | None = None
    """Precision other than the engine's, such as fp32 for statistics."""
    colors: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_line(self.words, self.axis, self.segment, root=self.root + 1)

    def time(self, engine: "FlowEngine") -> None:
        """Advance the clocks of ``engine`` by this operation."""
        if not self.words:
            return
        costs = line_costs(engine.timing_of(self.dtype), self.words, "broadcast_call")
        segment = self.segment or engine.length(self.axis)
        engine.on_lines(self.axis, lambda line: engine.happened(self, broadcast_line(line, segment, self.root, costs)))
        engine.energy += self.energy(engine)

    def flow(self, engine: "FlowEngine", tile: np.ndarray) -> np.ndarray:
        """Tiles (height, width, ...) of words elements -> the same, each PE with its root's tile."""
        tile = check_words(engine, tile, self.words, self.dtype or engine.dtype)
        self.time(engine)
        return run_line(engine, "broadcast", "sum", tile, self.axis, self.segment, self.root,
                        self.dtype or engine.dtype)

    def reference(self, tile: np.ndarray, dtype: str = "fp32") -> np.ndarray:
        """Plain numpy."""
        out = np.empty_like(tile)
        for source, target in zip(along(tile, self.axis), along(out, self.axis), strict=True):
            for begin, end in segments(len(source), self.segment):
                target[begin:end] = source[begin + min(self.root, end - begin - 1)]
        return out

    def energy(self, engine: "FlowEngine") -> int:
        """Link traversals of one run on the whole grid."""
        hops = sum(end - begin - 1 for begin, end in segments(engine.length(self.axis), self.segment))
        return hops * traffic(engine.timing_of(self.dtype), self.words).results * engine.lines(self.axis)

    def tiles(self) -> tuple[tuple[int, ...], ...]:
        """Shape of the tile on each PE."""
        return ((self.words,),)

    def role(self, position: int, length: int) -> str:
        """Whether the PE at ``position`` of a line sends, receives, or is alone."""
        begin, end = segment_at(position, length, self.segment)
        if end - begin < 2:
            return "alone"
        return "root" if position - begin == min(self.root, end - begin - 1) else "receiver"

    def paint(self, layout: "Layout", colors: Sequence[int]) -> None:
        """Routes of all lines."""
        for begin, end in segments(layout.height if self.axis == "y" else layout.width, self.segment):
            LinePainter(layout, self.axis, begin).multicast(colors[0], min(self.root, end - begin - 1), 0, end - begin)

    def emit(self, out: "Emission", role: str) -> str:
        """One send or one receive."""
        tile = out.inputs[0]
        if self.words:
            out.program.spend(out.timing.latency("broadcast_call", out.timing.latency("call")))
            emitter = LineEmitter(out, self.words, "sum", tile)
            if role == "root":
                emitter.send(out.colors[0])
            elif role == "receiver":
                emitter.receive(out.colors[0])
        return tile
