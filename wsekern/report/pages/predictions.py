"""The pages of ``wsekern predict``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from wsekern.cluster.choose import Point
from wsekern.cluster.kernel_list import Kernel
from wsekern.machine import Machine
from wsekern.planning.journey import Journey
from wsekern.planning.layout import Placement
from wsekern.report.html import Page, Plot, Section, Series, bars, curves, parts_of
from wsekern.report.pages.gpus import kernels_plot
from wsekern.report.pages.plain import facts_page, facts_sections
from wsekern.report.pages.wafers import assumed_section, floor_section, journey_section, nearby_section, time_section
from wsekern.report.systems import points_table
from wsekern.report.words import amount, seconds
from wsekern.workload import ModelConfig

CAUSES = {"compute": 2, "fabric": 3, "stages": 0, "stream": 6, "overhead": 5}
"""Colors of what cycles go to."""


def wafer_page(prediction: Mapping[str, Any], config: ModelConfig, placement: Placement | None, machine: Machine) -> Page:
    """A phase of a model on one grid, or on the regions of a plan, of a machine."""
    context, phase = prediction["context"], prediction["phase"]
    title = f"{prediction['model']}, {phase} with {context:,} tokens on {prediction['machine']}"
    answer = (f"{prediction['cycles']:,.0f} cycles, {seconds(prediction['seconds'])} at {prediction['clock_hertz'] / 1e9:.2f} "
              f"GHz: {amount(prediction['tokens_per_second'])} tokens/s.")
    whole = sum(prediction["breakdown"].values()) or 1.0
    kinds = [(cause, 100.0 * value / whole, CAUSES.get(cause, 7)) for cause, value in prediction["breakdown"].items()]
    pictures = [Section("Where the cycles go", [
        bars("By cause", "Along the PE that is done last.", {phase: kinds}, "percent of the cycles", "%",
             header=("cause", "cycles"), rows=[(cause, f"{value:,.0f}") for cause, value in prediction["breakdown"].items()]),
        *_parts(prediction.get("parts") or {})])]
    if placement is not None:
        journey = Journey(placement)
        pictures += [floor_section(placement), time_section(journey), journey_section(journey)]
    assumed = assumed_section(machine, prediction["clock_hertz"], prediction["profile"])
    side = int(prediction["grid"].split("x")[0]) if placement is None else None
    return facts_page(title, answer, prediction, [*pictures, assumed, nearby_section(config, machine, phase, side)])


def _parts(parts: Mapping[str, float]) -> list[Plot]:
    """Of one layer."""
    if not parts:
        return []
    shown = {name: [(name, float(cycles), 0)] for name, cycles in parts.items()}
    return [bars("By part of a layer", "Cycles of one layer, in the order of the parts.", shown, "cycles", "cycles",
                 legend=(), header=("part", "cycles"), rows=[(name, f"{cycles:,.0f}") for name, cycles in parts.items()])]


def gpu_page(model: str, system: str, prediction: Mapping[str, Any], kernels: Sequence[Kernel]) -> Page:
    """One step on GPUs, kernel by kernel."""
    phase = prediction["phase"]
    answer = (f"A {phase} step takes {seconds(prediction['seconds'])}: {amount(prediction['tokens_per_second'])} tokens/s, "
              f"{amount(prediction['joules_per_token'])} J and {amount(prediction['usd_per_million_tokens'])} USD per million "
              f"tokens; confidence {prediction['confidence']}.")
    return facts_page(f"{model}, {phase} on {system}", answer, prediction,
                      [Section("Where the time goes", [kernels_plot("Kernel by kernel", "The step", kernels)])])


def choice_page(model: str, objective: str, best: Mapping[str, Any], fronts: Mapping[str, Sequence[Point]],
                most_token_seconds: float, data: Mapping[str, Any]) -> Page:
    """The best cluster inside bounds, and the fronts of all; ``most_token_seconds`` an output token (infinite: no bound) become
    a line."""
    answer = (f"{best['cluster']} is best for {objective}: {amount(best['tokens_per_second_per_user'])} tokens/s for each of "
              f"{best['batch']:,} user{'s' if best['batch'] > 1 else ''}, {amount(best['usd_per_million_tokens'])} USD per "
              "million tokens.")
    series = [Series(name, [(point.tokens_per_second_per_user, point.tokens_per_second_per_gpu, _point(name, point))
                            for point in front], number) for number, (name, front) in enumerate(fronts.items()) if front]
    bounded = isfinite(most_token_seconds)
    guides = [("x", 1.0 / most_token_seconds, f"{1e3 * most_token_seconds:g} ms a token")] if bounded else []
    plot = curves("Pareto fronts", "Up and to the right is better.", series, "tokens/s for each user", "tokens/s for each GPU",
                  guides=guides)
    return Page(f"{model}: the best cluster", answer, [
        Section("Fronts", [plot, *parts_of(points_table(fronts))]), *facts_sections("The choice", best)], data)


def _point(name: str, point: Point) -> str:
    layout = " ".join(f"{key}{degree}" for key, degree in asdict(point.layout).items() if degree > 1) or "1 GPU"
    return (f"{name}, {layout}, {point.batch:,} users: {amount(point.tokens_per_second_per_user)} tokens/s for each user, "
            f"{amount(point.tokens_per_second_per_gpu)} for each GPU")
