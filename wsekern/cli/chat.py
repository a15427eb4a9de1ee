"""``wsekern chat``: a conversation with a model on a simulated wafer."""

import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from wsekern.cli.options import ACTIVATIONS, COUNT, MEMORY, PRECISION, PROFILE, THREADS, parse_grid
from wsekern.cli.sampling import choose_sampler, open_model, printable, sampling_options, tell_notes
from wsekern.errors import WsekernError
from wsekern.output import ProgressBar

if TYPE_CHECKING:
    from wsekern.inference.conversation import Conversation
    from wsekern.machine import Machine

KEYS = "Ctrl-C stops an answer, Ctrl-D ends, /new starts anew"


@click.command()
@click.argument("model")
@click.option("--system", metavar="TEXT", help="What the system says before the first message.")
@click.option("--tokens", default=256, show_default=True, type=COUNT, help="Longest answer.")
@click.option("--context", default=2048, show_default=True, type=COUNT,
              help="Tokens of the whole conversation that the cache has room for.")
@click.option("--grid", "grid_text", metavar="WxH", help="Grid of PEs; default: a small one that fits.")
@click.option("--machine", default="wse3", show_default=True, help="wse1, wse2, wse3, or a TOML file.")
@PRECISION
@PROFILE
@ACTIVATIONS
@sampling_options
@click.option("--threads", default=1, show_default=True, type=THREADS, help="Threads of the simulation.")
@MEMORY
def chat(model: str, system: str | None, tokens: int, context: int, grid_text: str | None, machine: str, precision: str,
         profile: str, activations: str | None, seed: int, threads: int, memory: int | None,
         **sampling: float | None) -> None:
    """Chat with MODEL (a Hugging Face folder, a GGUF file, or 'smollm2-135m' if it is installed) on a simulated wafer.

    Every line is a message. Its cache keeps what was said, so that only new text is read.
    """
    from wsekern.inference.conversation import Conversation, template_of
    from wsekern.inference.execution import place
    from wsekern.machine import load_machine

    wafer, checkpoint = load_machine(machine), open_model(model)
    template_of(checkpoint)  # before the weights are read
    sampler = choose_sampler(checkpoint, seed, **sampling)
    tell_notes(checkpoint, sampler, any(value is not None for value in sampling.values()))
    with ProgressBar("laying the weights on the wafer"):
        placed = place(checkpoint, wafer, min(context, checkpoint.config.max_context), precision=precision,
                       grid=parse_grid(grid_text), profile=profile, threads=threads, activations=activations, memory=memory)
    if sys.stdin.isatty():
        click.echo(f"{checkpoint.config.name} on {placed.mapping.width}x{placed.mapping.height} PEs of a simulated "
                   f"{wafer.title}: {KEYS}", err=True)
    _talk(Conversation(checkpoint, placed, sampler, system), tokens, wafer)


def _talk(conversation: "Conversation", tokens: int, wafer: "Machine") -> None:
    """Answer line after line."""
    for line in _lines():
        if line == "/new":
            conversation.start_anew()
            continue
        try:
            _answer(conversation, line, tokens, wafer)
        except WsekernError as error:
            if not sys.stdin.isatty():
                raise
            click.echo(f"wsekern: {error}", err=True)


def _lines() -> Iterator[str]:
    """What the user says, without empty lines: asked for on a terminal, else the lines of standard input."""
    ask = sys.stdin.isatty()
    if ask:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  arrow keys and history of input()
    while True:
        try:
            line = input("> ") if ask else sys.stdin.readline()
        except EOFError:
            click.echo(err=True)
            return
        except KeyboardInterrupt:
            if not ask:
                raise
            click.echo(f"\n{KEYS}", err=True)
            continue
        if not line and not ask:
            return
        if line.strip():
            yield line.strip()


def _answer(conversation: "Conversation", line: str, tokens: int, wafer: "Machine") -> None:
    """One answer, as it comes, and what it took."""
    from wsekern.inference.conversation import Stopped

    began, shown = time.monotonic(), printable if sys.stdout.isatty() else str
    bar = ProgressBar("reading", None)
    with _first_interrupt() as interrupted, bar as advance:

        def read(count: int) -> None:
            advance(count)
            if interrupted():
                raise Stopped

        def write(piece: str) -> None:
            bar.close()
            click.echo(shown(piece), nl=False)

        try:
            answer = conversation.ask(line, tokens, read, write, interrupted)
        except Stopped:
            bar.close()
            click.echo("(stopped)", err=True)
            return
    click.echo()
    done, clock = answer.generation, float(wafer.clock)
    rate = f"{clock / done.cycles_per_token:,.0f} tokens/s" if done.token_cycles else "one token"
    click.echo(click.style(
        f"[{done.read_tokens} tokens read in {done.prefill_cycles / clock * 1e3:,.2f} ms, {len(done.tokens)} written at {rate} "
        f"on the simulated {wafer.title}; {time.monotonic() - began:,.1f} s here]", dim=True), err=True)


@contextlib.contextmanager
def _first_interrupt() -> Iterator:
    """On a terminal, the first Ctrl-C only tells the function that is given, so that steps end whole; the second stops all."""
    seen: list[int] = []
    if not sys.stdin.isatty():
        yield lambda: False
        return

    def note(number: int, frame: object) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, before)
