"""The steps of a deployment as tables for queues, and clusters that serve traffic request by request."""

from functools import lru_cache
from math import exp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.cluster.constants import constants
from wsekern.cluster.engine_cost import routed_prompts
from wsekern.cluster.families import FAMILIES
from wsekern.cluster.layout import Deployment, memory_of
from wsekern.cluster.step import decode_step, prefill_step
from wsekern.cluster.work import Work
from wsekern.queueing._closed import lines
from wsekern.queueing.batching import StepCosts

DECODE_POINTS = 14
"""Numbers of decoding sequences that a table holds."""
PROMPT_POINTS = (1, 16, 64, 128, 256, 512, 1024, 2048, 4096)
"""Tokens of prompts that a table holds beside those of a full step."""
TURN_POINTS, TURN_PROMPTS = 5, (1, 128, 512)
"""The same of tables for users who take turns; there the prompt is a point too."""

RANK_POINTS = 8
"""Tokens of prompts of several ranks or stages, besides."""


def in_step(deployment: Deployment) -> bool:
    """Whether data-parallel ranks exchange tokens in every layer of experts and so go in step; else each is an engine."""
    return deployment.model.mixture is not None and deployment.layout.dp > 1


def engines_of(deployment: Deployment) -> int:
    """Engines with a queue of their own: copies of a dense model; the copies of an attention that share experts are one."""
    return 1 if in_step(deployment) else deployment.layout.dp


def step_costs(
    deployment: Deployment, prompt: float, output: float, *, sampled: bool = False
) -> StepCosts:
    """Steps of one engine of ``deployment`` near requests of ``prompt`` and ``output`` tokens: straight lines in the context
    through steps of such requests. ``sampled`` as in
    :class:`wsekern.cluster.work.Work`."""
    cut = deployment.engine.chunked
    most = int(constants().scheduled_sequences) * ranks_of(deployment)
    grid = _decode_grid(deployment, most, DECODE_POINTS)
    mean = prompt + 0.5 * output
    few, many = 0.5 * mean, 1.5 * mean + 16.0
    base = _decode_seconds(deployment, grid, few, sampled)
    slope = (_decode_seconds(deployment, grid, many, sampled) - base) / (many - few)
    points = _prompt_grid(PROMPT_POINTS, prompt + output, cut)
    timed = [_prompt_point(deployment, tokens, max(tokens, prompt)) for tokens in points]
    return _costs(deployment, prompt, prompt + output, (grid, base - slope * few, slope), points, np.array(timed))


def turn_costs(
    deployment: Deployment, prompt: float, output: float, users: float, *, sampled: bool = False,
    cached: float = 0.0, shared: float = 0.0, decode_points: int = TURN_POINTS
) -> StepCosts:
    """:func:`step_costs` for ``users`` of an engine who take turns, in fewer points: all contexts are the mean one, and looking
    back takes short prompts time in proportion to their tokens. The first ``cached`` tokens of every prompt need not be read;
    of these ``shared`` are kept once for all."""
    unread = prompt - cached
    cut = deployment.engine.chunked
    grid = _decode_grid(deployment, max(1.0, users), decode_points)
    base = _decode_seconds(deployment, grid, prompt + 0.5 * output, sampled)
    limit = constants().step_tokens.value
    unit = min(unread, limit) if cut else unread
    points = _prompt_grid((*TURN_PROMPTS, unit), unread, cut)
    timed: list[tuple[float, float, float]] = []
    for tokens in points[::-1]:
        if tokens >= TURN_PROMPTS[-1]:
            timed.append(_prompt_point(deployment, tokens, max(tokens, prompt)))
        else:
            step = prefill_step(deployment, 1.0, tokens, ranks=1.0)
            look = timed[-1][2] * tokens / points[len(points) - len(timed)]
            timed.append((step.seconds - 0.5 * tokens * look, step.device - 0.5 * tokens * look, look))
    drafted = deployment.speculation
    return _costs(deployment, unread, prompt + output, (grid, base, np.zeros(len(grid))), points, np.array(timed[::-1]),
                  cached=cached, shared=shared * ranks_of(deployment), checked=drafted.checked if drafted else 1,
                  kept=drafted.kept if drafted else 1.0)


def _costs(
    deployment: Deployment, prompt: float, context: float, decode: tuple[NDArray[np.float64], ...],
    points: NDArray[np.float64], timed: NDArray[np.float64], **turns: Any
) -> StepCosts:
    """From the columns of ``decode`` (grid, base, slope), and prompts of ``points`` tokens with the columns of ``timed``;
    sequences end with ``context`` tokens."""
    known, ranks = constants(), ranks_of(deployment)
    routed = routed_prompts(deployment, Work(1.0, 1.0, 0.0, prefill=True))  # which others do not wait for
    timed[:, 0] -= routed
    return StepCosts(
        decode_grid=decode[0], decode_base=decode[1], decode_slope=decode[2],
        **_prompt_table(deployment, prompt, points, timed),
        step_tokens=int(known.step_tokens) * ranks * deployment.layout.pp,
        cache_tokens=cache_tokens(deployment, context), sequences=int(known.scheduled_sequences) * ranks,
        page_tokens=int(known.page_tokens), chunked=deployment.engine.chunked, stages=deployment.layout.pp,
        request_seconds=float(deployment.engine.per_request) + routed, **turns,
    )


def ranks_of(deployment: Deployment) -> int:
    """Data-parallel ranks of one engine."""
    return deployment.layout.dp // engines_of(deployment)


def cache_tokens(deployment: Deployment, context: float) -> int:
    """Tokens that the cache of one engine holds, in sequences of ``context`` tokens; 0 where the weights leave no room."""
    memory, page = memory_of(deployment, context, 1), int(constants().page_tokens)
    room = memory.available - memory.weights - memory.activations
    each = -(-context // page) * page
    return max(0, int(room / memory.cache * each)) * ranks_of(deployment)


def _decode_grid(deployment: Deployment, most: float, count: int) -> NDArray[np.float64]:
    """Numbers of decoding sequences that a table of an engine holds, at most ``most``: about ``count`` in even steps of their
    logarithm, or where a machine runs compiled buckets both sides of the ends of the last ones."""
    plain = _even_grid(most, count)
    split = ranks_of(deployment) * deployment.layout.pp
    ends = [split * end for end in FAMILIES[deployment.gpu.mechanism].buckets(deployment, most / split)][-(count // 2):]
    return np.unique([1.0, most, *(point for end in ends for point in (end, end + 1.0))]) if ends else plain


@lru_cache(maxsize=1024)
def _even_grid(most: float, count: int) -> NDArray[np.float64]:
    """About ``count`` whole numbers from 1 to ``most`` in even steps of their logarithm."""
    return _shared_by_all(np.unique(np.rint(np.geomspace(1.0, most, count))))


def _shared_by_all(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Which nobody may write to."""
    values.flags.writeable = False
    return values


def _decode_seconds(deployment: Deployment, grid: NDArray[np.float64], context: float, sampled: bool) -> NDArray[np.float64]:
    """Of an engine's steps with ``grid`` sequences."""
    engines = engines_of(deployment)
    return np.array([decode_step(deployment, engines * float(each), context, sampled).seconds for each in grid])


def _prompt_grid(points: tuple[float, ...], longest: float, chunked: bool) -> NDArray[np.float64]:
    """``points`` that a step of a rank may hold, and the most that it holds."""
    limit = constants().step_tokens.value
    return _up_to(points, limit if chunked else max(limit, longest))


@lru_cache(maxsize=1024)
def _up_to(points: tuple[float, ...], most: float) -> NDArray[np.float64]:
    return _shared_by_all(np.unique([*(point for point in points if point < most), most]).astype(np.float64))


@lru_cache(maxsize=4096)
def _tokens(points: tuple[float, ...], ranks: int, stages: int, prompt: float) -> NDArray[np.float64]:
    """Tokens of prompts of all ranks and stages, one of which holds ``points``: no two differ by their last bits."""
    grid = np.array(points)
    most = grid[-1] * ranks * stages
    between = np.geomspace(min(prompt, most), most, RANK_POINTS)
    return _shared_by_all(np.unique(np.concatenate((grid, grid * ranks * stages, between)).round(6)))


def _prompt_table(
    deployment: Deployment, prompt: float, grid: NDArray[np.float64], timed: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """The tables of prompts: timed for the tokens of a rank, told for those of the engine."""
    ranks, pp = ranks_of(deployment), deployment.layout.pp
    alone, together, look = (np.array(column) / pp for column in timed.T)
    if ranks * pp == 1:
        return {"prompt_grid": grid, "crowded": grid, "alone": alone, "together": together, "look": look}
    tokens = _tokens(tuple(grid.tolist()), ranks, pp, prompt)
    shared = _shared(deployment, grid[-1])
    rank = np.array([(1.0 - shared) * rank_tokens(deployment, each, prompt) + shared * each / ranks for each in tokens])
    return {
        "prompt_grid": tokens, "crowded": rank * ranks * pp, "alone": lines(grid, alone, rank),
        "look": lines(grid, look, rank), "together": lines(grid, together, tokens / (ranks * pp)),
    }


def _shared(deployment: Deployment, tokens: float) -> float:
    """Part of a prompt's time that ranks share by all their tokens, not by those of the busiest: experts and exchanges, where
    an engine does not fill up the tokens of others."""
    ranks = ranks_of(deployment)
    if ranks == 1 or not deployment.engine.ragged:
        return 0.0
    every, alone = (prefill_step(deployment, 1.0, tokens, ranks=share).device for share in (1.0, 1.0 / ranks))
    return (1.0 - alone / every) / (1.0 - 1.0 / ranks)


def _prompt_point(deployment: Deployment, tokens: float, context: float) -> tuple[float, float, float]:
    """(seconds, seconds of the GPU, seconds per token of context) of a prompt, what its tokens look back on left out."""
    first, later = (prefill_step(deployment, 1.0, tokens, cached, ranks=1.0) for cached in (0.0, context))
    look = (later.device - first.device) / context
    own = 0.5 * tokens * look
    return first.seconds - own, first.device - own, look


def rank_tokens(deployment: Deployment, tokens: float, prompt: float) -> float:
    """Tokens on the busiest rank where ``tokens`` of prompts of this length are new in a step of the engine: each prompt lies
    on one rank, chosen by chance unless the engine balances."""
    ranks = ranks_of(deployment)
    if ranks == 1 or tokens <= prompt:
        return tokens
    mean = tokens / prompt / ranks
    most = mean if deployment.engine.balanced else busiest(mean, ranks)
    budget = constants().step_tokens.value * deployment.layout.pp
    return prompt * max(1.0, most) if prompt > budget else min(budget, prompt * max(1.0, most))


@lru_cache(maxsize=4096)
def busiest(mean: float, ranks: int) -> float:
    """Expected largest of ``ranks`` Poisson counts of the same ``mean``."""
    total, term, below = 0.0, exp(-mean), 0.0
    for count in range(1, 10 + int(3.0 * mean)):
        below += term
        total += 1.0 - below**ranks
        term *= mean / count
    return total
