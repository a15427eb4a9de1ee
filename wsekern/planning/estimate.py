"""Placements timed quickly, by the estimates of :mod:`wsekern.planning.estimator`."""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wsekern.machine.machine import in_cycles
from wsekern.planning.estimator import Estimator, estimator
from wsekern.planning.layout import Placement


@dataclass(frozen=True)
class QuickPlacement(Placement):
    """A placement whose times are estimates, on the fewest wafers that hold its regions; context counts in the middle of prompt
    and answer."""

    @cached_property
    def _estimator(self) -> Estimator:
        return estimator(in_cycles(self.machine), self.profile, self.request.precision)

    def region_cycles(self, tokens: int, slots: int, index: int) -> float:
        """Cycles of a region of a shape."""
        mapping, layers = self.mappings[index], self.shapes[index].layers
        work = self._estimator.layers(mapping, tokens, slots) / mapping.config.layers
        return work * layers + self._estimator.handover(mapping, tokens)

    def head_cycles(self) -> float:
        """One token's embedding and logits."""
        return self._estimator.head(self.head_mapping)

    def costs(self, most: int, between: tuple[int, int], slots: float, context: float,
              whole: bool = False) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Seconds of the slowest region for 1 to ``most`` tokens, whatever their context."""
        slots, timed = round(slots), self.timed(most, whole)
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
