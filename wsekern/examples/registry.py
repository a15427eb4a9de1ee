"""What an example is, what came out of it, and the list of all."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from wsekern.errors import InputError
from wsekern.program import Simulation
from wsekern.shown import Shown

TIERS = {
    "T0": "scalar code, memory descriptors, host copies and launches, map",
    "T1": "static routes, multicast, queues, tasks, block and unblock, asynchronous instructions, index field",
    "T2": "streams from and to the host",
    "T3": "FIFOs",
    "T4": "code regions and their connections, placed from Python",
    "T5": "explicit descriptors, saved addresses, packed words",
    "T6": "control wavelets, control tasks, switches, pop modes, rings",
    "T7": "filters",
    "T8": "routes rewritten while the program runs, teardown",
    "T9": "priorities, advance_switch",
    "T10": "color swap (WSE-2)",
}
"""Tiers of features, each with all those before it."""

FEATURES = ("host copy", "streaming", "regions", "local tasks", "data tasks", "control tasks", "block/unblock", "priorities",
            "asynchronous", "microthread ids", "multicast", "index", "map", "mem4d", "circular", "FIFO", "explicit descriptors",
            "saved addresses", "packed words", "control words", "switches", "advance_switch", "filters", "teardown",
            "route rewrite", "color swap", "time stamps")
"""What programs for a wafer use; each is shown by at least one example."""

Host = Callable[[Simulation], np.ndarray]


@dataclass(frozen=True, repr=False)
class Outcome(Shown):
    """What a program gave: ``cycles`` until its last PE was idle, ``got`` and ``expected`` values. ``tolerance`` bounds the
    error relative to the larger of 1 and the expected value; 0 asks for the same values. ``host`` runs it once more."""

    cycles: int
    got: np.ndarray
    expected: np.ndarray
    simulation: Simulation
    tolerance: float
    host: Host

    @property
    def error(self) -> float:
        """Largest error, relative to the larger of 1 and the expected value; infinite where shapes or NaNs differ."""
        got, expected = np.asarray(self.got), np.asarray(self.expected)
        if got.shape != expected.shape:
            return float("inf")
        if np.array_equal(got, expected):
            return 0.0
        exact = np.complex128 if np.iscomplexobj(expected) else np.float64
        difference = np.abs(got.astype(exact) - expected.astype(exact)) / np.maximum(1, np.abs(expected.astype(exact)))
        return float(np.nan_to_num(difference, nan=np.inf).max())

    @property
    def correct(self) -> bool:
        """Whether the error is within the tolerance."""
        return self.error <= self.tolerance


def measure(simulation: Simulation, host: Host, expected: np.ndarray, tolerance: float = 0.0) -> Outcome:
    """Let ``host`` copy in, launch, run and copy out; cycles are those until the last PE was idle."""
    got = host(simulation)
    return Outcome(int(simulation.clock.max()), got, expected, simulation, tolerance, host)


@dataclass(frozen=True, repr=False)
class Example(Shown):
    """A program with its inputs and what numpy says that comes out. ``run(machine, profile, **sizes)`` runs it."""

    name: str
    tier: str
    features: tuple[str, ...]
    machines: tuple[str, ...]
    run: Callable[..., Outcome]

    @property
    def summary(self) -> str:
        """First sentence of its docstring."""
        return " ".join((self.run.__doc__ or "").split("\n\n")[0].split())


EXAMPLES: dict[str, Example] = {}
"""Every example by its name."""


def example(name: str, tier: str, features: str, machines: tuple[str, ...] = ("wse2", "wse3")) -> Callable[[Any], Any]:
    """Register ``build_and_run(machine, profile, size, ...)`` under ``name``; ``features``: some of :data:`FEATURES`."""
    listed = tuple(part.strip() for part in features.split(","))
    unknown = [feature for feature in listed if feature not in FEATURES]
    if tier not in TIERS or unknown or name in EXAMPLES:
        raise InputError(f"example {name}: tier {tier!r}, features not known {unknown}, or a name in use")

    def register(run: Callable[..., Outcome]) -> Callable[..., Outcome]:
        EXAMPLES[name] = Example(name, tier, listed, machines, run)
        return run

    return register


def chosen(names: tuple[str, ...]) -> list[Example]:
    """Examples by their names or tiers, in order of tiers; all where none are named."""
    known = sorted(EXAMPLES.values(), key=lambda item: list(TIERS).index(item.tier))
    for name in names:
        if name not in EXAMPLES and name not in TIERS:
            raise InputError(f"no example {name!r}: use a tier ({', '.join(TIERS)}) or one of "
                             f"{', '.join(item.name for item in known)}")
    return [item for item in known if not names or item.name in names or item.tier in names]
