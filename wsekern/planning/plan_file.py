"""Plan files: a placement and the service it is for, as TOML that people read and change by hand.

A file states every choice. Read back it gives the same placement, or, where a choice was changed, the placement with that
choice; one that does not fit is refused with the part and the bytes. Where regions lie follows from their sizes.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import ceil
from pathlib import Path

import msgspec

from wsekern.description import load_description
from wsekern.errors import BudgetError, InputError
from wsekern.inference.layer import check_formats, parts_on_grid
from wsekern.inference.mapping import Mapping
from wsekern.inference.packed import packed_memory
from wsekern.inference.programs import Programs
from wsekern.machine import Machine, bundled_machines, load_machine
from wsekern.machine.machine import sides_of, turned
from wsekern.planning.layout import Placement
from wsekern.planning.regions import RegionShape
from wsekern.planning.service import Offer, Service, Share
from wsekern.workload import ModelConfig, bundled_models, load_config
from wsekern.workload.popularity import parse_expert_law
from wsekern.workload.request import PRECISIONS
from wsekern.workload.sample import sample_path

MOST = 10**9
"""Sanity limit of a number in a plan file."""


class ServiceTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the plan is made for."""

    context: int
    users: tuple[int, int]
    mix: tuple[str, ...]


class HeadTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Embedding and LM head, dealt to the last ``wafers`` wafers."""

    width: int
    height: int
    wafers: int = 1


class RegionTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``count`` rectangles of PEs, one behind the other, with so many layers each, whose feed-forward parts may have the last
    ``feed_width`` columns to themselves."""

    width: int
    height: int
    layers: int
    count: int
    feed_width: int = 0


class PlanTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole file."""

    model: str
    machine: str
    profile: str
    wafers: int
    turned: bool
    users: int
    prompt_chunk: int
    precision: str
    weight_precision: str
    cache_precision: str
    activations: str
    expert_law: str
    expert_wafers: int
    service: ServiceTable
    programs: dict[str, str | int]
    head: HeadTable
    regions: tuple[RegionTable, ...]


@dataclass(frozen=True)
class LoadedPlan:
    """A plan file that was read: ``model`` and ``machine`` as it names them, and the placement with its service."""

    model: str
    machine: str
    offer: Offer

    @property
    def placement(self) -> Placement:
        """Where the model lies."""
        return self.offer.placement


def plan_text(model: str, machine: str, offer: Offer) -> str:
    """The plan file of ``offer``, for the model and machine that are found by these names."""
    placement, service = offer.placement, offer.service
    mapping = placement.mapping
    mix = ", ".join(_quoted(str(share)) for share in service.mix)
    lines = ["# A plan of wsekern: where a model lies on wafers. Any choice may be changed; sizes are PEs.",
             f"model = {_quoted(_name(model, bundled_models()))}", f"machine = {_quoted(_name(machine, bundled_machines()))}",
             f"profile = {_quoted(placement.profile)}", f"wafers = {placement.wafers}",
             f"turned = {'true' if _is_turned(placement, machine) else 'false'}  # by a quarter: sides exchanged",
             f"users = {placement.users_inside}  # whose caches of a whole context there is room for at once",
             f"prompt_chunk = {placement.chunk}  # tokens of a prompt that pass through the layers together",
             f"precision = {_quoted(mapping.precision)}", f"weight_precision = {_quoted(mapping.weight_precision)}",
             f"cache_precision = {_quoted(mapping.cache_precision)}", f"activations = {_quoted(mapping.form)}",
             f"expert_law = {_quoted(mapping.expert_law.text)}  # which experts tokens choose",
             f"expert_wafers = {placement.expert_wafers}  # that share the experts of each layer", "",
             "[service]", f"context = {service.context}", f"users = [{service.fewest}, {service.most}]", f"mix = [{mix}]", "",
             "[programs]", *(f"{name} = {_value(value)}" for name, value in asdict(mapping.programs).items()), "",
             "[head]", f"width = {placement.head_mapping.width}", f"height = {placement.head_mapping.height}",
             *([f"wafers = {placement.head_wafers}  # the last ones, each with a share of the vocabulary"]
               if placement.head_wafers > 1 else [])]
    for shape in placement.shapes:
        lines += ["", "[[regions]]", *(f"{name} = {value}" for name, value in asdict(shape).items() if value)]
    return "\n".join(lines) + "\n"


def _is_turned(placement: Placement, machine: str) -> bool:
    """Whether the wafer that ``machine`` names is turned."""
    return sides_of(placement.machine) != sides_of(load_machine(machine))


def _name(name: str, known: Sequence[str]) -> str:
    """A file by its whole path, so that the plan can be read in any folder."""
    return os.path.abspath(name) if name not in (*known, "sample") and os.path.exists(name) else name


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: str | int) -> str:
    return _quoted(value) if isinstance(value, str) else str(value)


def load_plan(path: str | os.PathLike[str]) -> LoadedPlan:
    """The plan in a file; :class:`InputError` names what is wrong there, :class:`BudgetError` what does not fit."""
    where = str(path)
    try:
        return _load(where)
    except InputError as error:
        if where in str(error):
            raise
        raise type(error)(f"{where}: {error}") from error


def _load(where: str) -> LoadedPlan:
    table = load_description(Path(where), PlanTable)
    _check_numbers(table, where)
    shares = tuple(Share.parse(text) for text in table.service.mix)
    service = Service(table.service.context, *table.service.users, shares)
    config, machine = planned_config(table.model), load_machine(table.machine)
    machine.profile(table.profile)
    placement = _placement(table, config, machine, service, where)
    check_formats(replace(placement.mapping, config=config))
    _check_room(placement, where)
    return LoadedPlan(table.model, table.machine, Offer(service, placement))


def location(model: str) -> str:
    """What :func:`load_config` knows ``model`` by, which may be the bundled sample."""
    return str(sample_path()) if model == "sample" else model


def planned_config(model: str) -> ModelConfig:
    """The shape of ``model``: a bundled name, a folder or file, or the bundled sample."""
    return load_config(location(model))


def _check_numbers(table: PlanTable, where: str) -> None:
    """Refuse numbers below 1 and beyond any machine."""
    numbers = {name: getattr(table, name) for name in ("wafers", "expert_wafers", "users", "prompt_chunk")}
    for name, part in (("head", table.head), *((f"regions[{index}]", region) for index, region in enumerate(table.regions))):
        numbers |= {f"{name}.{field}": getattr(part, field) for field in part.__struct_fields__ if field != "feed_width"}
    for name, number in numbers.items():
        if not 1 <= number <= MOST:
            raise InputError(f"{where}: {name} is {number}, expected 1 to {MOST:,}")
    for index, region in enumerate(table.regions):
        if not 0 <= region.feed_width < region.width:
            raise InputError(f"{where}: regions[{index}].feed_width is {region.feed_width}, expected 0 or fewer columns than "
                             f"its width, {region.width}")
    if table.service.users[1] > MOST:
        raise InputError(f"{where}: service.users ends with {table.service.users[1]}, expected at most {MOST:,}")
    if table.head.wafers > table.wafers or (table.head.wafers > 1 and table.expert_wafers > 1):
        raise InputError(f"{where}: head.wafers is {table.head.wafers}, expected 1, or up to the {table.wafers} wafers where "
                         "no layer is on several of them")
    if table.wafers % table.expert_wafers:
        raise InputError(f"{where}: wafers is {table.wafers}, expected a multiple of expert_wafers, {table.expert_wafers}")
    if not table.regions:
        raise InputError(f"{where}: regions is empty, expected at least one [[regions]] with layers")


def _programs(table: PlanTable, where: str) -> Programs:
    known = [field.name for field in fields(Programs)]
    for name in table.programs:
        if name not in known:
            raise InputError(f"{where}: programs: unknown key {name!r}, expected one of {', '.join(known)}")
    return Programs(**table.programs)


def _placement(table: PlanTable, config: ModelConfig, machine: Machine, service: Service, where: str) -> Placement:
    """The placement that the file describes; its layers must be all of the model."""
    layers = sum(region.layers * region.count for region in table.regions)
    if layers != config.layers:
        raise InputError(f"{where}: regions keep {layers:,} layers, {config.name} has {config.layers:,}: change count or "
                         "layers of [[regions]]")
    shapes = tuple(RegionShape(region.width, region.height, region.layers, region.count, region.feed_width)
                   for region in table.regions)
    return Placement(config, turned(machine) if table.turned else machine, service.longest(table.users, table.precision),
                     table.wafers, shapes, (table.head.width, table.head.height), table.prompt_chunk, table.profile,
                     activations=table.activations, programs=_programs(table, where),
                     weight_precision=table.weight_precision, cache_precision=table.cache_precision,
                     expert_law=parse_expert_law(table.expert_law), expert_wafers=table.expert_wafers,
                     head_wafers=table.head.wafers)


def _check_room(placement: Placement, where: str) -> None:
    """Refuse a region whose PEs have too little memory."""
    regions = [("columns of a region" if mapping.feed_width else "a region", half)
               for mapping in placement.mappings for half in mapping.halves]
    for name, mapping in (*regions, ("the head", placement.head_mapping)):
        placement.machine.check_grid(mapping.width, mapping.height)
        need, have = sum(mapping.memory.values()), int(placement.machine.core.sram)
        if need > have:
            raise BudgetError(f"{where}: {name} of {mapping.width}x{mapping.height} PEs does not fit {placement.machine.name}: "
                              f"a PE would need {need:,} B of {have:,} B ({_uses(mapping)}); make it larger, or let it keep "
                              "less")
    placement.places  # noqa: B018 - refuses regions for which the wafers have no room


def _uses(mapping: Mapping) -> str:
    """Bytes of a PE by what they are for: the matrices of each part, cache, buffers and code."""
    memory = dict(mapping.memory)
    words = []
    if mapping.held_layers:
        block = max((block for block, _ in mapping.config.kinds),
                    key=lambda block: sum(part.weights for part in parts_on_grid(mapping, block)))
        matrices: dict[str, int] = {}
        for part in parts_on_grid(mapping, block):
            elements, packed, _ = packed_memory(mapping, part.matrices())
            size = ceil(PRECISIONS[mapping.precision] * (part.weights - elements)) + packed
            matrices[part.label] = matrices.get(part.label, 0) + size * mapping.held_layers
        words = [f"matrices of {label} {count:,} B" for label, count in matrices.items()]
    else:
        words = [f"embedding and LM head {memory['weights']:,} B"]
    del memory["weights"]
    return ", ".join([*words, *(f"{use} {count:,} B" for use, count in memory.items() if count)])
