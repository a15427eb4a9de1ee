"""What a sweep asks: inputs of the comparison, each fixed, listed, on a grid or drawn, read from a TOML file.

Its points are all combinations of the listed points, the grid and the sample; what several of them say the same of is one.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import msgspec

from wsekern.description import load_description
from wsekern.errors import InputError
from wsekern.sweep.axes import MOST_POINTS, Axis, Value, check_axis, spread
from wsekern.sweep.design import METHODS, Drawn, draw, row_count
from wsekern.sweep.inputs import Case, case_of, check_name


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Points drawn from ``axes``: ``count`` of them at random or from a Latin hypercube; for the indices of Sobol and Morris as
    many base samples or trajectories, of several points each."""

    axes: dict[str, Axis]
    count: int
    method: str = "latin-hypercube"
    seed: int = 0


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A specification as it is written: ``inputs`` are the same for all points, unless one of ``points`` says otherwise."""

    inputs: dict[str, Value] = {}
    grid: dict[str, Axis] = {}
    points: list[dict[str, Value]] = []
    sample: Sample | None = None


@dataclass(frozen=True)
class Point:
    """One comparison: what it asks by name, and all that this means."""

    inputs: dict[str, Value]
    case: Case

    @property
    def key(self) -> str:
        """The same for the same question to the same machines, models and version."""
        return self.case.key


@dataclass(frozen=True)
class Plan:
    """All points of a specification in their order, each once, and the design of what was drawn."""

    spec: Spec
    points: tuple[Point, ...]
    drawn: Drawn | None

    @cached_property
    def swept(self) -> dict[str, list[Value]]:
        """Inputs of which the points have several values, with these: numbers in their order, names as they come."""
        values: dict[str, dict[Value, None]] = {}
        for point in self.points:
            for name, value in point.inputs.items():
                values.setdefault(name, {})[value] = None
        several = {name: list(found) for name, found in values.items() if len(found) > 1}
        return {name: sorted(found) if numeric(found) else found for name, found in several.items()}

    @property
    def numbers(self) -> list[str]:
        """Those of :attr:`swept` whose values are numbers."""
        return [name for name, values in self.swept.items() if numeric(values)]


def numeric(values: Sequence[Value]) -> bool:
    """Whether all of them are numbers."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def load_plan(path: str | os.PathLike[str]) -> Plan:
    """The points of the specification in the file at ``path``; :class:`InputError` says which input of it is no good."""
    return plan_of(load_description(path, Spec), str(path))


def plan_of(spec: Spec, where: str = "sweep") -> Plan:
    """The points of ``spec``; ``where`` stands before what is said of a bad input."""
    _check(spec, where)
    sample, grid = spec.sample, {name: spread(axis) for name, axis in spec.grid.items()}
    count = max(1, len(spec.points)) * (1 if sample is None else row_count(sample.method, sample.axes, sample.count))
    for values in grid.values():
        count *= len(values)
    if count > MOST_POINTS:
        raise InputError(f"{where} has {count:,} points, expected at most {MOST_POINTS:,}: leave some values out")
    drawn = None if sample is None else draw(sample.method, sample.axes, sample.count, sample.seed)
    rows = [{}] if drawn is None else drawn.rows
    points: dict[str, Point] = {}
    for listed, values, row in product(spec.points or [{}], product(*grid.values()), rows):
        inputs = {**spec.inputs, **listed, **dict(zip(grid, values, strict=True)), **row}
        try:
            point = Point(inputs, case_of(inputs))
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        points.setdefault(point.key, point)
    return Plan(spec, tuple(points.values()), drawn)


def _check(spec: Spec, where: str) -> None:
    """Refuse inputs that are unknown or said in two places, and axes that give no values."""
    drawn = {} if spec.sample is None else spec.sample.axes
    axes = {f"grid.{name}": axis for name, axis in spec.grid.items()}
    axes |= {f"sample.axes.{name}": axis for name, axis in drawn.items()}
    for place, axis in axes.items():
        check_axis(axis, f"{where}: {place}", counted=place.startswith("grid."))
    for name in (*spec.inputs, *spec.grid, *drawn, *(name for point in spec.points for name in point)):
        check_name(name, where)
    for name in sorted((set(spec.grid) & set(drawn)) | (set(spec.inputs) & (set(spec.grid) | set(drawn)))
                       | ({name for point in spec.points for name in point} & (set(spec.grid) | set(drawn)))):
        raise InputError(f"{where}: {name} is said in two places: leave one of them out")
    if spec.sample is not None:
        if spec.sample.method not in METHODS:
            raise InputError(f"{where}: sample.method is {spec.sample.method!r}, expected one of {', '.join(METHODS)}")
        if not drawn or not 1 <= spec.sample.count <= MOST_POINTS or spec.sample.seed < 0:
            raise InputError(f"{where}: sample wants axes, a count from 1 to {MOST_POINTS:,} and a seed of at least 0")
