"""Wafers beside GPUs over batch and prompt length, in whole requests: who wins where, and from which concurrency on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import log2
from typing import Any

from wsekern.cluster import Cluster, load_cluster
from wsekern.compare.pairing import IDEAL, Pairing
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
MEASURES = {"usd_per_million_tokens": "per dollar", "joules_per_token": "per watt"}
"""Costs of an output token, its share of the prompt included, whose crossover is looked for; less is better."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One batch and prompt length on both sides; None where a side cannot hold the request, and ``notes`` says why.

    ``assumptions`` says how copies of the systems were counted, where they were; ``to_dict`` lists it with the notes.
    """

    prompt: int
    output: int
    batch: int
    wafer: Side | None
    cluster: Side | None
    wafer_copies: int
    cluster_copies: int
    ideal: Side | None = None  # the same GPUs with no engine around the best kernels
    notes: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the figures of both sides, without their explanations."""
        return {
            "prompt": self.prompt,
            "output": self.output,
            "batch": self.batch,
            "wafer_copies": self.wafer_copies,
            "cluster_copies": self.cluster_copies,
            "notes": [*self.notes, *self.assumptions],
            "wafer": _figures(self.wafer),
            "cluster": _figures(self.cluster),
            "ideal": _figures(self.ideal),
        }


def _figures(side: Side | None) -> dict[str, Any] | None:
    return None if side is None else side.figures()


def _budget(side: Side, mode: str) -> float:
    """Watts, or dollars an hour, of one system."""
    return side.watts if mode == "equal-power" else side.usd_per_hour


def sweep(
    config: ModelConfig,
    machine: Machine,
    cluster: str | Cluster,
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
    """Every prompt length and batch. ``mode`` as-given compares one system with one; equal-power and equal-cost give the
    smaller side as many copies as the larger side's power, or price per hour, pays for, and share the users among them."""
    if mode not in MODES:
        raise InputError(f"mode {mode!r} is unknown; use one of {', '.join(MODES)}")
    if not batches or not prompts:
        raise InputError("a sweep needs at least one batch and one prompt length")
    pairing = Pairing(config, machine, load_cluster(cluster), wafers, profile, engine_level, serving)
    pairing.check()
    cells = []
    for prompt in prompts:
        for batch in batches:
            cells.append(_cell(pairing, Request(prompt, output, batch, precision), mode))
            on_cell()
    return cells


def _cell(pairing: Pairing, request: Request, mode: str) -> Cell:
    """Both sides of one request, each with as many copies as ``mode`` gives it."""
    copies = _equal_copies(pairing, request, mode) if mode in BUDGETS else None
    wafer_copies, cluster_copies = copies or (1, 1)
    wafer, first = _shared(pairing.wafer, request, wafer_copies)
    gpus, second = _shared(pairing.gpus, request, cluster_copies)
    ideal = None if pairing.engine_level == IDEAL else _shared(pairing.ideal_gpus, request, cluster_copies)[0]
    return Cell(prompt=request.prompt, output=request.output, batch=request.batch, wafer=wafer, cluster=gpus,
                wafer_copies=wafer_copies, cluster_copies=cluster_copies, ideal=ideal,
                notes=tuple(note for note in (first, second) if note), assumptions=(_counted(mode),) if copies else ())


def _equal_copies(pairing: Pairing, request: Request, mode: str) -> tuple[int, int] | None:
    """Copies that equalise the budget: the wafers' at the full batch, the GPUs' at batch 1. None if a side cannot do so."""
    try:
        wafer = _budget(pairing.wafer(request), mode)
        cluster = _budget(pairing.gpus(replace(request, batch=1)), mode)
    except InputError:
        return None  # the cell says which side cannot
    return max(1, round(cluster / wafer)), max(1, round(wafer / cluster))


def _counted(mode: str) -> str:
    """The asymmetry of :func:`_equal_copies` for people: it can decide the result."""
    return f"copies equalise the {BUDGETS[mode]}: the wafers' at the full batch, the GPUs' at batch 1"


def _shared(make: Callable[[Request], Side], request: Request, copies: int) -> tuple[Side | None, str]:
    """``copies`` systems sharing the request's users evenly; with fewer users than copies the others wait (and draw power)."""
    each = -(-request.batch // copies)
    try:
        system = make(replace(request, batch=each))
    except InputError as error:
        return None, str(error)
    return copies_of(system, copies, request.batch), ""  # users do not always divide evenly


@dataclass(frozen=True)
class Crossover:
    """From ``batch`` users on the GPUs are the better choice; None where they never take over (``always`` says more)."""

    prompt: int
    measure: str
    batch: float | None
    always: str
    gpus: str = "the GPUs"

    def sentence(self) -> str:
        """For people."""
        what = MEASURES[self.measure]
        if self.batch is None:
            return f"prompt {self.prompt}: {what}, {self.always}"
        return f"prompt {self.prompt}: {what}, {self.gpus} win from about {self.batch:.0f} users on"


def crossovers(cells: Sequence[Cell]) -> list[Crossover]:
    """Where the cost per token of the two sides crosses for good, for every prompt length and measure, with the chosen engine
    and with the ideal one."""
    sides = {"cluster": "the GPUs", "ideal": "ideal GPUs"}
    crossings = []
    for prompt in sorted({cell.prompt for cell in cells}):
        for side, name in sides.items():
            line = sorted((c for c in cells if c.prompt == prompt and c.wafer and getattr(c, side)), key=lambda c: c.batch)
            if side == "ideal" and not line:
                continue
            for measure in MEASURES:
                ratios = [(c.batch, log2(getattr(c.wafer, measure) / getattr(getattr(c, side), measure))) for c in line]
                crossings.append(_crossover(prompt, measure, ratios, name))
    return crossings


def _crossover(prompt: int, measure: str, ratios: list[tuple[int, float]], gpus: str = "the GPUs") -> Crossover:
    """Logarithm of wafer cost over GPU cost against batch: the last change from negative to positive counts."""
    if not ratios:
        return Crossover(prompt, measure, None, "no batch fits both sides", gpus)
    if ratios[-1][1] <= 0:
        always = "throughout the sweep" if all(ratio <= 0 for _, ratio in ratios) else "at the largest batch"
        against = "" if gpus == "the GPUs" else f" against {gpus}"
        return Crossover(prompt, measure, None, f"the wafers win{against} {always}", gpus)
    for (low, before), (high, after) in zip(reversed(ratios[:-1]), reversed(ratios[1:]), strict=True):
        if before < 0 <= after:
            share = -before / (after - before)
            return Crossover(prompt, measure, 2 ** (log2(low) + share * (log2(high) - log2(low))), "", gpus)
    return Crossover(prompt, measure, None, f"{gpus} win throughout the sweep", gpus)
