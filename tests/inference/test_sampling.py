"""Sampling: greedy, seeded, nucleus."""

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.inference.sampling import Sampler

LOGITS = np.log(np.array([0.1, 0.6, 0.25, 0.05], np.float32))


def draw(sampler, count=2000):
    choice = sampler.start([])
    return [choice.next(LOGITS) for _ in range(count)]


def test_greedy_takes_the_largest():
    assert set(draw(Sampler(), 5)) == {1}


def test_a_seed_repeats_and_another_differs():
    assert draw(Sampler(1.0, seed=3)) == draw(Sampler(1.0, seed=3))
    assert draw(Sampler(1.0, seed=3)) != draw(Sampler(1.0, seed=4))


def test_frequencies_follow_the_probabilities():
    counts = np.bincount(draw(Sampler(1.0)), minlength=4) / 2000
    np.testing.assert_allclose(counts, [0.1, 0.6, 0.25, 0.05], atol=0.04)


def test_top_p_leaves_out_the_tail():
    assert set(draw(Sampler(1.0, top_p=0.7))) == {1, 2}
    assert set(draw(Sampler(1.0, top_p=0.5))) == {1}


def test_a_temperature_near_zero_is_greedy():
    assert set(draw(Sampler(1e-310), 5)) == {1}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_numbers_are_refused(bad, temperature):
    sampler = Sampler(temperature)
    with pytest.raises(InputError, match="not finite"):
        sampler.start([]).next(np.array([0, bad], np.float32))


@pytest.mark.parametrize("bad", [dict(temperature=-1.0), dict(temperature=float("nan")), dict(top_p=0.0), dict(top_p=1.5),
                                 dict(seed=-1)])
def test_bad_settings(bad):
    with pytest.raises(InputError):
        Sampler(**bad)
