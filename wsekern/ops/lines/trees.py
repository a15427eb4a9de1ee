"""Trees of PEs on a line: who sends its sum to whom, for every way to reduce a line to one PE.

A tree is the parent of every member, the PEs of the line in their order (its own at the root), and for every member the
children in the order in which it takes their sums. Sums travel along the line, past the PEs between.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.ops._trees import best_children
from wsekern.ops.lines.line import group_begin, group_root
from wsekern.ops.schedule.schedule import MAX_FEEDS


@dataclass(frozen=True)
class Tree:
    """Parents of the members of a line, and the children of each in the order in which their sums are taken."""

    parent: tuple[int, ...]
    children: tuple[tuple[int, ...], ...]
    stores: frozenset[int] = frozenset()
    """Members that put the sum of all their children into memory before they send it; others send it as it comes."""
    in_turns: bool = False
    """Whether the children of every PE take turns on one color; otherwise only where it has more of them than queues."""

    @property
    def root(self) -> int:
        """Where the sum ends up."""
        return next(k for k, parent in enumerate(self.parent) if parent == k)

    def bottom_up(self) -> list[int]:
        """All members, each after its children."""
        order, waiting = [], [self.root]
        while waiting:
            member = waiting.pop()
            order.append(member)
            waiting.extend(self.children[member])
        return order[::-1]

    @property
    def fan_in(self) -> int:
        """Most sums that one PE takes."""
        return max(map(len, self.children))

    @property
    def depth(self) -> int:
        """Stages from the farthest leaf to the root."""
        depth = [0] * len(self.parent)
        for member in reversed(self.bottom_up()):
            depth[member] = depth[self.parent[member]] + (self.parent[member] != member)
        return max(depth)


def _tree(children: list[list[int]], root: int) -> Tree:
    parent = [root] * len(children)
    for member, taken in enumerate(children):
        for child in taken:
            parent[child] = member
    return Tree(tuple(parent), tuple(map(tuple, children)))


def _two_sided(length: int, root: int, one_side: list[list[list[int]]]) -> Tree:
    """A tree from two that have their root at member 0, of the members below and of those above, mirrored about ``root``."""
    children: list[list[int]] = [[] for _ in range(length)]
    for side, sign in zip(one_side, (-1, 1), strict=True):
        for member, taken in enumerate(side):
            children[root + sign * member].extend(root + sign * child for child in taken)
    return _tree(children, root)


def _sides(length: int, root: int) -> tuple[int, int]:
    """PEs of the two sides of a root, itself included in each."""
    return root + 1, length - root


def chain_tree(length: int, root: int) -> Tree:
    """Every PE sends to its neighbor."""
    return _two_sided(length, root, [[[k + 1] if k + 1 < n else [] for k in range(n)] for n in _sides(length, root)])


def star_tree(length: int, root: int) -> Tree:
    """Every PE sends to the root."""
    sides = [[list(range(1, n))] + [[] for _ in range(n - 1)] for n in _sides(length, root)]
    return replace(_two_sided(length, root, sides), in_turns=True)


def binomial_tree(length: int, root: int) -> Tree:
    """In round r, odd multiples of 2^r send 2^r PEs down: log2 of the PEs in stages."""
    def side(n: int) -> list[list[int]]:
        children: list[list[int]] = [[] for _ in range(n)]
        for round_ in (1 << r for r in range(n.bit_length())):
            for k in range(0, n - round_, 2 * round_):
                children[k].append(k + round_)
        return children

    return _two_sided(length, root, [side(n) for n in _sides(length, root)])


def two_phase_tree(length: int, root: int, group: int) -> Tree:
    """Chains of ``group`` PEs to the one nearest to the root, then a chain over those. Where PEs are left over, it is the
    root's own group that is smaller. The second phase begins with a sum that is complete, so that no chain between groups meets
    one within a group."""
    def side(n: int) -> list[list[int]]:
        first = [0, *range(n % group or group, n, group)]       # of every group
        beyond = dict(pairwise(first))
        return [[k + 1] * (k + 1 < n and k + 1 not in first) + ([beyond[k]] if k in beyond else []) for k in range(n)]

    sides = _sides(length, root)
    ends = {root + sign * (n - group) for n, sign in zip(sides, (-1, 1), strict=True) if 1 < group < n}
    return replace(_two_sided(length, root, [side(n) for n in sides]), stores=frozenset(ends))


def level_tree(length: int, groups: tuple[int, ...]) -> Tree:
    """K-tree: the PEs in ``groups[0]`` groups, each with chains from both ends to its middle PE; these in ``groups[1]``
    groups, and so on; at last one chain from both ends to the middle of the roots that are left."""
    children: list[list[int]] = [[] for _ in range(length)]
    members = list(range(length))
    for count in (*groups, 1):
        count = min(count, len(members))
        roots = []
        for j in range(count):
            begin, end = group_begin(j, len(members), count), group_begin(j + 1, len(members), count)
            root = group_root(j, len(members), count)
            for k in range(begin, end):
                if k < root:
                    children[members[k + 1]].append(members[k])
            for k in range(end - 1, root, -1):
                children[members[k - 1]].append(members[k])
            roots.append(members[root])
        members = roots
    return _tree(children, members[0])


@lru_cache(maxsize=256)
def best_side(length: int, elements: int, timing: Timing, most: int) -> tuple[tuple[tuple[int, ...], ...], int]:
    """The tree on ``length`` PEs with its root at member 0 that is done first: dynamic programming as in HPDC'24. Children of
    every PE, and the cycles that it takes longer than a star.

    The root takes its children from near to far, the last one streaming. With F(b, n) the cycle at which the root of n PEs
    executes the first word of its last child, no more than b sums passing over any router, B words and a child of n - i PEs
    that lies i PEs away: ``F(b, n) = min over i of max(F(b, n - i) + stage + i hop, F(b - 1, i) + B + setup)``. Then no
    PE has more than ``most`` children, and no more than most + 2 colors are needed.
    """
    instruction = timing.instruction("add")
    packing = 1 if timing.precision == "fp16_fp32" else timing.packing
    setup = timing.stream_setup(instruction)
    run = timing.stream(timing.wavelets(elements, packing), timing.step(instruction, packing)) + 1 + setup
    first, free, choice = (np.zeros((most + 1, length + 1), np.int64) for _ in range(3))
    first[1:, 1:2] = timing.stream_setup(timing.instruction("mov"))
    free[:, 1:2] = setup
    best_children(first, free, choice, timing.stage, timing.hop, run)
    children: list[list[int]] = [[] for _ in range(length)]
    waiting = [(0, length, most)]
    while waiting:
        member, n, b = waiting.pop()
        while n > 1:
            i = int(choice[b, n])
            children[member].insert(0, member + i)
            waiting.append((member + i, n - i, b))
            n, b = i, b - 1
    star = timing.stage + timing.hop + (length - 1) * run
    return tuple(map(tuple, children)), int(first[most, length]) + run - star


def auto_tree(length: int, root: int, elements: int, timing: Timing, fan_in: int = 0) -> Tree:
    """Auto-gen: on each side of the root the tree of :func:`best_side`; at most ``fan_in`` children (0: as many as queues).
    From the end of a line a star, where that is faster: its senders need no queue each, as they take turns."""
    most = fan_in or min(MAX_FEEDS, len(timing.machine.core.input_queues.values))
    sides = _sides(length, root)
    limit = most if min(sides) == 1 else most // 2
    best = [best_side(n, elements, timing, limit) for n in sides]
    if min(sides) == 1 and best[sides[1] > 1][1] > 0:
        return star_tree(length, root)
    return _two_sided(length, root, [[list(taken) for taken in children] for children, _ in best])


def tree_of(algorithm: str, length: int, root: int, elements: int, timing: Timing, group: int, fan_in: int) -> Tree:
    """The tree of a named algorithm."""
    if algorithm == "two-phase":
        return two_phase_tree(length, root, group)
    if algorithm == "auto":
        return auto_tree(length, root, elements, timing, fan_in)
    trees = {"chain": chain_tree, "star": star_tree, "tree": binomial_tree}
    if algorithm not in trees:
        raise InputError(f"no reduction {algorithm!r}: use one of chain, star, tree, two-phase, auto")
    return trees[algorithm](length, root)
