"""The steps of a deployment as tables for queues, and clusters that serve traffic request by request."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wsekern.cluster.constants import constants
from wsekern.cluster.layout import Deployment, memory_of
from wsekern.cluster.queueing import busiest
from wsekern.cluster.step import decode_step, prefill_step
from wsekern.queueing.batching import StepCosts, interpolate

DECODE_POINTS = 14
"""Numbers of decoding sequences that a table holds."""
PROMPT_POINTS = (1, 16, 64, 128, 256, 512, 1024, 2048, 4096)
"""Tokens of prompts that a table holds beside those of a full step."""


def in_step(deployment: Deployment) -> bool:
    """Whether data-parallel ranks exchange tokens in every layer of experts and so go in step; else each is an engine."""
    return bool(deployment.model.experts) and deployment.layout.dp > 1


def engines_of(deployment: Deployment) -> int:
    """Engines with a queue of their own: copies of a dense model; the copies of an attention that share experts are one."""
    return 1 if in_step(deployment) else deployment.layout.dp


def step_costs(
    deployment: Deployment, prompt: float, output: float, *, chunked: bool | None = None, sampled: bool = False
) -> StepCosts:
    """Steps of one engine of ``deployment`` near requests of ``prompt`` and ``output`` tokens: straight lines in the context
    through steps of such requests. ``chunked`` is the engine level's unless given; ``sampled`` as in
    :class:`wsekern.cluster.operators.Work`."""
    layout, known, ranks = deployment.layout, constants(), ranks_of(deployment)
    cut = deployment.engine.chunked if chunked is None else chunked
    most = int(known.scheduled_sequences) * ranks
    grid = np.unique(np.rint(np.geomspace(1.0, most, DECODE_POINTS)))
    base, slope = _decode_table(deployment, grid, (prompt + 0.25 * output, prompt + 0.75 * output + 16.0), sampled)
    longest = known.step_tokens.value if cut else max(known.step_tokens.value, prompt + output)
    return StepCosts(
        decode_grid=grid, decode_base=base, decode_slope=slope, **_prompt_table(deployment, prompt, longest),
        step_tokens=int(known.step_tokens) * ranks * layout.pp, cache_tokens=cache_tokens(deployment, prompt + output),
        sequences=most, page_tokens=int(known.page_tokens), chunked=cut, stages=layout.pp,
        request_seconds=float(deployment.engine.per_request),
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


def _decode_table(
    deployment: Deployment, grid: NDArray[np.float64], contexts: tuple[float, float], sampled: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(seconds without context, seconds per token of it) of an engine's steps with ``grid`` sequences."""
    batches = grid * engines_of(deployment)
    few, many = (np.array([decode_step(deployment, float(batch), context, sampled).seconds for batch in batches])
                 for context in contexts)
    slope = (many - few) / (contexts[1] - contexts[0])
    return few - slope * contexts[0], slope


def _prompt_table(deployment: Deployment, prompt: float, longest: float) -> dict[str, NDArray[np.float64]]:
    """The tables of prompts: timed for the tokens of a rank, told for those of the engine."""
    ranks, pp = ranks_of(deployment), deployment.layout.pp
    grid = np.array([*(point for point in PROMPT_POINTS if point < longest), longest], dtype=np.float64)
    points = [_prompt_point(deployment, tokens, max(tokens, prompt)) for tokens in grid]
    alone, together, look = (np.array(column) / pp for column in zip(*points, strict=True))
    if ranks * pp == 1:
        return {"prompt_grid": grid, "crowded": grid, "alone": alone, "together": together, "look": look}
    tokens = np.unique(np.concatenate((grid, grid * ranks * pp)))
    rank = np.array([rank_tokens(deployment, each, prompt) for each in tokens])
    return {
        "prompt_grid": tokens, "crowded": rank * ranks * pp, "alone": _lines(grid, alone, rank),
        "look": _lines(grid, look, rank), "together": _lines(grid, together, tokens / (ranks * pp)),
    }


def _prompt_point(deployment: Deployment, tokens: float, context: float) -> tuple[float, float, float]:
    """(seconds, seconds of the GPU, seconds per token of context) of a prompt, what its tokens look back on left out."""
    first, later = prefill_step(deployment, 1.0, tokens), prefill_step(deployment, 1.0, tokens, context)
    look = (later.device - first.device) / context
    own = 0.5 * tokens * look
    return first.seconds - own, first.device - own, look


def _lines(grid: NDArray[np.float64], values: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([interpolate(grid, values, place) for place in places])


def rank_tokens(deployment: Deployment, tokens: float, prompt: float) -> float:
    """Tokens on the busiest rank where ``tokens`` of prompts of this length are new in a step of the engine: each prompt lies on
    one rank, chosen by chance unless the engine balances."""
    ranks = ranks_of(deployment)
    if ranks == 1 or tokens <= prompt:
        return tokens
    mean = tokens / prompt / ranks
    most = mean if deployment.engine.balanced else busiest(mean, ranks)
    budget = constants().step_tokens.value * deployment.layout.pp
    return prompt * max(1.0, most) if prompt > budget else min(budget, prompt * max(1.0, most))
