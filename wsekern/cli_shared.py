"""What the commands share: options, where output goes, how text becomes numbers, progress."""

import functools
import sys
from collections.abc import Callable
from typing import Any

import click

from wsekern.errors import InputError, WsekernError

PRECISION = click.option("--precision", default="fp16", show_default=True, help="fp32, fp16, fp16_fp32, bf16 (GPU: fp8 too).")
PROFILE = click.option("--profile", default="silicon", show_default=True,
                       help="Timing of the wafer: silicon or vendor-simulator.")
JSON = click.option("--json", "json_path", metavar="FILE",
                    help="Write JSON to FILE; '-' is standard output, and nothing else goes there.")


def open_console(json_path: str | None = None):
    """Where people read: standard output, or standard error when standard output carries JSON."""
    from rich.console import Console

    return Console(stderr=json_path == "-", highlight=False)


def emit(json_path: str | None, data: Any) -> None:
    """Write ``data`` as JSON where the user asked for it."""
    from wsekern.report import to_json, write_file

    if json_path == "-":
        sys.stdout.write(to_json(data))
        sys.stdout.flush()
    elif json_path:
        write_file(json_path, to_json(data))


def parse_grid(text: str | None) -> tuple[int, int] | None:
    """``PxP`` (or ``WxH``) as numbers."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.strip().lstrip("-").isdigit() for part in parts):
        raise InputError(f"grid is {text!r}, expected WIDTHxHEIGHT such as 16x16")
    width, height = (int(part) for part in parts)
    if width < 1 or height < 1:
        raise InputError(f"grid is {text!r}, expected at least 1x1")
    return width, height


def parse_square(text: str) -> int:
    """``PxP`` as P, where an operation or a mapping asks for a square."""
    width, height = parse_grid(text)
    if width != height:
        raise InputError(f"grid is {text!r}, expected a square such as {width}x{width}")
    return width


def parse_tile(text: str | None) -> tuple[int, ...] | None:
    """``8x8`` or ``8x8x8`` as numbers."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if not all(part.isdigit() for part in parts):
        raise InputError(f"tile is {text!r}, expected sizes such as 8x8 or 8x8x8")
    return tuple(int(part) for part in parts)


def parse_numbers(name: str, text: str) -> tuple[int, ...]:
    """``1,2,4`` as numbers."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) for part in parts):
        raise InputError(f"{name} is {text!r}, expected whole numbers of at least 1, such as 1,8,64")
    return tuple(int(part) for part in parts)


def parse_wafers(text: str) -> int | None:
    """A number of wafers, or None for auto."""
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"wafers is {text!r}, expected auto or a whole number of at least 1")
    return int(text)


class ProgressBar:
    """A progress bar on standard error, only where somebody watches."""

    def __init__(self, title: str, total: int):
        from rich.console import Console
        from rich.progress import Progress

        self._bar = Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
        self._task = self._bar.add_task(title, total=total)

    def __enter__(self) -> Callable[[], None]:
        self._bar.start()
        return functools.partial(self._bar.advance, self._task)

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()


def show(json_path: str | None, title: str, facts: dict[str, Any]) -> None:
    """One prediction, as JSON or as a table."""
    from wsekern.report import facts_view

    emit(json_path, facts)
    if json_path != "-":
        open_console().print(facts_view(title, facts))


def run_command(command: click.Command) -> None:
    """Run a command and exit: one clear sentence and exit code 2 for anything a user can put right."""
    try:
        code = command.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except WsekernError as error:
        click.echo(f"wsekern: {error}", err=True)
        sys.exit(2)
    except click.ClickException as error:
        click.echo(f"wsekern: {error.format_message()}", err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("wsekern: interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
