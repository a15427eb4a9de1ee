"""Timelines as Chrome / Perfetto JSON: a request of a lone user on wafers and on GPUs, and a run; open in ui.perfetto.dev.

A microsecond on screen is a microsecond. Wafers have a track a region, on which chunks of the prompt and tokens lie, under the
tokens of the answer that are followed their layers and operations; crossings between wafers are tracks of their own; a counter
says how many words a cycle all links of a wafer carry. GPUs have their steps, kernel by kernel, and a counter of what each
sends over its links. All stand in one file, on one clock that starts when the prompt comes.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count, pairwise
from typing import Any

from wsekern.cluster.kernel_list import Kernel
from wsekern.cluster.layout import Deployment
from wsekern.compare import Comparison
from wsekern.fabric.trace import write_events
from wsekern.planning.journey import Journey, Visit
from wsekern.report.pages.gpus import decode_kernels, prompt_kernels
from wsekern.workload.request import Request

Event = dict[str, Any]
MICRO = 1e6
DIGITS = 3
"""Nanoseconds: changes of a counter that are closer come together."""
ANSWER = 4
"""Tokens of the answer that are followed."""
LINKS, GPUS, PES = 900, 1000, 2000
"""Numbers of processes: wafers have theirs from 1 on."""
MOST_VISITS = 20_000
"""Visits of a prompt that are written one by one; of more, every so many chunks."""


def write_timeline(path: str | os.PathLike[str], events: Iterable[Event]) -> None:
    """Write ``events``, names before all, then by time, and a slice before those that lie in it."""
    write_events(sorted(events, key=lambda event: (event.get("ts", -1.0), -event.get("dur", 0.0))), path)


def process(pid: int, name: str, tracks: dict[int, str]) -> Iterator[Event]:
    """Names and order of a process and of its tracks."""
    for kind, tid, text, order in (("process", 0, name, pid), *(("thread", tid, text, tid) for tid, text in tracks.items())):
        yield {"ph": "M", "name": f"{kind}_name", "pid": pid, "tid": tid, "args": {"name": text}}
        yield {"ph": "M", "name": f"{kind}_sort_index", "pid": pid, "tid": tid, "args": {"sort_index": order}}


def slice_of(name: str, category: str, start: float, seconds: float, pid: int, tid: int, **more: Any) -> Event:
    """A slice; ``more`` stands beside its name."""
    return {"ph": "X", "name": name, "cat": category, "ts": MICRO * start, "dur": MICRO * seconds, "pid": pid, "tid": tid,
            **({"args": more} if more else {})}


def counter(name: str, pid: int, changes: Iterable[tuple[float, float]]) -> Iterator[Event]:
    """A value over time, from (time, what it grows by)."""
    sums: dict[float, float] = {}
    for when, by in changes:
        moment = round(MICRO * when, DIGITS)
        sums[moment] = sums.get(moment, 0.0) + by
    value = 0.0
    for moment in sorted(sums):
        value += sums[moment]
        yield {"ph": "C", "name": name, "pid": pid, "tid": 0, "ts": moment, "args": {"value": max(0.0, round(value, 6))}}


def journey_events(journey: Journey) -> Iterator[Event]:
    """A lone user's request on wafers."""
    stops, step = journey.stops, -(-len(journey.passes) * len(journey.stops) // MOST_VISITS)
    wafers = sorted({stop.wafer for stop in stops})
    for wafer in wafers:
        tracks = {number + 1: stop.name.split(": ")[1] for number, stop in enumerate(stops) if stop.wafer == wafer}
        yield from process(wafer + 1, f"wafer {wafer + 1}", tracks)
    if len(wafers) > 1:
        yield from process(LINKS, "links between wafers", {})
    loads: dict[int, list[tuple[float, float]]] = {wafer: [] for wafer in wafers}
    numbers, rate = count(1), _words_a_second(journey)
    for visit in journey.visits():
        words = rate(visit) if not visit.crossing else 0.0
        loads[stops[visit.stop].wafer] += [(visit.start, words), (visit.start + visit.seconds, -words)] if words else []
        if not visit.passed.prompt or visit.passed.first // journey.passes[0].tokens % step == 0:
            yield from _visit(journey, visit, next(numbers))
    for wafer in wafers:
        yield from counter("words over links in a cycle", wafer + 1, loads[wafer])


def _words_a_second(journey: Journey) -> Callable[[Visit], float]:
    """Words that a visit sends over all links, in a cycle of its time."""
    clock, known = float(journey.lone.machine.clock), dict[tuple[int | None, int, int], float]()

    def rate(visit: Visit) -> float:
        stop, tokens = journey.stops[visit.stop], visit.passed.tokens
        key = stop.shape, stop.layers, tokens
        if key not in known:
            known[key] = sum(one.link_traversals for _, found in journey.operations(stop, tokens) for one in found)
        return known[key] / (visit.seconds * clock)

    return rate


def _visit(journey: Journey, visit: Visit, number: int) -> Iterator[Event]:
    """A slice, or of a crossing a pair of its own track; tokens of the answer with what they do."""
    stop = journey.stops[visit.stop]
    if visit.crossing:
        pair = {"name": visit.passed.name, "cat": "crossing", "pid": LINKS, "tid": 0, "id": number}
        yield {"ph": "b", "ts": MICRO * visit.start, **pair, "args": {"behind": stop.name}}
        yield {"ph": "e", "ts": MICRO * (visit.start + visit.seconds), **pair}
        return
    place = stop.wafer + 1, visit.stop + 1
    kind = "prompt" if visit.passed.prompt else "token"
    yield slice_of(visit.passed.name, kind, visit.start, visit.seconds, *place, tokens=visit.passed.tokens)
    if not visit.passed.prompt:
        yield from _inside(journey, visit, place)


def _inside(journey: Journey, visit: Visit, place: tuple[int, int]) -> Iterator[Event]:
    """Layers and operations of a token's stay."""
    listed = journey.operations(journey.stops[visit.stop])
    whole = sum(one.cycles for _, operations in listed for one in operations)
    scale, now = visit.seconds / whole, visit.start  # a mean where layers differ
    for layer, operations in listed:
        length = scale * sum(one.cycles for one in operations)
        if layer >= 0:
            yield slice_of(f"layer {layer + 1}", "layer", now, length, *place)
        for one in operations:
            if one.cycles:
                yield slice_of(f"{one.part}: {one.name}", "operation", now, scale * one.cycles, *place, cycles=one.cycles,
                               link_traversals=one.link_traversals)
            now += scale * one.cycles


def cluster_events(name: str, deployment: Deployment, request: Request, answer: int, number: int = 0) -> Iterator[Event]:
    """The same request as steps of a cluster, kernel by kernel. Kernels that some layers have are spread over
    all; where some run beside others, all are drawn as much shorter."""
    pid, layers = GPUS + number, deployment.model.layers
    yield from process(pid, name, {1: "steps", 2: "kernels"})
    steps = [("prompt", prompt_kernels(deployment, request))]
    steps += [(f"token {token + 1}", decode_kernels(deployment, request)) for token in range(1, min(answer, request.output))]
    now, sent = 0.0, list[tuple[float, float]]()
    for what, kernels in steps:
        begin, hidden = now, sum(kernel.seconds for kernel in kernels if kernel.seconds < 0.0)
        shown = 1.0 + hidden / sum(kernel.seconds for kernel in kernels if kernel.seconds > 0.0)
        for kernel, launches in in_layers(kernels, layers):
            length = shown * kernel.seconds * launches / kernel.count
            if length <= 0.0:
                continue
            yield slice_of(kernel.name, kernel.block, now, length, pid, 2, launches=launches, cause=kernel.cause)
            if kernel.message:
                rate = kernel.message / kernel.seconds / 1e9
                sent += [(now, rate), (now + length, -rate)]
            now += length
        yield slice_of(what, "pass", begin, now - begin, pid, 1)
    yield from counter("GB/s that each GPU brings to collectives", pid, sent)


def in_layers(kernels: Sequence[Kernel], layers: int) -> Iterator[tuple[Kernel, float]]:
    """Kernels of a step as they follow each other, each with its launches there: layer by layer, then the ends."""
    inner = [kernel for kernel in kernels if kernel.block in ("mixer", "feed-forward", "other weights")]
    mixer = [kernel for kernel in inner if kernel.block == "mixer"]
    looks = [kernel for kernel in mixer if kernel.cause == "kv"]
    others = [kernel for kernel in mixer if kernel.cause != "kv"]
    ordered = [*others[:1], *looks, *others[1:], *(kernel for kernel in inner if kernel.block != "mixer")]
    for before, after in pairwise(range(layers + 1)):
        for kernel in ordered:
            launches = kernel.count * after // layers - kernel.count * before // layers
            if launches:
                yield kernel, launches
    yield from ((kernel, kernel.count) for kernel in kernels if kernel not in inner)


def comparison_events(comparison: Comparison, answer: int = ANSWER) -> Iterator[Event]:
    """A lone user's request on every side of ``comparison`` that serves."""
    pairings, lone = comparison.pairings, replace(comparison.request, batch=1)
    if comparison.wafer is not None:
        yield from journey_events(Journey(pairings[0].placement(comparison.request), answer))
    for number, (one, pairing) in enumerate(zip(comparison.clusters, pairings, strict=True)):
        if one.cluster is not None:
            yield from cluster_events(one.cluster.name, pairing.deployed(comparison.request).deployment, lone, answer, number)


def prediction_events(prediction: Mapping[str, Any]) -> Iterator[Event]:
    """One layer of a prediction on a grid, part by part, and the head."""
    clock = prediction["clock_hertz"]
    parts = {**{f"a layer: {name}": cycles for name, cycles in prediction["parts"].items()}, "head": prediction["head_cycles"]}
    yield from process(PES, f"{prediction['grid']} PEs of {prediction['machine']}", {1: prediction["phase"]})
    now = 0.0
    for name, cycles in parts.items():
        yield slice_of(name, "part", now, cycles / clock, PES, 1, cycles=cycles)
        now += cycles / clock
