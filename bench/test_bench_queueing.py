"""Speed of the queues of requests: bound by events, not by tokens."""

import numpy as np

from wsekern.queueing.batching import StepCosts, simulate_batching
from wsekern.queueing.closed import closed_queue
from wsekern.queueing.traffic import poisson, turns

GRID = np.array([1.0, 8192.0])
COSTS = StepCosts(
    decode_grid=np.array([1.0, 1024.0]), decode_base=np.array([5e-3, 2e-2]), decode_slope=np.array([1e-8, 1e-5]),
    prompt_grid=GRID, crowded=GRID, alone=np.array([5e-3, 0.3]), together=np.array([0.0, 0.3]),
    look=np.array([1e-8, 1e-5]), step_tokens=8192, cache_tokens=1_000_000, sequences=1024)


def rate(benchmark, count: int) -> float:
    """Per second; 0 where nothing is timed."""
    return count / benchmark.stats.stats.median if benchmark.stats else 0.0


def test_an_hour_of_requests_on_one_engine(benchmark):
    """9,000 requests with 2.7 million tokens of answers; bound by steps that read prompts."""
    traffic = poisson(2.5, 9000, 2000, 300)
    found = benchmark(simulate_batching, COSTS, traffic)
    assert found.output_tokens == 2_700_000 and 0.2 < found.busy_seconds / found.seconds <= 1.0
    benchmark.extra_info.update(goal=">= 10 M tokens/s", tokens_per_s=rate(benchmark, found.output_tokens), engine="batching")


def test_users_who_take_turns(benchmark):
    """256 users, twenty answers each."""
    traffic = turns(256, 1000, 500, 20 * 256)
    found = benchmark(simulate_batching, COSTS, traffic)
    assert 200.0 < found.requests_in_system <= 256.0
    benchmark.extra_info.update(goal=">= 10 M tokens/s", tokens_per_s=rate(benchmark, found.output_tokens), engine="batching")


def test_users_in_closed_form(benchmark):
    """The same users without running the queue; bound by the interpreter."""
    found = benchmark(closed_queue, COSTS, 256, 1000, 500)
    assert 200.0 < found.decoding_users <= 256.0
    benchmark.extra_info.update(goal="<= 0.3 ms", predictions_per_s=rate(benchmark, 1), engine="closed")
