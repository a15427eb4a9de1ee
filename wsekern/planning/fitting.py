"""What candidates for one model, service and kind of wafer are worth, and which of them fit: what the search asks."""

import math
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from typing import Any

from wsekern.inference.formats import formats_of
from wsekern.inference.programs import ProgramSet
from wsekern.machine import Machine
from wsekern.machine.machine import in_cycles, sides_of
from wsekern.planning.bound import stored_bytes
from wsekern.planning.candidates import Candidate, Demand
from wsekern.planning.causes import fewest_that
from wsekern.planning.chunks import SEARCHED_CHUNK, chunked
from wsekern.planning.estimate import QuickPlacement
from wsekern.planning.head_room import head_room
from wsekern.planning.judge import Judge, Room, judges, mean_seconds
from wsekern.planning.layout import Placement
from wsekern.planning.limits import Limits
from wsekern.planning.regions import expert_weights, shapes_of
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Recurrent
from wsekern.workload.request import PRECISIONS

MAX_REGIONS = 48
"""Regions on one side of a wafer at most: beyond that a region is smaller than 25 x 16 PEs."""

NEVER = math.inf


class Fitting:
    """The candidates for one model, service and kind of wafer, and what was found out about them."""

    def __init__(self, config: ModelConfig, machine: Machine, service: Demand, chosen: ProgramSet,
                 load: dict[str, Any]) -> None:
        self.config, self.machine, self.service, self.chosen, self.load = config, machine, service, chosen, load
        self.programs, self.sides = chosen.programs, sides_of(machine)
        self.heads = head_room(config, in_cycles(machine), service.request.precision, chosen.programs, load.get("activations"),
                               load.get("weight_precision", ""))
        self.judged = 0
        self._scores, self._rooms = dict[Candidate, float](), dict[Candidate, Room | None]()
        self._chunks: dict[Candidate, tuple[Room | None, float]] = {}
        self._counts, self._holding, self._weights = dict[int, int](), dict[int, bool](), dict[int, float]()
        self.held_bytes, self._light = cache(self._held_bytes), dict[int, list[Candidate]]()
        self.limits = Limits(self.config, machine, service.mix, load)
        self.judge = Judge(config, machine, service.request, self.heads, load, load.get("cached"), service.inside)
        self._judges = judges(self.judge, service.mix)

    # -- what a candidate is worth -------------------------------------------------------------------------------------
    @property
    def estimated(self) -> int:
        """Candidates whose time was estimated."""
        return len(self._scores)

    def room(self, candidate: Candidate) -> Room | None:
        """With the longest searched chunk and the most users for which the candidate has room; None if it has none."""
        if candidate not in self._rooms:
            self._rooms[candidate] = self._room(candidate)
        return self._rooms[candidate]

    def _room(self, candidate: Candidate) -> Room | None:
        if candidate.any_chunk:
            return self._best_chunk(candidate)[0]
        if candidate.mixer_width and (candidate.mixer_width >= candidate.width or candidate.expert_wafers > 1):
            return None  # no columns are left for the feed-forward parts, or they lie on other wafers
        chunk = min(SEARCHED_CHUNK, self.service.request.unread)
        whole = self.judge.room(candidate, chunk)
        if whole is not None or (alone := self.judge.room(candidate, 1)) is None:
            return whole
        tried = (self.judge.room(candidate, chunk >> times) for times in range(1, chunk.bit_length() - 1))
        return next((found for found in tried if found is not None), alone)

    def placement(self, candidate: Candidate) -> QuickPlacement:
        """The candidate with :meth:`room`, as a placement."""
        room = self.room(candidate)
        assert room is not None
        feeds = candidate.mixer_width and candidate.width - candidate.mixer_width
        shapes = shapes_of(self.config, candidate.width, candidate.height, candidate.layers, feeds)
        return QuickPlacement(self.config, self.machine, self.service.request, self.needed(candidate), shapes, self.heads.usual,
                              chunk=room.chunk, programs=candidate.programs, expert_wafers=candidate.expert_wafers,
                              inside=room.inside, **self.load)

    def score(self, candidate: Candidate) -> float:
        """Estimated seconds of the mean request of the mix."""
        found = self._scores.get(candidate)
        if found is None:
            self.judged += 1
            room = self.room(candidate)
            found = self._scores[candidate] = (self._best_chunk(candidate)[1] if candidate.any_chunk else
                                               NEVER if room is None else self._estimated(candidate, room))
        return found

    def _best_chunk(self, candidate: Candidate) -> tuple[Room | None, float]:
        """The best chunk with which there is room for the candidate, and its time."""
        own = candidate._replace(any_chunk=False)
        if own not in self._chunks:
            room = self.room(own)
            self._chunks[own] = (None, NEVER) if room is None else min(
                chunked(room, self.judge.unread, lambda chunk: self.judge.room(own, chunk),
                        lambda found: self.score(own) if found is room else self._estimated(own, found)),
                key=lambda found: found[1])
        return self._chunks[own]

    def _estimated(self, candidate: Candidate, room: Room) -> float:
        if self.load.get("speculation") is not None:
            return self.seconds(self.placement(candidate))
        return mean_seconds(self.judge, self._judges, candidate, room, self.needed(candidate))

    def seconds(self, placement: Placement) -> float:
        """Of the mean request of the mix."""
        if len(self.service.mix) == 1 and self.service.mix[0][0] == placement.request:
            return placement.request_seconds()
        total = sum(share for _, share in self.service.mix)
        return sum(share * placement.serving(request).request_seconds() for request, share in self.service.mix) / total

    # -- what fits -----------------------------------------------------------------------------------------------------
    def regions(self, width: int, height: int, wafers: int) -> int:
        """Regions of that size for which so many (groups of) wafers have room beside the head."""
        if not wafers:
            return 0
        return (wafers - 1) * self._cells(width, height) + self.heads.regions_beside(width, height)

    def count(self, layers: int) -> int:
        """Regions of so many layers that hold all."""
        if layers not in self._counts:
            self._counts[layers] = sum(shape.count for shape in shapes_of(self.config, 1, 1, layers))
        return self._counts[layers]

    def least_layers(self, regions: int) -> int:
        """Layers of a region where there are no more than ``regions``."""
        return next(layers for layers in range(1, self.config.layers + 1)
                    if self.count(layers) <= regions)

    def _cells(self, width: int, height: int) -> int:
        return (self.sides[0] // width) * (self.sides[1] // height)

    def fits(self, candidate: Candidate, wafers: int) -> bool:
        """Whether there is room for all regions and the head, and for a layer's bytes on every PE."""
        needed = self.count(candidate.layers)
        groups = wafers // candidate.expert_wafers
        return self.regions(candidate.width, candidate.height, groups) >= needed and self.room(candidate) is not None

    def cuts(self, wafers: int) -> Iterator[Candidate]:
        """The largest regions in columns and rows on wafers, with as few layers as leave room for the head."""
        for together in self.groups:
            groups = wafers // together
            for columns in range(1, min(MAX_REGIONS, self.sides[0]) + 1):
                for rows in range(1, min(MAX_REGIONS, self.sides[1]) + 1):
                    size = self.sides[0] // columns, self.sides[1] // rows
                    regions = self.regions(*size, groups)
                    if regions > 0:
                        yield Candidate(*size, self.least_layers(regions), self.programs, together)
                    if columns * rows * groups >= 2 * self.config.layers:
                        break

    def _all_cuts(self, wafers: int) -> tuple[Candidate, ...]:
        """Those of :meth:`cuts`, which all services of a model share."""
        key = wafers, self.programs, self.groups
        if key not in self.heads.cuts:
            self.heads.cuts[key] = tuple(self.cuts(wafers))
        return self.heads.cuts[key]

    @cached_property
    def groups(self) -> range:
        """Numbers of wafers that may share a layer: more than one where that takes more than a quarter of one."""
        shared = max(1, math.ceil(4 * self.layer_bytes(1) / self._wafer_bytes)) if self.config.mixtures else 1
        return range(1, shared + 1)

    def holds_all(self, wafers: int) -> bool:
        """Whether some cut holds the caches of all users at once."""
        if wafers not in self._holding:
            self._holding[wafers] = any(self._all_fit(cut) for cut in self._light_cuts(wafers))
        return self._holding[wafers]

    def _all_fit(self, cut: Candidate) -> bool:
        return self.judge.holds(cut, 1, self.service.request.batch) and self.heads.holds(*self.heads.usual)

    def fewest(self, most: int, holds: Callable[[int], bool] | None = None) -> int:
        """The fewest wafers that do (or for which ``holds``), up to ``most``; 0 if these do not either."""
        least = max(1, math.ceil(self.held_bytes(1) * self.config.layers / self._wafer_bytes))
        return fewest_that(least, most, holds or self.holds_all)

    def may_hold(self, wafers: int) -> bool:
        """Whether so many have the bytes of all layers, not padded."""
        return self.held_bytes(1) * self.config.layers <= wafers * self._wafer_bytes

    @property
    def _wafer_bytes(self) -> float:
        return float(self.machine.core.sram) * self.sides[0] * self.sides[1]

    def needed(self, candidate: Candidate) -> int:
        """Wafers that a candidate takes."""
        size = candidate.width, candidate.height
        cells, beside = self._cells(*size), max(0, self.heads.regions_beside(*size))
        regions = self.count(candidate.layers)  # on groups of wafers
        return candidate.expert_wafers * (1 + max(0, -(-(regions - beside) // max(1, cells))))

    def _light_cuts(self, wafers: int) -> list[Candidate]:
        """Cuts whose weights alone may fit, those with most room first."""
        if wafers not in self._light:
            self._light[wafers] = self._fit_at_best(wafers)
        return self._light[wafers]

    def _fit_at_best(self, wafers: int) -> list[Candidate]:
        def fullness(cut: Candidate) -> float:
            return cut.layers * self.held_bytes(cut.expert_wafers) / (cut.width * cut.height)

        return sorted((cut for cut in self._all_cuts(wafers) if fullness(cut) <= int(self.machine.core.sram)), key=fullness)

    def _held_bytes(self, together: int) -> float:
        """Of a layer on average, the least that users keep in the cache among them."""
        request, config = self.service.request, self.config
        size = PRECISIONS[self.load.get("cache_precision") or request.precision]
        inside = max(1.0, self.service.inside * request.batch)
        kept = sum(count * mixer.cached * (min(request.shared, seen) + inside * max(0, seen - request.shared))
                   for block, count in config.kinds for mixer in block.mixers if not isinstance(mixer, Recurrent)
                   for seen in [min(request.context, mixer.reach or request.context)])
        return self.layer_bytes(together) + size * kept / config.layers

    def layer_bytes(self, together: int) -> float:
        """:meth:`_layer_bytes`, once for each."""
        if together not in self._weights:
            self._weights[together] = self._layer_bytes(together)
        return self._weights[together]

    def _layer_bytes(self, together: int) -> float:
        """Of the weights of a layer on average, not padded, on the first of the wafers that share it."""
        hidden, moved = self.config.hidden, 1 - 1 / together
        weights = sum(count * (block.parameters(hidden) - moved * expert_weights(block, hidden))
                      for block, count in self.config.kinds)
        precision = self.service.request.precision
        forms = formats_of(self.load.get("weight_precision", ""), precision)
        return min(map(stored_bytes, forms.values()), default=stored_bytes(precision)) * weights / self.config.layers

    def hopeless(self, candidate: Candidate, wafers: int, known: float) -> bool:
        """Whether a candidate has no room for the weights or its regions at best, bytes not padded and the head not counted, or
        is not quicker than ``known`` at best."""
        width, height, layers, together = candidate.width, candidate.height, candidate.layers, candidate.expert_wafers
        if self.count(layers) > wafers // together * self._cells(width, height) or (
                not candidate.mixer_width and self.limits.seconds(width, height) >= known):  # sums of halves go less far
            self.judged += 1
            return True
        heavy = layers * self.layer_bytes(together) > float(self.machine.core.sram) * width * height
        self.judged += heavy
        return heavy
