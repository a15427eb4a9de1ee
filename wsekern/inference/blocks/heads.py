"""Where the heads of grouped-query attention lie on a grid, and the memory that they take.

Heads lie along x: each key-value head owns a segment of columns, which holds the features of the head, its keys and values, and
the query heads that share it. Features that rotate together lie in one column, the first of each pair in the first half of its
places; features that do not rotate make up pairs of their own.

A segment may be cut into blocks of columns (``position_blocks``). Each of them has all features of the head, projected there,
and keys and values of every so many-th round of positions: the round is the position over the height. A block's part of the
result is projected back where it lies, so the reduction behind the projection adds the blocks too.

A layer that looks back over some positions alone keeps no more than these: its slots go round.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from wsekern.formulas import largest, opaque, smallest
from wsekern.inference.blocks.part import PartOnGrid
from wsekern.inference.blocks.shared import rows_buffers, rows_shared
from wsekern.inference.packed import Matrices, Matrix
from wsekern.inference.packed_cache import CacheSizes
from wsekern.ops.local.packed_cache import CacheProduct
from wsekern.ops.local.vector import room_bytes
from wsekern.workload.decoder import Attention, Rotary
from wsekern.workload.request import PRECISIONS


@dataclass(frozen=True)
class HeadsOnGrid(PartOnGrid[Attention]):
    """Sizes and places of the heads of one layer."""

    # -- sizes of the pieces ------------------------------------------------------------------------------------------
    @cached_property
    def heads_per_column(self) -> int:
        """Key-value heads in one column (1 where a head is spread over several columns)."""
        return -(-self.part.kv_heads // self.mapping.width)

    @cached_property
    def blocks(self) -> int:
        """Blocks of columns of a key-value head, each with a share of the positions: at most as many as it has columns, and as
        a token sees rounds of positions."""
        m, part = self.mapping, self.part
        rounds = -(-smallest(part.reach or m.context, m.context) // m.height)
        return largest(1, smallest(m.programs.position_blocks, m.width // part.kv_heads, rounds))

    @cached_property
    def block(self) -> int:
        """Columns over which the features of one key-value head are cut."""
        return largest(1, smallest(self.mapping.width // self.part.kv_heads // self.blocks, self.part.head_dim // 2))

    @property
    def segment(self) -> int:
        """Columns of one key-value head, of all its blocks."""
        return self.blocks * self.block

    @property
    def bounded(self) -> bool:
        """Whether exponentials are relative to a bound: not to one of keys as they are before they are kept as fp8."""
        return self.mapping.programs.softmax == "bound" and not self.mapping.packs_cache

    @property
    def plain(self) -> bool:
        """Whether values and sums of exponentials are reduced as they are, each by itself."""
        programs = self.mapping.programs
        return programs.softmax == "maximum" and programs.softmax_sum == "apart" and self.blocks == 1

    @cached_property
    def features(self) -> int:
        """Features of one head in one column; even, because rotary embedding turns them in pairs."""
        return 2 * -(-len(self.pairs) // self.block)

    @cached_property
    def value_features(self) -> int:
        """Features of a value head in one column: those of keys, unless value heads are of another size."""
        other = self.part.value_dim not in (0, self.part.head_dim)
        return -(-self.part.value_dim // self.block) if other else self.features

    @cached_property
    def group(self) -> int:
        """Query heads that share one key-value head."""
        return self.part.heads // self.part.kv_heads

    @cached_property
    def q(self) -> int:
        """Query elements per column."""
        return self.heads_per_column * self.group * self.features

    @cached_property
    def kv(self) -> int:
        """Key elements per column and position."""
        return self.heads_per_column * self.features

    @cached_property
    def v(self) -> int:
        """Value elements per column and position."""
        return self.heads_per_column * self.value_features

    @cached_property
    def out(self) -> int:
        """Elements per column of what the output projection reads."""
        return self.v * self.group

    @cached_property
    def columns(self) -> tuple[int, ...]:
        """Elements per column of what is projected together: queries, keys, and where there are such values and gates."""
        values, gates = (() if self.part.values_are_keys else (self.v,)), ((self.out,) if self.part.gate else ())
        return (self.q, self.kv, *values, *gates)

    # -- positions ----------------------------------------------------------------------------------------------------
    def own_slots(self, slots: int) -> int:
        """Slots of a PE in which ``slots`` positions of a row lie: those of its block."""
        return -(-slots // self.blocks)

    def seen_slots(self, tokens: int, slots: int) -> int:
        """How many of the last slots of a PE ``tokens`` tokens look back over, where a row has ``slots`` positions."""
        reach, own = self.part.reach, self.own_slots(slots)
        return smallest(own, -(-(reach + tokens - 1) // (self.mapping.height * self.blocks)) + 1) if reach else own

    @cached_property
    def kept_slots(self) -> int:
        """Slots that a PE keeps: of all positions, or of those that a whole chunk looks back over."""
        return self.seen_slots(self.mapping.chunk, self.mapping.slots)

    @property
    def goes_round(self) -> bool:
        """Whether slots are written again, when no token looks back to what they hold."""
        return self.kept_slots < self.own_slots(self.mapping.slots)

    def can_go_back(self, furthest: int, length: int) -> bool:
        """Not to where a token would look back to what was written over: slots went round up to ``furthest``."""
        first, last = max(0, length - self.part.reach + 1) // self.mapping.height, (furthest - 1) // self.mapping.height
        return not self.goes_round or not length or first > last - self.kept_slots * self.blocks

    @cached_property
    def block_index(self) -> np.ndarray:
        """Block of each column, (width,); those of no head belong to all, which is -1."""
        column = np.arange(self.mapping.width)
        return np.where(self.head_index[:, 0] >= 0, column % self.segment // self.block, -1)

    def is_shared(self, tokens: int, slots: int) -> bool:
        """Whether each column of a block takes some exponentials of ``tokens`` tokens alone."""
        wide = self.seen_slots(tokens, slots) + self.part.sinks
        return rows_shared(self.mapping, tokens * self.heads_per_column * self.group, wide, self.block)

    # -- which element lies where -------------------------------------------------------------------------------------
    @cached_property
    def pairs(self) -> np.ndarray:
        """Features of each pair, (pairs, 2); -1 for none. Those that rotate come first."""
        return _pairs(self.part.rotary, self.part.head_dim)

    @cached_property
    def pair_index(self) -> np.ndarray:
        """Pair of each place in a column, (width, features / 2); -1 where padded."""
        width = self.features // 2
        column = np.arange(self.mapping.width) % self.block
        places = column[:, None] * width + np.arange(width)
        return np.where(places < len(self.pairs), places, -1)

    @cached_property
    def feature_index(self) -> np.ndarray:
        """Feature of each place of a head in a column, (width, features); -1 where padded."""
        pair = self.pair_index[..., None]
        found = np.where(pair >= 0, self.pairs[np.maximum(pair[..., 0], 0)], -1)
        return np.concatenate([found[..., 0], found[..., 1]], axis=1)

    @cached_property
    def value_index(self) -> np.ndarray:
        """Feature of each place of a value head in a column, (width, value features); -1 where padded."""
        if self.part.value_dim in (0, self.part.head_dim):
            return self.feature_index
        column = np.arange(self.mapping.width) % self.block
        places = column[:, None] * self.value_features + np.arange(self.value_features)
        return np.where(places < self.part.value_dim, places, -1)

    @cached_property
    def head_index(self) -> np.ndarray:
        """Key-value head of each place of heads in a column, (width, heads_per_column); -1 where there is none."""
        column = np.arange(self.mapping.width) // self.segment
        heads = column[:, None] * self.heads_per_column + np.arange(self.heads_per_column)
        return np.where(heads < self.part.kv_heads, heads, -1)

    @cached_property
    def query_head_index(self) -> np.ndarray:
        """Query head of each place of heads in a column, (width, heads_per_column, group); -1 where there is none."""
        heads = self.head_index[..., None]
        return np.where(heads >= 0, heads * self.group + np.arange(self.group), -1)

    def _elements(self, heads: np.ndarray, features: np.ndarray, size: int) -> np.ndarray:
        """Element of each place, (width, ... heads, features), of heads of ``size`` features; -1 where padded."""
        features = features.reshape(len(features), *(1,) * (heads.ndim - 1), -1)
        there = (heads[..., None] >= 0) & (features >= 0)
        return np.where(there, heads[..., None] * size + features, -1)

    @cached_property
    def kv_index(self) -> np.ndarray:
        """Key element of each place, (width, heads_per_column, features)."""
        return self._elements(self.head_index, self.feature_index, self.part.head_dim)

    @cached_property
    def q_index(self) -> np.ndarray:
        """Query element of each place, (width, heads_per_column, group, features)."""
        return self._elements(self.query_head_index, self.feature_index, self.part.head_dim)

    @cached_property
    def v_index(self) -> np.ndarray:
        """Value element of each place, (width, heads_per_column, value features)."""
        return self._elements(self.head_index, self.value_index, self.part.value_dim or self.part.head_dim)

    @cached_property
    def out_index(self) -> np.ndarray:
        """Element of what the output projection reads, (width, heads_per_column, group, value features)."""
        return self._elements(self.query_head_index, self.value_index, self.part.value_dim or self.part.head_dim)

    # -- memory -------------------------------------------------------------------------------------------------------
    @property
    def weights(self) -> int:
        """Elements of the projections, their biases, the norms of heads and the sinks."""
        hidden, part = self.mapping.hidden, self.part
        found = hidden * sum(self.columns) + self.out * hidden
        found += (sum(self.columns) if set("qkv") & set(part.biases) else 0) + (hidden if "o" in part.biases else 0)
        if part.norm:
            each = 1 + part.norm.bias + (part.norm.kind == "layer")
            found += each * (self.q + self.kv if part.norm_whole else 2 * self.features)
            found += self.q + self.kv if part.norm_apart else 0
        found += self.value_features if part.value_norm else 0
        return found + (self.heads_per_column * self.group if part.sinks else 0)

    def matrices(self) -> Matrices:
        """The projections to queries, keys and values, and the one back."""
        hidden = self.mapping.hidden
        return {"qkv": (Matrix(hidden, sum(self.columns)),), "o": (Matrix(self.out, hidden),)}

    def packed_inputs(self, name: str) -> tuple[str, np.ndarray] | None:
        """The residual stream along y, what was attended to along x."""
        if name == "o":
            return "o", self.out_index.reshape(self.mapping.width, -1)
        there = name in ("q", "k", "v", "attention_gate")
        return ("qkv", self.mapping.index_y(self.mapping.config.hidden)) if there else None

    @property
    def slot(self) -> float:
        """Keys and values of a position, over the blocks of which one has them; none where slots go round."""
        return 0 if self.goes_round else (self.kv + self.v) / self.blocks if self.blocks > 1 else self.kv + self.v

    def packed_cache(self) -> CacheSizes:
        """Keys and values."""
        heads = self.heads_per_column
        return {f"cache.{self.prefix}keys": (heads, self.features), f"cache.{self.prefix}values": (heads, self.value_features)}

    @property
    def state(self) -> float:
        """All slots that go round, or a last one that is not full in every block; what bounds scores."""
        ring = self.kept_slots * (self.kv + self.v) if self.goes_round else (self.kv + self.v) * (1 - 1 / self.blocks)
        return ring + (2 * self.kv if self.bounded else 0)

    @property
    def state_bytes(self) -> float:
        """What bounds scores is kept in the precision, whatever keys and values are kept in."""
        size, bounds = PRECISIONS[self.mapping.precision], 2 * self.kv if self.bounded else 0
        return size * bounds + (1 if self.packs_cache else size) * (self.state - bounds)

    @property
    def buffers(self) -> float:
        """The input, queries, keys and values, and gates; the message of values and sums."""
        message = 0 if self.plain else (self.out + self.heads_per_column * self.group) * 4 / PRECISIONS[self.mapping.precision]
        return self.mapping.hidden + self.q + self.kv + self.v + (self.out if self.part.gate else 0) + message

    @property
    def scores(self) -> int:
        """Scores of a token, their bound, and what sharing their exponentials takes."""
        m, rows = self.mapping, self.heads_per_column * self.group
        seen = self.seen_slots(m.chunk, m.slots)
        shared = rows_buffers(m, m.chunk * rows, seen + self.part.sinks, self.block)
        return rows * (seen + self.bounded) + math.ceil(shared / m.chunk)

    def room(self) -> int:
        """Bytes of the exponentials, of 1 over their sums, of a rotation's products, of caps, limits and gates."""
        m, part = self.mapping, self.part
        rows, size, scores = m.chunk * self.heads_per_column * self.group, PRECISIONS[m.precision], m.chunk * self.scores
        needs = [room_bytes("softcap", m.form, m.precision, scores) if part.softcap else 0,
                 math.ceil(2 * size * m.chunk * self.q) if self.bounded else 0,
                 room_bytes("clip", m.form, m.precision, m.chunk * self.q) if part.clip else 0,
                 room_bytes("sigmoid_mul", m.form, m.precision, m.chunk * self.out) if part.gate else 0]
        if m.packs_cache:
            queries, seen = m.chunk * self.group, self.seen_slots(m.chunk, m.slots)
            needs += [_cache_room(queries, seen, self.features, True, m.precision),
                      _cache_room(queries, seen, self.value_features, False, m.precision)]
        if m.form != "scalar":
            turned = self.q + (self.kv if m.programs.products == "together" else 0)
            needs += [room_bytes("exp2sub" if self.bounded else "expsub", m.form, m.precision, scores),
                      room_bytes("one_over", m.form, "fp32", rows) + 4 * rows, math.ceil(2 * size * m.chunk * turned)]
        return largest(*needs)


@opaque
def _cache_room(queries: int, seen: int, features: int, transposed: bool, precision: str) -> int:
    """Bytes of room of a product with a packed cache."""
    return CacheProduct(queries, seen, features, transposed=transposed).room_bytes(precision)


@lru_cache(maxsize=256)
def _pairs(rotary: Rotary | None, head_dim: int) -> np.ndarray:
    """Features of each pair of a head, (pairs, 2): see :attr:`HeadsOnGrid.pairs`."""
    turned = rotary.size if rotary else 0
    angle = np.arange(turned // 2)
    apart = rotary and rotary.neighbors
    rotating = np.stack([2 * angle, 2 * angle + 1] if apart else [angle, angle + turned // 2], axis=1)
    rest = np.arange(turned, head_dim)
    half = -(-len(rest) // 2)
    second = np.pad(rest[half:], (0, 2 * half - len(rest)), constant_values=-1)
    return np.concatenate([rotating, np.stack([rest[:half], second], axis=1)])
