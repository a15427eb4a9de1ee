"""``wsekern predict``: the time of an operation, or of a model on a wafer or on GPUs, without executing values."""

from typing import TYPE_CHECKING, Any

import click

from wsekern.cli.options import (
    ACTIVATIONS,
    CACHE_PRECISION,
    COUNT,
    FREQUENCY,
    HTML,
    JSON,
    PRECISION,
    PROFILE,
    TIMELINE,
    WEIGHT_PRECISION,
    Command,
    Number,
    Whole,
    cluster_option,
    emit,
    help_alone,
    open_console,
    parse_grid,
    parse_numbers,
    parse_square,
    parse_tile,
    plot_option,
    show,
    write_page,
)
from wsekern.cli.placing import PLAN, PROGRAM_SET, need_model, read_plan
from wsekern.errors import InputError
from wsekern.output import ProgressBar

if TYPE_CHECKING:
    from wsekern.cluster import Constraint, Precision
    from wsekern.report.html import Page
    from wsekern.workload import ModelConfig


@click.group(invoke_without_command=True)
@click.pass_context
def predict(context: click.Context) -> None:
    """Time of one operation, or of a model on a wafer or on GPUs, without executing values."""
    help_alone(context)


@predict.command("op", cls=Command)
@click.argument("name")
@click.option("--machine", default="wse3", show_default=True, help="wse1, wse2, wse3, or a TOML file.")
@click.option("--grid", "grid_text", metavar="WxH", help="Grid of PEs.")
@click.option("--tile", "tile_text", metavar="RxC|MxKxN", help="What one PE holds.")
@click.option("--groups", "groups_text", metavar="G|G1xG2x..",
              help="Groups of a two-level reduction, or of each level of a K-tree.")
@click.option("--relays", type=Whole(least=0), help="Software relays of a shift.")
@click.option("--words", type=COUNT, help="Elements (or wavelets, where no precision is given).")
@click.option("--tail", type=COUNT, help="fp32 elements that ride behind the words of an all-reduce.")
@click.option("--receivers", type=COUNT, help="PEs that a multicast reaches.")
@click.option("--axis", type=click.Choice(["x", "y"]),
              help="Of an operation along lines: rows or columns. Default: y where there are columns of several PEs.")
@plot_option("Draw a NAME-crossover: cycles against PEs for every algorithm")
@click.option("--precision", "--dtype", "precision", help="fp32, fp16, fp16_fp32 or bf16.")
@click.option("--engine", type=click.Choice(["flow", "cycle"]), default="flow", show_default=True,
              help="Clocks operation by operation, or every wavelet.")
@PROFILE
@JSON
def predict_operation(name: str, machine: str, grid_text: str | None, tile_text: str | None, groups_text: str | None,
                      json_path: str | None, profile: str, plot_path: str | None, **sizes: Any) -> None:
    """Cycles, link traversals and breakdown of the mesh operation NAME."""
    from wsekern.ops.predict import predict_op

    groups = None if groups_text is None else parse_numbers("groups", groups_text.lower().replace("x", ","))
    with ProgressBar(f"{name} on the {sizes['engine']} engine", None):
        prediction = predict_op(name, machine, profile, grid=parse_grid(grid_text), tile=parse_tile(tile_text), plot=plot_path,
                                groups=groups[0] if groups and len(groups) == 1 else groups, **sizes)
    show(json_path, name, prediction)


@predict.command("wafer", cls=Command)
@click.argument("model", required=False)
@click.option("--phase", type=click.Choice(["decode", "prefill"]), required=True)
@click.option("--machine", default="wse3", show_default=True, help="wse1, wse2, wse3, or a TOML file.")
@click.option("--grid", "grid_text", metavar="PxP", help="Grid of PEs; a plan file says its own.")
@click.option("--context", required=True, type=COUNT, help="Tokens in the cache, or of the prompt.")
@click.option("--batch", default=1, show_default=True, type=COUNT, help="Sequences at once.")
@click.option("--clock", type=FREQUENCY, help="Hz; default: the machine's.")
@click.option("--mapping", type=click.Choice(["waferllm", "ours"]), default="waferllm", show_default=True)
@PRECISION
@WEIGHT_PRECISION
@CACHE_PRECISION
@PROFILE
@ACTIVATIONS
@PROGRAM_SET
@PLAN
@HTML
@TIMELINE
@JSON
def predict_wafer(model: str | None, phase: str, machine: str, grid_text: str | None, context: int, batch: int,
                  clock: float | None, mapping: str, precision: str, profile: str, activations: str | None, program_set: str,
                  plan_path: str | None, html_path: str | None, timeline_path: str | None, json_path: str | None,
                  **kept: str) -> None:
    """Cycles and tokens per second of a phase of MODEL on one grid of PEs, or of a plan file on its regions."""
    from wsekern.inference.predict import predict_layer

    placement = None
    with ProgressBar(f"timing {phase}"):
        if plan_path is not None:
            from wsekern.planning.predict import asked_of, predict_plan

            plan = read_plan(plan_path, model).placement
            prediction, placement = predict_plan(plan, phase, context, batch, clock), asked_of(plan, context, batch)
        elif grid_text is None:
            raise InputError("give --grid PxP, or a plan file with --plan")
        else:
            prediction = predict_layer(need_model(model, "llama3-8b"), phase, machine, parse_square(grid_text), context,
                                       profile, clock, mapping, batch, precision, activations, program_set, **kept)

    def page() -> "Page":
        from wsekern.machine import load_machine
        from wsekern.report.pages import wafer_page
        from wsekern.workload import load_config

        if placement is None:
            return wafer_page(prediction, load_config(need_model(model, "llama3-8b")), None, load_machine(machine))
        return wafer_page(prediction, placement.config, placement, placement.machine)

    write_page(html_path, page)
    if timeline_path:
        from wsekern.planning.journey import Journey
        from wsekern.report.timeline import journey_events, prediction_events, write_timeline

        events = prediction_events(prediction) if placement is None else journey_events(Journey(placement))
        write_timeline(timeline_path, events)
    show(json_path, f"{prediction['model']} {phase}", prediction)


@predict.command("gpu", cls=Command)
@click.argument("model")
@click.option("--phase", type=click.Choice(["decode", "prefill"]), required=True)
@click.option("--gpu", default="h100", show_default=True, help="A GPU of `wsekern machines`, or a TOML file.")
@click.option("--gpus", default=8, show_default=True, type=COUNT, help="How many.")
@click.option("--tp", type=COUNT, help="Tensor parallel degree; default: all GPUs that one model can use.")
@click.option("--pp", type=COUNT, help="Pipeline parallel degree.")
@click.option("--dp", type=COUNT, help="Data parallel degree.")
@click.option("--ep", type=COUNT, help="Expert parallel degree.")
@click.option("--context", required=True, type=COUNT, help="Tokens in the cache, or of the prompt.")
@click.option("--batch", default=1, show_default=True, type=COUNT, help="Sequences at once.")
@click.option("--precision", help="bf16, fp16, fp8, int8, fp4, ... Default: as the checkpoint is stored.")
@click.option("--engine-level", default="stock", show_default=True, help="Serving software: stock, tuned, ideal, sglang, ...")
@HTML
@JSON
def predict_gpu(model: str, gpu: str, gpus: int, precision: str | None, html_path: str | None, json_path: str | None,
                **options: Any) -> None:
    """Time, power and cost of one step of MODEL on a GPU cluster."""
    from wsekern.cluster import load_cluster
    from wsekern.cluster import predict as predict_step
    from wsekern.workload import load_config

    config, cluster = load_config(model), load_cluster(gpu, gpus)
    form = _precision(config, options["engine_level"], precision)
    prediction = predict_step(config, cluster, precision=form, **options).to_dict()

    def page() -> "Page":
        from wsekern.cluster.kernel_list import kernels_of
        from wsekern.report.pages import gpu_page

        return gpu_page(model, f"{gpus} x {gpu}", prediction, kernels_of(config, cluster, precision=form, **options))

    write_page(html_path, page)
    show(json_path, f"{model} {options['phase']} on {gpus} x {gpu}", prediction)


@predict.command("cluster", cls=Command)
@click.argument("model")
@cluster_option("Clusters to look at, such as h200x8,b200x8. Default: the usual ones.")
@click.option("--prompt", default=1024, show_default=True, type=COUNT, help="Tokens in.")
@click.option("--output", default=256, show_default=True, type=COUNT, help="Tokens out.")
@click.option("--batch", default=1, show_default=True, type=COUNT,
              help="Users at once (latency); throughput chooses them itself.")
@click.option("--precision", help="bf16, fp16, fp8, int8, fp4, ... Default: as the checkpoint is stored.")
@click.option("--engine-level", default="stock", show_default=True, help="Serving software: stock, tuned, ideal, sglang, ...")
@click.option("--objective", type=click.Choice(["latency", "throughput"]), default="latency", show_default=True,
              help="Least time of a request, or most tokens per dollar.")
@click.option("--max-tpot", type=Number(above=True), metavar="MS", help="Longest time per output token.")
@click.option("--max-ttft", type=Number(above=True), metavar="MS", help="Longest time to the first token.")
@click.option("--max-gpus", type=COUNT)
@click.option("--max-watts", type=Number(above=True))
@click.option("--max-usd-per-hour", type=Number(above=True))
@HTML
@JSON
@plot_option("Draw the Pareto fronts")
def predict_cluster(model: str, clusters: tuple[str, ...], prompt: int, output: int, batch: int, precision: str | None,
                    engine_level: str, objective: str, html_path: str | None, json_path: str | None, plot_path: str | None,
                    **bounds: Any) -> None:
    """The best GPU cluster and layout for MODEL inside bounds, and every cluster's Pareto front."""
    from wsekern.cluster import best_cluster, load_cluster, pareto, sweep
    from wsekern.cluster.choose import CANDIDATES
    from wsekern.report import choice_view, facts_view, front_plot
    from wsekern.workload import Request, load_config

    config, request = load_config(model), Request(prompt, output, batch)
    form = _precision(config, engine_level, precision)
    described = {name: load_cluster(name) for name in clusters or CANDIDATES}
    constraint, fronts = _constraint(**bounds), {}
    with ProgressBar("laying out and timing", 1 + len(described)) as advance:
        best, served = best_cluster(config, request, constraint, clusters=tuple(described.values()),
                                    objective=objective, engine_level=engine_level, precision=form)
        for name, cluster in described.items():
            advance()
            fronts[name] = pareto(sweep(config, cluster, prompt=prompt, output=output, precision=form,
                                        engine_level=engine_level))
    if plot_path:
        front_plot(fronts, plot_path)
    data = {"cluster": best.name, "batch": served.users, **served.to_dict()}
    whole = {"best": data, "pareto": [point.to_dict() for front in fronts.values() for point in front]}

    def page() -> "Page":
        from wsekern.report.pages import choice_page

        return choice_page(config.name, objective, data, fronts, constraint.time_per_output_token_seconds, whole)

    write_page(html_path, page)
    emit(json_path, whole)
    if json_path != "-":
        open_console().print(choice_view(facts_view(f"{config.name}: {objective}", data), fronts))


def _precision(config: "ModelConfig", engine_level: str, name: str | None) -> "Precision":
    """The precision asked for, or the checkpoint's own."""
    from wsekern.cluster.checkpoint import served_precision
    from wsekern.cluster.precision import precision_of

    return served_precision(config, engine_level) if name is None else precision_of(name)


def _constraint(max_tpot: float | None, max_ttft: float | None, max_gpus: int | None, max_watts: float | None,
                max_usd_per_hour: float | None) -> "Constraint":
    """Bounds as the cluster model takes them, in seconds."""
    from wsekern.cluster import Constraint

    asked = {"time_per_output_token_seconds": max_tpot and max_tpot / 1e3, "watts": max_watts, "gpus": max_gpus,
             "time_to_first_token_seconds": max_ttft and max_ttft / 1e3, "usd_per_hour": max_usd_per_hour}
    return Constraint(**{name: value for name, value in asked.items() if value is not None})
