"""Which rectangles of PEs hold the embedding and the LM head of a model, and how long a token takes there."""

import math
from bisect import bisect_right
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import takewhile

from wsekern.formulas import Formulas
from wsekern.inference.mapping import Mapping
from wsekern.inference.programs import Programs
from wsekern.machine import Machine
from wsekern.machine.machine import sides_of
from wsekern.ops.local.rows import Form
from wsekern.planning.candidates import Candidate
from wsekern.planning.estimator import estimator
from wsekern.planning.head_part import head_region, of_no_layer
from wsekern.planning.regions import Size
from wsekern.workload.config import ModelConfig


@dataclass
class HeadRoom:
    """Rectangles that hold the embedding and the LM head of a model."""

    config: ModelConfig
    machine: Machine
    precision: str
    programs: Programs
    activations: Form | None
    weight_precision: str
    rows: dict[int, int] = field(default_factory=dict)
    steps: dict[str, Formulas] = field(default_factory=dict)
    times: dict[tuple[Size, str], int] = field(default_factory=dict)
    beside: dict[Size, int] = field(default_factory=dict)
    quickest: dict[tuple[Size, str], Size] = field(default_factory=dict)
    cuts: dict[Hashable, tuple[Candidate, ...]] = field(default_factory=dict)
    """Cuts of wafers, as a search finds them."""

    def region(self, width: int, height: int) -> Mapping:
        """A rectangle with them."""
        return head_region(self.config, width, height, self.precision, self.programs, self.activations, self.weight_precision)

    def holds(self, width: int, height: int) -> bool:
        """Whether a rectangle does; one without PEs does not."""
        return bool(width and height) and sum(self.memory(width, height)) <= int(self.machine.core.sram)

    @cached_property
    def memory(self) -> Formulas:
        """Bytes of a PE of a rectangle, by use: weights first."""
        return Formulas(lambda width, height: tuple(self.region(width, height).memory.values()))

    def height(self, width: int) -> int:
        """Rows that are enough where there are ``width`` columns; 0 if no wafer has them."""
        if width not in self.rows:
            self.rows[width] = self._heights[bisect_right(self.widths, width) - 1] if width > 0 else 0
        return self.rows[width]

    @cached_property
    def widths(self) -> list[int]:
        """Numbers of columns that are told apart: each a 20th more than the one before."""
        side = sides_of(self.machine)[0]
        return sorted({max(1, math.ceil(side / 1.05**power)) for power in range(200)})

    @cached_property
    def _heights(self) -> list[int]:
        """Rows that are enough for each of :attr:`widths`; 0 if no wafer has them. They are the fewer the wider it is."""
        found: list[int] = []
        for width in self.widths:
            found.append(self._enough(width, next((rows for rows in found[::-1] if rows), sides_of(self.machine)[1])))
        return found

    @cached_property
    def lowest(self) -> int:
        """Rows that are enough over all columns of a wafer; 0 if it does not have them."""
        return self._enough(*sides_of(self.machine))

    def _enough(self, width: int, most: int) -> int:
        """The fewest rows up to ``most`` that are enough; 0 if these are not."""
        low, high = 0, most if self.holds(width, most) else 0
        near = self._near(width, high)
        while high - low > 1:
            probe = next((rows for rows in (near, near - 1) if low < rows < high), (low + high) // 2)
            low, high = (low, probe) if self.holds(width, probe) else (probe, high)
        return high

    def _near(self, width: int, height: int) -> int:
        """About the fewest rows that are enough, where ``height`` rows are: pieces of the residual stream grow with tables."""
        if not height:
            return 0
        weights, *others = self.memory(width, height)
        room = int(self.machine.core.sram) - sum(others)
        return -(-self.config.hidden // max(1, -(-self.config.hidden // height) * room // weights))

    @cached_property
    def usual(self) -> Size:
        """The one with the fewest PEs."""
        found = zip(self.widths, self._heights, strict=True)
        return min((size for size in found if size[1]), key=lambda size: (size[0] * size[1], size))

    def regions_beside(self, width: int, height: int) -> int:
        """The most regions of a size on the last wafer beside the head; -1 if that has no room."""
        found = self.beside.get((width, height))
        if found is None:
            found = self.beside[width, height] = self._most_beside(width, height)
        return found

    def _most_beside(self, width: int, height: int) -> int:
        sides = sides_of(self.machine)
        columns, rows = sides[0] // width, sides[1] // height
        high = [self.height(sides[0] - whole * width) for whole in range(columns + 1)]
        return max((whole * rows + (columns - whole) * ((sides[1] - head) // height)
                    for whole, head in enumerate(high) if head), default=-1)

    def smaller(self, width: int, height: int) -> list[Size]:
        """Some that hold all and lie in a rectangle, itself among them."""
        found: list[Size] = []
        for wide in (max(1, math.ceil(width * 0.8**x)) for x in range(8)):
            heights = (max(1, math.ceil(height * 0.8**y)) for y in range(8))
            found += [(wide, high) for high in takewhile(lambda high, wide=wide: self.holds(wide, high), heights)]
        return found

    def quickest_beside(self, width: int, height: int, regions: int, profile: str) -> Size:
        """The quickest of the rectangles in the corner of a wafer that leave room for so many regions of that size."""
        sides, corners = sides_of(self.machine), list[Size]()
        columns, rows = sides[0] // width, sides[1] // height
        for whole in range(columns + 1):
            for left in range(rows + 1):
                if whole * rows + (columns - whole) * left >= regions:
                    corners.append((sides[0] - whole * width, sides[1] - left * height))
                    break
        found = [self.quickest_in(corner, profile) for corner in corners if self.holds(*corner)]
        return min(found, key=lambda size: self.cycles(size, profile))

    def quickest_in(self, corner: Size, profile: str) -> Size:
        """The quickest of those in a rectangle that holds all."""
        key = corner, profile
        if key not in self.quickest:
            self.quickest[key] = min(self.smaller(*corner), key=lambda size: self.cycles(size, profile))
        return self.quickest[key]

    def cycles(self, size: Size, profile: str) -> int:
        """Estimated cycles of a token."""
        key = size, profile
        if key not in self.times:
            if profile not in self.steps:
                known = estimator(self.machine, profile, self.precision)
                self.steps[profile] = Formulas(lambda width, height: (known.head_steps(self.region(width, height)),))
            self.times[key] = int(self.steps[profile](*size)[0])
        return self.times[key]


def head_room(config: ModelConfig, machine: Machine, precision: str, programs: Programs, activations: Form | None,
              weight_precision: str) -> HeadRoom:
    """What holds the head of a model; known once."""
    return _known(config, machine, precision, of_no_layer(programs), activations, weight_precision)


_known = lru_cache(maxsize=256)(HeadRoom)
