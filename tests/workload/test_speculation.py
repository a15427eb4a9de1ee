"""Drafted tokens: how many a pass keeps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.workload.speculation import Speculation


@given(st.integers(1, 64), st.floats(0.0, 1.0))
def test_a_pass_keeps_its_own_token_and_at_most_all_that_were_drafted(drafted, acceptance):
    found = Speculation(drafted, acceptance)
    assert 1.0 <= found.kept <= drafted + 1
    assert found.passes(1) == 1.0 and found.passes(101) == pytest.approx(1 + 100 / found.kept)
    if acceptance < 0.99:
        assert found.kept == pytest.approx((1 - acceptance ** (drafted + 1)) / (1 - acceptance))


def test_all_or_none_may_be_accepted():
    assert Speculation(3, 0.0).kept == 1.0 and Speculation(3, 1.0).kept == 4.0


@pytest.mark.parametrize(("drafted", "acceptance", "words"), [
    (0, 0.5, "drafted is 0"), (65, 0.5, "at most 64"), (True, 0.5, "drafted"), (2, 1.5, "acceptance is 1.5"),
    (2, float("nan"), "acceptance is nan"),
])
def test_what_cannot_be_is_refused(drafted, acceptance, words):
    with pytest.raises(InputError, match=words):
        Speculation(drafted, acceptance)
