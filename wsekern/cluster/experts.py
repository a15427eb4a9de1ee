"""Rows and experts on the busiest of the GPUs that share a layer's experts: chosen evenly, or as benchmarks draw them."""

from functools import lru_cache
from statistics import NormalDist

import numpy as np

from wsekern.errors import InputError

POWER_LAW = 1.2
"""Exponent of the loads for which the tables of aiconfigurator hold (column ``distribution``: power_law_1.2)."""
DRAWS = 20
"""Routings that :func:`power_law` averages over; the tables average over five."""


def even(tokens: float, chosen: int, experts: int, ranks: int) -> tuple[float, float]:
    """(rows, distinct experts) on the busiest of ``ranks`` when each of ``tokens`` tokens takes ``chosen`` experts at random.

    The busiest of several equal ranks has more than the mean: by the expected maximum of as many normal deviates (Blom 1958).
    """
    held = experts / ranks
    mean = tokens * chosen / ranks
    deviation = (mean * (1.0 - 1.0 / ranks) * (experts - chosen) / max(experts - 1.0, 1.0)) ** 0.5
    rows = min(mean + _most(ranks) * deviation, tokens * min(chosen, held))
    share = min(rows / (tokens * held), 1.0)
    return rows, held * (1.0 - (1.0 - share) ** tokens)


@lru_cache(maxsize=256)
def _most(count: int) -> float:
    """Expected greatest of ``count`` standard normal deviates."""
    return NormalDist().inv_cdf((count - 0.375) / (count + 0.25)) if count > 1 else 0.0


@lru_cache(maxsize=4096)
def power_law(tokens: int, chosen: int, experts: int, ranks: int, exponent: float = POWER_LAW) -> tuple[float, float]:
    """(rows, distinct experts) on the busiest of ``ranks`` as the collector of ai-dynamo/aiconfigurator draws them: the mean of
    :data:`DRAWS` draws from a fixed seed. Raises :class:`InputError` for a choice that cannot be made."""
    if min(tokens, chosen, ranks) < 1 or chosen > experts or experts % ranks:
        raise InputError(f"{tokens} tokens cannot each take {chosen} of {experts} experts on {ranks} ranks that hold equally many")
    generator = np.random.default_rng(0)
    drawn = [_draw(generator, tokens, chosen, experts, ranks, exponent) for _ in range(DRAWS)]
    return float(np.mean([loads.sum() for loads in drawn])), float(np.mean([np.count_nonzero(loads) for loads in drawn]))


def _draw(
    generator: np.random.Generator, tokens: int, chosen: int, experts: int, ranks: int, exponent: float
) -> np.ndarray:
    """Rows of each expert of the busiest rank. Loads follow a truncated power law, are scaled to ``tokens * chosen``, rounded and
    held to a row a token; what that leaves over goes to the least loaded expert of each rank in turn."""
    least, most = (1.0, 0.8 * tokens) if tokens * chosen > experts else (0.01, 2.0)
    power = 1.0 - exponent
    loads = (least**power + (most**power - least**power) * generator.random(experts)) ** (1.0 / power)
    rows = np.minimum(np.rint(loads * (tokens * chosen / loads.sum())).astype(int), tokens).reshape(ranks, -1)
    left = tokens * chosen - int(rows.sum())
    while left:
        for rank in rows:
            if left > 0 and rank.min() < tokens:
                rank[rank.argmin()] += 1
                left -= 1
            elif left < 0 and rank.max() > 0:
                rank[rank.argmax()] -= 1
                left += 1
    return rows[rows.sum(axis=1).argmax()]
