"""``wsekern run``: a model executed with all its values on a simulated wafer."""

import click

from wsekern.cli.options import (
    ACTIVATIONS,
    COUNT,
    JSON,
    PRECISION,
    PROFILE,
    THREADS,
    ProgressBar,
    Whole,
    emit,
    open_console,
    parse_grid,
)


@click.command()
@click.argument("model_dir")
@click.option("--prompt", required=True, metavar="TEXT", help="Text to continue.")
@click.option("--tokens", default=32, show_default=True, type=COUNT, help="Tokens to generate.")
@click.option("--grid", "grid_text", metavar="WxH", help="Grid of PEs; default: a small one that fits.")
@click.option("--engine", type=click.Choice(["flow", "cycle"]), default="flow", show_default=True,
              help="flow: whole operations; cycle: every wavelet.")
@click.option("--machine", default="wse3", show_default=True, help="wse1, wse2, wse3, or a TOML file.")
@PRECISION
@PROFILE
@ACTIVATIONS
@click.option("--temperature", default=0.0, show_default=True, help="0 is greedy.")
@click.option("--top-p", default=1.0, show_default=True, help="Draw from the likeliest tokens of this probability together.")
@click.option("--seed", default=0, show_default=True, type=Whole(least=0, most=2**64 - 1),
              help="Of the draws; the same seed gives the same text.")
@click.option("--threads", default=1, show_default=True, type=THREADS, help="Threads of the simulation.")
@JSON
def run(model_dir: str, prompt: str, tokens: int, grid_text: str | None, engine: str, machine: str, precision: str,
        profile: str, activations: str | None, temperature: float, top_p: float, seed: int, threads: int,
        json_path: str | None) -> None:
    """Execute the model in MODEL_DIR (Hugging Face folder; 'sample' is the bundled one) on a simulated wafer."""
    from wsekern.compare import execute
    from wsekern.inference.sampling import Sampler
    from wsekern.machine import load_machine
    from wsekern.report import execution_view
    from wsekern.workload.checkpoint import load_checkpoint
    from wsekern.workload.sample import sample_path

    console = open_console(json_path)
    wafer, sampler = load_machine(machine), Sampler(temperature, top_p, seed)
    checkpoint = load_checkpoint(sample_path() if model_dir == "sample" else model_dir)
    prompt_tokens = checkpoint.encode(prompt)
    written: list[int] = []
    try:
        with ProgressBar("reading the prompt and writing", len(prompt_tokens) + tokens) as advance:

            def write(token: int) -> None:
                written.append(token)
                advance()

            executed = execute(checkpoint, wafer, prompt, tokens, precision=precision, grid=parse_grid(grid_text),
                               sampler=sampler, profile=profile, threads=threads, engine=engine, prompt_tokens=prompt_tokens,
                               on_token=write, on_chunk=advance, activations=activations)
    except KeyboardInterrupt:
        if written:
            console.print(f"{prompt}{checkpoint.decode(written)}", markup=False)
        raise
    emit(json_path, {"model": checkpoint.config.name, **executed.to_dict()})
    if json_path != "-":
        console.print(execution_view(executed))
