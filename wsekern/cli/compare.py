"""``wsekern compare``: one request, a sweep of requests, or a whole datacentre, on wafers and on other machines."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from wsekern.cli.load import Answer, load_of, load_options, serve_load, stated_by_user
from wsekern.cli.options import (
    CACHE_PRECISION,
    COUNT,
    HTML,
    JSON,
    PROFILE,
    THREADS,
    TIMELINE,
    WEIGHT_PRECISION,
    Command,
    Number,
    cluster_option,
    emit,
    open_console,
    parse_numbers,
    parse_wafers,
    plot_option,
    write_page,
)
from wsekern.cli.placing import EXPERT_LAW, PLAN, PROGRAM_SET, choices_of, read_plan
from wsekern.cli.serving import serving_of, serving_options
from wsekern.errors import InputError
from wsekern.output import ProgressBar

if TYPE_CHECKING:
    from wsekern.compare import Serving
    from wsekern.machine import Machine
    from wsekern.report.html import Page


@click.command(cls=Command)
@click.argument("model", required=False)
@click.option("--wafer", default="wse3", show_default=True, help="wse1, wse2, wse3, or a TOML file.")
@click.option("--wafers", default="auto", show_default=True,
              help="How many wafers; auto takes as many as give a request the fewest wafer-seconds.")
@cluster_option("Machines beside the wafers: names with a count, such as h100x8, or TOML files; auto, alone, takes the usual "
                "one that answers soonest.", ("h100x8",))
@click.option("--prompt", default=1024, show_default=True, type=COUNT, help="Tokens in.")
@click.option("--output", default=256, show_default=True, type=COUNT, help="Tokens out.")
@click.option("--batch", default=1, show_default=True, type=COUNT,
              help="Users at once; with --power on each system, by default those with most tokens/s.")
@click.option("--precision", default="fp16", show_default=True,
              help="Values on the wafers: fp32, fp16, fp16_fp32, bf16; of the GPUs, see --gpu-precision.")
@WEIGHT_PRECISION
@CACHE_PRECISION
@PROGRAM_SET
@EXPERT_LAW
@PLAN
@PROFILE
@click.option("--engine-level", default="stock", show_default=True, help="Software of the GPUs: stock, tuned, ideal, ...")
@click.option("--batches", metavar="N,N,...", help="Sweep over users at once.")
@click.option("--prompts", metavar="N,N,...", help="Sweep over prompt lengths.")
@click.option("--equal", type=click.Choice(["power", "cost"]),
              help="As many systems of the smaller side as the larger one's power, or price per hour, pays for.")
@click.option("--power", metavar="750MW", help="Fill this much power at the meter with systems of either side.")
@click.option("--min-speed", default=0.0, type=Number(), metavar="TOK/S",
              help="With --power: the least tokens/s for each user.")
@load_options
@serving_options
@click.option("--threads", default=1, show_default=True, type=THREADS, help="Threads of the simulation.")
@JSON
@HTML
@TIMELINE
@plot_option("Draw the comparison")
def compare(model: str | None, wafer: str, wafers: str, batches: str | None, prompts: str | None, equal: str | None,
            power: str | None, min_speed: float, plan_path: str | None, json_path: str | None, html_path: str | None,
            timeline_path: str | None, plot_path: str | None, **request: Any) -> None:
    """Set wafers beside one cluster or several. Without MODEL: execute the bundled sample on the simulated wafer, as proof, and
    compare Llama-3.1-8B.

    MODEL is a folder or file with a Hugging Face config.json, or a bundled name (see `wsekern machines`). --batches, --prompts
    and --equal compare many requests and say from how many users on which side is the better choice; --power asks for a
    whole datacentre; --rate and --trace run every request of a real load through all sides.
    """
    load = load_of(request)
    _check_lists(batches, prompts)
    sweeps = any(option is not None for option in (batches, prompts, equal))
    model = _place(model, plan_path, wafer, wafers, request)
    if power is None and min_speed:
        raise InputError("min-speed goes with --power")
    if model is None and (power is not None or sweeps):
        raise InputError("a sweep and a datacentre want a MODEL such as llama3-8b")
    if timeline_path and (sweeps or load is not None or power is not None):
        raise InputError("--timeline follows one request: it goes with neither --batches, --prompts, --equal, --power, --rate "
                         "nor --trace")
    if load is not None:
        if model is None or sweeps or power is not None:
            raise InputError("--rate and --trace want a MODEL such as llama3-8b, and go with neither --batches, --prompts, "
                             "--equal nor --power")
        answer = serve_load(model, load, plot_path, **request)
    elif power is not None:
        if sweeps or plot_path:
            raise InputError("--power goes with neither --batches, --prompts, --equal nor --plot")
        answer = _datacentre(model, power, min_speed, **request)
    elif sweeps:
        answer = _sweep(model, batches, prompts, equal, plot_path, json_path, **request)
    else:
        answer = _one_request(model, plot_path, timeline_path, **request)
    write_page(html_path, answer.page)
    emit(json_path, answer.data)
    if json_path != "-":
        for view in answer.views:
            open_console().print(view)


def _place(model: str | None, plan_path: str | None, wafer: str, wafers: str, request: dict[str, Any]) -> str | None:
    """The model; what says where it lies joins ``request``."""
    from wsekern.compare.serving import WaferChoices
    from wsekern.machine import load_machine
    from wsekern.planning.plan_file import location

    choices, serving = choices_of(request), serving_of(request)
    if plan_path is None:
        request |= {"machine": load_machine(wafer), "wafers": parse_wafers(wafers)}
        request["serving"] = replace(serving, wafers=WaferChoices(**choices))
        return model
    plan = read_plan(plan_path, model)
    placement = plan.placement
    request |= {"machine": placement.machine, "wafers": None, "profile": placement.profile,
                "precision": placement.request.precision}
    formats = {name: getattr(placement.mapping, name) for name in ("weight_precision", "cache_precision")}
    request["serving"] = replace(serving, wafers=WaferChoices(plan=placement, **formats))
    return location(plan.model)


def _check_lists(batches: str | None, prompts: str | None) -> None:
    """Refuse a single value beside the list that replaces it."""
    for name, values, single in (("batches", batches, "batch"), ("prompts", prompts, "prompt")):
        if values is not None and stated_by_user(single):
            raise InputError(f"--{single} goes without --{name}, which says it for every row of the sweep")


STANDARD_MODEL = "llama3.1-8b"
"""What is compared where no MODEL is given: the sample, of a million parameters, is all launch costs on a GPU."""


def _one_request(model: str | None, plot_path: str | None, timeline_path: str | None, *, machine: "Machine", wafers: int | None,
                 clusters: tuple[str, ...], prompt: int, output: int, batch: int, precision: str, profile: str,
                 engine_level: str, serving: "Serving", threads: int) -> Answer:
    from wsekern.compare import compare as compare_sides
    from wsekern.report import comparison_plot, comparison_view
    from wsekern.workload import Request, load_config

    request = Request(prompt, output, batch, precision)
    views, data = ([], {}) if model is not None else _execute_sample(machine, precision, profile, threads)
    config = load_config(model or STANDARD_MODEL)
    with ProgressBar("placing and timing"):
        comparison = compare_sides(config, request, machine, wafers, clusters, profile, engine_level, serving)
    if plot_path:
        comparison_plot(comparison, plot_path)
    if timeline_path:
        from wsekern.report.timeline import comparison_events, write_timeline

        write_timeline(timeline_path, comparison_events(comparison))
    whole = {**data, **comparison.to_dict()}

    def page() -> "Page":
        from wsekern.report.pages import comparison_page

        return comparison_page(comparison, whole, views)

    return Answer([*views, comparison_view(comparison)], whole, page)


def _execute_sample(machine: "Machine", precision: str, profile: str, threads: int) -> tuple[list[Any], dict[str, Any]]:
    """Run the bundled model with a progress bar; what came out, for people and as data."""
    from wsekern.compare import execute_sample
    from wsekern.inference.execution import SAMPLE_TOKENS
    from wsekern.report import execution_view

    with ProgressBar("running the sample model on the simulated wafer", SAMPLE_TOKENS) as advance:
        checkpoint, executed = execute_sample(machine, SAMPLE_TOKENS, precision, profile=profile, threads=threads,
                                              on_token=lambda _: advance())
    million = checkpoint.config.parameters / 1e6
    between = (f"\nSo far the bundled sample, a model of {million:.1f} million parameters, executed with every value. From "
               f"here {STANDARD_MODEL}, timed by its shape on wafers and on GPUs.\n")
    return [execution_view(executed, executed.prompt), between], {"execution": executed.to_dict()}


def _sweep(model: str, batches: str | None, prompts: str | None, equal: str | None, plot_path: str | None,
           json_path: str | None, *, clusters: tuple[str, ...], prompt: int, batch: int, threads: int,
           **options: Any) -> Answer:
    from wsekern.compare.sweep import BATCHES, crossovers, sweep, sweep_fronts
    from wsekern.report import sweep_plot, sweep_view
    from wsekern.workload import load_config

    alone = (batch,) if stated_by_user("batch") or (equal and prompts is None) else BATCHES
    sizes = alone if batches is None else tuple(dict.fromkeys(parse_numbers("batches", batches)))
    lengths = (prompt,) if prompts is None else tuple(dict.fromkeys(parse_numbers("prompts", prompts)))
    mode, config = f"equal-{equal}" if equal else "as-given", load_config(model)
    with ProgressBar("placing and timing", len(sizes) * len(lengths)) as advance:
        cells = sweep(config, cluster=clusters, batches=sizes, prompts=lengths, mode=mode, on_cell=advance, **options)
    crossings = crossovers(cells)
    if plot_path:
        sweep_plot(config.name, cells, plot_path)
    data = {"model": config.name, "mode": mode, "cells": [cell.to_dict() for cell in cells],
            "crossovers": [{**vars(crossover), "sentence": crossover.sentence()} for crossover in crossings],
            "front": sweep_fronts(cells)}

    def page() -> "Page":
        from wsekern.report.pages import sweep_page

        return sweep_page(config.name, mode, cells, crossings, data)

    return Answer([sweep_view(config.name, mode, cells, crossings)], data, page)


def _datacentre(model: str, power: str, min_speed: float, *, clusters: tuple[str, ...], prompt: int, output: int,
                precision: str, batch: int, threads: int, **options: Any) -> Answer:
    from wsekern.compare.datacentre import BATCHES, Budget, datacentre, parse_power
    from wsekern.report import datacentre_view
    from wsekern.workload import Request, load_config

    budget, request = Budget(parse_power(power), min_speed), Request(prompt, output, precision=precision)
    config = load_config(model)
    tried = (batch,) if stated_by_user("batch") else BATCHES
    with ProgressBar("filling the power on all sides"):
        sites = datacentre(config, cluster=clusters, budget=budget, request=request, batches=tried, **options)
    if not sites.served():
        raise InputError("; ".join(dict.fromkeys(sites.not_served[side] for side in sites.chosen())))
    data = {"model": config.name, "power": power, **sites.to_dict()}

    def page() -> "Page":
        from wsekern.report.pages import datacentre_page

        return datacentre_page(config.name, power, sites, data)

    return Answer([datacentre_view(config.name, power, sites)], data, page)
