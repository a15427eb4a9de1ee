"""A line of regions that all requests pass, event by event at the level of region visits.

Every output token of a user passes all regions once, then the head, and the next token can only start when it is back; a
prompt is cut into chunks that follow each other through the regions. Jobs (a chunk, or the tokens of several users that travel
together) enter the first region when it is free and never overtake.

At that gate output tokens and the prompt that came first take turns where both wait. Waiting tokens travel together, but no
more than it takes for all tokens to have a region: else those that met once would stay together, and a large group is slow. No
more than ``JAM`` chunks a region are in the line: else those of a new prompt would jam behind the slow last ones of a long one,
and tokens behind them. Requests for which the cache has no room wait outside.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsekern.errors import InputError, check_flags
from wsekern.queueing._pipeline import Line
from wsekern.queueing.outcome import Outcome
from wsekern.queueing.traffic import Traffic
from wsekern.shown import Shown

JAM = 2
"""Chunks in the line for each of its regions at most: one that it works on and one that waits."""

SLICE = 100_000
"""Jobs between two looks for Ctrl-C: some tens of milliseconds."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LineCosts(Shown):
    """What a line takes, in seconds.

    Cost arrays have an entry for each number of tokens from 1. A job's seconds in a region, handing on included, are base +
    slope x its mean context in tokens.
    """

    regions: int
    group_base: NDArray[np.float64]  # [most tokens of different users that travel together]
    group_slope: NDArray[np.float64]
    chunk_base: NDArray[np.float64]  # [tokens of a prompt in a chunk]; the last chunk may be shorter
    chunk_slope: NDArray[np.float64]
    head_seconds: float  # of a server of its own at the end, per token; a prompt passes it once
    crossing_seconds: float = 0.0  # pure delay of a whole pass, the return included
    crossing_token_seconds: float = 0.0  # and more of it for each token of the job
    last_share: float = 1.0  # of a region's seconds that the last one takes, which may hold fewer layers
    cache_slots: int = 2**62  # of requests that are read or answered; others wait outside
    slot_tokens: int = 1  # tokens of one request in a slot of the cache
    # of steady states only (wsekern.queueing.steady_line):
    checked: int = 1  # tokens of one user that follow each other in a pass: its own and drafted ones
    kept: float = 1.0  # of these, on average
    draft_seconds: float = 0.0  # from a token to the one that is drafted behind it
    draft_busy_seconds: float = 0.0  # of the busiest server that drafts, for each token that is checked
    draft_in_line: bool = False  # whether a drafted token comes from the regions, and its draft waits there for chunks

    def __post_init__(self) -> None:
        check_flags(self)

    @property
    def chunk(self) -> int:
        """Tokens of a full chunk."""
        return len(self.chunk_base)

    @property
    def most_together(self) -> int:
        """Output tokens that may travel together."""
        return len(self.group_base)

    @property
    def passed(self) -> float:
        """Regions' worth of work in a pass."""
        return self.regions - 1 + self.last_share

    def slots(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """Cache slots that requests of ``tokens`` in all take until they are answered."""
        return -(-tokens // self.slot_tokens)


def simulate_line(costs: LineCosts, traffic: Traffic) -> Outcome:
    """Serve ``traffic``; busy are the seconds of work in the first region. Ctrl-C ends it."""
    need = costs.slots(traffic.prompt + traffic.output)
    if need.max() > costs.cache_slots:
        longest = int(np.argmax(need))
        raise InputError(f"request {longest} has {traffic.prompt[longest]} + {traffic.output[longest]} tokens, but the cache "
                         f"holds {costs.cache_slots * costs.slot_tokens} of all requests together")
    line = Line(np.array(traffic.arrival_seconds, np.float64), np.ascontiguousarray(traffic.prompt, np.int64),
                np.ascontiguousarray(traffic.output, np.int64), np.ascontiguousarray(need, np.int64), traffic.users or 0,
                traffic.think_seconds, costs.regions, costs.last_share, costs.group_base, costs.group_slope, costs.chunk_base,
                costs.chunk_slope, costs.head_seconds, costs.crossing_seconds, costs.crossing_token_seconds, costs.cache_slots,
                JAM)
    while not line.run(SLICE):
        pass
    return Outcome(traffic, line.arrival, line.first, line.finish, line.busy, int(traffic.prompt.sum()),
                   int(traffic.output.sum()))
