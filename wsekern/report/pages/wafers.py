"""Pictures of a placement: the floor plan of each wafer, where a token's time goes, and a request's journey."""

from collections.abc import Sequence
from typing import Any

from wsekern.machine import Machine
from wsekern.machine.machine import sides_of
from wsekern.planning.binding import binding
from wsekern.planning.bound import bound
from wsekern.planning.journey import Journey, Visit
from wsekern.planning.layout import Placement
from wsekern.planning.regions import PlacedRegion
from wsekern.report.floor import HEADER, MOST_WAFERS, alike_wafers, filled_share, floor_rows, free_share, label
from wsekern.report.html import Lines, Mark, Part, Plot, Section, Span, Text, floor, lanes
from wsekern.report.nearby import nearby
from wsekern.report.words import amount, seconds
from wsekern.workload import ModelConfig

HEAD, LAYERS, PROMPT, TOKEN, LINKS = 1, 0, 2, 1, 3
"""Colors."""
FEW = 1500
"""Visits that are drawn one by one; chunks of more are drawn together in each region."""


def floor_section(placement: Placement) -> Section:
    """The floor plans of wafers that differ, what is on all of them, and what limits."""
    runs = alike_wafers(placement)[:MOST_WAFERS]
    parts: list[Part] = [_floor(placement, *run) for run in runs]
    return Section("Floor plan", [Lines(limits(placement)), *parts])


def assumed_section(machine: Machine, clock: float, profile: str | None = None) -> Section:
    """What times on one wafer stand on, with sources: the clock in Hz, routers, memory, and links as a profile has them."""
    fabric, sram = machine.fabric, machine.core.sram
    lines = [f"clock {clock / 1e9:.2f} GHz: {machine.clock.source if clock == float(machine.clock) else 'as asked for'}",
             f"{int(fabric.hop_latency)} cycles from router to router: {fabric.hop_latency.source}",
             f"{int(sram):,} B of memory in a PE: {sram.source}"]
    if profile is not None:
        frame = machine.profile(profile).link_frame
        words = int(machine.profile(profile).link_words)
        lines.append(f"{words} words in {int(frame)} cycles over a link (profile {profile}): {frame.source}")
    return Section("Assumed", [Lines(lines)])


def nearby_section(config: ModelConfig, machine: Machine, phase: str = "decode", grid: int | None = None,
                   others: Sequence[Part] = ()) -> Section:
    """What was measured nearby on wafers, behind the same of ``others``."""
    return Section("Measured nearby", [
        *others, Lines(nearby(config, machine.name, phase, grid), "Nearest on wafers"),
        Text("`wsekern validate --only wafer` sets all that is published beside predictions.")])


def limits(placement: Placement) -> list[str]:
    """What keeps a token from going faster, the bound of any placement, and the fullest PE, a sentence each."""
    mapping, machine = placement.mapping, placement.machine
    most = bound(placement.config, machine, placement.token_position, placement.profile, mapping.precision,
                 mapping.weight_precision, mapping.cache_precision)
    speed = 1.0 / Journey(placement).token_seconds
    fullest = max(filled_share(placement, region) for region in placement.rectangles)
    return [f"What limits: {binding(placement, most).sentence()}.",
            f"With {placement.token_position:,} tokens in the cache a lone user sees {amount(speed)} tokens/s; no placement "
            "of this model on such wafers passes "
            f"{amount(most.tokens_per_second)} ({100 * speed / most.tokens_per_second:.0f} % reached).",
            f"The fullest PE has {100 * fullest:.0f} % of its {int(machine.core.sram):,} B of SRAM in use."]


def _floor(placement: Placement, first: int, last: int) -> Plot:
    """The first of wafers that are alike."""
    width, height = sides_of(placement.machine)
    here = [region for region in placement.rectangles if region.wafer == first]
    name = f"Wafer {first + 1}" if first == last else f"Wafers {first + 1} to {last + 1}"
    free = 100 * free_share(placement, first)
    rows = [row for row in floor_rows(placement) if row[0] in (str(first + 1), f"{first + 1}-{last + 1}")]
    boxes = [_box(placement, region) for region in here]
    alike = f"; drawn is wafer {first + 1}, the others hold the layers that follow" if last > first else ""
    return floor(name, f"{len(here)} regions on {width} x {height} PEs, {free:.0f} % free{alike}.", width, height, boxes,
                 header=HEADER, rows=rows,
                 legend=[(LAYERS, "", "layers, filled as far as memory is in use"), (HEAD, "hatched", "embedding and LM head"),
                         (LAYERS, "light", "memory that is free"), (LAYERS, "frame", "free PEs: no fill")])


def _box(placement: Placement, region: PlacedRegion) -> tuple[float, float, float, float, Mark]:
    """A region, light as a whole and dark as far as its memory is in use."""
    filled, color = filled_share(placement, region), HEAD if region.kind == "head" else LAYERS
    what = "embedding and LM head" if region.kind == "head" else f"layers {label(region)}"
    words = (f"wafer {region.wafer + 1}, {what}: {region.width} x {region.height} PEs at ({region.x}, {region.y}), "
             f"{100 * filled:.0f} % of their memory in use")
    return (region.x, region.y, region.width, region.height,
            Mark(0, 0, 0, 0, words, color, label(region), "hatched" if region.kind == "head" else "", filled))


def time_section(journey: Journey, others: Sequence[Part] = ()) -> Section:
    """Where a token's time goes, operation by operation; ``others``: the same elsewhere."""
    return Section("Where a token's time goes", [operations_plot(journey), *others])


def operations_plot(journey: Journey) -> Plot:
    """A bar for each operation of one token, the longest first."""
    lone = journey.lone
    clock, found = float(lone.machine.clock), journey.operation_cycles()
    links = lone.crossing_seconds(1) * clock
    whole = sum(one.cycles for one in found) + links
    rows = [(one.part, one.name, one.cycles, one.link_traversals) for one in found]
    rows += [("links", "between wafers", links, 0.0)] if links else []
    spans = [Span(f"{part} {name}", 0.0, cycles, f"{part}, {name}: {cycles:,.0f} cycles, {100 * cycles / whole:.1f} % of a "
                  "token", PARTS.get(part, 7)) for part, name, cycles, _ in rows[:MOST_OPERATIONS]]
    rest = whole - sum(span.length for span in spans)
    if rest > 0.5:
        spans.append(Span("all others", 0.0, rest, f"all others: {rest:,.0f} cycles, {100 * rest / whole:.1f} % of a token", 7))
    legend = [(color, "", part) for part, color in PARTS.items() if any(row[0] == part for row in rows)]
    return lanes("On the wafers, operation by operation",
                 f"One token of a lone user takes {whole:,.0f} cycles, {seconds(whole / clock)}, from end to end; the same "
                 "operation of all layers counts together.", spans, "cycles", legend=legend,
                 header=("part", "operation", "cycles", "share", "time", "words over links"),
                 rows=[(part, name, f"{cycles:,.0f}", f"{100 * cycles / whole:.1f} %", seconds(cycles / clock),
                        f"{crossed:,.0f}" if crossed else "-") for part, name, cycles, crossed in rows])

PARTS = {"attention": 0, "ffn": 2, "head": 1, "embedding": 4, "handover": 5, "links": 3}
"""Colors of parts of a model."""
MOST_OPERATIONS = 24
"""Operations that have a bar of their own; the table has all."""


def journey_section(journey: Journey, others: Sequence[Part] = ()) -> Section:
    """A lone user's prompt and first tokens through regions and wafers; ``others``: the same elsewhere."""
    return Section("A token's journey", [journey_plot(journey), *_token_plot(journey), *others])


def _token_plot(journey: Journey) -> list[Plot]:
    """One token of the answer alone, where one is followed."""
    names, begin = [stop.name for stop in journey.stops], journey.first_token_seconds
    spans = [Span(names[visit.stop], 1e6 * (visit.start - begin), 1e6 * visit.seconds, _stay(visit, names, begin),
                  LINKS if visit.crossing else TOKEN)
             for visit in journey.visits(first=journey.chunks) if visit.passed.first == 1]
    if not spans:
        return []
    return [lanes("One token", f"The second token of the answer, from region to region, in {seconds(journey.token_seconds)}.",
                  spans, "microseconds since the first token", lane=_lane(journey),
                  legend=[(TOKEN, "", "token"), (LINKS, "", "links between wafers")] if any(
                      span.color == LINKS for span in spans) else (),
                  header=("what", "begins", "takes"),
                  rows=[(span.label.split(":")[0], seconds(1e-6 * span.start), seconds(1e-6 * span.length)) for span in spans])]


def _lane(journey: Journey) -> int:
    """Height of a lane that lets all regions stand on a screen."""
    return max(11, min(22, 700 // len(journey.stops)))


def _stay(visit: Visit, names: Sequence[str], begin: float = 0.0) -> str:
    """A visit in words; ``begin``: from when on time counts."""
    what = "links behind " if visit.crossing else ""
    return (f"{visit.passed.name} in {what}{names[visit.stop]}: {seconds(visit.seconds)} from "
            f"{seconds(visit.start - begin)} on")


def journey_plot(journey: Journey) -> Plot:
    """A lane for each region, chunks of the prompt and tokens as they pass."""
    first, token = journey.first_token_seconds, journey.token_seconds
    chunk = journey.passes[0].tokens
    return lanes("Through regions and wafers",
                 f"The prompt of a lone user comes in {journey.chunks:,} chunk{'s' if journey.chunks > 1 else ''} of up to "
                 f"{chunk} tokens and is read after {seconds(first)}, when the first token is there; each further one takes "
                 f"{seconds(token)}.", _spans(journey), "milliseconds since the prompt came", lane=_lane(journey),
                 legend=[(PROMPT, "", "prompt"), (TOKEN, "", "tokens of the answer"),
                         *([(LINKS, "", "links between wafers")] if journey.lone.wafers > 1 else [])],
                 header=("region", "first chunk comes", "prompt has passed", "a token stays"), rows=_stop_rows(journey))


def _spans(journey: Journey) -> list[Span]:
    """Visits one by one, or where they are many a prompt's visits of a region as one."""
    many = len(journey.passes) * len(journey.stops) > FEW
    spans = [] if not many else [_whole_prompt(journey, stop) for stop in range(len(journey.stops) - 1)]
    names = [stop.name for stop in journey.stops]
    for visit in journey.visits(first=max(0, journey.chunks - 1) if many else 0):
        if many and visit.passed.prompt and not visit.crossing and visit.stop < len(names) - 1:
            continue
        color = LINKS if visit.crossing else PROMPT if visit.passed.prompt else TOKEN
        spans.append(Span(names[visit.stop], 1e3 * visit.start, 1e3 * visit.seconds, _stay(visit, names), color))
    return spans


def _whole_prompt(journey: Journey, stop: int) -> Span:
    starts, stays, chunks = journey.starts[:journey.chunks, stop], journey.stays[:journey.chunks, stop], journey.chunks
    begin, end = float(starts[0]), float(starts[-1] + stays[-1])
    name = journey.stops[stop].name
    return Span(name, 1e3 * begin, 1e3 * (end - begin), f"the {chunks:,} chunks of the prompt in {name}: "
                f"{seconds(end - begin)} from {seconds(begin)} on, {seconds(float(stays[0]))} each", PROMPT)


def _stop_rows(journey: Journey) -> list[tuple[str, ...]]:
    last, chunks, rows = len(journey.stops) - 1, journey.chunks, []
    for number, stop in enumerate(journey.stops):
        shape: Any = stop.shape
        stay = journey.lone.head_seconds if shape is None else journey.lone.own_seconds[shape]
        first = float(journey.starts[0 if number < last else chunks - 1, number])
        gone = float(journey.starts[chunks - 1, number])
        gone += float(journey.stays[chunks - 1, number]) if number < last else stay
        rows.append((stop.name, seconds(first), seconds(gone), seconds(stay)))
    return rows
