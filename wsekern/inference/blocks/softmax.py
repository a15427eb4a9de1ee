"""Scores, their softmax over positions, and the values: the part of attention between its projections.

A softmax is relative to the largest score of all rows, or to a bound that every PE knows (``programs.softmax``); then scores
are logarithms to base 2, so that what the rows' own references differ by is a power of two
(:mod:`wsekern.ops.local.softmax`). Sums of exponentials are reduced by themselves, or in one message with the values
(``programs.softmax_sum``), in fp32.
"""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from wsekern.inference.blocks.common import all_reduce
from wsekern.inference.blocks.heads import HeadsOnGrid
from wsekern.inference.blocks.shared import rows_work
from wsekern.inference.steps import LayerStep, Steps, Values, View, join, pick, repeat, reshape, split, stack, swap
from wsekern.number_formats import narrow
from wsekern.ops import Gemm, GemmTransposed, Local
from wsekern.ops.local.softmax import (
    SEEN,
    KeyRange,
    ScoreBound,
    SoftmaxFactor,
    SoftmaxMessage,
    SoftmaxQuotients,
    WholeReference,
)

_step = partial(LayerStep, "attention")


class SoftmaxOnGrid(HeadsOnGrid):
    """What heads do between the projections of their layer."""

    @property
    def unit(self) -> float:
        """What a score of 1 is kept as."""
        return math.log2(math.e) if self.bounded else 1.0

    # -- tables -------------------------------------------------------------------------------------------------------
    def softmax_tables(self, positions: np.ndarray, slots: int) -> Values:
        """The mask of scores; for a bound, which rows of scores see a position; for sinks, the PEs that have them."""
        m, part = self.mapping, self.part
        seen, distance = self._sight(positions, slots)
        tables = {"table.mask": self._mask(seen, distance)}
        first = (np.arange(m.height) == 0)[:, None] & (self.block_index <= 0)
        if part.sinks:
            column = narrow(np.where(first, np.float32(0), lowest(m.precision)), m.precision, "mask")[:, :, None]
            tables["table.first_row"] = np.broadcast_to(column, (m.height, m.width, self.heads_per_column * self.group))
        if self.bounded:
            any_seen = seen.any(axis=3) | (first[:, :, None] if part.sinks else False)
            rows = np.tile(np.repeat(any_seen, self.group, axis=2), (1, 1, self.heads_per_column))
            sight = narrow(np.where(rows, np.float32(SEEN), np.float32(0)), m.precision, "mask")
            tables["table.sight"] = np.broadcast_to(sight, (m.height, m.width, sight.shape[2]))
        return tables

    def _sight(self, positions: np.ndarray, slots: int) -> tuple[np.ndarray, np.ndarray]:
        """Whether a query may see a position, and how far that lies ahead: (height, 1 or width, tokens, slots seen).

        A query sees itself and what came before, ``window`` positions in all, or those of its own ``chunk``.
        """
        m, part, blocks = self.mapping, self.part, self.blocks
        own = self.own_slots(slots)
        slot = np.arange(own - self.seen_slots(len(positions), slots), own)
        block = self.block_index if blocks > 1 or self.is_shared(len(positions), slots) else np.zeros(1, np.int64)
        position = (slot * blocks + block[:, None]) * m.height + np.arange(m.height)[:, None, None]
        position, now = position[:, :, None], positions[:, None]
        seen = position <= now
        if part.window:
            seen &= position > now - part.window
        if part.chunk:
            seen &= position // part.chunk == now // part.chunk
        return seen | (block < 0)[:, None, None], position - now

    def _mask(self, seen: np.ndarray, distance: np.ndarray) -> np.ndarray:
        """0 where a query may see a position, very negative elsewhere: (height, width, heads * tokens * group, slots seen)."""
        m, part = self.mapping, self.part
        mask = np.where(seen, np.float32(0), lowest(m.precision))
        if part.alibi:
            slopes = np.float32(part.alibi * self.unit) * np.append(alibi_slopes(part.heads), np.float32(0))
            slopes = slopes[self.query_head_index][:, :, None, :, None]  # (width, heads, 1, group, 1)
            far = distance.astype(np.float32)[:, :, None, :, None]
            mask = np.where(seen[:, :, None, :, None], slopes * far, mask[:, :, None, :, None])
            mask = mask.reshape(m.height, m.width, -1, mask.shape[-1])
        else:
            mask = np.tile(np.repeat(mask, self.group, axis=2), (1, 1, self.heads_per_column, 1))
        return np.broadcast_to(narrow(mask, m.precision, "mask"), (m.height, m.width, *mask.shape[2:]))

    # -- steps --------------------------------------------------------------------------------------------------------
    def _heads(self, name: str) -> list[str]:
        """Names of the parts of value ``name`` of the key-value heads in a column."""
        return [f"{name}_{head}" for head in range(self.heads_per_column)]

    def _seen(self, name: str, parts: Sequence[str], tokens: int, slots: int) -> Steps:
        """``parts``: of each key-value head in a column, what is seen of ``name`` in the cache."""
        own = self.own_slots(slots)
        kind, seen = "first", ((own - self.seen_slots(tokens, slots), own) if self.part.reach else (own,))
        if self.goes_round:
            kind = "round"
        return [View(kind, (f"cache.{self.prefix}{name}",), (name,), 1, seen), pick(name, parts, 0, range(len(parts)))]

    def scores_of(self, tokens: int, slots: int) -> Steps:
        """``scores`` (heads * rows, slots), masked; the rows of a key-value head are its tokens * group queries. ``bound``
        (heads * rows), where there is one, is the score that a key would have that is best in every feature."""
        m, heads, group, features, rows = self.mapping, self.heads_per_column, self.group, self.features, tokens * self.group
        seen = self.seen_slots(tokens, slots)
        queries, keys, scores = (self._heads(name) for name in ("q", "keys", "scores"))
        steps: Steps = [reshape("q", tokens, heads, group, features), pick("q", queries, 1, range(heads)),
                        *self._seen("keys", keys, tokens, slots)]
        for query, key, score in zip(queries, keys, scores, strict=True):
            steps += [reshape(query, rows, features), _step(score, GemmTransposed(rows, seen, features), (query, key), score)]
        steps += [stack(scores, "scores", 0), reshape("scores", heads * rows, seen)]
        wide = seen + self.bounded
        if self.bounded:
            kept = f"cache.{self.prefix}range"
            steps += [_step("key_range", KeyRange(self.kv, tokens), ("k", kept), kept), stack(queries, "queries", 0),
                      _step("bound", ScoreBound(heads, rows, features), ("queries", kept), "bound"),
                      reshape("bound", heads * rows, 1), join(("scores", "bound"), "scores", 1)]
        if self.block > 1:
            reduce = all_reduce(m, heads * rows * wide, "x", segment=self.block)
            steps.append(_step("scores_reduce", reduce, ("scores",), "scores"))
        if self.part.softcap:
            cap = Local("softcap", wide, heads * rows, factor=self.part.softcap * self.unit, form=m.form)
            steps.append(_step("softcap", cap, ("scores",), "scores"))
        if self.bounded:
            steps += [split("scores", ("scores", "bound"), (seen, 1), axis=1), reshape("bound", heads * rows)]
        return [*steps, _step("mask", Local("add", seen, heads * rows, form=m.form), ("scores", "table.mask"), "scores")]

    def _sinks(self, tokens: int) -> Steps:
        """One more score in each row of ``scores``, that of the head's sink, on the first row of PEs; a bound is as large."""
        heads, group, count = self.heads_per_column, self.group, self.heads_per_column * tokens * self.group
        add, sink = Local("add", 1, heads * group, form=self.mapping.form), self.named("sinks")

        def each_token(name: str) -> Steps:
            return [reshape(name, heads, 1, group, output="sink"), repeat("sink", "sink", 1, tokens)]

        steps: Steps = []
        if self.bounded:
            work = Local("max", 1, count, form=self.mapping.form)
            steps += [*each_token(sink), reshape("sink", count), _step("sinks_bound", work, ("bound", "sink"), "bound")]
        return [*steps, _step("sinks", add, (sink, "table.first_row"), "sink"), *each_token("sink"), reshape("sink", count, 1),
                join(("scores", "sink"), "scores", 1)]

    def _exponentials(self, count: int, wide: int) -> Steps:
        """``shares`` (count, wide) of ``scores``, relative to ``top`` (count,), and their sums ``total`` (count,)."""
        m, form = self.mapping, self.mapping.form
        steps: Steps = [_step("softmax_max", Local("rowmax", wide, count), ("scores",), "top")]
        if self.bounded:
            steps.append(_step("softmax_reference", WholeReference(count), ("top",), "top"))
        else:
            steps.append(_step("softmax_max_reduce", all_reduce(m, count, "y", op="max"), ("top",), "top"))
            if self.blocks > 1:
                reduce = all_reduce(m, count, "x", op="max", segment=self.segment)
                steps.append(_step("softmax_max_blocks", reduce, ("top",), "top"))
        def exponential(n: int, rows: int) -> Local:
            return Local("exp2sub" if self.bounded else "expsub", n, rows, form=form)

        steps += rows_work(m, "attention", "softmax_exp", exponential, count, wide, "scores", "top", "shares", self.block)
        return [*steps,
                _step("softmax_sum", Local("rowsum", wide, count), ("shares",), "total")]

    def softmax(self, tokens: int, slots: int) -> Steps:
        """``attended`` (tokens, out): the softmax of ``scores`` over the positions of all rows, times the values."""
        heads, group, rows = self.heads_per_column, self.group, tokens * self.group
        seen, features, count = self.seen_slots(tokens, slots), self.value_features, self.heads_per_column * rows
        parts, values, attended = (self._heads(name) for name in ("shares", "values", "attended"))
        steps, wide = (self._sinks(tokens), seen + 1) if self.part.sinks else ([], seen)
        steps += self._exponentials(count, wide)
        if self.plain:
            reduce = all_reduce(self.mapping, count, "y", precision="fp32")
            steps.append(_step("softmax_sum_reduce", reduce, ("total",), "total"))
        if self.part.sinks:
            steps.append(split("shares", ("shares", "sink"), (seen, 1), axis=1))
        steps += [reshape("shares", heads, rows, seen), pick("shares", parts, 0, range(heads)),
                  *self._seen("values", values, tokens, slots)]
        steps += [_step(f"values_{head}", Gemm(rows, seen, features), (parts[head], values[head]), attended[head])
                  for head in range(heads)]
        steps += [stack(attended, "attended", 0), *(self._quotients(tokens) if self.plain else self._joined_quotients(tokens))]
        return [*steps, reshape("attended", heads, tokens, group, features), swap("attended", 0),
                reshape("attended", tokens, self.out)]

    def _quotients(self, tokens: int) -> Steps:
        """``attended`` of all rows over ``total``, which is that of all rows."""
        m, features, count = self.mapping, self.value_features, self.heads_per_column * tokens * self.group
        divide = Local("rowdiv", features, count, form=m.form)
        return [_step("values_reduce", all_reduce(m, tokens * self.out, "y"), ("attended",), "attended"),
                reshape("attended", count, features), _step("softmax_divide", divide, ("attended", "total"), "attended")]

    def _joined_quotients(self, tokens: int) -> Steps:
        """``attended`` of all rows over ``total`` of all rows and blocks, both in fp32."""
        m, features, count = self.mapping, self.value_features, self.heads_per_column * tokens * self.group
        whole, steps, names = count * features, [], ("attended", "total")
        if self.bounded:
            steps.append(_step("softmax_factor", SoftmaxFactor(count), ("top", "bound", "table.sight"), "factor"))
            names = (*names, "factor")
        parts = split("message", ("attended", "total"), (whole, count), axis=0)
        steps.append(_step("message", SoftmaxMessage(features, count, self.bounded), names, "message"))
        if m.programs.softmax_sum == "riding":
            reduce = all_reduce(m, whole + count, "y", precision="fp32")
            steps += [_step("values_reduce", reduce, ("message",), "message"), parts]
        else:
            steps += [parts, *(_step(f"{name}_reduce", all_reduce(m, size, "y", precision="fp32"), (x,), x)
                               for name, size, x in (("values", whole, "attended"), ("softmax_sum", count, "total")))]
        if self.blocks > 1:
            reduce = all_reduce(m, count, "x", precision="fp32", segment=self.segment)
            steps.append(_step("softmax_sum_blocks", reduce, ("total",), "total"))
        divide = SoftmaxQuotients(features, count, m.form, self.block if self.blocks > 1 else 1)
        return [*steps, reshape("attended", count, features),
                _step("softmax_divide", divide, ("attended", "total"), "attended")]


def lowest(precision: str) -> np.float32:
    """What a score is added where a query may not look: its exponential is 0."""
    return np.float32(-3e4 if precision.startswith("fp16") else -1e30)


def alibi_slopes(heads: int) -> np.ndarray:
    """What a score loses for each token back, by head (arXiv 2108.12409)."""
    whole = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (head + 1) / whole) for head in range(whole)]
    slopes += [2 ** (-4 * (2 * head + 1) / whole) for head in range(heads - whole)]
    return np.array(slopes, np.float32)
