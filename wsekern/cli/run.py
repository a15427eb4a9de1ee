"""``wsekern run``: a model executed with all its values on a simulated wafer."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from wsekern.cli.options import (
    ACTIVATIONS,
    CACHE_PRECISION,
    COUNT,
    JSON,
    MEMORY,
    PRECISION,
    PROFILE,
    THREADS,
    WEIGHT_PRECISION,
    Command,
    ProgressBar,
    emit,
    open_console,
    parse_grid,
)
from wsekern.cli.sampling import choose_sampler, open_model, printable, sampling_options, tell_notes
from wsekern.errors import InputError

if TYPE_CHECKING:
    from wsekern.compare import Execution
    from wsekern.workload.checkpoint import Checkpoint


@click.command(cls=Command)
@click.argument("model")
@click.option("--prompt", metavar="TEXT", help="Text to continue.")
@click.option("--chat", metavar="TEXT", help="Message to answer, in the model's own chat template.")
@click.option("--system", metavar="TEXT", help="With --chat: what the system says before.")
@click.option("--tokens", default=32, show_default=True, type=COUNT, help="Tokens to generate.")
@click.option("--grid", "grid_text", metavar="WxH", help="Grid of PEs; default: a small one that fits.")
@click.option("--engine", type=click.Choice(["flow", "cycle"]), default="flow", show_default=True,
              help="flow: whole operations; cycle: every wavelet.")
@click.option("--machine", default="wse3", show_default=True, help="wse1, wse2, wse3, or a TOML file.")
@PRECISION
@WEIGHT_PRECISION
@CACHE_PRECISION
@PROFILE
@ACTIVATIONS
@click.option("--check", type=click.Choice(["every", "first", "none"]), default="first", show_default=True,
              help="Tokens that the plain numpy reference repeats. first: it reads the prompt once; every: it reads all "
                   "weights in float32 once more for each token.")
@sampling_options
@click.option("--threads", default=1, show_default=True, type=THREADS, help="Threads of the simulation.")
@MEMORY
@JSON
def run(model: str, prompt: str | None, chat: str | None, system: str | None, tokens: int, grid_text: str | None, engine: str,
        machine: str, precision: str, profile: str, activations: str | None, check: str, seed: int, threads: int,
        memory: int | None, json_path: str | None, weight_precision: str, cache_precision: str,
        **sampling: float | None) -> None:
    """Execute MODEL (a Hugging Face folder, a GGUF file, 'smollm2-135m' if it is installed, or the bundled 'sample') on a
    simulated wafer."""
    from wsekern.machine import load_machine

    wafer, checkpoint = load_machine(machine), open_model(model)
    text, ids = _prompt(checkpoint, prompt, chat, system)
    sampler = choose_sampler(checkpoint, seed, **sampling)
    tell_notes(checkpoint, sampler, any(value is not None for value in sampling.values()))
    streamed = sys.stdout.isatty() and json_path != "-"
    executed = _execute("" if prompt is None else text, streamed, len(ids) + tokens, json_path, lambda **seen: dict(
        checkpoint=checkpoint, machine=wafer, prompt=text, count=tokens, precision=precision, grid=parse_grid(grid_text),
        sampler=sampler, profile=profile, threads=threads, engine=engine, prompt_tokens=ids, activations=activations,
        check=check, memory=memory, weight_precision=weight_precision, cache_precision=cache_precision, **seen))
    emit(json_path, {"model": checkpoint.config.name, **executed.to_dict(), "sampling": sampler.describe(),
                     "notes": list(checkpoint.notes)})
    if json_path != "-":
        from wsekern.report import execution_view

        open_console().print(execution_view(executed, None if streamed else "" if prompt is None else text))


def _prompt(checkpoint: "Checkpoint", prompt: str | None, chat: str | None, system: str | None) -> tuple[str, list[int]]:
    """The text that the model reads, and its tokens."""
    if (prompt is None) == (chat is None):
        raise InputError("give either --prompt TEXT to continue or --chat TEXT to answer")
    if chat is None:
        if system is not None:
            raise InputError("--system goes with --chat")
        return prompt, checkpoint.encode(prompt)
    from wsekern.inference.conversation import opening, template_of

    text = template_of(checkpoint).render([*opening(system), {"role": "user", "content": chat}])
    return text, checkpoint.text.encode(text, special=False)


def _execute(start: str, streamed: bool, steps: int, json_path: str | None,
             arguments: Callable[..., dict[str, Any]]) -> "Execution":
    """Run the model and show what comes: text as it is written on a terminal, else a bar, and the text of an interrupt."""
    from wsekern.compare import execute

    pieces: list[str] = []
    bar = ProgressBar("reading the prompt" if streamed else "reading the prompt and writing", steps)
    with bar as advance:

        def write(piece: str) -> None:
            if streamed and not pieces:
                bar.close()
                click.echo(click.style(printable(start), bold=True), nl=False)
            pieces.append(piece)
            if streamed:
                click.echo(printable(piece), nl=False)

        try:
            executed = execute(**arguments(on_text=write, on_chunk=advance, on_token=lambda _: advance()))
        except KeyboardInterrupt:
            bar.close()
            if pieces:
                whole = "\n" if streamed else f"{start}{''.join(pieces)}"
                open_console(json_path).print(whole, markup=False)
            raise
    if streamed:
        click.echo("\n")
    return executed
