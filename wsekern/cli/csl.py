"""``wsekern csl`` and ``wsekern sdk``: compile CSL, and run scripts that were written for the vendor's SDK."""

import sys
from pathlib import Path

import click

from wsekern.cli.options import COUNT, HTML, JSON, Command, Copied, CopiedTarget, Target, emit, open_console, write_page
from wsekern.output import ProgressBar


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
    with ProgressBar("reading", len(files), after=2.0) as advance:
        for name in files:
            parse(Source.read(name), found)
            advance()
    found.check()
    click.echo(f"{len(files)} file{'s' * (len(files) > 1)}: no errors of syntax")


@csl.command(cls=Command)
@click.argument("folder", type=click.Path())
@click.option("--launch", "launches", metavar="FUNCTION", multiple=True, help="Start an exported function; several, in order.")
@click.option("--set", "given", metavar="NAME=FILE", multiple=True, type=Copied(),
              help="Copy an array (.npy, of height x width x elements) to an exported variable first.")
@click.option("--get", "wanted", metavar="NAME=FILE", multiple=True, type=CopiedTarget(),
              help="Write an exported variable of all PEs at the end.")
@click.option("--trace", "trace_path", metavar="FILE", type=Target(),
              help="Write the first cycles of the first function for https://ui.perfetto.dev.")
@click.option("--cycles", default=2000, show_default=True, type=COUNT, help="With --trace: how many cycles.")
def run(folder: str, launches: tuple[str, ...], given: tuple[str, ...], wanted: tuple[str, ...], trace_path: str | None,
        cycles: int) -> None:
    """Run the folder that build has left, without a host script; nothing is compiled again."""
    from wsekern.sdk import folder as folders

    click.echo(folders.run(Path(folder), launches, given, wanted, trace_path, cycles))


@csl.command(cls=Command, context_settings={"ignore_unknown_options": True})
@HTML
@JSON
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def profile(html_path: str | None, json_path: str | None, command: tuple[str, ...]) -> None:
    """Run a folder (with the options of run) or a command (as sdk does, such as bash commands_wse3.sh), and show what each line
    of CSL did: how often, cycles, and waits."""
    from rich.console import Group

    from wsekern.report.csl import profile_view
    from wsekern.report.pages import profile_data, profile_page
    from wsekern.sdk.profile import of_command

    words = list(command)
    if Path(words[0]).is_dir():
        words = [sys.executable, "-P", "-m", "wsekern.cli", "csl", "run", *words]
    status, found = of_command(words, sys.stderr if json_path == "-" else None)
    if not found:
        sys.exit(status)
    open_console(json_path).print(Group(*map(profile_view, found)))
    emit(json_path, profile_data(found))
    write_page(html_path, lambda: profile_page(" ".join(command), found))
    sys.exit(status)


@click.group()
def sdk() -> None:
    """Scripts that were written for the vendor's SDK, with its cslc, cs_python and modules in place."""


@sdk.command(cls=Command)
@click.argument("script", type=click.Path())
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bash(script: str, arguments: tuple[str, ...]) -> None:
    """Run a shell script, such as commands_wse3.sh, in the current folder."""
    from wsekern.sdk import shell as tools

    sys.exit(tools.run(["bash", script, *arguments]))


@sdk.command(cls=Command)
def shell() -> None:
    """Open a shell in which cslc and cs_python are wsekern's."""
    import os

    from wsekern.sdk import shell as tools

    sys.exit(tools.run([os.environ.get("SHELL", "bash")]))
