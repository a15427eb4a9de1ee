"""How the vectors of latent attention are cut over a grid: sizes of the pieces, and which element lies where."""

from abc import ABC
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wsekern.formulas import largest, smallest
from wsekern.inference.blocks.part import PartOnGrid
from wsekern.workload.decoder import LatentAttention

MOST_SCORES = 4096
"""Scores that a PE keeps at once: where there are more, heads take turns, each time as few as keep to it."""


@dataclass(frozen=True)
class LatentPlaces(PartOnGrid[LatentAttention], ABC):
    """Sizes of the pieces of latent attention on a grid, and indexes of what they hold."""

    # -- sizes of the pieces ------------------------------------------------------------------------------------------
    @cached_property
    def pairs(self) -> int:
        """Pairs of features of the cache: of latents, which need not be turned, then those that rotate."""
        return -(-self.part.kv_rank // 2) + self.part.rope_dim // 2

    @cached_property
    def copies(self) -> int:
        """Copies of the cache beside each other: columns that one would leave idle work on other heads."""
        return largest(1, smallest(self.mapping.width // self.pairs, self.part.heads))

    @cached_property
    def segment(self) -> int:
        """Columns of one copy."""
        return self.mapping.width // self.copies

    @cached_property
    def features(self) -> int:
        """Features of the cache in one column."""
        return 2 * -(-self.pairs // self.segment)

    @cached_property
    def turns(self) -> int:
        """Turns that the heads of a copy take."""
        heads = -(-self.part.heads // self.copies)
        return smallest(heads, -(-heads * self.mapping.slots * self.mapping.chunk // MOST_SCORES))

    @cached_property
    def heads(self) -> int:
        """Heads that read one copy, as many in every turn."""
        return self.turns * -(-self.part.heads // (self.copies * self.turns))

    @cached_property
    def heads_per_row(self) -> int:
        """Heads on one row (1 where a head is spread over several rows)."""
        return -(-self.part.heads // self.mapping.height)

    @cached_property
    def rows_per_head(self) -> int:
        """Rows over which one head is spread."""
        return largest(1, self.mapping.height // self.part.heads)

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
        """Feature of the cache at each place of a column (width, features), from kv_rank on those that rotate; -1 where
        padded."""
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
        first = np.arange(self.mapping.height) // self.rows_per_head * self.heads_per_row
        head = first[:, None] + np.arange(self.heads_per_row)
        return np.where(head < self.part.heads, head, -1)

    def features_of_row(self, size: int) -> np.ndarray:
        """Feature of a head at each place of a row (height, piece); -1 where padded."""
        piece = -(-size // self.rows_per_head)
        places = (np.arange(self.mapping.height) % self.rows_per_head)[:, None] * piece + np.arange(piece)
        return np.where(places < size, places, -1)

    @cached_property
    def query_feature(self) -> np.ndarray:
        """Feature of a query head at each place of a row (height, query): those without position first."""
        part, rope = self.part, self.features_of_row(self.part.rope_dim)
        return np.concatenate([self.features_of_row(part.nope_dim), np.where(rope >= 0, rope + part.nope_dim, -1)], axis=1)

    def of_heads(self, feature: np.ndarray, size: int) -> np.ndarray:
        """Element among all heads' ``size`` features at each place of a row (height, heads_per_row * piece)."""
        head, feature = self.head_of_row[:, :, None], feature[:, None]
        return np.where((head >= 0) & (feature >= 0), head * size + feature, -1).reshape(self.mapping.height, -1)

    @cached_property
    def head_of_copy(self) -> np.ndarray:
        """Heads that read the copy of each column (width, heads); -1 where padded."""
        head = self.copy_of_column[:, None] * self.heads + np.arange(self.heads)
        return np.where((self.copy_of_column[:, None] >= 0) & (head < self.part.heads), head, -1)
