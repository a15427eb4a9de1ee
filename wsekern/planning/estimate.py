"""How long a placement takes, quickly: the sum of its operations' times, each known by heart.

An operation along lines takes as long on every line, and local work takes every PE as long: a time depends on the operation, on
the length of its line, on the number format and on the profile, and is reckoned by the flow engine once. In the chain of
operations a PE starts each as soon as it is ready itself, so that the sum is never less than the chain takes: it is up to 1 %
more where clocks of the PEs differ, and equal where they do not.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from wsekern.formulas import Formulas, attempted, is_traced, opaque
from wsekern.inference.grid import Grid
from wsekern.inference.kinds import GridFormulas, LayerKind
from wsekern.inference.layer import arriving_steps, expert_loads, mixer_steps, other_steps
from wsekern.inference.mapping import Mapping
from wsekern.inference.outer import embedding_steps, head_steps
from wsekern.inference.steps import LayerStep, Steps
from wsekern.machine import Machine
from wsekern.machine.machine import in_cycles
from wsekern.ops import AllGather, AllReduce, Broadcast, FlowEngine, Operation
from wsekern.ops._timing import CAUSE_NAMES
from wsekern.ops.engines.flow import TimingEngine
from wsekern.ops.operation import LocalOperation
from wsekern.planning.layout import TIMED, Placement
from wsekern.workload.decoder import Mixture

STEADY = 32
"""PEs of a line from which on a gather takes as long at each as at the one a frame of the link before it."""


class _Line:
    """One line of PEs that are all ready at once, as an operation sees it that goes along it: see
    :class:`wsekern.ops.operation.Clocks`."""

    threads = 1
    reports = False

    def __init__(self, engine: FlowEngine, axis: str, length: int) -> None:
        self.width, self.height = (length, 1) if axis == "x" else (1, length)
        self.precision, self.timing, self._axis, self._length = engine.precision, engine.timing, axis, length
        self.timing_of = engine.timing_of
        self.link_traversals = 0
        self._clocks = np.zeros((length, len(CAUSE_NAMES)), np.int64)

    @property
    def cycles(self) -> int:
        """When the last PE is done."""
        return int(self._clocks.sum(axis=1).max())

    def length(self, axis: str) -> int:
        return self._length if axis == self._axis else 1

    def lines(self, axis: str) -> int:
        return 1 if axis == self._axis else self._length

    def on_lines(self, axis: str, advance: Callable[[np.ndarray], None]) -> None:
        advance(self._clocks)

    def grid(self) -> np.ndarray:
        return self._clocks.reshape(self.height, self.width, -1)

    def spend(self, *, compute: int = 0, fabric: int = 0, stages: int = 0, overhead: int = 0, stream: int = 0) -> None:
        self._clocks += np.array((compute, fabric, stages, overhead, stream), np.int64)

    def synchronise(self) -> None:
        self._clocks[:] = self._clocks[self._clocks.sum(axis=1).argmax()]

    def time(self, operation: Operation) -> None:
        operation.time(self)

    def note(self, operation: Operation, reason: str) -> None:
        """Notes are for those who read the engine's."""

    def happened(self, operation: Operation, flags: int) -> None:
        """As notes."""


class Estimator:
    """Cycles of operations and of lists of them on ``machine``, by heart."""

    def __init__(self, machine: Machine, profile: str, precision: str) -> None:
        self.machine, self.profile, self.precision = machine, profile, precision
        self._engine = TimingEngine(machine, 1, 1, profile=profile, precision=precision)
        self._known: dict[tuple[Operation, int, int], int] = {}
        self._timers: dict[Hashable, Callable[..., int]] = {}
        self._lists: dict[Hashable, GridFormulas] = {}
        self._formulas: dict[Hashable, Formulas] = {}
        self._layers: dict[Hashable, float] = {}
        self._beside: dict[Hashable, list[tuple[int, float]]] = {}
        self._heads: dict[Mapping, int] = {}
        self._ways: dict[Hashable, int] = {}
        self._spread: dict[tuple[int, int], int] = {}

    def operation(self, operation: Operation, width: int, height: int) -> int:
        """One operation on a grid whose PEs are ready at once."""
        axis = operation.axis
        if axis is None:
            sides = (0, 0) if operation.runs_alone else (width, height)
        else:
            length = getattr(operation, "segment", 0) or (width if axis == "x" else height)
            sides = (length, 0) if axis == "x" else (0, length)
        key = operation, *sides
        numbers = [name for name, value in vars(operation).items() if is_traced(value)]
        if numbers or any(map(is_traced, sides)):
            return self._traced(operation, numbers, sides)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._timed(operation, *sides)
        return found

    def _traced(self, operation: Operation, names: list[str], sides: tuple[int, int]) -> int:
        """As a number that depends on those of ``operation`` that are called ``names``, and on ``sides``."""
        held = vars(operation)
        if isinstance(operation, LocalOperation):
            found = attempted(lambda: sum(operation.cycles(self._engine.timing)), *(held[name] for name in names))
            if found is not None:
                return found
        rest = {one.name: held[one.name] for one in fields(operation) if one.init and one.name not in names}
        made, kind = type(operation), (type(operation), *names, *rest.items())
        if kind not in self._timers:
            known: dict[tuple[int, ...], int] = {}

            def timed(width: int, height: int, *numbers: int) -> tuple[int]:
                one = made(**rest, **dict(zip(names, numbers, strict=True)))
                return (self._timed(one, width, height),)
            reckoned = Formulas(timed) if isinstance(operation, LocalOperation) else timed

            def timer(*numbers: int) -> int:
                found = known.get(numbers)
                if found is None:
                    found = known[numbers] = reckoned(*numbers)[0]
                return found
            self._timers[kind] = opaque(timer)
        return self._timers[kind](*sides, *(held[name] for name in names))

    def _timed(self, operation: Operation, width: int, height: int) -> int:
        if isinstance(operation, LocalOperation):
            return sum(operation.cycles(self._engine.timing))
        if isinstance(operation, AllGather) and max(width, height) > (steady := STEADY + self._engine.timing.link[0]):
            return self._gathered(operation, max(width, height), steady)
        if isinstance(operation, AllReduce):
            return operation.alone(self._engine, width or height)
        if operation.axis is not None:
            line = _Line(self._engine, operation.axis, width or height)
            operation.time(line)
            return line.cycles
        engine = TimingEngine(self.machine, width or 1, height or 1, profile=self.profile, precision=self.precision)
        engine.time(operation)
        return int(engine.cycles)

    def _gathered(self, operation: AllGather, length: int, steady: int) -> int:
        """A gather passes from PE to PE: as many more as a link carries words in its frame take the same time again."""
        frame, whole = self._engine.timing.link[0], AllGather(operation.elements, operation.axis)
        frames = -(-(length - steady) // frame)
        near, far = (self.operation(whole, pes, pes) for pes in (length - (frames + 1) * frame, length - frames * frame))
        return far + frames * (far - near)

    def steps(self, steps: Steps, width: int, height: int) -> int:
        """A list of steps, one after the other."""
        return sum(self.operation(step.operation, width, height) for step in steps if isinstance(step, LayerStep))

    def layers(self, mapping: Mapping, tokens: int, slots: int) -> float:
        """All layers of the model of ``mapping``, as :func:`wsekern.inference.step_times.time_layers` does."""
        widths = (mapping.width, mapping.feed_width) if mapping.feed_width else (mapping.width,)
        return self.kinds([half.kinds for half in mapping.halves], widths, mapping.height, mapping.slots, mapping.chunk,
                          mapping.expert_load, tokens, max(1, slots))

    def kinds(self, halves: Sequence[tuple[LayerKind, ...]], widths: tuple[int, ...], height: int, most: int, chunk: int,
              load: int, tokens: int, slots: int) -> float:
        """All layers of these kinds on so many columns of mixers and of feed-forward parts, or on as many of whole layers; all
        else as in :meth:`layer`."""
        cycles, ways = 0.0, 0
        for kinds, width in zip(halves, widths, strict=True):
            sides = width, height
            cycles += sum([kind.count * self.layer(kind, sides, most, chunk, load, tokens, slots) for kind in kinds])
            if len(widths) > 1:
                ways += sum([kind.count * self.arriving(kind, sides, tokens) for kind in kinds])
        return ways + cycles

    def layer(self, kind: LayerKind, sides: tuple[int, int], most: int, chunk: int, load: int, tokens: int,
              slots: int) -> float:
        """One layer on a region of ``sides`` with room for ``most`` positions in a row and ``chunk`` tokens at once, ``load``
        as its grid has it; all regions of a size share it, however many layers they have, and all requests and chunks for which
        its steps are the same."""
        (width, height), context = sides, most * sides[1]
        if kind.looks_back_over_all:
            context, chunk = min(most, kind.blocks[0]) * height, 1
        key = kind, width, height, context, chunk, load, tokens, slots
        found = self._layers.get(key)
        if found is None:
            mixers = self._listed(_mixers, kind, width, height, context, chunk, load, tokens, slots)
            found = sum(share * (mixers + cycles) for cycles, share in self._others(kind, width, height, load, tokens))
            self._layers[key] = found
        return found

    def _others(self, kind: LayerKind, width: int, height: int, load: int, tokens: int) -> list[tuple[int, float]]:
        """Cycles of what does not depend on the cache, and the share of each number of experts that a layer may have on the
        fullest block of lines: the same for all contexts and chunks."""
        key = kind, width, height, load, tokens
        found = self._beside.get(key)
        if found is None:
            loads: tuple[tuple[int, float], ...] = ((load, 1.0),)
            if isinstance(kind.block.feed, Mixture):
                loads = expert_loads(replace(kind.grid, width=width, height=height, expert_load=load), kind.block, tokens)
            found = [(self._listed(_others, kind, width, height, 1, 1, experts, tokens, 1), share) for experts, share in loads]
            self._beside[key] = found
        return found

    def _listed(self, listed: Callable[[Grid, int, int], Steps], kind: LayerKind, *numbers: int) -> int:
        """Cycles of what ``listed`` lists for a grid, tokens and slots, by formulas in the ``numbers``: those of
        :class:`GridFormulas`, tokens, slots."""
        formulas = self._formulas.get((listed, kind))
        if formulas is None:
            if listed not in self._lists:
                self._lists[listed] = GridFormulas(lambda grid, tokens, slots: (
                    self.steps(listed(grid, tokens, slots), grid.width, grid.height),))
            formulas = self._formulas[listed, kind] = self._lists[listed].of(kind.grid)
        return int(formulas(*numbers[:-2], *kind.blocks, *numbers[-2:])[0])

    def arriving(self, kind: LayerKind, sides: tuple[int, int], tokens: int) -> int:
        """The way of tokens to a layer in one half, on columns of ``sides``: the same for all contexts."""
        key = kind, sides, tokens
        found = self._ways.get(key)
        if found is None:
            found = self._ways[key] = self._listed(_arriving, kind, *sides, 1, 1, 0, tokens, 1)
        return found

    def handover(self, mapping: Mapping, tokens: int) -> int:
        """Residual stream from one region to all columns of the next one, as
        :func:`wsekern.inference.step_times.time_handover` does."""
        widths = (mapping.width, mapping.feed_width) if mapping.feed_width else (mapping.width,)
        return self.passed_on(tokens * mapping.hidden, widths, mapping.height, mapping.stacked)

    def passed_on(self, elements: int, widths: tuple[int, ...], height: int, stacked: bool) -> int:
        """So many elements of a row from one region to the next one, over all its columns or, where halves lie above each
        other, up or down and over those of mixers."""
        if not stacked:
            return self.spread(elements, sum(widths))
        along = Broadcast(-(-height // widths[0]) * elements, "y")
        return self.operation(along, widths[0], height) + self.spread(elements, widths[0])

    def spread(self, elements: int, width: int) -> int:
        """So many elements over ``width`` columns."""
        key = elements, width
        found = self._spread.get(key)
        if found is None:
            found = self._spread[key] = self.operation(Broadcast(elements, "x"), width, 1)
        return found

    def head(self, mapping: Mapping) -> int:
        """One token's embedding, and from its residual stream to its logits."""
        if mapping not in self._heads:
            steps = [*head_steps(mapping), *embedding_steps(mapping, [0])]
            self._heads[mapping] = self.steps(steps, mapping.width, mapping.height)
        return self._heads[mapping]


def _mixers(grid: Grid, tokens: int, slots: int) -> Steps:
    return mixer_steps(grid, grid.config.blocks[0], tokens, slots)


def _arriving(grid: Grid, tokens: int, slots: int) -> Steps:
    return arriving_steps(grid, grid.config.blocks[0], tokens)


def _others(grid: Grid, tokens: int, slots: int) -> Steps:
    return other_steps(grid, grid.config.blocks[0], tokens)


@lru_cache(maxsize=64)
def estimator(machine: Machine, profile: str, precision: str) -> Estimator:
    """The estimator that all placements on ``machine`` share."""
    return Estimator(machine, profile, precision)


@dataclass(frozen=True)
class QuickPlacement(Placement):
    """A placement whose times are estimates, on the fewest wafers that hold its regions; context counts in the middle of prompt
    and answer."""

    @cached_property
    def _estimator(self) -> Estimator:
        return estimator(in_cycles(self.machine), self.profile, self.request.precision)

    @cached_property
    def _cycles(self) -> dict[tuple[int, int, int], float]:
        return {}

    def region_cycles(self, tokens: int, slots: int, index: int) -> float:
        """Cycles of a region of a shape."""
        key = tokens, slots, index
        if key not in self._cycles:
            mapping, layers = self.mappings[index], self.shapes[index].layers
            work = self._estimator.layers(mapping, tokens, slots) / mapping.config.layers
            self._cycles[key] = work * layers + self._estimator.handover(mapping, tokens)
        return self._cycles[key]

    def head_cycles(self) -> float:
        """One token's embedding and logits."""
        return self._estimator.head(self.head_mapping)

    def costs(self, most: int, between: tuple[int, int], slots: float, context: float,
              whole: bool = False) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Seconds of the slowest region for 1 to ``most`` tokens, whatever their context."""
        slots, timed = round(slots), self.timed(most, whole)
        if most <= TIMED:
            return np.full(most, self.region_seconds(most, slots)), np.zeros(most)
        bases = [self.region_seconds(tokens, slots) for tokens in timed]
        return np.interp(np.arange(1, most + 1), timed, bases), np.zeros(most)

    @property
    def crossings(self) -> int:
        """One less than (groups of) wafers, all of which have regions."""
        return self.wafers // self.expert_wafers - 1

    def crossing_seconds(self, tokens: int) -> float:
        """Time in the links between so many wafers."""
        return self.link_seconds(self.crossings, bool(self.crossings), tokens) + self.expert_seconds(tokens)

    @property
    def all_wafers(self) -> int:
        """As if what drafts had wafers of its own."""
        return self.wafers + (self.draft.wafers if self.draft else 0)

    def first_layers(self, layers: int) -> tuple[float, int]:
        """Of mean layers; the head is on another wafer where there are several."""
        mapping, most = self.mappings[0], self.shapes[0].layers
        each = self._estimator.layers(mapping, 1, -(-self.token_position // mapping.height)) / mapping.config.layers
        return layers * each + -(-layers // most) * self._estimator.handover(mapping, 1), 2 * bool(self.crossings)

    def exact(self) -> Placement:
        """The same placement, timed by the flow engine."""
        return Placement(**{field.name: getattr(self, field.name) for field in fields(self)})


@dataclass(frozen=True)
class TimedRegions(QuickPlacement):
    """A placement whose regions are timed by the flow engine, and all else is estimated."""

    region_cycles = Placement.region_cycles
