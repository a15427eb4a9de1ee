"""A rectangle of PEs, and how vectors and matrices are cut over it.

Every vector is cut into pieces. *Along y* means that row i holds piece i (the same in all columns), *along x* that column
j holds piece j (the same in all rows). Matrices whose input lies along y put tile (piece i, piece j) on PE (row i, column j);
the partial products are summed over the rows and the output lies along x. Matrices whose input lies along x are placed
transposed and sum over the columns. The two kinds alternate, so nothing is ever moved to another layout. Position t of a
sequence is kept by row t mod height, so a cache grows evenly.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wsekern.errors import InputError
from wsekern.ops.local.rows import Form, check_form
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import check_precision

DEFAULT_ACTIVATIONS: dict[str, Form] = {"fp32": "vector", "fp16": "vector", "fp16_fp32": "vector", "bf16": "vector"}
"""How SiLU and exponentials are computed in each precision where a model does not say: the quickest that costs it nothing
(``python -m wsekern.calibration.activations``)."""


@dataclass(frozen=True)
class Grid:
    """``width`` x ``height`` PEs with room for ``context`` tokens of a model, fed with chunks of up to ``chunk`` tokens.

    ``layers`` layers lie on the grid (all of them unless the model is cut over several regions or wafers);
    ``with_head`` says whether embedding and LM head lie there too. ``users`` sequences have their own cache,
    but for the first ``shared`` tokens, which are kept once.

    ``activations``: how SiLU and exponentials are computed (``scalar``: library calls; ``vector`` or ``vector-fp32``: vector
    instructions in the precision or in fp32); None: as :data:`DEFAULT_ACTIVATIONS` says.
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

    def __post_init__(self) -> None:
        if not all(isinstance(side, int) and side >= 1 for side in (self.width, self.height)):
            raise InputError(f"grid is {self.width!r}x{self.height!r}, expected whole numbers of PEs of at least 1")
        check_precision(self.precision)
        check_form(self.form)

    @property
    def form(self) -> Form:
        """How SiLU and exponentials are computed."""
        return self.activations or DEFAULT_ACTIVATIONS[self.precision]

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


def cut_into_tiles(matrix: np.ndarray, rows: np.ndarray, columns: np.ndarray, transposed: bool = False) -> np.ndarray:
    """Tiles (height, width, inputs per line, outputs per line) of a matrix (inputs, outputs).

    ``rows`` (lines, inputs per line) and ``columns`` (lines, outputs per line) give the element of each place, -1 for
    padding. The input lies along y and the output along x, or the other way round if ``transposed``.
    """
    padded = np.pad(matrix, ((0, 1), (0, 1)))
    row, column = (rows[None, :], columns[:, None]) if transposed else (rows[:, None], columns[None, :])
    return padded[row[..., :, None], column[..., None, :]]


def cut_into_pieces(vector: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Pieces (lines, ...) of a vector; padding is zero."""
    return np.append(vector, np.float32(0))[index]
