"""Routes that many examples paint."""

from wsekern.program import Layout

EAST, WEST, SOUTH, NORTH = ("E", "W"), ("W", "E"), ("S", "N"), ("N", "S")
"""Directions: the port that words leave through, and the one through which the next PE takes them."""


def line(layout: Layout, color: int, direction: tuple[str, str], x: int, y: int, length: int, *,
         multicast: bool = False) -> None:
    """Carry ``color`` from the ramp of PE (x, y) over ``length`` PEs of a line in ``direction``, itself included, to the ramp
    of the last one; with ``multicast`` to the ramps of all on the way."""
    leave, enter = direction
    dx, dy = {"E": (1, 0), "W": (-1, 0), "S": (0, 1), "N": (0, -1)}[leave]
    layout.set_route(color, ["RAMP"], [leave], x, y)
    for k in range(1, length - 1):
        layout.set_route(color, [enter], [leave, "RAMP"] if multicast else [leave], x + k * dx, y + k * dy)
    layout.set_route(color, [enter], ["RAMP"], x + (length - 1) * dx, y + (length - 1) * dy)


def step(layout: Layout, color: int, direction: tuple[str, str], x: int, y: int) -> None:
    """Carry ``color`` from the ramp of PE (x, y) to that of its neighbor."""
    line(layout, color, direction, x, y, 2)
