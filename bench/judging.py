"""Placements judged a second, room and time of each, for any build back to commit 9a58329."""

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice, product
from typing import Any

Judge = Callable[[int, int], Any]
"""What regions of so many columns and rows are worth; None without room."""


def judge_of(model: str, prompt: int = 1024, output: int = 256) -> tuple[Judge, tuple[int, int], int]:
    """That of one user's request, the sides of the best regions, and how many are judged in about a tenth of a second."""
    from wsekern.machine import load_machine
    try:
        from wsekern.workload import Request, load_config
        config, request, machine = load_config(model), Request(prompt, output), load_machine("wse3")
        from wsekern.planning.candidates import Demand
        from wsekern.planning.placement import search_for
    except ImportError:                                                 # commit 9a58329 timed each on the flow engine
        from wsekern.inference.placement import place_model

        from wsekern.workload.config import load_config
        from wsekern.workload.request import Request
        machine = load_machine("wse3")
        place = place_model(load_config(model), Request(prompt, output), machine)

        def slow(width: int, height: int) -> Any:
            one = replace(place, width=width, height=height)
            return one.request_seconds() if one.mapping.fits(machine) else None

        return slow, (place.width, place.height), 20
    search = search_for(config, Demand.of([(request, 1.0)]), machine)
    best = search.candidates(search.fewest(256))[0]
    other = getattr(best, "_replace", None) or partial(replace, best)  # candidates were data classes

    def quick(width: int, height: int) -> Any:
        one = other(width=width, height=height)
        room = search.judge.room(one, 8)
        return None if room is None else search.judge.seconds(one, room, search.needed(one))

    return quick, (best.width, best.height), 1000


def judging(model: str) -> Callable[[], int]:
    """Judges some sizes of regions, from half as long as the best one's sides to twice, that were not judged before; gives how
    many."""
    judge, (width, height), count = judge_of(model)
    sizes = list(product(range(width // 2, 2 * width), range(height // 2, 2 * height)))
    random.Random(0).shuffle(sizes)
    left = iter(sizes)

    def some() -> int:
        for size in islice(left, count):
            judge(*size)
        return count

    return some
