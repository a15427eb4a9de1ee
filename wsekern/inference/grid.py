"""A rectangle of PEs, and how vectors and matrices are cut over it.

Every vector is cut into pieces. *Along y* means that row i holds piece i (the same in all columns), *along x* that column
j holds piece j (the same in all rows). Matrices whose input lies along y put tile (piece i, piece j) on PE (row i, column j);
the partial products are summed over the rows and the output lies along x. Matrices whose input lies along x are placed
transposed and sum over the columns. The two kinds alternate, so nothing is ever moved to another layout. Position t of a
sequence is kept by row t mod height, so a cache grows evenly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Literal

import numpy as np

from wsekern.errors import InputError
from wsekern.hashed import HashedOnce
from wsekern.inference.formats import check_cache, form_of, formats_of
from wsekern.inference.programs import PLAIN, Programs
from wsekern.ops.local.packing import Packing
from wsekern.ops.local.rows import Form, check_form
from wsekern.workload.config import ModelConfig
from wsekern.workload.popularity import DEFAULT_LAW, ExpertLaw
from wsekern.workload.request import check_precision

Columns = Literal["whole", "mixers", "feeds"]
"""Columns of a region that have all of a layer, or a half of it."""

MAX_EXPERT_WAFERS = 256
"""Sanity limit of wafers that share a layer."""

DEFAULT_ACTIVATIONS: dict[str, Form] = {"fp32": "vector", "fp16": "vector", "fp16_fp32": "vector", "bf16": "vector"}
"""How SiLU and exponentials are computed in each precision where a model does not say: the quickest that costs it nothing
(``python -m wsekern.calibration.activations``)."""


@dataclass(frozen=True)
class Grid(HashedOnce):
    """``width`` x ``height`` PEs with room for ``context`` tokens of a model, fed with chunks of up to ``chunk`` tokens.

    ``layers`` layers lie on the grid (all of them unless the model is cut over several regions or wafers);
    ``with_head`` says whether embedding and LM head lie there too. ``users`` sequences have their own cache,
    but for the first ``shared`` tokens, which are kept once.

    ``activations``: how SiLU and exponentials are computed (``scalar``: library calls; ``vector`` or ``vector-fp32``: vector
    instructions in the precision or in fp32); None: as :data:`DEFAULT_ACTIVATIONS` says. ``programs``: which program each part
    runs. ``weight_precision``: format in which the matrices of layers are kept, or of some classes of them, as
    :func:`wsekern.inference.formats.formats_of` reads it; ``cache_precision``: fp8, of the cache; empty: ``precision``.

    ``expert_law``: how tokens choose experts, where that is not known. ``expert_load``: how many of a token's experts the block
    of lines has that has most of them, for which steps are listed; 0: as many as the law expects, rounded up. The experts of a
    layer are dealt to ``expert_wafers`` wafers, each with such a grid; this one is that of ``expert_wafer``, and the rest of
    the layer lies on that of wafer 0. Where ``feed_width`` is not 0, the grid has the mixers of its layers alone, and as many
    columns on both sides of it their feed-forward parts (:mod:`wsekern.inference.halves`); ``columns`` says which of these a
    grid is. ``stacked``: all regions of the model are alike and lie above each other, columns of mixers above such columns.
    """

    config: ModelConfig
    width: int
    height: int
    precision: str = "fp16"
    context: int = 512
    chunk: int = 1
    users: int = 1
    layers: int | None = None
    with_head: bool = True
    shared: int = 0
    activations: Form | None = None
    programs: Programs = PLAIN
    weight_precision: str = ""
    cache_precision: str = ""
    expert_law: ExpertLaw = DEFAULT_LAW
    expert_load: int = 0
    expert_wafers: int = 1
    expert_wafer: int = 0
    feed_width: int = 0
    columns: Columns = "whole"
    stacked: bool = False

    def __post_init__(self) -> None:
        if not all(isinstance(side, int) and side >= 1 for side in (self.width, self.height)):
            raise InputError(f"grid is {self.width!r}x{self.height!r}, expected whole numbers of PEs of at least 1")
        check_precision(self.precision)
        check_form(self.form)
        formats_of(self.weight_precision, self.precision)
        check_cache(self.cache_precision, self.precision)
        if self.expert_load < 0 or not 0 <= self.expert_wafer < self.expert_wafers <= MAX_EXPERT_WAFERS:
            raise InputError(f"expert_load is {self.expert_load}, and wafer {self.expert_wafer} of {self.expert_wafers}: "
                             f"expected numbers that are not negative, and up to {MAX_EXPERT_WAFERS} wafers")
        if self.feed_width < 0 or (self.feed_width and self.expert_wafers > 1):
            raise InputError(f"feed_width is {self.feed_width} beside {self.expert_wafers} expert_wafers: expected columns for "
                             "feed-forward parts, or 0; experts that lie on several wafers have none of their own")
        if self.feed_width and self.width < 2:
            raise InputError(f"feed_width is {self.feed_width} on both sides of {self.width} column of mixers: give mixers 2 "
                             "columns or more, as both sides' sums come over borders of their own")

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Reckoned once: grids are keys of many caches."""
        return hash((self.config, self.width, self.height, self.precision, self.context, self.chunk, self.users, self.layers,
                     self.programs, self.expert_load, self.expert_wafer, self.feed_width, self.columns))

    @property
    def form(self) -> Form:
        """How SiLU and exponentials are computed."""
        return self.activations or DEFAULT_ACTIVATIONS[self.precision]

    def form_of(self, name: str) -> Packing | None:
        """Format in which the matrix ``name`` of a layer lies packed; None: in the precision."""
        return form_of(name, self.weight_precision, self.precision)

    @property
    def packs_cache(self) -> bool:
        """Whether keys and values are kept as fp8."""
        return self.cache_precision not in ("", self.precision)

    @cached_property
    def hidden(self) -> int:
        """Elements of the residual stream per row; the last pieces are padded with zeros."""
        return -(-self.config.hidden // self.height)

    @cached_property
    def vocab(self) -> int:
        """Tokens per column."""
        return -(-self.config.vocab // self.width)

    @cached_property
    def held_layers(self) -> int:
        """Layers on this grid."""
        return self.config.layers if self.layers is None else self.layers

    @cached_property
    def slots(self) -> int:
        """Positions that one row keeps."""
        return -(-self.context // self.height)

    @cached_property
    def all_slots(self) -> int:
        """Positions that one row keeps of all users together."""
        if not self.shared:
            return self.users * self.slots
        return -(-self.shared // self.height) + self.users * -(-(self.context - self.shared) // self.height)

    def index_y(self, size: int) -> np.ndarray:
        """Element of each place of a vector along y, (height, piece); -1 where padded."""
        return _pieces(size, self.height)

    def index_x(self, size: int) -> np.ndarray:
        """Element of each place of a vector along x, (width, piece); -1 where padded."""
        return _pieces(size, self.width)


def _pieces(size: int, count: int) -> np.ndarray:
    places = np.arange(count * -(-size // count)).reshape(count, -1)
    return np.where(places < size, places, -1)


def cut_into_tiles(matrices: Sequence[np.ndarray], rows: np.ndarray, columns: Sequence[np.ndarray],
                   transposed: bool = False) -> np.ndarray:
    """Tiles (height, width, inputs per line, outputs per line) of ``matrices`` (inputs, outputs) side by side.

    ``rows`` (lines, inputs per line) and, for each matrix, ``columns`` (lines, outputs per line) give the element of each
    place, -1 for padding. The input lies along y and the output along x, or the other way round if ``transposed``. In
    memory tiles lie as (lines, inputs, lines, outputs), as in a matrix: the rows of all PEs that share an input are one.
    """
    widths = [column.shape[1] for column in columns]
    tiles = np.empty((*rows.shape, len(columns[0]), sum(widths)), matrices[0].dtype)
    for matrix, column, end in zip(matrices, columns, accumulate(widths), strict=True):
        outputs = _taken(_taken(matrix.T, column), rows, axis=1)            # (outputs, inputs), as checkpoints have it
        for begin in range(0, len(column), step := max(1, _AT_ONCE // column.shape[1])):
            lines = column[begin:begin + step].shape
            some = outputs[begin * lines[1]:(begin + lines[0]) * lines[1]].T.reshape(*rows.shape, *lines)
            tiles[:, :, begin:begin + step, end - lines[1]:end] = some
    return tiles.transpose(2, 0, 1, 3) if transposed else tiles.transpose(0, 2, 1, 3)


_AT_ONCE = 256
"""Outputs that are transposed together: few enough to stay in cache."""


def _taken(matrix: np.ndarray, index: np.ndarray, axis: int = 0) -> np.ndarray:
    """The elements ``index`` along ``axis``, zeros where it is -1; ``matrix`` itself where that is all of them in order."""
    places = index.reshape(-1)
    if places.size == matrix.shape[axis] and (places == np.arange(places.size)).all():
        return matrix
    taken = np.take(matrix, places, axis)
    taken[(slice(None),) * axis + (places < 0,)] = 0
    return taken


def cut_into_pieces(vector: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Pieces (lines, ...) of a vector; padding is zero."""
    return np.append(vector, np.float32(0))[index]
