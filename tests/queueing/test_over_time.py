"""Numbers of requests over time, beside a count by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsekern.queueing.over_time import mean_present, most_present

STAYS = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50)), min_size=1, max_size=30)


def test_two_requests_by_hand():
    enter, leave = np.array([0.0, 1.0]), np.array([2.0, 4.0])
    assert mean_present(enter, leave, np.array([0.0, 1.0, 2.0, 4.0, 8.0])).tolist() == [1.0, 2.0, 1.0, 0.0]
    assert mean_present(enter, leave, np.array([0.5, 1.5])).tolist() == [1.5]
    assert most_present(enter, leave) == 2


def test_a_request_that_leaves_as_another_enters_does_not_meet_it():
    assert most_present(np.array([0.0, 1.0]), np.array([1.0, 2.0])) == 1


@given(STAYS)
def test_the_means_add_up_to_all_stays(stays):
    enter = np.array([start for start, _ in stays])
    leave = np.array([start + length for start, length in stays])
    edges = np.linspace(0.0, 150.0, 38)
    means = mean_present(enter, leave, edges)
    assert float(means @ np.diff(edges)) == pytest.approx(sum(length for _, length in stays), abs=1e-6)
    assert means.min() >= 0 and means.max() <= len(stays) + 1e-9


@given(STAYS)
def test_the_most_is_that_of_a_count_at_every_arrival(stays):
    enter = np.array([start for start, _ in stays])
    leave = np.array([start + length for start, length in stays])
    counts = [sum((enter <= moment) & ((leave > moment) | (enter == moment) & (leave == moment))) for moment in enter]
    assert most_present(enter, leave) <= max(counts)
    if np.all(leave > enter):
        assert most_present(enter, leave) == max(counts)
