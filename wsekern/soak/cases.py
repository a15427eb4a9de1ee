"""Cases by kind and number: each is made of a seed, and compares what it makes with a reference or with the other engine."""

import random
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from wsekern.errors import ProgramWarning
from wsekern.program.reference.simulation import ReferenceSimulation
from wsekern.soak import fabrics, operations, programs
from wsekern.soak.authors import make_layout
from wsekern.soak.difference import Difference

THREADS = (1, 2, 3, 7)
"""Of a kernel; more than one have work where there are more than 64 rows."""
LARGE = 0.02
"""Share of the cases that are as large as those of the tests; the others are small, so that they are many."""


def fabric(rng: random.Random) -> None:
    """A fabric cycle by cycle, or many at a time: trees of routes, any routes at all, words that seldom meet, or words that
    all go to one core."""
    large = rng.random() < LARGE
    size = None if large else (rng.randrange(1, 5), rng.randrange(1, 5))
    made = rng.choice([fabrics.random_plan, fabrics.wild_plan, fabrics.lines_plan, fabrics.gathering_plan])
    if made is fabrics.lines_plan and not large and rng.random() < 0.5:            # long enough for words that fly
        size = rng.choice([(rng.randrange(5, 24), 2), (2, rng.randrange(5, 24))])
    plan, entries = made(rng, size)
    fabrics.compare(plan, entries, rng, meddle=rng.choice([0, 0, 0.1]), cycles=40 if large else 14, threads=THREADS,
                    stride=rng.choice([1, 1, 3, 14, 40]), period=rng.choice([10, 40]))


def program(rng: random.Random) -> None:
    """Programs on a few PEs, or on two strips of rows, cycle by cycle or many at a time."""
    large = rng.random() < LARGE
    size = rng.choice([(1, 1), (1, 1), (2, 1), (1, 2)])
    if large:
        size = (1, 67) if rng.random() < 0.1 else (rng.randrange(1, 4), rng.randrange(1, 3))
    layout, entries = make_layout(rng, *rng.choice(programs.MACHINES), *size, brief=not large)
    if layout.programs:
        simulation = layout.compile(threads=rng.choice(THREADS), watch_memory=rng.random() < 0.5)
        steps = programs.random_steps(rng, 40 if large else 8)
        programs.run_both(rng, simulation, ReferenceSimulation(layout), steps, entries)


def operation(rng: random.Random) -> None:
    """Operations of the mesh on both engines."""
    large = rng.random() < LARGE
    operations.compare(rng, *((12, 33) if large else (rng.choice([2, 3, 4]), 6)), THREADS)


KINDS: dict[str, Callable[[random.Random], None]] = {"fabrics": fabric, "programs": program, "operations": operation}
"""What is compared, by name."""


@dataclass(frozen=True)
class Case:
    """One case, which comes again from its seed."""

    kind: str
    seed: int
    number: int

    def run(self) -> None:
        """Compare; :class:`Difference`, which names the case, where two answers are not one."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", ProgramWarning)
                KINDS[self.kind](random.Random(f"{self.kind} {self.seed} {self.number}"))
        except Exception as error:      # whatever it is, it is no answer
            raise Difference(f"{self.kind}, seed {self.seed}, case {self.number}: {type(error).__name__}: {error}; it comes "
                             f"again with --seed {self.seed} --only {self.kind} --first {self.number} --cases 1") from error


def run_cases(kinds: Iterable[str], seed: int, first: dict[str, int], cases: int | None, seconds: float) -> dict[str, int]:
    """Cases of each kind, from its ``first`` number on: so many, or as many as the time allows, which all kinds share alike;
    how many they were."""
    end, done, used = time.monotonic() + seconds, dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0.0)
    while time.monotonic() < end:
        left = [kind for kind in done if cases is None or done[kind] < cases]
        if not left:
            break
        kind, began = min(left, key=used.__getitem__), time.monotonic()
        Case(kind, seed, first.get(kind, 0) + done[kind]).run()
        done[kind], used[kind] = done[kind] + 1, used[kind] + time.monotonic() - began
    return done
