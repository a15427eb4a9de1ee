"""The steady state of a line of regions that users take turns on, in formulas (events: :mod:`wsekern.queueing.pipeline`).

The line is in one of two phases. While no prompt is read, an output token passes the regions at its own pace, or at that of the
groups in which tokens travel when there are more of them than regions. While a prompt is read, its chunks fill the line, and
since nothing overtakes, a token takes as long in each region as a chunk; between two chunks passes one group of tokens. Prompts
wait for each other at the gate as before a single server, whose users come back slowly while it works.
"""

from dataclasses import dataclass

from wsekern.queueing._steady import figures_of
from wsekern.queueing.pipeline import LineCosts
from wsekern.shown import Tabled


@dataclass(frozen=True)
class SteadyLine(Tabled):
    """Means over the requests of users who take turns on a line. Seconds."""

    time_to_first_token_seconds: float
    time_per_output_token_seconds: float
    waiting_seconds: float  # of a prompt for others, part of the time to the first token
    decoding_users: float  # whose answer grows
    busy: float  # share of the time in which a region works
    tokens_together: float  # output tokens in a group, those passed while prompts are read included


def steady_line(costs: LineCosts, users: int, prompt: int, output: int, think_seconds: float = 0.0,
                inside: int | None = None) -> SteadyLine:
    """The closed queue of ``users`` who each send the next prompt ``think_seconds`` after the answer is complete.

    Prompts have ``prompt`` tokens, answers ``output`` on average and vary as those of :func:`wsekern.queueing.turns`. Where
    several tokens of a user are checked in a pass, they follow each other as soon as they are drafted. No more than ``inside``
    users (all unless given) are read or answered at once, the others wait outside.
    """
    return SteadyLine(*figures_of(costs, users, prompt, output, think_seconds, inside))
