"""Rows and experts on the busiest of the GPUs that share a layer: they go in step, so the busiest sets the time."""

from functools import lru_cache, partial
from statistics import NormalDist

import numpy as np

from wsekern.cluster.constants import constants
from wsekern.formulas import opaque
from wsekern.workload.popularity import popularity

KEPT = 64
"""Answers that each formula of a step keeps: those of a few points."""


def in_service(tokens: float, chosen: int, experts: int, ranks: int, mean: bool = False) -> tuple[float, float]:
    """(rows, distinct experts) on the busiest of ``ranks``, or on the ``mean`` one, when each of ``tokens`` tokens takes
    ``chosen`` experts.

    The i-th most popular expert is chosen in proportion to i^-``popularity_exponent``, and experts are placed at random. The
    busiest rank exceeds the mean by the expected maximum of normal deviates whose variance is that of the choices and of the
    placement.
    """
    asked = constants().popularity_exponent.value, tokens, chosen, experts, ranks, mean
    return _rows(*asked), _reached(*asked)


@partial(opaque, most=KEPT)
def _rows(exponent: float, tokens: float, chosen: int, experts: int, ranks: int, mean: bool) -> float:
    return _in_service(exponent, tokens, chosen, experts, ranks, mean)[0]


@partial(opaque, most=KEPT)
def _reached(exponent: float, tokens: float, chosen: int, experts: int, ranks: int, mean: bool) -> float:
    return _in_service(exponent, tokens, chosen, experts, ranks, mean)[1]


@lru_cache(maxsize=65536)
def _in_service(
    exponent: float, tokens: float, chosen: int, experts: int, ranks: int, mean: bool
) -> tuple[float, float]:
    """:func:`in_service` where experts are chosen in proportion to i^-``exponent``."""
    popular = popularity(exponent, chosen, experts)
    held, rows, elsewhere = experts / ranks, tokens * chosen / ranks, 1.0 - 1.0 / ranks
    excess = 1.0
    if not mean:
        choices = rows * elsewhere * (experts - chosen) / max(experts - 1.0, 1.0)
        placement = held * elsewhere * _variance(exponent, chosen, experts) * tokens**2
        most = rows + _greatest(ranks) * (choices + placement) ** 0.5
        excess = min(max(1.0, most), tokens * min(chosen, held)) / rows
    reached = float((1.0 - (1.0 - np.minimum(popular * excess, 1.0)) ** tokens).sum()) / ranks
    return rows * excess, reached if mean else max(1.0, reached)


@lru_cache(maxsize=256)
def _variance(exponent: float, chosen: int, experts: int) -> float:
    """Of how often one expert and another are chosen."""
    return float(popularity(exponent, chosen, experts).var())


@lru_cache(maxsize=256)
def _greatest(count: int) -> float:
    """Expected greatest of ``count`` standard normal deviates (Blom 1958)."""
    return NormalDist().inv_cdf((count - 0.375) / (count + 0.25)) if count > 1 else 0.0
