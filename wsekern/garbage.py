"""Python's search for garbage in cycles, less often: it goes over all that caches keep, again and again, while more is kept."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 50_000
"""New objects between two searches."""


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Work that makes many objects to keep."""
    before = gc.get_threshold()
    gc.set_threshold(max(YOUNG, before[0]) if before[0] else 0, *before[1:])     # 0: whoever has turned it off wants that
    try:
        yield
    finally:
        gc.set_threshold(*before)
