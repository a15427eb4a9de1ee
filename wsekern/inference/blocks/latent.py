"""Multi-head latent attention in its absorbed form: heads read the compressed cache as it is.

A query is projected into the latent space, where its product with a cached position is the score that the expanded key would
give, and the attended latent is projected to a value behind the softmax (arXiv 2405.04434, 2.1.2). The latents lie along x in
pairs, rotated ones last; where there are more columns than pairs there are more *copies* of the cache, each for its share of the
heads. Between the projections heads lie along y, each on rows of its own:

h (y) -> compressed queries (x) -> queries (y) -> in latent space (x), scores, attended latents -> values (y) -> turned (x) -> out
"""

import math
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from wsekern.inference.blocks.common import add_bias, all_reduce
from wsekern.inference.blocks.part import BlockWeights, PartOnGrid
from wsekern.inference.steps import LayerStep, Steps, Values, append, first, pick, repeat, reshape, split, stack, take
from wsekern.inference.weights import TileCutter
from wsekern.number_formats import narrow
from wsekern.ops import Gemm, GemmTransposed, Local
from wsekern.ops.local.vector import room_bytes
from wsekern.workload.decoder import LatentAttention
from wsekern.workload.request import PRECISIONS
from wsekern.workload.rope import rotation

_step = partial(LayerStep, "attention")


@dataclass(frozen=True)
class LatentOnGrid(PartOnGrid[LatentAttention]):
    """Latent attention of one layer on a grid."""

    label = "attention"

    # -- sizes of the pieces ------------------------------------------------------------------------------------------
    @cached_property
    def pairs(self) -> int:
        """Pairs of features of the cache: of latents, which need not be turned, then those that rotate."""
        return -(-self.part.kv_rank // 2) + self.part.rope_dim // 2

    @cached_property
    def copies(self) -> int:
        """Copies of the cache beside each other: columns that one would leave idle work on other heads."""
        return max(1, min(self.mapping.width // self.pairs, self.part.heads))

    @cached_property
    def segment(self) -> int:
        """Columns of one copy."""
        return self.mapping.width // self.copies

    @cached_property
    def features(self) -> int:
        """Features of the cache in one column."""
        return 2 * -(-self.pairs // self.segment)

    @cached_property
    def heads(self) -> int:
        """Heads that read one copy."""
        return -(-self.part.heads // self.copies)

    @cached_property
    def heads_per_row(self) -> int:
        """Heads on one row (1 where a head is spread over several rows)."""
        return -(-self.part.heads // self.mapping.height)

    @cached_property
    def rows_per_head(self) -> int:
        """Rows over which one head is spread."""
        return max(1, self.mapping.height // self.part.heads)

    @cached_property
    def compressed(self) -> int:
        """Elements of the compressed queries per column; of the queries, where they are not compressed."""
        return -(-(self.part.q_rank or self.part.heads * self.part.query_dim) // self.mapping.width)

    @cached_property
    def query(self) -> int:
        """Features of a query head on one row."""
        return -(-self.part.nope_dim // self.rows_per_head) - (-self.part.rope_dim // self.rows_per_head)

    @cached_property
    def value(self) -> int:
        """Features of a value head on one row."""
        return -(-self.part.value_dim // self.rows_per_head)

    @cached_property
    def turned(self) -> int:
        """Elements of the values of all heads per column."""
        return -(-self.part.heads * self.part.value_dim // self.mapping.width)

    # -- memory -------------------------------------------------------------------------------------------------------
    @property
    def weights(self) -> int:
        """Elements of the projections, of norms and biases."""
        m, part, row = self.mapping, self.part, self.heads_per_row
        projections = m.hidden * (self.compressed + self.features) + (self.compressed * row * self.query if part.q_rank else 0)
        projections += row * self.features * (self.query + self.value) + self.turned * m.hidden
        norms = 2 * self.features + (self.compressed if part.q_rank else 0)
        return projections + norms + (self.compressed + self.features + m.hidden if part.biases else 0)

    @property
    def slot(self) -> int:
        """Elements of the cache kept of one position."""
        return self.features

    @property
    def buffers(self) -> int:
        """The queries on their way, those in latent space and what they attend to, and the values."""
        return self.compressed + self.heads_per_row * (self.query + self.value) + 2 * self.heads * self.features + self.turned

    @property
    def scores(self) -> int:
        """Scores of one token."""
        return self.heads * self.mapping.slots

    def room(self) -> int:
        """Bytes of the exponentials, of the sums' reciprocals, or of the products of a rotation."""
        m, rows = self.mapping, self.mapping.chunk * self.heads
        one_over = room_bytes("one_over", m.form, "fp32", rows) + 4 * rows if m.form != "scalar" else 0
        return max(room_bytes("expsub", m.form, m.precision, rows * m.slots), one_over,
                   math.ceil(2 * PRECISIONS[m.precision] * rows * self.features))

    # -- work ---------------------------------------------------------------------------------------------------------
    def steps(self, tokens: int, slots: int) -> Steps:
        """Projections, the cache, scores and softmax as in other attention, projections back."""
        return [*self._compress(tokens), *self._queries(tokens), *self._latents(tokens), *self._scores(tokens, slots),
                *self._softmax(tokens, slots), *self._values(tokens), *self._output(tokens)]

    def _compress(self, tokens: int) -> Steps:
        """``compressed`` (tokens, compressed) queries, normed where there are any, and ``latent`` (tokens, features)."""
        m, part, n = self.mapping, self.part, self.compressed
        both = n + self.features
        steps: Steps = [_step("compress", Gemm(tokens, m.hidden, both), ("h", self.named("compress")), "both"),
                        _step("compress_reduce", all_reduce(m, tokens * both, "y"), ("both",), "both")]
        if part.biases:
            steps += add_bias(m, "attention", f"{self.prefix}compress_bias", tokens, both, "both")
        steps.append(split("both", ("compressed", "latent"), (n, self.features), axis=1))
        if not part.q_rank or part.norm is None:
            return steps
        return [*steps, _step("q_norm_squares", Local("sumsq", n, tokens), ("compressed",), "squares"),
                _step("q_norm_reduce", all_reduce(m, tokens, "x", precision="fp32"), ("squares",), "squares"),
                _step("q_norm_scale", Local("rownorm", n, tokens, divisor=part.q_rank, eps=part.norm.eps),
                      ("compressed", "squares", self.named("q_a_norm")), "compressed")]

    def _queries(self, tokens: int) -> Steps:
        """``queries`` (tokens, heads, features) of the heads of this copy, in latent space: each head by its rows, then to all
        rows. The features that rotate pass through ones."""
        m, part, row, width = self.mapping, self.part, self.heads_per_row, self.heads * self.features
        count = row * self.query
        if part.q_rank:
            steps: Steps = [_step("q", Gemm(tokens, self.compressed, count), ("compressed", self.named("q_b")), "q"),
                            _step("q_reduce", all_reduce(m, tokens * count, "x"), ("q",), "q")]
        else:
            steps = self._moved(tokens, "compressed", "query_places", "q", count, "x")
        heads = [f"q_{head}" for head in range(row)]
        ups = [f"up_{head}" for head in range(row)]
        steps += [reshape("q", tokens, row, self.query), pick("q", heads, 1, range(row)),
                  pick(self.named("key_up"), ups, 0, range(row))]
        steps += [_step(f"absorb_{head}", Gemm(tokens, self.query, self.features), (q, up), q)
                  for head, (q, up) in enumerate(zip(heads, ups, strict=True))]
        return [*steps, stack(heads, "queries", 1), take("queries", self.named("head_places"), "queries", 1),
                _step("absorb_place", Local("mov", width, tokens)),
                _step("absorb_reduce", all_reduce(m, tokens * width, "y"), ("queries",), "queries")]

    def _moved(self, tokens: int, x: str, places: str, output: str, n: int, axis: str) -> Steps:
        """``output`` (tokens, n): elements of ``x``, which lie along ``axis``, along the other one: every PE puts those of its
        own that are wanted on its line at their ``places``, and a sum gives them to all."""
        return [take(x, self.named(places), output, 1), _step(f"{output}_place", Local("mov", n, tokens)),
                _step(f"{output}_move", all_reduce(self.mapping, tokens * n, axis), (output,), output)]

    def _latents(self, tokens: int) -> Steps:
        """Queries and ``latent`` rotated, the latent normed but for what rotates, and kept."""
        m, part, n, heads = self.mapping, self.part, self.features, self.heads
        steps: Steps = []
        if part.norm is not None:
            segment = self.segment if self.copies > 1 else 0
            steps = [repeat(self.named("is_latent"), "only", 0, tokens), repeat(self.named("is_rotated"), "rest", 0, tokens),
                     _step("kv_norm_only", Local("mul", n, tokens, form=m.form), ("latent", "only"), "only"),
                     _step("kv_norm_squares", Local("sumsq", n, tokens), ("only",), "squares"),
                     _step("kv_norm_reduce", all_reduce(m, tokens, "x", segment=segment, precision="fp32"), ("squares",),
                           "squares"),
                     _step("kv_norm_scale", Local("rownorm", n, tokens, divisor=part.kv_rank, eps=part.norm.eps),
                           ("only", "squares", self.named("kv_a_norm")), "only"),
                     _step("kv_norm_rest", Local("mul", n, tokens, form=m.form), ("latent", "rest"), "rest"),
                     _step("kv_norm_join", Local("add", n, tokens, form=m.form), ("only", "rest"), "latent")]
        steps.append(reshape("latent", tokens, 1, n))
        if part.rotary is not None:
            turn, rope = ("table.cos", "table.sin"), partial(Local, "rope", n, form=m.form)
            steps += [_step("rope_q", rope(tokens * heads, heads=heads), ("queries", *turn), "queries"),
                      _step("rope_k", rope(tokens), ("latent", *turn), "latent")]
        return [*steps, append("cache.latent", "latent"),
                _step("append", Local("mov", n, math.ceil(tokens / m.height)))]

    def _scores(self, tokens: int, slots: int) -> Steps:
        """``scores`` (tokens * heads, slots), masked."""
        m, rows, n = self.mapping, tokens * self.heads, self.features
        segment = self.segment if self.copies > 1 else 0
        return [first("cache.latent", "kept", 1, slots), reshape("kept", slots, n), reshape("queries", rows, n),
                _step("scores", GemmTransposed(rows, slots, n), ("queries", "kept"), "scores"),
                _step("scores_reduce", all_reduce(m, rows * slots, "x", segment=segment), ("scores",), "scores"),
                _step("mask", Local("add", slots, rows, form=m.form), ("scores", "table.mask"), "scores")]

    def _softmax(self, tokens: int, slots: int) -> Steps:
        """``attended`` (tokens * heads, features): the latents of all rows by the softmax of ``scores``."""
        m, rows, n = self.mapping, tokens * self.heads, self.features
        return [_step("softmax_max", Local("rowmax", slots, rows), ("scores",), "top"),
                _step("softmax_max_reduce", all_reduce(m, rows, "y", op="max"), ("top",), "top"),
                _step("softmax_exp", Local("expsub", slots, rows, form=m.form), ("scores", "top"), "shares"),
                _step("softmax_sum", Local("rowsum", slots, rows), ("shares",), "total"),
                _step("softmax_sum_reduce", all_reduce(m, rows, "y", precision="fp32"), ("total",), "total"),
                _step("attend", Gemm(rows, slots, n), ("shares", "kept"), "attended"),
                _step("attend_reduce", all_reduce(m, rows * n, "y"), ("attended",), "attended"),
                _step("softmax_divide", Local("rowdiv", n, rows, form=m.form), ("attended", "total"), "attended")]

    def _values(self, tokens: int) -> Steps:
        """``values`` (tokens, turned) along x: each head's latents by the rows of the head, then turned."""
        m, row, n = self.mapping, self.heads_per_row, self.heads_per_row * self.value
        heads, ups = [f"value_{head}" for head in range(row)], [f"up_{head}" for head in range(row)]
        steps: Steps = [reshape("attended", tokens, self.heads, self.features),
                        take("attended", self.named("copy_places"), "attended", 1), pick("attended", heads, 1, range(row)),
                        pick(self.named("value_up"), ups, 0, range(row))]
        steps += [_step(f"expand_{head}", Gemm(tokens, self.features, self.value), (x, up), x)
                  for head, (x, up) in enumerate(zip(heads, ups, strict=True))]
        return [*steps, stack(heads, "values", 1), reshape("values", tokens, n),
                _step("expand_reduce", all_reduce(m, tokens * n, "x"), ("values",), "values"),
                *self._moved(tokens, "values", "value_places", "values", self.turned, "y")]

    def _output(self, tokens: int) -> Steps:
        """``out``: the output projection of ``values``."""
        m = self.mapping
        steps: Steps = [_step("o", Gemm(tokens, self.turned, m.hidden), ("values", self.named("o")), "out"),
                        _step("o_reduce", all_reduce(m, tokens * m.hidden, "x"), ("out",), "out")]
        bias = add_bias(m, "attention", f"{self.prefix}o_bias", tokens, m.hidden, "out") if self.part.biases else []
        return [*steps, *bias]

    # -- between tokens -----------------------------------------------------------------------------------------------
    def cache(self) -> dict[str, tuple[int, ...]]:
        """Latents and rotated features of every position."""
        return {"cache.latent": (1, self.mapping.slots, self.features)}

    def tables(self, start: int, tokens: int, slots: int) -> Values:
        """``table.positions`` (tokens,); ``table.cos`` and ``table.sin`` (tokens, features / 2), which leave latents as they
        are; ``table.mask`` (tokens * heads, slots): 0 where a query sees a position, very negative elsewhere."""
        m, part, positions = self.mapping, self.part, np.arange(start, start + tokens)
        tables: Values = {"table.positions": positions, "table.mask": self._mask(positions, slots)}
        if part.rotary is not None:
            pair = self.pair_index - -(-part.kv_rank // 2)
            for name, turn, still in zip(("table.cos", "table.sin"), rotation(part.rotary, positions), (1, 0), strict=True):
                columns = np.where(pair[:, None] >= 0, turn[:, np.maximum(pair, 0)].swapaxes(0, 1), np.float32(still))
                tables[name] = np.broadcast_to(narrow(columns, m.precision, "rope"), (m.height, *columns.shape))
        return tables

    def _mask(self, positions: np.ndarray, slots: int) -> np.ndarray:
        m, window = self.mapping, self.part.window
        position = np.arange(slots) * m.height + np.arange(m.height)[:, None]  # (row, slot)
        now = positions[:, None]
        seen = (position[:, None] <= now) & (not window or position[:, None] > now - window)  # (row, token, slot)
        mask = np.where(seen, np.float32(0), np.float32(-3e4 if m.precision.startswith("fp16") else -1e30))
        mask = np.repeat(narrow(mask, m.precision, "mask"), self.heads, axis=1)
        return np.broadcast_to(mask[:, None], (m.height, m.width, *mask.shape[1:]))

    # -- which element lies where -------------------------------------------------------------------------------------
    @cached_property
    def copy_of_column(self) -> np.ndarray:
        """The copy of the cache that each column belongs to (width,); -1: none."""
        copy = np.arange(self.mapping.width) // self.segment
        return np.where(copy < self.copies, copy, -1)

    @cached_property
    def pair_index(self) -> np.ndarray:
        """Pair of each place in a column (width, features / 2); -1 where padded."""
        width = self.features // 2
        places = (np.arange(self.mapping.width) % self.segment)[:, None] * width + np.arange(width)
        return np.where((places < self.pairs) & (self.copy_of_column[:, None] >= 0), places, -1)

    @cached_property
    def latent_index(self) -> np.ndarray:
        """Feature of the cache at each place of a column (width, features), kv_rank and more are rotated ones; -1 where padded."""
        part, half, pair = self.part, -(-self.part.kv_rank // 2), self.pair_index
        turned = pair - half
        neighbors = part.rotary is not None and part.rotary.neighbors
        ends = []
        for end in (0, 1):
            latent = pair + end * half
            rotated = part.kv_rank + (2 * turned + end if neighbors else turned + end * (part.rope_dim // 2))
            feature = np.where(turned >= 0, rotated, np.where(latent < part.kv_rank, latent, -1))
            ends.append(np.where(pair >= 0, feature, -1))
        return np.concatenate(ends, axis=1)

    @cached_property
    def head_of_row(self) -> np.ndarray:
        """Heads of each row (height, heads_per_row); -1 where padded."""
        head = np.arange(self.mapping.height)[:, None] // self.rows_per_head * self.heads_per_row + np.arange(self.heads_per_row)
        return np.where(head < self.part.heads, head, -1)

    def _features_of_row(self, size: int) -> np.ndarray:
        """Feature of a head at each place of a row (height, piece); -1 where padded."""
        piece = -(-size // self.rows_per_head)
        places = (np.arange(self.mapping.height) % self.rows_per_head)[:, None] * piece + np.arange(piece)
        return np.where(places < size, places, -1)

    @cached_property
    def query_feature(self) -> np.ndarray:
        """Feature of a query head at each place of a row (height, query): those without position first."""
        part, rope = self.part, self._features_of_row(self.part.rope_dim)
        return np.concatenate([self._features_of_row(part.nope_dim), np.where(rope >= 0, rope + part.nope_dim, -1)], axis=1)

    def _of_heads(self, feature: np.ndarray, size: int) -> np.ndarray:
        """Element among all heads' ``size`` features at each place of a row (height, heads_per_row * piece)."""
        head, feature = self.head_of_row[:, :, None], feature[:, None]
        return np.where((head >= 0) & (feature >= 0), head * size + feature, -1).reshape(self.mapping.height, -1)

    @cached_property
    def head_of_copy(self) -> np.ndarray:
        """Heads that read the copy of each column (width, heads); -1 where padded."""
        head = self.copy_of_column[:, None] * self.heads + np.arange(self.heads)
        return np.where((self.copy_of_column[:, None] >= 0) & (head < self.part.heads), head, -1)

    # -- weights ------------------------------------------------------------------------------------------------------
    def tiles(self, weights: BlockWeights, where: str) -> Values:
        """``compress`` (hidden, compressed + features) from y to x, ``q_b`` (compressed, queries of a row) back; ``key_up``
        (heads_per_row, query, features) into latent space and ``value_up`` (heads_per_row, features, value) out of it; ``o``
        (turned, hidden) from x to y; norms and biases along their vectors; ``*_places``: where elements lie that are moved."""
        m, part, w, cutter = self.mapping, self.part, self.own(weights), TileCutter(self.mapping, where)
        hidden, values = m.index_y(m.config.hidden), m.index_x(part.heads * part.value_dim)
        scale = np.float32(part.scale or part.query_dim**-0.5)
        columns = m.index_x(part.q_rank or part.heads * part.query_dim)
        queries = self._of_heads(self.query_feature, part.query_dim)
        outer = w["q_a"] if part.q_rank else w["q"] * scale
        tiles = {"compress": cutter.matrix([outer, w["kv_a"]], hidden, [columns, self.latent_index]),
                 "o": cutter.matrix([w["o"]], values, [hidden], transposed=True), **self._absorbed(w, cutter),
                 "head_places": _places(self.head_of_row[:, None], self.head_of_copy[None]),
                 "copy_places": _places(self.head_of_copy[None], self.head_of_row[:, None]),
                 "value_places": _places(self._of_heads(self._features_of_row(part.value_dim), part.value_dim)[:, None],
                                         values[None])}
        if part.q_rank:
            tiles["q_b"] = cutter.matrix([w["q_b"] * scale], columns, [queries], transposed=True)
        else:
            tiles["query_places"] = _places(columns[None], queries[:, None])
        if part.norm is not None:
            rotated = self.latent_index >= part.kv_rank
            tiles["kv_a_norm"] = cutter.along_x([w["kv_a_norm"]], [np.where(rotated, -1, self.latent_index)])
            tiles["is_latent"], tiles["is_rotated"] = (cutter.along_x([np.ones(1, np.float32)], [np.where(chosen, 0, -1)])[:, :, None]
                                                       for chosen in (~rotated & (self.latent_index >= 0), rotated))
            if part.q_rank:
                tiles["q_a_norm"] = cutter.along_x([w["q_a_norm"]], [columns])
        return {self.named(name): tile for name, tile in (tiles | self._biases(w, cutter, columns, scale)).items()}

    def _absorbed(self, w: BlockWeights, cutter: TileCutter) -> Values:
        """``key_up`` and ``value_up``: of each head, on its rows, the columns of ``kv_b``; ones where features only pass."""
        part, latent = self.part, self.latent_index
        expand = w["kv_b"].reshape(part.kv_rank, part.heads, part.nope_dim + part.value_dim)
        keys, values = np.split(expand, [part.nope_dim], axis=2)
        passing = np.zeros((part.heads, part.query_dim, part.kv_rank + part.rope_dim), np.float32)
        passing[:, :part.nope_dim, :part.kv_rank] = keys.transpose(1, 2, 0)
        passing[:, part.nope_dim:, part.kv_rank:] = np.eye(part.rope_dim, dtype=np.float32)
        back = np.zeros((part.heads, part.value_dim, part.kv_rank + part.rope_dim), np.float32)
        back[:, :, :part.kv_rank] = values.transpose(1, 2, 0)
        tiles = []
        for matrix, feature in ((passing, self.query_feature), (back, self._features_of_row(part.value_dim))):
            rows = self._of_heads(feature, matrix.shape[1])
            tile = cutter.matrix([matrix.reshape(-1, matrix.shape[2])], rows, [latent])
            tiles.append(tile.reshape(*tile.shape[:2], self.heads_per_row, -1, self.features))
        return {"key_up": tiles[0], "value_up": np.ascontiguousarray(tiles[1].swapaxes(-1, -2))}

    def _biases(self, w: BlockWeights, cutter: TileCutter, columns: np.ndarray, scale: np.float32) -> Values:
        """``compress_bias`` (1, compressed + features) along x and ``o_bias`` (1, hidden) along y."""
        if not self.part.biases:
            return {}
        query = w["q_a_bias"] if self.part.q_rank else w["q_bias"] * scale
        return {"compress_bias": cutter.along_x([query, w["kv_a_bias"]], [columns, self.latent_index])[:, :, None],
                "o_bias": cutter.along_y(w["o_bias"], self.mapping.index_y(self.mapping.config.hidden))[:, :, None]}


def _places(there: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where among the elements ``there`` (..., m) of a PE each of the elements ``wanted`` (..., n) stands; -1: it has not got it.

    Their first axes are those of the grid, one of them of size 1 in each.
    """
    same = (there[..., None, :] == wanted[..., :, None]) & (wanted[..., :, None] >= 0)
    return np.where(same.any(axis=-1), same.argmax(axis=-1), -1)
