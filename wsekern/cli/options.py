"""What the commands share: options, where output goes, how text becomes numbers, progress."""

import contextlib
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import click

from wsekern._common import simd_level
from wsekern.description import LIMITS
from wsekern.errors import InputError
from wsekern.output import check_target, clicked, picture_kind, run_and_exit, to_json, write_file

if TYPE_CHECKING:
    from rich.console import Console

    from wsekern.report.html import Page

MAX_COUNT = 10**9
"""Sanity limit of a count on the command line."""

MAX_NUMBER = 1e12
"""Sanity limit of a number with a fraction."""

MAX_WAFERS = 2048
"""Systems in the largest cluster that the vendor offers."""


class Whole(click.ParamType):
    """A whole number from ``least`` to ``most``."""

    name = "integer"

    def __init__(self, least: int = 1, most: int = MAX_COUNT):
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """``value`` as a number; a refusal says what was expected."""
        text = str(value).strip()
        if not re.fullmatch(r"[+-]?[0-9]{1,20}", text) or not self._least <= int(text) <= self._most:
            self.fail(f"{text[:60]!r} is not a whole number from {self._least} to {self._most:,}.", param, ctx)
        return int(text)


COUNT = Whole()
THREADS = Whole(most=1024)


class Bytes(click.ParamType):
    """A size of memory: a whole number of B, or a number of kB, MB, GB or TB (1 GB is 10^9 bytes)."""

    name = "size"
    _UNITS: ClassVar[dict[str, int]] = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """``value`` in bytes; a refusal says what was expected."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([kmgt]?b|)\s*", str(value).lower())
        size = int(float(found[1]) * self._UNITS[found[2]]) if found else 0
        if size < 1:
            self.fail(f"{str(value)[:40]!r} is no size of memory: expected a number with B, MB or GB behind it, such as 8GB",
                      param, ctx)
        return size


class Number(click.ParamType):
    """A number of at least (or, ``above``, of more than) 0 and at most ``most``, for the reason ``why``."""

    name = "float"

    def __init__(self, above: bool = False, most: float = MAX_NUMBER, why: str = "nothing that is built is beyond"):
        self._above, self._most, self._why = above, most, why

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """``value`` as a number; a refusal says what was expected."""
        number = click.FLOAT.convert(value, param, ctx)
        enough = number > 0 if self._above else number >= 0
        if not enough or math.isinf(number):
            self.fail(f"{value} is not a finite number of {'more than' if self._above else 'at least'} 0.", param, ctx)
        if number > self._most:
            self.fail(f"{value} is more than {self._most:g}: {self._why}", param, ctx)
        return number


SHARE = Number(most=1.0, why="a share is at most the whole")
POSITIVE_SHARE = Number(above=True, most=1.0, why="a share is at most the whole")
FREQUENCY = Number(above=True, most=LIMITS["Hz"], why="no chip is clocked beyond, in Hz")


class Target(click.Path):
    """A file to write: checked before the work whose result should go there. ``standard``: '-' is standard output."""

    def __init__(self, standard: bool = False, picture: bool = False):
        super().__init__()
        self._standard, self._picture = standard, picture

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """``value`` if a file can be written there."""
        if value == "-":
            if not self._standard:
                self.fail("'-' is standard output, which takes JSON alone: name a file.", param, ctx)
            return value
        check_target(value)
        if self._picture:
            picture_kind(value)
        return value


class Copied(click.ParamType):
    """``NAME=FILE``: a file that is read."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """``value``, if it has both."""
        from wsekern.sdk.folder import named

        named(str(value))
        return value


class CopiedTarget(Copied, Target):
    """``NAME=FILE``: a file to write."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """``value``, if it has both and the file can be written."""
        Target.convert(self, Copied.convert(self, value, param, ctx).partition("=")[2], param, ctx)
        return value


class Renewed(click.Path):
    """A file that is read whole before the option ``by`` may replace it."""

    def __init__(self, by: str):
        super().__init__()
        self.by = by


class Command(click.Command):
    """A command that drops nothing: no option of one value has two, no output file is named twice, none is read by it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments; an option that is given twice is refused, of which one would be dropped."""
        if not ctx.resilient_parsing:
            _, _, order = self.make_parser(ctx).parse_args(args=list(args))
            for number, param in enumerate(order):
                if isinstance(param, click.Option) and not (param.multiple or param.is_flag) and param in order[:number]:
                    raise click.UsageError(f"{param.opts[0]} is given twice: one of them would be dropped", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Check the files, then run."""
        given = [(param, ctx.params.get(param.name)) for param in self.params]
        outputs = [(param.opts[0], Path(path)) for param, value in given if isinstance(param.type, Target)
                   for path in _files_named(param, value) if path != "-"]
        for number, (name, path) in enumerate(outputs):
            for other, before in outputs[:number]:
                if same_file(path, before):
                    raise InputError(f"{other} and {name} both name {path}: give each a file of its own")
            for param, value in given:
                if isinstance(param.type, Renewed) and param.type.by == name:
                    continue
                if not isinstance(param.type, Target) and any(same_file(path, read) for read in _files_read(
                        _files_named(param, value))):
                    raise InputError(f"{name} names {path}, which {_shown(param)} reads: it would be lost")
        return super().invoke(ctx)


def _files_named(param: click.Parameter, value: Any) -> tuple[str, ...]:
    """The files that a parameter's values name, without what stands before '='."""
    texts = () if value is None else tuple(map(str, value)) if isinstance(value, tuple) else (str(value),)
    return tuple(text.partition("=")[2] for text in texts) if isinstance(param.type, Copied) else texts


def _shown(param: click.Parameter) -> str:
    """A parameter as the user writes it."""
    return param.opts[0] if isinstance(param, click.Option) else param.human_readable_name


_READ = re.compile(r".*\.(?:safetensors|gguf|index\.json)|(?:config|tokenizer|tokenizer_config|generation_config)\.json")
"""Names of files that are read in the folder of a model."""


def _files_read(value: Any) -> list[Path]:
    """The files that an argument may name: itself, without a number of GPUs behind it, or what a folder keeps of a model."""
    found = []
    for text in map(str, value) if isinstance(value, tuple) else [str(value)] if isinstance(value, str | Path) else []:
        for path in (Path(text), _counted(text)):
            with contextlib.suppress(OSError, ValueError):
                found += [file for file in path.iterdir() if _READ.fullmatch(file.name)] if path.is_dir() else [path]
    return found


def same_file(one: Path, other: Path) -> bool:
    """Whether both names are one file, which need not exist."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return os.path.realpath(one) == os.path.realpath(other) if "\0" not in f"{one}{other}" else False


def cluster_option(text: str, default: tuple[str, ...] = ()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--cluster NAME,NAME,...``, which may be repeated, with ``text`` as its help: the names, or ``default``."""
    return click.option("--cluster", "clusters", metavar="NAME,...", multiple=True, default=default, show_default=bool(default),
                        callback=_names, help=text)


def _names(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """The names of all lists; a file may have a comma in its name."""
    names = [name.strip() for text in given for name in ([text] if _counted(text).is_file() else text.split(","))]
    if not all(names):
        raise InputError(f"cluster is {','.join(given)[:60]!r}: a name is missing, expected machines such as h200x8,b200x8")
    return tuple(names)


def _counted(text: str) -> Path:
    """The file that a machine may be, without how many behind it."""
    return Path(re.sub(r"(?:x|:)\d+$", "", text))


PRECISION = click.option("--precision", default="fp16", show_default=True, help="fp32, fp16, fp16_fp32, bf16 (GPU: fp8 too).")
PROFILE = click.option("--profile", default="silicon", show_default=True,
                       help="Timing of the wafer: silicon or vendor-simulator.")
ACTIVATIONS = click.option("--activations", type=click.Choice(["scalar", "vector", "vector-fp32"]),
                           help="SiLU and exponentials on the wafer: library calls, or vector instructions in the precision "
                                "or in fp32. Default: the quickest that costs the precision nothing.")
WEIGHT_PRECISION = click.option(
    "--weight-precision", default="", metavar="FORMAT",
    help="Format in which the wafer's PEs keep the matrices of layers: fp8, int8, int4, mxfp4; or of some classes of them "
         "(attention, feed, experts, head): experts=mxfp4. Default: that of --precision.")
CACHE_PRECISION = click.option("--cache-precision", default="", metavar="FORMAT",
                               help="Format in which the wafer's PEs keep keys and values: fp8. Default: that of --precision.")
MEMORY = click.option("--memory", metavar="SIZE", type=Bytes(),
                      help="Memory of this machine that weights and cache may take, such as 8GB: layers that do not fit are "
                           "read from the file again for every token. Default: no limit.")
JSON = click.option("--json", "json_path", metavar="FILE", type=Target(standard=True),
                    help="Write JSON to FILE; '-' is standard output, and nothing else goes there.")
HTML = click.option("--html", "html_path", metavar="FILE", type=Target(),
                    help="Write a page: tables and charts in one file, for any browser, offline.")
TIMELINE = click.option("--timeline", "timeline_path", metavar="FILE", type=Target(),
                        help="Write what happens when as JSON for ui.perfetto.dev.")


def write_page(path: str | None, page: "Callable[[], Page]") -> None:
    """Write ``page``, which is only made where a user asked for it."""
    if path:
        from wsekern.output import write_file
        from wsekern.report.html import render

        write_file(path, render(page()))


def plot_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--plot FILE`` with ``text`` as its help."""
    return click.option("--plot", "plot_path", metavar="FILE", type=Target(picture=True), help=f"{text} (.png, .svg or .pdf).")


def open_console(json_path: str | None = None) -> "Console":
    """Where people read: standard output, or standard error when standard output carries JSON."""
    from rich.console import Console

    return Console(stderr=json_path == "-", highlight=False)


def emit(json_path: str | None, data: Any) -> None:
    """Write ``data`` as JSON where the user asked for it."""
    if json_path == "-":
        click.echo(to_json(data), nl=False)
    elif json_path:
        write_file(json_path, to_json(data))


def whole_number(text: str) -> int:
    """A number in plain digits, at least 1; 0 for any other text."""
    return int(text) if re.fullmatch(r"[0-9]{1,10}", text.strip()) and int(text) <= MAX_COUNT else 0


def parse_grid(text: str | None) -> tuple[int, int] | None:
    """``PxP`` (or ``WxH``) as numbers."""
    if text is None:
        return None
    sizes = tuple(whole_number(part) for part in text.lower().split("x"))
    if len(sizes) != 2 or not all(sizes):
        raise InputError(f"grid is {text[:60]!r}, expected WIDTHxHEIGHT of at least 1x1, such as 16x16")
    return sizes


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
    sizes = tuple(whole_number(part) for part in text.lower().split("x"))
    if not all(sizes):
        raise InputError(f"tile is {text[:60]!r}, expected sizes of at least 1, such as 8x8 or 8x8x8")
    return sizes


def parse_numbers(name: str, text: str) -> tuple[int, ...]:
    """``1,2,4`` as numbers."""
    numbers = tuple(whole_number(part) for part in text.split(","))
    if not all(numbers):
        raise InputError(f"{name} is {text[:60]!r}, expected whole numbers of at least 1, such as 1,8,64")
    return numbers


def parse_wafers(text: str) -> int | None:
    """A number of wafers, or None for auto."""
    if text == "auto":
        return None
    wafers = whole_number(text)
    if not 1 <= wafers <= MAX_WAFERS:
        raise InputError(f"wafers is {text[:60]!r}, expected auto or a whole number of 1 to {MAX_WAFERS:,}")
    return wafers


def show(json_path: str | None, title: str, facts: dict[str, Any]) -> None:
    """One prediction, as JSON or as a table."""
    from wsekern.report import facts_view

    emit(json_path, facts)
    if json_path != "-":
        open_console().print(facts_view(title, facts))


def help_alone(context: click.Context) -> None:
    """Print help when no subcommand is given."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def run_command(command: click.Command) -> NoReturn:
    """Run a command and exit: one clear sentence and exit code 2 for anything a user can put right."""
    def run() -> Any:
        simd_level()  # refuses a level that WSEKERN_SIMD cannot have
        return clicked(command)

    run_and_exit(run)
