"""The rule of commit 9a58329, which the search is held against: equal cuts, sides shrunk by 0.7, timed by the flow engine."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from wsekern.errors import BudgetError
from wsekern.inference.programs import program_set
from wsekern.inference.step_times import CHUNKS
from wsekern.machine import Machine
from wsekern.machine.machine import sides_of
from wsekern.planning.layout import Placement, filled
from wsekern.planning.regions import equal_shapes
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import Request

MAX_REGIONS, CUTS_TRIED, SHRINK = 48, 10, 0.7


def old_rule(config: ModelConfig, request: Request, machine: Machine, wafers: int, programs: str = "default") -> Placement:
    """What it takes on ``wafers`` wafers, with the plain blocks of a program set."""
    chosen = program_set(programs)
    load = {"programs": chosen.programs, "activations": chosen.activations}
    by_layers: dict[int, list[Placement]] = {}
    for cut in _cuts(config, request, machine, wafers, load):
        by_layers.setdefault(cut.layers, []).append(cut)
    tried = [_shrunk(_best_chunk(cut, (1, 8))) for alike in by_layers.values() for cut in _promising(alike)]
    return _best_chunk(min(tried, key=Placement.request_seconds), CHUNKS)


def _cuts(config: ModelConfig, request: Request, machine: Machine, wafers: int, load: dict[str, Any]) -> Iterator[Placement]:
    across, down = sides_of(machine)
    for columns in range(1, min(MAX_REGIONS, across) + 1):
        for rows in range(1, min(MAX_REGIONS, down) + 1):
            width, height = across // columns, down // rows
            head = next((size for cells in range(1, columns * rows + 1) for wide in range(1, min(columns, cells) + 1)
                         if not cells % wide and cells // wide <= rows
                         for size in [(width * wide, height * (cells // wide), cells)] if _holds(config, request, machine, load,
                                                                                             size[:2])), None)
            if head is not None and (regions := wafers * columns * rows - head[2]) >= min(wafers, config.layers):
                shapes = equal_shapes(width, height, -(-config.layers // regions), config.layers)
                found = filled(Placement(config, machine, request, wafers, shapes, head[:2], **load))
                if found is not None:
                    yield found
            if columns * rows * wafers >= 2 * config.layers:
                break


def _holds(config: ModelConfig, request: Request, machine: Machine, load: dict[str, Any], head: tuple[int, int]) -> bool:
    return Placement(config, machine, request, 1, (), head, **load).head_mapping.fits(machine)


def _promising(cuts: list[Placement]) -> list[Placement]:
    most = max(cut.width * cut.height for cut in cuts)
    large = sorted((cut for cut in cuts if 1.3 * cut.width * cut.height >= most), key=lambda cut: -cut.width)
    return large[::max(1, -(-len(large) // CUTS_TRIED))]


def _shrunk(placement: Placement) -> Placement:
    while min(placement.width, placement.height) > 1:
        shapes = tuple(replace(shape, width=round(shape.width * SHRINK), height=round(shape.height * SHRINK))
                       for shape in placement.shapes)
        smaller = filled(replace(placement, shapes=shapes))
        if smaller is None or smaller.request_seconds() >= placement.request_seconds():
            break
        placement = smaller
    return placement


def _best_chunk(placement: Placement, chunks: tuple[int, ...]) -> Placement:
    options = [filled(replace(placement, chunk=chunk)) for chunk in chunks if chunk <= placement.unread]
    found = [option for option in options if option is not None and _lies(option)]
    if not found:
        raise BudgetError("the cut has no room for its head where the packing puts it")
    return min(found, key=Placement.request_seconds)


def _lies(placement: Placement) -> bool:
    try:
        return bool(placement.places)
    except BudgetError:
        return False
