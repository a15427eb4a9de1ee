"""Grouped-query attention with rotary positions, a causal mask and a cache that grows."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from wsekern.inference.blocks.common import NormRows, add_bias, all_reduce, sums_together
from wsekern.inference.blocks.folding import read_steps
from wsekern.inference.blocks.part import BlockWeights
from wsekern.inference.blocks.softmax import SoftmaxOnGrid, lowest
from wsekern.inference.steps import LayerStep, Steps, Values, append, join, repeat, reshape, split
from wsekern.inference.weights import TileCutter
from wsekern.number_formats import narrow
from wsekern.ops import Gemm, Local
from wsekern.workload.decoder import Norm
from wsekern.workload.rope import rotation

_step = partial(LayerStep, "attention")


@dataclass(frozen=True)
class AttentionOnGrid(SoftmaxOnGrid):
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
        return [f"layers that look back over {self.part.reach:,} tokens read and keep these alone"]

    @property
    def scale(self) -> float:
        """What scores are multiplied by."""
        return (self.part.scale or 1 / math.sqrt(self.part.head_dim)) * self.unit

    readers = ("q", "k", "v", "attention_gate")

    def factor(self, name: str) -> np.float32:
        """Queries that have no norm come out of the projection as they are multiplied with keys."""
        return np.float32(self.scale if name == "q" and not self.part.norm else 1)

    # -- weights, cache and tables ------------------------------------------------------------------------------------
    def cache(self) -> dict[str, tuple[int, ...]]:
        """Keys and values; for a bound, the largest of each feature of keys and of minus it."""
        heads, slots = self.heads_per_column, self.kept_slots
        found = {f"cache.{self.prefix}keys": (heads, slots, self.features),
                 f"cache.{self.prefix}values": (heads, slots, self.value_features)}
        return found | ({f"cache.{self.prefix}range": (2, heads, self.features)} if self.bounded else {})

    def cache_start(self, name: str) -> float:
        """No key yet is smaller than any."""
        return float(lowest(self.mapping.precision)) if name.endswith("range") else 0.0

    def cache_order(self, name: str) -> tuple[int, ...]:
        """A feature of all keys of a column, the values of a row: side by side."""
        return {"keys": (2, 1, 4, 3, 0), "values": (2, 0, 3, 1, 4)}.get(name.removeprefix(f"cache.{self.prefix}"), ())

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
        named |= {"attention_gate": (w["attention_gate"], out)} if part.gate else {}
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
            tiles["sinks"] = cutter.along_x([w["sinks"] * np.float32(self.unit)], [self.query_head_index.reshape(m.width, -1)])
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
        """Cosine and sine, (tokens, features / 2): each column its own pairs; factors of queries; the mask of scores."""
        part, m, positions = self.part, self.mapping, np.arange(start, start + tokens)
        tables = self.softmax_tables(positions, slots)
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
        return tables

    # -- steps --------------------------------------------------------------------------------------------------------
    def steps(self, tokens: int, slots: int) -> Steps:
        """Projections, cache, scores, softmax, values, projection back."""
        return [*self._projections(tokens), *self._norms_and_turns(tokens), *self._append(tokens),
                *self.scores_of(tokens, slots), *self.softmax(tokens, slots), *self._output(tokens)]

    def _projections(self, tokens: int) -> Steps:
        """``q`` (tokens, heads * group, features), ``k`` and ``v`` (tokens, heads, features); ``gates`` (tokens, out)."""
        m, heads, features, part, qkv = self.mapping, self.heads_per_column, self.features, self.part, sum(self.columns)
        names = ("q", "k", *(() if part.values_are_keys else ("v",)), *(("gates",) if part.gate else ()))
        steps = read_steps(m, "attention", "qkv", tokens, qkv, self.named("qkv"), "qkv", self.folded)
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
        norms = self._norms(tokens)
        turns: Steps = []
        if part.rotary:
            turns = self._turns(tokens, {"q": queries, "k": heads})
        steps = [*turns, *norms] if part.norm_late else [*norms, *turns]
        if part.temperature:
            work = Local("mul", self.q, tokens, form=self.mapping.form)
            steps += [reshape("q", tokens, self.q), repeat("table.temperature", "factors", 1, self.q),
                      _step("temperature", work, ("q", "factors"), "q"), reshape("q", tokens, queries, self.features)]
        return steps

    def _turns(self, tokens: int, heads: Mapping[str, int]) -> Steps:
        """Rotation of queries and keys (tokens, heads, features), which share their angles: one work of all where programs take
        rows together."""
        turn, sizes = ("table.cos", "table.sin"), list(heads.values())

        def rope(title: str, count: int, x: str) -> LayerStep:
            work = Local("rope", self.features, tokens * count, heads=count, form=self.mapping.form)
            return _step(title, work, (x, *turn), x)

        if self.mapping.programs.products == "rows":
            return [rope(f"rope_{x}", count, x) for x, count in heads.items()]
        return [join(tuple(heads), "turned", 1), rope("rope", sum(sizes), "turned"), split("turned", tuple(heads), sizes, 1)]

    def _norms(self, tokens: int) -> Steps:
        """Norms of queries, keys and values (tokens, heads, features); where norms are folded, by one reduction."""
        heads, steps = {"q": self.heads_per_column * self.group, "k": self.heads_per_column, "v": self.heads_per_column}, []
        kinds = {"q": self.part.norm, "k": self.part.norm, "v": self.part.value_norm}
        norms = {x: self._norm_rows(x, tokens, heads[x], norm) for x, norm in kinds.items() if norm is not None}
        first = next(iter(norms.values()), None)
        alike = first is not None and all(norm.segment == first.segment and norm.norm.kind == "rms" for norm in norms.values())
        if alike and len(norms) > 1 and self.mapping.programs.norms == "folded":
            steps = [*(reshape(x, norm.rows, norm.n) for x, norm in norms.items()), *sums_together(norms)]
            work = {x: norm.scaled(x, x, f"{x}_squares") for x, norm in norms.items()}
        else:
            work = {x: [reshape(x, norm.rows, norm.n), *norm.steps(x, x, f"{x}_squares")] for x, norm in norms.items()}
        for x, own in work.items():
            steps += [*own, *self._gains(x, tokens, heads[x])]
        return steps

    def _norm_rows(self, x: str, tokens: int, heads: int, norm: Norm) -> NormRows:
        """Norm of every query, key or value head, or of all together."""
        part, features = self.part, self.value_features if x == "v" else self.features
        whole = part.norm_whole and x != "v"
        rows, n = (tokens, heads * features) if whole else (tokens * heads, features)
        wholes = {"q": part.q_size * self.blocks, "k": part.kv_size * self.blocks}
        sizes = wholes if whole else {"v": part.value_dim or part.head_dim}
        return NormRows(self.mapping, norm, "attention", rows, n, sizes.get(x, part.head_dim), self.named(f"{x}_norm"),
                        self.named(f"{x}_norm_bias"), self.named(f"{x}_places"), axis="x",
                        segment=0 if whole else self.block, name=f"{x}_norm")

    def _gains(self, x: str, tokens: int, heads: int) -> Steps:
        """Gains of each head's own, where norms have them; ``x`` (tokens, heads, features) again."""
        part, features, steps = self.part, self.value_features if x == "v" else self.features, []
        if part.norm_apart and x != "v":
            gains = Local("mul", heads * features, tokens, form=self.mapping.form)
            steps += [reshape(x, tokens, heads * features), repeat(self.named(f"{x}_gains"), "gains", 0, tokens),
                      _step(f"{x}_gains", gains, (x, "gains"), x)]
        return [*steps, reshape(x, tokens, heads, features)]

    def _append(self, tokens: int) -> Steps:
        """Keep keys and values of the tokens, each on its row."""
        blocks = (self.blocks, self.block)
        kept = math.ceil(tokens / (self.mapping.height * self.blocks))
        work = [Local("mov", self.kv, 2 * kept)]
        if self.kv != self.v:
            work = [Local("mov", self.kv, kept), Local("mov", self.v, kept)]
        return [append(f"cache.{self.prefix}keys", "k", *blocks), append(f"cache.{self.prefix}values", "v", *blocks),
                *(_step("append", move) for move in work)]

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

