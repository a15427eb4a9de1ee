"""The search for a placement, and placements judged a second on one thread."""

import pytest

from bench.judging import judging
from wsekern.machine import load_machine
from wsekern.planning.candidates import Demand
from wsekern.planning.placement import MORE, place_model, search_for
from wsekern.workload import Request, load_config

WSE3 = load_machine("wse3")


@pytest.mark.parametrize(("model", "goal"), [("llama3.1-8b", "<= 1 s"), ("qwen3-235b-a22b", "<= 3 s")])
def test_search_for_a_placement(benchmark, model, goal):
    """Bound by the steps of a layer, listed in Python, and the clocks of its all-reduces."""
    service = Demand.of([(Request(1024, 256), 1.0)])

    def find():
        search = search_for(load_config(model), service, WSE3)
        fewest = search.fewest(256)
        return search, search.best(search.worth(fewest, MORE * fewest))

    search, placement = benchmark.pedantic(find, rounds=1)
    assert placement.fits()
    benchmark.extra_info.update(judged=search.judged, estimated=search.estimated, goal=goal,
                                tokens_per_second=1 / placement.token_seconds())


@pytest.mark.parametrize("model", ["llama3.1-8b", "qwen3-235b-a22b"])
def test_placements_judged(benchmark, model):
    """Room and time of regions of sizes that were not judged before; beside.py compares with other builds."""
    some = judging(model)
    some()  # the first make formulas
    count = benchmark.pedantic(some, rounds=10)
    if benchmark.stats:
        benchmark.extra_info.update(judged_per_second=count / benchmark.stats.stats.median, goal=">= 10,000 judged a second")


def test_the_next_request_on_a_placement(benchmark):
    """A sweep over requests that one placement serves."""
    placement = place_model(load_config("llama3.1-8b"), Request(4096, 256), WSE3, 1)
    lengths = iter(range(200, 4000, 150))
    seconds = benchmark.pedantic(lambda: placement.serving(Request(next(lengths), 128)).request_seconds(), rounds=10)
    assert seconds > 0
    benchmark.extra_info.update(goal="<= 0.02 s")
