"""The same load on wafers and on clusters, side by side, and the verdict in sentences."""

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from wsekern.compare.beside import Beside, SideBySide, attempt, reason_of, refuse_all, served
from wsekern.compare.load import Maker, Needed, cheapest, cheapest_needed
from wsekern.compare.load_report import LoadReport, Slo
from wsekern.compare.load_verdict import load_sentences
from wsekern.errors import BudgetError, InputError
from wsekern.queueing import Traffic
from wsekern.queueing.trace import read_trace
from wsekern.queueing.traffic import poisson
from wsekern.workload.config import ModelConfig


@dataclass(frozen=True)
class Load:
    """Requests and where they come from: ``source`` in words, ``facts`` as plain data, ``notes`` of what was done to them."""

    traffic: Traffic
    source: str
    facts: dict[str, Any]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data; lengths are means over the requests."""
        traffic = self.traffic
        return {**self.facts, "requests": len(traffic), "prompt_tokens": float(traffic.prompt.mean()),
                "output_tokens": float(traffic.output.mean()), "notes": list(self.notes)}

    def words(self) -> str:
        """For people."""
        traffic = self.traffic
        return (f"{len(traffic):,} request{'s' if len(traffic) > 1 else ''} {self.source}, on average "
                f"{traffic.prompt.mean():,.0f} tokens in and {traffic.output.mean():,.0f} out")


def poisson_load(rate: float, requests: int, prompt: int, output: int, seed: int = 0) -> Load:
    """``requests`` of one size that arrive independently, ``rate`` of them a second."""
    if not 0.0 < rate < float("inf"):
        raise InputError(f"rate is {rate}, expected a finite number of requests per second above 0")
    return Load(poisson(rate, requests, prompt, output, seed=seed), f"arriving at random, {rate:g} a second",
                {"requests_per_second": rate, "seed": seed})


def trace_load(path: str | os.PathLike[str], requests: int | None = None, scale: float = 1.0) -> Load:
    """The first ``requests`` (None: all) of the trace in ``path``, ``scale`` times as fast as they arrived."""
    trace = read_trace(path, scale)
    traffic, notes = trace.traffic, trace.notes()
    if requests is not None and requests < len(traffic):
        notes.append(f"the first {requests:,} of {len(traffic):,} requests of the trace")
        traffic = Traffic(traffic.arrival_seconds[:requests], traffic.prompt[:requests], traffic.output[:requests])
    faster = f", {scale:g} times as fast" if scale != 1.0 else ""
    return Load(traffic, f"of {os.path.basename(path)}{faster}", {"trace": os.fspath(path), "trace_scale": scale}, tuple(notes))


def within_context(load: Load, config: ModelConfig) -> Load:
    """``load`` without the requests that are longer than the model's context, which no side can answer."""
    traffic = load.traffic
    short = traffic.prompt + traffic.output <= config.max_context
    if short.all():
        return load
    if not short.any():
        raise InputError(f"no request fits the context of {config.max_context:,} tokens of {config.name}: the shortest has "
                         f"{(traffic.prompt + traffic.output).min():,}")
    kept = Traffic(traffic.arrival_seconds[short], traffic.prompt[short], traffic.output[short])
    note = (f"{len(traffic) - len(kept):,} of {len(traffic):,} requests left out: longer than the context of "
            f"{config.max_context:,} tokens of {config.name}")
    return replace(load, traffic=kept, notes=(*load.notes, note))


@dataclass(frozen=True, kw_only=True, repr=False)
class LoadComparison(SideBySide[LoadReport]):
    """Wafers and one cluster or several under the same load. A side is None where it cannot serve it, and ``not_served`` says
    why, by the side's name.

    ``needed`` says how many systems keep the objective, by side, where that was asked.
    """

    NAMES = ("wafer", "cluster")

    model: str
    load: Load
    slo: Slo
    needed: dict[str, Needed] = field(default_factory=dict)

    def reports(self) -> dict[str, LoadReport]:
        """The sides that serve the load, by name."""
        return {name: report for name, report in self.sides().items() if report is not None}

    def sentences(self) -> list[str]:
        """The comparison in words, the verdict last."""
        return load_sentences(self.reports(), self.needed, self.slo)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; keys carry units. Several clusters are a list."""
        slo = {"time_to_first_token_seconds": self.slo.time_to_first_token_seconds,
               "time_per_output_token_seconds": self.slo.time_per_output_token_seconds, "share": self.slo.share}
        return {"model": self.model, "load": self.load.to_dict(), "slo": None if self.slo.empty else slo,
                **self.data(LoadReport.to_dict),
                "systems_needed": {name: needed.to_dict() for name, needed in self.needed.items()},
                "not_served": self.not_served, "reasons": self.sentences()}


def compare_load(config: ModelConfig, load: Load, wafers: Maker, clusters: Maker | Mapping[str, Maker], slo: Slo,
                 systems: int | None = 1, forced: Collection[str] = (),
                 on_run: Callable[[], None] = lambda: None) -> LoadComparison:
    """``load`` on wafers and on one cluster, or on several by their names.

    On ``systems`` systems of the :func:`cheapest` kind of each side, or (None) on as many as keep the objective. ``on_run`` is
    called after each load that was run. :class:`InputError` where no side can serve the load, :class:`BudgetError` where
    sizes are ``forced`` (of the ``wafer``, of every ``cluster``) and too small for it.
    """
    load = within_context(load, config)
    makers = clusters if isinstance(clusters, Mapping) else {"cluster": clusters}
    serve = partial(_serve, traffic=load.traffic, slo=slo, systems=systems, on_run=on_run)
    first, *rest = tried = [attempt(serve, make) for make in (wafers, *makers.values())]
    if "wafer" in forced:
        refuse_all([first], BudgetError)
    if "cluster" in forced:
        refuse_all(rest, BudgetError)
    refuse_all(tried)
    reports = [one if isinstance(one, InputError) else one[1] for one in tried]
    beside = tuple(Beside.of(name, cluster=report) for name, report in zip(makers, reports[1:], strict=True))
    found = LoadComparison(model=config.name, load=load, slo=slo, wafer=served(reports[0]), clusters=beside,
                           why_no_wafers=reason_of(first))
    needed = {name: one[0] for name, one in zip(found.sides(), tried, strict=True) if not isinstance(one, InputError)}
    return found if systems is not None else replace(found, needed=needed)


def _serve(make: Maker, traffic: Traffic, slo: Slo, systems: int | None,
           on_run: Callable[[], None]) -> tuple[Needed | None, LoadReport]:
    """One side; where ``systems`` is None with how many of them are needed."""
    if systems is None:
        return cheapest_needed(make(traffic), traffic, slo, on_run=on_run)
    return None, cheapest(make(traffic), traffic, systems, slo, on_run)
