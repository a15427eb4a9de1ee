"""Users who take turns before one server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsekern.queueing.waiting import waiting


def test_one_user_does_not_wait_and_a_crowd_waits_for_all_others():
    assert waiting(1, 2.0, 5.0) == 0.0
    assert waiting(100, 2.0, 0.0) == pytest.approx(198.0)


@given(users=st.integers(1, 4096), service=st.floats(1e-3, 1e3), elsewhere=st.floats(0.0, 1e5))
def test_the_server_serves_no_more_than_it_can(users, service, elsewhere):
    rate = users / (waiting(users, service, elsewhere) + service + elsewhere)
    assert rate * service <= 1.0 + 1e-9
    assert waiting(users + 1, service, elsewhere) >= waiting(users, service, elsewhere)
