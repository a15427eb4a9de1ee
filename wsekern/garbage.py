"""What caches keep: Python's search for garbage in cycles goes over all of it, again and again, while more is kept; and an end
to it, for work that goes on for long."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

YOUNG = 50_000
"""New objects between two searches."""

_KEEPING = type(lru_cache(len))

_LASTING: list[object] = []

Cached = TypeVar("Cached")


def lasting(cached: Cached) -> Cached:
    """A function that keeps little, the same for all models: what the package ships, and what is worked out of it."""
    _LASTING.append(cached)
    return cached


def forget() -> None:
    """Empty what the functions of this package keep of their answers, but for those that are :func:`lasting`."""
    lasts = set(map(id, _LASTING))
    for one in gc.get_objects():
        if type(one) is _KEEPING and id(one) not in lasts and (one.__module__ or "").startswith("wsekern."):
            one.cache_clear()
    gc.collect()


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Work that makes many objects to keep."""
    before = gc.get_threshold()
    gc.set_threshold(max(YOUNG, before[0]) if before[0] else 0, *before[1:])     # 0: whoever has turned it off wants that
    try:
        yield
    finally:
        gc.set_threshold(*before)
