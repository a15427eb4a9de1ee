"""The order of points: those that find each other's layouts and times in memory go together, to one worker."""

from collections.abc import Sequence
from typing import Any

from wsekern.sweep.axes import Value
from wsekern.sweep.inputs import LAST
from wsekern.sweep.spec import Point

MOST = 128
"""Points in a batch."""

ROUNDS = 4
"""Batches for each worker at least, where there are points enough, so that the last ones end together."""

PLACED = ("prompt", "output", "batch")
"""Inputs that move a model on the same machines."""


def _sorted_by(inputs: dict[str, Value], names: Sequence[str]) -> list[Any]:
    return [(name, str(type(inputs[name])), inputs[name]) for name in names]


def _group(point: Point) -> tuple[str, ...]:
    """What points share that reuse most of each other: all but lengths, users, prices, power and clocks; the model first."""
    inputs = sorted(point.inputs.items(), key=lambda one: (one[0] != "model", one[0]))
    return tuple(f"{name}={value!r}" for name, value in inputs
                 if name not in PLACED and not name.startswith(LAST))


def batches(points: Sequence[Point], workers: int) -> list[list[Point]]:
    """All ``points``, cut for so many ``workers``: a batch is of one group, and what differs in prices, power or clocks alone
    follows one another."""
    groups: dict[tuple[str, ...], list[Point]] = {}
    for point in points:
        groups.setdefault(_group(point), []).append(point)
    most = max(1, min(MOST, -(-len(points) // (ROUNDS * max(1, workers)))))
    found = []
    for _, members in sorted(groups.items()):
        members.sort(key=lambda point: _sorted_by(point.inputs, sorted(
            point.inputs, key=lambda name: (name.startswith(LAST), name))))
        found += [members[first:first + most] for first in range(0, len(members), most)]
    return found
