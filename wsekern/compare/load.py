"""Real load: every request through one system, or through several that share them, and how many systems it takes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wsekern.compare.load_report import LoadReport, Slo, percent
from wsekern.errors import InputError
from wsekern.queueing import Outcome, Traffic

MOST_SYSTEMS = 4096
"""Where the search for enough systems gives up."""

_FIRST_GAP = 100.0  # seconds between requests that shall not meet; ten times as long where they do


class LoadSystem(Protocol):
    """What serves requests event by event: wafers or GPUs."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def usd_per_hour(self) -> float:
        """Price, whatever the load."""

    def simulate(self, traffic: Traffic) -> Outcome:
        """Serve all requests, which arrive at their own times."""

    def watts(self, outcome: Outcome) -> float:
        """Mean power over :attr:`Outcome.seconds`."""


@dataclass(frozen=True)
class Kind:
    """A kind of system that may serve a load, with what it is as plain data, and what its figures take for granted."""

    system: LoadSystem
    facts: dict[str, Any] = field(default_factory=dict)
    assumptions: list[str] = field(default_factory=list)


Maker = Callable[[Traffic], Iterable[Kind]]
"""Makes the kinds of system that may serve requests, in order of price."""


@dataclass(frozen=True)
class Needed:
    """How many systems keep the objective: ``systems``, and one less does not; None where no number does, for ``reason``."""

    systems: int | None
    lone_share: float
    """Share of the requests that keep the objective where each is alone: no number of systems gives more."""
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"systems": self.systems, "share_within_slo_alone": self.lone_share, "reason": self.reason}


def run_load(kind: Kind, traffic: Traffic, systems: int, slo: Slo) -> LoadReport:
    """``traffic`` on ``systems`` systems alike. Requests go to them in turn, in order of arrival (round robin)."""
    if not 1 <= systems <= len(traffic):
        raise InputError(f"systems is {systems}, expected 1 to {len(traffic):,}, the number of requests")
    system = kind.system
    owners = np.arange(len(traffic)) % systems
    if traffic.users is not None and systems > 1:
        raise InputError("users who take turns cannot be shared among systems: give each system its own users")
    outcomes = [system.simulate(traffic.part(owners == number)) for number in range(systems)]
    whole = Outcome.joined(traffic, owners, outcomes)
    watts = sum(system.watts(replace(outcome, window_seconds=whole.seconds)) for outcome in outcomes)
    return LoadReport(system=system.name, systems=systems, outcome=whole, watts=watts,
                      usd_per_hour=systems * system.usd_per_hour, slo=slo, facts=kind.facts,
                      assumptions=[*_shared(systems), *kind.assumptions])


def _shared(systems: int) -> list[str]:
    """How systems share the requests, in words."""
    return [f"requests go to the {systems} systems in turn (round robin)"] if systems > 1 else []


def lone_outcome(system: LoadSystem, traffic: Traffic) -> tuple[Outcome, NDArray[np.intp]]:
    """Every request on its own, none of them meeting another: an outcome of all different requests, and [n] which of them
    each request of ``traffic`` is."""
    pairs, which = np.unique(np.stack([traffic.prompt, traffic.output], axis=1), axis=0, return_inverse=True)
    gap = _FIRST_GAP
    while True:
        outcome = system.simulate(Traffic(np.arange(len(pairs)) * gap, pairs[:, 0], pairs[:, 1]))
        if not np.any(outcome.finish_seconds[:-1] > outcome.arrival_seconds[1:]):
            return outcome, which.reshape(-1)
        gap *= 10.0


def systems_needed(kind: Kind, traffic: Traffic, slo: Slo, most: int = MOST_SYSTEMS, first: int = 1,
                   on_run: Callable[[], None] = lambda: None) -> tuple[Needed, LoadReport]:
    """The fewest systems, up to ``most``, with which the objective is kept, and the report of that many (of ``first`` where a
    lone request misses it): doubled from ``first`` on until it is kept, then halved in between. ``on_run`` is called after
    each load that was run."""
    if slo.empty:
        raise InputError("the number of systems depends on an objective: give a time to the first token or per output token")

    def run(systems: int) -> LoadReport:
        report = run_load(kind, traffic, systems, slo)
        on_run()
        return report

    most = min(most, len(traffic))
    low, report = 0, run(min(first, most))
    outcome, which = lone_outcome(kind.system, traffic)
    alone = float(slo.kept(outcome)[which].mean())
    if alone < slo.share:
        return Needed(None, alone, f"of requests that are alone on it, {percent(alone)} keep the objective"), report
    while not report.keeps_objective and report.systems < most:
        low = report.systems
        report = run(min(most, 2 * low))
    if not report.keeps_objective:
        return Needed(None, alone, f"{most:,} systems do not suffice, and no more are tried"), report
    while report.systems - low > 1:
        middle = run((low + report.systems) // 2)
        low, report = (low, middle) if middle.keeps_objective else (middle.systems, report)
    return Needed(report.systems, alone), report


def cheapest(kinds: Iterable[Kind], traffic: Traffic, count: int, slo: Slo,
             on_run: Callable[[], None] = lambda: None) -> LoadReport:
    """The load on ``count`` systems of the cheapest kind in ``kinds`` (in order of price) that keeps the objective, or keeps
    up where there is none; of equally cheap ones the kind with the shortest mean request time. Where none does, the kind with
    the largest share of requests within the objective, of equals with the shortest mean request time."""
    best: LoadReport | None = None
    refused = InputError("there is no system to serve the load")
    for kind in kinds:
        if best is not None and best.succeeds and count * kind.system.usd_per_hour > best.usd_per_hour:
            break
        try:
            report = run_load(kind, traffic, count, slo)
        except InputError as error:  # a request that does not fit it
            refused = error
            continue
        on_run()
        best = report if best is None or _order(report) < _order(best) else best
    if best is None:
        raise refused
    return best


def _order(report: LoadReport) -> tuple[float, ...]:
    """Less is better."""
    time = float(report.outcome.request_time.mean())
    return (0.0, report.usd_per_hour, time) if report.succeeds else (1.0, -report.share_kept, time)


def cheapest_needed(kinds: Iterable[Kind], traffic: Traffic, slo: Slo, most: int = MOST_SYSTEMS,
                    on_run: Callable[[], None] = lambda: None) -> tuple[Needed, LoadReport]:
    """As many systems as are needed of the kind in ``kinds`` of which they cost least together, as :func:`cheapest` orders
    them."""
    best: tuple[Needed, LoadReport] | None = None
    refused = InputError("there is no system to serve the load")
    for kind in kinds:
        enough = best is not None and best[0].systems is not None
        price = kind.system.usd_per_hour
        bound = min(most, int(best[1].usd_per_hour / price * (1.0 + 1e-9))) if enough and price else most
        if bound < 1:
            break
        try:
            found = systems_needed(kind, traffic, slo, bound, bound if enough else 1, on_run)
        except InputError as error:  # a request that does not fit it
            refused = error
            continue
        if best is None or _order_needed(*found) < _order_needed(*best):
            best = found
    if best is None:
        raise refused
    return best


def _order_needed(needed: Needed, report: LoadReport) -> tuple[float, ...]:
    """Less is better; of kinds that no number of is enough, that which comes nearest alone."""
    if needed.systems is not None:
        return _order(report)
    return 2.0, -needed.lone_share, float(report.outcome.request_time.mean())
