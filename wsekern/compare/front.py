"""Which systems no other beats: the Pareto front of the speed that one user sees against what an output token costs."""

from collections.abc import Mapping
from typing import Protocol, TypeVar

COSTS = {"usd_per_million_tokens": "per dollar", "joules_per_token": "per watt"}
"""Costs of an output token, its share of the prompt included; less is better."""


class Measured(Protocol):
    """What serves users: wafers or a cluster, with the costs of :data:`COSTS`."""

    @property
    def tokens_per_second_per_user(self) -> float:
        """Speed at which one user sees an answer grow."""


K = TypeVar("K")


def front(systems: Mapping[K, Measured], cost: str) -> list[K]:
    """Keys of those ``systems`` that no other beats in both speed and ``cost``, the fastest first; of equals the first."""
    kept: list[K] = []
    for key in sorted(systems, key=lambda key: (-systems[key].tokens_per_second_per_user, getattr(systems[key], cost))):
        if not kept or getattr(systems[key], cost) < getattr(systems[kept[-1]], cost):
            kept.append(key)
    return kept


def fronts(systems: Mapping[str, Measured | None]) -> dict[str, list[str]]:
    """Names of the systems on the front of each cost; None is no system."""
    return {cost: front({name: one for name, one in systems.items() if one is not None}, cost) for cost in COSTS}
