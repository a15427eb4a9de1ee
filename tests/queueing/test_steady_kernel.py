"""The compiled fixed point beside the same formulas in plain Python: equal to the bit."""

from dataclasses import replace

import numpy as np
import pytest

from wsekern.queueing import LineCosts, steady_line
from wsekern.queueing.reference import steady_line as reference


def drawn(random: np.random.Generator) -> tuple[LineCosts, int, int, int, float, int | None]:
    """A line, users, and what they ask."""
    most, chunk = int(random.integers(1, 40)), int(2 ** random.integers(0, 7))
    groups, chunks = np.arange(1, most + 1), np.arange(1, chunk + 1)
    fixed, token, context = random.uniform(1e-6, 5e-5), random.uniform(1e-6, 3e-5), 10 ** random.uniform(-12, -9)
    costs = LineCosts(regions=int(random.integers(1, 80)), group_base=fixed + token * groups, group_slope=context * groups,
                      chunk_base=fixed + token * chunks, chunk_slope=context * chunks, head_seconds=random.uniform(0, 2e-5),
                      crossing_seconds=random.choice([0.0, 2e-5]), crossing_token_seconds=random.choice([0.0, 1e-7]),
                      last_share=random.uniform(0.1, 1.0))
    if random.random() < 0.3:
        costs = replace(costs, checked=4, kept=2.2, draft_seconds=3e-5, draft_busy_seconds=1e-6,
                        draft_in_line=bool(random.integers(2)))
    users, prompt, output = (int(np.exp(random.uniform(0, np.log(most)))) for most in (2000, 60_000, 3000))
    inside = max(1, int(users * random.uniform(0.2, 1.0))) if random.random() < 0.3 else None
    return costs, users, prompt, output, float(random.choice([0.0, 0.5, 20.0])), inside


@pytest.mark.parametrize("seed", range(4))
def test_the_kernel_is_the_reference(seed):
    random = np.random.default_rng(seed)
    for _ in range(60):
        case = drawn(random)
        assert steady_line(*case) == reference.steady_line(*case), case
