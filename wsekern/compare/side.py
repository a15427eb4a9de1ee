"""One system and how it serves the users, in words that fit wafers and GPUs alike."""

from dataclasses import dataclass, field, replace
from typing import Any

from wsekern.shown import Shown
from wsekern.workload.measure import Measure

SHARES = ("compute", "memory", "communication", "overhead")
"""Why a token takes its time, the same four words on both sides."""

FIGURES = (
    "name", "time_to_first_token_seconds", "time_per_output_token_seconds", "request_seconds",
    "lone_time_to_first_token_seconds", "lone_time_per_output_token_seconds", "tokens_per_second_per_user",
    "requests_per_second", "tokens_per_second", "prompt_tokens_per_second", "watts", "joules_per_token", "joules_per_request",
    "usd_per_hour", "usd_per_million_tokens", "usd_per_request", "users", "think_seconds")
"""What is said of either side of every comparison."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Side(Shown):
    """A system, or several alike that share the users, under the load of ``measure``; all totals follow from that.

    Times in seconds, energy in joules, money in US dollars. The figures of a lone user say what the same system does for one
    user at a time.
    """

    name: str
    measure: Measure
    lone_time_to_first_token_seconds: float
    lone_time_per_output_token_seconds: float
    watts: float
    """Drawn at this load."""
    rated_watts: float
    """For which power must be provisioned."""
    usd_per_hour: float
    memory_used_bytes: float
    memory_available_bytes: float
    shares: dict[str, float]  # of the time per output token; sums to 1
    facts: dict[str, Any] = field(default_factory=dict)
    assumptions: list[str] = field(default_factory=list)
    bounds: "tuple[Side, Side] | None" = None
    """With the shortest and with the longest times that it may have, where its machine was not measured."""

    @property
    def users(self) -> float:
        """Who take turns, on all systems together."""
        return self.measure.users

    @property
    def think_seconds(self) -> float:
        """Between an answer and the next request of the same user."""
        return self.measure.think_seconds

    @property
    def time_to_first_token_seconds(self) -> float:
        """Under this load, the wait for others included."""
        return self.measure.time_to_first_token_seconds

    @property
    def time_per_output_token_seconds(self) -> float:
        """Of each token after the first, under this load."""
        return self.measure.time_per_output_token_seconds

    @property
    def request_seconds(self) -> float:
        """From prompt to last token, under this load."""
        return self.measure.request_seconds

    @property
    def tokens_per_second_per_user(self) -> float:
        """Speed at which one user sees an answer grow under this load."""
        return self.measure.tokens_per_second_per_user

    @property
    def requests_per_second(self) -> float:
        """Of all users together."""
        return self.measure.requests_per_second

    @property
    def tokens_per_second(self) -> float:
        """Output tokens of all users together, the time of prompts and waiting included."""
        return self.measure.tokens_per_second

    @property
    def prompt_tokens_per_second(self) -> float:
        """Prompt tokens of all users together."""
        return self.measure.prompt_tokens_per_second

    @property
    def joules_per_token(self) -> float:
        """Energy of one output token, its share of the prompt included."""
        return self.measure.joules_per_token(self.watts)

    @property
    def joules_per_request(self) -> float:
        """Energy of one request, prompt included."""
        return self.measure.joules_per_request(self.watts)

    @property
    def usd_per_million_tokens(self) -> float:
        """Price of a million output tokens, their share of the prompts included."""
        return self.measure.usd_per_million_tokens(self.usd_per_hour)

    @property
    def usd_per_request(self) -> float:
        """Price of one request, prompt included."""
        return self.measure.usd_per_request(self.usd_per_hour)

    def figures(self) -> dict[str, Any]:
        """:data:`FIGURES` by name."""
        return {name: getattr(self, name) for name in FIGURES}

    def spread(self, figure: str) -> tuple[float, float, float]:
        """A figure, and its least and its largest value: the same where the machine was measured."""
        values = [getattr(side, figure) for side in (self, *(self.bounds or ()))]
        return values[0], min(values), max(values)

    def ranges(self) -> dict[str, list[float]]:
        """The least and the largest value of every figure that is not known better than between them."""
        spreads = {name: self.spread(name)[1:] for name in FIGURES if name != "name"} if self.bounds else {}
        return {name: [low, high] for name, (low, high) in spreads.items() if low != high}

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the figures, what they stand on, and the explanations; keys carry units."""
        return {**self.figures(), "ranges": self.ranges(), "rated_watts": self.rated_watts,
                "memory_used_bytes": self.memory_used_bytes, "memory_available_bytes": self.memory_available_bytes,
                "shares": self.shares, "facts": self.facts, "assumptions": self.assumptions}


def bounded(side: Side, factors: tuple[float, float]) -> Side:
    """``side`` whose times are known to lie between ``factors`` times its own."""
    least, most = factors
    return side if least == most else replace(side, bounds=(_times(side, least), _times(side, most)))


def _times(side: Side, factor: float) -> Side:
    """``side`` if its steps take ``factor`` times as long."""
    measure = replace(side.measure, time_to_first_token_seconds=factor * side.measure.time_to_first_token_seconds,
                      time_per_output_token_seconds=factor * side.measure.time_per_output_token_seconds)
    return replace(side, measure=measure,
                   lone_time_to_first_token_seconds=factor * side.lone_time_to_first_token_seconds,
                   lone_time_per_output_token_seconds=factor * side.lone_time_per_output_token_seconds)


def copies_of(side: Side, count: int, users: float | None = None) -> Side:
    """``count`` independent systems such as ``side`` that share ``users``; as many times its own unless given."""
    shared = replace(side.measure, users=count * side.measure.users if users is None else users)
    bounds = side.bounds and (copies_of(side.bounds[0], count, users), copies_of(side.bounds[1], count, users))
    return replace(
        side, name=side.name if count == 1 else f"{count} x ({side.name})", measure=shared, bounds=bounds,
        watts=count * side.watts, rated_watts=count * side.rated_watts, usd_per_hour=count * side.usd_per_hour,
        memory_used_bytes=count * side.memory_used_bytes, memory_available_bytes=count * side.memory_available_bytes)
