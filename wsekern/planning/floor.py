"""Where a placement's regions lie on the wafers."""

from dataclasses import dataclass
from typing import Literal

from wsekern.planning.placement import Placement

Kind = Literal["layers", "head", "draft"]


@dataclass(frozen=True)
class PlacedRegion:
    """A rectangle of PEs on a wafer, all counted from 0, and the layers that it keeps."""

    wafer: int
    x: int
    y: int
    width: int
    height: int
    first_layer: int
    layers: int
    kind: Kind = "layers"


def rectangles(placement: Placement) -> list[PlacedRegion]:
    """Every region, in the order in which a token passes them; the head is last."""
    fabric = placement.machine.fabric
    cell = int(fabric.user_width) // placement.columns, int(fabric.user_height) // placement.rows
    taken = (placement.wafers - 1, placement.columns - placement.head_columns, placement.rows - placement.head_rows)
    cells = [(wafer, column, row) for wafer in range(placement.wafers) for row in range(placement.rows)
             for column in range(placement.columns)
             if not (wafer == taken[0] and column >= taken[1] and row >= taken[2])]
    found = []
    for index, (wafer, column, row) in zip(range(placement.regions), cells, strict=False):
        first = index * placement.layers
        found.append(PlacedRegion(wafer, column * cell[0], row * cell[1], placement.width, placement.height, first,
                                  min(placement.layers, placement.config.layers - first)))
    head = placement.head_mapping
    found.append(PlacedRegion(taken[0], taken[1] * cell[0], taken[2] * cell[1], head.width, head.height,
                              placement.config.layers, 0, "head"))
    return found
