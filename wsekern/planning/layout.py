"""A whole model on one or more wafers: regions of PEs, layers in regions, tokens flowing through them.

Rectangles of PEs are packed on the wafers. Each keeps some consecutive layers (weights and cache stay in SRAM); tokens pass
from region to region and, at layer boundaries, from wafer to wafer. Embedding and LM head share a region of their own.
Different users' tokens are in different regions at the same time, so users cost each other nothing until every region is busy.

Regions may differ. A lone token takes the exact sum of what all of them take; under load the slowest sets the pace, and what
the others have to spare is idle.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from math import ceil
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from wsekern.errors import BudgetError, InputError
from wsekern.inference.mapping import Mapping, most_that
from wsekern.inference.programs import PLAIN, Programs
from wsekern.inference.step_times import StepCycles, expert_crossing_seconds, time_handover, time_head, time_layer
from wsekern.machine import Machine
from wsekern.machine.machine import in_cycles, sides_of
from wsekern.ops.local.rows import Form
from wsekern.planning.drafting import DraftCosts
from wsekern.planning.estimator import Estimator, estimator
from wsekern.planning.head_part import head_region, with_share
from wsekern.planning.regions import PlacedRegion, RegionShape, Size, layers_of, pack
from wsekern.queueing import LineCosts, SteadyLine, steady_line
from wsekern.workload.config import ModelConfig
from wsekern.workload.popularity import DEFAULT_LAW, ExpertLaw
from wsekern.workload.request import PRECISIONS, Request
from wsekern.workload.speculation import Speculation

TIMED = 8
"""Tokens in a region that are timed beside one and the most; the times of others follow on straight lines, within 3 %."""


@dataclass(frozen=True)
class Placement:
    """Regions of ``shapes``, in the order of their layers, and a head of ``head`` (width, height) PEs, on ``wafers`` wafers.

    The embedding and the LM head share a region; the vocabulary may be dealt to such regions on the last ``head_wafers``
    wafers. Prompts are read in chunks of ``chunk`` tokens. The users of the request take turns: each sends the next prompt
    ``think_seconds`` after the answer. The first ``cached`` tokens of every prompt need not be read: those of the request that
    are shared, unless given. With ``speculation`` the tokens to be checked follow each other through the regions; a model that
    drafts them lies as ``draft`` says, on regions of its own. ``inside`` of the
    users are served at once where the caches of all would leave no room for regions that serve them quicker. ``activations``,
    ``programs``, ``weight_precision``, ``cache_precision`` and ``expert_law`` are those of every region
    (:class:`wsekern.inference.grid.Grid`). Wafers go together in groups of ``expert_wafers``: a region lies in the same place
    on each of a group, the first of which holds all of a layer but the experts that are dealt to the others.
    """

    config: ModelConfig
    machine: Machine
    request: Request
    wafers: int
    shapes: tuple[RegionShape, ...]
    head: Size
    chunk: int = 1
    profile: str = "silicon"
    think_seconds: float = 0.0
    speculation: Speculation | None = None
    cached: int | None = None
    inside: int | None = None
    activations: Form | None = None
    programs: Programs = PLAIN
    weight_precision: str = ""
    cache_precision: str = ""
    expert_law: ExpertLaw = DEFAULT_LAW
    expert_wafers: int = 1
    head_wafers: int = 1
    draft: "Placement | None" = None

    @property
    def users_inside(self) -> int:
        """Users whose caches there is room for at once."""
        return self.request.batch if self.inside is None else min(self.inside, self.request.batch)

    @property
    def unread(self) -> int:
        """Tokens of a prompt that are read here."""
        return self.request.prompt - (self.request.shared if self.cached is None else self.cached)

    @property
    def checked(self) -> int:
        """Tokens of one user that follow each other in a pass."""
        return self.speculation.checked if self.speculation else 1

    @property
    def stages(self) -> int:
        """Regions that a token passes, the LM head's among them."""
        return self.regions + 1

    @property
    def regions(self) -> int:
        """Regions with layers, on all wafers."""
        return sum(shape.count for shape in self.shapes)

    @property
    def tokens_per_stage(self) -> int:
        """Tokens, of different users, that a region handles together: 1 until there are more to be passed on than regions."""
        return self._together(self.stages)

    def _together(self, stages: int) -> int:
        """Those that travel together through ``stages``: tokens of one user follow each other."""
        return min(self.users_inside, -(-self.users_inside * self.checked // stages))

    @cached_property
    def main(self) -> int:
        """Which of the shapes keeps most layers."""
        return max(range(len(self.shapes)), key=lambda index: self.shapes[index].held)

    @property
    def width(self) -> int:
        """PEs of a row of the regions that keep most layers."""
        return self.shapes[self.main].width

    @property
    def height(self) -> int:
        """PEs of a column of the regions that keep most layers."""
        return self.shapes[self.main].height

    @property
    def layers(self) -> int:
        """Layers of each of the regions that keep most."""
        return self.shapes[self.main].layers

    # -- where it lies --------------------------------------------------------------------------------------------------
    @cached_property
    def places(self) -> tuple[tuple[int, int, int], ...]:
        """(wafer, x, y) of every region, the head last; :class:`BudgetError` if the wafers have no room for them."""
        found = pack(sides_of(self.machine), self.wafers // self.expert_wafers, self.shapes, self.head, self.head_wafers)
        if found is None:
            raise BudgetError(f"{self.regions} regions of {self.config.name} and a head of {self.head[0]}x{self.head[1]} PEs "
                              f"do not fit {self.wafers} wafers of {self.machine.name}: use more wafers or smaller regions")
        return tuple((group * self.expert_wafers, x, y) for group, x, y in found.places)

    @cached_property
    def rectangles(self) -> tuple[PlacedRegion, ...]:
        """Every region in the order in which tokens pass them, the head last."""
        sizes = [shape for shape in self.shapes for _ in range(shape.count)]
        starts = accumulate((shape.layers for shape in sizes), initial=0)
        placed = [PlacedRegion(wafer + beside, x, y, shape.width, shape.height, first,
                               min(shape.layers, self.config.layers - first), feed_width=shape.feed_width)
                  for (wafer, x, y), shape, first in zip(self.places, sizes, starts, strict=False)
                  for beside in range(self.expert_wafers)]
        wafer, x, y = self.places[-1]
        return (*placed, *(PlacedRegion(wafer - before, x, y, *self.head, self.config.layers, 0, "head")
                           for before in reversed(range(self.head_wafers))))

    @property
    def idle_wafers(self) -> int:
        """Wafers on which nothing lies."""
        return self.wafers - len({region.wafer for region in self.rectangles})

    @cached_property
    def crossings(self) -> int:
        """Steps from one wafer to another that a token takes, the return of the sampled one left out."""
        return sum(one[0] != other[0] for one, other in pairwise(self.places))

    # -- memory ---------------------------------------------------------------------------------------------------------
    @cached_property
    def mappings(self) -> tuple[Mapping, ...]:
        """One region of each shape."""
        chunk = max(self.chunk, self.tokens_per_stage)
        starts = accumulate((shape.held for shape in self.shapes), initial=0)
        return tuple(self._region(layers_of(self.config, first, shape.held), shape, chunk)
                     for shape, first in zip(self.shapes, starts, strict=False))

    def _region(self, config: ModelConfig, shape: RegionShape, chunk: int) -> Mapping:
        request = self.request
        return Mapping(config, shape.width - shape.feed_width, shape.height, request.precision, context=request.context,
                       chunk=chunk, feed_width=shape.feed_width, stacked=self._stacked,
                       users=self.users_inside, layers=shape.layers, with_head=False, shared=request.shared,
                       activations=self.activations, programs=self.programs, weight_precision=self.weight_precision,
                       cache_precision=self.cache_precision, expert_law=self.expert_law, expert_wafers=self.expert_wafers)

    @property
    def _stacked(self) -> bool:
        """Whether all regions are alike, in halves, and so wide that they can only lie above each other."""
        first = self.shapes[0]
        return bool(first.feed_width and 2 * first.width > sides_of(self.machine)[0] and
                    all((shape.width, shape.feed_width) == (first.width, first.feed_width) for shape in self.shapes))

    @property
    def mapping(self) -> Mapping:
        """One of the regions that keep most layers."""
        return self.mappings[self.main]

    @cached_property
    def head_mapping(self) -> Mapping:
        """The region of the embedding and the LM head, or the first of such regions."""
        return head_region(with_share(self.config, self.head_wafers), *self.head, self.request.precision, self.programs,
                           self.activations, self.weight_precision)

    def fits(self) -> bool:
        """Whether every PE has room for what the request needs."""
        return all(mapping.fits(self.machine) for mapping in (*self.mappings, self.head_mapping))

    def memory_used(self) -> float:
        """Bytes in use on all wafers: weights, cache, buffers and code of every PE in a region."""
        others = self.expert_wafers - 1
        layers = sum(shape.count * (mapping.bytes_used + (others and others * replace(mapping, expert_wafer=1).bytes_used))
                     for mapping, shape in zip(self.mappings, self.shapes, strict=True))
        draft = self.draft.memory_used() if self.draft else 0.0
        return layers + self.head_wafers * self.head_mapping.bytes_used + draft

    def memory_there(self) -> float:
        """Bytes of SRAM of the PEs a program may use, on all wafers."""
        width, height = sides_of(self.machine)
        return self.all_wafers * float(self.machine.core.sram) * width * height

    @cached_property
    def all_wafers(self) -> int:
        """With those of a model that drafts where the others have no room for its regions."""
        own = self.draft
        if own is None:
            return self.wafers
        beside = (*self.shapes, *own.shapes, RegionShape(*own.head, 0, 1))
        fits = own.wafers == 1 and pack(sides_of(self.machine), self.wafers, beside, self.head, self.head_wafers) is not None
        return self.wafers + (0 if fits else own.wafers)

    @cached_property
    def _cache(self) -> tuple[int, int]:
        """(slots, tokens of one request in a slot) of the regions that have room for the fewest tokens beside what all users
        share."""
        found = [(mapping.most_slots(self.machine) - -(-self.request.shared // mapping.height), mapping.height)
                 for mapping in self.mappings]
        return min(found, key=lambda room: (room[0] * room[1], room[1]))

    # -- another request ------------------------------------------------------------------------------------------------
    def serving(self, request: Request) -> "Placement":
        """The same regions before another request, whose prompts are read in chunks as long as there is room for.

        As many of its users are inside as the cache has room for. :class:`InputError` says what does not fit.
        """
        if request.precision != self.request.precision:
            raise InputError(f"{self.config.name} is placed in {self.request.precision}, a request in {request.precision} "
                             "needs a placement of its own")
        chunk = min(self.chunk, request.prompt)
        cached = self.cached if self.cached is None else min(self.cached, request.prompt - 1)
        for halved in [chunk >> times for times in range(chunk.bit_length())]:
            found = filled(replace(self, request=request, chunk=halved, cached=cached, inside=None), least=0.0)
            if found is not None:
                return found
        alone = replace(self, request=replace(request, batch=1), chunk=1, cached=cached, inside=None)
        short = next(mapping for mapping in (*alone.mappings, alone.head_mapping) if not mapping.fits(self.machine))
        memory = short.memory
        raise InputError(f"a request of {request.context:,} tokens does not fit where {self.config.name} is placed for "
                         f"{self.request.context:,}: a PE of a {short.width}x{short.height} region would need "
                         f"{sum(memory.values()):,} B of {int(self.machine.core.sram):,} B, {memory['kv_cache']:,} B of it for "
                         "the cache; place the model for the longest request")

    # -- time -----------------------------------------------------------------------------------------------------------
    def decode(self) -> StepCycles:
        """One token of a lone user from end to end, halfway through the answer; wafer crossings left out."""
        return sum((self._pass(index, 1, self.token_position) for index in range(len(self.shapes))),
                   time_head(in_cycles(self.machine), self.head_mapping, self.profile))

    def _pass(self, index: int, tokens: int, position: int) -> StepCycles:
        """``tokens`` tokens through all regions of a shape; cached positions of each up to ``position``."""
        mapping, count = self.mappings[index], self.shapes[index].count
        layers = self._exact.exact_layers(mapping, tokens, -(-position // mapping.height))
        return layers + time_handover(in_cycles(self.machine), mapping, tokens, self.profile).times(count)

    @property
    def token_position(self) -> int:
        """Cached positions halfway through the answer."""
        return self.request.prompt + self.request.output // 2

    @property
    def prompt_position(self) -> int:
        """Cached positions halfway through what is read of the prompt."""
        return self.request.prompt - self.unread + self.unread // 2 + 1

    def region_seconds(self, tokens: int, slots: int, index: int | None = None) -> float:
        """Time of ``tokens`` tokens, of one user or several, in a region of a shape (the slowest unless given), handing them on
        included; every row keeps ``slots`` cached positions of each. A mean, where layers differ."""
        key = tokens, slots, self.slowest if index is None else index
        found = self._region_seconds.get(key)
        if found is None:
            found = self._region_seconds[key] = self.region_cycles(*key) / float(self.machine.clock)
        return found

    @cached_property
    def _region_seconds(self) -> dict[tuple[int, int, int], float]:
        """Those of :meth:`region_seconds` that were asked for."""
        return {}

    def region_cycles(self, tokens: int, slots: int, index: int) -> float:
        """As :meth:`region_seconds`, to the cycle of the flow engine."""
        mapping, layers = self.mappings[index], self.shapes[index].layers
        known = self._exact.exact_layers(mapping, tokens, slots).cycles / mapping.config.layers
        return known * layers + self._exact.handover(mapping, tokens)

    @property
    def _exact(self) -> Estimator:
        """What knows cycles."""
        return estimator(in_cycles(self.machine), self.profile, self.request.precision)

    def head_cycles(self) -> float:
        """One token's embedding and logits, by the flow engine."""
        return time_head(in_cycles(self.machine), self.head_mapping, self.profile).cycles

    @cached_property
    def own_seconds(self) -> tuple[float, ...]:
        """Of one token halfway through the answer, in a region of each shape."""
        return tuple(self.region_seconds(1, -(-self.token_position // shape.height), index)
                     for index, shape in enumerate(self.shapes))

    @cached_property
    def slowest(self) -> int:
        """The shape whose regions set the pace under load."""
        if len(self.shapes) == 1:
            return 0
        return max(range(len(self.shapes)), key=self.own_seconds.__getitem__)

    @property
    def passed(self) -> float:
        """Regions' worth of the slowest one's work in a pass."""
        seconds = self.own_seconds
        return sum(shape.count * own for shape, own in zip(self.shapes, seconds, strict=True)) / max(seconds)

    @property
    def working_pes(self) -> float:
        """PEs that work while the slowest region does, on average, where every region has a token."""
        seconds = self.own_seconds
        pes = sum(shape.count * shape.area * own for shape, own in zip(self.shapes, seconds, strict=True))
        return self.expert_wafers * pes / max(seconds)

    def timed(self, most: int, whole: bool) -> list[int]:
        """Numbers of tokens, up to ``most``, whose times the others follow; ``whole``: none but the most are asked for."""
        return [most] if whole else sorted({1, min(most, TIMED), most})

    def costs(self, most: int, between: tuple[int, int], slots: float, context: float,
              whole: bool = False) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Seconds of the slowest region for 1 to ``most`` tokens at context 0, and more per token of context: straight lines
        through the numbers of :meth:`timed`, and through the times ``between`` two numbers of cached positions a row; ``slots``
        of them are those of ``context``."""
        low, high = between
        height, timed = self.shapes[self.slowest].height, self.timed(most, whole)
        bases, slopes = list[float](), list[float]()
        for tokens in timed:
            at_low, at_high = self.region_seconds(tokens, low), self.region_seconds(tokens, high)
            slope = (at_high - at_low) / (high - low) if high > low else 0.0
            bases.append(at_low + slope * (slots - low - context / height))
            slopes.append(slope / height)
        each = np.arange(1, most + 1)
        return np.interp(each, timed, bases), np.interp(each, timed, slopes)

    @cached_property
    def line(self) -> LineCosts:
        """What the regions take, exact for this request: a lone token halfway through its answer, and a whole chunk halfway
        through the prompt."""
        request, height = self.request, self.shapes[self.slowest].height
        prompt, token = -(-self.prompt_position // height), -(-self.token_position // height)
        together = min(self.mapping.chunk, self._together(self.regions))
        group = self.costs(together, (prompt, token), token, self.unread + 0.5 * request.output)
        whole = self.unread % self.chunk == 0  # no chunk is shorter
        chunk = self.costs(self.chunk, (prompt, token), prompt, 0.5 * (self.unread + 1), whole)
        return self._line(group, chunk)

    def general_line(self) -> LineCosts:
        """What the regions take, good for requests of any lengths up to that of this request: positions fill the rows evenly,
        so that half a slot is empty on average."""
        slots = max(2, self.mappings[self.slowest].slots)
        group, chunk = (self.costs(most, (1, slots), 0.5, 0.0) for most in (self.mapping.chunk, self.chunk))
        return self._line(group, chunk)

    def _line(self, group: tuple[NDArray[np.float64], NDArray[np.float64]],
              chunk: tuple[NDArray[np.float64], NDArray[np.float64]]) -> LineCosts:
        """As many regions as pass at the pace of the slowest one; the last of them takes what is left of the sum."""
        regions, drafting, (slots, slot_tokens) = max(1, ceil(self.passed - 1e-9)), self.drafting, self._cache
        return LineCosts(
            regions=regions, group_base=group[0], group_slope=group[1], chunk_base=chunk[0], chunk_slope=chunk[1],
            head_seconds=self.head_seconds, crossing_seconds=self.crossing_seconds(0) + drafting.crossing_seconds,
            crossing_token_seconds=self.crossing_seconds(1) - self.crossing_seconds(0),
            last_share=self.passed - (regions - 1), cache_slots=slots, slot_tokens=slot_tokens,
            checked=self.checked, kept=self.speculation.kept if self.speculation else 1.0, draft_seconds=drafting.seconds,
            draft_busy_seconds=drafting.busy_seconds, draft_in_line=drafting.in_line)

    @cached_property
    def head_seconds(self) -> float:
        """Of the head for one token, its embedding included."""
        return self.head_cycles() / float(self.machine.clock)

    @cached_property
    def drafting(self) -> DraftCosts:
        """What drafts take: those of a model a step of it each, those of the first layers their work and the head's."""
        latency, own = float(self.machine.system.io_latency), self.draft
        if own is not None:
            slowest, pes = max(own.own_seconds), own.head[0] * own.head[1] * own.head_seconds
            return DraftCosts(own.decode().cycles / float(self.machine.clock) + own.crossing_seconds(1),
                              max(slowest, own.head_seconds), pe_seconds=own.working_pes * slowest + pes,
                              crossing_seconds=2 * latency if self.all_wafers > 1 else 0.0)
        if self.speculation is None or not self.speculation.draft.layers:
            return DraftCosts()
        cycles, steps = self.first_layers(self.speculation.draft.layers)
        return DraftCosts(cycles / float(self.machine.clock) + self.head_seconds + (steps + self.dealt_steps) * latency,
                          2 * self.head_seconds, in_line=True,
                          pe_seconds=self.head[0] * self.head[1] * self.head_seconds)

    @property
    def dealt_steps(self) -> int:
        """Steps more from wafer to wafer that a token takes where the vocabulary is dealt to several."""
        return 2 if self.head_wafers > 1 else 0

    def first_layers(self, layers: int) -> tuple[float, int]:
        """(cycles of one token in the first ``layers`` layers and on its way behind them, steps from wafer to wafer that it
        takes through them, to the head and back)."""
        cycles, held, way = 0.0, 0, []
        for index, (wafer, *_) in zip((index for index, shape in enumerate(self.shapes) for _ in range(shape.count)),
                                      self.places, strict=False):
            mapping, most = self.mappings[index], self.shapes[index].layers
            if held < layers:
                slots = -(-self.token_position // mapping.height)
                cycles += sum(time_layer(in_cycles(self.machine), mapping, 1, slots, self.profile, block).cycles
                              for block in self.config.blocks[held:min(held + most, layers)])
                cycles += time_handover(in_cycles(self.machine), mapping, 1, self.profile).cycles
                way.append(wafer)
            held += most
        return cycles, sum(one != other for one, other in pairwise([*way, self.places[-1][0], self.places[0][0]]))

    def crossing_seconds(self, tokens: int) -> float:
        """Time in the links between wafers for one pass of ``tokens`` tokens, the return of the sampled token included, and
        what experts on other wafers are sent and send back."""
        return self.link_seconds(self.crossings, self.places[-1][0] != self.places[0][0], tokens) + self.expert_seconds(tokens)

    def expert_seconds(self, tokens: int) -> float:
        """Time in the links between the wafers of a group, of a whole pass; their PEs work on other tokens meanwhile."""
        return sum(expert_crossing_seconds(self.machine, mapping, tokens) for mapping in self.mappings)

    def link_seconds(self, crossings: int, back: bool, tokens: int) -> float:
        """Time of ``crossings`` steps of ``tokens`` tokens from wafer to wafer, and of one that goes ``back``; where the
        vocabulary is dealt to several wafers, of the step to all of these before and of the embedding's to the first behind."""
        size = self.config.hidden * PRECISIONS[self.request.precision] * tokens
        crossings += self.dealt_steps * back
        return self.machine.system.io_seconds(crossings * size, crossings + back)

    @cached_property
    def steady(self) -> SteadyLine:
        """How all users of the request are served."""
        return self._steady(self.request.batch)

    @cached_property
    def lone(self) -> SteadyLine:
        """How a user is served who is alone on these regions."""
        return self._steady(1)

    def _steady(self, users: int) -> SteadyLine:
        return steady_line(self.line, users, self.unread, self.request.output, self.think_seconds, self.inside)

    def pass_seconds(self) -> float:
        """Of a lone user's pass: a token from end to end, and those that are drafted behind it."""
        line = self.line
        space = max(*self.own_seconds, line.head_seconds, line.draft_seconds, line.draft_busy_seconds)
        own = self.decode().cycles / float(self.machine.clock) + line.crossing_seconds + line.crossing_token_seconds
        return own + (self.checked - 1) * space

    def first_token_seconds(self) -> float:
        """Mean time to the first token under the load of all users."""
        return self.steady.time_to_first_token_seconds

    def token_seconds(self) -> float:
        """Mean time per output token of one user under the load of all."""
        return self.steady.time_per_output_token_seconds

    def request_seconds(self) -> float:
        """Mean time of a whole request under the load of all users: the first token and all that follow it."""
        return self.first_token_seconds() + (self.request.output - 1) * self.token_seconds()


AnyPlacement = TypeVar("AnyPlacement", bound=Placement)

LEAST_INSIDE = 0.75
"""Share of the users that a placement must hold at once to be tried."""


def filled(placement: AnyPlacement, least: float = LEAST_INSIDE) -> AnyPlacement | None:
    """``placement`` with as many users inside as it has room for; None if that is less than the share ``least`` of them, or
    none."""
    whole = placement if placement.inside is None else replace(placement, inside=None)
    if _holds(whole):
        return whole
    inside = min(mapping.most_users(placement.machine) for mapping in whole.mappings)
    if inside < 1:  # buffers for all of them are too large
        inside = most_that(placement.request.batch, lambda users: _holds(replace(placement, inside=users)))
    if inside < max(1.0, least * placement.request.batch):
        return None
    found = replace(placement, inside=min(inside, placement.request.batch))
    return found if _holds(found) else None


def _holds(placement: Placement) -> bool:
    return all(mapping.fits(placement.machine) for mapping in placement.mappings)
