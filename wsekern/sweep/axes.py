"""The values of one input: a list, or a range of numbers."""

import math
from typing import Literal

import msgspec

from wsekern.errors import InputError

MOST_POINTS = 1_000_000
"""Sanity limit of a sweep."""

Value = str | int | float | bool
"""What an input may be."""


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Numbers ``from`` one ``to`` another, both among them: ``count`` of them on a grid, evenly spaced on the ``scale``, linear
    or log. Whole ones if both ends are written as whole numbers."""

    low: int | float = msgspec.field(name="from")
    high: int | float = msgspec.field(name="to")
    count: int = 0
    scale: Literal["linear", "log"] = "linear"

    def at(self, share: float) -> int | float:
        """The number at a ``share`` of the way, from 0 to 1, to twelve digits."""
        if self.scale == "log":
            found = math.exp((1.0 - share) * math.log(self.low) + share * math.log(self.high))
        else:
            found = (1.0 - share) * self.low + share * self.high
        found = min(max(float(f"{found:.12g}"), self.low), self.high)
        return round(found) if isinstance(self.low, int) and isinstance(self.high, int) else float(found)


Axis = Range | list[Value]
"""Values of an input: those of a list, or numbers of a range."""


def check_axis(axis: Axis, place: str, counted: bool) -> None:
    """Refuse an axis without values; a range is ``counted`` on a grid and not in a sample."""
    if isinstance(axis, list):
        if not axis:
            raise InputError(f"{place} is empty, expected a list of values, or a range such as "
                             "{ from = 1, to = 64, count = 7, scale = \"log\" }")
        return
    if not all(map(math.isfinite, (axis.low, axis.high))) or not axis.low < axis.high:
        raise InputError(f"{place} goes from {axis.low} to {axis.high}, expected numbers of which the second is larger")
    if axis.scale == "log" and axis.low <= 0:
        raise InputError(f"{place} starts at {axis.low}, expected more than 0 on a log scale")
    if counted and not 2 <= axis.count <= MOST_POINTS:
        raise InputError(f"{place} has count = {axis.count:,}, expected how many values of the range, from 2 to "
                         f"{MOST_POINTS:,}")
    if not counted and axis.count:
        raise InputError(f"{place} has a count of its own, which goes without sample.count: leave it out")


def spread(axis: Axis) -> list[Value]:
    """Values of an axis of a grid, each once."""
    values = axis if isinstance(axis, list) else [axis.at(step / (axis.count - 1)) for step in range(axis.count)]
    return list(dict.fromkeys(values))


def pick(axis: Axis, share: float) -> Value:
    """The value at a ``share`` of the way along an axis, from 0 to 1."""
    return axis[min(int(share * len(axis)), len(axis) - 1)] if isinstance(axis, list) else axis.at(share)
