"""Traffic that is made, and traffic that is refused."""

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.queueing.traffic import Traffic, poisson, turns


def test_users_who_take_turns_have_answers_of_the_stated_mean():
    traffic = turns(4, 100, 50, 4000, over_seconds=2.0)
    assert traffic.users == 4
    assert traffic.output.mean() == pytest.approx(50, rel=0.01)
    assert traffic.output.min() >= 40 and traffic.output.max() <= 60
    assert traffic.arrival_seconds[:4].tolist() == [0.0, 0.5, 1.0, 1.5]


def test_poisson_arrivals_have_the_stated_rate():
    traffic = poisson(20.0, 20_000, 10, 10)
    assert len(traffic) / traffic.arrival_seconds[-1] == pytest.approx(20.0, rel=0.02)


@pytest.mark.parametrize(("arrival", "prompt", "output", "users"), [
    ([], [], [], None), ([0.0], [1, 2], [1], None), ([1.0, 0.0], [1, 1], [1, 1], None), ([0.0], [0], [1], None),
    ([0.0], [1], [0], None), ([np.nan], [1], [1], None), ([0.0], [1], [1], 2), ([0.0], [1], [1], 0)])
def test_traffic_that_makes_no_sense_is_refused(arrival, prompt, output, users):
    with pytest.raises(InputError):
        Traffic(np.array(arrival), np.array(prompt, np.int64), np.array(output, np.int64), users)


@pytest.mark.parametrize("late", [1e11, 1e300])
def test_arrivals_beside_which_the_time_of_a_token_is_lost_are_refused(late):
    for arrivals in ([0.0, late], [-late, 0.0], [late, late]):
        with pytest.raises(InputError, match="the time of a token is lost"):
            Traffic(np.array(arrivals), np.array([1, 1]), np.array([1, 1]))
    with pytest.raises(InputError, match="the time of a token is lost"):
        poisson(1.0 / late, 1, 1, 1)
