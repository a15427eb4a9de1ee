"""Rows and experts on the busiest of the GPUs that share a layer's experts: in service, and as benchmark tables draw them.

GPUs that share experts go in step, so the busiest sets the time.
"""

from functools import lru_cache
from statistics import NormalDist

import numpy as np

from wsekern.cluster.constants import constants
from wsekern.errors import InputError

TABLE_EXPONENT = 1.2
"""Exponent of the loads for which the tables of aiconfigurator hold (column ``distribution``: power_law_1.2)."""
DRAWS = 100
"""Routings that :func:`in_tables` averages over; the tables average over five."""


def in_service(tokens: float, chosen: int, experts: int, ranks: int, mean: bool = False) -> tuple[float, float]:
    """(rows, distinct experts) on the busiest of ``ranks``, or on the ``mean`` one, when each of ``tokens`` tokens takes
    ``chosen`` experts.

    The i-th most popular expert is chosen in proportion to i^-``popularity_exponent``, and experts are placed at random. The
    busiest rank exceeds the mean by the expected maximum of normal deviates whose variance is that of the choices and of the
    placement.
    """
    return _in_service(constants().popularity_exponent.value, tokens, chosen, experts, ranks, mean)


@lru_cache(maxsize=65536)
def _in_service(
    exponent: float, tokens: float, chosen: int, experts: int, ranks: int, mean: bool
) -> tuple[float, float]:
    popular = popularity(exponent, chosen, experts)
    held, rows, elsewhere = experts / ranks, tokens * chosen / ranks, 1.0 - 1.0 / ranks
    excess = 1.0
    if not mean:
        choices = rows * elsewhere * (experts - chosen) / max(experts - 1.0, 1.0)
        placement = held * elsewhere * float(popular.var()) * tokens**2
        most = rows + _greatest(ranks) * (choices + placement) ** 0.5
        excess = min(max(1.0, most), tokens * min(chosen, held)) / rows
    reached = float((1.0 - (1.0 - np.minimum(popular * excess, 1.0)) ** tokens).sum()) / ranks
    return rows * excess, reached if mean else max(1.0, reached)


@lru_cache(maxsize=256)
def popularity(exponent: float, chosen: int, experts: int) -> np.ndarray:
    """Chance of each expert to be among the ``chosen`` of a token; they add up to ``chosen``, and none exceeds one."""
    chances = np.arange(1.0, experts + 1.0) ** -exponent
    for sure in range(chosen):
        chances[sure:] *= (chosen - sure) / chances[sure:].sum()
        if chances[sure] <= 1.0:
            break
        chances[sure] = 1.0
    return chances


@lru_cache(maxsize=256)
def _greatest(count: int) -> float:
    """Expected greatest of ``count`` standard normal deviates (Blom 1958)."""
    return NormalDist().inv_cdf((count - 0.375) / (count + 0.25)) if count > 1 else 0.0


@lru_cache(maxsize=4096)
def in_tables(tokens: int, chosen: int, experts: int, ranks: int) -> tuple[float, float]:
    """(rows, distinct experts) on the busiest of ``ranks`` as the collector of ai-dynamo/aiconfigurator draws them: the mean of
    :data:`DRAWS` draws from a fixed seed. Raises :class:`InputError` for a choice that cannot be made."""
    if min(tokens, chosen, ranks) < 1 or chosen > experts or experts % ranks:
        raise InputError(f"{tokens} tokens cannot each take {chosen} of {experts} experts on {ranks} equal ranks")
    generator = np.random.default_rng(0)
    drawn = [_draw(generator, tokens, chosen, experts, ranks) for _ in range(DRAWS)]
    return float(np.mean([loads.sum() for loads in drawn])), float(np.mean([np.count_nonzero(loads) for loads in drawn]))


def _draw(generator: np.random.Generator, tokens: int, chosen: int, experts: int, ranks: int) -> np.ndarray:
    """Rows of each expert of the busiest rank. Loads follow a truncated power law, are scaled to ``tokens * chosen``, rounded
    and held to a row a token; what that leaves over goes to the least loaded expert of each rank in turn."""
    least, most = (1.0, 0.8 * tokens) if tokens * chosen > experts else (0.01, 2.0)
    power = 1.0 - TABLE_EXPONENT
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
