"""The example programs: each says what numpy says, on every machine and profile that it supports, and again after a reset."""

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.program.examples import EXAMPLES, FEATURES, TIERS, chosen

CASES = [(name, machine, profile) for name, item in EXAMPLES.items() for machine in item.machines
         for profile in ("vendor-simulator", "silicon")]


@pytest.mark.parametrize(("name", "machine", "profile"), CASES)
def test_a_program_computes_what_numpy_computes_and_repeats(name, machine, profile):
    outcome = EXAMPLES[name].run(machine, profile)
    assert outcome.correct, f"largest error {outcome.error}"
    assert outcome.got.size > 0 and np.any(np.asarray(outcome.expected) != 0)
    assert outcome.cycles > 0
    outcome.simulation.reset()
    np.testing.assert_array_equal(outcome.host(outcome.simulation), outcome.got)
    assert int(outcome.simulation.clock.max()) == outcome.cycles


def test_a_wrong_result_is_seen():
    outcome = EXAMPLES["gemv-scalar"].run("wse3", "silicon")
    for wrong in (outcome.got + 1, outcome.got[:, :, 1:], outcome.got * np.nan):
        assert not type(outcome)(**{**vars(outcome), "got": wrong}).correct


def test_every_tier_and_feature_is_covered():
    assert {item.tier for item in EXAMPLES.values()} == set(TIERS)
    assert {feature for item in EXAMPLES.values() for feature in item.features} == set(FEATURES)
    assert len(EXAMPLES) >= 24


def test_every_example_says_what_it_is():
    for item in EXAMPLES.values():
        assert item.summary.endswith("."), item.name


def test_examples_are_chosen_by_name_or_tier():
    assert [item.name for item in chosen(("gemv-scalar",))] == ["gemv-scalar"]
    assert {item.tier for item in chosen(("T0",))} == {"T0"}
    with pytest.raises(InputError, match="no example 'gemm'"):
        chosen(("gemm",))
