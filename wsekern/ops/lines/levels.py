"""The levels of a K-tree on a line: PEs in groups, the middle ones of these in groups again, and which groups are quickest."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wsekern.errors import InputError
from wsekern.ops._trees import quickest_row
from wsekern.ops.lines.line import group_begin, group_root
from wsekern.ops.operation import check_count

MOST_LEVELS = 4
"""Levels of chains at most: the middle PE of all takes two streams of each, through an input queue for each of them."""

LONG_LINE = 1024
"""PEs of a line on which few words take all levels."""

Groups = int | tuple[int, ...] | Literal["quickest"]


def check_groups(groups: Groups) -> None:
    """Refuse what are no groups."""
    if groups == "quickest":
        return
    counts = groups if isinstance(groups, tuple) else (groups,)
    if len(counts) >= MOST_LEVELS:
        raise InputError(f"groups of {len(counts)} levels and chains over them: expected at most {MOST_LEVELS} in all")
    for count in counts:
        check_count("groups", count, 1)


@dataclass(frozen=True)
class Levels:
    """``members`` of each level: PEs, then groups of each level, at last one."""

    members: tuple[int, ...]

    @classmethod
    def of(cls, length: int, counts: tuple[int, ...]) -> "Levels":
        """On a line of ``length`` PEs; no level has more groups than members."""
        members = [length]
        for count in (*counts, 1):
            members.append(min(count, members[-1]))
        return cls(tuple(members))

    @property
    def count(self) -> int:
        """Levels of chains."""
        return len(self.members) - 1

    def group(self, level: int, j: int) -> tuple[int, int, int]:
        """First member of a group of a level, the one behind the last, and the middle one."""
        length, groups = self.members[level], self.members[level + 1]
        return group_begin(j, length, groups), group_begin(j + 1, length, groups), group_root(j, length, groups)

    def groups_of(self, level: int) -> Iterator[tuple[int, int, int]]:
        """All groups of a level."""
        return (self.group(level, j) for j in range(self.members[level + 1]))

    def group_of(self, level: int, member: int) -> int:
        """The group of a member of a level."""
        return ((member + 1) * self.members[level + 1] - 1) // self.members[level]

    def places(self, level: int) -> list[int]:
        """PEs that are the members of a level."""
        places = list(range(self.members[0]))
        for below in range(level):
            places = [places[root] for _, _, root in self.groups_of(below)]
        return places

    @property
    def hops(self) -> int:
        """Links that sums go over."""
        found = 0
        for level in range(self.count):
            places = self.places(level)
            found += sum(places[end - 1] - places[begin] for begin, end, _ in self.groups_of(level))
        return found

    @property
    def crowded(self) -> bool:
        """Whether some level has groups of fewer than three members, whose sums share links with those between groups."""
        return any(1 < groups < length < 3 * groups for length, groups in zip(self.members, self.members[1:-1], strict=False))


@lru_cache(maxsize=1 << 16)
def quickest_groups(length: int, stage: int, taken: int) -> tuple[int, ...]:
    """Groups of each level of the K-tree on ``length`` PEs that takes the fewest cycles beside hops: the half of a group of
    every level in chained stages of ``stage`` cycles, and the ``taken`` cycles of a second stream at its middle. All numbers
    but that of the PEs of a group of the first level are odd: results then set out from the middle of the line."""
    ways, groups = _uppers()
    row = quickest_row(ways, length, stage, taken)
    return groups[row] if row >= 0 else ()


@lru_cache(maxsize=1)
def _uppers() -> tuple[NDArray[np.int64], tuple[tuple[int, ...], ...]]:
    """What the levels but the first can be: (groups of the first, stages that the odd sizes of the groups of all others add up
    to, how many levels these are), and the groups of each. Of as many in as many levels, those with the fewest stages."""
    best: dict[tuple[int, int], tuple[int, tuple[int, ...]]] = {}
    for count in range(1, MOST_LEVELS):
        for sizes in combinations_with_replacement(range(3, 42, 2), count):
            key, stages = (prod(sizes), count), sum(size // 2 for size in sizes)
            if key[0] <= 800 and (key not in best or stages < best[key][0]):
                best[key] = stages, sizes
    found = sorted(best)
    return (np.array([(groups, best[groups, count][0], count) for groups, count in found]),
            tuple(tuple(prod(best[key][1][level:]) for level in range(key[1])) for key in found))
