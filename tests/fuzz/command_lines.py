"""Command lines of every command, made of the options that click knows: valid ones, and ones that are nearly so."""

import contextlib
import io
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import click

from wsekern.cli import cli, main
from wsekern.cli.options import Bytes, Number, Target, Whole

OPERATIONS = ("broadcast", "reduce", "allreduce", "ktree", "gemv", "shift", "transpose")
BEGINNINGS = {
    "compare": ("compare llama3-8b", "compare qwen3-30b-a3b"),
    "plan": ("plan sample", "plan llama3.2-1b --wafers 1"), "run": ("run sample --prompt Once --tokens 2",),
    "evaluate": ("evaluate sample --tokens 3",), "machines": ("machines", "machines wse2", "machines h100"),
    "validate": ("validate --only none",), "predict op": tuple(
        f"predict op {name} --grid 8x8" for name in OPERATIONS),
    "predict wafer": ("predict wafer llama3-8b --phase decode --grid 420x420 --context 128",),
    "predict gpu": ("predict gpu llama3-8b --phase decode --gpu h100 --context 128",
                    "predict gpu mixtral-8x7b --phase prefill --gpu b200 --context 128"),
    "predict cluster": ("predict cluster llama3-8b --cluster h100x8",), "chat": ("chat sample --tokens 2",),
    "csl check": ("csl check",), "csl build": ("csl build",),
}
"""How command lines begin, by command, with arguments that make sense and are quick; of others with their name alone."""
SELDOM = {"compare": 0.1, "plan": 0.1}
"""How often a command is drawn beside one of the others: a line of these, where it is valid, searches for seconds. The matrix
has all their pairs."""

VALUES: dict[str, tuple[str, ...]] = {
    "--wafer": ("wse2", "wse3"), "--machine": ("wse2", "wse3", "wse1"), "--wafers": ("auto", "2", "1:2"),
    "--cluster": ("h100x8", "auto", "a100-80x4", "b200x4,tpu7x-16"), "--prompt": ("16", "1024", "Once"),
    "--output": ("1", "64"),
    "--batch": ("1", "16"), "--precision": ("fp16", "bf16", "fp32", "fp16_fp32", "fp8"),
    "--profile": ("silicon", "vendor-simulator"),
    "--engine-level": ("stock", "ideal", "tuned", "eager", "sglang"), "--batches": ("1,64",), "--prompts": ("16,1024",),
    "--power": ("1MW",), "--min-speed": ("10",), "--grid": ("8x1", "8x8", "1x16", "420x420"), "--tile": ("4x4", "4x4x4"),
    "--words": ("16", "1"), "--groups": ("2", "2x2"), "--relays": ("1",), "--context": ("16", "2000"), "--users": ("1", "1:4"),
    "--mix": ("100/20", "50/50:0.5"), "--weight-precision": ("fp8", "int4", "experts=mxfp4"), "--cache-precision": ("fp8",),
    "--expert-law": ("zipf:0.9", "uniform"), "--gpu-precision": ("fp8", "bf16"), "--kv-precision": ("fp8", "bf16"),
    "--draft": ("ngram", "layer:1"), "--prefill-cluster": ("h100x4",), "--systems": ("auto", "1"), "--gpu": ("h100", "a100-80"),
    "--gpus": ("1", "8"), "--memory": ("8GB",), "--tokens": ("1", "2"), "--system": ("Be kind.",), "--chat": ("Hello",),
    "--speculate": ("2",), "--requests": ("20",), "--rate": ("0.5",), "--threads": ("1", "2"), "--weights": ("8",),
    "--regions": ("2",), "--only": ("wafer", "gpu"), "--receivers": ("8",), "--tail": ("2",),
}
"""Values that make sense, where an option's type does not say them."""

NASTY = ("0", "-1", "1.5", "1e9", "1e400", "nan", "inf", "-inf", "x", "xx", "8x", "x8", "0x0", "1x1", "-1x4", "1,2", ",",
         "1,,2", "auto", "é", "None", "true", "../..", "/dev/null", "wse9", "1e400MW", "--json", ":", "1:", "/", "zipf:nan",
         "layer:-1", "0/0", "[bold]", "٣", "", " ", "1 kW",
         "9" * 30, "1" * 5000, "h100x" + "9" * 5000, "\x1b[31m", "\u202e", "a\nb", "\ud800")


@cache
def commands() -> dict[str, click.Command]:
    """Every command by its words."""
    found: dict[str, click.Command] = {}

    def collect(command: click.Command, words: tuple[str, ...]) -> None:
        if isinstance(command, click.Group):
            for name, inner in command.commands.items():
                collect(inner, (*words, name))
        else:
            found[" ".join(words)] = command

    collect(cli, ())
    return found


@cache
def beginnings() -> dict[str, tuple[str, ...]]:
    """How the lines of each command begin. ``sdk`` runs scripts and shells: it is not tried."""
    others = {name: (name,) for name in commands() if name not in BEGINNINGS and not name.startswith("sdk ")}
    return {**BEGINNINGS, **others}


def options(command: click.Command) -> list[click.Option]:
    """Options of a command, without those that write files or end it."""
    return [param for param in command.params if isinstance(param, click.Option) and param.name != "help"
            and not isinstance(param.type, Target)]


def good_values(option: click.Option) -> tuple[str, ...]:
    """Values of an option that make sense."""
    name = option.opts[0]
    if option.is_flag:
        return ("",)
    if isinstance(option.type, click.Choice):
        return tuple(map(str, option.type.choices))
    if name in VALUES:
        return VALUES[name]
    if isinstance(option.type, Whole):
        return ("1", "2")
    if isinstance(option.type, Number | click.types.FloatParamType):
        return ("0.5", "1")
    return ("8GB",) if isinstance(option.type, Bytes) else ()


def odd_number(random: Random) -> str:
    return str(random.choice((random.randrange(-3, 40), random.randrange(10**10), round(random.uniform(-2, 3), 3))))


def command_line(random: Random) -> list[str]:
    """A command with some of its options, most of them valid."""
    names = sorted(beginnings())
    name = random.choices(names, [SELDOM.get(each, 1.0) for each in names])[0]
    arguments = random.choice(beginnings()[name]).split()
    known = [option for option in options(commands()[name]) if good_values(option)]
    for option in random.sample(known, random.randrange(min(6, len(known) + 1))):
        value = random.choice(good_values(option))
        if not option.is_flag and random.random() < 0.2:
            value = random.choice(NASTY) if random.random() < 0.7 else odd_number(random)
        arguments += [random.choice(option.opts)] + [value] * (not option.is_flag)
    if random.random() < 0.1:
        arguments.insert(random.randrange(1, len(arguments) + 1), random.choice(NASTY))
    return arguments


def holes(data: Any) -> bool:
    """Whether numbers in ``data`` are not finite."""
    items = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return (isinstance(data, float) and not math.isfinite(data)) or any(map(holes, items))


def has_json(arguments: list[str]) -> bool:
    """Whether the command of a line writes JSON."""
    words = " ".join(arguments[:2])
    command = commands().get(words) or commands().get(arguments[0])
    return any("--json" in param.opts for param in command.params) if command else False


def outcome(arguments: list[str]) -> tuple[int | None, str, str]:
    """Exit code, standard output and standard error of a command line in this process."""
    out, err, before = io.StringIO(), io.StringIO(), (sys.argv, sys.stdin, os.getcwd())
    sys.argv, sys.stdin = ["wsekern", *arguments], io.StringIO("Hello\n")
    code = None
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                main()
        except SystemExit as end:
            code = end.code
        finally:
            sys.argv, sys.stdin = before[:2]
            os.chdir(before[2])
            left = [path.name for path in Path(folder).iterdir()]
    assert code == 0 or not left, f"refused, and left {left}"
    return code, out.getvalue(), err.getvalue()


def outcome_of_process(arguments: list[str]) -> tuple[int | None, str, str]:
    """As :func:`outcome`, in a process of its own."""
    words = [argument.encode("utf-8", "replace").decode() for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, "-P", "-m", "wsekern", *words], cwd=folder, input="Hello\n", capture_output=True,
                              text=True, check=False)
        left = [path.name for path in Path(folder).iterdir()]
    assert done.returncode == 0 or not left, f"refused, and left {left}"
    return done.returncode, done.stdout, done.stderr


def checked(arguments: list[str], run: Callable[[list[str]], tuple[int | None, str, str]] = outcome) -> bool | None:
    """Run a command line: an answer without a hole, or a refusal in one sentence, for which None is given."""
    arguments = [*arguments, "--json", "-"] if has_json(arguments) else arguments
    code, out, err = run(arguments)
    said = f"exit code {code}, {err[:300]!r} for {arguments}"
    assert code in (0, 2) or (code == 1 and arguments[:2] == ["csl", "build"]), said
    if code == 2:
        assert (out == "" or arguments[0] == "chat") and err.count("\n") == 1 and err.startswith(("wsekern: ", "cslc: ")), said
        return None
    assert code or "--json" not in arguments or not holes(json.loads(out)), said
    assert "Traceback" not in err and "Warning" not in err, said
    return True


def try_command_line(random: Random) -> bool | None:
    """An entrance: a command line in this process."""
    return checked(command_line(random))


def try_process(random: Random) -> bool | None:
    """An entrance: a command line in a process of its own."""
    return checked(command_line(random), outcome_of_process)


def matrix() -> Iterator[list[str]]:
    """Every pair of values of every two options of each command, on each of its beginnings."""
    for name, starts in beginnings().items():
        known = [option for option in options(commands()[name]) if good_values(option)]
        for beginning in starts:
            yield beginning.split()
            for pair in itertools.combinations(known, 2):
                for values in itertools.product(*map(good_values, pair)):
                    yield [*beginning.split(), *(word for option, value in zip(pair, values, strict=True)
                                                 for word in ([option.opts[0]] if option.is_flag else [option.opts[0], value]))]
