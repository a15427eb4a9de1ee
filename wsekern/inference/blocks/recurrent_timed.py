"""Recurrent mixers that have a time but no values yet: what each computes, keeps and sends, as steps without names.

Their vectors lie as those of the executed kinds. A narrow pair of matrices (Kimi's gates, Mamba's steps) goes from y to x, is
gathered so that every row has its piece, and goes from y to x again.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wsekern.errors import InputError
from wsekern.formulas import largest, smallest
from wsekern.inference.blocks.common import all_reduce
from wsekern.inference.blocks.recurrent import STATE_TILE, HeadsOnGrid, RecurrentOnGrid, ShortConvolutionOnGrid
from wsekern.inference.blocks.recurrent_kinds import GatedDeltaOnGrid, Mamba2OnGrid
from wsekern.inference.grid import Grid
from wsekern.inference.steps import LayerStep, Steps, timed_only
from wsekern.ops import Gemm, Local, Operation
from wsekern.workload.decoder import Norm, Recurrent

NO_VALUES = timed_only("recurrence", ("h",), ("h",))
"""Stands before steps that only take time."""


def _timed(*operations: tuple[str, Operation]) -> Steps:
    return [LayerStep("recurrent", name, operation) for name, operation in operations]


@dataclass(frozen=True)
class TimedOnGrid(RecurrentOnGrid):
    """A mixer whose features lie along x, each with its own state of ``key_dim`` elements."""

    inputs = ()

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        """Pieces of each width that the residual stream is projected to."""
        return tuple(self.mapping.index_x(outputs) for inputs, outputs in self.part.matrices if not inputs)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Of each of these."""
        return tuple(-(-outputs // self.mapping.width) for inputs, outputs in self.part.matrices if not inputs)

    @cached_property
    def width(self) -> int:
        """Features of a column."""
        return -(-self.part.value_size // self.mapping.width)

    @property
    def convolved(self) -> int:
        """Features that are convolved."""
        return -(-self.part.convolved // self.mapping.width)

    @property
    def output(self) -> int:
        """Features."""
        return self.width

    @property
    def weights(self) -> int:
        """Also the matrices between the projections."""
        m, inner = self.mapping, [matrix for matrix in self.part.matrices if all(matrix)]
        return super().weights + sum(-(-inputs // m.height) * -(-outputs // m.width) for inputs, outputs in inner[:-1])

    @property
    def state(self) -> int:
        """State and tail of one sequence, the same on every row."""
        return self.width * self.part.key_dim + self.tail

    def local(self, tokens: int, kinds: str, elements: int | None = None) -> Steps:
        """Work on each feature (or ``elements``) of every token: ``kinds`` one after the other."""
        plain, size = ("fma", "mov", "dot"), elements or self.width
        return _timed(*((kind, Local(kind, size * tokens) if kind in plain else
                         Local(kind, size * tokens, form=self.form)) for kind in kinds.split()))

    def widen(self, tokens: int, inputs: int, outputs: int) -> Steps:
        """A matrix (inputs, outputs) whose input lies along x, as does its output."""
        m, row, column = self.mapping, -(-inputs // self.mapping.height), -(-outputs // self.mapping.width)
        return _timed(("take_rows", Gemm(tokens, -(-inputs // m.width), row)), ("gather", all_reduce(m, tokens * row, "x")),
                      ("widen", Gemm(tokens, row, column)), ("widen_reduce", all_reduce(m, tokens * column, "y")))

    def begin(self, tokens: int) -> Steps:
        """What says that there are no values, and the projection."""
        return [NO_VALUES, *self.project(tokens, ("inner",) * len(self.sizes))]

    def end(self, tokens: int) -> Steps:
        """The projection back."""
        return self.project_back(tokens, "inner")


@dataclass(frozen=True)
class MambaOnGrid(TimedOnGrid):
    """Mamba: a decay for each feature and element of the state, which lies on a block of rows."""

    @cached_property
    def rows(self) -> int:
        """Rows of a block."""
        return largest(1, smallest(self.mapping.height, self.part.key_dim, -(-self.part.key_dim * self.width // STATE_TILE)))

    @property
    def state(self) -> int:
        """Users lie on different blocks of rows."""
        m, tile = self.mapping, self.width * -(-self.part.key_dim // self.rows) + self.tail
        return -(-tile * -(-m.users // (m.height // self.rows)) // m.users)

    def steps(self, tokens: int, slots: int) -> Steps:
        """Convolution; step sizes, keys and queries; for each token its decays, what enters and what is read; the gate."""
        m, (_, (_, mixed), (rank, _), *_) = self.mapping, self.part.matrices
        piece, states = -(-mixed // m.height), self.width * -(-self.part.key_dim // self.rows)
        steps = [*self.begin(tokens), *self.convolve(tokens, "inner", True), *self.local(tokens, "silu")]
        steps += _timed(("x", Gemm(tokens, self.width, piece)), ("x_reduce", all_reduce(m, tokens * piece, "x")),
                        ("dt", Gemm(tokens, -(-rank // m.height), self.width)),
                        ("dt_reduce", all_reduce(m, tokens * self.width, "y")),
                        ("gather", all_reduce(m, tokens * 2 * -(-self.part.key_dim // self.rows), "y")))
        steps += self.local(tokens, "add softplus mul")
        for _ in range(tokens):
            steps += self.local(1, "mul exp mul mul fma", states)
            steps += _timed(("read", Local("dot", states // self.width, self.width)))
        steps += _timed(("read_reduce", all_reduce(m, tokens * self.width, "y")))
        return [*steps, *self.local(tokens, "mul add silu_mul"), *self.end(tokens)]


@dataclass(frozen=True)
class RgLruOnGrid(TimedOnGrid):
    """The gated linear recurrence of RecurrentGemma: gates from a matrix for each head, a state of one number a feature."""

    def steps(self, tokens: int, slots: int) -> Steps:
        """Convolution, both gates, the recurrence, the product with GELU of the other half."""
        m, block = self.mapping, self.part.value_dim
        segment, piece = largest(1, m.width // self.part.value_heads), -(-2 * block // m.height)
        steps = [*self.begin(tokens), *self.convolve(tokens, "inner", True)]
        steps += _timed(("gates", Gemm(tokens, self.width, piece)),
                        ("gates_reduce", all_reduce(m, tokens * piece, "x", segment=segment)),
                        ("take_columns", Gemm(tokens, piece, 2 * self.width)),
                        ("gates_gather", all_reduce(m, tokens * 2 * self.width, "y")))
        steps += self.local(tokens, "add sigmoid add sigmoid mul exp mul sub rsqrt mul mul mul")
        for _ in range(tokens):
            steps += self.local(1, "mul add")
        return [*steps, *self.local(tokens, "gelu_mul"), *self.end(tokens)]


@dataclass(frozen=True)
class RwkvOnGrid(TimedOnGrid):
    """RWKV 4: a numerator and a denominator a feature, and their common exponent."""

    def steps(self, tokens: int, slots: int) -> Steps:
        """Each token mixed with the one before, three projections, the recurrence, the product with the gate."""
        mix = self.local(tokens, "sub fma fma fma", self.mapping.hidden)
        steps = [NO_VALUES, *mix, *self.begin(tokens)]
        for _ in range(tokens):
            steps += self.local(1, "add max sub exp sub exp mul fma mul add reciprocal mul")
            steps += self.local(1, "add max sub exp sub exp mul fma mul add")
        return [*steps, *self.local(tokens, "sigmoid mul"), *self.end(tokens)]


@dataclass(frozen=True)
class LightningOnGrid(HeadsOnGrid):
    """The linear attention of MiniMax-01: a fixed decay for each head, and a norm of all heads together."""

    inputs = ("q", "k", "v", "z")

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        """Keys twice, values twice."""
        return (self.key_index,) * 2 + (self.value_index,) * 2

    @property
    def sizes(self) -> tuple[int, ...]:
        """Keys twice, values twice."""
        return (self.keys,) * 2 + (self.values,) * 2

    def steps(self, tokens: int, slots: int) -> Steps:
        """SiLU of all three, keys to rows, the state, the norm, the gate, and back."""
        m, values = self.mapping, self.values
        steps: Steps = [NO_VALUES, *self.project(tokens, ("q", "k", "v", "z"))]
        steps += _timed(("silu", Local("silu", self.convolved, tokens, form=m.form)))
        steps += [*self.rows_of_keys(tokens), *self.through_state(tokens)]
        steps += _timed(("norm_squares", Local("sumsq", values, tokens)),
                        ("norm_reduce", all_reduce(m, tokens, "x", precision="fp32")),
                        ("norm_scale", Local("rownorm", values, tokens, divisor=self.part.value_size)),
                        ("sigmoid", Local("sigmoid", values, tokens, form=self.form)),
                        ("gate", Local("mul", values, tokens, form=m.form)))
        return [*steps, *self.project_back(tokens, "active")]


@dataclass(frozen=True)
class KimiDeltaOnGrid(GatedDeltaOnGrid):
    """The delta rule with a decay for each key feature; decays and gates go through narrow pairs of matrices. Its gate is a
    sigmoid, which takes as long as SiLU."""

    @cached_property
    def _narrow(self) -> tuple[tuple[int, int], ...]:
        """Matrices between the projections."""
        return tuple(matrix for matrix in self.part.matrices if all(matrix) and matrix[0] < self.part.value_size)

    @cached_property
    def columns(self) -> tuple[np.ndarray, ...]:
        """Queries, keys and values, the gate (or what becomes it), beta of each head, what becomes the decays."""
        narrow = self.mapping.index_x(self._narrow[0][0])
        gate = narrow if len(self._narrow) > 1 else self.value_index
        return self.key_index, self.key_index, self.value_index, gate, self.head_index, narrow

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Of each of these."""
        narrow = -(-self._narrow[0][0] // self.mapping.width)
        return self.keys, self.keys, self.values, narrow if len(self._narrow) > 1 else self.values, self.heads, narrow

    @property
    def weights(self) -> int:
        """Also the second matrices of the pairs."""
        m = self.mapping
        return super().weights + sum(-(-inputs // m.height) * -(-outputs // m.width) for inputs, outputs in self._narrow)

    def steps(self, tokens: int, slots: int) -> Steps:
        """Those of the delta rule; the second matrices; decays of every key feature instead of every head, taken to rows."""
        m, keys = self.mapping, self.key_heads * self.row_features
        steps: Steps = [NO_VALUES]
        for inputs, outputs in self._narrow:
            row, column = -(-inputs // m.height), -(-outputs // m.width)
            steps += _timed(("take_rows", Gemm(tokens, -(-inputs // m.width), row)),
                            ("gather", all_reduce(m, tokens * row, "x")), ("widen", Gemm(tokens, row, column)),
                            ("widen_reduce", all_reduce(m, tokens * column, "y")))
        steps += _timed(("decay_rows", Gemm(tokens * self.key_heads, self.key_features, self.row_features)),
                        ("decay_gather", all_reduce(m, tokens * keys, "x", segment=self.key_segment)),
                        *((kind, Local(kind, keys, tokens, form=self.form)) for kind in ("add", "softplus", "mul", "exp")))
        return [*steps, *super().steps(tokens, slots)]


_KINDS: dict[str, type[RecurrentOnGrid]] = {
    "gated_delta": GatedDeltaOnGrid, "kimi_delta": KimiDeltaOnGrid, "lightning": LightningOnGrid, "mamba2": Mamba2OnGrid,
    "mamba": MambaOnGrid, "short_convolution": ShortConvolutionOnGrid, "rg_lru": RgLruOnGrid, "rwkv": RwkvOnGrid,
}
"""Kind -> its class on a grid."""


def recurrent_on_grid(mapping: Grid, part: Recurrent, prefix: str = "", folded: Norm | None = None) -> RecurrentOnGrid:
    """A recurrent mixer on a grid, by its kind."""
    if part.kind not in _KINDS:
        raise InputError(f"{mapping.config.name}: a {part.kind} mixer cannot be mapped onto a wafer; expected one of "
                         f"{', '.join(_KINDS)}")
    return _KINDS[part.kind](mapping, part, prefix, folded)
