"""Collectives in closed form by how the wires of a domain lie: switches, rings, a torus, a wire between each two chips.

Seconds of one collective among ``ranks`` chips that start together. ``message`` bytes are the vector that an all-reduce sums,
the result that a gather puts together or a scatter shares out, what each chip exchanges in all (its own part included), or what
is sent. Rates are bytes per second one way, ``hop`` is the latency of one wire. Nothing here knows of software.

Sources: Chan et al. 2007 (collectives on meshes and rings), the JAX scaling book (torus of TPUs, exchanges by bisection).
"""

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Protocol

ROUNDS = {"all_reduce": 2.0, "all_gather": 1.0, "reduce_scatter": 1.0}
"""Times that the parts of a message go round: an all-reduce scatters sums and gathers them again."""


class Topology(Protocol):
    """Wires between chips that take part in a collective, and no others."""

    def seconds(self, operation: str, message: float) -> float:
        """Time of ``operation``: all_reduce, all_gather, reduce_scatter, alltoall, or send to the next chip."""


def ring_seconds(operation: str, ranks: int, message: float, rate: float, hop: float) -> float:
    """Around one ring in one direction, over one wire of ``rate`` out of every chip: what is left where an algorithm uses one
    neighbor alone."""
    steps = ROUNDS.get(operation, 1.0) * (ranks - 1)
    if operation == "send":
        return hop + message / rate
    if operation == "alltoall":  # the part for the chip d steps ahead takes d wires
        return steps * hop + message * (ranks - 1) / 2.0 / rate
    return steps * (hop + message / ranks / rate)


@dataclass(frozen=True)
class Switch:
    """Every chip reaches every other at its full ``rate``, through switches that take ``hop``."""

    ranks: int
    rate: float
    hop: float

    def seconds(self, operation: str, message: float) -> float:
        """All parts at once; an all-reduce in two rounds, or in one where every chip reads all the others'."""
        share = message * (self.ranks - 1) / self.ranks / self.rate
        if operation == "send":
            return self.hop + message / self.rate
        rounds = ROUNDS.get(operation, 1.0)
        most = rounds * (self.hop + share)
        return min(most, self.hop + share * self.ranks) if operation == "all_reduce" else most


@dataclass(frozen=True)
class Mesh:
    """A wire of ``rate`` between each two of ``ranks`` chips (a full mesh): fewer ranks leave the wires to others idle."""

    ranks: int
    rate: float
    hop: float

    def seconds(self, operation: str, message: float) -> float:
        """Each part over the wire to its own chip; an all-reduce in two rounds, or in one of whole vectors."""
        if operation == "send":
            return self.hop + message / self.rate
        part = message / self.ranks / self.rate
        most = ROUNDS.get(operation, 1.0) * (self.hop + part)
        return min(most, self.hop + message / self.rate) if operation == "all_reduce" else most


@dataclass(frozen=True)
class Torus:
    """Chips along axes of ``shape``, a wire of ``rate`` to each neighbor; axes that ``wraps`` are rings, others lines."""

    shape: tuple[int, ...]
    wraps: tuple[bool, ...]
    rate: float
    hop: float

    def seconds(self, operation: str, message: float) -> float:
        """Both ways along each axis; all axes together, each with a share of the message; exchanges by bisection."""
        axes = [(n, wrap) for n, wrap in zip(self.shape, self.wraps, strict=True) if n > 1]
        if operation == "send" or not axes:
            return (self.hop + message / self.rate) if axes else 0.0
        if operation == "alltoall":
            return self.hop * sum(_far(*axis) for axis in axes) + max(_crossing(*axis) for axis in axes) * message / self.rate
        rounds = ROUNDS[operation]
        latency = rounds * self.hop * sum(_far(*axis) for axis in axes)
        return latency + rounds * _axes_share(tuple(axes)) * message / self.rate


def _far(n: int, wrap: bool) -> int:
    """Wires to the farthest chip of an axis."""
    return n // 2 if wrap else n - 1


def _crossing(n: int, wrap: bool) -> float:
    """Bytes on the busiest wire of an axis for each byte that a chip exchanges: those between the halves of the axis. A ring
    spreads the n^2 / 4 wires of a chip's parts over both directions of all its wires."""
    return (n * n // 4) / n / 2.0 if wrap else (n // 2) * (n - n // 2) / n


@lru_cache(maxsize=1024)
def _axes_share(axes: tuple[tuple[int, bool], ...]) -> float:
    """Bytes on the busiest wire for each byte of a message whose parts are scattered (or gathered) along all ``axes``.

    The message has a share for every axis, which it takes first; then come the others in turn, each with what those before
    left of it. Shares are such that no axis waits where they are alike; of unlike axes the longest sets the pace.
    """
    count, seconds = len(axes), 0.0
    for turn in range(count):
        paces = []
        for first in range(count):
            order = [axes[(first + step) % count] for step in range(turn + 1)]
            left = 1.0 / prod(n for n, _ in order[:-1])
            paces.append(left * _along(*order[-1]))
        seconds += max(paces) / count
    alone = min(_in_order(axes), _in_order(axes[::-1]))
    return min(seconds, alone)


def _along(n: int, wrap: bool) -> float:
    """Bytes on the busiest wire of one axis for each byte scattered along it: both ways around, or to one end of a line."""
    return (n - 1) / n / (2.0 if wrap else 1.0)


def _in_order(axes: tuple[tuple[int, bool], ...]) -> float:
    """The same where the whole message takes one axis after the other."""
    total, left = 0.0, 1.0
    for n, wrap in axes:
        total += left * _along(n, wrap)
        left /= n
    return total


@lru_cache(maxsize=1024)
def slice_shape(ranks: int, axes: tuple[int, ...], shapes: tuple[tuple[int, ...], ...] = ()) -> tuple[int, ...]:
    """Chips along each axis of the slice that ``ranks`` chips are: a usual one of ``shapes``, else the one nearest to a cube of
    those that the ``axes`` of a whole domain hold; where none does, a line."""
    for shape in shapes:
        if prod(shape) == ranks:
            return shape
    longest = sorted(axes)
    found = [shape for shape in _factors(ranks, len(axes)) if all(n <= most for n, most in zip(shape, longest, strict=True))]
    return min(found, key=lambda shape: (max(shape), sum(shape))) if found else (ranks,)


def _factors(number: int, parts: int) -> list[tuple[int, ...]]:
    """Every way to write ``number`` as a product of ``parts`` ascending factors."""
    if parts == 1:
        return [(number,)]
    divisors = [n for n in range(1, round(number ** (1.0 / parts)) + 1) if number % n == 0]
    return [(n, *rest) for n in divisors for rest in _factors(number // n, parts - 1) if n <= rest[0]]
