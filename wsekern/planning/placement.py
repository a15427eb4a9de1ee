"""Where a model lies on wafers: the placement that serves a request soonest on the fewest of them."""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

from wsekern.errors import BudgetError, InputError
from wsekern.inference.grid import Grid
from wsekern.inference.mapping import Mapping
from wsekern.inference.programs import program_set
from wsekern.inference.step_times import CHUNKS
from wsekern.machine import Machine
from wsekern.ops.local.rows import Form
from wsekern.planning.causes import too_large_part, why_not
from wsekern.planning.drafting import check_speculation
from wsekern.planning.layout import MOST_TIMED, Placement, equal_shapes, filled, head_region, turned
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import Request
from wsekern.workload.speculation import Speculation

__all__ = ["MOST_TIMED", "Placement", "place_draft", "place_model"]

SEARCHED_CHUNKS = (1, 8)
"""Those that cuts are judged by: a short one, and one that reads prompts about as quickly as the longest."""

MAX_WAFERS = 256
"""Where the search for enough wafers gives up; the vendor offers clusters of up to 2,048."""

MAX_REGIONS = 48
"""Regions on one side of a wafer at most: beyond that a region is smaller than 25 x 16 PEs."""

CUTS_TRIED = 10
"""Cuts that are timed for each number of layers per region."""

SHRINK = 0.7
"""Step from one size of region to the next smaller one that is tried."""


def place_model(config: ModelConfig, request: Request, machine: Machine, wafers: int | None = None,
                profile: str = "silicon", think_seconds: float = 0.0, speculation: Speculation | None = None,
                cached: int | None = None, activations: Form | None = None, programs: str = "default",
                weight_precision: str = "", cache_precision: str = "") -> Placement:
    """The placement that serves the request soonest on the fewest wafers (or on ``wafers``); :class:`BudgetError` if none.

    It is judged under the load of all users. Wafers are enough if some cut of them holds the caches of all users at once, but
    another may serve them sooner although some wait outside. Each sends the next prompt ``think_seconds`` after the answer is
    there; ``speculation`` and ``cached`` as in :class:`Placement`. ``activations``: how SiLU and exponentials are computed, as
    in :class:`Mapping`. ``programs``: a name of :data:`wsekern.inference.programs.PROGRAM_SETS`.
    """
    chosen = program_set(programs)
    activations = activations or chosen.activations
    Grid(config, 1, 1, request.precision, weight_precision=weight_precision, cache_precision=cache_precision)  # refuses
    machine.profile(profile)
    check_speculation(config, speculation)
    load = {"think_seconds": think_seconds, "speculation": speculation, "cached": cached, "activations": activations,
            "programs": chosen.programs, "weight_precision": weight_precision, "cache_precision": cache_precision}
    load["draft"] = place_draft(speculation, request, machine, profile, activations=activations, programs=programs,
                                weight_precision=weight_precision, cache_precision=cache_precision)
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


def place_draft(speculation: Speculation | None, request: Request, machine: Machine, profile: str,
                **choices: Any) -> Placement | None:
    """Where the model lies that drafts, if one does: where it would serve the request soonest on the fewest wafers. ``choices``
    as in :func:`place_model`."""
    model = None if speculation is None else speculation.draft.model
    return None if model is None else place_model(model, request, machine, None, profile, **choices)


@lru_cache(maxsize=64)
def _facing(config: ModelConfig, precision: str, machine: Machine) -> Machine:
    """The wafer, turned by a quarter where a layer fits only so: pieces of other sizes leave less padding, and links along x
    and y are alike."""
    other = turned(machine)
    fits_only_so = too_large_part(config, precision, machine) and not too_large_part(config, precision, other)
    return other if fits_only_so else machine


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
    most = max(cut.width * cut.height for cut in cuts)
    large = sorted((cut for cut in cuts if 1.3 * cut.width * cut.height >= most), key=lambda cut: -cut.width)
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
    shapes = equal_shapes(width, height, layers, config.layers)
    cells = width * head[0], height * head[1]
    return filled(Placement(config, machine, request, wafers, shapes, cells, profile=profile, **load))


def _shrink(placement: Placement) -> Placement:
    """The placement with smaller regions in the same places, as long as that is quicker: fewer hops, more work per PE."""
    while min(placement.width, placement.height) > 1:
        shapes = tuple(replace(shape, width=round(shape.width * SHRINK), height=round(shape.height * SHRINK))
                       for shape in placement.shapes)
        head = tuple(round(new * old / side) for new, old, side in zip((shapes[0].width, shapes[0].height), placement.head,
                                                                       (placement.width, placement.height), strict=True))
        smaller = filled(replace(placement, shapes=shapes, head=head))
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
            size = width * across, height * down
            if not rest and down <= rows and head_region(config, *size, request.precision).fits(machine):
                return across, down
    return None


def _with_best_chunk(placement: Placement, chunks: tuple[int, ...]) -> Placement:
    """Choose the prompt chunk that serves the users soonest and still fits: long ones read quickly and hold up tokens."""
    options = [filled(replace(placement, chunk=chunk)) for chunk in chunks if chunk <= placement.unread]
    return min((option for option in options if option is not None), key=lambda option: option.request_seconds())
