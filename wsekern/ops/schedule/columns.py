"""A schedule by columns: the fields of its messages and of its steps as arrays, and the colors and queues that follow."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wsekern.ops._trees import lowest_colors
from wsekern.ops.schedule.steps import Message, Step

Column = NDArray[np.int64]
PLANE, TURNS = 2, 3
_KINDS = {"": 0, "line": 1, "plane": PLANE}
"""Kinds of routes; of senders that take turns it is ``TURNS``."""
COLORS = 64
"""Colors that are tried."""


class Messages:
    """Fields of messages; -1 where there is no whole, or nothing far."""

    def __init__(self, messages: Sequence[Message]) -> None:
        fields = zip(*messages, strict=True) if messages else ((),) * 10
        source, low, high, elements, sums, whole, offset, kind, far, hands = fields
        self.source, self.low, self.high, self.elements, self.offset = map(_column, (source, low, high, elements, offset))
        self.sums, self.hands_over = np.array(sums, bool), np.array(hands, bool)
        self.whole, self.far = (_column([-1 if at is None else at for at in field]) for field in (whole, far))
        self.kind = _column([_KINDS[name] for name in kind])

    def routes(self) -> tuple[Column, Column, Column, Column]:
        """Source, lowest and highest PE, and kind of each message's route: what tells it from others."""
        turns, target = self.far >= 0, np.where(self.source == self.low, self.high, self.low)
        low, high = np.minimum(self.far, target), np.maximum(self.far, target)
        return (np.where(turns, self.far, self.source), np.where(turns, low, self.low), np.where(turns, high, self.high),
                np.where(turns, TURNS, self.kind))

    def colors(self, length: int, width: int) -> Column:
        """Color of every message on ``length`` PEs in rows of ``width``, the lowest that no other route has at a router on its
        way, short ways first; -1 where there are not enough."""
        routes = self.routes()
        source, low, high, kind = routes
        key = ((kind * length + source) * length + low) * length + high
        _, at, which = np.unique(key, return_index=True, return_inverse=True)
        source, low, high, kind = (field[at] for field in routes)
        order = np.lexsort((kind, low, source, high - low, kind != 0))
        straight = (low // width == high // width) | (kind == PLANE)
        spans = np.stack((low, high + 1, np.where(straight, 1, width)), axis=1)[order]
        found = np.empty(len(at), np.int64)
        found[order] = lowest_colors(np.ascontiguousarray(spans), length)
        return found[which]


class Steps:
    """Fields of steps: ``op`` is a place in ``ops``; the messages that steps take and send, -1 where there is none."""

    def __init__(self, steps: Sequence[Step]) -> None:
        pe, op, elements, to, a, b = zip(*steps, strict=True) if steps else ((),) * 6
        self.ops = list(dict.fromkeys(op))
        number = {name: place for place, name in enumerate(self.ops)}
        self.pe, self.op, self.elements = _column(pe), _column([number[name] for name in op]), _column(elements)
        self.sends = _column([operand if isinstance(operand, int) else -1 for operand in to])
        self.takes = _column([one if isinstance(one, int) else other if isinstance(other, int) else -1
                              for one, other in zip(a, b, strict=True)])

    def of_op(self, cost: Sequence[int], at: Column) -> Column:
        """Of the steps ``at`` what each op costs."""
        return _column(cost)[self.op[at]]


def queues(pe: Column, color: Column, length: int) -> tuple[Column, Column]:
    """Of streams of ``color`` on their ``pe``: which of its PE's queues each has, in the order of first use; and how many every
    PE has."""
    pair, first, which = np.unique(pe * COLORS + color, return_index=True, return_inverse=True)
    owner = pair // COLORS
    order = np.lexsort((first, owner))
    rank = np.empty(len(pair), np.int64)
    rank[order] = np.arange(len(pair)) - np.searchsorted(owner, owner)
    return rank[which], np.bincount(owner, minlength=length)


def _column(values: Sequence[int]) -> Column:
    return np.array(values, np.int64)
