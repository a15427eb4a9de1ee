"""A whole model on one or more wafers: regions of PEs, layers in regions, tokens flowing through them.

Every region is a square of P x P PEs that keeps some consecutive layers (weights and cache stay in SRAM); tokens pass
from region to region and, at layer boundaries, from wafer to wafer. Embedding and LM head have a region on the last wafer.
Different users' tokens are in different regions at the same time, so users cost each other nothing until every region is busy.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

from wsekern.errors import BudgetError, InputError
from wsekern.inference.layer import Step, head_steps, layer_steps
from wsekern.inference.mapping import Mapping
from wsekern.machine import Machine
from wsekern.ops import Broadcast, FlowEngine
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import PRECISIONS, Request

CHUNKS = (1, 2, 4, 8, 16, 32, 64)
"""Prompt chunk lengths that are tried."""

CAUSES = ("compute", "fabric", "stages", "words", "overhead")


@dataclass(frozen=True)
class StepTime:
    """Cycles of a sequence of operations, and their share by cause."""

    cycles: float
    breakdown: dict[str, float]

    def __add__(self, other: "StepTime") -> "StepTime":
        causes = {cause: self.breakdown.get(cause, 0) + other.breakdown.get(cause, 0) for cause in CAUSES}
        return StepTime(self.cycles + other.cycles, causes)

    def times(self, factor: float) -> "StepTime":
        """``factor`` repetitions."""
        return StepTime(self.cycles * factor, {cause: value * factor for cause, value in self.breakdown.items()})


def time_steps(machine: Machine, mapping: Mapping, steps: list[Step], profile: str) -> StepTime:
    """Time ``steps`` on the flow engine, without values."""
    engine = FlowEngine(machine, mapping.grid, mapping.grid, profile=profile, dtype=mapping.precision)
    for step in steps:
        engine.time(step.operation)
    return StepTime(engine.cycles, dict(engine.breakdown))


@lru_cache(maxsize=4096)
def time_layer(machine: Machine, mapping: Mapping, tokens: int, slots: int, profile: str) -> StepTime:
    """One layer for ``tokens`` tokens against ``slots`` cached positions per row."""
    return time_steps(machine, mapping, layer_steps(mapping, tokens, max(1, slots)), profile)


@lru_cache(maxsize=1024)
def _time_head(machine: Machine, mapping: Mapping, profile: str) -> StepTime:
    steps = [*head_steps(mapping), Step("embedding", "embed", Broadcast(mapping.hidden, "x"))]
    return time_steps(machine, mapping, steps, profile)


@lru_cache(maxsize=1024)
def _time_handover(machine: Machine, mapping: Mapping, tokens: int, profile: str) -> StepTime:
    """Residual stream from one region to all columns of the next one."""
    return time_steps(machine, mapping, [Step("handover", "handover", Broadcast(tokens * mapping.hidden, "x"))], profile)


@dataclass(frozen=True)
class Placement:
    """Squares of ``grid`` x ``grid`` PEs with ``layers`` layers each, over ``wafers`` wafers, and one for the LM head."""

    config: ModelConfig
    machine: Machine
    request: Request
    wafers: int
    grid: int
    layers: int
    head_grid: int
    chunk: int
    profile: str = "silicon"

    @property
    def stages(self) -> int:
        """Regions that a token passes, the LM head's among them."""
        return self.regions + 1

    @property
    def regions(self) -> int:
        """Regions with layers, on all wafers."""
        return -(-self.config.layers // self.layers)

    @property
    def tokens_per_stage(self) -> int:
        """Tokens of different users that a region handles together: 1 until there are more users than regions."""
        return -(-self.request.batch // self.stages)

    @cached_property
    def mapping(self) -> Mapping:
        """One region with layers."""
        return _region(self.config, self.grid, self.request, self.layers, max(self.chunk, self.tokens_per_stage))

    @cached_property
    def head_mapping(self) -> Mapping:
        """The region of the embedding and the LM head."""
        return _head_region(self.config, self.head_grid, self.request)

    def decode(self) -> StepTime:
        """One token of one user from end to end, halfway through the answer; wafer crossings left out."""
        context = self.request.prompt + self.request.output // 2
        return self._pass(self.tokens_per_stage, -(-context // self.grid))

    def _pass(self, tokens: int, slots: int) -> StepTime:
        layer = time_layer(self.machine, self.mapping, tokens, slots, self.profile)
        handover = _time_handover(self.machine, self.mapping, tokens, self.profile)
        head = _time_head(self.machine, self.head_mapping, self.profile)
        return layer.times(self.config.layers) + handover.times(self.regions) + head.times(tokens)

    def crossing_seconds(self, tokens: int) -> float:
        """Time in the links between wafers for one pass, the return of the sampled token included."""
        if self.wafers == 1:
            return 0.0
        size = self.config.hidden * PRECISIONS[self.request.precision] * tokens
        system = self.machine.system
        return self.wafers * float(system.io_latency) + (self.wafers - 1) * size / float(system.io_bandwidth)

    def token_seconds(self) -> float:
        """Time per output token of one user."""
        return self.decode().cycles / float(self.machine.clock) + self.crossing_seconds(self.tokens_per_stage)

    def first_token_seconds(self) -> float:
        """Time to the first token: the prompt's chunks follow each other through the regions."""
        chunks = -(-self.request.prompt // self.chunk)
        slots = -(-(self.request.prompt // 2 + 1) // self.grid)
        layer = time_layer(self.machine, self.mapping, self.chunk, slots, self.profile)
        handover = _time_handover(self.machine, self.mapping, self.chunk, self.profile)
        stage = layer.cycles * self.layers + handover.cycles
        head = _time_head(self.machine, self.head_mapping, self.profile).cycles
        # Users' prompts queue behind each other; the last one's last chunk is what the slowest user waits for.
        cycles = (chunks * self.request.batch + self.regions - 1) * stage + head
        return cycles / float(self.machine.clock) + self.crossing_seconds(self.chunk)

    def memory_used(self) -> float:
        """Bytes in use on all wafers: weights, cache, buffers and code of every PE in a region."""
        layers = sum(self.mapping.memory.values()) * self.grid**2 * self.regions
        return layers + sum(self.head_mapping.memory.values()) * self.head_grid**2

    def memory_there(self) -> float:
        """Bytes of SRAM of the PEs a program may use, on all wafers."""
        fabric = self.machine.fabric
        return self.wafers * float(self.machine.core.sram) * int(fabric.user_width) * int(fabric.user_height)


def _region(config: ModelConfig, grid: int, request: Request, layers: int, chunk: int) -> Mapping:
    return Mapping(config, grid, request.precision, context=request.context, chunk=chunk, users=request.batch,
                   layers=layers, with_head=False)


def _head_region(config: ModelConfig, grid: int, request: Request) -> Mapping:
    return Mapping(config, grid, request.precision, context=1, layers=0)


def place_model(config: ModelConfig, request: Request, machine: Machine, wafers: int | None = None,
                profile: str = "silicon") -> Placement:
    """The placement with the least time per token on the fewest wafers (or on ``wafers``); :class:`BudgetError` if none."""
    machine.profile(profile)
    if wafers is not None and wafers < 1:
        raise InputError(f"wafers is {wafers}, expected at least 1, or auto")
    for count in range(1, 65) if wafers is None else (wafers,):
        placements = _placements(config, request, machine, count, profile)
        if placements:
            best = min(placements, key=lambda p: (p.token_seconds(), p.grid))
            return _with_best_chunk(best)
    raise BudgetError(f"{config.name} with {request.batch} x {request.context} tokens of {request.precision} cache does not "
                      f"fit {'64' if wafers is None else wafers} wafers of {machine.name}: use "
                      f"{'a smaller request' if wafers is None else 'more wafers (or auto) or a smaller request'}")


def _placements(config: ModelConfig, request: Request, machine: Machine, wafers: int, profile: str) -> list[Placement]:
    """One candidate per number of layers in a region that fits ``wafers`` wafers."""
    head = _head_region(config, 1, request)
    head_grid = 1 if head.fits(machine) else head.smallest_grid(machine)
    if head_grid is None:
        return []
    found = []
    for layers in _divisions(config.layers, wafers):
        regions = -(-config.layers // layers)
        largest = _largest_grid(machine, -(-regions // wafers), head_grid)
        tokens = -(-request.batch // (regions + 1))
        if largest and _region(config, largest, request, layers, tokens).fits(machine):
            smallest = _smallest_fitting(config, request, machine, layers, tokens, largest)
            found += [Placement(config, machine, request, wafers, grid, layers, head_grid, 1, profile)
                      for grid in {smallest, (smallest + largest) // 2, largest}]
    return found


def _divisions(layers: int, wafers: int) -> list[int]:
    """Layers per region that lead to different numbers of regions, at least one region per wafer."""
    counts = {-(-layers // per_region) for per_region in range(1, layers + 1)}
    return sorted({-(-layers // count) for count in counts if count >= min(wafers, layers)})


def _largest_grid(machine: Machine, regions: int, head_grid: int) -> int:
    """Side of the largest squares of which ``regions`` fit one wafer beside the LM head's; 0 if none do."""
    width, height = int(machine.fabric.user_width), int(machine.fabric.user_height)
    for grid in range(min(width, height), 0, -1):
        if (width // grid) * (height // grid) - math.ceil(head_grid / grid)**2 >= regions:
            return grid
    return 0


def _smallest_fitting(config: ModelConfig, request: Request, machine: Machine, layers: int, tokens: int, largest: int) -> int:
    low, high = 1, largest
    while low < high:
        middle = (low + high) // 2
        if _region(config, middle, request, layers, tokens).fits(machine):
            high = middle
        else:
            low = middle + 1
    return low


def _with_best_chunk(placement: Placement) -> Placement:
    """Choose the prompt chunk that gives the earliest first token and still fits."""
    options = []
    for chunk in CHUNKS:
        if chunk > placement.request.prompt:
            break
        candidate = Placement(placement.config, placement.machine, placement.request, placement.wafers, placement.grid,
                              placement.layers, placement.head_grid, chunk, placement.profile)
        if candidate.mapping.fits(placement.machine):
            options.append(candidate)
    return min(options, key=lambda option: option.first_token_seconds())
