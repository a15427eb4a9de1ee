"""A whole model on one or more wafers: regions of PEs, layers in regions, tokens flowing through them.

A wafer is cut into equal rectangles. Each keeps some consecutive layers (weights and cache stay in SRAM); tokens pass from
region to region and, at layer boundaries, from wafer to wafer. Embedding and LM head share a region on the last wafer.
Different users' tokens are in different regions at the same time, so users cost each other nothing until every region is busy.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from wsekern.errors import BudgetError, InputError
from wsekern.inference.causes import why_not
from wsekern.inference.mapping import Mapping
from wsekern.inference.step_times import StepCycles, time_handover, time_head, time_layers
from wsekern.machine import Machine
from wsekern.ops.local.rows import Form
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import PRECISIONS, Request

CHUNKS = (1, 2, 4, 8, 16, 32, 64)
"""Prompt chunk lengths that are tried."""

@dataclass(frozen=True)
class Placement:
    """``layers`` layers in each region of ``width`` x ``height`` PEs; there is room for ``columns`` x ``rows`` on each wafer.

    The embedding and the LM head take the room of ``head_columns`` x ``head_rows`` regions together, on the last wafer.
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
    activations: Form | None = None

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
        """Tokens of different users that a region handles together: 1 until there are more users than regions."""
        return -(-self.request.batch // self.stages)

    @cached_property
    def mapping(self) -> Mapping:
        """One region with layers."""
        chunk = max(self.chunk, self.tokens_per_stage)
        return _region(self.config, self.width, self.height, self.request, self.layers, chunk, self.activations)

    @cached_property
    def head_mapping(self) -> Mapping:
        """The region of the embedding and the LM head."""
        return _head_region(self.config, self.width * self.head_columns, self.height * self.head_rows, self.request)

    def decode(self) -> StepCycles:
        """One token of one user from end to end, halfway through the answer; wafer crossings left out."""
        context = self.request.prompt + self.request.output // 2
        return self._pass(self.tokens_per_stage, -(-context // self.height))

    def _pass(self, tokens: int, slots: int) -> StepCycles:
        layers = time_layers(self.machine, self.mapping, tokens, slots, self.profile)
        handover = time_handover(self.machine, self.mapping, tokens, self.profile)
        head = time_head(self.machine, self.head_mapping, self.profile)
        return layers + handover.times(self.regions) + head.times(tokens)

    def crossing_seconds(self, tokens: int) -> float:
        """Time in the links between wafers for one pass, the return of the sampled token included."""
        if self.wafers == 1:
            return 0.0
        size = self.config.hidden * PRECISIONS[self.request.precision] * tokens
        system = self.machine.system
        return self.wafers * float(system.io_latency) + (self.wafers - 1) * size / float(system.io_bandwidth)

    def token_seconds(self) -> float:
        """Time per output token of one user."""
        return self.decode().cycles / float(self.machine.clock) + self.crossing_seconds(self.tokens_per_stage)

    def first_token_seconds(self) -> float:
        """Time to the first token: the prompt's chunks follow each other through the regions."""
        chunks = -(-self.request.prompt // self.chunk)
        slots = -(-(self.request.prompt // 2 + 1) // self.height)
        layers = time_layers(self.machine, self.mapping, self.chunk, slots, self.profile)
        handover = time_handover(self.machine, self.mapping, self.chunk, self.profile)
        stage = layers.cycles / self.config.layers * self.layers + handover.cycles
        head = time_head(self.machine, self.head_mapping, self.profile).cycles
        # Users' prompts queue behind each other; the last one's last chunk is what the slowest user waits for.
        cycles = (chunks * self.request.batch + self.regions - 1) * stage + head
        return cycles / float(self.machine.clock) + self.crossing_seconds(self.chunk)

    def request_seconds(self) -> float:
        """Time of the whole request: the first token and all that follow it."""
        return self.first_token_seconds() + (self.request.output - 1) * self.token_seconds()

    def memory_used(self) -> float:
        """Bytes in use on all wafers: weights, cache, buffers and code of every PE in a region."""
        layers = sum(self.mapping.memory.values()) * self.width * self.height * self.regions
        head = self.head_mapping
        return layers + sum(head.memory.values()) * head.width * head.height

    def memory_there(self) -> float:
        """Bytes of SRAM of the PEs a program may use, on all wafers."""
        fabric = self.machine.fabric
        return self.wafers * float(self.machine.core.sram) * int(fabric.user_width) * int(fabric.user_height)


def _region(config: ModelConfig, width: int, height: int, request: Request, layers: int, chunk: int,
            activations: Form | None) -> Mapping:
    return Mapping(config, width, height, request.precision, context=request.context, chunk=chunk, users=request.batch,
                   layers=layers, with_head=False, activations=activations)


def _head_region(config: ModelConfig, width: int, height: int, request: Request) -> Mapping:
    return Mapping(config, width, height, request.precision, context=1, layers=0)


MAX_WAFERS = 256
"""Where the search for enough wafers gives up; the vendor offers clusters of up to 2,048."""

MAX_REGIONS = 48
"""Regions on one side of a wafer at most: beyond that a region is smaller than 25 x 16 PEs."""

CUTS_TRIED = 10
"""Cuts that are timed for each number of layers per region."""

SHRINK = 0.7
"""Step from one size of region to the next smaller one that is tried."""


def place_model(config: ModelConfig, request: Request, machine: Machine, wafers: int | None = None,
                profile: str = "silicon", activations: Form | None = None) -> Placement:
    """The placement that serves the request soonest on the fewest wafers (or on ``wafers``); :class:`BudgetError` if none.

    ``activations``: how SiLU and exponentials are computed, as in :class:`Mapping`.
    """
    machine.profile(profile)
    if wafers is not None and wafers < 1:
        raise InputError(f"wafers is {wafers}, expected at least 1, or auto")
    whole = Mapping(config, 1, 1, request.precision, request.context, users=request.batch).memory
    room = float(machine.core.sram) * int(machine.fabric.user_width) * int(machine.fabric.user_height)
    least = max(1, math.ceil((whole["weights"] + whole["kv_cache"]) / room))
    for count in range(least, MAX_WAFERS + 1) if wafers is None else (wafers,):
        placements = _placements(config, request, machine, count, profile, activations)
        if placements:
            best = min(placements, key=lambda placement: placement.request_seconds())
            return _with_best_chunk(best)
    raise BudgetError(why_not(config, request, machine, wafers, MAX_WAFERS,
                              lambda asked, count: any(_cuts(config, asked, machine, count, profile, activations))))


def _placements(config: ModelConfig, request: Request, machine: Machine, wafers: int, profile: str,
                activations: Form | None) -> list[Placement]:
    """Every cut of the wafers into regions on which the model fits, and smaller regions in the same places."""
    by_layers: dict[int, list[Placement]] = {}
    for placement in _cuts(config, request, machine, wafers, profile, activations):
        by_layers.setdefault(placement.layers, []).append(placement)
    return [_shrink(placement) for cuts in by_layers.values() for placement in _most_promising(cuts)]


def _cuts(config: ModelConfig, request: Request, machine: Machine, wafers: int, profile: str,
          activations: Form | None) -> Iterator[Placement]:
    """Every cut of the wafers into regions that fill them and on which the model fits."""
    fabric = machine.fabric
    for columns in range(1, min(MAX_REGIONS, int(fabric.user_width)) + 1):
        for rows in range(1, min(MAX_REGIONS, int(fabric.user_height)) + 1):
            placement = _cut(config, request, machine, wafers, columns, rows, profile, activations)
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
         profile: str, activations: Form | None) -> Placement | None:
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
                          activations=activations)
    return placement if placement.mapping.fits(machine) else None


def _shrink(placement: Placement) -> Placement:
    """The placement with smaller regions in the same places, as long as that is quicker: fewer hops, more work per PE."""
    while min(placement.width, placement.height) > 1:
        width, height = round(placement.width * SHRINK), round(placement.height * SHRINK)
        smaller = replace(placement, width=width, height=height)
        fits = smaller.mapping.fits(placement.machine) and smaller.head_mapping.fits(placement.machine)
        if not fits or smaller.request_seconds() >= placement.request_seconds():
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


def _with_best_chunk(placement: Placement) -> Placement:
    """Choose the prompt chunk that gives the earliest first token and still fits."""
    options = [replace(placement, chunk=chunk) for chunk in CHUNKS if chunk <= placement.request.prompt]
    fitting = [option for option in options if option.mapping.fits(placement.machine)]
    return min(fitting, key=lambda option: option.first_token_seconds())
