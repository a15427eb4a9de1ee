"""Requests through a line of regions, event by event and in formulas. Results are asserted, times never."""

import numpy as np
import pytest

from wsekern.queueing import LineCosts, simulate_line, steady_line
from wsekern.queueing.reference.pipeline import Line as PlainLine
from wsekern.queueing.traffic import Traffic, poisson

REGIONS, CHUNK = 27, 8
TOKENS = np.arange(1, CHUNK + 1)
COSTS = LineCosts(regions=REGIONS, group_base=1e-5 + 2e-5 * TOKENS, group_slope=1e-9 * TOKENS, chunk_base=1e-5 + 2e-5 * TOKENS,
                  chunk_slope=1e-9 * TOKENS, head_seconds=7e-6, crossing_seconds=2e-5)


def traffic(requests: int) -> Traffic:
    """Long prompts and short answers such as those of a code completion, at a rate that loads the line by half."""
    rng = np.random.default_rng(0)
    prompt = np.minimum(7437, np.rint(rng.lognormal(7.2, 1.0, requests))).astype(np.int64) + 1
    output = rng.geometric(1 / 28, requests)
    work = prompt.mean() / CHUNK * COSTS.chunk_base[-1]
    return Traffic(poisson(0.5 / work, requests, 1, 1).arrival_seconds, prompt, output)


@pytest.mark.parametrize("kind", ["kernel", "plain"])
def test_serve_requests(benchmark, kind):
    """As many requests as the code trace of Azure (8,819); the plain reference serves fewer."""
    load = traffic(8819 if kind == "kernel" else 30)
    serve = (lambda: simulate_line(COSTS, load)) if kind == "kernel" else (lambda: PlainLine(COSTS, load).run())
    outcome = benchmark.pedantic(serve, rounds=3, warmup_rounds=1)
    assert (outcome.finish_seconds > outcome.arrival_seconds).all()
    visits = REGIONS * int((-(-load.prompt // CHUNK)).sum() + load.output.sum())
    benchmark.extra_info.update(region_visits=visits, region_visits_per_s=visits / benchmark.stats.stats.min, kind=kind,
                                goal="the code trace in 2 s")


@pytest.mark.parametrize("users", [1, 16, 256, 4096])
def test_steady_state(benchmark, users):
    """Users who take turns, with 1,024 tokens in and 256 out."""
    costs = LineCosts(**{**vars(COSTS), "group_base": 1e-5 + 2e-5 * np.arange(1, 153), "group_slope": 1e-9 * np.arange(1, 153)})
    steady = benchmark(steady_line, costs, users, 1024, 256)
    assert 0.0 < steady.busy <= 1.0 + 1e-9
    benchmark.extra_info.update(users=users, goal="1 ms")
