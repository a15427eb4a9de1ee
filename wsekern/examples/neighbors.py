"""Exchange with the four neighbors in the plane, for stencils: a color for each direction and parity of the sender.

A color cannot come in from the ramp and from a neighbor at once, so even and odd columns (rows) send on different colors:
on color 0 even columns send east and odd ones listen to the west, on color 1 the other way round.
"""

from dataclasses import dataclass

import numpy as np

from wsekern.program import Fabric, Layout, Program

OPPOSITE = {"E": "W", "W": "E", "S": "N", "N": "S"}
_FIRST_COLOR = {"E": 0, "W": 2, "S": 4, "N": 6}


@dataclass(frozen=True)
class Place:
    """What the programs of a grid differ in: parity of column and row, and the sides on which there is a neighbor."""

    column: int
    row: int
    sides: tuple[str, ...]

    def send(self, program: Program, side: str, extent: int, type: str) -> Fabric:
        """Descriptor of ``extent`` elements to the neighbor on ``side``."""
        return program.fabout(_FIRST_COLOR[side] + self.parity(side), extent, type)

    def receive(self, program: Program, side: str, extent: int, type: str) -> Fabric:
        """Descriptor of ``extent`` elements from the neighbor on ``side``."""
        return program.fabin(_FIRST_COLOR[OPPOSITE[side]] + 1 - self.parity(side), extent, type)

    def parity(self, side: str) -> int:
        """Parity of the column for east and west, of the row for north and south."""
        return self.column if side in "EW" else self.row


def places(width: int, height: int) -> tuple[list[Place], np.ndarray]:
    """The different places of a grid, and which of them each PE has: (height, width)."""
    found: dict[Place, int] = {}
    which = np.zeros((height, width), np.int32)
    for y in range(height):
        for x in range(width):
            beyond = {"E": x < width - 1, "W": x > 0, "S": y < height - 1, "N": y > 0}
            place = Place(x % 2, y % 2, tuple(side for side, there in beyond.items() if there))
            which[y, x] = found.setdefault(place, len(found))
    return list(found), which


def paint_neighbors(layout: Layout) -> None:
    """The routes: one link from each PE to each of its neighbors, on colors 0 to 7."""
    width, height = layout.width, layout.height
    for x in range(width - 1):
        for color, sender, side, listener in ((x % 2, x, "E", x + 1), (2 + (x + 1) % 2, x + 1, "W", x)):
            layout.set_route(color, ["RAMP"], [side], sender, 0, 1, height)
            layout.set_route(color, [OPPOSITE[side]], ["RAMP"], listener, 0, 1, height)
    for y in range(height - 1):
        for color, sender, side, listener in ((4 + y % 2, y, "S", y + 1), (6 + (y + 1) % 2, y + 1, "N", y)):
            layout.set_route(color, ["RAMP"], [side], 0, sender, width, 1)
            layout.set_route(color, [OPPOSITE[side]], ["RAMP"], 0, listener, width, 1)
