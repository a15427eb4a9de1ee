"""How either side is asked to serve: options that ``compare`` takes beside the request, and the choices they make."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from wsekern.cli.options import COUNT, SHARE, Number
from wsekern.errors import InputError

if TYPE_CHECKING:
    from wsekern.compare import Serving
    from wsekern.workload.speculation import Speculation

_SPECULATION = (
    click.option("--speculate", type=COUNT, metavar="K", help="Drafted tokens that every pass checks."),
    click.option("--acceptance", type=SHARE, metavar="A",
                 help="With --speculate: probability that a drafted token is accepted if all before it were (assumed; "
                      "`run --speculate` measures one)."),
    click.option("--draft", metavar="NAME",
                 help="With --speculate: ngram (found by the host in no time), layer:N (the model's own first N layers and its "
                      "head), or a smaller MODEL (on regions of its own); default: a draft that takes no time."),
)
_OPTIONS = (
    click.option("--think", "think_seconds", default=0.0, type=Number(), metavar="SECONDS",
                 help="Between an answer and the next prompt of the same user."),
    click.option("--tp", type=COUNT, help="Tensor parallel degree of the GPUs; default: of the layout that answers soonest."),
    click.option("--pp", type=COUNT, help="Pipeline parallel degree of the GPUs."),
    click.option("--dp", type=COUNT, help="Data parallel degree of the GPUs; default: copies that fill the cluster."),
    click.option("--ep", type=COUNT, help="Expert parallel degree of the GPUs."),
    click.option("--gpu-precision", metavar="NAME",
                 help="Weights on the GPUs: fp8, fp4, mxfp4, int4, int8, bf16, ...; default: as the checkpoint is stored."),
    click.option("--kv-precision", metavar="NAME",
                 help="Cache on either side: bf16, fp16, fp8, ...; a wafer refuses what it cannot hold."),
    click.option("--no-chunked-prefill", "chunked_prefill", is_flag=True, flag_value=False, default=True,
                 help="GPUs stop decoding while they read a prompt."),
    *_SPECULATION,
    click.option("--shared-prefix", default=0.0, type=SHARE, metavar="SHARE",
                 help="Share of every prompt that is in the cache already, once for all users."),
    click.option("--prefill-cluster", metavar="NAME", help="GPUs that read the prompts of either side and send it the cache."),
)


def serving_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which hands them to :func:`serving_of`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


NAMES = ("think_seconds", "tp", "pp", "dp", "ep", "gpu_precision", "kv_precision", "chunked_prefill", "shared_prefix",
         "prefill_cluster")
"""Parameters that :func:`serving_options` adds, but for those of speculation."""


def serving_of(given: dict[str, Any]) -> "Serving":
    """The choices among ``given`` parameters, which are taken out."""
    from wsekern.compare import Serving

    return Serving(speculation=speculation_of(given), **{name: given.pop(name) for name in NAMES})


def speculation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of drafted tokens alone, which a command hands to :func:`speculation_of`."""
    for option in reversed(_SPECULATION):
        command = option(command)
    return command


def speculation_of(given: dict[str, Any]) -> "Speculation | None":
    """What is said of drafted tokens among ``given`` parameters, which are taken out."""
    from wsekern.workload.speculation import FREE, Draft, Speculation

    drafted, acceptance, draft = given.pop("speculate"), given.pop("acceptance"), given.pop("draft")
    if (drafted is None) != (acceptance is None):
        raise InputError("--speculate and --acceptance go together: how many tokens are drafted, and how often one is accepted")
    if draft is not None and drafted is None:
        raise InputError("--draft goes with --speculate: how many tokens are drafted")
    return None if drafted is None else Speculation(drafted, acceptance, FREE if draft is None else Draft.of(draft))
