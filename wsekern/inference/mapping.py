"""How a transformer lies on a square grid of PEs: which PE holds which tile, and whether it fits.

Every vector is cut into P pieces. *Along y* means that row i holds piece i (the same in all columns), *along x* that column j
holds piece j (the same in all rows). Matrices whose input lies along y put tile (piece i, piece j) on PE (row i, column j);
the partial products are summed over the rows and the output lies along x. Matrices whose input lies along x are placed
transposed and sum over the columns. The two kinds alternate, so nothing is ever moved to another layout.

Attention heads lie along x: each key-value head owns a segment of columns, which holds the features of the head, its keys and
values, and the query heads that share it. The position t of the sequence is kept by row t mod P, so the cache grows evenly.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wsekern.errors import BudgetError, InputError
from wsekern.machine import Machine
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import PRECISIONS, check_precision

RESERVED_BYTES = 8192
"""Code, stack and runtime of a PE: 4,176 B of runtime (FABRICA link test) and as much again for the program (assumed)."""


@dataclass(frozen=True)
class Mapping:
    """A model with room for ``context`` tokens on ``grid`` x ``grid`` PEs, fed with chunks of up to ``chunk`` tokens.

    ``layers`` layers lie on the grid (all of them unless the model is cut over several regions or wafers);
    ``with_head`` says whether embedding and LM head lie there too. ``users`` sequences have their own cache.
    """

    config: ModelConfig
    grid: int
    precision: str = "fp16"
    context: int = 512
    chunk: int = 1
    users: int = 1
    layers: int | None = None
    with_head: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.grid, int) or self.grid < 1:
            raise InputError(f"grid is {self.grid!r}, expected a whole number of PEs of at least 1")
        check_precision(self.precision)
        if self.config.experts or self.config.kv_lora_rank:
            raise InputError(f"{self.config.name}: mixtures of experts and latent attention cannot be mapped onto a wafer "
                             "yet; expected a dense Llama-like model")

    # -- sizes of the pieces ------------------------------------------------------------------------------------------
    def piece(self, size: int) -> int:
        """Elements of one of the P pieces of a vector of ``size``; the last pieces are padded with zeros."""
        return -(-size // self.grid)

    @cached_property
    def hidden(self) -> int:
        """Elements of the residual stream per line."""
        return self.piece(self.config.hidden)

    @cached_property
    def ffn(self) -> int:
        """Elements of the feed-forward layer per line."""
        return self.piece(self.config.ffn)

    @cached_property
    def vocab(self) -> int:
        """Tokens per column."""
        return self.piece(self.config.vocab)

    @cached_property
    def heads_per_column(self) -> int:
        """Key-value heads in one column (1 where a head is spread over several columns)."""
        return self.piece(self.config.kv_heads)

    @cached_property
    def segment(self) -> int:
        """Columns over which one key-value head is spread."""
        return max(1, min(self.grid // self.config.kv_heads, self.config.head_dim // 2))

    @cached_property
    def features(self) -> int:
        """Features of one head in one column; even, because rotary embedding turns them in pairs."""
        return 2 * -(-(self.config.head_dim // 2) // self.segment)

    @cached_property
    def group(self) -> int:
        """Query heads that share one key-value head."""
        return self.config.heads // self.config.kv_heads

    @cached_property
    def q(self) -> int:
        """Query elements per column."""
        return self.heads_per_column * self.group * self.features

    @cached_property
    def kv(self) -> int:
        """Key (or value) elements per column and position."""
        return self.heads_per_column * self.features

    @cached_property
    def slots(self) -> int:
        """Positions that one row keeps."""
        return self.piece(self.context)

    # -- which element lies where -------------------------------------------------------------------------------------
    def index(self, size: int) -> np.ndarray:
        """Element of each place, (P, piece); -1 where padded."""
        places = np.arange(self.grid * self.piece(size)).reshape(self.grid, -1)
        return np.where(places < size, places, -1)

    @cached_property
    def pair_index(self) -> np.ndarray:
        """Rotary pair of each place in a column, (P, features / 2); -1 where padded."""
        pairs, width = self.config.head_dim // 2, self.features // 2
        column = np.arange(self.grid) % self.segment
        places = column[:, None] * width + np.arange(width)
        return np.where(places < pairs, places, -1)

    @cached_property
    def kv_index(self) -> np.ndarray:
        """Key (or value) element of each place, (P, heads_per_column, features); -1 where padded."""
        head = (np.arange(self.grid) // self.segment)[:, None] * self.heads_per_column + np.arange(self.heads_per_column)
        pair = self.pair_index
        feature = np.concatenate([pair, np.where(pair < 0, -1, pair + self.config.head_dim // 2)], axis=1)
        places = head[:, :, None] * self.config.head_dim + feature[:, None, :]
        return np.where((head[:, :, None] < self.config.kv_heads) & (feature[:, None, :] >= 0), places, -1)

    @cached_property
    def q_index(self) -> np.ndarray:
        """Query element of each place, (P, heads_per_column, group, features); -1 where padded."""
        kv, dim = self.kv_index[:, :, None, :], self.config.head_dim
        head = (kv // dim) * self.group + np.arange(self.group)[:, None]
        return np.where(kv >= 0, head * dim + kv % dim, -1)

    # -- memory -------------------------------------------------------------------------------------------------------
    @cached_property
    def held_layers(self) -> int:
        """Layers on this grid."""
        return self.config.layers if self.layers is None else self.layers

    @cached_property
    def memory(self) -> dict[str, int]:
        """Bytes on the fullest PE, by use. All PEs hold tiles of the same size, so PE (0, 0) is one of them."""
        size = PRECISIONS[self.precision]
        layer = self.hidden * (self.q + 2 * self.kv) + self.q * self.hidden + 3 * self.hidden * self.ffn
        layer += 2 * self.hidden + (self.q + 2 * self.kv if self.config.attention_bias else 0)
        layer += 2 * self.features if self.config.qk_norm else 0
        tables = (1 if self.config.tied_embeddings else 2) * self.hidden * self.vocab + self.hidden
        scores = self.heads_per_column * self.group * self.slots
        stream = 2 * self.hidden + self.q + 2 * self.kv + 3 * self.ffn
        return {
            "weights": math.ceil(size * (self.held_layers * layer + (tables if self.with_head else 0))),
            "kv_cache": math.ceil(size * self.users * self.held_layers * 2 * self.kv * self.slots),
            "buffers": math.ceil(size * (self.chunk * (stream + scores) + (self.vocab if self.with_head else 0))),
            "code": RESERVED_BYTES,
        }

    def check(self, machine: Machine) -> None:
        """Refuse a mapping that does not lie on ``machine`` or does not fit a PE, naming the smallest grid that fits."""
        machine.check_grid(self.grid, self.grid)
        need, have = sum(self.memory.values()), int(machine.core.sram)
        if need <= have:
            return
        parts = ", ".join(f"{use} {size:,} B" for use, size in self.memory.items())
        smallest = self.smallest_grid(machine)
        advice = (f"the smallest square grid that fits is {smallest}x{smallest}" if smallest else
                  f"no square grid of {machine.name} fits: use more wafers, a shorter context or a smaller model")
        raise BudgetError(f"{self.config.name} does not fit {self.grid}x{self.grid} PEs of {machine.name}: PE (0, 0) would "
                          f"need {need:,} B of {have:,} B ({parts}); {advice}")

    def fits(self, machine: Machine) -> bool:
        """Whether every PE has room."""
        return sum(self.memory.values()) <= int(machine.core.sram)

    def smallest_grid(self, machine: Machine) -> int | None:
        """Side of the smallest square grid on ``machine`` on which the model fits, or None."""
        largest = min(int(machine.fabric.user_width), int(machine.fabric.user_height))
        for grid in range(self.grid + 1, largest + 1):
            if self.at(grid).fits(machine):
                return grid
        return None

    def at(self, grid: int) -> "Mapping":
        """The same model on another grid."""
        return Mapping(self.config, grid, self.precision, self.context, self.chunk, self.users, self.layers,
                       self.with_head)


def place(matrix: np.ndarray, rows: np.ndarray, columns: np.ndarray, transposed: bool = False) -> np.ndarray:
    """Tiles (P, P, inputs per line, outputs per line) of a matrix (inputs, outputs).

    ``rows`` (P, inputs per line) and ``columns`` (P, outputs per line) give the element of each place, -1 for padding. The
    input lies along y and the output along x, or the other way round if ``transposed``.
    """
    padded = np.pad(matrix, ((0, 1), (0, 1)))
    row, column = (rows[None, :], columns[:, None]) if transposed else (rows[:, None], columns[None, :])
    return padded[row[..., :, None], column[..., None, :]]


def place_vector(vector: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Pieces (P, ...) of a vector; padding is zero."""
    return np.append(vector, np.float32(0))[index]
