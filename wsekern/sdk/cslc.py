"""The ``cslc`` command: options as people write them, the out folder, errors on standard error."""

import os
import re
import sys
from pathlib import Path

from wsekern.csl import dialect as dialects
from wsekern.csl.build import Options, build
from wsekern.errors import InputError, WsekernError
from wsekern.output import ProgressBar, run_and_exit
from wsekern.sdk import artifact
from wsekern.sdk.speed import PATIENCE

FLAGS = {"memcpy", "output-json", "out-routes", "verbose", "warnings-as-errors", "g0", "v"}
"""Options without a value."""


def parse(arguments: list[str]) -> tuple[str, dict[str, list[str]]]:
    """(source, options with their values)."""
    source, options, k = "", {}, 0
    while k < len(arguments):
        word = arguments[k]
        k += 1
        if not word.startswith("-"):
            source = word
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if not equals and name not in FLAGS:
            if k >= len(arguments):
                raise InputError(f"cslc: {word[:60]!r} is the last argument: expected its value behind it")
            value = arguments[k]
            k += 1
        options.setdefault(name, []).append(value)
    return source, options


def pair(options: dict[str, list[str]], name: str) -> tuple[int, int]:
    """``W,H``."""
    text = options.get(name, ["0,0"])[-1]
    found = re.fullmatch(r"\s*(\d{1,9})\s*,\s*(\d{1,9})\s*", text)
    if found is None:
        raise InputError(f"cslc: --{name} is {text[:60]!r}, expected two whole numbers such as 8,3")
    return int(found[1]), int(found[2])


def cslc(arguments: list[str]) -> int:
    """Compile; 0, or 1 where there are errors."""
    source, options = parse(arguments)
    given: dict[str, int] = {}
    try:
        for text in options.get("params", []) + options.get("colors", []):
            for each in filter(None, text.split(",")):
                name, _, value = each.partition(":")
                given[name] = int(value, 0)
    except ValueError:
        print(f"cslc: {each!r} is no parameter: expected name:number", file=sys.stderr)
        return 2
    if not source:
        print("cslc: no source file: expected cslc LAYOUT.csl --arch=wse2|wse3 ... -o out", file=sys.stderr)
        return 2
    folders = tuple(Path(each) for text in options.get("import-path", []) for each in text.split(":"))
    asked = options.get("dialect", [os.environ.get("WSEKERN_CSL_DIALECT", "auto")])[-1]
    out = Path(options.get("o", ["out"])[-1])
    try:
        dialect = dialects.chosen(asked, Path(source), folders)
        print(f"cslc: {dialect.text()}")
        chosen = Options(options.get("arch", ["wse2"])[-1], dialect.name, options.get("fp16-format", ["f16"])[-1], folders,
                         options.get("timing", [os.environ.get("WSEKERN_CSL_TIMING", "vendor-simulator")])[-1])
        fabric, offsets = pair(options, "fabric-dims"), pair(options, "fabric-offsets")
        with ProgressBar(f"compiling {source}", after=PATIENCE):
            made = build(source, given, chosen, fabric, offsets)
    except WsekernError as error:
        print(error, file=sys.stderr)
        return 1
    for text in made.said:
        print(text)
    for warning in made.diagnostics.warnings:
        print(warning.text(), file=sys.stderr)
    if made.diagnostics.warnings and "warnings-as-errors" in options:
        print(f"cslc: {len(made.diagnostics.warnings)} warnings, and --warnings-as-errors was asked for", file=sys.stderr)
        return 1
    artifact.write(out, Path(source), made, given)
    return 0


if __name__ == "__main__":
    run_and_exit(lambda: cslc(sys.argv[1:]))
