"""The search for the placement that serves a load soonest: sizes of regions, layers in each, programs, prompt chunks.

Candidates are regions of one size with so many layers each, the head in a corner of the last wafer. From the best of the
largest cuts on, width and height are varied one step after the other as long as that is quicker by the estimate, first with one
size of prompt chunks and then with any; those that come within its error of the best are timed by the flow engine. Nothing is
drawn by chance and ties go to what was tried first: the answer is always the same.
"""

from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cached_property
from typing import Any

from wsekern.inference.programs import Programs, ProgramSet
from wsekern.machine import Machine
from wsekern.planning.blocks import with_blocks
from wsekern.planning.breakpoints import moved
from wsekern.planning.candidates import Candidate, Demand, spread
from wsekern.planning.chunks import chunked
from wsekern.planning.estimate import QuickPlacement, TimedRegions
from wsekern.planning.fitting import NEVER, Fitting
from wsekern.planning.halved import halved, may_be_halved
from wsekern.planning.judge import mean_seconds
from wsekern.planning.layout import Placement, filled
from wsekern.planning.regions import Size
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Attention

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

STARTS_WITH_CHUNKS = 3, 4
"""The best candidates, and the best cuts among them, whose sides are varied again where all prompt chunks count."""

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


class Search(Fitting):
    """The search among the candidates for one model, service and kind of wafer."""

    def __init__(self, config: ModelConfig, machine: Machine, service: Demand, chosen: ProgramSet,
                 load: dict[str, Any]) -> None:
        super().__init__(config, machine, service, chosen, load)
        self._cuts, self._tried, self._winners = set[Candidate](), dict[int, list[Candidate]](), dict[int, Candidate]()
        self.bands, self.asked = dict[Any, Any](), dict[Any, Any]()  # of other regions, and requests

    # -- the search ----------------------------------------------------------------------------------------------------
    def worth(self, fewest: int, most: int) -> int:
        """The number of wafers from ``fewest`` to ``most`` on which a request takes the fewest wafer-seconds, by the best of
        cuts, shrunk as long as that helps."""
        known: dict[int, float] = {}
        for candidate in (*self._of_programs(fewest, self.programs, 0), *self._of_programs(most, self.programs, 0)):
            wafers = max(fewest, self.needed(candidate))
            known[wafers] = min(known.get(wafers, NEVER), self.score(candidate))
        return min(known, key=lambda wafers: (known[wafers] * wafers, wafers))

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
        best, best_cuts = STARTS_WITH_CHUNKS
        known = sorted((one._replace(any_chunk=True) for one in dict.fromkeys(tried) if self.fits(one, wafers)), key=self.score)
        cuts = [one for one in known if one._replace(any_chunk=False) in self._cuts]
        found: list[Candidate] = []
        for start in dict.fromkeys((*known[:best], *cuts[:best_cuts])):
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
            starts.setdefault((cut.expert_wafers, cut.layers), []).append(cut)
        tried: list[Candidate] = []
        for together in self.groups:
            best, idle = NEVER, 0
            for layers in sorted(layers for group, layers in starts if group == together):
                own = [cut if cut.programs is programs else cut._replace(programs=programs) for cut in starts[together, layers]]
                self._cuts.update(own)
                cuts = self._large(own)
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
        return (near != known and not self.hopeless(near, wafers, self.score(known)) and self.fits(near, wafers)
                and self.score(near) < self.score(known))

    def _moved(self, candidate: Candidate, x: int, y: int) -> Candidate:
        """The candidate with sides so many points longer."""
        return Candidate(moved(self.limits.across, candidate.width, x), moved(self.limits.down, candidate.height, y),
                         *candidate[2:])

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
