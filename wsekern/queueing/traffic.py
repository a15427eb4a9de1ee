"""Requests that arrive at a system: when, how long a prompt, how long an answer."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsekern.errors import InputError
from wsekern.shown import Shown

SPREAD = 0.2
"""Answers of users who take turns vary evenly by this share to either side of their mean, so that users do not go in step."""

LATEST = 4e9
"""Seconds of the latest arrival, some 127 years: a double holds them to half a microsecond."""


@dataclass(frozen=True, eq=False, repr=False)
class Traffic(Shown):
    """``n`` requests in order of arrival.

    Without ``users`` every request arrives at its own time (an open queue). With ``users`` (a closed queue) the first ``users``
    requests arrive at their own times and each further one ``think_seconds`` after the next answer of any user is complete.
    """

    arrival_seconds: NDArray[np.float64]  # [n], ascending; in a closed queue only the first ``users`` count
    prompt: NDArray[np.int64]  # [n] tokens
    output: NDArray[np.int64]  # [n] tokens, at least 1
    users: int | None = None
    think_seconds: float = 0.0

    def __post_init__(self) -> None:
        sizes = {len(self.arrival_seconds), len(self.prompt), len(self.output)}
        if sizes == {0} or len(sizes) != 1:
            raise InputError(f"traffic has {len(self.arrival_seconds)} arrivals, {len(self.prompt)} prompts and "
                             f"{len(self.output)} answers: expected as many of each, at least one")
        if not np.all(np.isfinite(self.arrival_seconds)) or np.any(np.diff(self.arrival_seconds) < 0):
            raise InputError("arrivals are not finite numbers in ascending order")
        latest = np.abs(self.arrival_seconds).max()
        if latest > LATEST:
            raise InputError(f"a request arrives after {latest:.3g} s, expected at most {LATEST:.3g}: beside longer times the "
                             "time of a token is lost")
        if self.prompt.min() < 1 or self.output.min() < 1:
            raise InputError("a request has an empty prompt or answer: expected at least 1 token of each")
        if self.users is not None and not 1 <= self.users <= len(self.prompt):
            raise InputError(f"users is {self.users}, expected 1 to {len(self.prompt)}, the number of requests")

    def __len__(self) -> int:
        return len(self.prompt)

    def part(self, own: NDArray[np.bool_]) -> "Traffic":
        """The requests that ``own`` [n] marks, and of users who take turns those whose first request is among them."""
        users = None if self.users is None else int(own[: self.users].sum())
        return Traffic(self.arrival_seconds[own], self.prompt[own], self.output[own], users, self.think_seconds)


def turns(users: int, prompt: int, output: int, requests: int, *, think_seconds: float = 0.0, spread: float = SPREAD,
          over_seconds: float = 0.0, seed: int = 0) -> Traffic:
    """``users`` who take turns until ``requests`` are answered. Answers vary evenly by ``spread`` to either side of ``output``;
    the first requests arrive evenly spread over ``over_seconds``, all at once by default."""
    lengths = np.random.default_rng(seed).uniform(output * (1.0 - spread), output * (1.0 + spread), requests)
    starts = np.minimum(np.arange(requests) / users, 1.0) * over_seconds
    return Traffic(starts, np.full(requests, prompt, np.int64), np.maximum(1, np.rint(lengths)).astype(np.int64), users,
                   think_seconds)


def poisson(rate: float, requests: int, prompt: int, output: int, *, seed: int = 0) -> Traffic:
    """``requests`` that arrive independently, ``rate`` of them a second, all of the same lengths."""
    gaps = np.random.default_rng(seed).exponential(1.0 / rate, requests)
    return Traffic(np.cumsum(gaps), np.full(requests, prompt, np.int64), np.full(requests, output, np.int64))
