"""All-reduce along lines: every PE of a line ends with the sum (or maximum) of all tiles of the line."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsekern._timing import allreduce_line
from wsekern.ops.line import (
    Axis,
    along,
    chains,
    check_line,
    check_tile,
    group_begin,
    group_root,
    line_costs,
    run_line,
    segments,
    traffic,
    travelling,
)

if TYPE_CHECKING:
    from wsekern.ops.flow import FlowEngine


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

    def __post_init__(self) -> None:
        check_line(self.words, self.axis, self.segment, groups=self.groups)

    def time(self, engine: "FlowEngine") -> None:
        """Advance the clocks of ``engine`` by this operation."""
        if not self.words:
            return
        length = engine.length(self.axis)
        allreduce_line(engine.line(self.axis), self.segment or length, self.groups,
                       line_costs(engine.timing, self.words, "allreduce_call", self.op))
        engine.energy += self.energy(engine)

    def flow(self, engine: "FlowEngine", tile: np.ndarray) -> np.ndarray:
        """Tiles (height, width, words) -> the same shape; every PE of a line holds the line's result."""
        tile = check_tile(engine, tile, self.words)
        self.time(engine)
        return run_line(engine, "allreduce", self.op, tile, self.axis, self.segment, self.groups)

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
        wavelets, lines = traffic(engine.timing, self.words), engine.lines(self.axis)
        total = 0
        for begin, end in segments(engine.length(self.axis), self.segment):
            length, groups = end - begin, min(self.groups, end - begin)
            roots = group_root(groups - 1, length, groups) - group_root(0, length, groups)
            total += (length - groups + roots) * wavelets.sums + (length - 1) * wavelets.results
        return total * lines
