"""How long a placement takes, quickly: the sum of its operations' times, each known by heart.

An operation along lines takes as long on every line, and local work takes every PE as long: a time depends on the operation, on
the length of its line, on the number format and on the profile, and is reckoned by the flow engine once. In the chain of
operations a PE starts each as soon as it is ready itself, so that the sum is never less than the chain takes: it is up to 1 %
more where clocks of the PEs differ, and equal where they do not.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import fields, replace
from functools import lru_cache, partial
from typing import Any

from wsekern.formulas import Formulas, Memo, attempted, is_traced, opaque
from wsekern.inference.grid import Grid
from wsekern.inference.halves import feed_half, mixer_half
from wsekern.inference.kinds import GridFormulas, LayerKind
from wsekern.inference.layer import arriving_steps, expected_load, expert_loads, layer_steps, mixer_steps, other_steps
from wsekern.inference.mapping import Mapping
from wsekern.inference.outer import embedding_steps, head_steps
from wsekern.inference.programs import Programs
from wsekern.inference.step_times import StepCycles
from wsekern.inference.steps import LayerStep, Steps
from wsekern.machine import Machine
from wsekern.machine.machine import upright
from wsekern.ops import AllGather, AllReduce, Broadcast, Operation
from wsekern.ops.engines.apart import Causes, OneLine, along_both, time_along
from wsekern.ops.engines.flow import TimingEngine, cycles_of, kept_timing
from wsekern.ops.operation import Axis, LocalOperation
from wsekern.planning._judge import LayerCycles
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Mixture

NOTHING = StepCycles(0.0, {})

STEADY = 32
"""PEs of a line from which on a gather takes as long at each as at the one a frame of the link before it."""


AXES: tuple[Axis, Axis] = ("x", "y")


class Estimator:
    """Cycles of operations and of lists of them on ``machine``, by heart."""

    def __init__(self, machine: Machine, profile: str, precision: str) -> None:
        self.machine, self.profile, self.precision = machine, profile, precision
        self._engine = TimingEngine(machine, 1, 1, profile=profile, precision=precision)
        self._known: dict[tuple[Operation, int, int], int] = {}
        self._timers: dict[Hashable, Callable[..., int]] = {}
        self._lists: dict[Hashable, GridFormulas] = {}
        self._layers: dict[Grid, LayerCycles] = {}
        self._heads: dict[Mapping, int] = {}
        self._lines = _Lines(self)
        self._exact: dict[Hashable, StepCycles] = {}
        self._loads: dict[Hashable, tuple[tuple[int, float], ...]] = {}
        self._pairs: dict[Hashable, list[_Counted]] = {}
        self.along, self.down = (Memo(self._timer(False, partial(Broadcast, axis=axis))) for axis in AXES)

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
            self._timers[kind] = opaque(Memo(self._timer(isinstance(operation, LocalOperation), lambda *numbers: made(
                **rest, **dict(zip(names, numbers, strict=True))))))
        return self._timers[kind](*sides, *(held[name] for name in names))

    def _timer(self, local: bool, made: Callable[..., Operation]) -> Callable[..., int]:
        """What an operation that is ``made`` of numbers takes, as a function of columns, rows and these."""
        if local:
            reckoned = Formulas(lambda width, height, *numbers: (self._timed(made(*numbers), width, height),))
            return lambda *numbers: int(reckoned(*numbers)[0])
        once = lru_cache(maxsize=128)(lambda *numbers: self._by_sides(made(*numbers)))
        return lambda width, height, *numbers: once(*numbers)(width, height)

    def _by_sides(self, operation: Operation) -> Callable[[int, int], int]:
        """What an operation takes, by columns and rows."""
        if isinstance(operation, AllReduce | Broadcast):
            alone = operation.alone(self._engine)
            return lambda width, height: alone(width or height)
        return partial(self._timed, operation)

    def _timed(self, operation: Operation, width: int, height: int) -> int:
        if isinstance(operation, LocalOperation):
            return sum(operation.cycles(self._engine.timing))
        if isinstance(operation, AllGather) and max(width, height) > (steady := STEADY + self._engine.timing.link[0]):
            return self._gathered(operation, max(width, height), steady)
        if isinstance(operation, AllReduce | Broadcast):
            return operation.alone(self._engine)(width or height)
        if operation.axis is not None:
            line = OneLine(self._engine.timing, operation.axis, width or height)
            operation.time(line)
            return sum(line.causes)
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
        return self.kinds(*_numbers_of(mapping), tokens, max(1, slots))

    def exact_layers(self, mapping: Mapping, tokens: int, slots: int) -> StepCycles:
        """As :func:`wsekern.inference.step_times.time_layers`, which is its reference, to the cycle."""
        halves, widths, height, *room = _numbers_of(mapping)
        found = NOTHING
        for count, kinds in self._kinds_of(mapping.config, tuple(halves)):
            parts = [self._exact_layer(kind, (width, height), *room, tokens, max(1, slots), len(widths) > 1)
                     for kind, width in zip(kinds, widths, strict=True)]
            found += (parts[0] if len(parts) == 1 else sum(parts, NOTHING)).times(count)
        return found

    def _kinds_of(self, config: ModelConfig, halves: tuple[tuple[LayerKind, ...], ...]) -> "list[_Counted]":
        """Of each kind of layer of a model: how many there are, and the kinds of its halves, or its own."""
        key = config, halves
        found = self._pairs.get(key)
        if found is None:
            parts = (mixer_half, feed_half) if len(halves) > 1 else (lambda block: block,)
            known = [{kind.block: kind for kind in kinds} for kinds in halves]
            found = self._pairs[key] = [(count, tuple(kinds[part(block)] for kinds, part in zip(known, parts, strict=True)))
                                        for block, count in config.kinds]
        return found

    def kinds(self, halves: Sequence[tuple[LayerKind, ...]], widths: tuple[int, ...], height: int, most: int, chunk: int,
              load: int, tokens: int, slots: int) -> float:
        """All layers of these kinds on so many columns of mixers and of feed-forward parts, or on as many of whole layers; all
        else as of :class:`LayerCycles`."""
        cycles, ways = 0.0, 0.0
        for kinds, width in zip(halves, widths, strict=True):
            own = 0.0
            for kind in kinds:
                layer = self.cycles_of(kind)
                own += kind.count * layer(width, height, most, chunk, load, tokens, slots)
                ways += kind.count * layer.arriving(width, height, tokens) if len(widths) > 1 else 0.0
            cycles += own
        return ways + cycles

    def cycles_of(self, kind: LayerKind) -> LayerCycles:
        """A layer of a kind: all regions that have some share it, and all requests and chunks for which its steps are the
        same."""
        found = self._layers.get(kind.grid)
        if found is None:
            mixers, others, expected, way = (self._formulas_of(one, kind) for one in (_mixers, _others, _expected, _arriving))
            found = self._layers[kind.grid] = LayerCycles(mixers, others, expected, way, kind.blocks, kind.looks_back_over_all)
        return found

    def _formulas_of(self, listed: Callable[[Grid, int, int], Any], kind: LayerKind) -> Formulas:
        """Of what is ``listed`` for a grid, tokens and slots: cycles of steps, or a number."""
        if listed not in self._lists:
            def reckoned(grid: Grid, tokens: int, slots: int) -> tuple[Any, ...]:
                found = listed(grid, tokens, slots)
                return (self.steps(found, grid.width, grid.height) if isinstance(found, list) else found,)
            self._lists[listed] = GridFormulas(reckoned, _LOOKED_AT[listed])
        return self._lists[listed].of(kind.grid)

    def _loads_of(self, kind: LayerKind, width: int, height: int, load: int, tokens: int) -> tuple[tuple[int, float], ...]:
        """Numbers of experts on the fullest block of lines, each with its share of the time."""
        if not isinstance(kind.block.feed, Mixture):
            return ((load, 1.0),)
        key = kind.grid, width, height, load, tokens
        found = self._loads.get(key)
        if found is None:
            grid = replace(kind.grid, width=width, height=height, expert_load=load)
            found = self._loads[key] = expert_loads(grid, kind.block, tokens)
        return found

    def _exact_layer(self, kind: LayerKind, sides: tuple[int, int], most: int, chunk: int, load: int, tokens: int, slots: int,
                     arrives: bool) -> StepCycles:
        """A layer on a region of ``sides``, and the way to it where it ``arrives`` at columns of its own."""
        (width, height), (context, chunk) = sides, _seen(kind, sides[1], most, chunk)
        key = kind.grid, width, height, context, chunk, load, tokens, slots, arrives
        found = self._exact.get(key)
        if found is None:
            parts = [cycles.times(share) if share != 1.0 else cycles for experts, share in
                     self._loads_of(kind, width, height, load, tokens) for cycles in
                     [self._lines.cycles(_whole, kind, width, height, context, chunk, experts, tokens, slots)]]
            found = sum(parts[1:], parts[0])
            if arrives:
                found += self._lines.cycles(_arriving, kind, width, height, 1, 1, 0, tokens, 1)
            self._exact[key] = found
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
        return int(self.down(0, height, -(-height // widths[0]) * elements)) + self.spread(elements, widths[0])

    def spread(self, elements: int, width: int) -> int:
        """So many elements over ``width`` columns."""
        return int(self.along(width, 0, elements))

    def head(self, mapping: Mapping) -> int:
        """:meth:`head_steps`, once for each."""
        if mapping not in self._heads:
            self._heads[mapping] = self.head_steps(mapping)
        return self._heads[mapping]

    def head_steps(self, mapping: Mapping) -> int:
        """One token's embedding, and from its residual stream to its logits."""
        return self.steps([*head_steps(mapping), *embedding_steps(mapping, [0])], mapping.width, mapping.height)


def _numbers_of(mapping: Mapping) -> tuple[list[tuple[LayerKind, ...]], tuple[int, ...], int, int, int, int]:
    """Kinds of layers, and the sides, positions in a row, chunk and experts of a region."""
    widths = (mapping.width, mapping.feed_width) if mapping.feed_width else (mapping.width,)
    return ([half.kinds for half in mapping.halves], widths, mapping.height, mapping.slots, mapping.chunk, mapping.expert_load)


def _mixers(grid: Grid, tokens: int, slots: int) -> Steps:
    return mixer_steps(grid, grid.config.blocks[0], tokens, slots)


def _expected(grid: Grid, tokens: int, slots: int) -> float:
    return expected_load(grid, grid.config.blocks[0], tokens)


def _arriving(grid: Grid, tokens: int, slots: int) -> Steps:
    return arriving_steps(grid, grid.config.blocks[0], tokens)


def _whole(grid: Grid, tokens: int, slots: int) -> Steps:
    return layer_steps(grid, grid.config.blocks[0], tokens, slots)


def _others(grid: Grid, tokens: int, slots: int) -> Steps:
    return other_steps(grid, grid.config.blocks[0], tokens)


_LOOKED_AT: dict[Callable[..., Any], Callable[[Programs], Programs]] = {
    _mixers: lambda programs: programs.of_mixers, _others: lambda programs: programs.of_others,
    _expected: lambda programs: programs.of_others, _arriving: lambda programs: programs.of_others}
"""Choices of programs on which each looks."""


class _Lines:
    """Exact cycles of lists of steps: local work and the operations along either axis, one after the other, know nothing of
    each other (:mod:`wsekern.ops.engines.apart`). What a list has along an axis is a kind, by number, and its sizes."""

    def __init__(self, estimator: Estimator) -> None:
        self._estimator = estimator
        self._formulas: dict[Hashable, GridFormulas] = {}
        self._of: dict[Hashable, Formulas] = {}
        self._kinds: dict[_Kind, int] = {}
        self._made: list[_Kind] = []
        self._local: dict[Hashable, tuple[Callable[..., int], ...]] = {}
        self._known: dict[tuple[Axis, int, int, tuple[int, ...]], Causes | None] = {}

    def cycles(self, listed: Callable[[Grid, int, int], Steps], kind: LayerKind, *numbers: int) -> StepCycles:
        """Of what ``listed`` lists for the ``numbers`` of a grid, tokens and slots."""
        formulas = self._of.get((listed, kind))
        if formulas is None:
            if listed not in self._formulas:
                self._formulas[listed] = GridFormulas(
                    lambda grid, tokens, slots: self._listed(grid, listed(grid, tokens, slots)))
            formulas = self._of[listed, kind] = self._formulas[listed].of(kind.grid)
        across, down, compute, overhead, *sizes = formulas(*numbers[:-2], *kind.blocks, *numbers[-2:])
        if across < 0:
            return self._together(listed, kind, *numbers)
        cut = sum(len(names) for _, names, _ in self._made[across])
        wide = self._along("x", numbers[0], across, tuple(sizes[:cut]))
        high = self._along("y", numbers[1], down, tuple(sizes[cut:]))
        if wide is None or high is None:
            return self._together(listed, kind, *numbers)
        causes = along_both(int(compute), int(overhead), wide, high)
        return StepCycles(sum(causes.values()), causes)

    def _listed(self, grid: Grid, steps: Steps) -> tuple[int, ...]:
        """(kind along x, kind along y, compute and overhead of local work, sizes of both); kinds are -1 where an operation has
        no axis."""
        local, kinds, sizes = [0, 0], dict[Axis, list[_Made]](x=[], y=[]), dict[Axis, list[int]](x=[], y=[])
        for step in steps:
            if not isinstance(step, LayerStep):
                continue
            operation, axis = step.operation, step.operation.axis
            if isinstance(operation, LocalOperation):
                local = [known + own for known, own in zip(local, self._work(operation), strict=True)]
            elif axis is None:
                return -1, -1, 0, 0
            else:
                made, numbers = _made_of(operation)
                kinds[axis].append(made)
                sizes[axis] += numbers
        return (*(self._number(tuple(kinds[axis])) for axis in ("x", "y")), *local, *sizes["x"], *sizes["y"])

    def _work(self, operation: LocalOperation) -> tuple[int, ...]:
        """(compute, overhead) of local work, as numbers that depend on those of the operation."""
        known, (made, numbers) = self._estimator, _made_of(operation)
        timing, (kind, names, rest) = kept_timing(known.machine, known.profile, known.precision), made
        if not names:
            return cycles_of(operation, timing)
        found = attempted(lambda: operation.cycles(timing), *numbers)
        if found is not None:
            return found
        if made not in self._local:
            both = Formulas(lambda *own: kind(**dict(rest), **dict(zip(names, own, strict=True))).cycles(timing))
            self._local[made] = tuple(opaque(Memo(lambda *own, part=part: int(both(*own)[part]))) for part in range(2))
        return tuple(part(*numbers) for part in self._local[made])

    def _number(self, kind: "_Kind") -> int:
        found = self._kinds.setdefault(kind, len(self._made))
        if found == len(self._made):
            self._made.append(kind)
        return found

    def _along(self, axis: Axis, length: int, kind: int, sizes: tuple[int, ...]) -> Causes | None:
        """Of the operations along one axis; None where one of them looks at the other axis too."""
        key = axis, kind, length, sizes
        if key not in self._known:
            left, own = iter(sizes), self._estimator
            made = tuple(one(**dict(rest), **{name: next(left) for name in names}) for one, names, rest in self._made[kind])
            self._known[key] = time_along(own.machine, axis, length, own.precision, made, own.profile)
        return self._known[key]

    def _together(self, listed: Callable[[Grid, int, int], Steps], kind: LayerKind, width: int, height: int, context: int,
                  chunk: int, load: int, tokens: int, slots: int) -> StepCycles:
        """Of operations that look at both axes, on the flow engine."""
        own, grid = self._estimator, replace(kind.grid, width=width, height=height, context=context, chunk=chunk,
                                             expert_load=load)
        engine = TimingEngine(own.machine, width, height, profile=own.profile, precision=own.precision)
        for step in listed(grid, tokens, slots):
            step.time(engine)
        return StepCycles(engine.cycles, engine.breakdown)


def _made_of(operation: Operation) -> "tuple[_Made, list[int]]":
    """An operation, and its numbers that depend on the grid."""
    held = {one.name: getattr(operation, one.name) for one in fields(operation) if one.init}
    names = tuple(name for name, value in held.items() if is_traced(value))
    rest = tuple((name, value) for name, value in held.items() if name not in names)
    return (type(operation), names, rest), [held[name] for name in names]


_Counted = tuple[int, tuple[LayerKind, ...]]
"""Layers of a kind, and the kinds of their halves."""
_Made = tuple[type[Operation], tuple[str, ...], tuple[tuple[str, Any], ...]]
"""An operation, the names of its sizes that depend on the grid, and all else that it has."""
_Kind = tuple[_Made, ...]


@lru_cache(maxsize=64)
def estimator(machine: Machine, profile: str, precision: str) -> Estimator:
    """The estimator that all placements on ``machine`` share, turned by a quarter or not."""
    return _of_upright(upright(machine), profile, precision)


_of_upright = lru_cache(maxsize=64)(Estimator)


def _seen(kind: LayerKind, height: int, most: int, chunk: int) -> tuple[int, int]:
    """Positions and tokens at once on which the steps of a layer depend, of those that there is room for."""
    return (min(most, kind.blocks[0]) * height, 1) if kind.looks_back_over_all else (most * height, chunk)
