"""Which lines of PEs hold which experts of a mixture: experts are dealt to blocks of lines, on one wafer or on several.

Expert e lies on block e mod the number of blocks of all wafers. Within its block the features of all experts one behind the
other go round the lines, so that no PE keeps more than its part of all.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wsekern.formulas import largest, smallest
from wsekern.inference.grid import Grid
from wsekern.workload.decoder import Mixture


@dataclass(frozen=True)
class ExpertPlaces:
    """``experts`` experts of ``width`` features on ``lines`` lines of PEs of each of ``wafers`` wafers, cut into ``wanted``
    blocks or as many as there are lines and experts for; what lies on ``wafer``."""

    experts: int
    width: int
    lines: int
    wanted: int = 1
    wafers: int = 1
    wafer: int = 0

    @classmethod
    def of(cls, mapping: Grid, part: Mixture) -> "ExpertPlaces":
        """Along x, or along y where experts work on a projection."""
        return cls(part.experts, part.expert.width, mapping.height if part.latent else mapping.width,
                   mapping.programs.expert_blocks, mapping.expert_wafers, mapping.expert_wafer)

    @cached_property
    def blocks(self) -> int:
        """Blocks of lines on each wafer."""
        return largest(1, smallest(self.wanted, self.lines, self.experts // self.wafers))

    @cached_property
    def all_blocks(self) -> int:
        """Blocks of all wafers."""
        return self.blocks * self.wafers

    @cached_property
    def held(self) -> int:
        """Experts of the block that has most of them."""
        return -(-self.experts // self.all_blocks)

    @cached_property
    def bounds(self) -> list[int]:
        """First line of each block, and the end: the first blocks, to which experts are dealt first, have a line more."""
        small, longer = divmod(self.lines, self.blocks)
        return [block * small + min(block, longer) for block in range(self.blocks + 1)]

    @cached_property
    def features(self) -> int:
        """Features of one expert on the line that has most of them."""
        return -(-self.width // (self.lines // self.blocks))

    @cached_property
    def elements(self) -> int:
        """Features of all its experts on the line that has most of them."""
        last = self.lines // self.blocks
        first, many = -(-self.lines // self.blocks), (self.lines % self.blocks) * self.wafers
        rest = self.experts % self.all_blocks
        sizes = (first, self.held), (last, self.held if not rest or rest > many else self.held - 1)
        return largest(*[-(-experts * self.width // lines) for lines, experts in sizes])

    def block_of(self, expert: int) -> tuple[int, int]:
        """(wafer, block of it) where an expert lies; the last wafer is the first one, which holds the rest of the layer too."""
        block, wafer = divmod(expert % self.all_blocks, self.wafers)
        return (wafer + 1) % self.wafers, block

    def place_of(self, expert: int) -> int:
        """Which of the experts of its block it is."""
        return expert // self.all_blocks

    @cached_property
    def here(self) -> list[int]:
        """The experts on :attr:`wafer`."""
        return [expert for expert in range(self.experts) if self.block_of(expert)[0] == self.wafer]

    def slots(self) -> np.ndarray:
        """Of each expert, which one of those of a line's block it is, (lines, experts); -1 where it lies elsewhere."""
        slots = np.full((self.lines, self.experts), -1)
        for expert in self.here:
            slots[slice(*self.lines_of(expert)), expert] = self.place_of(expert)
        return slots

    def lines_of(self, expert: int) -> tuple[int, int]:
        """(begin, end) of the lines of an expert."""
        block = self.block_of(expert)[1]
        return self.bounds[block], self.bounds[block + 1]

    def features_of(self, expert: int) -> np.ndarray:
        """Feature of ``expert`` at each place of its lines (lines, features); -1 where padded."""
        begin, end = self.lines_of(expert)
        count = end - begin
        first = (np.arange(count) - self.place_of(expert) * self.width) % count
        places = first[:, None] + count * np.arange(self.features)
        return np.where(places < self.width, places, -1)
