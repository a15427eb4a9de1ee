"""Command lines in forks of this process: what starts a process is done once, and everything after it is the real thing.

A fork runs ``python -m wsekern`` as Python does: with its own arguments, folder, standard streams and exit status. It has the
modules that were imported before, and what they keep; imports and first reads are tried by real processes.
"""

import contextlib
import gc
import io
import os
import runpy
import signal
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from random import Random
from typing import NoReturn

from tests.fuzz.command_lines import beginnings, checked, command_line, outcome
from wsekern.errors import WsekernError

CPU_SECONDS, SECONDS = 60, 3600
"""A command that takes more of the processor's time, or waits for longer, hangs: a signal ends it."""
ANSWER = "Hello\n"
"""What a command finds on its standard input."""


def prepare() -> None:
    """Import and read what commands need, by one line of each."""
    for starts in beginnings().values():
        with contextlib.suppress(WsekernError, AssertionError):
            outcome(starts[0].split())
    gc.collect()
    gc.freeze()         # what is there for all forks, none of them looks through or copies


def outcome_of_fork(arguments: list[str]) -> tuple[int | None, str, str]:
    """Exit code, standard output and standard error of a command line in a fork of this process."""
    words = [argument.encode("utf-8", "replace").decode() for argument in arguments]
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as files:
        folder = Path(name)
        (folder / "in").write_text(ANSWER)
        (folder / "here").mkdir()
        modes = {"in": "rb", "out": "wb", "err": "wb"}
        streams = [files.enter_context((folder / each).open(mode)) for each, mode in modes.items()]
        process = os.fork()
        if process == 0:
            _become([stream.fileno() for stream in streams], folder / "here", words)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        left = [path.name for path in (folder / "here").iterdir()]
        out, err = ((folder / each).read_text(encoding="utf-8", errors="surrogateescape") for each in ("out", "err"))
    assert code == 0 or not left, f"refused, and left {left}"
    return code, out, err


def _text(number: int, mode: str, errors: str) -> io.TextIOWrapper:
    """A standard stream, as Python opens it."""
    return io.TextIOWrapper(os.fdopen(number, mode, closefd=False), encoding="utf-8", errors=errors)


def _become(streams: list[int], folder: Path, words: list[str]) -> NoReturn:
    """Run the command line, and end as a process of Python does."""
    code = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        sys.stdin, sys.stdout, sys.stderr = (_text(0, "rb", "surrogateescape"), _text(1, "wb", "strict"),
                                             _text(2, "wb", "backslashreplace"))
        os.chdir(folder)
        warnings.resetwarnings()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        signal.alarm(SECONDS)
        sys.argv = ["wsekern", *words]
        code = _status()
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _status() -> int:
    """Of ``python -m wsekern``."""
    try:
        runpy.run_module("wsekern", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    return 0


def try_fork(random: Random) -> bool | None:
    """An entrance: a command line in a fork of this process."""
    return checked(command_line(random), outcome_of_fork)
