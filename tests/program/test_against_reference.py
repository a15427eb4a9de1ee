"""The kernel of the cores against the plain reference, cycle by cycle, on random programs."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import DeadlineError, DeadlockError, WsekernError
from wsekern.fabric.reference import BrokenRule
from wsekern.program.reference.parts import BrokenProgram
from wsekern.program.reference.simulation import ReferenceSimulation
from wsekern.soak.authors import make_layout
from wsekern.soak.programs import MACHINES, compare, inject, random_steps, run_both, same_edge, same_findings, same_profile


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**63))
def test_cycle_by_cycle(seed):
    rng = random.Random(seed)
    layout, entries = make_layout(rng, *rng.choice(MACHINES), rng.randrange(1, 4), rng.randrange(1, 4))
    if layout.programs:
        run_both(rng, layout.compile(watch_memory=rng.random() < 0.5), ReferenceSimulation(layout), random_steps(rng, 40),
                 entries)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**63))
def test_whole_runs_skip_what_nothing_happens_in(seed):
    """A run that sleeps, jumps and lets scalar code run ahead ends in the state to which the reference goes step by step."""
    rng = random.Random(seed)
    layout, entries = make_layout(rng, *rng.choice(MACHINES), rng.randrange(1, 4), rng.randrange(1, 4))
    if not layout.programs:
        return
    simulation, reference = layout.compile(watch_memory=True), ReferenceSimulation(layout)
    simulation.count_instructions()
    for _ in range(rng.randrange(4)):
        inject(rng, simulation, reference, entries)
    try:
        simulation.run(deadline=rng.randrange(100, 700), quiet=True)
    except (DeadlockError, DeadlineError):
        pass
    except WsekernError:
        with pytest.raises((BrokenRule, BrokenProgram)):
            reference.step(simulation.cycle + 700)
        return
    reference.step(simulation.cycle)
    if not any(core.nans for core in reference.cores.values()):
        compare(simulation, reference)
        same_profile(simulation, reference)
        same_edge(simulation, reference)
        same_findings(simulation, reference)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**63))
def test_two_threads_on_two_strips(seed):
    """More than 64 rows: two threads step them, and words cross from one strip to the other."""
    rng = random.Random(seed)
    layout, entries = make_layout(rng, *rng.choice(MACHINES), 1, 67)
    if layout.programs:
        run_both(rng, layout.compile(threads=2), ReferenceSimulation(layout), random_steps(rng, 12), entries)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**63))
def test_reset_runs_the_same_again(seed):
    """From cycle 0, with the memory as the first run left it."""
    rng = random.Random(seed)
    layout, entries = make_layout(rng, *rng.choice(MACHINES), rng.randrange(1, 3), rng.randrange(1, 3))
    if not layout.programs:
        return
    simulation, reference = layout.compile(), ReferenceSimulation(layout)
    if run_both(rng, simulation, reference, random_steps(rng, 15), entries):
        simulation.reset()
        reference.reset()
        compare(simulation, reference)
        run_both(rng, simulation, reference, random_steps(rng, 15), entries)
