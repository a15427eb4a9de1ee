"""Prompt chunks: by which candidates are judged, and which are best."""

from collections.abc import Callable
from typing import TypeVar

from wsekern.inference.step_times import CHUNKS
from wsekern.planning.estimate import QuickPlacement
from wsekern.planning.judge import Room

SEARCHED_CHUNK = 8
"""Tokens of a prompt in a chunk by which regions are judged first: reads prompts about as quickly as the longest."""

Chunked = TypeVar("Chunked", QuickPlacement, Room)


def chunked(own: Chunked, unread: int, of: Callable[[int], Chunked | None],
            seconds: Callable[[Chunked], float]) -> list[tuple[Chunked, float]]:
    """What has room with prompt chunks ``of`` some size, and its seconds: from ``own`` on longer and shorter ones as long as
    that helps."""
    found = [(own, seconds(own))]
    longer = [chunk for chunk in CHUNKS if chunk > own.chunk]
    shorter = [chunk for chunk in CHUNKS[::-1] if chunk < own.chunk]  # own may lie between: as long as a short prompt
    for chunks in (longer, shorter):
        best = found[0][1]
        for chunk in chunks:
            other = of(chunk) if chunk <= unread else None
            if other is None or (took := seconds(other)) >= best:
                break
            best = took
            found.append((other, took))
    return found

