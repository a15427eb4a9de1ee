"""One request worked by hand, and the law that ties rate, latency and users together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsekern.workload.measure import Measure


def test_a_request_worked_by_hand():
    measure = Measure(users=2, prompt=100, output=11, time_to_first_token_seconds=1.0, time_per_output_token_seconds=0.1,
                      think_seconds=2.0)
    assert measure.request_seconds == pytest.approx(2.0)
    assert measure.requests_per_second == pytest.approx(0.5)  # each of two users asks every four seconds
    assert measure.tokens_per_second == pytest.approx(5.5)
    assert measure.prompt_tokens_per_second == pytest.approx(50.0)
    assert measure.tokens_per_second_per_user == pytest.approx(10.0)
    assert measure.joules_per_request(1000.0) == pytest.approx(2000.0)
    assert measure.joules_per_token(1000.0) == pytest.approx(2000.0 / 11)
    assert measure.usd_per_request(3600.0) == pytest.approx(2.0)
    assert measure.usd_per_million_tokens(3600.0) == pytest.approx(2e6 / 11)


@given(users=st.integers(1, 4096), output=st.integers(1, 4096), first=st.floats(1e-3, 1e3), token=st.floats(1e-6, 1.0),
       think=st.floats(0.0, 100.0))
def test_users_are_rate_times_time(users, output, first, token, think):
    measure = Measure(users=users, prompt=16, output=output, time_to_first_token_seconds=first,
                      time_per_output_token_seconds=token, think_seconds=think)
    assert measure.requests_per_second * (measure.request_seconds + think) == pytest.approx(users)
    assert measure.tokens_per_second == pytest.approx(users * output / (first + (output - 1) * token + think))
