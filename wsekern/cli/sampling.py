"""What ``run``, ``chat`` and ``evaluate`` share: the model that they load, and how its next token is chosen."""

import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from wsekern.cli.load import stated_by_user
from wsekern.cli.options import POSITIVE_SHARE, SHARE, Number, Whole
from wsekern.errors import InputError

if TYPE_CHECKING:
    from wsekern.inference.sampling import Sampler
    from wsekern.workload.checkpoint import Checkpoint

_OPTIONS = (
    click.option("--temperature", type=Number(), help="0 is greedy. Default of this and the next: as the model's "
                                                      "generation_config.json asks, or greedy."),
    click.option("--top-k", type=Whole(least=0), help="Draw from so many of the likeliest tokens; 0: from all."),
    click.option("--top-p", type=POSITIVE_SHARE, help="Draw from the likeliest tokens of this probability together."),
    click.option("--min-p", type=SHARE, help="Draw from tokens of at least this share of the likeliest one's probability."),
    click.option("--repetition-penalty", type=Number(above=True), help="Of tokens that were there before; 1: none."),
    click.option("--seed", default=0, show_default=True, type=Whole(least=0, most=2**63), help="Of the draws; the same seed "
                                                                                              "gives the same text."),
)


def sampling_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which hands them to :func:`choose_sampler`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def open_model(name: str) -> "Checkpoint":
    """The checkpoint in folder or file ``name``, or a bundled one."""
    from wsekern.workload.checkpoint import load_checkpoint
    from wsekern.workload.sample import sample_path

    return load_checkpoint(sample_path() if name == "sample" else name)


def choose_sampler(checkpoint: "Checkpoint", seed: int, **given: float | None) -> "Sampler":
    """What the user has ``given``, and what the model's files ask for elsewhere."""
    from wsekern.inference.sampling import Sampler

    sampler = Sampler.of(checkpoint.settings, seed, **given)
    dropped = [f"--{name.replace('_', '-')}" for name in ("top_k", "top_p", "min_p") if given.get(name) is not None]
    dropped += ["--seed"] if stated_by_user("seed") else []
    if dropped and not sampler.temperature:
        raise InputError(f"{dropped[0]} goes with tokens that are drawn, and greedy draws none: give a --temperature above 0")
    return sampler


def tell_notes(checkpoint: "Checkpoint", sampler: "Sampler", given: bool) -> None:
    """On standard error, what a user may not expect: a line for each note, and how tokens are chosen where the files say it."""
    notes = list(checkpoint.notes)
    words = sampler.describe()
    if not given and words != type(sampler)().describe():
        notes.append(f"tokens are chosen as generation_config.json asks: {words}")
    for note in notes:
        click.echo(f"note: {note}", err=True)


def printable(text: str) -> str:
    """``text`` without control characters: a model may write what a terminal would obey."""
    return "".join(letter for letter in text if unicodedata.category(letter) != "Cc" or letter in "\n\t")
