"""How a model lies on a rectangle of PEs, and whether it fits: the parts of every layer, and the bytes of the fullest PE."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from wsekern.errors import BudgetError, InputError
from wsekern.formulas import Formulas, largest, within
from wsekern.inference.blocks.folding import folded, gain_in_rows
from wsekern.inference.blocks.registry import feed_on_grid, mixers_on_grid
from wsekern.inference.code import code_bytes
from wsekern.inference.grid import DEFAULT_ACTIVATIONS, Grid
from wsekern.inference.halves import feed_columns, has_halves, mixer_columns
from wsekern.inference.kinds import GridFormulas, LayerKind, layer_kinds
from wsekern.inference.layer import NORMS
from wsekern.inference.outer import embedding_places, head_matrix, outer_bytes
from wsekern.inference.packed import packed_memory
from wsekern.machine import Machine
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Block, Mixture
from wsekern.workload.request import PRECISIONS

__all__ = ["DEFAULT_ACTIVATIONS", "Mapping", "most_that"]

MOST_SLOTS = 1 << 40
"""Positions of a row of layers that keep nothing of a position."""


class BlockSizes(NamedTuple):
    """Of one kind of block, on the fullest PE: bytes of weights, of one position of a row, and of one sequence whatever
    its length, of the buffers of a whole chunk, and of the room of vector forms beside them."""

    weights: int
    slot: float
    state: float
    buffers: float
    room: int

    @classmethod
    def of(cls, mapping: Grid, block: Block) -> "BlockSizes":
        """The room of a part is what the buffers of the other one, which does not run, do not give. Of a layer on several
        wafers, all but the first have experts alone."""
        if mapping.expert_wafer:
            block = Block(feed=block.feed if isinstance(block.feed, Mixture) else None)
        size, chunk = PRECISIONS[mapping.precision], mapping.chunk
        mixers, feed = mixers_on_grid(mapping, block), feed_on_grid(mapping, block)
        parts, own = [*mixers, *([feed] if feed else [])], sum(part.buffers for part in mixers)
        others = feed.buffers if feed else 0
        around = [norm for name, norm in ((name, getattr(block, name)) for name in NORMS)
                  if norm is not None and not (name.startswith("before") and folded(mapping, norm) and gain_in_rows(mapping))]
        norms, places = sum(mapping.hidden * (1 + norm.bias) for norm in around), any(norm.kind == "layer" for norm in around)
        packed = [packed_memory(mapping, part.matrices()) for part in parts]
        beside = [others] * len(mixers) + [own]
        rooms = [math.ceil(largest(part.room(), room) - chunk * (size * other))
                 for part, (*_, room), other in zip(parts, packed, beside, strict=False)]
        elements = mapping.hidden + own + others + sum(part.scores for part in parts)
        norms += mapping.hidden if block.scaled else 0
        whole = norms + sum(part.weights for part in parts) - sum(elements for elements, *_ in packed)
        weights = math.ceil(size * whole) + sum(kept for _, kept, _ in packed)
        return cls(weights=weights, slot=sum(part.slot_bytes for part in parts), state=sum(part.state_bytes for part in parts),
                   buffers=chunk * elements + mapping.hidden * places, room=largest(0, *rooms, 0))


@dataclass(frozen=True, eq=False)
class Mapping(Grid):
    """A model on a grid, layer by layer.

    Where only some ``layers`` lie on it, they are any consecutive ones: those that need most decide whether all fit.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_parts(self.config)
        if self.feed_width and not has_halves(self.config):
            raise InputError(f"{self.config.name} has layers that are not a mixer with a feed-forward part behind it: leave "
                             "feed_width out")

    @cached_property
    def halves(self) -> tuple["Mapping", ...]:
        """The columns of mixers and those of feed-forward parts, where these have their own; else the whole grid."""
        return (mixer_columns(self), feed_columns(self)) if self.feed_width else (self,)

    # -- memory -------------------------------------------------------------------------------------------------------
    @cached_property
    def kinds(self) -> tuple[LayerKind, ...]:
        """Kinds of layers, in the order of :attr:`ModelConfig.kinds`."""
        return layer_kinds(Mapping, self.config, self.programs, self.precision, self.activations, self.weight_precision,
                           self.cache_precision, self.expert_law, self.expert_wafers, self.expert_wafer, self.columns)

    @cached_property
    def _sizes(self) -> list[BlockSizes]:
        """Of each kind of block, in the order of :attr:`ModelConfig.kinds`."""
        numbers = self.width, self.height, self.slots * self.height, self.chunk, self.expert_load
        return [BlockSizes(*within(formulas_of(kind), *numbers, *kind.blocks)) for kind in self.kinds]

    @cached_property
    def single_layers(self) -> tuple["Mapping", ...]:
        """The grid with one layer and one user, for each kind of block in the order of :attr:`ModelConfig.kinds`: its steps and
        sizes are those of that layer here, and for all requests alike for which rows have as many slots."""
        alone: dict[str, Any] = {"context": self.slots * self.height, "shared": 0, "layers": 1, "users": 1, "with_head": False}
        return tuple(replace(self, config=kind.grid.config, **alone) for kind in self.kinds)

    @cached_property
    def _regions(self) -> list[tuple[int, float, float]]:
        """(weights, slot, state) in bytes of the layers together that can lie on the grid: one for each run of consecutive
        layers."""
        return bytes_of_runs(self._sizes, counted(runs_of(self.config, self.held_layers)))

    def _kept(self, slot: float, state: float) -> float:
        """Bytes of the cache: of all positions, and of all sequences."""
        return slot * self.all_slots + state * self.users

    @property
    def _tables(self) -> int:
        """Bytes of embedding, LM head and the last norm."""
        return outer_bytes(self) if self.with_head else 0

    @cached_property
    def memory(self) -> dict[str, int]:
        """Bytes on the fullest PE, by use. All PEs hold tiles of the same size, so PE (0, 0) is one of them; where halves of
        layers have their own columns, the first or the last."""
        if self.feed_width:
            return max((half.memory for half in self.halves), key=lambda memory: sum(memory.values()))
        weights, slot, state = self._fullest
        return {"weights": weights + self._tables, "kv_cache": math.ceil(self._kept(slot, state)), "buffers": self._buffers,
                "code": code_bytes(self)}

    @cached_property
    def _fullest(self) -> tuple[int, float, float]:
        """Those of :attr:`_regions` that need most."""
        runs = self._regions
        return runs[0] if len(runs) == 1 else max(runs, key=lambda run: run[0] + self._kept(*run[1:]))

    @cached_property
    def _buffers(self) -> int:
        """Bytes of buffers, room of vector forms included."""
        buffers = max([kind.buffers for kind in self._sizes])
        room = max([kind.room for kind in self._sizes]) if self.held_layers else 0
        room = max(room, packed_memory(self, head_matrix(self))[2] if self.with_head else 0)
        places = embedding_places(self)[1] if self.with_head else 0
        return math.ceil(PRECISIONS[self.precision] * (buffers + places)) + room

    @property
    def bytes_used(self) -> int:
        """Of all PEs, each filled as the fullest one of its half."""
        return sum(half.width * half.height * sum(half.memory.values()) for half in self.halves)

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
        return self.needed_bytes <= int(machine.core.sram)

    @cached_property
    def needed_bytes(self) -> int:
        """Those of :attr:`memory` together."""
        if self.feed_width:
            return max(half.needed_bytes for half in self.halves)
        weights, slot, state = self._fullest
        return weights + self._tables + math.ceil(self._kept(slot, state)) + self._buffers + code_bytes(self)

    def most_slots(self, machine: Machine) -> int:
        """Cached positions of all users together for which every row has room beside weights, buffers and code."""
        if self.feed_width:
            return self.halves[0].most_slots(machine)
        beside = self._buffers + code_bytes(self)

        def slots(weights: int, slot: float, state: float) -> int:
            used = beside + weights + self._tables + state * self.users
            return int((int(machine.core.sram) - used) / slot) if slot else MOST_SLOTS

        return min(slots(*run) for run in self._regions)

    def most_users(self, machine: Machine) -> int:
        """Sequences of the whole context for which every row has room beside weights, buffers and code."""
        if self.feed_width:
            return min(half.most_users(machine) for half in self.halves)
        have = int(machine.core.sram) - self._buffers - code_bytes(self) - self._tables
        own = -(-(self.context - self.shared) // self.height)
        return users_with_room(self._regions, have, -(-self.shared // self.height), own)

    def smallest_grid(self, machine: Machine) -> int | None:
        """Side of the smallest square grid on ``machine`` on which the model fits, or None."""
        largest = min(int(machine.fabric.user_width), int(machine.fabric.user_height))
        least = 2 if self.feed_width else 1
        return next((side for side in range(least, largest + 1) if self.at(side, side).fits(machine)), None)

    def at(self, width: int, height: int) -> "Mapping":
        """The same model on another rectangle."""
        return replace(self, width=width, height=height)


Run = tuple[tuple[int, int], ...]
"""Which kinds some layers are of, by number, and how many of each."""


_NOTHING: tuple[float, float] = (0, 0)


@lru_cache(maxsize=4096)
def counted(runs: tuple[tuple[int, ...], ...]) -> tuple[Run, ...]:
    """Those of :func:`runs_of` by the kinds that they have."""
    return tuple(tuple((kind, count) for kind, count in enumerate(run) if count) for run in runs)


def bytes_of_runs(sizes: list[BlockSizes], runs: tuple[Run, ...]) -> list[tuple[int, float, float]]:
    """(weights, slot, state) in bytes of the layers of each of ``runs`` together."""
    found: list[tuple[int, float, float]] = []
    for run in runs:
        weights, slot, state = 0, *_NOTHING
        for kind, count in run:
            one = sizes[kind]
            weights, slot, state = weights + count * one.weights, slot + count * one.slot, state + count * one.state
        found.append((weights, slot, state))
    return found


def users_with_room(runs: list[tuple[int, float, float]], have: int, shared: int, own: int) -> int:
    """Sequences of ``own`` slots each, and ``shared`` ones of all, for which ``have`` bytes of weights and cache have room."""
    def users(weights: int, slot: float, state: float) -> int:
        room, each = have - weights - slot * shared, slot * own + state
        return int(room // each) if each else MOST_SLOTS

    return min(users(*run) for run in runs)


def most_that(bound: int, holds: Callable[[int], bool]) -> int:
    """The largest number below ``bound`` for which ``holds``, which is so up to some number and for none above it; or 0."""
    low, high = 0, bound
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


_SIZES = GridFormulas(lambda grid: BlockSizes.of(grid, grid.config.blocks[0]))


def formulas_of(kind: LayerKind) -> Formulas:
    """Of :class:`BlockSizes` of one layer, by the numbers of its grid."""
    return _SIZES.of(kind.grid)


@lru_cache(maxsize=256)
def _check_parts(config: ModelConfig) -> None:
    """Refuse a model with a part that has no steps yet."""
    for block, _ in config.kinds:
        mixers_on_grid(Grid(config, 1, 1), block)
        feed_on_grid(Grid(config, 1, 1), block)


@lru_cache(maxsize=4096)
def runs_of(config: ModelConfig, layers: int) -> tuple[tuple[int, ...], ...]:
    """How many layers of each of :attr:`ModelConfig.kinds` each run of ``layers`` consecutive layers has, the last run what is
    left; of alike ones one."""
    numbers = {block: number for number, (block, _) in enumerate(config.kinds)}
    of_layers = [numbers[block] for block in config.blocks]
    if not layers or len(numbers) == 1:
        return ((layers, *[0] * (len(numbers) - 1)),)
    runs = (of_layers[start:start + layers] for start in range(0, len(of_layers), layers))
    return tuple(dict.fromkeys(tuple(run.count(number) for number in range(len(numbers))) for run in runs))
