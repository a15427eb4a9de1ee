"""The recurrent mixers with heads that have values: the gated delta rule, and Mamba-2."""

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from wsekern.inference.blocks.common import all_reduce
from wsekern.inference.blocks.part import BlockWeights
from wsekern.inference.blocks.recurrent import L2_EPS, HeadsOnGrid
from wsekern.inference.steps import LayerStep, Steps, Values, join, pick, repeat, reshape, split, swap
from wsekern.ops import Local

_step = partial(LayerStep, "recurrent")


@dataclass(frozen=True)
class GatedDeltaOnGrid(HeadsOnGrid):
    """S = e^g S + k (v - k e^g S) beta, read by q (Qwen3-Next): a sum over a block's rows for every token."""

    inputs = ("in_q", "in_k", "in_v", "in_z", "in_b", "in_a")

    @cached_property
    def columns(self) -> tuple[np.ndarray, ...]:
        """Keys twice, values twice, heads twice."""
        return (self.key_index,) * 2 + (self.value_index,) * 2 + (self.head_index,) * 2

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Keys twice, values twice, heads twice."""
        return (self.keys,) * 2 + (self.values,) * 2 + (self.heads,) * 2

    @property
    def weights(self) -> int:
        """Also the norm of a head, and the gains of queries and keys."""
        return super().weights + self.features + 2 * self.row_features

    def tiles(self, weights: BlockWeights, where: str) -> Values:
        """Projections, heads, ``weights.state_norm`` (features), and the gains of queries and keys (row features)."""
        w, features = self.own(weights), self.row_features
        feature = np.where(self.value_index >= 0, self.value_index % self.part.value_dim, -1)[:, :self.features]
        return (self.projection_tiles(w, where, (self.key_index, self.key_index, self.value_index), self.value_index)
                | self.head_tiles(w, where)
                | {self.named("state_norm"): self.pieces(w["state_norm"], feature),
                   self.named("q_gain"): self.constant(self.part.key_dim**-0.5, features),
                   self.named("k_gain"): self.constant(1.0, features)})

    def projection_tiles(self, w: BlockWeights, where: str, conv: tuple[np.ndarray, ...], output: np.ndarray) -> Values:
        """The convolution's weights lie behind each other: those of queries, keys and values."""
        sizes = (self.part.key_size, self.part.key_size, self.part.value_size)
        return super().projection_tiles(w, where, _behind_each_other(conv, sizes), output)

    def steps(self, tokens: int, slots: int) -> Steps:
        """Projections, convolution, keys to rows, decays, the state, the gated norm, and back."""
        m, heads, values = self.mapping, self.heads, self.values
        keys = self.keys
        return [*self.project(tokens, ("q", "k", "v", "z", "b", "a")), join(("q", "k", "v"), "mixed", 1),
                *self.convolve(tokens, "mixed", False),
                _step("silu", Local("silu", self.convolved, tokens, form=m.form), ("mixed",), "mixed"),
                split("mixed", ("q", "k", "entering"), (keys, keys, values), axis=1),
                *self.rows_of_keys(tokens), *self._unit_keys(tokens), *self.decays(tokens, "a"),
                _step("beta", Local("sigmoid", heads, tokens, form=self.form), ("b",), "beta"),
                *self.spread("beta", "beta", tokens), pick("beta", self.names("beta", tokens), 0, range(tokens)),
                *self.through_state(tokens), *self._gated_norm(tokens), *self.project_back(tokens, "active")]

    def _unit_keys(self, tokens: int) -> Steps:
        """``q`` and ``k`` (tokens * key heads, row features), divided by the length of their heads' vectors."""
        m, rows, features = self.mapping, tokens * self.key_heads, self.row_features
        scale = Local("rownorm", features, rows, divisor=1.0, eps=L2_EPS)
        return [_step("key_squares", Local("sumsq", features, 2 * rows), ("keys",), "squares"),
                _step("key_squares_reduce", all_reduce(m, 2 * rows, "y", segment=self.rows, precision="fp32"), ("squares",),
                      "squares"),
                split("keys", ("q", "k"), (rows, rows), 0), split("squares", ("q_squares", "k_squares"), (rows, rows), 0),
                _step("q_scale", scale, ("q", "q_squares", self.named("q_gain")), "q"),
                _step("k_scale", scale, ("k", "k_squares", self.named("k_gain")), "k")]

    def corrected(self, token: int, k: str, entering: str) -> Steps:
        """What the state gives for the key is taken off, and what is left weighed by beta."""
        m, values, beta = self.mapping, self.values, f"beta_{token}"
        return [*self.read(k, "known"),
                _step("known_reduce", all_reduce(m, values, "y", segment=self.rows), ("known",), "known"),
                *(reshape(name, 1, values) for name in ("known", entering, beta)),
                _step("correct", Local("sub", values, form=m.form), (entering, "known"), entering),
                _step("weigh", Local("mul", values, form=m.form), (entering, beta), entering)]

    def _gated_norm(self, tokens: int) -> Steps:
        """``active`` (tokens, values): every head of ``read`` normed, times SiLU of its gate."""
        m, rows, features = self.mapping, tokens * self.heads, self.features
        eps = self.part.norm.eps if self.part.norm else 0.0
        steps: Steps = [reshape("read", rows, features), reshape("z", rows, features),
                        _step("norm_squares", Local("sumsq", features, rows), ("read",), "squares")]
        if self.segment > 1:
            reduce = all_reduce(m, rows, "x", segment=self.segment, precision="fp32")
            steps.append(_step("norm_reduce", reduce, ("squares",), "squares"))
        return [*steps, _step("norm_scale", Local("rownorm", features, rows, divisor=self.part.value_dim, eps=eps),
                              ("read", "squares", self.named("state_norm")), "read"),
                _step("gate", Local("silu_mul", features, rows, form=m.form), ("z", "read"), "active"),
                reshape("active", tokens, self.values)]


@dataclass(frozen=True)
class Mamba2OnGrid(HeadsOnGrid):
    """S = e^(-a dt) S + B (x dt), read by C, plus D x: tokens are summed over the rows together."""

    inputs = ("in_C", "in_B", "in_x", "in_z", "in_dt")

    @cached_property
    def columns(self) -> tuple[np.ndarray, ...]:
        """Keys twice, values twice, heads."""
        return (self.key_index,) * 2 + (self.value_index,) * 2 + (self.head_index,)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Keys twice, values twice, heads."""
        return (self.keys,) * 2 + (self.values,) * 2 + (self.heads,)

    @property
    def weights(self) -> int:
        """Also the skip of every value feature, and its norm."""
        return super().weights + (2 if self.part.norm else 1) * self.values

    @property
    def has_conv_bias(self) -> bool:
        """It has one, of zeros where the model has none."""
        return True

    def tiles(self, weights: BlockWeights, where: str) -> Values:
        """Projections, heads, ``weights.state_norm`` (key heads, values of one) and ``weights.skip`` (1, values)."""
        w, dim = self.own(weights), self.part.value_dim
        w.setdefault("conv_bias", np.zeros(self.part.convolved, np.float32))
        head = np.where(self.value_index >= 0, self.value_index // dim, -1)
        tiles = {self.named("skip"): self.pieces(w["skip"], head)[:, :, None]}
        if self.part.norm:
            gain = self.value_index.reshape(self.mapping.width, self.key_heads, -1)
            tiles[self.named("state_norm")] = self.pieces(w["state_norm"], gain)
        return (self.projection_tiles(w, where, (self.key_index, self.key_index, self.value_index), self.value_index)
                | self.head_tiles(w, where) | tiles)

    def projection_tiles(self, w: BlockWeights, where: str, conv: tuple[np.ndarray, ...], output: np.ndarray) -> Values:
        """The convolution's weights lie behind each other: those of x, B and C."""
        c, b, x = conv
        x, b, c = _behind_each_other((x, b, c), (self.part.value_size, self.part.key_size, self.part.key_size))
        return super().projection_tiles(w, where, (c, b, x), output)

    def steps(self, tokens: int, slots: int) -> Steps:
        """Projections, convolution, keys to rows, decays, the state, the norm, and back."""
        m, values, rows = self.mapping, self.values, tokens * self.key_heads
        keys = self.keys
        mul = Local("mul", values, tokens, form=m.form)
        return [*self.project(tokens, ("q", "k", "v", "z", "dt")), join(("q", "k", "v"), "mixed", 1),
                *self.convolve(tokens, "mixed", True),
                _step("silu", Local("silu", self.convolved, tokens, form=m.form), ("mixed",), "mixed"),
                split("mixed", ("q", "k", "v"), (keys, keys, values), axis=1), *self.rows_of_keys(tokens),
                split("keys", ("q", "k"), (rows, rows), 0), *self.decays(tokens, "dt"), *self.spread("step", "step", tokens),
                _step("entering", mul, ("v", "step"), "entering"), *self.through_state(tokens),
                repeat(self.named("skip"), "skip", 0, tokens), _step("skip", mul, ("v", "skip"), "skip"),
                _step("skip_add", Local("add", values, tokens, form=m.form), ("read", "skip"), "read"),
                _step("gate", Local("silu_mul", values, tokens, form=m.form), ("z", "read"), "active"),
                *(self._norm(tokens) if self.part.norm else []), *self.project_back(tokens, "active")]

    def _norm(self, tokens: int) -> Steps:
        """``active`` (tokens, values): the heads that share a key head are normed together."""
        m, heads, part = self.mapping, self.key_heads, self.part
        size, rows, eps = self.values // heads, tokens * heads, part.norm.eps if part.norm else 0.0
        parts, squares, gains = (self.names(name, heads) for name in ("normed", "squares", "gain"))
        steps: Steps = [reshape("active", tokens, heads, size), swap("active", 0), reshape("active", rows, size),
                        _step("norm_squares", Local("sumsq", size, rows), ("active",), "squares")]
        if self.key_segment > 1:
            reduce = all_reduce(m, rows, "x", segment=self.key_segment, precision="fp32")
            steps.append(_step("norm_reduce", reduce, ("squares",), "squares"))
        scale = Local("rownorm", size, tokens, divisor=part.value_size // part.key_heads, eps=eps)
        steps += [split("active", parts, (tokens,) * heads, 0), split("squares", squares, (tokens,) * heads, 0),
                  pick(self.named("state_norm"), gains, 0, range(heads))]
        steps += [_step("norm_scale", scale, names, names[0]) for names in zip(parts, squares, gains, strict=True)]
        return [*steps, join(parts, "active", 1)]


def _behind_each_other(indexes: tuple[np.ndarray, ...], sizes: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Indexes into vectors as indexes into one vector of all of them, of ``sizes``."""
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    return tuple(np.where(index >= 0, index + start, -1) for index, start in zip(indexes, starts, strict=True))
