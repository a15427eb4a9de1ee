"""One system and how it serves a request, in words that fit wafers and GPUs alike."""

from dataclasses import dataclass, field

SHARES = ("compute", "memory", "communication", "overhead")
"""Why a token takes its time, the same four words on both sides."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """A system and how it serves the request. Times in seconds, energy in joules, money in US dollars."""

    name: str
    time_to_first_token_seconds: float
    time_per_output_token_seconds: float
    tokens_per_second_per_user: float
    tokens_per_second: float
    watts: float
    joules_per_token: float
    usd_per_million_tokens: float
    memory_used_bytes: float
    memory_available_bytes: float
    shares: dict[str, float]  # of the time per output token; sums to 1
    facts: dict[str, object] = field(default_factory=dict)
    assumptions: list[str] = field(default_factory=list)
