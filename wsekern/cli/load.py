"""Real load: the options of ``compare`` that ask for one, and the run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from wsekern.cli.options import COUNT, POSITIVE_SHARE, Number, Whole, whole_number
from wsekern.errors import InputError
from wsekern.output import ProgressBar

if TYPE_CHECKING:
    from wsekern.compare.load_comparison import Load
    from wsekern.compare.load_report import Slo
    from wsekern.compare.serving import Serving
    from wsekern.machine import Machine
    from wsekern.report.html import Page

REQUESTS = 2000
"""Requests of a rate."""

_POSITIVE = Number(above=True)
_OPTIONS = (
    click.option("--rate", type=_POSITIVE, metavar="REQ/S",
                 help="Real load: requests that arrive at random, so many a second, with --prompt and --output tokens."),
    click.option("--trace", metavar="FILE",
                 help="Real load: requests of a .csv, .parquet or .jsonl file: when each arrives, its tokens in and out."),
    click.option("--trace-scale", type=_POSITIVE, metavar="X", help="Let requests arrive X times as fast as in the trace."),
    click.option("--requests", type=COUNT, help=f"How many requests: {REQUESTS:,} of a rate by default, a whole trace."),
    click.option("--seed", type=Whole(least=0), help="Of the random arrivals; 0 by default."),
    click.option("--slo-ttft", type=_POSITIVE, metavar="SECONDS", help="Objective: time to the first token."),
    click.option("--slo-tpot", type=_POSITIVE, metavar="SECONDS", help="Objective: mean time per further token of an answer."),
    click.option("--slo-share", type=POSITIVE_SHARE, metavar="SHARE",
                 help="Share of the requests that should keep the objective; 0.99 by default."),
    click.option("--systems", metavar="N|auto",
                 help="Systems of either side that share the load, 1 by default; auto: as few as keep the objective."),
)

NAMES = ("rate", "trace", "trace_scale", "requests", "seed", "slo_ttft", "slo_tpot", "slo_share", "systems")
"""Parameters that :func:`load_options` adds, None where they are not given."""


def load_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which hands them to :func:`load_of`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class Answer(NamedTuple):
    """What a command found: as the terminal shows it, as data, and as a page, which is made where it is asked for."""

    views: list[Any]
    data: dict[str, Any]
    page: "Callable[[], Page]"


@dataclass(frozen=True, kw_only=True)
class LoadRequest:
    """A load that the user asks for: either a ``rate`` or a ``trace``; None is the default of its option."""

    rate: float | None
    trace: str | None
    trace_scale: float | None
    requests: int | None
    seed: int | None
    slo_ttft: float | None
    slo_tpot: float | None
    slo_share: float | None
    systems: str | None

    def slo(self) -> "Slo":
        """The objective; it bounds nothing where no time is given."""
        from wsekern.compare.load_report import Slo

        if self.slo_share is not None and self.slo_ttft is None and self.slo_tpot is None:
            raise InputError("--slo-share wants --slo-ttft or --slo-tpot, times that such a share of the requests should keep")
        return Slo(time_to_first_token_seconds=self.slo_ttft, time_per_output_token_seconds=self.slo_tpot,
                   share=0.99 if self.slo_share is None else self.slo_share)

    def system_count(self) -> int | None:
        """How many systems; None for as few as keep the objective."""
        from wsekern.compare.load import MOST_SYSTEMS

        if self.systems == "auto":
            if self.slo_ttft is None and self.slo_tpot is None:
                raise InputError("--systems auto wants --slo-ttft or --slo-tpot, an objective that the systems should keep")
            return None
        count = 1 if self.systems is None else whole_number(self.systems)
        if not 1 <= count <= MOST_SYSTEMS:
            raise InputError(f"systems is {self.systems[:60]!r}, expected auto or a whole number of 1 to {MOST_SYSTEMS:,}")
        return count

    def load(self, prompt: int, output: int) -> "Load":
        """The requests; ``prompt`` and ``output`` tokens are those of a rate."""
        from wsekern.compare.load_comparison import poisson_load, trace_load

        if self.trace is not None:
            return trace_load(self.trace, self.requests, 1.0 if self.trace_scale is None else self.trace_scale)
        return poisson_load(self.rate, self.requests or REQUESTS, prompt, output, self.seed or 0)


def load_of(given: dict[str, Any]) -> LoadRequest | None:
    """The load among ``given`` parameters, which are taken out; None where no load is asked for."""
    options = {name: given.pop(name) for name in NAMES}
    stated = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if options["rate"] is None and options["trace"] is None:
        if stated:
            raise InputError(f"{' and '.join(stated)} {'goes' if len(stated) == 1 else 'go'} with a load: --rate or --trace")
        return None
    if options["rate"] is not None and options["trace"] is not None:
        raise InputError("--rate goes without --trace: requests arrive at random, or as in a trace")
    alone = ("seed",) if options["trace"] is not None else ("trace_scale",)
    lengths = ("prompt", "output") if options["trace"] is not None else ()
    wrong = [f"--{name.replace('_', '-')}" for name in alone if options[name] is not None]
    wrong += [f"--{name}" for name in lengths if stated_by_user(name)]
    if wrong:
        other = "--rate: a trace says itself when and how long its requests are" if lengths else "--trace"
        raise InputError(f"{' and '.join(wrong)} {'goes' if len(wrong) == 1 else 'go'} with {other}")
    return LoadRequest(**options)


def stated_by_user(name: str) -> bool:
    """Whether the parameter ``name`` of the running command is given, rather than its default."""
    return click.get_current_context().get_parameter_source(name) is not click.core.ParameterSource.DEFAULT


def serve_load(model: str, wanted: LoadRequest, plot_path: str | None, *, machine: "Machine", wafers: int | None,
               clusters: tuple[str, ...], prompt: int, output: int, batch: int, precision: str, profile: str,
               engine_level: str, serving: "Serving", threads: int) -> Answer:
    """Run the load on all sides."""
    from wsekern.compare.load_comparison import compare_load
    from wsekern.compare.load_sides import LoadSides
    from wsekern.report import load_plot, load_view
    from wsekern.workload import load_config

    slo, systems, config = wanted.slo(), wanted.system_count(), load_config(model)
    sides = LoadSides(config=config, machine=machine, wafers=wafers, cluster=clusters, precision=precision, profile=profile,
                      engine_level=engine_level, serving=serving, users=batch if stated_by_user("batch") else None)
    sides.check()
    load = wanted.load(prompt, output)
    with ProgressBar(f"serving {len(load.traffic):,} requests on all sides", None) as advance:
        comparison = compare_load(config, load, sides.wafers_for, sides.makers(), slo, systems, sides.forced, on_run=advance)
    if plot_path:
        load_plot(comparison, plot_path)
    data = comparison.to_dict()

    def page() -> "Page":
        from wsekern.report.pages import load_page

        return load_page(comparison, data)

    return Answer([load_view(comparison)], data, page)
