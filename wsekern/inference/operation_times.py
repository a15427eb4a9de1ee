"""Where the time of a pass goes, operation by operation: what :mod:`wsekern.inference.step_times` sums up."""

from dataclasses import dataclass, replace
from functools import lru_cache

from wsekern.inference.halves import feed_half, mixer_half
from wsekern.inference.layer import arriving_steps
from wsekern.inference.mapping import Mapping
from wsekern.inference.outer import embedding_steps, head_steps
from wsekern.inference.step_times import handover_steps, layer_lists, time_layer
from wsekern.inference.steps import LayerStep, Steps
from wsekern.machine import Machine
from wsekern.ops import FlowEngine
from wsekern.workload.decoder import Block


@dataclass(frozen=True)
class OperationTime:
    """One operation of a pass: the part of the model, its name, by how many cycles the last PE is done later behind it, and how
    many words it sends over how many links."""

    part: str
    name: str
    cycles: float
    link_traversals: float

    def times(self, factor: float) -> "OperationTime":
        """``factor`` repetitions."""
        return replace(self, cycles=self.cycles * factor, link_traversals=self.link_traversals * factor)


def operation_times(machine: Machine, mapping: Mapping, steps: Steps, profile: str) -> tuple[OperationTime, ...]:
    """Each of ``steps`` that takes time, on the flow engine, in their order."""
    engine = FlowEngine(machine, mapping.width, mapping.height, profile=profile, precision=mapping.precision)
    found, cycles, links = [], 0, 0
    for step in steps:
        if isinstance(step, LayerStep):
            step.time(engine)
            after, crossed = engine.cycles, int(engine.link_traversals)
            found.append(OperationTime(step.part, step.name, after - cycles, crossed - links))
            cycles, links = after, crossed
    return tuple(found)


@lru_cache(maxsize=256)
def layer_operations(machine: Machine, mapping: Mapping, tokens: int, slots: int, profile: str,
                     block: Block) -> tuple[OperationTime, ...]:
    """The operations of one layer, a ``block``, as in :func:`time_layer`, to whose cycles they add up. Where its time depends
    on which experts tokens choose, those of the choice that is the likeliest, as long as the mean."""
    if mapping.feed_width:
        halves = zip(mapping.halves, (mixer_half(block), feed_half(block)), strict=True)
        (mixed, summed), (fed, spread) = (
            (layer_operations(machine, half, tokens, slots, profile, own),
             operation_times(machine, half, arriving_steps(half, own, tokens), profile)) for half, own in halves)
        return (*mixed, *spread, *fed, *summed)
    steps, _ = max(layer_lists(mapping, block, tokens, slots), key=lambda pair: pair[1])
    found = operation_times(machine, mapping, steps, profile)
    mean, own = time_layer(machine, mapping, tokens, slots, profile, block).cycles, sum(one.cycles for one in found)
    return found if mean == own else tuple(replace(one, cycles=one.cycles * mean / own) for one in found)


@lru_cache(maxsize=64)
def head_operations(machine: Machine, mapping: Mapping, profile: str) -> tuple[OperationTime, ...]:
    """One token's logits and its embedding."""
    return operation_times(machine, mapping, [*head_steps(mapping), *embedding_steps(mapping, [0])], profile)


@lru_cache(maxsize=256)
def handover_operations(machine: Machine, mapping: Mapping, tokens: int, profile: str) -> tuple[OperationTime, ...]:
    """The way of tokens to the next region."""
    return operation_times(machine, *handover_steps(mapping, tokens), profile)
