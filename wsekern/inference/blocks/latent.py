"""Multi-head latent attention in its absorbed form: heads read the compressed cache as it is.

A query is projected into the latent space, where its product with a cached position is the score that the expanded key would
give, and the attended latent is projected to a value behind the softmax (arXiv 2405.04434, 2.1.2). The latents lie along x in
pairs, rotated ones last; where there are more columns than pairs there are more *copies* of the cache, each for its share of
the heads. Between the projections heads lie along y, each on rows of its own:

h (y) -> compressed queries (x) -> queries (y) -> in latent space (x), scores, attended -> values (y) -> turned (x) -> out (y)
"""

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from wsekern.formulas import largest
from wsekern.inference.blocks.common import add_bias, all_reduce, norm_form
from wsekern.inference.blocks.folding import HEADROOM, folded, gain_in_rows, read_steps, with_gain
from wsekern.inference.blocks.latent_places import LatentPlaces
from wsekern.inference.blocks.part import BlockWeights
from wsekern.inference.reference.latent import check_indexer
from wsekern.inference.steps import LayerStep, Steps, Values, append, first, join, pick, repeat, reshape, split, stack, take
from wsekern.inference.weights import TileCutter
from wsekern.number_formats import narrow
from wsekern.ops import Gemm, GemmTransposed, Local
from wsekern.ops.local.vector import room_bytes
from wsekern.workload.decoder import Norm
from wsekern.workload.request import PRECISIONS
from wsekern.workload.rope import rotation

_step = partial(LayerStep, "attention")

@dataclass(frozen=True)
class LatentOnGrid(LatentPlaces):
    """Latent attention of one layer on a grid."""

    label = "attention"
    readers = ("q_a", "q", "kv_a")

    def assumptions(self) -> list[str]:
        """The form of attention, and where the cache lies."""
        part = self.part
        copies = f", {self.copies} times, each for its share of the heads" if self.copies > 1 else ""
        lines = [f"latent attention in its absorbed form, for prompts too: {part.latent} elements are kept of a position and "
                 f"layer, on {self.segment} columns{copies}"]
        if part.indexer is not None:
            lines.append("every position is read: the indexer, which would choose "
                         f"{part.indexer.chosen:,} of them, is left out")
        return lines

    # -- memory -------------------------------------------------------------------------------------------------------
    @property
    def weights(self) -> int:
        """Elements of the projections, of norms and biases."""
        m, part, row = self.mapping, self.part, self.heads_per_row
        projections = m.hidden * (self.compressed + self.features) + (self.compressed * row * self.query if part.q_rank else 0)
        projections += row * self.features * (self.query + self.value) + self.turned * m.hidden
        in_rows = self._norms_ride and gain_in_rows(m)
        norms = 3 * self.features + (self.compressed if part.q_rank and not in_rows else 0)
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
        """Scores of one token, of the heads of one turn."""
        return self.heads // self.turns * self.mapping.slots

    def room(self) -> int:
        """Bytes of the exponentials, of the sums' reciprocals, or of the products of a rotation."""
        m, rows = self.mapping, self.mapping.chunk * self.heads
        one_over = room_bytes("one_over", m.form, "fp32", rows) + 4 * rows if m.form != "scalar" else 0
        return largest(room_bytes("expsub", m.form, m.precision, rows * m.slots), one_over,
                   math.ceil(2 * PRECISIONS[m.precision] * rows * self.features))

    # -- work ---------------------------------------------------------------------------------------------------------
    def steps(self, tokens: int, slots: int) -> Steps:
        """Projections, the cache, scores and softmax as in other attention, projections back."""
        return [*self._compress(tokens), *self._queries(tokens), *self._latents(tokens), *self._attend(tokens, slots),
                *self._values(tokens), *self._output(tokens)]

    def _compress(self, tokens: int) -> Steps:
        """``compressed`` (tokens, compressed) queries and ``latent`` (tokens, features), both normed."""
        m, part, n = self.mapping, self.part, self.compressed
        both = n + self.features
        steps = read_steps(m, "attention", "compress", tokens, both, self.named("compress"), "both", self.folded)
        if part.biases:
            steps += add_bias(m, "attention", f"{self.prefix}compress_bias", tokens, both, "both")
        steps.append(split("both", ("compressed", "latent"), (n, self.features), axis=1))
        if part.norm is None:
            return steps
        steps += self._squares(tokens)
        if self._norms_ride:
            return [*steps, *(self._unscaled(tokens) if part.q_rank and not gain_in_rows(m) else [])]
        reduce = all_reduce(m, self._sums * tokens, "x", precision="fp32")
        steps.append(_step("norm_reduce", reduce, ("squares",), "squares"))
        if part.q_rank:
            scale = Local("rownorm", n, tokens, divisor=part.q_rank, eps=part.norm.eps)
            steps += [split("squares", ("q_squares", "squares"), (tokens, tokens), axis=0),
                      _step("q_norm_scale", scale, ("compressed", "q_squares", self.named("q_a_norm")), "compressed")]
        return [*steps, *self._normed_latents(tokens, part.norm)]

    @property
    def _norms_ride(self) -> bool:
        """Whether the sums of squares of compressed queries and latents ride in the reduction of the queries."""
        return folded(self.mapping, self.part.norm) is not None

    @property
    def _sums(self) -> int:
        """Sums of squares of a token: of its latents, and of its compressed queries."""
        return 2 if self.part.q_rank else 1

    def _unscaled(self, tokens: int) -> Steps:
        """``compressed`` times the gain of its norm alone, where that is not in the matrix behind it."""
        multiply = Local("mul", self.compressed, tokens, form=self.mapping.form)
        return [reshape(self.named("q_a_norm"), 1, self.compressed, output="gain"), repeat("gain", "gain", 0, tokens),
                _step("q_norm_gain", multiply, ("compressed", "gain"), "compressed")]

    def _squares(self, tokens: int) -> Steps:
        """``squares`` of both, those of the latents over all copies; ``only`` the latents, and the ``rest``: what rotates is
        not normed."""
        m, part, n = self.mapping, self.part, self.features
        multiply = Local("mul", n, tokens, form=m.form)
        steps: Steps = [repeat(self.named("is_latent"), "only", 0, tokens), repeat(self.named("is_rotated"), "rest", 0, tokens),
                        _step("kv_norm_only", multiply, ("latent", "only"), "only"),
                        _step("kv_norm_rest", multiply, ("latent", "rest"), "rest"),
                        _step("kv_norm_squares", Local("sumsq", n, tokens), ("only",), "squares")]
        if part.q_rank:
            steps += [_step("q_norm_squares", Local("sumsq", self.compressed, tokens), ("compressed",), "q_squares"),
                      join(("q_squares", "squares"), "squares", 0)]
        return steps

    def _normed_latents(self, tokens: int, norm: Norm) -> Steps:
        """``latent`` of both its parts, once the squares of all columns are known."""
        m, n = self.mapping, self.features
        scale = Local("rownorm", n, tokens, divisor=self.part.kv_rank * self.copies, eps=norm.eps, form=norm_form(m))
        return [_step("kv_norm_scale", scale, ("only", "squares", self.named("kv_a_norm")), "only"),
                _step("kv_norm_join", Local("add", n, tokens, form=m.form), ("only", "rest"), "latent")]

    def _queries(self, tokens: int) -> Steps:
        """``queries`` (tokens, heads, features) of the heads of this copy, in latent space: each head by its rows, then to all
        rows. The features that rotate pass through ones."""
        m, part, row, width = self.mapping, self.part, self.heads_per_row, self.heads * self.features
        count = row * self.query
        if part.q_rank:
            steps: Steps = [_step("q", Gemm(tokens, self.compressed, count), ("compressed", self.named("q_b")), "q"),
                            *self._summed(tokens, "q", "q_reduce", count, "x", riding=self._norms_ride)]
        else:
            steps = self._moved(tokens, "compressed", "query_places", "q", count, "x", riding=self._norms_ride)
        if self._norms_ride and part.norm is not None:
            steps += self._scaled_queries(tokens, part.norm, count) if part.q_rank else []
            steps += self._normed_latents(tokens, part.norm)
        heads = [f"q_{head}" for head in range(row)]
        ups = [f"up_{head}" for head in range(row)]
        steps += [reshape("q", tokens, row, self.query), pick("q", heads, 1, range(row)),
                  pick(self.named("key_up"), ups, 0, range(row))]
        steps += [_step(f"absorb_{head}", Gemm(tokens, self.query, self.features), (q, up), q)
                  for head, (q, up) in enumerate(zip(heads, ups, strict=True))]
        return [*steps, stack(heads, "queries", 1), take("queries", self.named("head_places"), "queries", 1),
                _step("absorb_place", Local("mov", width, tokens)),
                _step("absorb_reduce", all_reduce(m, tokens * width, "y"), ("queries",), "queries")]

    def _scaled_queries(self, tokens: int, norm: Norm, n: int) -> Steps:
        """``q`` (tokens, n), projected from compressed queries that were not normed, by what their norm multiplies them by."""
        room = HEADROOM**2
        scale = Local("rowscale", n, tokens, divisor=self.part.q_rank * room, eps=norm.eps / room)
        return [split("squares", ("q_squares", "squares"), (tokens, tokens), axis=0),
                _step("q_norm_scale", scale, ("q", "q_squares"), "q")]

    def _summed(self, tokens: int, x: str, name: str, n: int, axis: str, riding: bool = False) -> Steps:
        """``x`` (tokens, n) summed along ``axis``; ``riding``: and ``squares`` with it."""
        reduce = all_reduce(self.mapping, tokens * n, axis)
        if not riding:
            return [_step(name, reduce, (x,), x)]
        return [_step(name, replace(reduce, tail=self._sums * tokens), (x, "squares"), (x, "squares"))]

    def _moved(self, tokens: int, x: str, places: str, output: str, n: int, axis: str, riding: bool = False) -> Steps:
        """``output`` (tokens, n): elements of ``x``, which lie along ``axis``, along the other one: every PE puts those of its
        own that are wanted on its line at their ``places``, and a sum gives them to all."""
        return [take(x, self.named(places), output, 1), _step(f"{output}_place", Local("mov", n, tokens)),
                *self._summed(tokens, output, f"{output}_move", n, axis, riding)]

    def _latents(self, tokens: int) -> Steps:
        """Queries and ``latent`` rotated, and the latent kept."""
        m, part, n, heads = self.mapping, self.part, self.features, self.heads
        steps: Steps = [reshape("latent", tokens, 1, n)]
        if part.rotary is not None:
            turn, rope = ("table.cos", "table.sin"), partial(Local, "rope", n, form=m.form)
            steps += [_step("rope_q", rope(tokens * heads, heads=heads), ("queries", *turn), "queries"),
                      _step("rope_k", rope(tokens), ("latent", *turn), "latent")]
        return [*steps, append("cache.latent", "latent"),
                _step("append", Local("mov", n, math.ceil(tokens / m.height)))]

    def _attend(self, tokens: int, slots: int) -> Steps:
        """``attended`` (tokens * heads, features): the latents of all rows by the softmax of the scores.

        Where heads take turns, each row of PEs does with its own largest score first; behind the turns, what it has is weighed
        by how far that lies below the largest of all rows.
        """
        m, rows, n, count = self.mapping, tokens * self.heads, self.features, self.heads // self.turns
        steps: Steps = [first("cache.latent", "kept", 1, slots), reshape("kept", slots, n)]
        if self.turns == 1:
            steps += [*self._scores(rows, slots, "queries"),
                      _step("softmax_max_reduce", all_reduce(m, rows, "y", op="max"), ("top",), "top"),
                      *self._exponentials(rows, slots),
                      _step("softmax_sum", Local("rowsum", slots, rows), ("shares",), "total")]
        else:
            turns = range(self.turns)
            parts = {name: [f"{name}_{turn}" for turn in turns] for name in ("queries", "attended", "top", "terms")}
            steps += [reshape("queries", tokens, self.turns, count, n), pick("queries", parts["queries"], 1, turns)]
            for turn in turns:
                steps += [*self._scores(tokens * count, slots, f"queries_{turn}"), *self._exponentials(tokens * count, slots),
                          _step("softmax_sum", Gemm(tokens * count, slots, 1), ("shares", "table.ones"), f"terms_{turn}"),
                          reshape("top", tokens, count, 1, output=f"top_{turn}"), reshape(f"terms_{turn}", tokens, count, 1),
                          reshape("attended", tokens, count, n, output=f"attended_{turn}")]
            steps += [step for name in ("attended", "top", "terms")
                      for step in (stack(parts[name], name, 1), reshape(name, rows, n if name == "attended" else 1))]
            steps += self._joined(rows)
        return [*steps, _step("softmax_sum_reduce", all_reduce(m, rows, "y", precision="fp32"), ("total",), "total"),
                _step("attend_reduce", all_reduce(m, rows * n, "y"), ("attended",), "attended"),
                _step("softmax_divide", Local("rowdiv", n, rows, form=m.form), ("attended", "total"), "attended")]

    def _scores(self, rows: int, slots: int, queries: str) -> Steps:
        """``scores`` (rows, slots), masked, and the largest of each row ``top``."""
        m, n, segment = self.mapping, self.features, self.segment if self.copies > 1 else 0
        return [reshape(queries, rows, n), _step("scores", GemmTransposed(rows, slots, n), (queries, "kept"), "scores"),
                _step("scores_reduce", all_reduce(m, rows * slots, "x", segment=segment), ("scores",), "scores"),
                _step("mask", Local("add", slots, rows, form=m.form), ("scores", "table.mask"), "scores"),
                _step("softmax_max", Local("rowmax", slots, rows), ("scores",), "top")]

    def _exponentials(self, rows: int, slots: int) -> Steps:
        """``shares`` (rows, slots) of ``scores`` against ``top``, and the latents by them: ``attended`` (rows, features)."""
        return [_step("softmax_exp", Local("expsub", slots, rows, form=self.mapping.form), ("scores", "top"), "shares"),
                _step("attend", Gemm(rows, slots, self.features), ("shares", "kept"), "attended")]

    def _joined(self, rows: int) -> Steps:
        """``attended`` and ``total`` of each row of PEs as if against the largest score of all rows of PEs."""
        m, n = self.mapping, self.features
        return [_step("softmax_max_reduce", all_reduce(m, rows, "y", op="max"), ("top",), "best"),
                reshape("best", rows), _step("join_exp", Local("expsub", 1, rows, form=m.form), ("top", "best"), "weight"),
                _step("join_terms", Local("mul", 1, rows, form=m.form), ("terms", "weight"), "terms"),
                _step("join_sum", Local("rowsum", 1, rows), ("terms",), "total"), repeat("weight", "weight", 1, n),
                _step("join_attended", Local("mul", n, rows, form=m.form), ("attended", "weight"), "attended")]

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
        are; ``table.mask`` (tokens * heads of a turn, slots): 0 where a query sees a position, very negative elsewhere;
        ``table.ones`` (slots, 1)."""
        m, part, positions = self.mapping, self.part, np.arange(start, start + tokens)
        check_indexer(part, start + tokens)
        ones = np.broadcast_to(narrow(np.ones((slots, 1), np.float32), m.precision, "ones"), (m.height, m.width, slots, 1))
        tables: Values = {"table.positions": positions, "table.mask": self._mask(positions, slots), "table.ones": ones}
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
        mask = np.repeat(narrow(mask, m.precision, "mask"), self.heads // self.turns, axis=1)
        return np.broadcast_to(mask[:, None], (m.height, m.width, *mask.shape[1:]))

    # -- weights ------------------------------------------------------------------------------------------------------
    def tiles(self, weights: BlockWeights, where: str) -> Values:
        """``compress`` (hidden, compressed + features) from y to x, ``q_b`` (compressed, queries of a row) back; ``key_up``
        (heads_per_row, query, features) into latent space and ``value_up`` (heads_per_row, features, value) out of it; ``o``
        (turned, hidden) from x to y; norms and biases along their vectors; ``*_places``: where elements lie that are moved."""
        m, part, w, cutter = self.mapping, self.part, self.own(weights), TileCutter(self.mapping, where)
        hidden, values = m.index_y(m.config.hidden), m.index_x(part.heads * part.value_dim)
        scale = np.float32(part.scale or part.query_dim**-0.5)
        columns = m.index_x(part.q_rank or part.heads * part.query_dim)
        queries = self.of_heads(self.query_feature, part.query_dim)
        outer = w["q_a"] if part.q_rank else w["q"] * scale
        tiles = {"compress": cutter.matrix([outer, w["kv_a"]], hidden, [columns, self.latent_index]),
                 "o": cutter.matrix([w["o"]], values, [hidden], transposed=True), **self._absorbed(w, cutter),
                 "head_places": _places(self.head_of_row[:, None], self.head_of_copy[None]),
                 "copy_places": _places(self.head_of_copy[None], self.head_of_row[:, None]),
                 "value_places": _places(self.of_heads(self.features_of_row(part.value_dim), part.value_dim)[:, None],
                                         values[None])}
        if part.q_rank:
            tiles["q_b"] = cutter.matrix([self._query_matrix(w) * scale], columns, [queries], transposed=True)
        else:
            tiles["query_places"] = _places(columns[None], queries[:, None])
        if part.norm is not None:
            rotated = self.latent_index >= part.kv_rank
            tiles["kv_a_norm"] = cutter.along_x([w["kv_a_norm"]], [np.where(rotated, -1, self.latent_index)])
            for name, chosen in (("is_latent", ~rotated & (self.latent_index >= 0)), ("is_rotated", rotated)):
                tiles[name] = cutter.along_x([np.ones(1, np.float32)], [np.where(chosen, 0, -1)])[:, :, None]
            if part.q_rank and not (self._norms_ride and gain_in_rows(m)):
                room = np.float32(HEADROOM if self._norms_ride else 1)
                tiles["q_a_norm"] = cutter.along_x([w["q_a_norm"] / room], [columns])
        return {self.named(name): tile for name, tile in (tiles | self._biases(w, cutter, columns, scale)).items()}

    def _query_matrix(self, w: BlockWeights) -> np.ndarray:
        """``q_b`` (compressed, queries), its rows times the gain of the norm where that is folded into it."""
        in_rows = self._norms_ride and gain_in_rows(self.mapping)
        return with_gain(w, ["q_b"], w["q_a_norm"])["q_b"] if in_rows else w["q_b"]

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
        for matrix, feature in ((passing, self.query_feature), (back, self.features_of_row(part.value_dim))):
            rows = self.of_heads(feature, matrix.shape[1])
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
    """Where among the elements ``there`` (..., m) of a PE each of the elements ``wanted`` (..., n) stands; -1: not there.

    Their first axes are those of the grid, one of them of size 1 in each.
    """
    same = (there[..., None, :] == wanted[..., :, None]) & (wanted[..., :, None] >= 0)
    return np.where(same.any(axis=-1), same.argmax(axis=-1), -1)
