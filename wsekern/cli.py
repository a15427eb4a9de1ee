"""The command line: thin wrappers that parse, call, and show."""

import functools
import sys
from collections.abc import Callable
from typing import Any

import click

from wsekern.errors import InputError, WsekernError

PRECISION = click.option("--precision", default="fp16", show_default=True, help="fp32, fp16, fp16_fp32, bf16 (GPU: fp8 too).")
PROFILE = click.option("--profile", default="silicon", show_default=True,
                       help="Timing of the wafer: silicon or vendor-simulator.")
JSON = click.option("--json", "json_path", metavar="FILE",
                    help="Write JSON to FILE; '-' is standard output, and nothing else goes there.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="wsekern")
def cli() -> None:
    """LLM inference on a simulated wafer-scale engine, beside a modelled GPU cluster."""


def _console(json_path: str | None = None):
    """Where people read: standard output, or standard error when standard output carries JSON."""
    from rich.console import Console

    return Console(stderr=json_path == "-", highlight=False)


def _emit(json_path: str | None, data: Any) -> None:
    """Write ``data`` as JSON where the user asked for it."""
    from wsekern.report import to_json, write_file

    if json_path == "-":
        sys.stdout.write(to_json(data))
        sys.stdout.flush()
    elif json_path:
        write_file(json_path, to_json(data))


def _grid(text: str | None) -> tuple[int, int] | None:
    """``PxP`` (or ``WxH``) as numbers."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.strip().lstrip("-").isdigit() for part in parts):
        raise InputError(f"grid is {text!r}, expected WIDTHxHEIGHT such as 16x16")
    width, height = (int(part) for part in parts)
    if width < 1 or height < 1:
        raise InputError(f"grid is {text!r}, expected at least 1x1")
    return width, height


def _square(text: str) -> int:
    """``PxP`` as P, where an operation or a mapping asks for a square."""
    width, height = _grid(text)
    if width != height:
        raise InputError(f"grid is {text!r}, expected a square such as {width}x{width}")
    return width


def _tile(text: str | None) -> tuple[int, ...] | None:
    """``8x8`` or ``8x8x8`` as numbers."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if not all(part.isdigit() for part in parts):
        raise InputError(f"tile is {text!r}, expected sizes such as 8x8 or 8x8x8")
    return tuple(int(part) for part in parts)


def _wafers(text: str) -> int | None:
    """A number of wafers, or None for auto."""
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"wafers is {text!r}, expected auto or a whole number of at least 1")
    return int(text)


@cli.command()
@click.argument("model", required=False)
@click.option("--wafer", default="wse3", show_default=True, help="wse1, wse2, wse3, or a TOML file.")
@click.option("--wafers", default="auto", show_default=True, help="How many wafers; auto takes the fewest that hold the model.")
@click.option("--cluster", default="h100x8", show_default=True, help="GPU and count, such as h100x8, or a TOML file.")
@click.option("--prompt", default=1024, show_default=True, help="Tokens in.")
@click.option("--output", default=256, show_default=True, help="Tokens out.")
@click.option("--batch", default=1, show_default=True, help="Users at once.")
@PRECISION
@PROFILE
@click.option("--threads", default=1, show_default=True, help="Threads of the simulation.")
@JSON
@click.option("--html", "html_path", metavar="FILE", help="Write the report as a page.")
@click.option("--plot", "plot_path", metavar="FILE", help="Draw the comparison (.png, .svg or .pdf).")
def compare(model: str | None, wafer: str, wafers: str, cluster: str, prompt: int, output: int, batch: int, precision: str,
            profile: str, threads: int, json_path: str | None, html_path: str | None, plot_path: str | None) -> None:
    """Set wafers beside a GPU cluster. Without MODEL: execute the bundled sample on the simulated wafer first.

    MODEL is a folder or file with a Hugging Face config.json, or a bundled name (see `wsekern machines`).
    """
    from rich.console import Group

    from wsekern.compare import compare as compare_sides
    from wsekern.machine import load_machine
    from wsekern.report import comparison_plot, comparison_view, execution_view, html_page, write_file
    from wsekern.workload import Request, load_config

    machine, console = load_machine(wafer), _console(json_path)
    executed = None
    if model is None:
        config, executed = _execute_sample(console, machine, precision, profile, threads)
        prompt, output = min(prompt, config.max_context // 2), min(output, config.max_context // 2)
    else:
        config = load_config(model)
    comparison = compare_sides(config, Request(prompt, output, batch, precision), machine, _wafers(wafers), cluster, profile)
    views = [comparison_view(comparison)] if executed is None else [execution_view(executed), "", comparison_view(comparison)]
    data = comparison.to_dict() if executed is None else {"execution": executed.to_dict(), **comparison.to_dict()}
    if plot_path:
        comparison_plot(comparison, plot_path)
    if html_path:
        write_file(html_path, html_page(Group(*views), f"wsekern: {config.name}"))
    _emit(json_path, data)
    if json_path != "-":
        for view in views:
            console.print(view)


def _execute_sample(console, machine, precision: str, profile: str, threads: int):
    """Run the bundled model with a progress bar; return its shape and what came out."""
    from wsekern.compare import execute_sample
    from wsekern.compare.execution import SAMPLE_TOKENS

    with _progress(console, "running the sample model on the simulated wafer", SAMPLE_TOKENS) as advance:
        checkpoint, executed = execute_sample(machine, SAMPLE_TOKENS, precision, profile=profile, threads=threads,
                                              on_token=lambda _: advance())
    return checkpoint.config, executed


class _progress:
    """A progress bar on standard error, only where somebody watches."""

    def __init__(self, console, title: str, total: int):
        from rich.console import Console
        from rich.progress import Progress

        self._bar = Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
        self._task = self._bar.add_task(title, total=total)

    def __enter__(self) -> Callable[[], None]:
        self._bar.start()
        return functools.partial(self._bar.advance, self._task)

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()


@cli.command()
@click.argument("model_dir")
@click.option("--prompt", required=True, metavar="TEXT", help="Text to continue.")
@click.option("--tokens", default=32, show_default=True, help="Tokens to generate.")
@click.option("--grid", "grid_text", metavar="WxH", help="Grid of PEs; default: a small one that fits.")
@click.option("--engine", type=click.Choice(["flow", "cycle"]), default="flow", show_default=True,
              help="flow: whole operations; cycle: every wavelet.")
@click.option("--machine", default="wse3", show_default=True, help="wse1, wse2, wse3, or a TOML file.")
@PRECISION
@PROFILE
@click.option("--temperature", default=0.0, show_default=True, help="0 is greedy.")
@click.option("--top-p", default=1.0, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=1, show_default=True)
@JSON
def run(model_dir: str, prompt: str, tokens: int, grid_text: str | None, engine: str, machine: str, precision: str,
        profile: str, temperature: float, top_p: float, seed: int, threads: int, json_path: str | None) -> None:
    """Execute the model in MODEL_DIR (Hugging Face folder; 'sample' is the bundled one) on a simulated wafer."""
    from wsekern.compare import execute
    from wsekern.inference.sampling import Sampler
    from wsekern.machine import load_machine
    from wsekern.report import execution_view
    from wsekern.workload.checkpoint import load_checkpoint
    from wsekern.workload.sample import sample_path

    console = _console(json_path)
    wafer, sampler = load_machine(machine), Sampler(temperature, top_p, seed)
    checkpoint = load_checkpoint(sample_path() if model_dir == "sample" else model_dir)
    with _progress(console, "generating", tokens) as advance:
        executed = execute(checkpoint, wafer, prompt, tokens, precision=precision, grid=_grid(grid_text), sampler=sampler,
                           profile=profile, threads=threads, engine=engine, on_token=lambda _: advance())
    _emit(json_path, {"model": checkpoint.config.name, **executed.to_dict()})
    if json_path != "-":
        console.print(execution_view(executed))


@cli.group()
def predict() -> None:
    """Time of one operation, or of a model on a wafer or on GPUs, without executing values."""


@predict.command("op")
@click.argument("name")
@click.option("--machine", default="wse3", show_default=True, help="wse1, wse2, wse3, or a TOML file.")
@click.option("--grid", "grid_text", metavar="WxH", help="Grid of PEs.")
@click.option("--tile", "tile_text", metavar="RxC|MxKxN", help="What one PE holds.")
@click.option("--groups", type=int, help="Groups of a two-level reduction.")
@click.option("--relays", type=int, help="Software relays of a shift.")
@click.option("--words", type=int, help="Elements (or wavelets, where no precision is given).")
@click.option("--receivers", type=int, help="PEs that a multicast reaches.")
@click.option("--plot", metavar="FILE", help="Draw a NAME-crossover: cycles against PEs for every algorithm.")
@click.option("--dtype", help="fp32, fp16, fp16_fp32 or bf16.")
@click.option("--engine", type=click.Choice(["flow", "cycle"]), default="flow", show_default=True,
              help="Clocks operation by operation, or every wavelet.")
@PROFILE
@JSON
def predict_operation(name: str, machine: str, grid_text: str | None, tile_text: str | None, json_path: str | None,
                      profile: str, **sizes: Any) -> None:
    """Cycles, link traversals and breakdown of the mesh operation NAME."""
    from wsekern.ops.predict import predict_op

    found = predict_op(name, machine, profile, grid=_grid(grid_text), tile=_tile(tile_text), **sizes)
    _show(json_path, name, found)


@predict.command("wafer")
@click.argument("model")
@click.option("--phase", type=click.Choice(["decode", "prefill"]), required=True)
@click.option("--machine", default="wse3", show_default=True, help="wse1, wse2, wse3, or a TOML file.")
@click.option("--grid", "grid_text", required=True, metavar="PxP", help="Grid of PEs.")
@click.option("--context", required=True, type=int, help="Tokens in the cache, or of the prompt.")
@click.option("--batch", default=1, show_default=True)
@click.option("--clock", type=float, help="Hz; default: the machine's.")
@click.option("--mapping", type=click.Choice(["waferllm", "ours"]), default="waferllm", show_default=True)
@PRECISION
@PROFILE
@JSON
def predict_wafer(model: str, phase: str, machine: str, grid_text: str, context: int, batch: int, clock: float | None,
                  mapping: str, precision: str, profile: str, json_path: str | None) -> None:
    """Cycles and tokens per second of a phase of MODEL on one grid of PEs."""
    from wsekern.inference.predict import predict_layer

    found = predict_layer(model, phase, machine, _square(grid_text), context, profile, clock, mapping, batch, precision)
    _show(json_path, f"{found['model']} {phase}", found)


@predict.command("gpu")
@click.argument("model")
@click.option("--phase", type=click.Choice(["decode", "prefill"]), required=True)
@click.option("--gpu", default="h100", show_default=True, help="A GPU of `wsekern machines`, or a TOML file.")
@click.option("--gpus", default=8, show_default=True, help="How many.")
@click.option("--tp", type=int, help="Tensor parallel degree; default: all GPUs that one model can use.")
@click.option("--pp", type=int, help="Pipeline parallel degree.")
@click.option("--dp", type=int, help="Data parallel degree.")
@click.option("--ep", type=int, help="Expert parallel degree.")
@click.option("--context", required=True, type=int, help="Tokens in the cache, or of the prompt.")
@click.option("--batch", default=1, show_default=True)
@click.option("--precision", default="bf16", show_default=True, help="bf16, fp16, fp8, int8, fp4, ...")
@click.option("--engine-level", default="stock", show_default=True, help="Serving software: stock, tuned or ideal.")
@JSON
def predict_gpu(model: str, gpu: str, gpus: int, json_path: str | None, **options: Any) -> None:
    """Time, power and cost of one step of MODEL on a GPU cluster."""
    from wsekern.cluster import load_cluster
    from wsekern.cluster import predict as predict_step
    from wsekern.workload import load_config

    found = predict_step(load_config(model), load_cluster(f"{gpu}x{gpus}"), **options).to_dict()
    _show(json_path, f"{model} {options['phase']} on {gpus} x {gpu}", found)


def _show(json_path: str | None, title: str, facts: dict[str, Any]) -> None:
    """One prediction, as JSON or as a table."""
    from wsekern.report import facts_view

    _emit(json_path, facts)
    if json_path != "-":
        _console().print(facts_view(title, facts))


@cli.command()
@click.option("--only", type=click.Choice(["wafer", "gpu"]))
@click.option("--data", "data_path", metavar="FILE.csv", help="Own measurements, recognised by their columns.")
@click.option("--rows", "show_rows", is_flag=True, help="Show every row, not only the groups.")
@click.option("--plot", "plot_path", metavar="FILE", help="Draw predictions against measurements (.png, .svg or .pdf).")
@JSON
def validate(only: str | None, data_path: str | None, show_rows: bool, plot_path: str | None, json_path: str | None) -> None:
    """Predictions beside published (or your own) measurements."""
    from wsekern import validation_wafer
    from wsekern.cluster import validation as validation_gpu
    from wsekern.report import validation_plot, validation_view

    kinds = {"wafer": validation_wafer, "gpu": validation_gpu}
    if data_path:
        kinds = {"own": validation_wafer if validation_wafer.is_wafer_table(data_path) else validation_gpu}
    elif only:
        kinds = {only: kinds[only]}
    parts = [module.validate_rows(data_path) for module in kinds.values()]
    found = {key: [item for part in parts for item in part[key]] for key in ("rows", "groups")}
    if plot_path:
        validation_plot(found, plot_path)
    _emit(json_path, found)
    if json_path != "-":
        _console().print(validation_view(found, show_rows))


@cli.command()
@click.argument("name", required=False)
@JSON
def machines(name: str | None, json_path: str | None) -> None:
    """Every wafer, GPU, cluster and model shape that the package describes; with NAME, every number of one and its source."""
    from wsekern.report import machine_view, machines_data, machines_view

    data = machines_data()
    if name is not None:
        found = {**data["wafers"], **data["gpus"]}
        if name not in found:
            raise InputError(f"no machine {name!r}: use one of {', '.join(found)}")
        data = found[name]
    _emit(json_path, data)
    if json_path != "-":
        _console().print(machines_view() if name is None else machine_view(name, data))


def main() -> None:
    """Entry point: one clear sentence and exit code 2 for anything a user can put right."""
    try:
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except WsekernError as error:
        click.echo(f"wsekern: {error}", err=True)
        sys.exit(2)
    except click.ClickException as error:
        click.echo(f"wsekern: {error.format_message()}", err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("wsekern: interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)



if __name__ == "__main__":
    main()
