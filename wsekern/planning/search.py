"""The search for the placement that serves a load soonest: sizes of regions, layers in each, programs, prompt chunks.

Candidates are regions of one size with so many layers each, the head in a corner of the last wafer. From the best of the
largest cuts on, width and height are varied one step after the other as long as that is quicker by the estimate, first with one
size of prompt chunks and then with any; those that come within its error of the best are timed by the flow engine. Nothing is
drawn by chance and ties go to what was tried first: the answer is always the same.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import cache, cached_property
from typing import Any

from wsekern.inference.formats import formats_of
from wsekern.inference.programs import Programs, ProgramSet
from wsekern.machine import Machine
from wsekern.machine.machine import in_cycles
from wsekern.planning.blocks import with_blocks
from wsekern.planning.bound import stored_bytes
from wsekern.planning.breakpoints import moved
from wsekern.planning.candidates import Candidate, Demand, spread
from wsekern.planning.causes import fewest_that
from wsekern.planning.chunks import SEARCHED_CHUNK, chunked
from wsekern.planning.estimate import QuickPlacement, TimedRegions
from wsekern.planning.halved import halved, may_be_halved
from wsekern.planning.head_room import head_room
from wsekern.planning.judge import Judge, Room, judges, mean_seconds
from wsekern.planning.layout import Placement, filled, sides_of
from wsekern.planning.limits import Limits
from wsekern.planning.regions import Size, expert_weights, shapes_of
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Attention, Recurrent
from wsekern.workload.request import PRECISIONS

MAX_REGIONS = 48
"""Regions on one side of a wafer at most: beyond that a region is smaller than 25 x 16 PEs."""

STEPS = (16, 4, 1)
"""Steps of a side of a region, from one number of PEs that cuts some vector otherwise to another."""

ALIKE = 1.3
"""How much larger than another's regions may be that are about as large."""

DIRECTIONS = ((-1, 0), (0, -1), (1, -1), (-1, 1), (-1, -1), (1, 0), (0, 1))
"""Of steps: a side shorter or longer, both in opposite directions, both shorter."""

SHRINK = 0.7
"""Step from a cut to smaller regions in its places."""

STARTS = 2
"""Cuts from which width and height are varied, for each number of layers in a region."""

WORTH_VARYING = 1.1
"""How many times as long as with the best that is known requests may take where width and height begin to be varied."""

PATIENCE = 2
"""Numbers of layers in a region that are tried after the best one."""

ROUNDS = 2
"""Times that sizes are searched again with other numbers of blocks."""

FINALISTS = 6
"""Candidates that the flow engine times, and the best with each number of layers beside them."""

LAST = 3
"""Of these, those whose head is chosen."""

CLOSE = 1.02
"""The estimate is up to this times what the flow engine says, on wafers mostly half as much more, and never less."""

NEVER = math.inf


class Search:
    """The candidates for one model, service and kind of wafer, and what was found out about them."""

    def __init__(self, config: ModelConfig, machine: Machine, service: Demand, chosen: ProgramSet,
                 load: dict[str, Any]) -> None:
        self.config, self.machine, self.service, self.chosen, self.load = config, machine, service, chosen, load
        self.programs, self.sides = chosen.programs, sides_of(machine)
        self.heads = head_room(config, in_cycles(machine), service.request.precision, chosen.programs, load.get("activations"),
                               load.get("weight_precision", ""))
        self.judged = 0
        self._scores, self._cuts = dict[Candidate, float](), set[Candidate]()
        self._tried, self._counts = dict[int, list[Candidate]](), dict[int, int]()
        self.limits = Limits(self.config, machine, service.mix, load)
        self.held_bytes, self._light = cache(self._held_bytes), dict[int, list[Candidate]]()
        self._holding, self._weights = dict[int, bool](), dict[int, float]()
        self._winners = dict[int, Candidate]()
        self._rooms: dict[Candidate, Room | None] = {}
        self._chunks: dict[Candidate, tuple[Room | None, float]] = {}
        self.judge = Judge(config, machine, service.request, self.heads, load, load.get("cached"), service.inside)
        self._judges = judges(self.judge, service.mix)
        self.bands, self.asked = dict[Any, Any](), dict[Any, Any]()  # of other regions, and requests

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

    def worth(self, fewest: int, most: int) -> int:
        """The number of wafers from ``fewest`` to ``most`` on which a request takes the fewest wafer-seconds, by the best of
        cuts, shrunk as long as that helps."""
        known: dict[int, float] = {}
        for candidate in (*self._of_programs(fewest, self.programs, 0), *self._of_programs(most, self.programs, 0)):
            wafers = max(fewest, self.needed(candidate))
            known[wafers] = min(known.get(wafers, NEVER), self.score(candidate))
        return min(known, key=lambda wafers: (known[wafers] * wafers, wafers))

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

    def _hopeless(self, candidate: Candidate, wafers: int, known: float) -> bool:
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

    # -- the search ----------------------------------------------------------------------------------------------------
    def best(self, wafers: int) -> Placement:
        """The quickest on at most so many wafers, never slower than on the fewest: what won there is tried too."""
        fewest = self.fewest(wafers)
        self.candidates(fewest)
        known = [self._winner(fewest)] if 0 < fewest < wafers else []
        return min((self.finished(one, wafers) for one in (*self._last(wafers), *known)), key=self.seconds)

    def _winner(self, wafers: int) -> Candidate:
        """That of which the quickest placement on the fewest wafers is made."""
        if wafers not in self._winners:
            self._winners[wafers] = min(self._last(wafers), key=lambda one: self.seconds(self.finished(one, wafers)))
        return self._winners[wafers]

    def _last(self, wafers: int) -> list[Candidate]:
        """Those that are quickest before chunks are chosen to the cycle."""
        self.candidates(wafers)
        timed = dict.fromkeys((*self._finalists(wafers, False), *self._finalists(wafers, True)))
        exact = {one: self.exact_score(one, wafers) for one in timed}
        return [one for one in sorted(exact, key=exact.__getitem__) if exact[one] <= CLOSE * min(exact.values())][:LAST]

    def _finalists(self, wafers: int, any_chunk: bool) -> Iterator[Candidate]:
        """Those that are timed, of the quickest with any chunk or without."""
        found = sorted((one for one in self._scores if one.any_chunk == any_chunk and self.fits(one, wafers)), key=self.score)
        close = [one._replace(any_chunk=False) for one in found if self.score(one) <= CLOSE * self.score(found[0])]
        kinds: dict[Any, Candidate] = {}  # the best of each
        for one in close:
            kinds.setdefault((one.layers, one.expert_wafers, one in self._cuts, not one.mixer_width), one)
        return iter((*close[:FINALISTS], *kinds.values()))

    def exact_score(self, candidate: Candidate, wafers: int) -> float:
        """As :meth:`score` with the best chunk and head, regions timed by the flow engine."""
        if self.load.get("speculation") is not None:
            best, _ = min(self._chunked(self.placement(candidate)), key=lambda found: found[1])
        else:
            best = self.placement(candidate._replace(any_chunk=True))
        best = replace(best, wafers=wafers, head=self._head(candidate, wafers))
        return self.seconds(TimedRegions(**{one.name: getattr(best, one.name) for one in fields(best)}))

    def _chunked(self, quick: QuickPlacement) -> list[tuple[QuickPlacement, float]]:
        """The placement with prompt chunks for which it has room, its own first, and the seconds of each."""
        inside = self.service.inside
        return chunked(quick, quick.unread, lambda chunk: filled(replace(quick, chunk=chunk), inside), self.seconds)

    def candidates(self, wafers: int) -> list[Candidate]:
        """Those that were tried for so many wafers, the best first."""
        if wafers not in self._tried:
            self._tried[wafers] = self._candidates(wafers)
        return self._tried[wafers]

    def _candidates(self, wafers: int) -> list[Candidate]:
        """Of the programs of the set, and where that is quicker of those with blocks."""
        tried = self._of_programs(wafers, self.programs)
        for _ in range(ROUNDS):
            quickest = min(tried, key=self.score, default=None)
            blocks = None if quickest is None else self._with_blocks(quickest, wafers)
            if blocks is None or quickest is None or blocks.programs == quickest.programs:
                break
            tried += [*self.descend(blocks, wafers), *self._of_programs(wafers, blocks.programs)]
        if tried and may_be_halved(self.config):
            known = min(tried, key=self.score)
            cuts = self._large([cut for cut in self._light_cuts(wafers) if cut.layers == known.layers])
            tried += halved(known, cuts,
                            lambda one: self.score(one) if self.fits(one, wafers) else NEVER,
                            lambda one: self._with_blocks(one, wafers), lambda one: self.descend(one, wafers))
        if tried and self.load.get("speculation") is None:
            tried += self._with_any_chunk(tried, wafers)
        return sorted(dict.fromkeys(tried), key=self.score)

    def _with_any_chunk(self, tried: list[Candidate], wafers: int) -> list[Candidate]:
        """What is met on the ways from the best of ``tried``, and of the cuts among them, where all prompt chunks count."""
        known = sorted((one._replace(any_chunk=True) for one in dict.fromkeys(tried) if self.fits(one, wafers)), key=self.score)
        cuts = [one for one in known if one._replace(any_chunk=False) in self._cuts]
        found: list[Candidate] = []
        for start in dict.fromkeys((*known[:1], *cuts[:STARTS])):
            found += self.descend(start, wafers)
            found += self.descend(self._with_blocks(found[-1], wafers), wafers)
        return found

    @cached_property
    def integers(self) -> tuple[str, ...]:
        """Numbers of blocks that change something for this model."""
        if not self.chosen.blocks_searched:
            return ()
        heads = any(isinstance(mixer, Attention) for block, _ in self.config.kinds for mixer in block.mixers)
        return (("expert_blocks", "router_copies") if self.config.mixtures else ()) + (("position_blocks",) if heads else ())

    def _with_blocks(self, candidate: Candidate, wafers: int) -> Candidate:
        """The candidate with the numbers of blocks that make it quickest."""
        return with_blocks(candidate, self.integers, lambda one: self.score(one) if self.fits(one, wafers) else NEVER)

    def _of_programs(self, wafers: int, programs: Programs, ways: int = STARTS) -> list[Candidate]:
        """From the best cuts on, with fewer layers in a region first; sides are varied from so many of them."""
        starts: dict[tuple[int, int], list[Candidate]] = {}
        for cut in self._light_cuts(wafers):
            starts.setdefault((cut.expert_wafers, cut.layers), []).append(cut._replace(programs=programs))
        tried: list[Candidate] = []
        for together in self.groups:
            best, idle = NEVER, 0
            for layers in sorted(layers for group, layers in starts if group == together):
                self._cuts.update(starts[together, layers])
                cuts = self._large(starts[together, layers])
                if not cuts:
                    continue
                found = self._from(cuts, tried, wafers, ways)
                tried += found
                quickest = min(map(self.score, found))
                best, idle = (quickest, 0) if quickest < best else (best, idle + 1)
                if idle == PATIENCE:
                    break
        return tried

    def _large(self, cuts: list[Candidate]) -> list[Candidate]:
        """Those for which there is room and whose regions are about as large as the largest of these."""
        found: set[Candidate] = set()
        most = 0.0
        for cut in sorted(cuts, key=lambda cut: -cut.width * cut.height):
            if ALIKE * cut.width * cut.height < most:
                break
            if self.room(cut) is not None:
                most = max(most, cut.width * cut.height)
                found.add(cut)
        return [cut for cut in cuts if cut in found]

    def _from(self, cuts: list[Candidate], tried: list[Candidate], wafers: int, ways: int) -> list[Candidate]:
        """What is met on the ways from the best of ``cuts``, shrunk as long as that helps, and from the best that was tried
        with as many layers as they."""
        shrunk = [one for cut in spread(cuts) for one in self._shrunk(cut)]
        if not ways:
            return shrunk
        known = tried or self._tried_before
        near = [min(known, key=self.score)._replace(layers=cuts[0].layers, expert_wafers=cuts[0].expert_wafers,
                                                    programs=cuts[0].programs, any_chunk=False)] if known else []
        starts = [one for one in near if self.fits(one, wafers)] + sorted(shrunk, key=self.score)[:ways]
        most = WORTH_VARYING * min(map(self.score, (*starts, *tried)))
        starts = [one for one in starts if self.score(one) <= most]
        return [*shrunk, *(end for start in dict.fromkeys(starts) for end in self.descend(start, wafers))]

    def _shrunk(self, cut: Candidate) -> list[Candidate]:
        """The cut and smaller regions in its places, each quicker than the one before."""
        way = [cut]
        while True:
            width, height = (max(1, round(side * SHRINK)) for side in (way[-1].width, way[-1].height))
            smaller = way[-1]._replace(width=width, height=height)
            if self.room(smaller) is None or self.score(smaller) >= self.score(way[-1]):
                return way
            way.append(smaller)
            self._cuts.add(smaller)

    @property
    def _tried_before(self) -> list[Candidate]:
        """The best for each number of wafers."""
        return [found[0] for found in self._tried.values() if found]

    def descend(self, start: Candidate, wafers: int) -> list[Candidate]:
        """What is met on the way from ``start``, each quicker than the one before: on in a direction as long as that helps,
        then in the next one."""
        way = [start]
        for step in STEPS:
            failed = 0
            while failed < len(DIRECTIONS):
                for x, y in DIRECTIONS:
                    before = len(way)
                    while self._better(near := self._moved(way[-1], x * step, y * step), way[-1], wafers):
                        way.append(near)
                    failed = failed + 1 if len(way) == before else 1
                    if failed == len(DIRECTIONS):
                        break
        return way

    def _better(self, near: Candidate, known: Candidate, wafers: int) -> bool:
        """Whether ``near`` is another candidate, fits and is quicker."""
        return (near != known and not self._hopeless(near, wafers, self.score(known)) and self.fits(near, wafers)
                and self.score(near) < self.score(known))

    def _moved(self, candidate: Candidate, x: int, y: int) -> Candidate:
        """The candidate with sides so many points longer."""
        return candidate._replace(width=moved(self.limits.across, candidate.width, x),
                                  height=moved(self.limits.down, candidate.height, y))

    # -- what is found -------------------------------------------------------------------------------------------------
    def finished(self, candidate: Candidate, wafers: int) -> Placement:
        """The candidate with its best head and chunk."""
        head = self._head(candidate, wafers)
        quick = replace(self.placement(candidate), wafers=wafers, head=head)
        if self.load.get("speculation") is not None:
            return self.exactly(quick)
        room, took = self.room(candidate), self.heads.cycles(head, self.load["profile"]) / float(self.machine.clock)
        assert room is not None
        tried = chunked(room, self.judge.unread, lambda chunk: self.judge.room(candidate, chunk),
                        lambda found: mean_seconds(self.judge, self._judges, candidate, found, wafers, took))
        return self._quickest([(replace(quick, chunk=one.chunk, inside=one.inside), seconds) for one, seconds in tried])

    def exactly(self, quick: QuickPlacement) -> Placement:
        """The placement with its best chunk, timed by the flow engine."""
        return self._quickest(self._chunked(quick))

    def _quickest(self, tried: list[tuple[QuickPlacement, float]]) -> Placement:
        """The quickest of those that come near the best of their estimates, timed by the flow engine."""
        best = min(seconds for _, seconds in tried)
        return min((found.exact() for found, seconds in tried if seconds <= CLOSE * best), key=self.seconds)

    def _head(self, candidate: Candidate, wafers: int) -> Size:
        """The quickest of the rectangles in the corner of the last wafer that leave room for the regions on it."""
        size, regions = (candidate.width, candidate.height), self.count(candidate.layers)
        groups = -(-regions // (cells := self._cells(*size)))  # of wafers
        last = regions - (groups - 1) * cells if self.regions(*size, groups) >= regions else 0  # the head has its own wafer
        return self.heads.quickest_beside(*size, last, self.load["profile"])
