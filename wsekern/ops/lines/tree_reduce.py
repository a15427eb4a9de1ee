"""Reductions along lines over trees of PEs: star, binomial tree, two phases, the generated tree, K-trees of many levels."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.ops.lines.line import Axis, add_in, along, check_line, travelling
from wsekern.ops.lines.trees import Tree, level_tree, tree_of
from wsekern.ops.schedule.schedule import MOST_FEEDS, Place, Schedule
from wsekern.ops.schedule.scheduled import Scheduled

ALGORITHMS = ("chain", "star", "tree", "two-phase", "auto")


def write_reduce(schedule: Schedule, tree: Tree, op: str, places: Sequence[int] | None = None,
                 words: int | None = None, own_buffer: str = "tile", result: Place = ("tile", 0)) -> None:
    """Every PE adds the sums of its children to its tile, one after the other, and sends the last one on in the stream.

    Sums that wait for another child lie beside the tile, which stays as it is but at the root. ``places``: where the
    places of the tree lie in the schedule, if not in their order; ``words`` of the buffers named, if not whole tiles.
    The children of a PE that has more of them than input queues, or any in a star, take turns on one color.
    """
    n, sent, at = schedule.words if words is None else words, {}, range(schedule.length) if places is None else places
    queues = 0 if tree.in_turns else min(MOST_FEEDS, len(schedule.timing.machine.core.input_queues.values))
    ends = {parent: (min(children), max(children)) for parent, children in enumerate(tree.children) if len(children) > queues}
    for member in tree.bottom_up():
        place, own, parent = at[member], (own_buffer, 0), tree.parent[member]
        is_root = parent == member
        parts: list[tuple[int, int, int]] = []
        if not is_root:
            far = ends[parent][member > parent] if parent in ends else None
            sent[place] = schedule.message(place, at[parent], n, far=None if far is None else at[far])
            parts = schedule.parts_in_turn(sent[place])
        taken = [at[child] for child in tree.children[member]]
        streams = member not in tree.stores and (len(parts) == 1 or (taken and schedule.messages[sent[taken[-1]]].far is None))
        for index, child in enumerate(taken):
            beside = (own_buffer, 0) if is_root and not schedule.wide else ("sum", 0)
            if not is_root and streams and index == len(taken) - 1:
                for part, begin, size in parts:
                    incoming = sent[child] if size == n else schedule.part(sent[child], begin, size)
                    schedule.step(place, op, size, part, (own[0], begin), incoming)
            else:
                schedule.step(place, op, n, beside, own, sent[child])
                own = beside
        for part, begin, size in () if streams and taken else parts:
            schedule.step(place, "mov", size, part, (own[0], begin))
        if is_root and own[0] != result[0]:
            schedule.step(place, "round", n, result, own)


def write_multicast(schedule: Schedule, root: int) -> None:
    """The root's tile to all PEs of the line."""
    if schedule.length > 1:
        message = schedule.multicast(root, 0, schedule.length - 1, schedule.words)
        schedule.step(root, "mov", schedule.words, message, ("tile", 0))
        for place in range(schedule.length):
            if place != root:
                schedule.step(place, "mov", schedule.words, ("tile", 0), message)


def tree_sum(dtype: str, line: np.ndarray, tree: Tree, op: str) -> np.ndarray:
    """Plain reference: the sum of ``line`` (PEs, words), as it travels, over ``tree``."""
    sums = [line[k] for k in range(len(line))]
    for place in tree.bottom_up():
        for child in tree.children[place]:
            sums[place] = add_in(dtype, sums[place], sums[child], op)
    return sums[tree.root]


@dataclass(frozen=True)
class ReduceTree(Scheduled):
    """Reduce ``words`` elements per PE along ``axis`` to PE ``root`` of every line over a tree of PEs (HPDC'24).

    ``algorithm``: ``chain``; ``star``, all PEs to the root; ``tree``, the binomial one of log2 P rounds; ``two-phase``,
    chains of ``group`` PEs (0: about sqrt(P)), then a chain over their first PEs; ``auto``, the tree that dynamic
    programming over P and the words finds fastest on this machine. Every PE adds its children's sums to its own from near
    to far and sends the last one on in the stream; other PEs keep their tiles. Cost on WSE-2, B wavelets, P PEs, T_R the
    ramp: chain ``B + (2 T_R + 2)(P - 1)``; star ``B (P - 1) + 2 T_R + 1 + h``; tree ``B log2 P + (2 T_R + 1) log2 P +
    P - 1``; two-phase ``2 B + (2 T_R + 1)(S - 1 + P/S - 1) + P - 1``; auto the least of ``max(F(n - i) + 2 T_R + 1 + i,
    F(i) + B)``; and a set-up for each sum that a PE takes but the first.
    The PEs of a star, and of a tree past the queues of a core (of more than 256 PEs), take turns on one color for each
    side: the last word of each advances the switch of its router, which passes on from then what comes from beyond.
    """

    words: int
    axis: Axis
    algorithm: str = "auto"
    root: int = 0
    op: str = "sum"
    group: int = 0
    fan_in: int = 0
    """Most children of a PE of the generated tree; 0: as many as it has input queues."""

    def __post_init__(self) -> None:
        check_line(self.words, self.axis, 0, root=self.root + 1, group=self.group + 1)
        if self.algorithm not in ALGORITHMS:
            raise InputError(f"no reduction {self.algorithm!r}: use one of {', '.join(ALGORITHMS)}")

    def tree(self, length: int, timing: Timing) -> Tree:
        """The tree on a line of ``length`` PEs."""
        return tree_of(self.algorithm, length, min(self.root, length - 1), self.words, timing,
                       self.group or max(1, isqrt(length)), self.fan_in)

    def write(self, length: int, timing: Timing) -> Schedule:
        """Sums up the tree."""
        schedule = Schedule(length, self.words, timing, "reduce_call", self.words, {"sum": (self.words, "sums")})
        write_reduce(schedule, self.tree(length, timing), self.op)
        return schedule

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        out = tile.copy()
        for source, target in zip(along(tile, self.axis), along(out, self.axis), strict=True):
            tree = self.tree(len(source), timing)
            target[tree.root] = tree_sum(timing.dtype, travelling(timing.dtype, source), tree, self.op)
        return out


@dataclass(frozen=True)
class TreeAllReduce(Scheduled):
    """All-reduce of ``words`` elements per PE along ``axis``: reduce over a tree as :class:`ReduceTree` does, to PE
    ``root`` (the middle one where it is None), then one multicast both ways. Cost: that of the reduction, then ``B + d h +
    output + 2 T_R + input`` to the PE d hops from the root.
    """

    words: int
    axis: Axis
    algorithm: str = "auto"
    root: int | None = None
    op: str = "sum"
    group: int = 0

    def __post_init__(self) -> None:
        self.reduction(1)

    def reduction(self, length: int) -> ReduceTree:
        """The reduction on a line of ``length`` PEs."""
        root = length // 2 if self.root is None else self.root
        return ReduceTree(self.words, self.axis, self.algorithm, root, self.op, self.group, MOST_FEEDS - 1)

    def write(self, length: int, timing: Timing) -> Schedule:
        """Sums up the tree, the result back to all."""
        schedule = Schedule(length, self.words, timing, "allreduce_call", self.words, {"sum": (self.words, "sums")})
        tree = self.reduction(length).tree(length, timing)
        write_reduce(schedule, tree, self.op)
        write_multicast(schedule, tree.root)
        return schedule

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        length = along(tile, self.axis).shape[1]
        reduced = along(self.reduction(length).reference(tile, timing), self.axis)
        root = min(self.reduction(length).root, length - 1)
        out = np.empty_like(tile)
        along(out, self.axis)[:] = reduced[:, root:root + 1]
        return out


@dataclass(frozen=True)
class KTreeAllReduce(Scheduled):
    """All-reduce of ``words`` elements per PE along ``axis`` over a K-tree of any number of levels.

    ``groups``: number of groups of each level, such as (60, 8): the PEs in 60 groups, their middle PEs in 8, the middle
    PEs of those in one. Chains run from both ends of every group to its middle PE; at last one multicast both ways. Cost,
    B wavelets, stage s, hop h, sizes S_1, S_2, ... of the groups of each level (P = S_1 S_2 ...): ``sum over levels of
    (S_l / 2) s + h P / 2 + s + h P / 2 + O(B)``.
    """

    words: int
    axis: Axis
    groups: tuple[int, ...] = ()
    op: str = "sum"

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", tuple(self.groups))
        check_line(self.words, self.axis, 0, **{f"groups of level {k + 1}": g for k, g in enumerate(self.groups)})

    def write(self, length: int, timing: Timing) -> Schedule:
        """Sums up the K-tree, the result back to all."""
        schedule = Schedule(length, self.words, timing, "allreduce_call", self.words, {"sum": (self.words, "sums")})
        tree = level_tree(length, self.groups)
        write_reduce(schedule, tree, self.op)
        write_multicast(schedule, tree.root)
        return schedule

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        out = np.empty_like(tile)
        for source, target in zip(along(tile, self.axis), along(out, self.axis), strict=True):
            tree = level_tree(len(source), self.groups)
            target[:] = tree_sum(timing.dtype, travelling(timing.dtype, source), tree, self.op).astype(tile.dtype)
        return out
