"""The timeline of a run: a track for the whole grid, with passes, layers and operations, and one for each PE of a few."""

from collections.abc import Iterator
from itertools import pairwise

from wsekern.compare import Execution
from wsekern.inference.run_log import LoggedPass, RunLog
from wsekern.report.timeline import PES, Event, counter, process, slice_of

MOST_OPERATIONS = 60_000
"""Operations that are written one by one; behind them layers alone."""
MOST_OF_PES = 4_000
"""Operations that are also written for each PE."""


def run_events(execution: Execution) -> Iterator[Event]:
    """What :func:`wsekern.inference.execute` logged."""
    log, clock = execution.log, float(execution.machine.clock)
    if log is None:
        raise ValueError("the run was not logged")
    names = {1: "whole grid, until the last PE is done",
             **{number: f"PE ({x}, {y})" for number, (x, y) in enumerate(log.pes, 2)}}
    yield from process(PES, f"{execution.mapping.width} x {execution.mapping.height} PEs of {execution.machine.title}", names)
    ends = [0.0, *(clocks[0] / clock for clocks in log.clocks)]  # of each operation, the one before first
    for number, (one, after) in enumerate(pairwise([*log.passes, LoggedPass(0, 0, len(log.names))])):
        begin, end = one.operation, after.operation
        what = f"tokens {one.first + 1}-{one.first + one.tokens}" if one.tokens > 1 else f"token {one.first + 1}"
        yield slice_of(what, "pass", ends[begin], ends[end] - ends[begin], PES, 1, tokens=one.tokens, number=number + 1)
        for layer, (first, last) in enumerate(pairwise(one.layers), 1):
            yield slice_of(f"layer {layer}", "layer", ends[first], ends[last] - ends[first], PES, 1)
    yield from _operations(log, clock, ends)


def _operations(log: RunLog, clock: float, ends: list[float]) -> Iterator[Event]:
    """The operations, and how many words a cycle all links carry in each."""
    changes: list[tuple[float, float]] = []
    before = (0,) * (1 + len(log.pes))
    for number, ((part, name), clocks, crossed) in enumerate(zip(log.names, log.clocks, log.traversals, strict=True)):
        begin, seconds = ends[number], ends[number + 1] - ends[number]
        if number < MOST_OPERATIONS and seconds > 0.0:
            yield slice_of(f"{part}: {name}", "operation", begin, seconds, PES, 1, cycles=clocks[0] - before[0],
                           link_traversals=crossed)
        if number < MOST_OF_PES:
            for track, (first, last) in enumerate(zip(before[1:], clocks[1:], strict=True), 2):
                if last > first:
                    yield slice_of(f"{part}: {name}", "operation", first / clock, (last - first) / clock, PES, track,
                                   cycles=last - first)
        if crossed and clocks[0] > before[0]:
            rate = crossed / (clocks[0] - before[0])
            changes += [(begin, rate), (begin + seconds, -rate)]
        before = clocks
    yield from counter("words over links in a cycle", PES, changes)
