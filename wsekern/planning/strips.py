"""Strips of different sizes in a length, and what is worth putting there: exact sums by dynamic programming."""

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from wsekern.planning._strips import Sums

What = TypeVar("What")


class Strip(NamedTuple, Generic[What]):
    """``what`` lies on ``size`` PEs of a length, holds ``layers`` layers and takes a token ``cycles``."""

    size: int
    layers: int
    cycles: float
    what: What


class Strips(Generic[What]):
    """The quickest of ``strips``, each as often as there is room, that hold together 0 to ``most`` layers on up to ``length``
    PEs."""

    def __init__(self, strips: Sequence[Strip[What]], length: int, most: int) -> None:
        self.strips, self.length, self._sums = strips, length, Sums(strips, length, most)

    def cycles(self, length: int) -> NDArray[np.float64]:
        """Of 0, 1, ... layers on so many PEs; inf where there is no room."""
        return self._sums.on(length)

    def chosen(self, layers: int, length: int) -> list[Strip[What]]:
        """The strips that hold ``layers`` layers on ``length`` PEs, the largest first."""
        found = [self.strips[number] for number in self._sums.chosen(layers, length)]
        return sorted(found, key=lambda strip: (-strip.size, -strip.layers))


def dealt(wafers: Sequence[NDArray[np.float64]], layers: int, crossing: float) -> tuple[int, ...]:
    """How many of ``layers`` layers each of ``wafers`` has, so that all take least; a wafer takes so many cycles for 0, 1, ...
    of them (inf: it has no room), and a ``crossing`` more where others have layers before it. Of equal ones those that give the
    first wafers least; empty where there is no room."""
    known, order, ways = np.full(layers + 2, np.inf), np.zeros(layers + 2, np.int64), list[NDArray[np.int64]]()
    known[0] = 0.0
    places = np.arange(layers + 1)
    for own in wafers:
        more = np.arange(int(np.flatnonzero(np.isfinite(own)).max()) + 1)
        before = places[:, None] - more
        before[before < 0] = layers + 1  # of which there is none
        behind = known + crossing
        behind[0] = known[0]
        whole = behind[before] + own[more]
        whole[:, 0] = known[:-1] + own[0]
        known[:-1] = whole.min(axis=1)
        ways.append(np.where(whole == known[:-1, None], order[before], layers + 2).argmin(axis=1))
        order[np.lexsort((ways[-1], order[places - ways[-1]]))] = places
    if not np.isfinite(known[layers]):
        return ()
    found: list[int] = []
    for way in reversed(ways):
        found.append(int(way[layers - sum(found)]))
    return tuple(reversed(found))
