"""Rows and groups: how errors are counted, and how a table states its values."""

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.validation.rows import Group, Row, ninetieth, read_value, stated_fitted, summarise

numbers = st.one_of(st.none(), st.floats(-1e6, 1e6))
rows = st.lists(st.builds(Row, id=st.text("abc", max_size=3), group=st.sampled_from("xyz"), measured=st.floats(0, 1e6),
                          predicted=numbers, unit=st.just("ms"), fitted=st.booleans()), max_size=30)


@given(rows)
def test_fitted_rows_are_counted_and_not_tested(rows):
    found = summarise(rows)
    assert [row["id"] for row in found["rows"]] == [row.id for row in rows]
    assert [group["group"] for group in found["groups"]] == sorted({row.group for row in rows})
    assert sum(group["count"] for group in found["groups"]) == len(rows)
    for group in found["groups"]:
        members = [row for row in rows if row.group == group["group"]]
        errors = [abs(row.error) for row in members if row.error is not None and not row.fitted]
        assert group["tested"] == len(errors) and group["fitted"] == sum(row.fitted for row in members)
        assert group["median_error"] == (median(errors) if errors else None)
        assert group["worst_error"] == (max(errors) if errors else None)


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_nine_in_ten_errors_are_no_greater(errors):
    bound = ninetieth(errors)
    assert bound in errors and sum(error <= bound for error in errors) >= 0.9 * len(errors)


def test_an_error_is_signed_and_relative():
    row = Row(id="a", group="g", measured=4.0, predicted=3.0, unit="s")
    assert row.error == row.as_dict()["error"] == -0.25
    assert Row(id="a", group="g", measured=0.0, predicted=3.0, unit="s").error is None
    assert Group.of("g", []).median_error is None


def test_values_are_finite_numbers():
    assert read_value({"value": " 1.5e3 "}) == 1500.0
    for text in ("", "fast", "nan", "inf", "-inf"):
        with pytest.raises(InputError, match="is not a number"):
            read_value({"value": text})
    with pytest.raises(InputError):
        read_value({})


def test_a_table_says_yes_no_or_nothing():
    assert [stated_fitted({"fitted": text}) for text in ("yes", "no", "")] == [True, False, False]
    assert stated_fitted({}) is None
    with pytest.raises(InputError, match="'1'"):
        stated_fitted({"fitted": "1"})
