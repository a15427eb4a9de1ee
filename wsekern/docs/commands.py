"""The command line's reference, from the commands themselves; in tables, as versions of click lay out help otherwise."""

import inspect
from collections.abc import Iterator

import click

from wsekern.cli import cli
from wsekern.docs.markdown import table


def command_reference() -> str:
    """Every command, each with its usage, its help and its options."""
    return "\n\n".join(_section(name, command) for name, command in _commands("wsekern", cli))


def _commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for child, inner in sorted(command.commands.items()):
            yield from _commands(f"{name} {child}", inner)


def _section(name: str, command: click.Command) -> str:
    arguments = [_argument(parameter) for parameter in command.params if isinstance(parameter, click.Argument)]
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option) and parameter.expose_value]
    usage = [name, *arguments, *(["[OPTIONS]"] if options else [])]
    parts = [f"## `{name}`", inspect.cleandoc(command.help or "")]
    if isinstance(command, click.Group):
        usage.append("COMMAND")
        parts.append(table(("command", "what it does"), [
            (f"[`{name} {child}`](#{f'{name} {child}'.replace(' ', '-')})", _first_sentence(inner))
            for child, inner in sorted(command.commands.items())]))
    parts.insert(1, f"```text\n{' '.join(usage)}\n```")
    if options:
        parts.append(table(("option", "meaning", "default"), [_option(option) for option in options]))
    return "\n\n".join(parts)


def _argument(argument: click.Argument) -> str:
    name = str(argument.name).upper()
    return name if argument.required else f"[{name}]"


def _option(option: click.Option) -> tuple[str, str, str]:
    choices = option.type.choices if isinstance(option.type, click.Choice) else ()
    value = "" if option.is_flag or choices else f" {option.metavar or option.type.name.upper()}"
    notes = [option.help] if option.help else []
    notes += [f"One of {', '.join(map(str, choices))}."] if choices else []
    notes += ["Required."] if option.required else []
    notes += ["May be repeated."] if option.multiple else []
    default = ",".join(option.default) if isinstance(option.default, tuple) else option.default
    return f"`{option.opts[0]}{value}`", " ".join(notes), f"`{default}`" if option.show_default else ""


def _first_sentence(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "").split("\n\n")[0].replace("\n", " ")
