"""Where a model lies on wafers: the placement that serves a request, or a whole service, soonest on few of them.

How many wafers, where that is not said: those on which a request takes the fewest wafer-seconds, from the fewest that hold it
up to twice as many; the fewest where that is equal. So another wafer is taken where it is worth more than its share, as where
the fewest are so full that regions have to be slow.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from wsekern.errors import BudgetError, InputError
from wsekern.inference.grid import Grid
from wsekern.inference.layer import check_formats
from wsekern.inference.programs import Programs, ProgramSet, program_set
from wsekern.machine import Machine
from wsekern.machine.machine import in_cycles, sides_of, turned
from wsekern.ops.local.rows import Form
from wsekern.planning.bands import Bands
from wsekern.planning.candidates import Demand
from wsekern.planning.causes import too_large_part, unplaceable_part, why_not
from wsekern.planning.chunks import SEARCHED_CHUNK
from wsekern.planning.drafting import check_speculation
from wsekern.planning.estimate import QuickPlacement
from wsekern.planning.layout import LEAST_INSIDE, Placement
from wsekern.planning.search import Search
from wsekern.workload.config import ModelConfig
from wsekern.workload.popularity import DEFAULT_LAW, ExpertLaw
from wsekern.workload.request import Request
from wsekern.workload.speculation import Speculation

__all__ = ["MAX_WAFERS", "Placement", "front", "place_draft", "place_model", "place_service", "search_for"]

MAX_WAFERS = 256
"""Where the search for enough wafers gives up; the vendor offers clusters of up to 2,048."""

MORE = 2
"""Times the fewest wafers up to which more are tried."""


WIDER = {"int4": ("int8", ""), "int4-64": ("int8", ""), "mxfp4": ("fp8", ""), "int8": ("",), "fp8": ("",)}
"""Formats to which weights may be widened when they are loaded, where unpacking them costs more than the room is worth."""


def place_model(config: ModelConfig, request: Request, machine: Machine, wafers: int | None = None,
                profile: str = "silicon", think_seconds: float = 0.0, speculation: Speculation | None = None,
                cached: int | None = None, activations: Form | None = None, programs: str | ProgramSet = "default",
                weight_precision: str = "", cache_precision: str = "",
                expert_law: ExpertLaw = DEFAULT_LAW) -> Placement:
    """The placement that serves the request soonest on ``wafers`` wafers, or on as many as are worth it;
    :class:`BudgetError` if none holds it.

    It is judged under the load of all users. Wafers are enough if some cut of them holds the caches of all users at once, but
    another may serve them sooner although some wait outside. Each sends the next prompt ``think_seconds`` after the answer is
    there; ``speculation`` and ``cached`` as in :class:`Placement`: a model that drafts gets wafers of its own. ``programs``: a
    program set or its name, whose form of ``activations`` holds unless one is given; precisions and
    ``expert_law`` as in :class:`wsekern.inference.grid.Grid`. Weights are kept wider than ``weight_precision`` says where that
    is quicker.
    """
    return place_service(config, ((request, 1.0),), machine, wafers=wafers, profile=profile, think_seconds=think_seconds,
                         speculation=speculation, cached=cached, activations=activations, programs=programs,
                         weight_precision=weight_precision, cache_precision=cache_precision, expert_law=expert_law)


def place_service(config: ModelConfig, mix: Iterable[tuple[Request, float]], machine: Machine, *, context: int = 0,
                  users: int = 1, wafers: int | None = None, inside: float = LEAST_INSIDE,
                  programs: str | ProgramSet = "default", **load: Any) -> Placement:
    """As :func:`place_model`, before a ``mix`` of requests and their shares: one placement with room for ``context`` tokens of
    each of ``users`` users, or at least of the share ``inside`` of them, on which the mean request is served soonest. Other
    requests: :meth:`Placement.serving`."""
    if wafers is not None and wafers < 1:
        raise InputError(f"wafers is {wafers}, expected at least 1, or auto")
    service, choices = Demand.of(mix, context, users, inside), tuple(sorted(load.items()))
    if wafers == 1 and not load.get("think_seconds") and load.get("speculation") is None:
        # all times are cycles then: whatever the clock, one placement is the best
        found = _placed(config, service, in_cycles(machine), wafers, programs, choices)
        return _clocked(found, machine if sides_of(found.machine) == sides_of(machine) else turned(machine))
    return _placed(config, service, machine, wafers, programs, choices)


def _wider(config: ModelConfig, precision: str) -> Iterator[str]:
    """Formats of weights beside ``precision`` that are tried: wider ones, and of mixtures that one for the experts alone."""
    yield from WIDER.get(precision, ())
    if precision in WIDER and config.mixtures:
        yield f"experts={precision}"


_IN_CYCLES = ("mappings", "head_mapping", "places", "rectangles", "crossings", "all_wafers", "_cache")
"""What a placement keeps that depends on no clock."""


def _clocked(placement: Placement, machine: Machine) -> Placement:
    """``placement`` on a machine with the same cycles; what is known of it and depends on no clock is known of the new one."""
    found = replace(placement, machine=machine)
    found.__dict__.update({name: getattr(placement, name) for name in _IN_CYCLES})
    return found


@lru_cache(maxsize=256)
def _placed(config: ModelConfig, service: Demand, machine: Machine, wafers: int | None, programs: str | ProgramSet,
            choices: tuple[tuple[str, Any], ...]) -> Placement:
    """As :func:`place_service`; a service that is asked for again lies where it lay."""
    load = dict(choices)
    search = search_for(config, service, machine, programs, **load)
    if wafers is None:
        fewest = _fewest(search, machine)
        wafers = search.worth(fewest, MORE * fewest) if search.holds_all(fewest) else fewest
    found = _placed_on(search, wafers)
    if not found:
        raise _refusal(search, machine, wafers)
    for precision in _wider(config, load.get("weight_precision", "")):
        found += _placed_on(search_for(config, service, machine, programs, **load | {"weight_precision": precision}), wafers)
    return min(found, key=search.seconds)


def _placed_on(search: Search, wafers: int) -> list[Placement]:
    """The quickest of equal regions and, on several wafers, the quickest in bands (on one they have gained nothing yet, and
    take longer to find); halves of layers where regions of whole ones have no room."""
    if not search.holds_all(wafers):
        return _in_bands(search, wafers, search.programs, halves=True) if not _smallest(search).holds_all(wafers) else []
    best = search.best(wafers)
    return [best, *(_in_bands(search, wafers, best.programs, halves=False) if best.expert_wafers == 1 < wafers else [])]


def _in_bands(search: Search, wafers: int, programs: Programs, halves: bool) -> list[Placement]:
    """The quickest in bands on wafers as they are, and on turned ones."""
    quick = min(_quick_in_bands(search, wafers, programs, halves), key=search.seconds, default=None)
    return [] if quick is None else [search.exactly(quick)]


def _quick_in_bands(search: Search, wafers: int, programs: Programs, halves: bool) -> Iterator[QuickPlacement]:
    """Those of both, by the estimate."""
    found = (bands.placement(wafers) for bands in _both_ways(search, wafers, programs, halves))
    return (placement for placement in found if placement is not None)


def _both_ways(search: Search, wafers: int, programs: Programs, halves: bool, timed: bool = True) -> Iterator[Bands]:
    """Bands on wafers as they are and on turned ones, if so many have the bytes."""
    chunk = 1 if halves else min(SEARCHED_CHUNK, search.service.request.unread)
    for machine in (search.machine, turned(search.machine)) if search.may_hold(wafers) else ():
        yield search.bands.setdefault((programs, halves, timed, sides_of(machine)), Bands(
            search.config, machine, search.service, programs, search.load, search.seconds, chunk, halves, timed))


@dataclass(frozen=True)
class Point:
    """A placement of a Pareto front: no other serves one user as soon, has room for as many, and takes as few wafers."""

    placement: Placement
    tokens_per_second: float
    """Of a user who is alone."""
    users: int
    wafers: int


def front(config: ModelConfig, mix: Iterable[tuple[Request, float]], machine: Machine, *, context: int = 0,
          users: Iterable[int] = (1,), programs: str | ProgramSet = "default", **load: Any) -> list[Point]:
    """The Pareto front over the speed of one user, ``users`` for whom there is room, and wafers, from the fewest that hold
    each number of users to twice as many."""
    points: list[Point] = []
    mix = tuple(mix)
    for count in sorted(set(users)):
        search = search_for(config, Demand.of(mix, context, count), machine, programs, **load)
        fewest = _fewest(search, machine)
        if search.holds_all(fewest):
            search.candidates(MORE * fewest)
        for wafers in range(fewest, MORE * fewest + 1):
            placement = min(_placed_on(search, wafers), key=search.seconds)
            points.append(Point(placement, 1.0 / placement.lone.time_per_output_token_seconds, placement.users_inside, wafers))
    return [point for point in points if not any(_dominates(other, point) for other in points)]


def _dominates(one: Point, other: Point) -> bool:
    mine, theirs = ((point.tokens_per_second, point.users, -point.wafers) for point in (one, other))
    return one is not other and mine != theirs and all(a >= b for a, b in zip(mine, theirs, strict=True))


def search_for(config: ModelConfig, service: Demand, machine: Machine, programs: str | ProgramSet = "default",
               **load: Any) -> Search:
    """The search for a placement; ``load``: fields of :class:`Placement`."""
    chosen, load = program_set(programs), {"profile": "silicon"} | load
    load["activations"] = load.get("activations") or chosen.activations
    machine.profile(load["profile"])
    check_speculation(config, speculation := load.get("speculation"))
    load["draft"] = place_draft(speculation, service.request, machine, load["profile"], activations=load["activations"],
                                programs=programs)
    precision = service.request.precision
    check_formats(Grid(config, 1, 1, precision, **{name: load.get(name, "") for name in ("weight_precision",
                                                                                         "cache_precision")}))
    machine = _facing(config, precision, machine)
    if unplaceable_part(config, precision, machine):
        raise BudgetError(why_not(config, service.request, machine, None, MAX_WAFERS, lambda asked, count: False))
    return Search(config, machine, service, chosen, load)


def _fewest(search: Search, machine: Machine) -> int:
    """The fewest wafers that hold all users in equal regions, else in bands; :class:`BudgetError` if none do."""
    found = search.fewest(MAX_WAFERS) or search.fewest(MAX_WAFERS, lambda wafers: _bands_hold(search, wafers))
    if not found:
        raise _refusal(search, machine, None)
    return found


def _bands_hold(search: Search, wafers: int, timed: bool = True) -> bool:
    """Whether bands do, with halves of layers among them, where equal regions have no room for the weights alone."""
    return not _smallest(search).holds_all(wafers) and any(
        bands.holds(wafers) for bands in _both_ways(search, wafers, search.programs, halves=True, timed=timed))


def _smallest(search: Search) -> Search:
    """The same model before the smallest request."""
    request = Request(1, 1, 1, search.service.request.precision)
    return search.asked.setdefault(request, _asked(search, request))


def _asked(search: Search, request: Request) -> Search:
    demand = Demand(request, ((request, 1.0),), search.service.inside)
    return Search(search.config, search.machine, demand, search.chosen, search.load)


def _refusal(search: Search, machine: Machine, wafers: int | None) -> BudgetError:
    def fits(request: Request, count: int) -> bool:
        one = search.asked.setdefault(request, _asked(search, request))
        return one.holds_all(count) or _bands_hold(one, count, timed=False)

    roughly = wafers is not None and not _smallest(search).holds_all(wafers)
    return BudgetError(why_not(search.config, search.service.request, search.machine, wafers, MAX_WAFERS, fits, roughly))


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
