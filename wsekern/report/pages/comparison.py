"""The page of a comparison of one request."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import RenderableType

from wsekern.compare import SHARES, Comparison, Side
from wsekern.planning.journey import Journey
from wsekern.report.comparison import figures_table
from wsekern.report.html import Lines, Page, Part, Plot, Section, bars, parts_of
from wsekern.report.pages.gpus import decode_kernels, kernels_plot, steps_plot
from wsekern.report.pages.speed import speed_section
from wsekern.report.pages.wafers import floor_section, journey_section, nearby_section, time_section
from wsekern.report.sides import assumed

COLORS = dict(zip(SHARES, (2, 6, 3, 5), strict=True))


def comparison_page(comparison: Comparison, data: Mapping[str, Any], before: Sequence[RenderableType] = ()) -> Page:
    """What was compared, the answer, the figures, and why; ``before``: what the terminal shows ahead of it."""
    request = comparison.request
    users = f"{request.batch:,} user{'s' if request.batch > 1 else ''}"
    title = f"{comparison.model}: {request.prompt:,} tokens in, {request.output:,} out, {users}"
    sections = [Section("Executed with every value", [part for view in before for part in parts_of(view)])] if before else []
    sections += [_figures(comparison), *_inside(comparison)]
    if comparison.served():
        sections.append(speed_section(comparison))
    return Page(title, _answer(comparison), [*sections, *_ground(comparison)], data)


def _answer(comparison: Comparison) -> str:
    """The first verdict, and that per dollar."""
    reasons = comparison.reasons()
    spent = [line for line in reasons[1:] if "per dollar" in line][:1]
    empty = [f"{comparison.titles()[name]} cannot: {why}" for name, why in comparison.not_served.items()][:1]
    return "; ".join([*reasons[:1], *spent, *empty]) + "."


def _figures(comparison: Comparison) -> Section:
    """Wafers beside clusters: every figure, the reasons, and what a token's time goes to."""
    titles = comparison.titles()
    empty = [f"{titles[name]} cannot: {why}" for name, why in comparison.not_served.items()]
    return Section("Wafers beside GPUs", [*parts_of(figures_table(comparison)), Lines([*comparison.reasons(), *empty]),
                                          _shares({side.name: side for side in comparison.served()})])


def _shares(sides: Mapping[str, Side]) -> Plot:
    """Of a token's time."""
    parts = {name: [(share, 100.0 * side.shares[share], COLORS[share]) for share in SHARES] for name, side in sides.items()}
    rows = [(name, *(f"{100 * side.shares[share]:.0f} %" for share in SHARES)) for name, side in sides.items()]
    return bars("Why: shares of a token's time", "Under this load, the prompts of others included.", parts,
                "percent of the time per output token", "%", header=("system", *SHARES), rows=rows)


def _inside(comparison: Comparison) -> list[Section]:
    """Where the model lies, what a token's time goes to, and its way, on each side that serves."""
    kernels, steps = _kernels(comparison), _steps(comparison)
    if comparison.wafer is None:
        return [Section("Where a token's time goes", kernels), Section("A token's journey", steps)]
    placement = comparison.pairings[0].placement(comparison.request)
    journey = Journey(placement)
    return [floor_section(placement), time_section(journey, kernels), journey_section(journey, steps)]


def _steps(comparison: Comparison) -> list[Part]:
    """A lone user's request as steps of each cluster."""
    lone = replace(comparison.request, batch=1)
    return [steps_plot(one.name, pairing.deployed(comparison.request).deployment, lone, min(4, lone.output))
            for one, pairing in zip(comparison.clusters, comparison.pairings, strict=True) if one.cluster and lone.output > 1]


def _kernels(comparison: Comparison) -> list[Part]:
    """Kernel by kernel on each cluster."""
    parts: list[Part] = []
    for one, pairing in zip(comparison.clusters, comparison.pairings, strict=True):
        if one.cluster is not None:
            deployment = pairing.deployed(comparison.request).deployment
            parts.append(kernels_plot(f"On {one.cluster.name}, kernel by kernel", "A step that gives a lone user one token",
                                      decode_kernels(deployment, comparison.request)))
    return parts


def _ground(comparison: Comparison) -> list[Section]:
    """What is assumed, with its sources, and what was measured nearby."""
    pair = {side.name: side for side in comparison.chosen().values() if side is not None}
    parts: list[Part] = []
    for one in comparison.clusters:
        near = one.cluster.facts.get("nearest", []) if one.cluster else []
        if one.cluster and near:
            parts.append(Lines([f"{point['what']}: the model is {100 * point['error']:+.0f} % off ({point['source']})"
                                for point in near],
                               f"Nearest to {one.cluster.name} (confidence {one.cluster.facts['confidence']})"))
    first = comparison.pairings[0]
    taken = assumed(pair).plain.split("\n- ")[1:]
    return [Section("Assumed", [Lines(taken)]), nearby_section(first.config, first.machine, others=parts)]
