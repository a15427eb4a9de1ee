"""Two answers that should be one."""

from typing import Any

import numpy as np

from wsekern.errors import SimulationError


class Difference(SimulationError):
    """Two that compute the same have given different answers."""


def same(found: Any, expected: Any, what: str) -> None:
    """Raise :class:`Difference` where an answer, an array or any other, is not the expected one."""
    if not isinstance(expected, np.ndarray):
        if found != expected:
            raise Difference(f"{what}: {found!r}, expected {expected!r}")
    elif found.shape != expected.shape:
        raise Difference(f"{what}: an array of shape {found.shape}, expected {expected.shape}")
    elif not np.array_equal(found, expected):
        where = np.argwhere(found != expected)
        first = tuple(int(at) for at in where[0])
        raise Difference(f"{what}: {len(where)} elements differ, first {found[first]} at {first}, expected {expected[first]}")


def same_bits(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    """As :func:`same` of the bits of two arrays, one of which may be flat beyond its first two axes."""
    if found.dtype != expected.dtype or found.size != expected.size:
        raise Difference(f"{what}: {found.dtype} of shape {found.shape}, expected {expected.dtype} of {expected.shape}")
    bits = f"u{found.dtype.itemsize}"
    flat = (*expected.shape[:2], -1) if expected.size else expected.shape
    same(*(np.ascontiguousarray(values).view(bits).reshape(flat) for values in (found, expected)), f"bits of {what}")
