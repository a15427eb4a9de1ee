"""``wsekern csl`` and ``wsekern sdk``: compile CSL, and run scripts that were written for the vendor's SDK."""

import sys

import click

from wsekern.cli.options import Command


@click.group()
def csl() -> None:
    """Programs in CSL, the language of the wafer's vendor."""


@csl.command(cls=Command, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def build(arguments: tuple[str, ...]) -> None:
    """Compile a layout: the options are those of cslc (LAYOUT.csl --arch=wse2|wse3 --params=M:4,N:6 -o out)."""
    from wsekern.sdk.cslc import cslc

    sys.exit(cslc(list(arguments)))


@csl.command(cls=Command)
@click.argument("files", nargs=-1, required=True, type=click.Path())
def check(files: tuple[str, ...]) -> None:
    """Read source files, and say where they are not CSL (their types are checked by build)."""
    from wsekern.csl.parser import parse
    from wsekern.csl.source import Diagnostics, Source

    found = Diagnostics()
    for name in files:
        parse(Source.read(name), found)
    found.check()
    click.echo(f"{len(files)} file{'s' * (len(files) > 1)}: no errors of syntax")


@click.group()
def sdk() -> None:
    """Scripts that were written for the vendor's SDK, with its cslc, cs_python and modules in place."""


@sdk.command(cls=Command)
@click.argument("script", type=click.Path())
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bash(script: str, arguments: tuple[str, ...]) -> None:
    """Run a shell script, such as commands_wse3.sh, in the current folder."""
    from wsekern.sdk.shell import run

    sys.exit(run(["bash", script, *arguments]))


@sdk.command(cls=Command)
def shell() -> None:
    """Open a shell in which cslc and cs_python are wsekern's."""
    import os

    from wsekern.sdk.shell import run

    sys.exit(run([os.environ.get("SHELL", "bash")]))
