"""Tables of clocks by columns beside those made step by step, and colors beside each other on every router."""

import random

import numpy as np
import pytest

from tests.ops.schedule.plain_tables import PlainTables
from wsekern.errors import BudgetError
from wsekern.machine.timing import timing
from wsekern.ops import PRECISIONS, AllGather, Gather, Operation, Scatter
from wsekern.ops.schedule.clocks import schedule_times
from wsekern.ops.schedule.columns import PLANE
from wsekern.ops.schedule.operations import LineScheduled, PlaneScheduled
from wsekern.ops.schedule.schedule import Schedule
from wsekern.ops.schedule.tables import clock_tables
from wsekern.soak.operations import random_operation, random_product
from wsekern.soak.programs import MACHINES


def random_schedule(rng: random.Random) -> Schedule | None:
    """That of a random operation; None where it is given by none."""
    costs, elements = timing(*rng.choice(MACHINES), rng.choice(PRECISIONS)), rng.choice([1, 2, 6, 8, 33])
    length = rng.choice([1, 2, 3, 5, 8, 13, 33])
    operation: Operation = rng.choice([
        lambda: random_operation(rng, elements), lambda: random_operation(rng, elements), lambda: random_product(rng),
        lambda: Gather(8, "x", rng.randrange(5)), lambda: Scatter(8, "y", length), lambda: AllGather(8, "x")])()
    if isinstance(operation, PlaneScheduled):
        return operation.schedule(min(length, 6), rng.randrange(1, 6), costs)
    return operation.schedule(length, costs) if isinstance(operation, LineScheduled) else None


@pytest.mark.parametrize("seed", range(12))
def test_columns_give_the_tables_of_one_step_after_the_other(seed: int):
    rng, tried = random.Random(seed), 0
    while tried < 8:
        schedule = random_schedule(rng)
        if schedule is None:
            continue
        try:
            steps, takes, _ = clock_tables(schedule)
        except BudgetError:
            continue
        expected = PlainTables(schedule).build()
        np.testing.assert_array_equal(steps, expected[0])
        np.testing.assert_array_equal(takes, expected[1])
        tried += 1


def test_routes_that_meet_have_colors_of_their_own_and_no_more_than_they_need():
    """Of two PEs apart from each other one is to the left and one to the right: equally long ways take turns, left first."""
    schedule = Schedule(9, 1, timing("wse3", "silicon", "fp32"), "reduce_call", 1)
    ways = [(4, 1), (4, 7), (1, 0), (7, 8), (2, 3), (4, 5), (4, 3)]
    for source, target in ways:
        schedule.message(source, target, 1)
    routers = {way: set(range(min(way), max(way) + 1)) for way in ways}
    for one, color in zip(ways, schedule.colors, strict=True):
        for other, its in zip(ways, schedule.colors, strict=True):
            assert one == other or color != its or not routers[one] & routers[other]
    assert schedule.color_count == 4


def test_messages_that_are_not_sent_have_no_times_but_zero():
    """Once they had what was in the memory before."""
    schedule = Schedule(3, 4, timing("wse3", "silicon", "fp32"), "reduce_call", 4)
    schedule.message(0, 1, 4)
    sent = schedule.multicast(0, 0, 2, 4)
    schedule.step(0, "mov", 4, sent, ("tile", 0))
    times, _, _ = schedule_times(schedule, np.zeros((3, 5), np.int64))
    assert times[0].tolist() == [0, 0] and times[1].all() and schedule.by_message.kind.max() < PLANE
