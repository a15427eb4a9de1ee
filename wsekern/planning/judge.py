"""What candidates are worth, by numbers: whether their regions have room, and the estimate of their time.

It says what :class:`wsekern.planning.estimate.QuickPlacement` says, which is its reference, without building a placement or a
region for any candidate; :mod:`wsekern.planning._judge` reckons it.
"""

import math
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

from wsekern.inference.mapping import Mapping
from wsekern.inference.programs import Programs
from wsekern.inference.step_times import expert_crossing_seconds
from wsekern.machine import Machine
from wsekern.machine.machine import in_cycles, sides_of
from wsekern.planning._judge import Load, Part, Region, Regions
from wsekern.planning.candidates import Candidate
from wsekern.planning.estimator import Estimator, estimator
from wsekern.planning.head_room import HeadRoom
from wsekern.planning.layout import LEAST_INSIDE, TIMED
from wsekern.planning.region_bytes import region_bytes
from wsekern.planning.regions import RegionShape, layers_of, shapes_of
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import PRECISIONS, Request

_OF_REGIONS = ("activations", "weight_precision", "cache_precision", "expert_law")
"""Of a load: what regions depend on."""


class Room(NamedTuple):
    """How prompts are read and how many users are served at once where there is room: ``inside`` None stands for all."""

    chunk: int
    inside: int | None


@lru_cache(maxsize=4096)
def _shapes(config: ModelConfig, layers: int, programs: Programs, wafers: int, halved: bool, quick: Estimator,
            named: tuple[tuple[str, Any], ...]) -> tuple[tuple[Region, Mapping], ...]:
    """Regions of each shape, and one of them on as few PEs as can be before one token: the same for all requests."""
    def region(held: ModelConfig, shape: RegionShape) -> tuple[Region, Mapping]:
        sample = Mapping(held, 1 + halved, 1, quick.precision, context=1, layers=shape.layers, with_head=False,
                         programs=programs, expert_wafers=wafers, feed_width=int(halved), **dict(named))
        parts = tuple(Part(region_bytes(half), tuple(map(quick.cycles_of, half.kinds)),
                           tuple(kind.count for kind in half.kinds)) for half in sample.halves)
        return Region(parts, shape.layers, held.layers, shape.count, sample.expert_load), sample

    shapes = shapes_of(config, 1, 1, layers)
    starts = accumulate((shape.held for shape in shapes), initial=0)
    return tuple(region(layers_of(config, first, shape.held), shape) for first, shape in zip(starts, shapes, strict=False))


class Judge:
    """Candidates for ``config`` before ``request``, of which ``cached`` tokens need not be read (None: those that are shared);
    ``load`` as of a search."""

    def __init__(self, config: ModelConfig, machine: Machine, request: Request, heads: HeadRoom, load: dict[str, Any],
                 cached: int | None, inside: float = LEAST_INSIDE) -> None:
        self.config, self.machine, self.request, self.heads, self.load = config, machine, request, heads, load
        self.cached, self._inside = cached, inside
        self.unread = request.prompt - (request.shared if cached is None else cached)
        speculation, self._clock = load.get("speculation"), float(machine.clock)
        self._estimator = estimator(in_cycles(machine), load["profile"], request.precision)
        self._load = Load(sram=int(machine.core.sram), across=sides_of(machine)[0], clock=self._clock, hidden=config.hidden,
                          context=request.context, shared=request.shared, batch=request.batch, prompt=request.prompt,
                          unread=self.unread, output=request.output, checked=speculation.checked if speculation else 1,
                          timed=TIMED, think=load.get("think_seconds", 0.0), along=self._estimator.along,
                          down=self._estimator.down)
        self._named = tuple((name, load[name]) for name in _OF_REGIONS if name in load)
        self._known: dict[tuple[Any, ...], tuple[Regions, tuple[Mapping, ...]]] = {}
        self._crossings: dict[tuple[Regions, int], tuple[float, float]] = {}

    # -- regions -------------------------------------------------------------------------------------------------------
    def _regions(self, candidate: Candidate) -> tuple[Regions, tuple[Mapping, ...]]:
        """The regions of a candidate, whatever their sides, and one of each shape on as few PEs as can be."""
        key = candidate.layers, candidate.programs, candidate.expert_wafers, candidate.mixer_width > 0
        found = self._known.get(key)
        if found is None:
            shapes = _shapes(self.config, *key, self._estimator, self._named)
            found = self._known[key] = Regions(tuple(one for one, _ in shapes), self._load), tuple(one for _, one in shapes)
        return found

    # -- room ----------------------------------------------------------------------------------------------------------
    def holds(self, candidate: Candidate, chunk: int, inside: int) -> bool:
        """Whether there is room for chunks of so many tokens and the caches of so many users."""
        regions, _ = self._regions(candidate)
        return regions.holds(candidate.width, candidate.height, candidate.mixer_width, chunk, inside)

    def room(self, candidate: Candidate, chunk: int, least: float | None = None) -> Room | None:
        """As :func:`wsekern.planning.layout.filled`; ``least`` is that of the demand unless said."""
        regions, _ = self._regions(candidate)
        served = regions.served(candidate.width, candidate.height, candidate.mixer_width, chunk,
                                self._inside if least is None else least)
        return Room(chunk, None if served == self.request.batch else served) if served else None

    def serving(self, candidate: Candidate, chunk: int) -> Room | None:
        """As :meth:`wsekern.planning.layout.Placement.serving` of a placement with chunks of so many tokens."""
        chunk = min(chunk, self.request.prompt)
        tried = (self.room(candidate, chunk >> times, 0.0) for times in range(chunk.bit_length()))
        return next((found for found in tried if found is not None), None)

    # -- time ----------------------------------------------------------------------------------------------------------
    def seconds(self, candidate: Candidate, room: Room, wafers: int, head: float | None = None) -> float:
        """Of the request on so many wafers, as :meth:`wsekern.planning.layout.Placement.request_seconds`; of a token in the
        ``head``, the usual one unless said."""
        regions, samples = self._regions(candidate)
        crossing = self._crossings.get((regions, wafers))
        if crossing is None:
            none, one = (self._crossing(candidate, samples, wafers, tokens) for tokens in (0, 1))
            crossing = self._crossings[regions, wafers] = none, one - none
        return regions.seconds(candidate.width, candidate.height, candidate.mixer_width, room.chunk,
                               self.request.batch if room.inside is None else room.inside,
                               self._head if head is None else head, *crossing)

    @cached_property
    def _head(self) -> float:
        """Seconds of the usual head."""
        return self.heads.cycles(self.heads.usual, self.load["profile"]) / self._clock

    def _crossing(self, candidate: Candidate, samples: tuple[Mapping, ...], wafers: int, tokens: int) -> float:
        """In the links between wafers, all of which have regions."""
        crossings = wafers // candidate.expert_wafers - 1
        size = self.config.hidden * PRECISIONS[self.request.precision] * tokens
        links = self.machine.system.io_seconds(crossings * size, crossings + bool(crossings))
        return links + sum(expert_crossing_seconds(self.machine, sample, tokens) for sample in samples)


def judges(first: Judge, mix: tuple[tuple[Request, float], ...]) -> tuple[tuple[Judge, float], ...]:
    """Those of each request of a mix, before regions that are made for that of ``first``, and its share."""
    def of(request: Request) -> Judge:
        cached = first.cached if first.cached is None else min(first.cached, request.prompt - 1)
        return Judge(first.config, first.machine, request, first.heads, first.load, cached)

    return tuple((first if len(mix) == 1 and request == first.request else of(request), share) for request, share in mix)


def mean_seconds(first: Judge, mix: tuple[tuple[Judge, float], ...], candidate: Candidate, room: Room, wafers: int,
                 head: float | None = None) -> float:
    """Of the mean request of a mix; :meth:`wsekern.planning.search.Search.seconds`."""
    if mix[0][0] is first:
        return first.seconds(candidate, room, wafers, head)
    total, found = sum(share for _, share in mix), 0.0
    for judge, share in mix:
        served = judge.serving(candidate, room.chunk)
        found += math.inf if served is None else share * judge.seconds(candidate, served, wafers, head)
    return found / total
