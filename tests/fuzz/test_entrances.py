"""Inputs that are nearly right, to everything that takes inputs: each is taken, or refused in one sentence; nothing else comes
out.

Some on every run; ``WSEKERN_FUZZ=20000 pytest tests/fuzz`` tries as many for each entrance, and ``python tests/fuzz/count.py``
counts. A number of :data:`FOUND` is one that failed once.
"""

import os
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.entrances import ENTRANCES

EXAMPLES = int(os.environ.get("WSEKERN_FUZZ", "0"))
FEW = {"CSL programs": 30, "operations by name": 40, "plan files": 40, "CSV of GPUs": 40, "CSV of wafers": 40,
       "chips in TOML": 40, "wafers in TOML": 40, "command lines": 60}
"""Examples of entrances that take their time; of others 100."""


@pytest.mark.parametrize("name", ENTRANCES)
def test_inputs_are_taken_or_refused_in_one_sentence(name: str):
    examples = EXAMPLES or FEW.get(name, 100)

    @settings(max_examples=examples, deadline=60_000, suppress_health_check=list(HealthCheck), database=None)
    @given(st.randoms(use_true_random=False))
    def enter(random: Random) -> None:
        ENTRANCES[name](random)

    enter()
