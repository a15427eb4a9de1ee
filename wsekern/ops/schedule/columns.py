"""A schedule by columns: the fields of its messages and of its steps as arrays, and the colors and queues that follow."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.ops._trees import KINDS, Written, lowest_colors
from wsekern.ops.schedule.steps import Message, Step

Column = NDArray[np.int64]
PLANE, TURNS = 2, 3
"""Kinds of routes that are no lines; ``TURNS``: of senders that take turns."""
MESSAGE, NOTHING = -1, -2
"""In place of a buffer."""
COLORS = 64
"""Colors that are tried."""


class Messages:
    """Fields of messages; -1 where there is no whole, or nothing far."""

    def __init__(self, written: Written) -> None:
        (self.source, self.low, self.high, self.elements, sums, self.whole, self.offset, self.kind, self.far,
         hands) = written.message_columns
        self.sums, self.hands_over = sums > 0, hands > 0
        self._distinct: tuple[Column, Column] | None = None

    def rows(self) -> list[Message]:
        """One after the other."""
        fields = (self.source, self.low, self.high, self.elements, self.sums, self.whole, self.offset, self.kind, self.far,
                  self.hands_over)
        return [Message(*first, None if whole < 0 else whole, offset, KINDS[kind], None if far < 0 else far, hands)
                for *first, whole, offset, kind, far, hands in zip(*(field.tolist() for field in fields), strict=True)]

    @cached_property
    def routes(self) -> tuple[Column, Column, Column, Column]:
        """Source, lowest and highest PE, and kind of each message's route: what tells it from others."""
        turns, target = self.far >= 0, np.where(self.source == self.low, self.high, self.low)
        low, high = np.minimum(self.far, target), np.maximum(self.far, target)
        return (np.where(turns, self.far, self.source), np.where(turns, low, self.low), np.where(turns, high, self.high),
                np.where(turns, TURNS, self.kind))

    def distinct(self, length: int) -> tuple[Column, Column]:
        """A message of every route on ``length`` PEs, and of every message the place of its route's."""
        if self._distinct is None:
            source, low, high, kind = self.routes
            key = ((kind * length + source) * length + low) * length + high
            _, at, which = np.unique(key, return_index=True, return_inverse=True)
            self._distinct = at, which
        return self._distinct

    def colors(self, length: int, width: int) -> Column:
        """Color of every message on ``length`` PEs in rows of ``width``, the lowest that no other route has at a router on its
        way, short ways first; -1 where there are not enough."""
        at, which = self.distinct(length)
        source, low, high, kind = (field[at] for field in self.routes)
        order = np.lexsort((kind, low, source, high - low, kind != 0))
        straight = (low // width == high // width) | (kind == PLANE)
        spans = np.stack((low, high + 1, np.where(straight, 1, width)), axis=1)[order]
        found = np.empty(len(at), np.int64)
        found[order] = lowest_colors(np.ascontiguousarray(spans), length)
        return found[which]


class Steps:
    """Fields of steps: ``op`` is a place in ``ops``; the messages that steps take and send, -1 where there is none; ``dst``,
    ``a`` and ``b``: buffer, a place in ``names``, and the first element in it, -1 and a message, or -2."""

    def __init__(self, written: Written) -> None:
        self.pe, self.op, self.elements, *operands = written.step_columns
        self.ops, self.names = list(written.ops), list(written.names)
        self.dst, self.a, self.b = (tuple(operands[at:at + 2]) for at in (0, 2, 4))
        self.sends, a, b = (np.where(buffer == MESSAGE, message, -1) for buffer, message in (self.dst, self.a, self.b))
        self.takes = np.where(a >= 0, a, b)

    def rows(self) -> list[Step]:
        """One after the other."""
        operands = (self._operands(*operand) for operand in (self.dst, self.a, self.b))
        return [Step(pe, self.ops[op], elements, dst, a, b)
                for pe, op, elements, dst, a, b in zip(self.pe.tolist(), self.op.tolist(), self.elements.tolist(), *operands,
                                                       strict=True)]

    def _operands(self, buffer: Column, at: Column) -> list[Any]:
        return [first if name == MESSAGE else None if name == NOTHING else (self.names[name], first)
                for name, first in zip(buffer.tolist(), at.tolist(), strict=True)]

    def of_op(self, cost: Sequence[int], at: Column) -> Column:
        """Of the steps ``at`` what each op costs."""
        return np.array(cost, np.int64)[self.op[at]]


def queues(pe: Column, color: Column, length: int) -> tuple[Column, Column]:
    """Of streams of ``color`` on their ``pe``: which of its PE's queues each has, in the order of first use; and how many every
    PE has."""
    pair, first, which = np.unique(pe * COLORS + color, return_index=True, return_inverse=True)
    owner = pair // COLORS
    order = np.lexsort((first, owner))
    rank = np.empty(len(pair), np.int64)
    rank[order] = np.arange(len(pair)) - np.searchsorted(owner, owner)
    return rank[which], np.bincount(owner, minlength=length)
