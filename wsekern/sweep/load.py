"""Points that ask for a load: requests that arrive at a rate or as in a trace, served one by one on either side."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from wsekern.compare.load import MOST_SYSTEMS
from wsekern.compare.load_comparison import Load, LoadComparison, compare_load, poisson_load, trace_load
from wsekern.compare.load_report import LoadReport, Slo
from wsekern.compare.load_sides import LoadSides
from wsekern.compare.pairing import Pairing
from wsekern.compare.verdict import times_the_cost
from wsekern.errors import InputError
from wsekern.sweep.axes import Value
from wsekern.workload.request import Request

LOAD: dict[str, Value | None] = {"rate": None, "trace": None, "trace_scale": 1.0, "requests": None, "seed": 0,
                                 "slo_share": 0.99, "systems": 1}
"""Inputs of a load with what they are unless said, as options of ``wsekern compare``."""

REQUESTS = 2000
"""Requests of a rate unless said."""

LENGTHS = ("prompt", "output")
"""What a trace says itself."""


@dataclass(frozen=True)
class AskedLoad:
    """Requests at a ``rate`` a second or of a ``trace``, and how many ``systems`` share them, None for as many as keep the
    objective of which ``slo_share`` of the requests should keep the times; ``users`` at once for whom is placed, if said."""

    rate: float | None
    trace: str | None
    trace_scale: float
    requests: int | None
    seed: int
    slo_share: float
    systems: int | None
    users: int | None

    def requests_of(self, request: Request) -> Load:
        """The requests; those of a rate are as long as ``request``."""
        if self.trace is not None:
            return _trace(self.trace, self.requests, self.trace_scale, trace_hash(self.trace))
        assert self.rate is not None
        return poisson_load(self.rate, self.requests or REQUESTS, request.prompt, request.output, self.seed)


@lru_cache(maxsize=4)
def _trace(path: str, requests: int | None, scale: float, content: str) -> Load:
    """A trace that was read before, unless its file has changed."""
    return trace_load(path, requests, scale)


@lru_cache(maxsize=64)
def trace_hash(path: str) -> str:
    """Of the file of a trace."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError as error:
        raise InputError(f"cannot read the trace {path}: {error.strerror}") from None


def load_of(inputs: Mapping[str, Value]) -> AskedLoad | None:
    """The load that the ``inputs`` of a point ask for; None where they ask for none."""
    rate, trace = inputs.get("rate"), inputs.get("trace")
    if rate is None and trace is None:
        stated = [name for name in LOAD if name in inputs]
        if stated:
            raise InputError(f"{' and '.join(stated)} {'goes' if len(stated) == 1 else 'go'} with a load: give rate or trace")
        return None
    if rate is not None and trace is not None:
        raise InputError("rate goes without trace: requests arrive at random, or as in a trace")
    wrong = [name for name in (("trace_scale",) if trace is None else ("seed", *LENGTHS)) if name in inputs]
    if wrong:
        other = "trace" if trace is None else "rate: a trace says itself when and how long its requests are"
        raise InputError(f"{' and '.join(wrong)} {'goes' if len(wrong) == 1 else 'go'} with {other}")
    given: dict[str, Any] = LOAD | {name: value for name, value in inputs.items() if name in LOAD}
    return AskedLoad(**given | {"systems": _systems(given["systems"], inputs), "users": inputs.get("batch")})


def _systems(value: Value, inputs: Mapping[str, Value]) -> int | None:
    if value == "auto":
        if inputs.get("slo_ttft") is None and inputs.get("slo_tpot") is None:
            raise InputError("systems is 'auto', which wants slo_ttft or slo_tpot, an objective that the systems should keep")
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_SYSTEMS:
        raise InputError(f"systems is {value!r}, expected \"auto\" or a whole number of 1 to {MOST_SYSTEMS:,}")
    return value


def sides_of(pairing: Pairing, request: Request, asked: AskedLoad) -> LoadSides:
    """Both sides of a point, checked as far as no load could change."""
    sides = LoadSides(config=pairing.config, machine=pairing.machine, wafers=pairing.wafers, cluster=pairing.cluster,
                      precision=request.precision, profile=pairing.profile, engine_level=pairing.engine_level,
                      serving=pairing.serving, users=asked.users)
    sides.check()
    return sides


def serve(pairing: Pairing, request: Request, asked: AskedLoad, slo: tuple[float | None, float | None]) -> LoadComparison:
    """The load on both sides."""
    sides = sides_of(pairing, request, asked)
    return compare_load(pairing.config, asked.requests_of(request), sides.wafers_for, sides.makers(),
                        Slo(time_to_first_token_seconds=slo[0], time_per_output_token_seconds=slo[1], share=asked.slo_share),
                        asked.systems, sides.forced)


def load_figures(report: LoadReport) -> dict[str, Any]:
    """What a record keeps of a side: all figures but those over time."""
    data = report.to_dict()
    kept = {} if report.slo.empty else {"keeps_slo": report.keeps_objective}
    return {**{name: value for name, value in data.items() if name not in ("over_time", "facts", "assumptions", "preemptions")},
            "keeps_up": report.keeps_up, **kept}


def load_ratios(wafer: LoadReport | None, cluster: LoadReport | None) -> dict[str, float]:
    """How many times better the wafers are, by the names of a comparison without load; times are means over the requests."""
    if wafer is None or cluster is None:
        return {}
    better = {"time_to_first_token": _times(wafer, cluster, "time_to_first_token_seconds"),
              "request_seconds": _times(wafer, cluster, "request_seconds"),
              "tokens_per_second_per_user": _times(wafer, cluster, "time_per_output_token_seconds"),
              "tokens_per_second": _rate(wafer) / _rate(cluster),
              "tokens_per_joule": times_the_cost(cluster.joules_per_token, wafer.joules_per_token),
              "tokens_per_usd": times_the_cost(cluster.usd_per_million_tokens, wafer.usd_per_million_tokens)}
    return {name: value for name, value in better.items() if value is not None}


def _rate(report: LoadReport) -> float:
    """Output tokens a second."""
    return report.outcome.output_tokens / report.seconds


def _times(wafer: LoadReport, cluster: LoadReport, name: str) -> float | None:
    """Mean times of the cluster over those of the wafers; None where no request has such a time."""
    one, other = wafer.summary(name), cluster.summary(name)
    return None if one is None or other is None else times_the_cost(other["mean"], one["mean"])
