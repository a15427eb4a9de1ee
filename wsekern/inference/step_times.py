"""How long lists of steps take on a region of PEs, without values."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from wsekern.inference.blocks.expert_crossing import crossing_seconds
from wsekern.inference.halves import feed_half, mixer_half
from wsekern.inference.layer import arriving_steps, expert_loads, layer_steps
from wsekern.inference.mapping import Mapping
from wsekern.inference.outer import embedding_steps, head_steps
from wsekern.inference.steps import LayerStep, Steps
from wsekern.machine import Machine
from wsekern.ops import Broadcast, Operation
from wsekern.ops.engines.apart import time_apart
from wsekern.ops.engines.flow import TimingEngine
from wsekern.ops.operation import Axis
from wsekern.workload.decoder import Block, Mixture

CHUNKS = (1, 2, 4, 8, 16, 32, 64)
"""Prompt chunk lengths that are tried."""

CAUSES = ("compute", "fabric", "stages", "stream", "overhead")


@dataclass(frozen=True)
class StepCycles:
    """Cycles of a sequence of operations, and their share by cause."""

    cycles: float
    breakdown: dict[str, float]

    def __add__(self, other: "StepCycles") -> "StepCycles":
        causes = {cause: self.breakdown.get(cause, 0) + other.breakdown.get(cause, 0) for cause in CAUSES}
        return StepCycles(self.cycles + other.cycles, causes)

    def times(self, factor: float) -> "StepCycles":
        """``factor`` repetitions."""
        return StepCycles(self.cycles * factor, {cause: value * factor for cause, value in self.breakdown.items()})


def time_steps(machine: Machine, mapping: Mapping, steps: Steps, profile: str) -> StepCycles:
    """Time ``steps`` on the flow engine, without values."""
    engine = TimingEngine(machine, mapping.width, mapping.height, profile=profile, precision=mapping.precision)
    for step in steps:
        step.time(engine)
    return StepCycles(engine.cycles, dict(engine.breakdown))


@lru_cache(maxsize=16384)
def time_layer(machine: Machine, mapping: Mapping, tokens: int, slots: int, profile: str, block: Block) -> StepCycles:
    """One layer, a ``block``, for ``tokens`` tokens against ``slots`` cached positions per row.

    Where its time depends on which experts tokens choose: the mean of those with the whole numbers of experts on the fullest
    block of lines that are next to what the law of the mapping expects. Of halves on columns of their own: one after the other,
    each behind the way of the tokens to it.
    """
    if mapping.feed_width:
        halves = zip(mapping.halves, (mixer_half(block), feed_half(block)), strict=True)
        return sum((time_layer(machine, half, tokens, slots, profile, own) + time_steps(machine, half,
                    arriving_steps(half, own, tokens), profile) for half, own in halves), StepCycles(0.0, {}))
    parts = []
    for steps, share in layer_lists(mapping, block, tokens, slots):
        operations = tuple(step.operation for step in steps if isinstance(step, LayerStep))
        time = _time_operations(machine, mapping.width, mapping.height, mapping.precision, operations, profile)
        parts.append(time if share == 1.0 else time.times(share))
    return sum(parts[1:], parts[0])


def layer_lists(mapping: Mapping, block: Block, tokens: int, slots: int) -> Iterator[tuple[Steps, float]]:
    """Lists of steps that a layer may take, each with its share of the time: see :func:`time_layer`."""
    for grid, share in loaded_grids(mapping, block, tokens):
        yield layer_steps(grid, block, tokens, max(1, slots)), share


def loaded_grids(mapping: Mapping, block: Block, tokens: int) -> Iterator[tuple[Mapping, float]]:
    """The grid with each number of experts on the fullest block of lines that counts, and its share of the time."""
    for load, share in expert_loads(mapping, block, tokens):
        yield mapping if load == mapping.expert_load else replace(mapping, expert_load=load), share


@lru_cache(maxsize=16384)
def _time_operations(machine: Machine, width: int, height: int, precision: str, operations: tuple[Operation, ...],
                     profile: str) -> StepCycles:
    """Blocks that differ in what takes no time (where a window ends) are timed once."""
    apart = time_apart(machine, width, height, precision, operations, profile)
    if apart is not None:
        return StepCycles(sum(apart.values()), dict(apart))
    engine = TimingEngine(machine, width, height, profile=profile, precision=precision)
    for operation in operations:
        engine.time(operation)
    return StepCycles(engine.cycles, dict(engine.breakdown))


@lru_cache(maxsize=16384)
def time_layers(machine: Machine, mapping: Mapping, tokens: int, slots: int, profile: str) -> StepCycles:
    """All layers of the model, one after the other on a region such as ``mapping``."""
    kinds = zip(mapping.single_layers, mapping.config.kinds, strict=True)
    return sum((time_layer(machine, one, tokens, slots, profile, block).times(count) for one, (block, count) in kinds),
               StepCycles(0.0, {}))


def expert_crossing_seconds(machine: Machine, mapping: Mapping, tokens: int) -> float:
    """Time of ``tokens`` tokens in the links between the wafers that share the experts of a layer, of all layers together."""
    return sum((count * crossing_seconds(mapping, block.feed, machine, tokens) for block, count in mapping.config.kinds
                if isinstance(block.feed, Mixture)), 0.0)


@lru_cache(maxsize=1024)
def time_head(machine: Machine, mapping: Mapping, profile: str) -> StepCycles:
    """One token's embedding, and from its residual stream to its logits."""
    steps = [*head_steps(mapping), *embedding_steps(mapping, [0])]
    return time_steps(machine, mapping, steps, profile)


@lru_cache(maxsize=1024)
def time_handover(machine: Machine, mapping: Mapping, tokens: int, profile: str) -> StepCycles:
    """Time of :func:`handover_steps`."""
    return time_steps(machine, *handover_steps(mapping, tokens), profile)


def handover_steps(mapping: Mapping, tokens: int) -> tuple[Mapping, Steps]:
    """The columns over which the residual stream of ``tokens`` tokens goes from one region to the mixers of the next one, and
    how: over all of a region. Where columns of mixers lie above such columns, each carries the pieces of some rows up or down
    to the same rows of the next region, and from there every piece goes over these columns alone."""
    if not mapping.feed_width:
        return mapping, [_passed_on(tokens * mapping.hidden, "x")]
    if not mapping.stacked:
        whole = replace(mapping, width=mapping.width + mapping.feed_width, feed_width=0)
        return whole, [_passed_on(tokens * mapping.hidden, "x")]
    rows = -(-mapping.height // mapping.width)
    return mapping.halves[0], [_passed_on(rows * tokens * mapping.hidden, "y"), _passed_on(tokens * mapping.hidden, "x")]


def _passed_on(elements: int, axis: Axis) -> LayerStep:
    return LayerStep("handover", "to the next region", Broadcast(elements, axis))
