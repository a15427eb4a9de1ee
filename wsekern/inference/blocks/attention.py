"""Grouped-query attention with rotary positions, a causal mask and a cache that grows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from wsekern.inference.blocks.common import NormRows, add_bias, all_reduce
from wsekern.inference.blocks.heads import HeadsOnGrid
from wsekern.inference.blocks.part import BlockWeights
from wsekern.inference.steps import LayerStep, Steps, Values, View, append, join, pick, repeat, reshape, split, stack, swap
from wsekern.inference.weights import TileCutter
from wsekern.number_formats import narrow
from wsekern.ops import Gemm, GemmTransposed, Local
from wsekern.workload.decoder import Norm
from wsekern.workload.rope import rotation

_step = partial(LayerStep, "attention")


@dataclass(frozen=True)
class AttentionOnGrid(HeadsOnGrid):
    """Attention of one layer on a grid."""

    label = "attention"

    def missing(self) -> str:
        """What has no steps yet."""
        part = self.part
        found = {"an indexer": part.indexer, "keys and values of another layer": part.cache_of,
                 "compressed queries beside whole keys": part.q_rank, "a compressed output projection": part.o_rank,
                 "keys and values of several tokens in one": part.compression != 1}
        if part.norm and part.norm_apart and part.norm.bias:
            return "biases of norms of each head"
        return next((name for name, there in found.items() if there), "")

    def assumptions(self) -> list[str]:
        """What a window saves."""
        if not self.part.reach:
            return []
        return [f"layers that look back over {self.part.reach:,} tokens read these alone, and keep the whole context as others "
                "do"]

    @property
    def scale(self) -> float:
        """What scores are multiplied by."""
        return self.part.scale or 1 / math.sqrt(self.part.head_dim)

    def factor(self, name: str) -> np.float32:
        """Queries that have no norm come out of the projection as they are multiplied with keys."""
        return np.float32(self.scale if name == "q" and not self.part.norm else 1)

    # -- weights, cache and tables ------------------------------------------------------------------------------------
    def cache(self) -> dict[str, tuple[int, ...]]:
        """Keys and values."""
        heads, slots = self.heads_per_column, self.mapping.slots
        return {f"cache.{self.prefix}keys": (heads, slots, self.features),
                f"cache.{self.prefix}values": (heads, slots, self.value_features)}

    def cache_order(self, name: str) -> tuple[int, ...]:
        """A feature of all keys of a column, the values of a row: side by side."""
        return (2, 1, 4, 3, 0) if name.endswith("keys") else (2, 0, 3, 1, 4)

    def tiles(self, weights: BlockWeights, where: str) -> Values:
        """``weights.qkv`` (hidden, :attr:`columns`) goes from y to x and ``weights.o`` (out, hidden) back; ``weights.qkv_bias``
        (1, columns), the norms of heads and ``weights.sinks`` lie along x, ``weights.o_bias`` (1, hidden) along y."""
        m, cutter, w, part = self.mapping, TileCutter(self.mapping, where), self.own(weights), self.part
        hidden, q, kv, v, out = (m.index_y(m.config.hidden),
                                 *(index.reshape(m.width, -1) for index in (self.q_index, self.kv_index, self.v_index,
                                                                            self.out_index)))
        # Scores are divided by sqrt(head_dim) once and for all: in the query weights, or in the query norm.
        scale = np.float32(self.scale)
        early = self.factor("q")
        named = {"q": (w["q"] * early, q), "k": (w["k"], kv)} | ({} if part.values_are_keys else {"v": (w["v"], v)})
        named |= {"gate": (w["attention_gate"], out)} if part.gate else {}
        tiles = {"qkv": cutter.matrix([matrix for matrix, _ in named.values()], hidden, [index for _, index in named.values()],
                                      name=self.named("qkv")),
                 "o": cutter.matrix([w["o"]], out, [hidden], transposed=True, name=self.named("o"))}
        if "o" in part.biases:
            tiles["o_bias"] = cutter.along_y(w["o_bias"], hidden)[:, :, None]
        if set("qkv") & set(part.biases):
            biases = [w.get(f"{name}_bias", np.zeros(matrix.shape[1], np.float32)) for name, (matrix, _) in named.items()]
            biases[0] = biases[0] * early
            tiles["qkv_bias"] = cutter.along_x(biases, [index for _, index in named.values()])[:, :, None]
        if part.sinks:
            tiles["sinks"] = cutter.along_x([w["sinks"]], [self.query_head_index.reshape(m.width, -1)])
        tiles |= self._norm_tiles(w, cutter, scale)
        return {self.named(name): tile for name, tile in tiles.items()}

    def _norm_tiles(self, w: BlockWeights, cutter: TileCutter, scale: np.float32) -> Values:
        """Gains of the norms of queries, keys and values, ones where they have none; biases; places of layer norms."""
        part, width = self.part, self.mapping.width
        wholes = {"q": (self.q_index.reshape(width, -1), part.q_size), "k": (self.kv_index.reshape(width, -1), part.kv_size)}
        heads = {"q": (self.feature_index, part.head_dim), "k": (self.feature_index, part.head_dim),
                 "v": (self.value_index, part.value_dim or part.head_dim)}
        tiles: Values = {}
        for name, norm in (("q", part.norm), ("k", part.norm), ("v", part.value_norm)):
            if norm is None:
                continue
            index, size = wholes[name] if part.norm_whole and name != "v" else heads[name]
            ones, factor = np.ones(size, np.float32), scale if name == "q" else np.float32(1)
            gain = (w[f"{name}_norm"] if norm.gain else ones) * factor
            if part.norm_apart and name != "v":
                tiles[f"{name}_gains"] = cutter.along_x([gain.reshape(-1)], [wholes[name][0]])[:, :, None]
                gain = ones
            tiles[f"{name}_norm"] = cutter.along_x([gain], [index])
            if norm.bias:
                tiles[f"{name}_norm_bias"] = cutter.along_x([w[f"{name}_norm_bias"] * factor], [index])[:, :, None]
            if norm.kind == "layer":
                tiles[f"{name}_places"] = cutter.along_x([ones], [index])
        return tiles

    def tables(self, start: int, tokens: int, slots: int) -> Values:
        """Cosine and sine, (tokens, features / 2): each column its own pairs; the mask of scores; factors of queries."""
        part, m, positions = self.part, self.mapping, np.arange(start, start + tokens)
        tables = {"table.mask": self._mask(positions, slots)}
        if part.rotary:
            turns = rotation(part.rotary, positions)
            for name, turn, rest in zip(("table.cos", "table.sin"), turns, (1, 0), strict=True):
                whole = np.pad(turn, ((0, 0), (0, len(self.pairs) - turn.shape[1])), constant_values=rest)
                columns = np.where(self.pair_index[:, None] >= 0, whole[:, self.pair_index].swapaxes(0, 1), 0)
                columns = narrow(columns.astype(np.float32), m.precision, "rope")
                tables[name] = np.broadcast_to(columns, (m.height, *columns.shape))
        if part.temperature:
            strength, reach, first = part.temperature
            passed = np.floor((positions + first) / reach)
            factors = narrow((1 + strength * np.log1p(passed)).astype(np.float32), m.precision, "temperature")
            tables["table.temperature"] = np.broadcast_to(factors[:, None], (m.height, m.width, tokens, 1))
        if part.sinks:
            first_row = np.where(np.arange(m.height) == 0, np.float32(0), _lowest(m.precision))
            column = narrow(first_row, m.precision, "mask")[:, None, None]
            tables["table.first_row"] = np.broadcast_to(column, (m.height, m.width, self.heads_per_column * self.group))
        return tables

    def _mask(self, positions: np.ndarray, slots: int) -> np.ndarray:
        """0 where a query may see a position, very negative elsewhere: (height, width, heads * tokens * group, slots seen).

        A query sees itself and what came before, ``window`` positions in all, or those of its own ``chunk``.
        """
        m, part, seen_slots = self.mapping, self.part, self.seen_slots(len(positions), slots)
        slot = np.arange(slots - seen_slots, slots)
        position, now = (slot * m.height + np.arange(m.height)[:, None])[:, None], positions[:, None]  # (row, token, slot)
        seen = position <= now
        if part.window:
            seen &= position > now - part.window
        if part.chunk:
            seen &= position // part.chunk == now // part.chunk
        mask = np.where(seen, np.float32(0), _lowest(m.precision))
        if part.alibi:
            slopes = np.float32(part.alibi) * np.append(alibi_slopes(part.heads), np.float32(0))
            slopes = slopes[self.query_head_index]  # (width, heads, group)
            distance = (position - now).astype(np.float32)[:, None, None, :, None]
            bias = np.where(seen[:, None, None, :, None], slopes[:, :, None, :, None] * distance, mask[:, None, None, :, None])
            mask = bias.reshape(m.height, m.width, -1, seen_slots)
        else:
            mask = np.tile(np.repeat(mask, self.group, axis=1), (1, self.heads_per_column, 1))[:, None]
        return np.broadcast_to(narrow(mask, m.precision, "mask"), (m.height, m.width, *mask.shape[2:]))

    # -- steps --------------------------------------------------------------------------------------------------------
    def steps(self, tokens: int, slots: int) -> Steps:
        """Projections, cache, scores, softmax, values, projection back."""
        return [*self._projections(tokens), *self._norms_and_turns(tokens), *self._append(tokens),
                *self._scores(tokens, slots), *self._softmax(tokens, slots), *self._output(tokens)]

    def _projections(self, tokens: int) -> Steps:
        """``q`` (tokens, heads * group, features), ``k`` and ``v`` (tokens, heads, features); ``gates`` (tokens, out)."""
        m, heads, features, part, qkv = self.mapping, self.heads_per_column, self.features, self.part, sum(self.columns)
        names = ("q", "k", *(() if part.values_are_keys else ("v",)), *(("gates",) if part.gate else ()))
        steps: Steps = [_step("qkv", Gemm(tokens, m.hidden, qkv), ("h", self.named("qkv")), "qkv"),
                        _step("qkv_reduce", all_reduce(m, tokens * qkv, "y"), ("qkv",), "qkv")]
        if set("qkv") & set(part.biases):
            steps += add_bias(m, "attention", f"{self.prefix}qkv_bias", tokens, qkv, "qkv")
        steps.append(split("qkv", names, self.columns, axis=1))
        if part.clip:
            limits = {"q": part.clip if part.norm else part.clip * self.scale, "k": part.clip, "v": part.clip}
            steps += [_step("clip", Local("clip", size, tokens, factor=limits[name], form=m.form), (name,), name)
                      for name, size in zip(names, self.columns, strict=True) if name in limits]
        return [*steps, reshape("q", tokens, heads * self.group, features),
                reshape("k", tokens, heads, features),
                reshape("k" if part.values_are_keys else "v", tokens, heads, self.value_features, output="v")]

    def _norms_and_turns(self, tokens: int) -> Steps:
        """Norms of heads and rotation, in their order; then what makes queries of far positions larger."""
        part, heads, queries = self.part, self.heads_per_column, self.heads_per_column * self.group
        norms = [step for x, count in (("q", queries), ("k", heads)) for step in self._norm(x, tokens, count, part.norm)]
        norms += self._norm("v", tokens, heads, part.value_norm)
        turns: Steps = []
        if part.rotary:
            rope, turn = partial(Local, "rope", self.features, form=self.mapping.form), ("table.cos", "table.sin")
            turns = [_step("rope_q", rope(tokens * queries, heads=queries), ("q", *turn), "q"),
                     _step("rope_k", rope(tokens * heads, heads=heads), ("k", *turn), "k")]
        steps = [*turns, *norms] if part.norm_late else [*norms, *turns]
        if part.temperature:
            work = Local("mul", self.q, tokens, form=self.mapping.form)
            steps += [reshape("q", tokens, self.q), repeat("table.temperature", "factors", 1, self.q),
                      _step("temperature", work, ("q", "factors"), "q"), reshape("q", tokens, queries, self.features)]
        return steps

    def _norm(self, x: str, tokens: int, heads: int, norm: Norm | None) -> Steps:
        """Norm of every query, key or value head, or of all together: ``x`` is (tokens, heads, features)."""
        if norm is None:
            return []
        part, features = self.part, self.value_features if x == "v" else self.features
        whole = part.norm_whole and x != "v"
        rows, n = (tokens, heads * features) if whole else (tokens * heads, features)
        sizes = {"q": part.q_size, "k": part.kv_size} if whole else {"v": part.value_dim or part.head_dim}
        work = NormRows(self.mapping, norm, "attention", rows, n, sizes.get(x, part.head_dim), self.named(f"{x}_norm"),
                        self.named(f"{x}_norm_bias"), self.named(f"{x}_places"), axis="x",
                        segment=0 if whole else self.segment, name=f"{x}_norm")
        steps = [reshape(x, rows, n), *work.steps(x, x, f"{x}_squares")]
        if part.norm_apart and x != "v":
            gains = Local("mul", heads * features, tokens, form=self.mapping.form)
            steps += [reshape(x, tokens, heads * features), repeat(self.named(f"{x}_gains"), "gains", 0, tokens),
                      _step(f"{x}_gains", gains, (x, "gains"), x)]
        return [*steps, reshape(x, tokens, heads, features)]

    def _append(self, tokens: int) -> Steps:
        """Keep keys and values of the tokens, each on its row."""
        kept = math.ceil(tokens / self.mapping.height)
        work = [Local("mov", self.kv, 2 * kept)]
        if self.kv != self.v:
            work = [Local("mov", self.kv, kept), Local("mov", self.v, kept)]
        return [append(f"cache.{self.prefix}keys", "k"), append(f"cache.{self.prefix}values", "v"),
                *(_step("append", move) for move in work)]

    def _heads(self, name: str) -> list[str]:
        """Names of the parts of value ``name`` of the key-value heads in a column."""
        return [f"{name}_{head}" for head in range(self.heads_per_column)]

    def _seen(self, name: str, parts: Sequence[str], tokens: int, slots: int) -> Steps:
        """``parts``: of each key-value head in a column, what is seen of ``name`` in the cache."""
        seen = (slots - self.seen_slots(tokens, slots), slots) if self.part.reach else (slots,)
        return [View("first", (f"cache.{self.prefix}{name}",), (name,), 1, seen), pick(name, parts, 0, range(len(parts)))]

    def _scores(self, tokens: int, slots: int) -> Steps:
        """``scores`` (heads * rows, slots), masked; the rows of a key-value head are its tokens * group queries."""
        m, heads, group, features, rows = self.mapping, self.heads_per_column, self.group, self.features, tokens * self.group
        seen = self.seen_slots(tokens, slots)
        queries, keys, scores = (self._heads(name) for name in ("q", "keys", "scores"))
        steps: Steps = [reshape("q", tokens, heads, group, features), pick("q", queries, 1, range(heads)),
                        *self._seen("keys", keys, tokens, slots)]
        for query, key, score in zip(queries, keys, scores, strict=True):
            steps += [reshape(query, rows, features), _step(score, GemmTransposed(rows, seen, features), (query, key), score)]
        steps += [stack(scores, "scores", 0), reshape("scores", heads * rows, seen)]
        if self.segment > 1:
            reduce = all_reduce(m, heads * rows * seen, "x", segment=self.segment)
            steps.append(_step("scores_reduce", reduce, ("scores",), "scores"))
        if self.part.softcap:
            cap = Local("softcap", seen, heads * rows, factor=self.part.softcap, form=m.form)
            steps.append(_step("softcap", cap, ("scores",), "scores"))
        return [*steps, _step("mask", Local("add", seen, heads * rows, form=m.form), ("scores", "table.mask"), "scores")]

    def _sinks(self, tokens: int, slots: int) -> Steps:
        """One more score in each row of ``scores``, that of the head's sink, on the first row of PEs."""
        heads, group = self.heads_per_column, self.group
        add = Local("add", 1, heads * group, form=self.mapping.form)
        return [_step("sinks", add, (self.named("sinks"), "table.first_row"), "sink"), reshape("sink", heads, 1, group),
                repeat("sink", "sink", 1, tokens), reshape("sink", heads * tokens * group, 1),
                join(("scores", "sink"), "scores", 1)]

    def _softmax(self, tokens: int, slots: int) -> Steps:
        """``attended`` (tokens, out): the softmax of ``scores`` over the positions of all rows, times the values."""
        m, heads, group, rows = self.mapping, self.heads_per_column, self.group, tokens * self.group
        seen, features = self.seen_slots(tokens, slots), self.value_features
        parts, values, attended = (self._heads(name) for name in ("shares", "values", "attended"))
        steps, wide = (self._sinks(tokens, slots), seen + 1) if self.part.sinks else ([], seen)
        steps += [
            _step("softmax_max", Local("rowmax", wide, heads * rows), ("scores",), "top"),
            _step("softmax_max_reduce", all_reduce(m, heads * rows, "y", op="max"), ("top",), "top"),
            _step("softmax_exp", Local("expsub", wide, heads * rows, form=m.form), ("scores", "top"), "shares"),
            _step("softmax_sum", Local("rowsum", wide, heads * rows), ("shares",), "total"),
            _step("softmax_sum_reduce", all_reduce(m, heads * rows, "y", precision="fp32"), ("total",), "total")]
        if self.part.sinks:
            steps.append(split("shares", ("shares", "sink"), (seen, 1), axis=1))
        steps += [reshape("shares", heads, rows, seen), pick("shares", parts, 0, range(heads)),
                  *self._seen("values", values, tokens, slots)]
        steps += [_step(f"values_{head}", Gemm(rows, seen, features), (parts[head], values[head]), attended[head])
                  for head in range(heads)]
        return [*steps, stack(attended, "attended", 0),
                _step("values_reduce", all_reduce(m, tokens * self.out, "y"), ("attended",), "attended"),
                reshape("attended", heads * rows, features),
                _step("softmax_divide", Local("rowdiv", features, heads * rows, form=m.form), ("attended", "total"),
                      "attended"),
                reshape("attended", heads, tokens, group, features), swap("attended", 0),
                reshape("attended", tokens, self.out)]

    def _output(self, tokens: int) -> Steps:
        """``out``: the output projection of ``attended``."""
        m, steps = self.mapping, []
        if self.part.gate:
            gate = Local("sigmoid_mul", self.out, tokens, form=m.form)
            steps.append(_step("gate", gate, ("gates", "attended"), "attended"))
        steps += [_step("o", Gemm(tokens, self.out, m.hidden), ("attended", self.named("o")), "out"),
                  _step("o_reduce", all_reduce(m, tokens * m.hidden, "x"), ("out",), "out")]
        if "o" in self.part.biases:
            steps += add_bias(m, "attention", f"{self.prefix}o_bias", tokens, m.hidden, "out")
        return steps


def _lowest(precision: str) -> np.float32:
    """What a score is added where a query may not look: its exponential is 0."""
    return np.float32(-3e4 if precision.startswith("fp16") else -1e30)


def alibi_slopes(heads: int) -> np.ndarray:
    """What a score loses for each token back, by head (arXiv 2108.12409)."""
    whole = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (head + 1) / whole) for head in range(whole)]
    slopes += [2 ** (-4 * (2 * head + 1) / whole) for head in range(heads - whole)]
    return np.array(slopes, np.float32)
