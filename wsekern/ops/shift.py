"""Shift by software relay: every tile moves a number of PEs along its line, received and sent on by each PE between."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsekern._timing import shift_line
from wsekern.errors import InputError
from wsekern.ops.line import Axis, along, check_line, check_tile

if TYPE_CHECKING:
    from wsekern.ops.flow import FlowEngine


@dataclass(frozen=True)
class Shift:
    """Move tiles of ``words`` elements ``relays`` PEs along ``axis`` (negative: towards lower coordinates).

    PE k ends with the tile of PE k - relays; a PE that has no such neighbour keeps its own. Each of the relays receives
    the whole tile into memory and then sends it on, so a wavelet counts twice. Cost, B wavelets, L relays, a block of W
    tiles: ``shift_call + relay_fill min(L - 1, 2) + L r - relay_overlap max(0, L - W)`` with ``r = max(relay_floor,
    relay + stage + h + 2 stream(B))``: the first relays fill the pipeline, and past the length of the block PEs only
    receive or only send.
    """

    words: int
    axis: Axis
    relays: int = 1

    def __post_init__(self) -> None:
        check_line(self.words, self.axis, 0)
        if self.relays == 0:
            raise InputError("relays is 0: expected at least one, or minus one")

    def time(self, engine: "FlowEngine") -> None:
        """Advance the clocks of ``engine`` by this operation."""
        if not self.words:
            return
        timing = engine.timing
        wavelets = timing.wavelets(self.words)
        step = timing.step(timing.instruction("mov"))
        words, distance = 2 * (timing.stream(wavelets, step) + 1), abs(self.relays)
        relay = max(timing.latency("relay_floor") - timing.stage - timing.hop - words, timing.latency("relay"))
        start = timing.latency("shift_call", timing.latency("call")) + timing.latency("relay_fill") * min(distance - 1, 2)
        start -= timing.latency("relay_overlap") * max(0, distance - engine.length(self.axis))
        engine.on_lines(self.axis, lambda line: shift_line(line, self.relays, start, relay, timing.stage, timing.hop, words))
        engine.energy += self.energy(engine)

    def flow(self, engine: "FlowEngine", tile: np.ndarray) -> np.ndarray:
        """Tiles (height, width, words) -> the same, moved."""
        tile = check_tile(engine, tile, self.words)
        self.time(engine)
        return self.reference(tile, engine.dtype)

    def reference(self, tile: np.ndarray, dtype: str = "fp32") -> np.ndarray:
        """Plain numpy; a move of tiles, the same for every dtype."""
        out = tile.copy()
        source, target, k = along(tile, self.axis), along(out, self.axis), abs(self.relays)
        if self.relays > 0:
            target[:, k:] = source[:, :-k]
        else:
            target[:, :-k] = source[:, k:]
        return out

    def energy(self, engine: "FlowEngine") -> int:
        """Link traversals of one run on the whole grid."""
        moved = max(0, engine.length(self.axis) - abs(self.relays))
        return moved * abs(self.relays) * engine.timing.wavelets(self.words) * engine.lines(self.axis)
