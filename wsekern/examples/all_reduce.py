"""The sum of one fp32 over a grid, on every PE: chains west along rows and north along column 0, then a multicast."""

from wsekern.examples.neighbors import Place
from wsekern.program import Fabric, Layout
from wsekern.program.code import Code
from wsekern.program.values import Variable

_ROWS, _COLUMN, _BACK = 8, 12, 10
"""Colors: two for each chain, by the sender's parity, and one for the way back."""


def sum_over_grid(t: Code, place: Place, number: Variable, total: Variable, then: str) -> None:
    """``total`` = the sum of all PEs' ``number``, which is overwritten; then task ``then`` runs on each."""
    p = t.program
    is_root = not {"W", "N"} & set(place.sides)
    east = p.fabin(_ROWS + 1 - place.column, 1, "f32") if "E" in place.sides else None
    if "W" in place.sides:
        _pass_on(t, p.fabout(_ROWS + place.column, 1, "f32"), number, east)
    else:
        if east:
            t.fadds(number, number, east)
        south = p.fabin(_COLUMN + 1 - place.row, 1, "f32") if "S" in place.sides else None
        if not is_root:
            _pass_on(t, p.fabout(_COLUMN + place.row, 1, "f32"), number, south)
        elif south:
            t.fadds(number, number, south)
    if not is_root:
        t.fmovs(total, p.fabin(_BACK, 1, "f32"), asynchronous=True, activate=then)
        return
    t.fmovs(total, number)
    if place.sides:
        t.fmovs(p.fabout(_BACK, 1, "f32"), number)
    t.activate(then)


def _pass_on(t: Code, out: Fabric, number: Variable, come_in: Fabric | None) -> None:
    """Send a partial sum on; what comes in is added in the stream."""
    if come_in:
        t.fadds(out, number, come_in)
    else:
        t.fmovs(out, number)


def paint_all_reduce(layout: Layout) -> None:
    """The routes of the two chains and of the way back."""
    width, height = layout.width, layout.height
    for x in range(1, width):
        layout.set_route(_ROWS + x % 2, ["RAMP"], ["W"], x, 0, 1, height)
        layout.set_route(_ROWS + x % 2, ["E"], ["RAMP"], x - 1, 0, 1, height)
    for y in range(1, height):
        layout.set_route(_COLUMN + y % 2, ["RAMP"], ["N"], 0, y)
        layout.set_route(_COLUMN + y % 2, ["S"], ["RAMP"], 0, y - 1)
    ways = ["E"] if width > 1 else []
    if width > 2:
        layout.set_route(_BACK, ["W"], ["E", "RAMP"], 1, 0, width - 2, height)
    if width > 1:
        layout.set_route(_BACK, ["W"], ["RAMP"], width - 1, 0, 1, height)
    for y in range(height):
        rx = ["N"] if y else ["RAMP"]
        tx = ways + (["S"] if y < height - 1 else []) + (["RAMP"] if y else [])
        if tx:
            layout.set_route(_BACK, rx, tx, 0, y)
