"""From values to percent of a chart, and the ticks beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from wsekern.report.words import amount

STEPS = (1.0, 2.0, 5.0)
"""Ticks are these times a power of ten."""
MOST_TICKS = 7


@dataclass(frozen=True)
class Scale:
    """Values from ``low`` to ``high`` as 0 to 100; ``log``: each factor as long; ``whole``: no tick lies between
    whole numbers."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @classmethod
    def of(cls, values: Sequence[float], log: bool = False, from_zero: bool = False) -> "Scale":
        """Around ``values`` (log: positive ones) with a little room at either end, or from zero on."""
        low, high = min(values), max(values)
        if log:
            return cls(low / 1.25, high * 1.25, True)
        room = 0.05 * (high - low or abs(high) or 1.0)
        return cls(0.0 if from_zero else low - room, high + room, whole=all(isinstance(value, int) for value in values))

    def at(self, value: float) -> float:
        """Percent of the axis."""
        if self.log:
            return 100.0 * log10(value / self.low) / log10(self.high / self.low)
        return 100.0 * (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """(percent, text) of round values."""
        values = self._round_powers() if self.log else self._round_steps()
        return [(self.at(value), amount(value)) for value in values]

    def _round_powers(self) -> list[float]:
        powers = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
        for steps in (STEPS, (1.0, 3.0), (1.0,)):
            values = [step * 10.0**power for power in powers for step in steps]
            values = [value for value in values if self.low <= value <= self.high]
            if len(values) <= MOST_TICKS:
                break
        return values

    def _round_steps(self) -> list[float]:
        span = self.high - self.low
        power = 10.0 ** floor(log10(span / MOST_TICKS))
        step = next(step * power for step in (*STEPS, 10.0) if span / (step * power) <= MOST_TICKS)
        step = max(step, 1.0) if self.whole else step
        return [step * number for number in range(ceil(self.low / step), floor(self.high / step) + 1)]
