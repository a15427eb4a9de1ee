"""Reductions along lines over trees of PEs: star, binomial tree, two phases, the generated tree, K-trees of many levels."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import ClassVar

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.ops.lines.trees import Tree, level_tree, tree_of
from wsekern.ops.operation import Axis, Operation, check_line
from wsekern.ops.reference import add_in, along, travelling
from wsekern.ops.schedule.operations import LineScheduled
from wsekern.ops.schedule.schedule import MAX_FEEDS, Schedule
from wsekern.ops.schedule.steps import Buffer

ALGORITHMS = ("chain", "star", "tree", "two-phase", "auto")


def write_reduce(schedule: Schedule, tree: Tree, op: str, pes: Sequence[int] | None = None,
                 elements: int | None = None, own_buffer: str = "tile", result: Buffer = ("tile", 0)) -> None:
    """Every PE adds the sums of its children to its tile, one after the other, and sends the last one on in the stream.

    Sums that wait for another child lie beside the tile, which stays as it is but at the root. ``pes``: the PEs of the
    schedule that are the members of the tree, if not in their order; ``elements`` of the buffers named, if not whole tiles.
    The children of a PE that has more of them than input queues, or any in a star, take turns on one color.
    """
    writer = _ReduceWriter(schedule, tree, op, range(schedule.length) if pes is None else pes,
                           schedule.elements if elements is None else elements, own_buffer, result)
    for member in tree.bottom_up():
        writer.write(member)


class _ReduceWriter:
    """Writes what each member of a tree does in a reduction, children before parents."""

    def __init__(self, schedule: Schedule, tree: Tree, op: str, pes: Sequence[int], elements: int, own_buffer: str,
                 result: Buffer) -> None:
        self.schedule, self.tree, self.op, self.pes, self.elements = schedule, tree, op, pes, elements
        self.own, self.result = (own_buffer, 0), result
        self.sent: dict[int, int] = {}
        """PE -> its message."""
        queues = 0 if tree.in_turns else min(MAX_FEEDS, len(schedule.timing.machine.core.input_queues.values))
        self.ends = {parent: (min(children), max(children)) for parent, children in enumerate(tree.children)
                     if len(children) > queues}
        """Parents whose children take turns -> the farthest child on each side."""

    def write(self, member: int) -> None:
        """The steps of one member."""
        schedule, pe, is_root = self.schedule, self.pes[member], self.tree.parent[member] == member
        parts = [] if is_root else self.message(member)
        taken = [self.pes[child] for child in self.tree.children[member]]
        streams = not is_root and self.streams(member, parts, taken)
        own = self.add(pe, taken[:-1] if streams else taken, is_root)
        for part, begin, size in parts:
            if streams and taken:           # the last child's sum is added on the way
                last = self.sent[taken[-1]]
                incoming = last if size == self.elements else schedule.part(last, begin, size)
                schedule.step(pe, self.op, size, part, (own[0], begin), incoming)
            else:
                schedule.step(pe, "mov", size, part, (own[0], begin))
        if is_root and own[0] != self.result[0]:
            schedule.step(pe, "round", self.elements, self.result, own)

    def message(self, member: int) -> list[tuple[int, int, int]]:
        """The message of a member to its parent, in the parts by which it is sent: (message, first element, elements)."""
        pe, parent, ends = self.pes[member], self.tree.parent[member], self.ends
        if parent not in ends:
            self.sent[pe] = sent = self.schedule.message(pe, self.pes[parent], self.elements)
            return [(sent, 0, self.elements)]
        self.sent[pe] = self.schedule.message(pe, self.pes[parent], self.elements, far=self.pes[ends[parent][member > parent]])
        return self.schedule.parts_in_turn(self.sent[pe], pe, self.elements)

    def streams(self, member: int, parts: list[tuple[int, int, int]], taken: list[int]) -> bool:
        """Whether a member adds the sum of its last child on the way, and not into memory first."""
        alone = len(parts) == 1 or (bool(taken) and self.schedule.far(self.sent[taken[-1]]) is None)
        return member not in self.tree.stores and alone

    def add(self, pe: int, taken: Sequence[int], is_root: bool) -> Buffer:
        """Add the sums of the PEs ``taken`` to a PE's own tile; where its sum lies."""
        own, beside = self.own, self.own if is_root and not self.schedule.wide else ("sum", 0)
        for child in taken:
            self.schedule.step(pe, self.op, self.elements, beside, own, self.sent[child])
            own = beside
        return own


def write_multicast(schedule: Schedule, root: int) -> None:
    """The root's tile to all PEs of the line."""
    if schedule.length > 1:
        message = schedule.multicast(root, 0, schedule.length - 1, schedule.elements)
        schedule.step(root, "mov", schedule.elements, message, ("tile", 0))
        for pe in range(schedule.length):
            if pe != root:
                schedule.step(pe, "mov", schedule.elements, ("tile", 0), message)


def tree_sum(precision: str, line: np.ndarray, tree: Tree, op: str) -> np.ndarray:
    """Plain reference: the sum of ``line`` (PEs, elements), as it travels, over ``tree``."""
    sums = [line[k] for k in range(len(line))]
    for pe in tree.bottom_up():
        for child in tree.children[pe]:
            sums[pe] = add_in(precision, sums[pe], sums[child], op)
    return sums[tree.root]


@dataclass(frozen=True)
class ReduceTree(LineScheduled):
    """Reduce ``elements`` elements per PE along ``axis`` to PE ``root`` of every line (the middle one where it is None) over a
    tree of PEs (HPDC'24).

    ``algorithm``: ``chain``; ``star``, all PEs to the root; ``tree``, the binomial one of log2 P rounds; ``two-phase``,
    chains of ``group`` PEs (0: about sqrt(P)), then a chain over their first PEs; ``auto``, the tree that dynamic
    programming over P and the elements finds fastest on this machine. Every PE adds its children's sums to its own from near
    to far and sends the last one on in the stream; other PEs keep their tiles. Cost on WSE-2, B wavelets, P PEs, T_R the
    ramp: chain ``B + (2 T_R + 2)(P - 1)``; star ``B (P - 1) + 2 T_R + 1 + h``; tree ``B log2 P + (2 T_R + 1) log2 P +
    P - 1``; two-phase ``2 B + (2 T_R + 1)(S - 1 + P/S - 1) + P - 1``; auto the least of ``max(F(n - i) + 2 T_R + 1 + i,
    F(i) + B)``; and a set-up for each sum that a PE takes but the first.
    The PEs of a star, and of a tree past the queues of a core (of more than 256 PEs), take turns on one color for each
    side: the last word of each advances the switch of its router, which passes on from then what comes from beyond.
    """

    elements: int
    axis: Axis
    algorithm: str = "auto"
    root: int | None = 0
    op: str = "sum"
    group: int = 0
    fan_in: int = 0
    """Most children of a PE of the generated tree; 0: as many as it has input queues."""

    def __post_init__(self) -> None:
        check_line(self.elements, self.axis, 0, root=(self.root or 0) + 1, group=self.group + 1)
        if self.algorithm not in ALGORITHMS:
            raise InputError(f"no reduction {self.algorithm!r}: use one of {', '.join(ALGORITHMS)}")

    def root_of(self, length: int) -> int:
        """The root on a line of ``length`` PEs."""
        return length // 2 if self.root is None else min(self.root, length - 1)

    def tree(self, length: int, timing: Timing) -> Tree:
        """The tree on a line of ``length`` PEs."""
        return tree_of(self.algorithm, length, self.root_of(length), self.elements, timing,
                       self.group or max(1, isqrt(length)), self.fan_in)

    def sent_along(self) -> Sequence[Operation]:
        """Itself."""
        return (self,)

    def write(self, length: int, timing: Timing) -> Schedule:
        """Sums up the tree."""
        schedule = Schedule(length, self.elements, timing, "reduce_call", self.elements, {"sum": (self.elements, "sums")})
        write_reduce(schedule, self.tree(length, timing), self.op)
        return schedule

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        out = tile.copy()
        for source, target in zip(along(tile, self.axis), along(out, self.axis), strict=True):
            tree = self.tree(len(source), timing)
            target[tree.root] = tree_sum(timing.precision, travelling(timing.precision, source), tree, self.op)
        return out


@dataclass(frozen=True)
class TreeAllReduce(LineScheduled):
    """All-reduce of ``elements`` elements per PE along ``axis``: reduce over a tree as :class:`ReduceTree` does, to PE
    ``root`` (the middle one where it is None), then one multicast both ways. Cost: that of the reduction, then ``B + d h +
    output + 2 T_R + input`` to the PE d hops from the root.
    """

    elements: int
    axis: Axis
    algorithm: str = "auto"
    root: int | None = None
    op: str = "sum"
    group: int = 0
    leaves_words_under_way: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self.reduction.root_of(1)

    @property
    def reduction(self) -> ReduceTree:
        """Its reduction."""
        return ReduceTree(self.elements, self.axis, self.algorithm, self.root, self.op, self.group, MAX_FEEDS - 1)

    def sent_along(self) -> Sequence[Operation]:
        """Itself."""
        return (self,)

    def write(self, length: int, timing: Timing) -> Schedule:
        """Sums up the tree, the result back to all."""
        schedule = Schedule(length, self.elements, timing, "allreduce_call", self.elements, {"sum": (self.elements, "sums")})
        tree = self.reduction.tree(length, timing)
        write_reduce(schedule, tree, self.op)
        write_multicast(schedule, tree.root)
        return schedule

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        reduced = along(self.reduction.reference(tile, timing), self.axis)
        root = self.reduction.root_of(reduced.shape[1])
        out = np.empty_like(tile)
        along(out, self.axis)[:] = reduced[:, root:root + 1]
        return out


@dataclass(frozen=True)
class KTreeAllReduce(LineScheduled):
    """All-reduce of ``elements`` elements per PE along ``axis`` over a K-tree of any number of levels.

    ``groups``: number of groups of each level, such as (60, 8): the PEs in 60 groups, their middle PEs in 8, the middle
    PEs of those in one. Chains run from both ends of every group to its middle PE; at last one multicast both ways. Cost,
    B wavelets, stage s, hop h, sizes S_1, S_2, ... of the groups of each level (P = S_1 S_2 ...): ``sum over levels of
    (S_l / 2) s + h P / 2 + s + h P / 2 + O(B)``.
    """

    elements: int
    axis: Axis
    groups: tuple[int, ...] = ()
    op: str = "sum"
    leaves_words_under_way: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", tuple(self.groups))
        check_line(self.elements, self.axis, 0, **{f"groups of level {k + 1}": g for k, g in enumerate(self.groups)})

    def sent_along(self) -> Sequence[Operation]:
        """Itself."""
        return (self,)

    def write(self, length: int, timing: Timing) -> Schedule:
        """Sums up the K-tree, the result back to all."""
        schedule = Schedule(length, self.elements, timing, "allreduce_call", self.elements, {"sum": (self.elements, "sums")})
        tree = level_tree(length, self.groups)
        write_reduce(schedule, tree, self.op)
        write_multicast(schedule, tree.root)
        return schedule

    def reference(self, tile: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        out = np.empty_like(tile)
        for source, target in zip(along(tile, self.axis), along(out, self.axis), strict=True):
            tree = level_tree(len(source), self.groups)
            target[:] = tree_sum(timing.precision, travelling(timing.precision, source), tree, self.op).astype(tile.dtype)
        return out
