"""How the tables of kernel times were routed: rows and experts on the timed GPU, drawn as their collector draws them."""

from functools import lru_cache

import numpy as np

from wsekern.errors import InputError

TABLE_EXPONENT = 1.2
"""Exponent of the loads for which the tables of aiconfigurator hold (column ``distribution``: power_law_1.2)."""
DRAWS = 100
"""Routings that :func:`in_tables` averages over; the tables average over five."""


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
