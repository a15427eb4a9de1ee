"""``wsekern validate``: predictions beside published (or the user's own) measurements."""

from typing import TYPE_CHECKING, Any

import click

from wsekern.cli.options import HTML, JSON, Command, emit, open_console, plot_option, write_page
from wsekern.errors import InputError
from wsekern.output import ProgressBar

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wsekern.report.html import Page


@click.command(cls=Command)
@click.option("--only", type=click.Choice(["wafer", "gpu", "machines"]))
@click.option("--data", "data_path", metavar="FILE.csv", help="Own measurements, recognised by their columns.")
@click.option("--rows", "show_rows", is_flag=True, help="Show every row, not only the groups.")
@click.option("--families", is_flag=True, help="Show errors per GPU and model family instead of groups.")
@plot_option("Draw predictions against measurements")
@HTML
@JSON
def validate(only: str | None, data_path: str | None, show_rows: bool, families: bool, plot_path: str | None,
             html_path: str | None, json_path: str | None) -> None:
    """Predictions beside published (or your own) measurements."""
    from wsekern.report import families_view, validation_plot, validation_view
    from wsekern.validation import cores, csl, formulas, gpu, machines, wafer
    from wsekern.validation.machine_rows import header_of, is_machine_table

    kinds = {"wafer": [wafer, formulas, cores, csl], "gpu": [gpu], "machines": [machines]}
    if data_path is not None:
        beside = machines if is_machine_table(header_of(data_path)) else gpu
        kinds = {"own": [cores] if wafer.is_wafer_table(data_path) else [beside]}
    elif only:
        kinds = {only: kinds[only]}
    modules = [module for group in kinds.values() for module in group]
    if families and gpu not in modules:
        raise InputError("--families is for measurements of GPUs; leave it out, or use --only gpu")
    parts = []
    with ProgressBar("predicting what was measured", len(modules)) as advance:
        for module in modules:
            parts.append(module.validate_rows(data_path))
            advance()
    validation = {key: [item for part in parts for item in part[key]] for key in ("rows", "groups")}
    if plot_path:
        validation_plot(validation, plot_path)
    if families:
        validation["families"] = gpu.family_table(data_path)
    view = families_view(validation["families"]) if families else validation_view(validation, show_rows)
    write_page(html_path, lambda: _page(validation, view))
    emit(json_path, validation)
    if json_path != "-":
        open_console().print(view)


def _page(validation: dict[str, Any], view: "RenderableType") -> "Page":
    from wsekern.report.pages import validation_page

    return validation_page(validation, view)
