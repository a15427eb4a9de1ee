"""Recurrent mixers: a projection, a short convolution, a state of fixed size that every token changes, a projection back.

Heads lie along x as those of attention: each value head owns a segment of columns, which holds its value features. Key heads
lie over the columns of the value heads that share them. The state lies key features along y, value features along x, on a block
of :attr:`HeadsOnGrid.rows` rows: more rows would make the sums over key features longer, fewer the work on each PE. Different
users' states lie on different blocks, so that memory fills evenly.

Tokens of a chunk pass through the state one after the other; so do tokens of different users, whose blocks could work at the
same time: a bound from above.
"""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property, partial
from typing import ClassVar

import numpy as np

from wsekern.formulas import largest, smallest
from wsekern.inference.blocks.common import add_bias, all_reduce
from wsekern.inference.blocks.folding import read_steps
from wsekern.inference.blocks.part import BlockWeights, PartOnGrid
from wsekern.inference.grid import cut_into_pieces
from wsekern.inference.steps import LayerStep, Steps, Values, join, pick, repeat, reshape, split, stack, window
from wsekern.inference.weights import TileCutter
from wsekern.number_formats import narrow
from wsekern.ops import Gemm, Local
from wsekern.ops.local.rows import Form
from wsekern.ops.local.vector import room_bytes
from wsekern.workload.decoder import Recurrent

STATE_TILE = 64
"""Elements of the state on a PE that a block of rows is chosen for: the work on more takes longer than sums over more rows."""

L2_EPS = 1e-6
"""Added to the squares of a query's or key's features by which it is divided."""

_step = partial(LayerStep, "recurrent")


@dataclass(frozen=True)
class RecurrentOnGrid(PartOnGrid[Recurrent]):
    """What recurrent mixers have in common: a projection to ``inputs``, a convolution, and a projection back."""

    label = "recurrent"
    inputs: ClassVar[tuple[str, ...]]
    """Matrices of the first projection, in the order of a column's elements."""

    @property
    def readers(self) -> tuple[str, ...]:
        """Those of the first projection."""
        return self.inputs

    def assumptions(self) -> list[str]:
        """How tokens pass through the state, and in which precision."""
        return ["recurrent layers take tokens through their state one after the other, prompts too, and keep it in the "
                "precision of activations"]

    @property
    @abstractmethod
    def columns(self) -> tuple[np.ndarray, ...]:
        """Of each of ``inputs``: which element lies where, (width, elements); -1 where padded."""

    @property
    @abstractmethod
    def convolved(self) -> int:
        """Elements of a column that are convolved."""

    @property
    def form(self) -> Form:
        """How functions are computed that the software library does not have."""
        return "vector-fp32" if self.mapping.form == "scalar" else self.mapping.form

    @property
    @abstractmethod
    def sizes(self) -> tuple[int, ...]:
        """Elements of each of ``inputs`` in a column, as :attr:`columns` has them, by numbers alone."""

    @property
    def tail(self) -> int:
        """Elements of the tokens before that the convolution still reads."""
        return largest(0, self.part.kernel - 1) * self.convolved

    @property
    def weights(self) -> int:
        """Elements of both projections and of the convolution, with biases."""
        hidden, bias = self.mapping.hidden, (sum(self.sizes) + self.mapping.hidden if self.part.bias else 0)
        taps = self.part.kernel + self.has_conv_bias
        return hidden * sum(self.sizes) + self.output * hidden + taps * self.convolved + bias

    @property
    def has_conv_bias(self) -> bool:
        """Whether something is added behind the convolution."""
        return self.part.bias

    @property
    @abstractmethod
    def output(self) -> int:
        """Elements of a column that the projection back reads."""

    @property
    def buffers(self) -> int:
        """The input, what is made of it, the convolved part once more, and the output of the state."""
        return self.mapping.hidden + sum(self.sizes) + self.convolved + self.output

    def room(self) -> int:
        """Bytes of SiLU."""
        return room_bytes("silu", self.mapping.form, self.mapping.precision, self.mapping.chunk * self.convolved)

    def cache(self) -> dict[str, tuple[int, ...]]:
        """The convolution's tail."""
        return {f"cache.{self.prefix}tail": (self.part.kernel - 1, self.convolved)} if self.part.kernel else {}

    # -- steps --------------------------------------------------------------------------------------------------------
    def project(self, tokens: int, names: tuple[str, ...]) -> Steps:
        """``names`` (tokens, elements), one for each of ``inputs``, from ``h``."""
        m, elements = self.mapping, sum(self.sizes)
        steps = read_steps(m, self.label, "in", tokens, elements, self.named("in"), "inner", self.folded)
        if self.part.bias:
            steps += add_bias(m, self.label, f"{self.prefix}in_bias", tokens, elements, "inner")
        return [*steps, split("inner", names, self.sizes, axis=1)]

    def convolve(self, tokens: int, x: str, has_bias: bool) -> Steps:
        """``x`` (tokens, convolved), each element summed over the last tokens by its weights; the new tail is kept."""
        m, kernel, elements, tail = self.mapping, self.part.kernel, self.convolved, f"cache.{self.prefix}tail"
        taps = [f"tap_{back}" for back in range(kernel)]
        steps: Steps = [join((tail, x), "past", 0), window("past", tail, 0, tokens, kernel - 1),
                        _step("keep_tail", Local("mov", elements, kernel - 1)),
                        pick(self.named("conv"), taps, 0, range(kernel))]
        for back, tap in enumerate(taps):
            steps += [window("past", "then", 0, back, tokens), reshape(tap, 1, elements), repeat(tap, tap, 0, tokens)]
            if not back:
                steps.append(_step("conv_0", Local("mul", elements, tokens, form=m.form), ("then", tap), x))
            else:
                whole = tokens * elements
                steps += [reshape(name, 1, whole) for name in (x, "then", tap)]
                steps += [_step(f"conv_{back}", Local("fma", whole), ("then", tap, x), x), reshape(x, tokens, elements)]
        if has_bias:
            steps += add_bias(m, self.label, f"{self.prefix}conv_bias", tokens, elements, x)
        return steps

    def project_back(self, tokens: int, x: str) -> Steps:
        """``out`` (tokens, hidden) from ``x`` (tokens, output)."""
        m = self.mapping
        steps: Steps = [_step("o", Gemm(tokens, self.output, m.hidden), (x, self.named("o")), "out"),
                        _step("o_reduce", all_reduce(m, tokens * m.hidden, "x"), ("out",), "out")]
        return steps + (add_bias(m, self.label, f"{self.prefix}o_bias", tokens, m.hidden, "out") if self.part.bias else [])

    # -- weights ------------------------------------------------------------------------------------------------------
    def projection_tiles(self, w: BlockWeights, where: str, conv: tuple[np.ndarray, ...], output: np.ndarray) -> Values:
        """``weights.in`` (hidden, elements) goes from y to x and ``weights.o`` back; ``weights.conv`` (kernel, convolved) lies
        along x, ``conv`` are its elements; biases (1, elements)."""
        m, cutter = self.mapping, TileCutter(self.mapping, where)
        hidden = m.index_y(m.config.hidden)
        tiles = {"in": cutter.matrix([w[name] for name in self.inputs], hidden, self.columns),
                 "o": cutter.matrix([w["o"]], output, [hidden], transposed=True),
                 "conv": np.stack([cutter.along_x([tap] * len(conv), conv) for tap in w["conv"].T], axis=2)}
        if "conv_bias" in w:
            tiles["conv_bias"] = cutter.along_x([w["conv_bias"]] * len(conv), conv)[:, :, None]
        if self.part.bias:
            tiles["in_bias"] = cutter.along_x([w[f"{name}_bias"] for name in self.inputs], self.columns)[:, :, None]
            tiles["o_bias"] = cutter.along_y(w["o_bias"], hidden)[:, :, None]
        return {self.named(name): tile for name, tile in tiles.items()}


@dataclass(frozen=True)
class ShortConvolutionOnGrid(RecurrentOnGrid):
    """Two gates around a convolution (LFM2), all of it element by element along x: every row keeps the whole tail."""

    inputs = ("in_B", "in_x", "in_C")

    @cached_property
    def columns(self) -> tuple[np.ndarray, ...]:
        """Pieces of the three, one beside the other."""
        return (self.mapping.index_x(self.part.convolved or self.mapping.config.hidden),) * 3

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """A piece of each."""
        return (-(-(self.part.convolved or self.mapping.config.hidden) // self.mapping.width),) * 3

    @property
    def convolved(self) -> int:
        """A piece."""
        return self.sizes[0]

    @property
    def output(self) -> int:
        """A piece."""
        return self.sizes[0]

    @property
    def state(self) -> int:
        """The tail."""
        return self.tail

    def tiles(self, weights: BlockWeights, where: str) -> Values:
        """Projections and convolution."""
        return self.projection_tiles(self.own(weights), where, self.columns[:1], self.columns[0])

    def steps(self, tokens: int, slots: int) -> Steps:
        """C conv(B x), between the projections."""
        mul = Local("mul", self.convolved, tokens, form=self.mapping.form)
        return [*self.project(tokens, ("before", "mixed", "behind")), _step("gate_in", mul, ("before", "mixed"), "mixed"),
                *self.convolve(tokens, "mixed", self.part.bias), _step("gate_out", mul, ("behind", "mixed"), "mixed"),
                *self.project_back(tokens, "mixed")]


@dataclass(frozen=True)
class HeadsOnGrid(RecurrentOnGrid):
    """Mixers of heads with a state of key_dim x value_dim each."""

    # -- sizes of the pieces ------------------------------------------------------------------------------------------
    @cached_property
    def group(self) -> int:
        """Value heads that share a key head."""
        return self.part.value_heads // self.part.key_heads

    @cached_property
    def heads(self) -> int:
        """Value heads in one column (1 where a head is spread over several): whole key heads, or an even part of one's."""
        least = -(-self.part.value_heads // self.mapping.width)
        return next(heads for heads in range(least, self.part.value_heads + 1)
                    if not heads % self.group or not self.group % heads)

    @cached_property
    def segment(self) -> int:
        """Columns over which one value head is spread."""
        return largest(1, smallest(self.mapping.width // self.part.value_heads, self.part.value_dim)) if self.heads == 1 else 1

    @cached_property
    def features(self) -> int:
        """Value features of a head in one column."""
        return -(-self.part.value_dim // self.segment)

    @cached_property
    def values(self) -> int:
        """Value features in one column."""
        return self.heads * self.features

    @cached_property
    def key_heads(self) -> int:
        """Key heads in one column."""
        return largest(1, self.heads // self.group)

    @cached_property
    def key_segment(self) -> int:
        """Columns over which one key head is spread."""
        return self.segment * largest(1, self.group // self.heads)

    @cached_property
    def key_features(self) -> int:
        """Key features of a head in one column."""
        return -(-self.part.key_dim // self.key_segment)

    @property
    def keys(self) -> int:
        """Key features in one column."""
        return self.key_heads * self.key_features

    @cached_property
    def rows(self) -> int:
        """Rows over which a state is spread."""
        return largest(1, smallest(self.mapping.height, self.part.key_dim, -(-self.part.key_dim * self.values // STATE_TILE)))

    @cached_property
    def row_features(self) -> int:
        """Key features of a head in one row of a block."""
        return -(-self.part.key_dim // self.rows)

    @property
    def convolved(self) -> int:
        """Queries, keys and values."""
        return 2 * self.keys + self.values

    @property
    def output(self) -> int:
        """Value features."""
        return self.values

    # -- which element lies where -------------------------------------------------------------------------------------
    def _index(self, segment: int, heads: int, features: int, dim: int, all_heads: int) -> np.ndarray:
        column = np.arange(self.mapping.width)
        head = (column // segment)[:, None] * heads + np.arange(heads)
        feature = (column % segment)[:, None] * features + np.arange(features)
        places = head[:, :, None] * dim + feature[:, None, :]
        inside = (head[:, :, None] < all_heads) & (feature[:, None, :] < dim)
        return np.where(inside, places, -1).reshape(self.mapping.width, -1)

    @cached_property
    def value_index(self) -> np.ndarray:
        """Value feature of each place, (width, heads * features); -1 where padded."""
        return self._index(self.segment, self.heads, self.features, self.part.value_dim, self.part.value_heads)

    @cached_property
    def key_index(self) -> np.ndarray:
        """Key feature of each place, (width, key heads * key features); -1 where padded."""
        return self._index(self.key_segment, self.key_heads, self.key_features, self.part.key_dim, self.part.key_heads)

    @cached_property
    def head_index(self) -> np.ndarray:
        """Value head of each place, (width, heads); -1 where padded."""
        return self._index(self.segment, self.heads, 1, 1, self.part.value_heads) if self.segment == 1 else np.where(
            np.arange(self.mapping.width)[:, None] // self.segment < self.part.value_heads,
            np.arange(self.mapping.width)[:, None] // self.segment, -1)

    # -- memory, weights ----------------------------------------------------------------------------------------------
    @property
    def weights(self) -> int:
        """Also two numbers of each head, and the matrix that takes a row's features."""
        return super().weights + 2 * self.heads + self.key_features * self.row_features

    @property
    def state(self) -> int:
        """The state and the convolution's tail of one sequence: users lie on different blocks of rows."""
        m, tile = self.mapping, self.heads * self.row_features * self.features + self.tail
        return -(-tile * -(-m.users // (m.height // self.rows)) // m.users)

    @property
    def buffers(self) -> int:
        """Also queries and keys of a row."""
        return super().buffers + 2 * self.key_heads * self.row_features + 4 * self.heads

    def cache(self) -> dict[str, tuple[int, ...]]:
        """The state and the tail."""
        return super().cache() | {f"cache.{self.prefix}state": (self.heads, self.row_features * self.features)}

    def head_tiles(self, w: BlockWeights, where: str) -> Values:
        """Of each head, (1, heads) along x: ``weights.decay``, -e^(its logarithm), and ``weights.dt_bias``; ``weights.select``
        (key features, row features), 1 where a column's key feature is a row's."""
        m, cutter, key_dim = self.mapping, TileCutter(self.mapping, where), self.part.key_dim
        column = (np.arange(m.width) % self.key_segment)[:, None] * self.key_features + np.arange(self.key_features)
        row = np.arange(m.height)[:, None] * self.row_features + np.arange(self.row_features)
        row = np.where((row < key_dim) & (np.arange(m.height)[:, None] < self.rows), row, -1)
        select = (column[None, :, :, None] == row[:, None, None, :]).astype(np.float32)
        tiles = {"decay": cutter.along_x([-np.exp(w["decay"])], [self.head_index])[:, :, None],
                 "dt_bias": cutter.along_x([w["dt_bias"]], [self.head_index])[:, :, None],
                 "select": narrow(select, m.precision, where)}
        return {self.named(name): tile for name, tile in tiles.items()}

    def constant(self, number: float, elements: int) -> np.ndarray:
        """``elements`` times the same number, on every PE."""
        m = self.mapping
        return narrow(np.full((m.height, m.width, elements), number, np.float32), m.precision, "constants")

    def pieces(self, vector: np.ndarray, index: np.ndarray) -> np.ndarray:
        """``vector`` along x, (height, width, ...) of ``index`` (width, ...)."""
        m = self.mapping
        found = narrow(cut_into_pieces(vector, index), m.precision, "weights")
        return np.broadcast_to(found[None], (m.height, *found.shape))

    # -- steps --------------------------------------------------------------------------------------------------------
    def rows_of_keys(self, tokens: int) -> Steps:
        """``q`` and ``k`` (tokens * key heads, row features): every row of the block takes its features from all columns."""
        m, rows, features = self.mapping, 2 * tokens * self.key_heads, self.row_features
        steps: Steps = [reshape(name, tokens * self.key_heads, self.key_features) for name in ("q", "k")]
        steps += [join(("q", "k"), "keys", 0),
                  _step("select", Gemm(rows, self.key_features, features), ("keys", self.named("select")), "keys")]
        if self.key_segment > 1:
            gather = all_reduce(m, rows * features, "x", segment=self.key_segment)
            steps.append(_step("gather", gather, ("keys",), "keys"))
        return steps

    def decays(self, tokens: int, x: str) -> Steps:
        """``step`` = softplus(``x`` + bias) and ``decay`` = exp(-a ``step``), (tokens, heads)."""
        m, heads, rate = self.mapping, self.heads, self.named("decay")
        return [*add_bias(m, self.label, f"{self.prefix}dt_bias", tokens, heads, x),
                _step("softplus", Local("softplus", heads, tokens, form=self.form), (x,), "step"),
                repeat(rate, "rate", 0, tokens),
                _step("rate", Local("mul", heads, tokens, form=m.form), ("step", "rate"), "decay"),
                _step("decay", Local("exp", heads, tokens, form=m.form), ("decay",), "decay")]

    def spread(self, x: str, output: str, tokens: int) -> Steps:
        """``x`` (tokens, heads) as ``output`` (tokens, heads * features)."""
        return [reshape(x, tokens, self.heads, 1, output=output), repeat(output, output, 2, self.features),
                reshape(output, tokens, self.values)]

    def names(self, name: str, count: int) -> list[str]:
        """Names of ``count`` parts."""
        return [f"{name}_{index}" for index in range(count)]

    def through_state(self, tokens: int) -> Steps:
        """``read`` (tokens, values): every token in turn enters the state and reads it; ``entering`` (tokens, values)."""
        tokens_of = [self.names(name, tokens) for name in ("q", "k", "decay", "enter")]
        steps: Steps = [reshape(name, tokens, self.key_heads, self.row_features) for name in ("q", "k")]
        steps += [pick(name, names, 0, range(tokens)) for name, names in
                  zip(("q", "k", "decay", "entering"), tokens_of, strict=True)]
        reads = self.names("read", tokens)
        for token, (q, k, decay, entering) in enumerate(zip(*tokens_of, strict=True)):
            steps += [*self._fade(decay), *self.corrected(token, k, entering), *self._enter(k, entering),
                      *self.read(q, reads[token])]
        return [*steps, stack(reads, "read", 0),
                _step("read_reduce", all_reduce(self.mapping, tokens * self.values, "y"), ("read",), "read")]

    def corrected(self, token: int, k: str, entering: str) -> Steps:
        """``entering`` as it enters for key ``k``."""
        return []

    def _fade(self, decay: str) -> Steps:
        """The state times the decay of each head."""
        state, elements = f"cache.{self.prefix}state", self.row_features * self.features
        return [reshape(decay, self.heads, 1), repeat(decay, decay, 1, elements),
                _step("fade", Local("mul", elements, self.heads, form=self.mapping.form), (state, decay), state)]

    def _enter(self, k: str, entering: str) -> Steps:
        """The state plus each head's key times what enters."""
        state, elements = f"cache.{self.prefix}state", self.heads * self.row_features * self.features
        return [reshape(k, self.key_heads, 1, self.row_features, 1, output="down"),
                repeat("down", "down", 1, self.heads // self.key_heads), repeat("down", "down", 3, self.features),
                reshape("down", 1, elements), reshape(entering, self.heads, 1, self.features, output="across"),
                repeat("across", "across", 1, self.row_features), reshape("across", 1, elements),
                reshape(state, 1, elements), _step("enter", Local("fma", elements), ("down", "across", state), state),
                reshape(state, self.heads, self.row_features * self.features)]

    def read(self, key: str, output: str) -> Steps:
        """``output`` (values): the state's value features for ``key`` (key heads, row features), this row's part."""
        state, heads, features = f"cache.{self.prefix}state", self.heads, self.row_features
        states, keys, found = (self.names(name, heads) for name in ("state", "key", "found"))
        share = heads // self.key_heads
        steps: Steps = [pick(state, states, 0, range(heads)),
                        pick(key, keys, 0, [head // share for head in range(heads)])]
        for one, row, result in zip(states, keys, found, strict=True):
            steps += [reshape(one, features, self.features), reshape(row, 1, features),
                      _step("read", Gemm(1, features, self.features), (row, one), result)]
        return [*steps, join(found, output, 1), reshape(output, self.values)]
