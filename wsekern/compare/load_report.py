"""What came of a load, by the same code for wafers and GPUs: times, share within the objective, queues, energy, cost."""

from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.errors import InputError
from wsekern.queueing import Outcome
from wsekern.queueing.over_time import mean_present, most_present

INTERVALS = 200
"""Points of the series over time."""
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
DRAIN = 0.05
"""Share of the time of all arrivals after which a system that keeps up has answered the last of them."""
GROWN = 3.0
"""How many times longer than the first tenth of the requests the last tenth takes at most on a system that keeps up."""
TIMES = ("time_to_first_token_seconds", "time_per_output_token_seconds", "request_seconds")
"""What a user waits for."""


@dataclass(frozen=True, kw_only=True)
class Slo:
    """A service level objective: ``share`` of the requests have their first token within ``time_to_first_token_seconds`` and
    each further one, on average over the answer, within ``time_per_output_token_seconds``; None: no bound."""

    time_to_first_token_seconds: float | None = None
    time_per_output_token_seconds: float | None = None
    share: float = 0.99

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise InputError(f"the share of requests within the SLO is {self.share}, expected more than 0 and at most 1")
        for seconds in (self.time_to_first_token_seconds, self.time_per_output_token_seconds):
            if seconds is not None and not 0.0 < seconds < float("inf"):
                raise InputError(f"a time of the SLO is {seconds}, expected a finite number of seconds above 0")

    @property
    def empty(self) -> bool:
        """Whether it bounds nothing."""
        return self.time_to_first_token_seconds is None and self.time_per_output_token_seconds is None

    def first_kept(self, outcome: Outcome) -> NDArray[np.bool_]:
        """[n] whether a request's first token came in time."""
        return _within(outcome.time_to_first_token, self.time_to_first_token_seconds)

    def rest_kept(self, outcome: Outcome) -> NDArray[np.bool_]:
        """[n] whether a request's further tokens came in time, as they do where there are none."""
        kept = np.ones(len(outcome.traffic), bool)
        kept[outcome.traffic.output > 1] = _within(outcome.time_per_output_token, self.time_per_output_token_seconds)
        return kept

    def kept(self, outcome: Outcome) -> NDArray[np.bool_]:
        """[n] whether a request had all its tokens in time."""
        return self.first_kept(outcome) & self.rest_kept(outcome)

    def words(self) -> str:
        """For people."""
        parts = []
        if self.time_to_first_token_seconds is not None:
            parts.append(f"first token within {self.time_to_first_token_seconds:g} s")
        if self.time_per_output_token_seconds is not None:
            parts.append(f"each further one within {self.time_per_output_token_seconds:g} s")
        return " and ".join(parts)


def _within(times: NDArray[np.float64], most: float | None) -> NDArray[np.bool_]:
    return np.ones(len(times), bool) if most is None else times <= most


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """One side under a load: ``systems`` alike, together drawing ``watts`` on average and costing ``usd_per_hour``.

    ``outcome`` is that of all requests on all of them. Tokens are output tokens where nothing else is said; joules and dollars
    are those of the whole run, idle time included, so that each carries its share of the prompts.
    """

    system: str
    """Name of one of the systems."""
    systems: int
    outcome: Outcome
    watts: float
    usd_per_hour: float
    slo: Slo = Slo()
    facts: dict[str, Any] = field(default_factory=dict)
    assumptions: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of all systems."""
        return f"{self.systems} x ({self.system})" if self.systems > 1 else self.system

    @property
    def seconds(self) -> float:
        """From the first arrival to the last token."""
        return self.outcome.seconds

    @property
    def offered_requests_per_second(self) -> float | None:
        """Mean rate of the arrivals; None where all arrive at once, or so close together that no number holds the rate."""
        arrival = self.outcome.arrival_seconds
        span = float(arrival.max() - arrival.min())
        rate = (len(arrival) - 1) / span if span > 0.0 else inf
        return rate if rate < inf else None

    @property
    def drain_seconds(self) -> float:
        """From the last arrival to the last token: long where a queue has grown to the end."""
        return float(self.outcome.finish_seconds.max() - self.outcome.arrival_seconds.max())

    @property
    def utilisation(self) -> float:
        """Share of the time in which a system works, on average over the systems."""
        return self.outcome.busy_seconds / (self.systems * self.seconds)

    @property
    def joules(self) -> float:
        """Energy of all systems over the run."""
        return self.watts * self.seconds

    @property
    def usd(self) -> float:
        """Cost of all systems over the run."""
        return self.usd_per_hour * self.seconds / 3600.0

    @property
    def joules_per_request(self) -> float:
        """Energy of one request."""
        return self.joules / len(self.outcome.traffic)

    @property
    def joules_per_token(self) -> float:
        """Energy of one output token, its share of the prompt included."""
        return self.joules / self.outcome.output_tokens

    @property
    def usd_per_million_tokens(self) -> float:
        """Cost of a million output tokens, their share of the prompts included."""
        return self.usd / self.outcome.output_tokens * 1e6

    @property
    def share_kept(self) -> float:
        """Share of requests that kept the objective; 1 where there is none."""
        return float(self.slo.kept(self.outcome).mean())

    @property
    def keeps_objective(self) -> bool:
        """Whether enough requests kept it."""
        return self.share_kept >= self.slo.share

    @property
    def keeps_up(self) -> bool:
        """Whether the queue does not grow to the end: False where both :data:`DRAIN` and :data:`GROWN` are exceeded."""
        times, arrival = self.outcome.request_time, self.outcome.arrival_seconds
        tenth = max(1, len(times) // 10)
        grown = times[-tenth:].mean() > GROWN * times[:tenth].mean()
        return not (grown and self.drain_seconds > DRAIN * float(arrival.max() - arrival.min()))

    @property
    def succeeds(self) -> bool:
        """Whether the objective is kept or, without one, the system keeps up."""
        return self.keeps_up if self.slo.empty else self.keeps_objective

    def times(self, name: str) -> NDArray[np.float64]:
        """[n] what one of :data:`TIMES` was for each request; per output token only requests with more than one count."""
        outcome = self.outcome
        return {TIMES[0]: outcome.time_to_first_token, TIMES[1]: outcome.time_per_output_token,
                TIMES[2]: outcome.request_time}[name]

    def summary(self, name: str) -> dict[str, float] | None:
        """Mean, quantiles and largest value of :meth:`times`; None where no request has such a time."""
        times = self.times(name)
        if not len(times):
            return None
        quantiles = np.quantile(times, list(QUANTILES.values()))
        return {"mean": float(times.mean()), **dict(zip(QUANTILES, map(float, quantiles), strict=True)),
                "max": float(times.max())}

    def shares_within(self) -> dict[str, float | None]:
        """Share of requests that kept each part of the objective and all of it; None for a part without a bound."""
        slo, outcome = self.slo, self.outcome
        return {
            "time_to_first_token": None if slo.time_to_first_token_seconds is None else _share(slo.first_kept(outcome)),
            "time_per_output_token": (None if slo.time_per_output_token_seconds is None
                                      else _share(slo.rest_kept(outcome))),
            "both": None if slo.empty else _share(slo.kept(outcome))}

    def goodput(self) -> dict[str, float] | None:
        """Requests, and their output tokens, within the objective, per second; None without a bound."""
        if self.slo.empty:
            return None
        kept = self.slo.kept(self.outcome)
        return {"requests_per_second": float(kept.sum()) / self.seconds,
                "tokens_per_second": float(self.outcome.traffic.output[kept].sum()) / self.seconds}

    def over_time(self) -> dict[str, list[float]]:
        """Requests in the system and waiting for their first token: means in intervals, whose ends are ``seconds`` after the
        first arrival."""
        outcome = self.outcome
        start = float(outcome.arrival_seconds.min())
        edges = start + np.linspace(0.0, float(outcome.finish_seconds.max()) - start, INTERVALS + 1)
        return {"seconds": (edges[1:] - start).tolist(),
                "requests_in_system": mean_present(outcome.arrival_seconds, outcome.finish_seconds, edges).tolist(),
                "requests_waiting": mean_present(outcome.arrival_seconds, outcome.first_token_seconds, edges).tolist()}

    def queues(self) -> dict[str, dict[str, float]]:
        """Mean and largest number of requests in the system, and of those waiting for their first token."""
        outcome = self.outcome
        ends = {"requests_in_system": outcome.finish_seconds, "requests_waiting": outcome.first_token_seconds}
        return {name: {"mean": float((end - outcome.arrival_seconds).sum()) / self.seconds,
                       "max": most_present(outcome.arrival_seconds, end)} for name, end in ends.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; keys carry units."""
        outcome, requests, seconds = self.outcome, len(self.outcome.traffic), self.seconds
        return {
            "name": self.name, "system": self.system, "systems": self.systems, "requests": requests, "seconds": seconds,
            "offered_requests_per_second": self.offered_requests_per_second, "requests_per_second": outcome.requests_per_second,
            "tokens_per_second": outcome.output_tokens / seconds,
            "prompt_tokens_per_second": int(outcome.traffic.prompt.sum()) / seconds,
            **{name: self.summary(name) for name in TIMES},
            "share_within_slo": self.shares_within(), "goodput": self.goodput(), **self.queues(),
            "drain_seconds": self.drain_seconds, "utilisation": self.utilisation, "preemptions": outcome.preemptions,
            "watts": self.watts, "joules": self.joules, "joules_per_request": self.joules_per_request,
            "joules_per_token": self.joules_per_token, "usd_per_hour": self.usd_per_hour, "usd": self.usd,
            "usd_per_request": self.usd / requests, "usd_per_million_tokens": self.usd_per_million_tokens,
            "over_time": self.over_time(), "facts": self.facts, "assumptions": self.assumptions}


def _share(kept: NDArray[np.bool_]) -> float:
    return float(kept.mean())


def percent(share: float) -> str:
    """A share with one digit behind the point; what is below 1 never reads as 100 %."""
    return f"{np.floor(1e3 * share + 1e-9) / 10:g} %"
