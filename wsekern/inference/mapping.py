"""How a transformer lies on a rectangle of PEs: which PE holds which tile, and whether it fits.

Every vector is cut into pieces. *Along y* means that row i holds piece i (the same in all columns), *along x* that column
j holds piece j (the same in all rows). Matrices whose input lies along y put tile (piece i, piece j) on PE (row i, column j);
the partial products are summed over the rows and the output lies along x. Matrices whose input lies along x are placed
transposed and sum over the columns. The two kinds alternate, so nothing is ever moved to another layout.

Attention heads lie along x: each key-value head owns a segment of columns, which holds the features of the head, its keys
and values, and the query heads that share it. Position t of the sequence is kept by row t mod height, so the cache grows
evenly.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from wsekern.errors import BudgetError, InputError
from wsekern.machine import Machine
from wsekern.ops.local.rows import Form, check_form
from wsekern.ops.local.vector import room_bytes
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import PRECISIONS, check_precision

RESERVED_BYTES = 8192
"""Code, stack and runtime of a PE: 4,176 B of runtime (FABRICA link test) and as much again for the program (assumed)."""

DEFAULT_ACTIVATIONS: dict[str, Form] = {"fp32": "vector", "fp16": "vector", "fp16_fp32": "vector", "bf16": "vector"}
"""How SiLU and exponentials are computed in each precision where a model does not say: the quickest that costs it nothing
(``python -m wsekern.calibration.activations``)."""


@dataclass(frozen=True)
class Mapping:
    """A model with room for ``context`` tokens on ``width`` x ``height`` PEs, fed with chunks of up to ``chunk`` tokens.

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
        if self.config.kv_lora_rank or self.config.linear_layers:
            kind = "latent attention" if self.config.kv_lora_rank else "linear attention"
            raise InputError(f"{self.config.name}: a model with {kind} cannot be mapped onto a wafer; expected grouped-query "
                             "attention (Llama, Qwen, Mistral, Mixtral, gpt-oss, ...)")

    @property
    def form(self) -> Form:
        """How SiLU and exponentials are computed."""
        return self.activations or DEFAULT_ACTIVATIONS[self.precision]

    # -- sizes of the pieces ------------------------------------------------------------------------------------------
    @cached_property
    def hidden(self) -> int:
        """Elements of the residual stream per row; the last pieces are padded with zeros."""
        return -(-self.config.hidden // self.height)

    @cached_property
    def ffn(self) -> int:
        """Elements of the feed-forward layer per column."""
        return -(-self.config.ffn // self.width)

    @cached_property
    def expert(self) -> int:
        """Elements of one expert per column: every expert is spread over all columns, so any of them is equally near."""
        return -(-self.config.expert_ffn // self.width)

    @cached_property
    def shared_expert(self) -> int:
        """Elements of the shared expert per column."""
        return -(-self.config.shared_expert_ffn // self.width)

    @cached_property
    def router(self) -> int:
        """Experts whose score one column computes."""
        return -(-self.config.experts // self.width)

    @cached_property
    def vocab(self) -> int:
        """Tokens per column."""
        return -(-self.config.vocab // self.width)

    @cached_property
    def heads_per_column(self) -> int:
        """Key-value heads in one column (1 where a head is spread over several columns)."""
        return -(-self.config.kv_heads // self.width)

    @cached_property
    def segment(self) -> int:
        """Columns over which one key-value head is spread."""
        return max(1, min(self.width // self.config.kv_heads, self.config.head_dim // 2))

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
        return -(-self.context // self.height)

    @cached_property
    def all_slots(self) -> int:
        """Positions that one row keeps of all users together."""
        if not self.shared:
            return self.users * self.slots
        return -(-self.shared // self.height) + self.users * -(-(self.context - self.shared) // self.height)

    # -- which element lies where -------------------------------------------------------------------------------------
    def index_y(self, size: int) -> np.ndarray:
        """Element of each place of a vector along y, (height, piece); -1 where padded."""
        return _pieces(size, self.height)

    def index_x(self, size: int) -> np.ndarray:
        """Element of each place of a vector along x, (width, piece); -1 where padded."""
        return _pieces(size, self.width)

    @cached_property
    def pair_index(self) -> np.ndarray:
        """Rotary pair of each place in a column, (width, features / 2); -1 where padded."""
        pairs, width = self.config.head_dim // 2, self.features // 2
        column = np.arange(self.width) % self.segment
        places = column[:, None] * width + np.arange(width)
        return np.where(places < pairs, places, -1)

    @cached_property
    def kv_index(self) -> np.ndarray:
        """Key (or value) element of each place, (width, heads_per_column, features); -1 where padded."""
        head = (np.arange(self.width) // self.segment)[:, None] * self.heads_per_column + np.arange(self.heads_per_column)
        pair = self.pair_index
        feature = np.concatenate([pair, np.where(pair < 0, -1, pair + self.config.head_dim // 2)], axis=1)
        places = head[:, :, None] * self.config.head_dim + feature[:, None, :]
        return np.where((head[:, :, None] < self.config.kv_heads) & (feature[:, None, :] >= 0), places, -1)

    @cached_property
    def q_index(self) -> np.ndarray:
        """Query element of each place, (width, heads_per_column, group, features); -1 where padded."""
        kv, dim = self.kv_index[:, :, None, :], self.config.head_dim
        head = (kv // dim) * self.group + np.arange(self.group)[:, None]
        return np.where(kv >= 0, head * dim + kv % dim, -1)

    # -- memory -------------------------------------------------------------------------------------------------------
    @cached_property
    def held_layers(self) -> int:
        """Layers on this grid."""
        return self.config.layers if self.layers is None else self.layers

    @cached_property
    def _feed_forward_elements(self) -> int:
        """Weights of one layer's feed-forward part on one PE; of the larger kind where a model has dense and MoE layers."""
        dense = 3 * self.hidden * self.ffn
        if not self.config.experts:
            return dense
        experts = self.config.experts * self.expert + self.shared_expert
        return max(dense if self.config.dense_layers else 0, self.hidden * (self.router + 3 * experts))

    @cached_property
    def memory(self) -> dict[str, int]:
        """Bytes on the fullest PE, by use. All PEs hold tiles of the same size, so PE (0, 0) is one of them."""
        size = PRECISIONS[self.precision]
        layer = self.hidden * (self.q + 2 * self.kv) + self.q * self.hidden + self._feed_forward_elements
        layer += 2 * self.hidden + (self.q + 2 * self.kv if self.config.attention_bias else 0)
        layer += (self.hidden if self.config.output_bias else 0) + (2 * self.features if self.config.qk_norm else 0)
        layer += self.hidden + 2 * self.ffn if self.config.mlp_bias else 0
        tables = (1 if self.config.tied_embeddings else 2) * self.hidden * self.vocab + self.hidden
        scores = self.heads_per_column * self.group * self.slots
        chosen = self.config.experts_per_token * self.expert + self.shared_expert
        attention, gates = self.hidden + self.q + 2 * self.kv, max(3 * self.ffn, 3 * chosen + self.config.experts)
        stream = self.hidden + attention + gates
        return {
            "weights": math.ceil(size * (self.held_layers * layer + (tables if self.with_head else 0))),
            "kv_cache": math.ceil(size * self.held_layers * 2 * self.kv * self.all_slots),
            "buffers": math.ceil(size * (self.chunk * (stream + scores) + (self.vocab if self.with_head else 0)))
            + self._room(size * attention, size * gates, scores),
            "code": RESERVED_BYTES,
        }

    def _room(self, attention: float, gates: float, scores: int) -> int:
        """Bytes of vector forms' room that the buffers of the block which does not run, bytes a token, do not give."""
        if not self.held_layers or self.form == "scalar":
            return 0
        active = self.config.experts_per_token * self.expert if self.config.experts else self.ffn
        rows, room = self.chunk * self.heads_per_column * self.group, partial(room_bytes, form=self.form)
        needs = ((room("silu_mul", precision=self.precision, elements=self.chunk * active), attention),
                 (room("expsub", precision=self.precision, elements=self.chunk * scores), gates),
                 (room("one_over", precision="fp32", elements=rows) + 4 * rows, gates),
                 (2 * PRECISIONS[self.precision] * self.chunk * self.q, gates))         # a rotation's products
        return max(0, *(math.ceil(need - self.chunk * idle) for need, idle in needs))

    def check(self, machine: Machine) -> None:
        """Refuse a mapping that does not lie on ``machine`` or does not fit a PE, naming the smallest grid that fits."""
        machine.check_grid(self.width, self.height)
        need, have = sum(self.memory.values()), int(machine.core.sram)
        if need <= have:
            return
        parts = ", ".join(f"{use} {size:,} B" for use, size in self.memory.items())
        smallest = self.smallest_grid(machine)
        advice = f"the smallest square grid that fits is {smallest}x{smallest}" if smallest else self._advice(machine)
        raise BudgetError(f"{self.config.name} does not fit {self.width}x{self.height} PEs of {machine.name}: PE (0, 0) would "
                          f"need {need:,} B of {have:,} B ({parts}); {advice}")

    def _advice(self, machine: Machine) -> str:
        """What would fit the largest square grid, where this mapping does not: so many tokens, or a smaller model."""
        side = min(int(machine.fabric.user_width), int(machine.fabric.user_height))
        tokens = most_that(self.context, lambda tokens: replace(self.at(side, side), context=tokens).fits(machine))
        if not tokens:
            return (f"no square grid of {machine.name} holds its weights: use a smaller model, or compare, which takes more "
                    "wafers")
        users = f" for each of {self.users:,} users" if self.users > 1 else ""
        return f"no square grid of {machine.name} fits, the largest ({side}x{side}) holds up to {tokens:,} tokens{users}"

    def fits(self, machine: Machine) -> bool:
        """Whether every PE has room."""
        return sum(self.memory.values()) <= int(machine.core.sram)

    def most_slots(self, machine: Machine) -> int:
        """Cached positions of all users together for which every row has room beside weights, buffers and code."""
        room = int(machine.core.sram) - sum(size for use, size in self.memory.items() if use != "kv_cache")
        return int(room / (PRECISIONS[self.precision] * self.held_layers * 2 * self.kv))

    def smallest_grid(self, machine: Machine) -> int | None:
        """Side of the smallest square grid on ``machine`` on which the model fits, or None."""
        largest = min(int(machine.fabric.user_width), int(machine.fabric.user_height))
        return next((side for side in range(1, largest + 1) if self.at(side, side).fits(machine)), None)

    def at(self, width: int, height: int) -> "Mapping":
        """The same model on another rectangle."""
        return replace(self, width=width, height=height)


def most_that(bound: int, holds: Callable[[int], bool]) -> int:
    """The largest number below ``bound`` for which ``holds``, which is so up to some number and for none above it; or 0."""
    low, high = 0, bound
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _pieces(size: int, count: int) -> np.ndarray:
    places = np.arange(count * -(-size // count)).reshape(count, -1)
    return np.where(places < size, places, -1)


def cut_into_tiles(matrix: np.ndarray, rows: np.ndarray, columns: np.ndarray, transposed: bool = False) -> np.ndarray:
    """Tiles (height, width, inputs per line, outputs per line) of a matrix (inputs, outputs).

    ``rows`` (lines, inputs per line) and ``columns`` (lines, outputs per line) give the element of each place, -1 for
    padding. The input lies along y and the output along x, or the other way round if ``transposed``.
    """
    padded = np.pad(matrix, ((0, 1), (0, 1)))
    tiles = padded[rows[:, :, None, None], columns[None, None]]    # (lines, inputs, lines, outputs): as the matrix lies
    return tiles.transpose(2, 0, 1, 3) if transposed else tiles.transpose(0, 2, 1, 3)


def cut_into_pieces(vector: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Pieces (lines, ...) of a vector; padding is zero."""
    return np.append(vector, np.float32(0))[index]
