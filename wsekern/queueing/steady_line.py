"""The steady state of a line of regions that users take turns on, in formulas (events: :mod:`wsekern.queueing.pipeline`).

The line is in one of two phases. While no prompt is read, an output token passes the regions at its own pace, or at that of the
groups in which tokens travel when there are more of them than regions. While a prompt is read, its chunks fill the line, and
since nothing overtakes, a token takes as long in each region as a chunk; between two chunks passes one group of tokens. Prompts
wait for each other at the gate as before a single server, whose users come back slowly while it works.
"""

from dataclasses import dataclass, replace

import numpy as np

from wsekern.queueing._steady import Steady
from wsekern.queueing.pipeline import JAM, LineCosts
from wsekern.shown import Tabled

ROUNDS = 60
"""Most iterations of the fixed point."""

CLOSE = 1e-6
"""Relative change of its figures at which the fixed point is found."""


@dataclass(frozen=True, kw_only=True)
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
    whole = _settled(costs, users, prompt, output, think_seconds)
    if inside is None or users - _rate(whole, users, output, think_seconds) * think_seconds <= inside:
        return whole
    full = _settled(costs, inside, prompt, output, 0.0)  # who comes in for who goes out
    rate = _rate(full, inside, output, 0.0)
    if users - rate * think_seconds <= inside:
        return whole
    first = users / rate - think_seconds - (output - 1) * full.time_per_output_token_seconds
    outside = first - full.time_to_first_token_seconds
    return replace(full, time_to_first_token_seconds=first, waiting_seconds=full.waiting_seconds + outside)


def _rate(steady: SteadyLine, users: int, output: int, think_seconds: float) -> float:
    """Requests a second."""
    answer = (output - 1) * steady.time_per_output_token_seconds
    return users / (steady.time_to_first_token_seconds + answer + think_seconds)


def _settled(costs: LineCosts, users: int, prompt: int, output: int, think_seconds: float) -> SteadyLine:
    """The fixed point for ``users`` who are all served at once.

    As many passes with less to check in each are never slower: where two estimates say otherwise, which err by some percent,
    that of the passes without drafts gives the times.
    """
    steady = _estimated(costs, users, prompt, output, think_seconds)
    if costs.checked == 1 or users == 1:
        return steady
    alone = replace(costs, checked=1, draft_seconds=0.0, draft_busy_seconds=0.0, draft_in_line=False)
    plain = _estimated(alone, users, prompt, output, think_seconds)
    quicker = _rate(steady, users, output, think_seconds) / _rate(plain, users, output, think_seconds)
    if quicker <= 1.0:
        return steady
    return replace(plain, busy=steady.busy / quicker, tokens_together=steady.tokens_together)


def _estimated(costs: LineCosts, users: int, prompt: int, output: int, think_seconds: float) -> SteadyLine:
    steady = Steady(
        np.ascontiguousarray(costs.group_base), np.ascontiguousarray(costs.group_slope), users, prompt, output, think_seconds,
        (output - 1) / costs.kept, costs.head_seconds + costs.crossing_seconds + costs.crossing_token_seconds,
        prompt % costs.chunk or costs.chunk, chunks_of(costs, prompt), costs.passed, costs.checked, costs.kept, costs.regions,
        costs.head_seconds, costs.crossing_token_seconds, costs.draft_seconds, costs.draft_busy_seconds, costs.draft_in_line)
    first, token, wait, decoding, busy, together = steady.settle(ROUNDS if users > 1 else 1, CLOSE)
    return SteadyLine(time_to_first_token_seconds=first, time_per_output_token_seconds=token, waiting_seconds=wait,
                      decoding_users=decoding, busy=busy, tokens_together=together)


def chunks_of(costs: LineCosts, prompt: int) -> tuple[float, float, int, float]:
    """Seconds of a region for a chunk and for all chunks of a prompt, their number, and the mean pace of the line, in seconds a
    region, where prompts follow each other without a gap.

    The last chunks of a prompt, which see the most context, are the slowest, and those of the next prompt jam behind them: they
    take as long as these or, where the line has no room for more, ``JAM`` times their own.
    """
    full, rest = divmod(prompt, costs.chunk)
    size = (costs.chunk if full else rest) - 1
    base, slope = float(costs.chunk_base[size]), float(costs.chunk_slope[size])
    chunk = base + slope * 0.5 * (prompt + 1)
    last = float(costs.chunk_base[rest - 1] + costs.chunk_slope[rest - 1] * 0.5 * (prompt + 1)) if full and rest else 0.0
    ratio = base / (base + slope * prompt)
    held = max(0.0, (1.0 / JAM - ratio) / (1.0 - ratio)) if ratio < 1.0 else 0.0  # share of the chunks that are short of room
    speed = held / JAM + (1.0 - held) * 0.5 * (max(ratio, 1.0 / JAM) + 1.0)
    return chunk, (full or 1) * chunk + last, full + bool(rest), chunk / speed
