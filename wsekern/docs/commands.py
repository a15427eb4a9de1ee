"""The command line's reference, from the help texts of its commands."""

from collections.abc import Iterator

import click

from wsekern.cli import cli

WIDTH = 110


def command_reference() -> str:
    """Every command in the order of the help, each with its help text."""
    sections = []
    for name, command in _commands("wsekern", cli):
        context = click.Context(command, info_name=name, max_content_width=WIDTH, terminal_width=WIDTH, color=False)
        sections.append(f"## `{name}`\n\n```text\n{command.get_help(context)}\n```")
    return "\n\n".join(sections)


def _commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for child, inner in sorted(command.commands.items()):
            yield from _commands(f"{name} {child}", inner)
