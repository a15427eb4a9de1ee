"""Placements judged per second on one thread, beside the rate of timing each on the flow engine as the rule before did.

Judged are all sizes of regions that are rejected at once, by bytes or because no room is left, and those that are estimated.
"""

import time
from dataclasses import fields, replace

import pytest

from wsekern.machine import load_machine
from wsekern.planning.candidates import Demand
from wsekern.planning.estimate import QuickPlacement
from wsekern.planning.layout import Placement
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
    seconds = benchmark.stats.stats.total if benchmark.stats else 1.0
    assert placement.fits()
    benchmark.extra_info.update(judged=search.judged, estimated=search.estimated, judged_per_second=search.judged / seconds,
                                flow_engine_per_second=1 / _seconds_on_the_flow_engine(placement),
                                estimates_per_second=1 / _seconds_of_an_estimate(placement),
                                tokens_per_second=1 / placement.token_seconds(), goal=f"{goal}, >= 10,000 judged a second")


def test_the_next_request_on_a_placement(benchmark):
    """A sweep over requests that one placement serves."""
    placement = place_model(load_config("llama3.1-8b"), Request(4096, 256), WSE3, 1)
    lengths = iter(range(200, 4000, 150))
    seconds = benchmark.pedantic(lambda: placement.serving(Request(next(lengths), 128)).request_seconds(), rounds=10)
    assert seconds > 0
    benchmark.extra_info.update(goal="<= 0.02 s")


def _seconds_on_the_flow_engine(placement: Placement) -> float:
    return _seconds_each([placement], placement)


def _seconds_of_an_estimate(placement: Placement) -> float:
    return _seconds_each([QuickPlacement(**{one.name: getattr(placement, one.name) for one in fields(placement)})], placement)


def _seconds_each(found: list[Placement], placement: Placement, count: int = 10) -> float:
    """Of so many placements with other widths, none of which was timed before."""
    begin = time.perf_counter()
    for less in range(1, count + 1):
        shapes = tuple(replace(shape, width=shape.width - less) for shape in placement.shapes)
        replace(found[0], shapes=shapes).request_seconds()
    return (time.perf_counter() - begin) / count
