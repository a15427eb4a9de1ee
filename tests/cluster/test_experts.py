"""Rows and experts on the busiest GPU: laws, and distinct experts against a plain count."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsekern.cluster import predict
from wsekern.cluster.constants import constants
from wsekern.cluster.experts import in_service, popularity
from wsekern.workload import load_config

layouts = st.tuples(st.sampled_from([(2, 8), (8, 128), (1, 16), (4, 4), (8, 256)]), st.sampled_from([1, 2, 4]))


@given(layouts, st.integers(1, 5000))
def test_the_busiest_rank_has_at_least_the_mean(layout, tokens):
    (chosen, experts), ranks = layout
    rows, active = in_service(tokens, chosen, experts, ranks)
    mean_rows, mean_active = in_service(tokens, chosen, experts, ranks, mean=True)
    assert mean_rows == pytest.approx(tokens * chosen / ranks)
    assert mean_rows <= rows * (1 + 1e-12) and mean_active <= active * (1 + 1e-12)
    assert rows <= tokens * min(chosen, experts / ranks) + 1e-9
    assert 1.0 <= active <= experts / ranks + 1e-9


@given(layouts, st.integers(1, 3000))
def test_more_tokens_never_reach_less(layout, tokens):
    (chosen, experts), ranks = layout
    few, many = in_service(tokens, chosen, experts, ranks), in_service(tokens + 1, chosen, experts, ranks)
    assert many[0] >= few[0] - 1e-9 and many[1] >= few[1] - 1e-9


def test_one_rank_has_everything():
    assert in_service(10, 2, 8, 1)[0] == 20
    assert in_service(100000, 2, 8, 1) == (200000, pytest.approx(8.0))


def test_distinct_experts_of_random_choices():
    """Against choices drawn one by one."""
    chances = popularity(constants().popularity_exponent.value, 8, 128)
    assert chances.sum() == pytest.approx(8) and chances.max() <= 1
    generator = np.random.default_rng(1)
    drawn = np.mean([(generator.random((20, 128)) < chances).any(axis=0).sum() for _ in range(400)])
    assert in_service(20, 8, 128, 1)[1] == pytest.approx(drawn, rel=0.02)


def test_predictions_say_how_experts_are_chosen():
    said = predict(load_config("gpt-oss-120b"), "h100x8", context=1000, tp=1, dp=8, ep=8, batch=8).assumptions
    assert any("most popular expert" in line and "wait for the busiest" in line for line in said)
    assert not any("expert" in line for line in predict(load_config("llama3-8b"), "h100x1", context=1000).assumptions)
