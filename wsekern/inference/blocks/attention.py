"""Grouped-query attention with rotary positions, a causal mask and a cache that grows.

Heads lie along x: each key-value head owns a segment of columns, which holds the features of the head, its keys and values, and
the query heads that share it.
"""

import math
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from wsekern.inference.blocks.common import add_bias, all_reduce
from wsekern.inference.blocks.part import BlockWeights, PartOnGrid
from wsekern.inference.steps import LayerStep, Steps, Values, append, first, pick, reshape, split, stack, swap
from wsekern.inference.weights import TileCutter
from wsekern.number_formats import narrow
from wsekern.ops import Gemm, GemmTransposed, Local
from wsekern.ops.local.vector import room_bytes
from wsekern.workload.decoder import Attention
from wsekern.workload.request import PRECISIONS
from wsekern.workload.rope import rotation

_step = partial(LayerStep, "attention")


@dataclass(frozen=True)
class AttentionOnGrid(PartOnGrid[Attention]):
    """Attention of one layer on a grid."""

    label = "attention"

    def missing(self) -> str:
        """What has no steps yet."""
        part = self.part
        found = {"an indexer": part.indexer, "keys and values of another layer": part.cache_of, "ALiBi": part.alibi}
        return next((name for name, there in found.items() if there), "")

    # -- sizes of the pieces ------------------------------------------------------------------------------------------
    @cached_property
    def heads_per_column(self) -> int:
        """Key-value heads in one column (1 where a head is spread over several columns)."""
        return -(-self.part.kv_heads // self.mapping.width)

    @cached_property
    def segment(self) -> int:
        """Columns over which one key-value head is spread."""
        return max(1, min(self.mapping.width // self.part.kv_heads, self.part.head_dim // 2))

    @cached_property
    def features(self) -> int:
        """Features of one head in one column; even, because rotary embedding turns them in pairs."""
        return 2 * -(-(self.part.head_dim // 2) // self.segment)

    @cached_property
    def group(self) -> int:
        """Query heads that share one key-value head."""
        return self.part.heads // self.part.kv_heads

    @cached_property
    def q(self) -> int:
        """Query elements per column."""
        return self.heads_per_column * self.group * self.features

    @cached_property
    def kv(self) -> int:
        """Key (or value) elements per column and position."""
        return self.heads_per_column * self.features

    # -- which element lies where -------------------------------------------------------------------------------------
    @cached_property
    def pair_index(self) -> np.ndarray:
        """Rotary pair of each place in a column, (width, features / 2); -1 where padded."""
        pairs, width = self.part.head_dim // 2, self.features // 2
        column = np.arange(self.mapping.width) % self.segment
        places = column[:, None] * width + np.arange(width)
        return np.where(places < pairs, places, -1)

    @cached_property
    def kv_index(self) -> np.ndarray:
        """Key (or value) element of each place, (width, heads_per_column, features); -1 where padded."""
        column = np.arange(self.mapping.width) // self.segment
        head, dim = column[:, None] * self.heads_per_column + np.arange(self.heads_per_column), self.part.head_dim
        pair = self.pair_index
        feature = np.concatenate([pair, np.where(pair < 0, -1, pair + dim // 2)], axis=1)
        places = head[:, :, None] * dim + feature[:, None, :]
        return np.where((head[:, :, None] < self.part.kv_heads) & (feature[:, None, :] >= 0), places, -1)

    @cached_property
    def q_index(self) -> np.ndarray:
        """Query element of each place, (width, heads_per_column, group, features); -1 where padded."""
        kv, dim = self.kv_index[:, :, None, :], self.part.head_dim
        head = (kv // dim) * self.group + np.arange(self.group)[:, None]
        return np.where(kv >= 0, head * dim + kv % dim, -1)

    # -- memory -------------------------------------------------------------------------------------------------------
    @property
    def weights(self) -> int:
        """Elements of the projections, their biases and the norms of heads."""
        hidden, biases = self.mapping.hidden, self.part.biases
        found = hidden * (self.q + 2 * self.kv) + self.q * hidden
        found += (self.q + 2 * self.kv if "q" in biases else 0) + (hidden if "o" in biases else 0)
        return found + (2 * self.features if self.part.norm else 0)

    @property
    def slot(self) -> int:
        """Keys and values."""
        return 2 * self.kv

    @property
    def buffers(self) -> int:
        """The input, queries, keys and values."""
        return self.mapping.hidden + self.q + 2 * self.kv

    @property
    def scores(self) -> int:
        """Scores of a token."""
        return self.heads_per_column * self.group * self.mapping.slots

    def room(self) -> int:
        """Bytes of the exponentials, of 1 over their sums, and of a rotation's products."""
        m = self.mapping
        if m.form == "scalar":
            return 0
        rows, size = m.chunk * self.heads_per_column * self.group, PRECISIONS[m.precision]
        return max(room_bytes("expsub", m.form, m.precision, m.chunk * self.scores),
                   room_bytes("one_over", m.form, "fp32", rows) + 4 * rows, math.ceil(2 * size * m.chunk * self.q))

    # -- weights, cache and tables ------------------------------------------------------------------------------------
    def cache(self) -> dict[str, tuple[int, ...]]:
        """Keys and values."""
        shape = (self.heads_per_column, self.mapping.slots, self.features)
        return {f"cache.{self.prefix}keys": shape, f"cache.{self.prefix}values": shape}

    def cache_order(self, name: str) -> tuple[int, ...]:
        """A feature of all keys of a column, the values of a row: side by side."""
        return (2, 1, 4, 3, 0) if name.endswith("keys") else (2, 0, 3, 1, 4)

    def tiles(self, weights: BlockWeights, where: str) -> Values:
        """``weights.qkv`` (hidden, q + 2 kv) goes from y to x and ``weights.o`` (q, hidden) back; ``weights.qkv_bias``
        (1, q + 2 kv) and ``weights.q_norm``, ``weights.k_norm`` (features) lie along x, ``weights.o_bias`` (1, hidden) along y.
        """
        m, cutter, w = self.mapping, TileCutter(self.mapping, where), self.own(weights)
        hidden, q, kv = m.index_y(m.config.hidden), self.q_index.reshape(m.width, -1), self.kv_index.reshape(m.width, -1)
        # Scores are divided by sqrt(head_dim) once and for all: in the query weights, or in the query norm.
        scale = np.float32(1 / np.sqrt(self.part.head_dim))
        early = np.float32(1) if self.part.norm else scale
        tiles = {"qkv": cutter.matrix([w["q"] * early, w["k"], w["v"]], hidden, [q, kv, kv]),
                 "o": cutter.matrix([w["o"]], q, [hidden], transposed=True)}
        if "o" in self.part.biases:
            tiles["o_bias"] = cutter.along_y(w["o_bias"], hidden)[:, :, None]
        if "q" in self.part.biases:
            tiles["qkv_bias"] = cutter.along_x([w["q_bias"] * early, w["k_bias"], w["v_bias"]], [q, kv, kv])[:, :, None]
        if self.part.norm:
            feature = np.where(self.kv_index[:, 0] >= 0, self.kv_index[:, 0] % self.part.head_dim, -1)
            tiles["q_norm"] = cutter.along_x([w["q_norm"] * scale], [feature])
            tiles["k_norm"] = cutter.along_x([w["k_norm"]], [feature])
        return {self.named(name): tile for name, tile in tiles.items()}

    def tables(self, start: int, tokens: int, slots: int) -> Values:
        """Cosine and sine, (tokens, features / 2): each column its own pairs; and the mask of scores."""
        tables = {"table.mask": self._mask(start, tokens, slots)}
        if self.part.rotary is None:
            return tables
        pairs, m = self.pair_index, self.mapping
        turns = rotation(self.part.rotary, np.arange(start, start + tokens))
        for name, turn in zip(("table.cos", "table.sin"), turns, strict=True):
            columns = np.where(pairs[:, None] >= 0, turn[:, pairs].swapaxes(0, 1), 0).astype(np.float32)
            tables[name] = np.broadcast_to(narrow(columns, m.precision, "rope"), (m.height, *columns.shape))
        return tables

    def _mask(self, start: int, tokens: int, slots: int) -> np.ndarray:
        """0 where a query may see a position, very negative elsewhere: (height, width, heads * tokens * group, slots).

        A query sees itself and what came before, ``window`` positions in all.
        """
        m, window = self.mapping, self.part.window or self.mapping.config.max_context
        position = np.arange(slots) * m.height + np.arange(m.height)[:, None]  # (row, slot)
        now = start + np.arange(tokens)[:, None]
        seen = (position[:, None] <= now) & (position[:, None] > now - window)  # (row, token, slot)
        lowest = -3e4 if m.precision.startswith("fp16") else -1e30
        mask = np.where(seen, np.float32(0), np.float32(lowest))
        mask = np.tile(np.repeat(mask, self.group, axis=1), (1, self.heads_per_column, 1))
        return np.broadcast_to(narrow(mask, m.precision, "mask")[:, None], (m.height, m.width, *mask.shape[1:]))

    # -- steps --------------------------------------------------------------------------------------------------------
    def steps(self, tokens: int, slots: int) -> Steps:
        """Projections, cache, scores, softmax, values, projection back."""
        return [*self._queries_keys_values(tokens), *self._append(tokens), *self._scores(tokens, slots),
                *self._softmax(tokens, slots), *self._output(tokens)]

    def _queries_keys_values(self, tokens: int) -> Steps:
        """``q`` (tokens, heads * group, features), ``k`` and ``v`` (tokens, heads, features), positions turned in."""
        m, heads, features, qkv = self.mapping, self.heads_per_column, self.features, self.q + 2 * self.kv
        queries = heads * self.group
        steps: Steps = [_step("qkv", Gemm(tokens, m.hidden, qkv), ("h", self.named("qkv")), "qkv"),
                        _step("qkv_reduce", all_reduce(m, tokens * qkv, "y"), ("qkv",), "qkv")]
        if "q" in self.part.biases:
            steps += add_bias(m, "attention", f"{self.prefix}qkv_bias", tokens, qkv, "qkv")
        steps += [split("qkv", "qkv", (self.q, self.kv, self.kv), axis=1), reshape("q", tokens, queries, features),
                  reshape("k", tokens, heads, features), reshape("v", tokens, heads, features)]
        if self.part.norm:
            steps += [*self._head_norm("q", tokens, queries), *self._head_norm("k", tokens, heads)]
        if self.part.rotary is None:
            return steps
        turn = ("table.cos", "table.sin")
        rope = partial(Local, "rope", features, form=m.form)
        return [*steps, _step("rope_q", rope(tokens * queries, heads=queries), ("q", *turn), "q"),
                _step("rope_k", rope(tokens * heads, heads=heads), ("k", *turn), "k")]

    def _head_norm(self, x: str, tokens: int, heads: int) -> Steps:
        """Norm of every query or key head (Qwen 3): ``x`` is (tokens, heads, features)."""
        rows, features, squares = tokens * heads, self.features, f"{x}_squares"
        steps: Steps = [reshape(x, rows, features), _step(f"{x}_norm_squares", Local("sumsq", features, rows), (x,), squares)]
        if self.segment > 1:
            reduce = all_reduce(self.mapping, rows, "x", segment=self.segment, precision="fp32")
            steps.append(_step(f"{x}_norm_reduce", reduce, (squares,), squares))
        scale = Local("rownorm", features, rows, divisor=self.part.head_dim, eps=self.part.norm.eps if self.part.norm else 0.0)
        return [*steps, _step(f"{x}_norm_scale", scale, (x, squares, self.named(f"{x}_norm")), x),
                reshape(x, tokens, heads, features)]

    def _append(self, tokens: int) -> Steps:
        """Keep keys and values of the tokens, each on its row."""
        return [append(f"cache.{self.prefix}keys", "k"), append(f"cache.{self.prefix}values", "v"),
                _step("append", Local("mov", self.kv, 2 * math.ceil(tokens / self.mapping.height)))]

    def _heads(self, name: str) -> list[str]:
        """Names of the parts of value ``name`` of the key-value heads in a column."""
        return [f"{name}_{head}" for head in range(self.heads_per_column)]

    def _scores(self, tokens: int, slots: int) -> Steps:
        """``scores`` (heads * rows, slots), masked; the rows of a key-value head are its tokens * group queries."""
        m, heads, group, features, rows = self.mapping, self.heads_per_column, self.group, self.features, tokens * self.group
        queries, keys, scores = (self._heads(name) for name in ("q", "keys", "scores"))
        steps: Steps = [reshape("q", tokens, heads, group, features), pick("q", queries, 1, range(heads)),
                        first(f"cache.{self.prefix}keys", "keys", 1, slots), pick("keys", keys, 0, range(heads))]
        for query, key, score in zip(queries, keys, scores, strict=True):
            steps += [reshape(query, rows, features), _step(score, GemmTransposed(rows, slots, features), (query, key), score)]
        steps += [stack(scores, "scores", 0), reshape("scores", heads * rows, slots)]
        if self.segment > 1:
            reduce = all_reduce(m, heads * rows * slots, "x", segment=self.segment)
            steps.append(_step("scores_reduce", reduce, ("scores",), "scores"))
        return [*steps, _step("mask", Local("add", slots, heads * rows, form=m.form), ("scores", "table.mask"), "scores")]

    def _softmax(self, tokens: int, slots: int) -> Steps:
        """``attended`` (tokens, q): the softmax of ``scores`` over the positions of all rows, times the values."""
        m, heads, group, features, rows = self.mapping, self.heads_per_column, self.group, self.features, tokens * self.group
        parts, values, attended = (self._heads(name) for name in ("shares", "values", "attended"))
        steps: Steps = [
            _step("softmax_max", Local("rowmax", slots, heads * rows), ("scores",), "top"),
            _step("softmax_max_reduce", all_reduce(m, heads * rows, "y", op="max"), ("top",), "top"),
            _step("softmax_exp", Local("expsub", slots, heads * rows, form=m.form), ("scores", "top"), "shares"),
            _step("softmax_sum", Local("rowsum", slots, heads * rows), ("shares",), "total"),
            _step("softmax_sum_reduce", all_reduce(m, heads * rows, "y", precision="fp32"), ("total",), "total"),
            reshape("shares", heads, rows, slots), pick("shares", parts, 0, range(heads)),
            first(f"cache.{self.prefix}values", "values", 1, slots), pick("values", values, 0, range(heads))]
        steps += [_step(f"values_{head}", Gemm(rows, slots, features), (parts[head], values[head]), attended[head])
                  for head in range(heads)]
        return [*steps, stack(attended, "attended", 0),
                _step("values_reduce", all_reduce(m, tokens * self.q, "y"), ("attended",), "attended"),
                reshape("attended", heads * rows, features),
                _step("softmax_divide", Local("rowdiv", features, heads * rows, form=m.form), ("attended", "total"),
                      "attended"),
                reshape("attended", heads, tokens, group, features), swap("attended", 0), reshape("attended", tokens, self.q)]

    def _output(self, tokens: int) -> Steps:
        """``out``: the output projection of ``attended``."""
        m = self.mapping
        steps: Steps = [_step("o", Gemm(tokens, self.q, m.hidden), ("attended", self.named("o")), "out"),
                        _step("o_reduce", all_reduce(m, tokens * m.hidden, "x"), ("out",), "out")]
        if "o" in self.part.biases:
            steps += add_bias(m, "attention", f"{self.prefix}o_bias", tokens, m.hidden, "out")
        return steps
