"""``wsekern machines``: every wafer, chip, cluster and model shape that the package describes, with sources."""

import click

from wsekern.cli.options import JSON, Command, emit, open_console


@click.command(cls=Command)
@click.argument("name", required=False)
@JSON
def machines(name: str | None, json_path: str | None) -> None:
    """Every wafer, chip, cluster and model shape that the package describes; with NAME, every number of one and its source.

    NAME may be the TOML file of your own wafer or chip.
    """
    from wsekern.report import machine_data, machine_view, machines_data, machines_view

    data = machines_data() if name is None else machine_data(name)
    emit(json_path, data)
    if json_path != "-":
        open_console().print(machines_view() if name is None else machine_view(name, data))
