"""Directions of routes."""

import numpy as np

from wsekern.csl.values import Value, Varying
from wsekern.errors import InputError

DIRECTIONS = ("NORTH", "EAST", "SOUTH", "WEST", "RAMP")
"""By number, as values of the type ``direction`` have it."""


def ports_of_value(value: Value | None) -> list[str]:
    """Directions: one, or a tuple or array of them."""
    if value is None or value.data is None:
        return []
    if isinstance(value.data, dict):
        return [DIRECTIONS[each.data] for each in value.data.values()]
    if isinstance(value.data, (list, np.ndarray)):
        return [DIRECTIONS[int(each)] for each in value.data]
    if isinstance(value.data, Varying):
        raise InputError("a direction that differs between the PEs of a program")
    return [DIRECTIONS[value.data]]
