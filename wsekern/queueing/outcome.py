"""What became of the requests: when each had its first token and its last, and how busy the system was."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wsekern.queueing.traffic import Traffic
from wsekern.shown import Shown


@dataclass(frozen=True, eq=False, repr=False)
class Outcome(Shown):
    """Requests in the order of ``traffic``; absolute times in seconds from its start."""

    traffic: Traffic
    arrival_seconds: NDArray[np.float64]  # [n]; of a closed queue as they came to be
    first_token_seconds: NDArray[np.float64]  # [n]
    finish_seconds: NDArray[np.float64]  # [n]
    busy_seconds: float  # in which the system worked on prompts or answers; of several, the sum
    prompt_tokens: int  # read, those of requests that were pre-empted again each time
    output_tokens: int
    preemptions: int = 0
    window_seconds: float | None = None
    """Time over which the system is looked at, where that is not from its first arrival to its last token: one of several that
    share the requests stands idle before and after."""

    @classmethod
    def joined(cls, traffic: Traffic, owners: NDArray[np.int64], parts: Sequence["Outcome"]) -> "Outcome":
        """Of requests that several systems share: ``owners`` [n] says in which of ``parts`` each of ``traffic`` is."""
        times = np.zeros((3, len(traffic)))
        for number, part in enumerate(parts):
            times[:, owners == number] = part.arrival_seconds, part.first_token_seconds, part.finish_seconds
        return cls(traffic, *times, sum(part.busy_seconds for part in parts), sum(part.prompt_tokens for part in parts),
                   sum(part.output_tokens for part in parts), sum(part.preemptions for part in parts))

    @cached_property
    def time_to_first_token(self) -> NDArray[np.float64]:
        """[n] seconds from a request's arrival to its first token."""
        return self.first_token_seconds - self.arrival_seconds

    @cached_property
    def time_per_output_token(self) -> NDArray[np.float64]:
        """[m] mean seconds per token after the first, of the requests that have more than one."""
        more = self.traffic.output > 1
        return (self.finish_seconds - self.first_token_seconds)[more] / (self.traffic.output[more] - 1)

    @cached_property
    def request_time(self) -> NDArray[np.float64]:
        """[n] seconds from a request's arrival to its last token."""
        return self.finish_seconds - self.arrival_seconds

    @property
    def seconds(self) -> float:
        """From the first arrival to the last token, or :attr:`window_seconds`."""
        if self.window_seconds is not None:
            return self.window_seconds
        return float(self.finish_seconds.max() - self.arrival_seconds.min())

    @property
    def requests_per_second(self) -> float:
        """Answered, over all of :attr:`seconds`."""
        return len(self.traffic) / self.seconds

    @property
    def requests_in_system(self) -> float:
        """Time average of the requests that have arrived and are not complete (by Little's law rate x mean time)."""
        return float(self.request_time.sum()) / self.seconds
