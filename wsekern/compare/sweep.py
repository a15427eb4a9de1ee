"""Wafers beside clusters over batch and prompt length, in whole requests: who wins where, and from which concurrency on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import log2
from typing import Any

from wsekern.compare.beside import Beside, Named, SideBySide, attempt, clusters_of, reason_of, served
from wsekern.compare.front import COSTS, front
from wsekern.compare.pairing import IDEAL, Pairing, check_all
from wsekern.compare.serving import PLAIN, Serving
from wsekern.compare.side import Side, copies_of
from wsekern.errors import InputError
from wsekern.machine import Machine
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import Request

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Users at once that a sweep tries."""
BUDGETS = {"equal-power": "watts", "equal-cost": "dollars an hour"}
"""What copies of the systems equalise, by mode."""
MODES = ("as-given", *BUDGETS)
_FREE = 1e-12
"""USD that stand for nothing where the logarithm of a price is taken: far below any price of a token."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Cell(SideBySide[Side]):
    """One batch and prompt length on wafers and on one cluster or several; None where a side cannot hold the request, and
    ``notes`` says why.

    ``copies`` are those of the wafers, then of each cluster; ``assumptions`` says how they were counted, where they were;
    ``to_dict`` lists it with the notes.
    """

    NAMES = ("wafer", "cluster", "ideal")

    prompt: int
    output: int
    batch: int
    copies: tuple[int, ...]
    assumptions: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Why sides have no figures."""
        return tuple(why for name, why in self.not_served.items() if name != "ideal")

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the figures of all sides, without their explanations. Several clusters are a list."""
        copies = {one.name: count for one, count in zip(self.clusters, self.copies[1:], strict=True)}
        return {"prompt": self.prompt, "output": self.output, "batch": self.batch, "wafer_copies": self.copies[0],
                "notes": [*self.notes, *self.assumptions],
                **self.data(Side.figures, lambda one: {"cluster_copies": copies[one.name]})}


def _budget(side: Side, mode: str) -> float:
    """Watts, or dollars an hour, of one system."""
    return side.watts if mode == "equal-power" else side.usd_per_hour


def sweep(
    config: ModelConfig,
    machine: Machine,
    cluster: Named,
    *,
    batches: Sequence[int] = BATCHES,
    prompts: Sequence[int] = (1024,),
    output: int = 256,
    precision: str = "fp16",
    wafers: int | None = None,
    profile: str = "silicon",
    engine_level: str = "stock",
    serving: Serving = PLAIN,
    mode: str = "as-given",
    on_cell: Callable[[], None] = lambda: None,
) -> list[Cell]:
    """Every prompt length and batch, beside one ``cluster`` or several. ``mode`` as-given compares one system of each;
    equal-power and equal-cost give each side as many copies as the largest one's power, or price per hour, pays for, and share
    the users among them."""
    if mode not in MODES:
        raise InputError(f"mode {mode!r} is unknown; use one of {', '.join(MODES)}")
    if not batches or not prompts:
        raise InputError("a sweep needs at least one batch and one prompt length")
    pairings = [Pairing(config, machine, one, wafers, profile, engine_level, serving) for one in clusters_of(cluster)]
    check_all(pairings)
    cells = []
    for prompt in prompts:
        for batch in batches:
            cells.append(_cell(pairings, Request(prompt, output, batch, precision), mode))
            on_cell()
    return cells


def _cell(pairings: Sequence[Pairing], request: Request, mode: str) -> Cell:
    """All sides of one request, each with as many copies as ``mode`` gives it."""
    copies = _equal_copies(pairings, request, mode) if mode in BUDGETS else None
    each = copies or (1,) * (1 + len(pairings))
    wafer = attempt(_shared, pairings[0].wafer, request, each[0])
    clusters = tuple(_beside(pairing, partial(_shared, request=request, copies=count))
                     for pairing, count in zip(pairings, each[1:], strict=True))
    return Cell(prompt=request.prompt, output=request.output, batch=request.batch, wafer=served(wafer), clusters=clusters,
                why_no_wafers=reason_of(wafer), copies=each,
                assumptions=(_counted(mode, len(pairings)),) if copies else ())


def _beside(pairing: Pairing, share: Callable[[Callable[[Request], Side]], Side]) -> Beside[Side]:
    """One cluster; its bound too, unless that is what is asked for."""
    ideal = {} if pairing.engine_level == IDEAL else {"cluster_ideal": attempt(share, pairing.ideal_gpus)}
    return Beside.of(pairing.cluster.name, cluster=attempt(share, pairing.gpus), **ideal)


def _equal_copies(pairings: Sequence[Pairing], request: Request, mode: str) -> tuple[int, ...] | None:
    """Copies that equalise the budget, of the wafers and then of each cluster: what the largest side takes, the wafers at the
    full batch, the clusters at batch 1, pays for those of the others. Who cannot serve has one; None where only one can."""
    one = replace(request, batch=1)
    sides = [served(attempt(pairings[0].wafer, request)), *(served(attempt(pairing.gpus, one)) for pairing in pairings)]
    budgets = [None if side is None else _budget(side, mode) for side in sides]
    known = [budget for budget in budgets if budget is not None]
    if len(known) < 2:
        return None  # the cell says which sides cannot
    if not min(known):
        raise InputError(f"--equal {mode.removeprefix('equal-')}: a system costs nothing, and no number of them costs "
                         "what the others do: give it a price, or leave --equal out")
    return tuple(1 if budget is None else max(1, round(max(known) / budget)) for budget in budgets)


def _counted(mode: str, clusters: int) -> str:
    """The asymmetry of :func:`_equal_copies` for people: it can decide the result."""
    whose = "the GPUs'" if clusters == 1 else "the clusters'"
    return f"copies equalise the {BUDGETS[mode]}: the wafers' at the full batch, {whose} at batch 1"


def _shared(make: Callable[[Request], Side], request: Request, copies: int) -> Side:
    """``copies`` systems sharing the request's users evenly; with fewer users than copies the others wait (and draw power)."""
    each = -(-request.batch // copies)
    return copies_of(make(replace(request, batch=each)), copies, request.batch)  # users do not always divide evenly


@dataclass(frozen=True)
class Crossover:
    """From ``batch`` users on ``gpus`` are the better choice; None where they never take over (``always`` says more)."""

    prompt: int
    measure: str
    batch: float | None
    always: str
    gpus: str

    def sentence(self) -> str:
        """For people."""
        what = COSTS[self.measure]
        if self.batch is None:
            return f"prompt {self.prompt}: {what}, {self.always}"
        return f"prompt {self.prompt}: {what}, {_win(self.gpus)} from about {self.batch:.0f} users on"


def _win(gpus: str) -> str:
    """Subject and verb: GPUs, or one cluster by its name."""
    return f"{gpus} {'win' if gpus.endswith('GPUs') else 'wins'}"


def crossovers(cells: Sequence[Cell]) -> list[Crossover]:
    """Where the cost per token of the wafers and of a cluster crosses for good, for every prompt length and measure: of one
    cluster with the chosen engine and with the ideal one, of several each with the chosen engine."""
    names = [one.name for one in cells[0].clusters]
    lines = {name: [cell.chosen()[name] for cell in cells] for name in names} if len(names) > 1 else {
        "the GPUs": [cell.cluster for cell in cells], "ideal GPUs": [cell.cluster_ideal for cell in cells]}
    crossings = []
    for prompt in sorted({cell.prompt for cell in cells}):
        for name, sides in lines.items():
            line = sorted(((cell.batch, cell.wafer, side) for cell, side in zip(cells, sides, strict=True)
                           if cell.prompt == prompt and cell.wafer and side), key=lambda point: point[0])
            if name == "ideal GPUs" and not line:
                continue
            for cost in COSTS:
                ratios = [(float(batch), _log2_times(getattr(wafer, cost), getattr(side, cost))) for batch, wafer, side in line]
                crossings.append(_crossover(prompt, cost, ratios, name))
    return crossings


def _log2_times(one: float, other: float) -> float:
    """Logarithm of a cost over another; far beyond any ratio of two prices where one of them is nothing."""
    return log2(max(one, _FREE) / max(other, _FREE))


def _crossover(prompt: int, measure: str, ratios: list[tuple[float, float]], gpus: str) -> Crossover:
    """Logarithm of wafer cost over GPU cost against batch: the last change from negative to positive counts."""
    against = "" if gpus == "the GPUs" else f" against {gpus}"
    if not ratios:
        return Crossover(prompt, measure, None, f"no batch fits both sides{against}", gpus)
    if ratios[-1][1] <= 0:
        always = "throughout the sweep" if all(ratio <= 0 for _, ratio in ratios) else "at the largest batch"
        return Crossover(prompt, measure, None, f"the wafers win{against} {always}", gpus)
    batch = taken_over(ratios)
    return Crossover(prompt, measure, batch, "" if batch else f"{_win(gpus)} throughout the sweep", gpus)


def taken_over(ratios: Sequence[tuple[float, float]]) -> float | None:
    """Where the logarithm of a cost ratio, over numbers in their order, becomes positive for the last time, on a straight line
    between two of them (of their logarithms, where these exist); None where it never does."""
    for (low, before), (high, after) in zip(reversed(ratios[:-1]), reversed(ratios[1:]), strict=True):
        if before < 0 <= after:
            share = -before / (after - before)
            return 2 ** (log2(low) + share * (log2(high) - log2(low))) if low > 0 else low + share * (high - low)
    return None


def sweep_fronts(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """For every prompt length and cost, the systems and numbers of users that no others beat in both the speed of a user and
    that cost, the fastest first."""
    found = []
    for prompt in sorted({cell.prompt for cell in cells}):
        systems = {(name, cell.batch): side for cell in cells if cell.prompt == prompt
                   for name, side in cell.chosen().items() if side is not None}
        for cost in COSTS:
            points = [{"side": name, "batch": batch, **systems[name, batch].figures()}
                      for name, batch in front(systems, cost)]
            found.append({"prompt": prompt, "cost": cost, "points": points})
    return found
