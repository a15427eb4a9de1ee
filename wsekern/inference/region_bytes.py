"""Bytes of regions that keep the same layers, by numbers: no region is built for any of their sizes."""

import math
from copy import copy

from wsekern.inference.code import code_bytes
from wsekern.inference.mapping import BlockSizes, Mapping, bytes_of_runs, counted, formulas_of, runs_of, users_with_room
from wsekern.workload.request import PRECISIONS

MOST_KEPT = 4096
"""Sizes of regions that are known at once, of all requests."""


class RegionBytes:
    """Bytes of the fullest PE of regions without a head that differ from ``sample`` in their sides, chunk and users alone;
    :class:`Mapping` is the reference."""

    def __init__(self, sample: Mapping) -> None:
        self.kinds, self.runs = sample.kinds, counted(runs_of(sample.config, sample.held_layers))
        self._formulas = [(formulas_of(kind), kind.blocks) for kind in self.kinds]
        self.context, self.shared, self.load = sample.context, sample.shared, sample.expert_load
        self._element, self._room = PRECISIONS[sample.precision], bool(sample.held_layers)
        self.code = code_bytes(sample)
        self._parts: dict[tuple[int, int, int, int], tuple[list[tuple[int, float, float]], int]] = {}

    def before(self, context: int, shared: int) -> "RegionBytes":
        """Those of the same regions before sequences of ``context`` tokens, of which all have the first ``shared``."""
        found = copy(self)
        found.context, found.shared = context, shared
        return found

    def parts(self, width: int, height: int, chunk: int) -> tuple[list[tuple[int, float, float]], int]:
        """(weights, slot, state) of each run of layers that may lie there, and the bytes of buffers and code."""
        context = -(-self.context // height) * height
        key = width, height, context, chunk
        found = self._parts.get(key)
        if found is None:
            sizes = [BlockSizes(*formulas(width, height, context, chunk, self.load, *blocks))
                     for formulas, blocks in self._formulas]
            buffers = math.ceil(self._element * max([kind.buffers for kind in sizes]))
            room = max([kind.room for kind in sizes]) if self._room else 0
            if len(self._parts) == MOST_KEPT:
                self._parts.clear()
            found = self._parts[key] = bytes_of_runs(sizes, self.runs), buffers + max(room, 0) + self.code
        return found

    def needed(self, width: int, height: int, chunk: int, users: int) -> int:
        """All, with so many sequences of the whole context."""
        weights, kept, beside = self.by_use(width, height, chunk, users)
        return weights + kept + beside

    def by_use(self, width: int, height: int, chunk: int, users: int) -> tuple[int, int, int]:
        """Bytes of weights, of the cache, and of buffers and code."""
        runs, beside = self.parts(width, height, chunk)
        shared, own = self._slots(height)
        slots = shared + users * own
        most = runs[0] if len(runs) == 1 else max(runs, key=lambda run: run[0] + (run[1] * slots + run[2] * users))
        weights, slot, state = most
        return weights, math.ceil(slot * slots + state * users), beside

    def most_users(self, width: int, height: int, chunk: int, sram: int) -> int:
        """Sequences of the whole context for which PEs of ``sram`` bytes have room."""
        runs, beside = self.parts(width, height, chunk)
        return users_with_room(runs, sram - beside, *self._slots(height))

    def _slots(self, height: int) -> tuple[int, int]:
        """Cached positions of a row that all users share, and of each."""
        return -(-self.shared // height), -(-(self.context - self.shared) // height)
