"""What candidates are worth, by numbers: whether their regions have room, and the estimate of their time.

It says what :class:`wsekern.planning.estimate.QuickPlacement` says, which is its reference, without building a placement or a
region for any candidate.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsekern.inference.kinds import LayerKind
from wsekern.inference.mapping import Mapping, most_that
from wsekern.inference.programs import Programs
from wsekern.inference.region_bytes import RegionBytes
from wsekern.inference.step_times import expert_crossing_seconds
from wsekern.machine import Machine
from wsekern.machine.machine import in_cycles
from wsekern.ops.local.rows import Form
from wsekern.planning.candidates import Candidate
from wsekern.planning.estimator import estimator
from wsekern.planning.head_room import HeadRoom
from wsekern.planning.layout import LEAST_INSIDE, TIMED, sides_of
from wsekern.planning.regions import layers_of, shapes_of
from wsekern.queueing import LineCosts, steady_line
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import PRECISIONS, Request


class Room(NamedTuple):
    """How prompts are read and how many users are served at once where there is room: ``inside`` None stands for all."""

    chunk: int
    inside: int | None


@dataclass(frozen=True, eq=False)
class _Kept:
    """``count`` regions of ``layers`` layers each; ``sample`` is one on as few PEs as can be, and ``halves`` are its columns of
    mixers and of feed-forward parts, or all of it."""

    layers: int
    count: int
    sample: Mapping
    halves: tuple[RegionBytes, ...]

    @cached_property
    def kinds(self) -> list[tuple[LayerKind, ...]]:
        """Of the layers in each of :attr:`halves`."""
        return [half.kinds for half in self.halves]


@lru_cache(maxsize=4096)
def _sampled(config: ModelConfig, layers: int, precision: str, activations: Form | None, programs: Programs, wafers: int,
             halved: bool, named: tuple[tuple[str, Any], ...]) -> tuple[Mapping, tuple[RegionBytes, ...]]:
    """A region on as few PEs as can be before one token, and the bytes of its halves: the same for all requests."""
    sample = Mapping(config, 1 + halved, 1, precision, context=1, layers=layers, with_head=False, activations=activations,
                     programs=programs, expert_wafers=wafers, feed_width=int(halved), **dict(named))
    return sample, tuple(map(RegionBytes, sample.halves))


class Judge:
    """Candidates for ``config`` before ``request``, of which ``cached`` tokens need not be read (None: those that are shared);
    ``load`` as of a search."""

    def __init__(self, config: ModelConfig, machine: Machine, request: Request, heads: HeadRoom, load: dict[str, Any],
                 cached: int | None, inside: float = LEAST_INSIDE) -> None:
        self.config, self.machine, self.request, self.heads, self.load = config, machine, request, heads, load
        self.cached, self._inside = cached, inside
        self.unread = request.prompt - (request.shared if cached is None else cached)
        speculation = load.get("speculation")
        self._checked = speculation.checked if speculation else 1
        self._sram, self._clock, self._across = int(machine.core.sram), float(machine.clock), sides_of(machine)[0]
        self._estimator = estimator(in_cycles(machine), load["profile"], request.precision)
        self._known: dict[tuple[Any, ...], tuple[tuple[_Kept, ...], int]] = {}
        self._zeros: dict[int, NDArray[np.float64]] = {}
        self._links: dict[tuple[tuple[_Kept, ...], int, int], float] = {}

    # -- regions -------------------------------------------------------------------------------------------------------
    def _regions(self, candidate: Candidate) -> tuple[tuple[_Kept, ...], int]:
        """What the regions of a candidate keep, whatever their sides, and how many there are."""
        key = candidate.layers, candidate.expert_wafers, candidate.programs, bool(candidate.mixer_width)
        found = self._known.get(key)
        if found is None:
            shapes = shapes_of(self.config, 1, 1, candidate.layers)
            starts = accumulate((shape.held for shape in shapes), initial=0)
            kept = tuple(self._kept(layers_of(self.config, first, shape.held), shape.layers, shape.count, candidate)
                         for first, shape in zip(starts, shapes, strict=False))
            found = self._known[key] = kept, sum(one.count for one in kept)
        return found

    def _kept(self, config: ModelConfig, layers: int, count: int, candidate: Candidate) -> _Kept:
        request, load = self.request, self.load
        named = tuple((name, load[name]) for name in ("weight_precision", "cache_precision", "expert_law") if name in load)
        sample, halves = _sampled(config, layers, request.precision, load.get("activations"), candidate.programs,
                                  candidate.expert_wafers, bool(candidate.mixer_width), named)
        return _Kept(layers, count, sample, tuple(half.before(request.context, request.shared) for half in halves))

    # -- room ----------------------------------------------------------------------------------------------------------
    def _together(self, inside: int, stages: int) -> int:
        return min(inside, -(-inside * self._checked // stages))

    def holds(self, candidate: Candidate, chunk: int, inside: int) -> bool:
        """Whether there is room for chunks of so many tokens and the caches of so many users."""
        kept, regions = self._regions(candidate)
        chunk, height, widths = max(chunk, self._together(inside, regions + 1)), candidate.height, candidate.widths
        return all([half.needed(width, height, chunk, inside) <= self._sram
                    for one in kept for half, width in zip(one.halves, widths, strict=True)])

    def room(self, candidate: Candidate, chunk: int, least: float | None = None) -> Room | None:
        """As :func:`wsekern.planning.layout.filled`; ``least`` is that of the demand unless said."""
        batch, least = self.request.batch, self._inside if least is None else least
        if self.holds(candidate, chunk, batch):
            return Room(chunk, None)
        kept, regions = self._regions(candidate)
        buffered = max(chunk, self._together(batch, regions + 1))
        inside = min(half.most_users(width, candidate.height, buffered, self._sram)
                     for one in kept for half, width in zip(one.halves, candidate.widths, strict=True))
        if inside < 1:  # buffers for all of them are too large
            inside = most_that(batch, lambda users: self.holds(candidate, chunk, users))
        if inside < max(1.0, least * batch):
            return None
        return Room(chunk, min(inside, batch)) if self.holds(candidate, chunk, min(inside, batch)) else None

    def serving(self, candidate: Candidate, chunk: int) -> Room | None:
        """As :meth:`wsekern.planning.layout.Placement.serving` of a placement with chunks of so many tokens."""
        chunk = min(chunk, self.request.prompt)
        tried = (self.room(candidate, chunk >> times, 0.0) for times in range(chunk.bit_length()))
        return next((found for found in tried if found is not None), None)

    # -- time ----------------------------------------------------------------------------------------------------------
    def _seconds(self, candidate: Candidate, one: _Kept, chunk: int, tokens: int, position: int) -> float:
        """Of so many tokens in a region, with so many cached positions before them."""
        height, quick, sample = candidate.height, self._estimator, one.sample
        widths, most, hidden = candidate.widths, -(-self.request.context // height), -(-self.config.hidden // height)
        cycles = quick.kinds(one.kinds, widths, height, most, chunk, sample.expert_load, tokens, max(1, -(-position // height)))
        passed = quick.passed_on(tokens * hidden, widths, height, self._stacked(candidate))
        return (cycles / sample.config.layers * one.layers + passed) / self._clock

    def _stacked(self, candidate: Candidate) -> bool:
        """Whether regions in halves are so wide that they can only lie above each other."""
        return bool(candidate.mixer_width) and 2 * candidate.width > self._across

    def _costs(self, candidate: Candidate, one: _Kept, chunk: int, most: int, position: int,
               whole: bool) -> NDArray[np.float64]:
        """Of 1 to ``most`` tokens."""
        if most <= TIMED:
            return np.full(most, self._seconds(candidate, one, chunk, most, position))
        timed = [most] if whole else sorted({1, min(most, TIMED), most})
        return np.interp(np.arange(1, most + 1), timed,
                         [self._seconds(candidate, one, chunk, tokens, position) for tokens in timed])

    def _no_slope(self, most: int) -> NDArray[np.float64]:
        if most not in self._zeros:
            self._zeros[most] = np.zeros(most)
        return self._zeros[most]

    def seconds(self, candidate: Candidate, room: Room, wafers: int) -> float:
        """Of the request on so many wafers, as :meth:`wsekern.planning.layout.Placement.request_seconds`."""
        request, load = self.request, self.load
        kept, count = self._regions(candidate)
        inside = request.batch if room.inside is None else min(room.inside, request.batch)
        chunk = max(room.chunk, self._together(inside, count + 1))
        token, prompt = request.prompt + request.output // 2, request.prompt - self.unread + self.unread // 2 + 1
        own = [self._seconds(candidate, one, chunk, 1, token) for one in kept]
        slowest, pace = kept[own.index(max(own))], max(own)
        passed = sum(one.count * seconds for one, seconds in zip(kept, own, strict=True)) / pace
        regions = max(1, math.ceil(passed - 1e-9))
        together = min(chunk, self._together(inside, count))
        group = self._costs(candidate, slowest, chunk, together, token, False) if together > 1 else np.full(1, pace)
        read = self._costs(candidate, slowest, chunk, room.chunk, prompt, self.unread % room.chunk == 0)
        none, one_more = (self._crossing(candidate, kept, wafers, tokens) for tokens in (0, 1))
        head = self.heads.cycles(self.heads.usual, load["profile"]) / self._clock
        line = LineCosts(regions=regions, group_base=group, group_slope=self._no_slope(len(group)), chunk_base=read,
                         chunk_slope=self._no_slope(len(read)), head_seconds=head, crossing_seconds=none,
                         crossing_token_seconds=one_more - none, last_share=passed - (regions - 1))
        steady = steady_line(line, request.batch, self.unread, request.output, load.get("think_seconds", 0.0), room.inside)
        return steady.time_to_first_token_seconds + (request.output - 1) * steady.time_per_output_token_seconds

    def _crossing(self, candidate: Candidate, kept: tuple[_Kept, ...], wafers: int, tokens: int) -> float:
        """In the links between wafers, all of which have regions."""
        key = kept, wafers, tokens
        if key not in self._links:
            crossings = wafers // candidate.expert_wafers - 1
            size = self.config.hidden * PRECISIONS[self.request.precision] * tokens
            links = self.machine.system.io_seconds(crossings * size, crossings + bool(crossings))
            self._links[key] = links + sum(expert_crossing_seconds(self.machine, one.sample, tokens) for one in kept)
        return self._links[key]


def judges(first: Judge, mix: tuple[tuple[Request, float], ...]) -> tuple[tuple[Judge, float], ...]:
    """Those of each request of a mix, before regions that are made for that of ``first``, and its share."""
    def of(request: Request) -> Judge:
        cached = first.cached if first.cached is None else min(first.cached, request.prompt - 1)
        return Judge(first.config, first.machine, request, first.heads, first.load, cached)

    return tuple((first if len(mix) == 1 and request == first.request else of(request), share) for request, share in mix)


def mean_seconds(first: Judge, mix: tuple[tuple[Judge, float], ...], candidate: Candidate, room: Room, wafers: int) -> float:
    """Of the mean request of a mix; :meth:`wsekern.planning.search.Search.seconds`."""
    if mix[0][0] is first:
        return first.seconds(candidate, room, wafers)
    total, found = sum(share for _, share in mix), 0.0
    for judge, share in mix:
        served = judge.serving(candidate, room.chunk)
        found += math.inf if served is None else share * judge.seconds(candidate, served, wafers)
    return found / total
