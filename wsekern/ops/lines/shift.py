"""Shift by software relay: every tile moves a number of PEs along its line, received and sent on by each PE between."""

from dataclasses import dataclass

import numpy as np

from wsekern.errors import InputError, is_whole
from wsekern.machine.timing import Timing
from wsekern.ops._timing import shift_line
from wsekern.ops.operation import Axis, Clocks, check_count, check_line, check_tile
from wsekern.ops.packing import tile_packing
from wsekern.ops.reference import along
from wsekern.ops.schedule.operations import LineScheduled
from wsekern.ops.schedule.schedule import Schedule


@dataclass(frozen=True)
class _Relay:
    """Cycles of one relay: while the even PEs send, the odd ones take; then the other way round; then scalar code."""

    half: int
    """From the issue of a send to the end of the take of the same words."""
    send: int
    """From the issue to the end of a send."""
    whole: int
    """All of a relay."""
    copy: int
    """One instruction that moves the tile within memory."""


@dataclass(frozen=True)
class Shift(LineScheduled):
    """Move tiles of ``elements`` elements ``relays`` PEs along ``axis`` (negative: towards lower coordinates).

    PE k ends with the tile of PE k - relays; a PE that has no such neighbor keeps its own. Each of the relays receives
    the whole tile into memory and then sends it on, so a wavelet counts twice. Cost, B wavelets, L relays, a block of W
    tiles: ``shift_call + relay_fill min(L - 1, 2) + L r - relay_overlap max(0, L - W)`` with ``r = max(relay_floor,
    relay + stage + h + 2 stream(B))``: the first relays fill the pipeline, and past the length of the block PEs only
    receive or only send. No less than the two instructions of a relay take.
    """

    elements: int
    axis: Axis
    relays: int = 1

    def __post_init__(self) -> None:
        check_line(self.elements, self.axis, 0)
        if not is_whole(self.relays) or self.relays == 0:
            raise InputError(f"relays is {self.relays!r}: expected at least one, or minus one")
        check_count("relays", abs(self.relays))

    def _relay(self, timing: Timing) -> _Relay:
        move = timing.instruction("mov")
        packing = tile_packing(timing)
        wavelets, step = timing.wavelets(self.elements, packing), timing.step(move, packing)
        stream = timing.stream(wavelets, step) + 1
        half = timing.stream_setup(move) + timing.stage + timing.hop + stream
        send = timing.stream_setup(move) + timing.sending(wavelets, step)
        whole = max(timing.latency("relay_floor"), timing.latency("relay") + timing.stage + timing.hop + 2 * stream, 2 * half)
        return _Relay(half, send + 1, whole, timing.vector(move, self.elements))

    def _start(self, timing: Timing) -> int:
        """Cycles before the first relay, and of putting the tile into its place after the last."""
        fill = timing.latency("relay_fill") * min(abs(self.relays) - 1, 2)
        return timing.latency("shift_call", timing.latency("call")) + fill

    def time(self, engine: Clocks) -> None:
        """Advance the clocks of ``engine`` by this operation."""
        if not self.elements:
            return
        timing, relay, distance = engine.timing, self._relay(engine.timing), abs(self.relays)
        packing = tile_packing(timing)
        step = timing.step(timing.instruction("mov"), packing)
        stream = 2 * (timing.stream(timing.wavelets(self.elements, packing), step) + 1)
        over = min(timing.latency("relay_overlap"), relay.whole - 2 * relay.half) * max(0, distance - engine.length(self.axis))
        start = self._start(timing) - over
        software = relay.whole - timing.stage - timing.hop - stream

        if relay.copy > self._start(timing):
            engine.note(self, "the cycle engine's program puts tiles into their place by a copy that is longer than the call, "
                              "which the law of published relays leaves out")

        def advance(line: np.ndarray) -> None:
            begin = line.sum(axis=1)
            if begin.min() < begin.max():
                engine.note(self, "PEs begin at different times: relays are timed as if each only waited for where its tile is "
                                  "from, and not for its neighbors")
            shift_line(line, self.relays, start, software, timing.stage, timing.hop, stream)

        engine.on_lines(self.axis, advance)
        engine.link_traversals += self.link_traversals(engine)

    def write(self, length: int, timing: Timing) -> Schedule:
        """Relays in step: every PE spends as long on one as every other, whether it has a tile to move or not."""
        relay, distance, sign = self._relay(timing), abs(self.relays), 1 if self.relays > 0 else -1
        schedule = Schedule(length, self.elements, timing, "", self.elements,
                            {"relay0": (self.elements, "tile"), "relay1": (self.elements, "tile")})
        if not self.elements:
            return schedule
        at = range(length)[::sign]
        sources = range(max(0, length - distance))
        for pe in at:
            schedule.spend(pe, max(0, self._start(timing) - relay.copy))
        for t in range(1, distance + 1):
            over = timing.latency("relay_overlap") if t > length else 0
            message: dict[int, int] = {}
            for phase in (0, 1):
                for k in range(length):
                    if k % 2 == phase:
                        self._send(schedule, relay, at, k, t, k - t + 1 in sources, message)
                for k in range(length):
                    if k % 2 != phase:
                        self._take(schedule, relay, at, k, t, message.get(k - 1))
            for pe in at:
                schedule.spend(pe, max(0, relay.whole - 2 * relay.half - over))
        for k, pe in enumerate(at):
            if k - distance in sources:
                schedule.step(pe, "mov", self.elements, ("tile", 0), (f"relay{distance % 2}", 0))
            else:
                schedule.spend(pe, relay.copy)
        return schedule

    def _send(self, schedule: Schedule, relay: _Relay, at: range, k: int, t: int, moves: bool, message: dict) -> None:
        if not moves:
            schedule.spend(at[k], relay.half)
            return
        message[k] = schedule.message(at[k], at[k + 1], self.elements, sums=False)
        schedule.step(at[k], "mov", self.elements, message[k], ("tile" if t == 1 else f"relay{(t - 1) % 2}", 0))
        schedule.spend(at[k], relay.half - relay.send)

    def _take(self, schedule: Schedule, relay: _Relay, at: range, k: int, t: int, message: int | None) -> None:
        if message is None:
            schedule.spend(at[k], relay.half)
        else:
            schedule.step(at[k], "mov", self.elements, (f"relay{t % 2}", 0), message)

    def flow(self, engine: Clocks, tile: np.ndarray) -> np.ndarray:
        """Tiles (height, width, elements) -> the same, moved."""
        tile = check_tile(engine, tile, self.elements)
        self.time(engine)
        return self.reference(tile, engine.timing)

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy; a move of tiles, the same for every precision."""
        out = tile.copy()
        source, target, k = along(tile, self.axis), along(out, self.axis), abs(self.relays)
        if self.relays > 0:
            target[:, k:] = source[:, :-k]
        else:
            target[:, :-k] = source[:, k:]
        return out

    def link_traversals(self, engine: Clocks) -> int:
        """Wavelets times links of one run on the whole grid."""
        moved = max(0, engine.length(self.axis) - abs(self.relays))
        wavelets = engine.timing.wavelets(self.elements, tile_packing(engine.timing))
        return moved * abs(self.relays) * wavelets * engine.lines(self.axis)
