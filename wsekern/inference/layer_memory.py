"""Whether one layer fits a square grid of PEs: what ``predict wafer`` needs there for its time to mean anything."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from wsekern.errors import BudgetError
from wsekern.inference.mapping import Mapping
from wsekern.inference.programs import Programs
from wsekern.machine import Machine
from wsekern.ops.local.rows import Form
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import PRECISIONS

PUBLISHED_CODE_BYTES = 8192
"""Of a PE of the published kernels: 4,176 B of runtime (FABRICA link test) and as much again for the program (assumed)."""
MemoryAt = Callable[[int], dict[str, int]]
"""Side of a square grid -> bytes of its fullest PE by use, with one layer on the grid."""


class Kept(NamedTuple):
    """Formats in which PEs keep weights and cache, as in :class:`Mapping`."""

    weights: str = ""
    cache: str = ""


@dataclass(frozen=True)
class TileSizes:
    """Sizes on one PE: model width, feed-forward width, positions; and the sequences decoded together."""

    dim: int
    ffn: int
    seq: int
    batch: int = 1

    @classmethod
    def of(cls, config: ModelConfig, width: int, grid: int, context: int, batch: int) -> "TileSizes":
        """Every size padded to a multiple of the grid and cut; ``width`` is that of the feed-forward part."""
        return cls(-(-config.hidden // grid), -(-width // grid), -(-context // grid), batch)

    def memory(self, phase: str, users: int, precision: str) -> dict[str, int]:
        """Bytes of a PE of the published kernels: four square matrices and three of the feed-forward part; keys and values as
        wide as the model of ``users`` sequences; of the tokens at work input, queries, keys, values, result, the feed-forward
        part twice, and scores of every position."""
        size = PRECISIONS[precision]
        tokens = self.batch if phase == "decode" else self.seq
        return {"weights": math.ceil(size * (4 * self.dim**2 + 3 * self.dim * self.ffn)),
                "kv_cache": math.ceil(size * 2 * self.dim * self.seq * users),
                "buffers": math.ceil(size * tokens * (5 * self.dim + 2 * self.ffn + self.seq)), "code": PUBLISHED_CODE_BYTES}


def layer_layout(config: ModelConfig, side: int, precision: str, context: int, users: int, chunk: int,
                 activations: Form | None, programs: Programs, kept: Kept) -> Mapping:
    """One layer as it is executed: of ``users`` sequences, ``chunk`` tokens at once."""
    return Mapping(config, side, side, precision, context=context, chunk=chunk, users=users, layers=1, with_head=False,
                   activations=activations, programs=programs, weight_precision=kept.weights,
                   cache_precision=kept.cache)


def check_layer(config: ModelConfig, machine: Machine, side: int, memory_at: MemoryAt) -> dict[str, int]:
    """Bytes of a PE of ``side`` x ``side`` of them by use; :class:`BudgetError` where a PE has less, naming the smallest grid
    that fits."""
    machine.check_grid(side, side)
    memory, have = memory_at(side), int(machine.core.sram)
    need = sum(memory.values())
    if need <= have:
        return memory
    parts = ", ".join(f"{use} {size:,} B" for use, size in memory.items())
    largest = min(int(machine.fabric.user_width), int(machine.fabric.user_height))
    fitting = next((grid for grid in range(side + 1, largest + 1) if sum(memory_at(grid).values()) <= have), None)
    advice = (f"the smallest square grid that fits is {fitting}x{fitting}" if fitting else
              f"no square grid of {machine.name} holds one: use less context or a smaller batch, or compare, which takes more "
              "wafers")
    raise BudgetError(f"a layer of {config.name} does not fit {side}x{side} PEs of {machine.name}: a PE would need {need:,} B "
                      f"of {have:,} B ({parts}); {advice}")


def grids_needed(config: ModelConfig, machine: Machine, side: int, memory: dict[str, int]) -> dict[str, int]:
    """How many layers a grid keeps, how many such grids hold all, and how many wafers these are."""
    room = int(machine.core.sram) - memory["buffers"] - memory["code"]
    layers = min(config.layers, room // max(1, memory["weights"] + memory["kv_cache"]))
    grids = -(-config.layers // layers)
    on_wafer = (int(machine.fabric.user_width) // side) * (int(machine.fabric.user_height) // side)
    return {"layers_per_grid": layers, "grids": grids, "wafers": -(-grids // on_wafer)}
