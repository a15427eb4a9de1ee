"""``wsekern run``: a model executed with all its values on a simulated wafer."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
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
    Number,
    Renewed,
    Target,
    emit,
    open_console,
    parse_grid,
)
from wsekern.cli.placing import PLAN, PROGRAM_SET, need_model, read_plan
from wsekern.cli.sampling import choose_sampler, open_model, printable, sampling_options, tell_notes
from wsekern.cli.watching import watch_options, watching_of
from wsekern.errors import InputError
from wsekern.output import ProgressBar

if TYPE_CHECKING:
    from wsekern.compare import Execution
    from wsekern.inference.execution import Drafting
    from wsekern.inference.kept_run import Keeping
    from wsekern.planning.plan_file import LoadedPlan
    from wsekern.workload.checkpoint import Checkpoint


@click.command(cls=Command)
@click.argument("model", required=False)
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
@PROGRAM_SET
@PLAN
@click.option("--check", type=click.Choice(["every", "first", "none"]), default="first", show_default=True,
              help="Tokens that the plain numpy reference repeats. first: it reads the prompt once; every: it reads all "
                   "weights in float32 once more for each token.")
@sampling_options
@click.option("--speculate", type=COUNT, metavar="K", help="Check up to K drafted tokens in every pass: the same tokens, "
                                                              "sooner.")
@click.option("--draft", metavar="NAME", help="With --speculate: ngram (of the text so far), layer:N (the model's own first N "
                                              "layers and its head), or a smaller MODEL with the same tokens.")
@click.option("--regions", type=COUNT, metavar="R", help="With --speculate: regions of the size of the grid, with some layers "
                                                         "each, through which tokens follow each other; default: one a layer.")
@click.option("--save", "save_path", metavar="FILE", type=Target(),
              help="Keep what is reached in FILE while the run goes on, for --resume.")
@click.option("--save-every", "save_seconds", metavar="SECONDS", type=Number(),
              help="With --save: how often at most; 0 is behind every token. Default: as often as takes 5 % of the time.")
@click.option("--resume", "resume_path", metavar="FILE", type=Renewed("--save"),
              help="Go on from what --save of the same run kept in FILE, to the same end. Both may name one file.")
@click.option("--wafers", type=COUNT, default=1, show_default=True,
              help="Wafers among which the layers are dealt, each with a grid of its own: chunks and tokens go from one to the "
                   "next.")
@click.option("--dask", "dask_address", metavar="ADDRESS",
              help="Step each wafer on a worker of this Dask scheduler, such as tcp://host:8786: the same values and clocks.")
@click.option("--threads", default=1, show_default=True, type=THREADS, help="Threads of the simulation.")
@MEMORY
@watch_options
@JSON
def run(model: str | None, prompt: str | None, chat: str | None, system: str | None, tokens: int, engine: str, check: str,
        seed: int, threads: int, memory: int | None, plan_path: str | None, json_path: str | None, speculate: int | None,
        draft: str | None, regions: int | None, save_path: str | None, save_seconds: float | None, resume_path: str | None,
        wafers: int, dask_address: str | None, **options: Any) -> None:
    """Execute MODEL (a Hugging Face folder, a GGUF file, 'smollm2-135m' if it is installed, or the bundled 'sample') on a
    simulated wafer, or the model of a plan file on PEs as many as one of its regions has."""
    watching = watching_of(options, engine)
    if resume_path is not None and (watching.timeline or watching.animation):
        raise InputError("--resume goes without --timeline and --animation, which would lack what was done before")
    plan = None if plan_path is None else read_plan(plan_path, model)
    placed, sampling = _placed(options, plan), {name: options[name] for name in options if name not in PLACED}
    checkpoint = open_model(need_model(model, "sample") if plan is None else plan.model)
    text, ids = _prompt(checkpoint, prompt, chat, system)
    keeping = _keeping(save_path, save_seconds, resume_path)
    drafting = _drafting(speculate, draft, regions or (plan.offer.placement.regions if plan and speculate else None))
    sampler = choose_sampler(checkpoint, seed, **sampling)
    tell_notes(checkpoint, sampler, any(value is not None for value in sampling.values()))
    streamed = sys.stdout.isatty() and json_path != "-"
    with _workers(dask_address) as client:
        executed = _execute("" if prompt is None else text, streamed, len(ids) + tokens, json_path, lambda **seen: dict(
            checkpoint=checkpoint, prompt=text, count=tokens, sampler=sampler, threads=threads, engine=engine,
            prompt_tokens=ids, check=check, memory=memory, drafting=drafting, keeping=keeping, wafers=wafers, client=client,
            **watching.arguments(), **placed, **seen))
    data = {"model": checkpoint.config.name, **executed.to_dict(), "sampling": sampler.describe(),
            "notes": list(checkpoint.notes)}
    watching.show(executed, text, data)
    emit(json_path, data)
    if json_path != "-":
        from wsekern.report import execution_view

        open_console().print(execution_view(executed, None if streamed else "" if prompt is None else text))


def _workers(address: str | None) -> AbstractContextManager[Any]:
    """A client of the Dask scheduler at ``address``, if there is one."""
    if address is None:
        return nullcontext()
    from wsekern.sweep.many import connected

    return connected(address, default=True)


def _keeping(save: str | None, seconds: float | None, resume: str | None) -> "Keeping | None":
    """Where the run is kept, and which one goes on, if any."""
    from wsekern.inference.kept_run import Keeping

    if save is None and seconds is not None:
        raise InputError("--save-every goes with --save: give the file to keep the run in")
    return None if save is None and resume is None else Keeping(save, resume, seconds)


def _drafting(drafted: int | None, draft: str | None, regions: int | None) -> "Drafting | None":
    """Who drafts how many tokens, if anybody."""
    from wsekern.inference.execution import Drafting
    from wsekern.workload.speculation import layers_of

    if (drafted is None) != (draft is None) or (regions is not None and drafted is None):
        raise InputError("--speculate and --draft go together, --regions with both: how many tokens are drafted, by what, and "
                         "through how many regions they follow each other")
    if drafted is None or draft is None:
        return None
    return Drafting(drafted, draft if draft == "ngram" or layers_of(draft) else open_model(draft), regions)


PLACED = ("machine", "grid_text", "precision", "profile", "activations", "program_set", "weight_precision", "cache_precision")
"""Parameters that say where and how the model lies, which a plan file may say instead."""


def _placed(options: dict[str, Any], plan: "LoadedPlan | None") -> dict[str, Any]:
    """Where and how the model lies, as :func:`execute` names it."""
    from wsekern.inference.programs import program_set
    from wsekern.machine import load_machine

    if plan is None:
        chosen = program_set(options["program_set"])
        return {"machine": load_machine(options["machine"]), "grid": parse_grid(options["grid_text"]),
                "precision": options["precision"], "profile": options["profile"], "programs": chosen.programs,
                "activations": options["activations"] or chosen.activations,
                "weight_precision": options["weight_precision"], "cache_precision": options["cache_precision"]}
    placement, mapping = plan.placement, plan.placement.mapping
    return {"machine": placement.machine, "grid": (mapping.width, mapping.height), "feed_width": mapping.feed_width,
            "precision": mapping.precision,
            "profile": placement.profile, "programs": mapping.programs, "activations": mapping.form,
            "weight_precision": mapping.weight_precision, "cache_precision": mapping.cache_precision}


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
