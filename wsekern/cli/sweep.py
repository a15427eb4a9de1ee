"""``wsekern sweep``: thousands of comparisons, on all cores or on many machines."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsekern.cli.options import (
    COUNT,
    HTML,
    JSON,
    Command,
    Target,
    emit,
    open_console,
    plot_option,
    same_file,
    write_page,
)
from wsekern.errors import InputError
from wsekern.output import ProgressBar

if TYPE_CHECKING:
    from wsekern.sweep.spec import Plan

MEASURES = ("tokens_per_usd", "tokens_per_joule", "request_seconds", "tokens_per_second_per_user", "tokens_per_second",
            "time_to_first_token")
"""Answers of a sweep: how many times better the wafers are in one of them."""


@click.command(cls=Command)
@click.argument("spec", metavar="SPEC.toml")
@click.option("--out", metavar="FILE", type=Target(),
              help="Where the records go: .jsonl, .parquet or .csv; while the sweep runs, lines of JSON beside it. Default: "
                   "the name of SPEC with .jsonl.")
@click.option("--jobs", type=COUNT, metavar="N", help="Processes on this machine. Default: as many as it has cores.")
@click.option("--dask", metavar="ADDRESS", help="Run on the workers of this Dask scheduler, such as tcp://host:8786.")
@click.option("--measure", type=click.Choice(MEASURES), default=MEASURES[0], show_default=True,
              help="The answer that is looked at: how many times better the wafers are in it.")
@JSON
@HTML
@plot_option("Draw where either side wins, and which input moves that most")
def sweep(spec: str, out: str | None, jobs: int | None, dask: str | None, measure: str, json_path: str | None,
          html_path: str | None, plot_path: str | None) -> None:
    """Compare wafers with clusters at many points: SPEC.toml says which inputs have which values.

    Any input of `wsekern compare` is an axis, and so is any number in the description of a machine (machine.fabric.hop_latency,
    gpu.price.per_hour): in lists, on grids, drawn at random or from a Latin hypercube, or as the indices of Sobol and Morris
    want it. Every point is written as soon as it is done; a sweep that was interrupted goes on when it is started again.
    """
    from wsekern.report.sweeps import sweep_data, sweep_page, sweep_picture, sweep_report
    from wsekern.sweep.findings import Findings
    from wsekern.sweep.run import journal_of
    from wsekern.sweep.spec import load_plan

    if jobs is not None and dask is not None:
        raise InputError("--jobs and --dask go one without the other: Dask's workers are as many as were started")
    path = Path(out) if out else Path(Path(spec).stem + ".jsonl")
    for option, other in (("--json", json_path), ("--html", html_path), ("--plot", plot_path), ("SPEC.toml", spec)):
        if other and any(same_file(Path(other), one) for one in (path, journal_of(path))):
            raise InputError(f"{option} names {other}, where the records go: give each a file of its own")
    plan = load_plan(spec)
    found = Findings(plan, _run(plan, path, jobs, dask), measure)
    if plot_path:
        sweep_picture(found, plot_path)
    write_page(html_path, lambda: sweep_page(found, path.name))
    emit(json_path, sweep_data(found))
    if json_path != "-":
        open_console().print(sweep_report(found, str(path)))


def _run(plan: "Plan", path: Path, jobs: int | None, dask: str | None) -> list[dict[str, Any]]:
    """All records, with a bar while they are made; an interrupt says how to go on."""
    from wsekern.sweep.run import journal_of, run, usable_cpus

    with ProgressBar("answering points", len(plan.points)) as advance:
        try:
            return run(plan, path, jobs=jobs or usable_cpus(), dask=dask, on_start=advance, on_record=advance)
        except KeyboardInterrupt:
            click.echo(f"wsekern: what is done is in {journal_of(path)}: start again to go on", err=True)
            raise
