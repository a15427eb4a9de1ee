"""A whole model on one or more wafers: regions of PEs, layers in regions, tokens flowing through them.

A wafer is cut into equal rectangles. Each keeps some consecutive layers (weights and cache stay in SRAM); tokens pass from
region to region and, at layer boundaries, from wafer to wafer. Embedding and LM head share a region on the last wafer.
Different users' tokens are in different regions at the same time, so users cost each other nothing until every region is busy.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from wsekern.errors import BudgetError, InputError
from wsekern.inference.mapping import Mapping
from wsekern.inference.step_times import CHUNKS, StepCycles, time_handover, time_head, time_layer, time_layers
from wsekern.machine import Machine
from wsekern.ops.local.rows import Form
from wsekern.planning.causes import too_large_part, why_not
from wsekern.planning.drafting import DraftCosts, check_speculation
from wsekern.queueing import LineCosts, SteadyLine, steady_line
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import PRECISIONS, Request
from wsekern.workload.speculation import Speculation

SEARCHED_CHUNKS = (1, 8)
"""Those that cuts are judged by: a short one, and one that reads prompts about as quickly as the longest."""

MOST_TIMED = 8
"""Tokens in a region at most that are timed; the time of more follows on the straight line from one token, within 1.5 %."""


@dataclass(frozen=True)
class Placement:
    """``layers`` layers in each region of ``width`` x ``height`` PEs; there is room for ``columns`` x ``rows`` on each wafer.

    The embedding and the LM head take the room of ``head_columns`` x ``head_rows`` regions together, on the last wafer. Prompts
    are read in chunks of ``chunk`` tokens. The users of the request take turns: each sends the next prompt ``think_seconds``
    after the answer. The first ``cached`` tokens of every prompt need not be read: those of the request that are shared, unless
    given. With ``speculation`` the tokens to be checked follow each other through the regions; a model that drafts them lies on
    wafers of its own, as ``draft`` says. ``inside`` of the users are served at once where the caches of all would leave no room
    for regions that serve them quicker.
    """

    config: ModelConfig
    machine: Machine
    request: Request
    wafers: int
    columns: int
    rows: int
    width: int
    height: int
    layers: int
    head_columns: int
    head_rows: int
    chunk: int = 1
    profile: str = "silicon"
    think_seconds: float = 0.0
    speculation: Speculation | None = None
    cached: int | None = None
    inside: int | None = None
    activations: Form | None = None
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
        return -(-self.config.layers // self.layers)

    @property
    def tokens_per_stage(self) -> int:
        """Tokens, of different users, that a region handles together: 1 until there are more to be passed on than regions."""
        return self._together(self.stages)

    def _together(self, stages: int) -> int:
        """Those that travel together through ``stages``: tokens of one user follow each other."""
        return min(self.users_inside, -(-self.users_inside * self.checked // stages))

    @cached_property
    def mapping(self) -> Mapping:
        """One region with layers."""
        chunk = max(self.chunk, self.tokens_per_stage)
        return _region(self.config, self.width, self.height, self.request, self.layers, chunk, self.users_inside,
                       self.activations)

    @cached_property
    def head_mapping(self) -> Mapping:
        """The region of the embedding and the LM head."""
        return _head_region(self.config, self.width * self.head_columns, self.height * self.head_rows, self.request)

    def decode(self) -> StepCycles:
        """One token of a lone user from end to end, halfway through the answer; wafer crossings left out."""
        layers = time_layers(self.machine, self.mapping, 1, self._token_slots, self.profile)
        handover = time_handover(self.machine, self.mapping, 1, self.profile)
        return layers + handover.times(self.regions) + time_head(self.machine, self.head_mapping, self.profile)

    @property
    def _token_slots(self) -> int:
        """Positions that a row keeps halfway through the answer."""
        return -(-(self.request.prompt + self.request.output // 2) // self.height)

    @property
    def _prompt_slots(self) -> int:
        """Positions that a row keeps halfway through what is read of the prompt."""
        return -(-(self.request.prompt - self.unread + self.unread // 2 + 1) // self.height)

    def region_seconds(self, tokens: int, slots: int, layers: float | None = None) -> float:
        """Time of ``tokens`` tokens, of one user or several, in a region of ``layers`` layers (as most have), handing them on
        included; every row keeps ``slots`` cached positions of each."""
        work = time_layers(self.machine, self.mapping, tokens, slots, self.profile).cycles / self.config.layers
        handover = time_handover(self.machine, self.mapping, tokens, self.profile).cycles
        return (work * (self.layers if layers is None else layers) + handover) / float(self.machine.clock)

    def _costs(self, most: int, between: tuple[int, int], slots: float,
               context: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Seconds of a region for 1 to ``most`` tokens at context 0, and more per token of context.

        Straight lines through 1 and more tokens, and through the times ``between`` two numbers of cached positions a row;
        ``slots`` of them are those of ``context``.
        """
        low, high = between
        timed = min(max(2, most), MOST_TIMED)
        ends = []
        for tokens in (1, timed) if most > 1 else (1, 1):
            at_low, at_high = self.region_seconds(tokens, low), self.region_seconds(tokens, high)
            slope = (at_high - at_low) / (high - low) if high > low else 0.0
            ends.append((at_low + slope * (slots - low - context / self.height), slope / self.height))
        (base, slope), (last_base, last_slope) = ends
        part = np.arange(most) / (timed - 1)
        return base + part * (last_base - base), slope + part * (last_slope - slope)

    @cached_property
    def line(self) -> LineCosts:
        """What the regions take, exact for this request: a lone token halfway through its answer, and a whole chunk halfway
        through the prompt."""
        request, prompt, token = self.request, self._prompt_slots, self._token_slots
        together = min(self.mapping.chunk, self._together(self.regions))
        group = self._costs(together, (prompt, token), token, self.unread + 0.5 * request.output)
        chunk = self._costs(self.chunk, (prompt, token), prompt, 0.5 * (self.unread + 1))
        return self._line(group, chunk)

    def general_line(self) -> LineCosts:
        """What the regions take, good for requests of any lengths up to that of this request: positions fill the rows evenly,
        so that half a slot is empty on average."""
        slots = max(2, self.mapping.slots)
        group, chunk = (self._costs(most, (1, slots), 0.5, 0.0) for most in (self.mapping.chunk, self.chunk))
        return self._line(group, chunk)

    def _line(self, group: tuple[NDArray[np.float64], NDArray[np.float64]],
              chunk: tuple[NDArray[np.float64], NDArray[np.float64]]) -> LineCosts:
        slots, rest = self._token_slots, self.config.layers - (self.regions - 1) * self.layers
        drafting = self.drafting
        return LineCosts(
            regions=self.regions, group_base=group[0], group_slope=group[1], chunk_base=chunk[0], chunk_slope=chunk[1],
            head_seconds=self.head_seconds, crossing_seconds=self.crossing_seconds(0) + drafting.crossing_seconds,
            crossing_token_seconds=self.crossing_seconds(1) - self.crossing_seconds(0),
            last_share=self.region_seconds(1, slots, rest) / self.region_seconds(1, slots),
            cache_slots=self.mapping.most_slots(self.machine) - -(-self.request.shared // self.height), slot_tokens=self.height,
            checked=self.checked, kept=self.speculation.kept if self.speculation else 1.0, draft_seconds=drafting.seconds,
            draft_busy_seconds=drafting.busy_seconds, draft_in_line=drafting.in_line)

    @property
    def head_seconds(self) -> float:
        """Of the head for one token, its embedding included."""
        return time_head(self.machine, self.head_mapping, self.profile).cycles / float(self.machine.clock)

    @cached_property
    def drafting(self) -> DraftCosts:
        """What drafts take."""
        system = self.machine.system
        if self.draft is not None:
            own, slots = self.draft, self.draft._token_slots
            pes = own.width * own.height * (own.regions - 1 + own.line.last_share)
            region, head = own.region_seconds(1, slots), own.head_mapping
            return DraftCosts(own.decode().cycles / float(self.machine.clock) + own.crossing_seconds(1),
                              max(region, own.head_seconds), crossing_seconds=2 * float(system.io_latency),
                              pe_seconds=pes * region + head.width * head.height * own.head_seconds)
        if self.speculation is None or not self.speculation.draft.layers:
            return DraftCosts()
        layers, head = self.speculation.draft.layers, self.head_mapping
        work = sum(time_layer(self.machine, self.mapping, 1, self._token_slots, self.profile, block).cycles
                   for block in self.config.blocks[:layers])
        passed = -(-layers // self.layers)
        work += passed * time_handover(self.machine, self.mapping, 1, self.profile).cycles
        hops = 2 + (passed - 1) // (self.columns * self.rows) if self.wafers > 1 else 0  # to the head's wafer and back
        return DraftCosts(work / float(self.machine.clock) + self.head_seconds + hops * float(system.io_latency),
                          2 * self.head_seconds, in_line=True, pe_seconds=head.width * head.height * self.head_seconds)

    @property
    def all_wafers(self) -> int:
        """Those of the model that drafts among them."""
        return self.wafers + (self.draft.wafers if self.draft else 0)

    def crossing_seconds(self, tokens: int) -> float:
        """Time in the links between wafers for one pass of ``tokens`` tokens, the return of the sampled token included."""
        if self.wafers == 1:
            return 0.0
        size = self.config.hidden * PRECISIONS[self.request.precision] * tokens
        system = self.machine.system
        return self.wafers * float(system.io_latency) + (self.wafers - 1) * size / float(system.io_bandwidth)

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

    def first_token_seconds(self) -> float:
        """Mean time to the first token under the load of all users."""
        return self.steady.time_to_first_token_seconds

    def token_seconds(self) -> float:
        """Mean time per output token of one user under the load of all."""
        return self.steady.time_per_output_token_seconds

    def request_seconds(self) -> float:
        """Mean time of a whole request under the load of all users: the first token and all that follow it."""
        return self.first_token_seconds() + (self.request.output - 1) * self.token_seconds()

    def memory_used(self) -> float:
        """Bytes in use on all wafers: weights, cache, buffers and code of every PE in a region."""
        layers = sum(self.mapping.memory.values()) * self.width * self.height * self.regions
        head = self.head_mapping
        draft = self.draft.memory_used() if self.draft else 0.0
        return layers + sum(head.memory.values()) * head.width * head.height + draft

    def memory_there(self) -> float:
        """Bytes of SRAM of the PEs a program may use, on all wafers."""
        fabric = self.machine.fabric
        return self.all_wafers * float(self.machine.core.sram) * int(fabric.user_width) * int(fabric.user_height)


def _region(config: ModelConfig, width: int, height: int, request: Request, layers: int, chunk: int,
            users: int, activations: Form | None) -> Mapping:
    return Mapping(config, width, height, request.precision, context=request.context, chunk=chunk, users=users,
                   layers=layers, with_head=False, shared=request.shared, activations=activations)


def _head_region(config: ModelConfig, width: int, height: int, request: Request) -> Mapping:
    return Mapping(config, width, height, request.precision, context=1, layers=0)


MAX_WAFERS = 256
"""Where the search for enough wafers gives up; the vendor offers clusters of up to 2,048."""

MAX_REGIONS = 48
"""Regions on one side of a wafer at most: beyond that a region is smaller than 25 x 16 PEs."""

CUTS_TRIED = 10
"""Cuts that are timed for each number of layers per region."""

LEAST_INSIDE = 0.75
"""Share of the users that a cut must hold at once to be tried."""

SHRINK = 0.7
"""Step from one size of region to the next smaller one that is tried."""


def place_model(config: ModelConfig, request: Request, machine: Machine, wafers: int | None = None,
                profile: str = "silicon", think_seconds: float = 0.0, speculation: Speculation | None = None,
                cached: int | None = None, activations: Form | None = None) -> Placement:
    """The placement that serves the request soonest on the fewest wafers (or on ``wafers``); :class:`BudgetError` if none.

    It is judged under the load of all users. Wafers are enough if some cut of them holds the caches of all users at once, but
    another may serve them sooner although some wait outside. Each sends the next prompt ``think_seconds`` after the answer is
    there; ``speculation`` and ``cached`` as in :class:`Placement`. ``activations``: how SiLU and exponentials are computed, as
    in :class:`Mapping`.
    """
    machine.profile(profile)
    check_speculation(config, speculation)
    small = speculation.draft.model if speculation else None
    draft = place_model(small, request, machine, None, profile, think_seconds, activations=activations) if small else None
    load = {"think_seconds": think_seconds, "speculation": speculation, "cached": cached, "activations": activations,
            "draft": draft}
    machine = _facing(config, request.precision, machine)
    if wafers is not None and wafers < 1:
        raise InputError(f"wafers is {wafers}, expected at least 1, or auto")
    whole = Mapping(config, 1, 1, request.precision, request.context, users=request.batch,
                    shared=request.shared).memory
    room = float(machine.core.sram) * int(machine.fabric.user_width) * int(machine.fabric.user_height)
    least = max(1, math.ceil((whole["weights"] + whole["kv_cache"]) / room))
    for count in range(least, MAX_WAFERS + 1) if wafers is None else (wafers,):
        cuts = list(_cuts(config, request, machine, count, profile, load))
        if any(cut.inside is None for cut in cuts):
            return _with_best_chunk(min(_placements(cuts), key=lambda placement: placement.request_seconds()), CHUNKS)
    raise BudgetError(why_not(config, request, machine, wafers, MAX_WAFERS,
                              lambda asked, count: any(cut.inside is None for cut in
                                                       _cuts(config, asked, machine, count, profile, load))))


@lru_cache(maxsize=64)
def _facing(config: ModelConfig, precision: str, machine: Machine) -> Machine:
    """The wafer, turned by a quarter where a layer fits only so: pieces of other sizes leave less padding, and links along x
    and y are alike."""
    fabric = machine.fabric
    sides = msgspec.structs.replace(fabric, width=fabric.height, height=fabric.width, user_width=fabric.user_height,
                                    user_height=fabric.user_width)
    turned = msgspec.structs.replace(machine, fabric=sides)
    fits_only_so = too_large_part(config, precision, machine) and not too_large_part(config, precision, turned)
    return turned if fits_only_so else machine


def _placements(cuts: list[Placement]) -> list[Placement]:
    """The most promising ``cuts``, and smaller regions in the same places."""
    by_layers: dict[int, list[Placement]] = {}
    for cut in cuts:
        by_layers.setdefault(cut.layers, []).append(cut)
    return [_shrink(_with_best_chunk(cut, SEARCHED_CHUNKS)) for alike in by_layers.values() for cut in _most_promising(alike)]


def _cuts(config: ModelConfig, request: Request, machine: Machine, wafers: int, profile: str,
          load: dict[str, Any]) -> Iterator[Placement]:
    """Every cut of the wafers into regions that fill them and on which the model fits with enough users inside."""
    fabric = machine.fabric
    for columns in range(1, min(MAX_REGIONS, int(fabric.user_width)) + 1):
        for rows in range(1, min(MAX_REGIONS, int(fabric.user_height)) + 1):
            placement = _cut(config, request, machine, wafers, columns, rows, profile, load)
            if placement is not None:
                yield placement
            if columns * rows * wafers >= 2 * config.layers:
                break


def _most_promising(cuts: list[Placement]) -> list[Placement]:
    """From flat to tall, some of the cuts with about the largest regions; all have as many layers per region."""
    fewest = min(cut.columns * cut.rows for cut in cuts)
    large = sorted((cut for cut in cuts if cut.columns * cut.rows <= 1.3 * fewest), key=lambda cut: cut.columns)
    step = max(1, -(-len(large) // CUTS_TRIED))
    return large[::step]


def _cut(config: ModelConfig, request: Request, machine: Machine, wafers: int, columns: int, rows: int,
         profile: str, load: dict[str, Any]) -> Placement | None:
    """The placement with ``columns`` x ``rows`` regions per wafer that fill it, if there is one."""
    width, height = int(machine.fabric.user_width) // columns, int(machine.fabric.user_height) // rows
    head = _head_cells(config, request, machine, columns, rows, width, height)
    if head is None:
        return None
    regions = wafers * columns * rows - head[0] * head[1]
    if regions < min(wafers, config.layers):
        return None
    layers = -(-config.layers // regions)
    placement = Placement(config, machine, request, wafers, columns, rows, width, height, layers, *head, profile=profile,
                          **load)
    return _filled(placement)


def _filled(placement: Placement) -> Placement | None:
    """``placement`` with as many users inside as it has room for; None if that is less than ``LEAST_INSIDE`` of them."""
    whole = replace(placement, inside=None)
    if whole.mapping.fits(placement.machine):
        return whole
    request, height = placement.request, placement.height
    shared, own = -(-request.shared // height), -(-(request.context - request.shared) // height)
    inside = (whole.mapping.most_slots(placement.machine) - shared) // own
    if inside < max(1.0, LEAST_INSIDE * request.batch):
        return None
    filled = replace(placement, inside=min(inside, request.batch))
    return filled if filled.mapping.fits(placement.machine) else None


def _shrink(placement: Placement) -> Placement:
    """The placement with smaller regions in the same places, as long as that is quicker: fewer hops, more work per PE."""
    while min(placement.width, placement.height) > 1:
        width, height = round(placement.width * SHRINK), round(placement.height * SHRINK)
        smaller = _filled(replace(placement, width=width, height=height))
        if smaller is None or not smaller.head_mapping.fits(placement.machine):
            break
        if smaller.request_seconds() >= placement.request_seconds():
            break
        placement = smaller
    return placement


@lru_cache(maxsize=8192)
def _head_cells(config: ModelConfig, request: Request, machine: Machine, columns: int, rows: int, width: int,
                height: int) -> tuple[int, int] | None:
    """The fewest regions, as columns x rows of them, that hold embedding and LM head."""
    for cells in range(1, columns * rows + 1):
        for across in range(1, min(columns, cells) + 1):
            down, rest = divmod(cells, across)
            if not rest and down <= rows and _head_region(config, width * across, height * down, request).fits(machine):
                return across, down
    return None


def _with_best_chunk(placement: Placement, chunks: tuple[int, ...]) -> Placement:
    """Choose the prompt chunk that serves the users soonest and still fits: long ones read quickly and hold up tokens."""
    options = [_filled(replace(placement, chunk=chunk)) for chunk in chunks if chunk <= placement.unread]
    return min((option for option in options if option is not None), key=lambda option: option.request_seconds())
