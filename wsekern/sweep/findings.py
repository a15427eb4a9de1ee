"""What the points of a sweep show: where either side takes over, which input moves the answer most, and a map over two inputs.

The answer of a point is the logarithm, to base 2, of how many times better the wafers are: 0 is where both sides are equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.compare.sweep import taken_over
from wsekern.sweep.axes import Value
from wsekern.sweep.design import LEVELS, need_salib
from wsekern.sweep.spec import Plan, numeric

CLASSES = 12
"""Parts into which many values of an input are put together, as many points in each."""

Line = list[tuple[float, float]]


@dataclass(frozen=True)
class Crossing:
    """Along one input, all others as in ``others``: from ``at`` on the wafers are the better choice, or the cluster where
    ``wafers_win`` is false; None where that side is better throughout."""

    others: dict[str, Value]
    at: float | None
    wafers_win: bool
    line: Line
    """Values of the input, and how many times better the wafers are, as a logarithm."""


@dataclass(frozen=True)
class Effect:
    """How much one input moves the answer: ``alone``, and ``in_all`` with what it does together with others (None where the
    points cannot tell). Of Morris: mean and spread of what a step does to the logarithm, else shares of the variance."""

    name: str
    alone: float
    in_all: float | None


@dataclass(frozen=True)
class Map:
    """The mean answer over two inputs: classes of their values with the middle of each, and cells by (x, y) number."""

    x: str
    y: str
    x_values: list[float]
    y_values: list[float]
    cells: dict[tuple[int, int], float]


@dataclass(frozen=True)
class Findings:
    """``records`` of all points of ``plan``, looked at by ``measure``, one of the keys of ``wafer_better_by``."""

    plan: Plan
    records: list[dict[str, Any]]
    measure: str

    @cached_property
    def answers(self) -> list[float | None]:
        """Of each point; None where a side has no figures."""
        found = [record["wafer_better_by"].get(self.measure) for record in self.records]
        return [log2(better) if better else None for better in found]

    @cached_property
    def answered(self) -> list[tuple[dict[str, Value], float]]:
        """Inputs and answers of the points that have one."""
        return [(record["inputs"], answer) for record, answer in zip(self.records, self.answers, strict=True)
                if answer is not None]

    @property
    def along(self) -> str | None:
        """The number along which crossings are looked for: users if there are several, else the first with most values."""
        numbers, swept = self.plan.numbers, self.plan.swept
        return "batch" if "batch" in numbers else max(numbers, key=lambda name: len(swept[name]), default=None)

    @cached_property
    def crossings(self) -> list[Crossing]:
        """Along :attr:`along`, for all other inputs of which there are two points or more."""
        lines: dict[tuple[tuple[str, Value], ...], Line] = {}
        for inputs, answer in self.answered if self.along else ():
            others = tuple((name, value) for name, value in inputs.items() if name in self.plan.swept and name != self.along)
            lines.setdefault(others, []).append((float(inputs[str(self.along)]), answer))
        found = []
        for others, line in lines.items():
            if len(line) > 1:
                line.sort()
                wins = line[-1][1] >= 0
                at = taken_over([(value, answer if wins else -answer) for value, answer in line])
                found.append(Crossing(dict(others), at, wins, line))
        return found

    @cached_property
    def effects(self) -> list[Effect]:
        """Of every swept input, the one that moves the answer most first; by the indices of Sobol or Morris where points were
        drawn for them and all have an answer, else the share of the variance that each input explains alone."""
        drawn = self.plan.drawn
        whole = None not in self.answers and len(self.plan.spec.points) < 2 and not self.plan.spec.grid
        if drawn is not None and drawn.method in ("sobol", "morris") and whole:
            return sorted(self._indices(), key=lambda effect: -(effect.in_all if drawn.method == "sobol" else effect.alone))
        found = [Effect(name, self._explained(name), None) for name in self.plan.swept] if self.answered else []
        return sorted(found, key=lambda effect: -effect.alone)

    @property
    def method(self) -> str:
        """How :attr:`effects` were found."""
        drawn = self.plan.drawn
        by_design = any(effect.in_all is not None for effect in self.effects)
        return drawn.method if drawn is not None and by_design else "variance"

    def _indices(self) -> list[Effect]:
        """By SALib, from the rows of the design, repeated points too."""
        need_salib("a sample for Sobol or Morris")
        from SALib.analyze import morris, sobol

        drawn = self.plan.drawn
        assert drawn is not None
        names = tuple(drawn.axes)
        answers = {tuple(record["inputs"][name] for name in names): answer
                   for record, answer in zip(self.records, self.answers, strict=True)}
        y = np.array([answers[tuple(row[name] for name in names)] for row in drawn.rows], np.float64)
        if not np.ptp(y):
            return [Effect(name, 0.0, 0.0) for name in names]
        if drawn.method == "sobol":
            found = sobol.analyze(drawn.problem, y, calc_second_order=False, seed=0)
            alone, in_all = found["S1"], found["ST"]
        else:
            found = morris.analyze(drawn.problem, drawn.shares, y, num_levels=LEVELS, seed=0)
            alone, in_all = found["mu_star"], found["sigma"]
        return [Effect(name, float(one), float(other)) for name, one, other in zip(names, alone, in_all, strict=True)]

    def _explained(self, name: str) -> float:
        """Share of the variance of the answers that lies between the means of classes of an input's values."""
        answers = np.array([answer for _, answer in self.answered])
        classes, _ = _classes([inputs[name] for inputs, _ in self.answered])
        if not np.ptp(answers):             # equal numbers vary by the rounding of their mean
            return 0.0
        means = np.array([answers[classes == number].mean() for number in range(classes.max() + 1)])
        return float(np.mean((means[classes] - answers.mean()) ** 2) / answers.var())

    @cached_property
    def map(self) -> Map | None:
        """Over the two numbers that move the answer most; None where there are fewer."""
        numbers = [effect.name for effect in self.effects if effect.name in self.plan.numbers][:2]
        if len(numbers) < 2 or not self.answered:
            return None
        axes = [_classes([inputs[name] for inputs, _ in self.answered]) for name in numbers]
        sums: dict[tuple[int, int], list[float]] = {}
        for x, y, (_, answer) in zip(axes[0][0], axes[1][0], self.answered, strict=True):
            sums.setdefault((int(x), int(y)), []).append(answer)
        cells = {place: sum(found) / len(found) for place, found in sums.items()}
        return Map(*numbers, axes[0][1], axes[1][1], cells)


def _classes(values: Sequence[Any]) -> tuple[NDArray[np.int64], list[float]]:
    """The class of each value, from 0 on, and the median value of each class (names: their number): a class for each value
    where there are few, else of about as many points each."""
    if not numeric(values):
        known = {value: number for number, value in enumerate(dict.fromkeys(values))}
        return np.array([known[value] for value in values]), [float(number) for number in known.values()]
    numbers = np.array(values, np.float64)
    found, classes = np.unique(numbers, return_inverse=True)
    if len(found) > 2 * CLASSES:
        edges = np.unique(np.quantile(numbers, np.arange(1, CLASSES) / CLASSES))
        _, classes = np.unique(np.searchsorted(edges, numbers, side="right"), return_inverse=True)
    return classes, [float(np.median(numbers[classes == number])) for number in range(int(classes.max()) + 1)]
