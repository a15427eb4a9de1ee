"""Profiles of host scripts: where the environment names a folder, every runtime leaves there what each line of CSL did."""

import atexit
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import msgspec

from wsekern.csl.files import text_of
from wsekern.errors import InputError
from wsekern.output import write_file
from wsekern.program.profile import Profile, Row
from wsekern.program.simulation import Simulation
from wsekern.sdk import shell

FOLDER = "WSEKERN_CSL_PROFILE"
"""Variable of the environment: the folder for profiles."""


@dataclass
class Profiled:
    """A run: its cycles, PEs with programs, lines that did anything, and the text of their files, where it is found."""

    cycles: int
    pes: int
    rows: list[Row]
    texts: dict[str, str]


def profiled(profile: Profile) -> Profiled:
    """What a profile has counted so far."""
    rows, simulation = profile.rows(), profile.simulation
    texts = {file: text_of(file) for file in dict.fromkeys(row.file for row in rows)}
    return Profiled(simulation.cycle, int((simulation.layout.program_of >= 0).sum()), rows,
                    {file: text for file, text in texts.items() if text is not None})


def recorded(simulation: Simulation) -> Callable[[], object]:
    """What runs a simulation until all is done; with a folder for profiles, one is written there when the process ends."""
    folder = os.environ.get(FOLDER)
    if folder:
        profile = Profile(simulation)
        path = Path(folder) / f"{os.getpid()}_{len(list(Path(folder).glob('*.json')))}_{id(profile)}.json"
        atexit.register(lambda: write_file(path, msgspec.json.encode(profiled(profile))))
    return partial(simulation.run, quiet=True)


def of_command(words: list[str], out: IO[str] | None = None) -> tuple[int, list[Profiled]]:
    """Run a command as ``wsekern sdk`` does: its exit status, and the profiles of its runs, the oldest first; none where it
    ended before any, of which it has told. What it prints goes ``out``, or where ours does."""
    with tempfile.TemporaryDirectory(prefix="wsekern-profile-") as folder:
        status = shell.run(words, {FOLDER: folder}, out)
        found = _read(Path(folder))
    if not found and not status:
        raise InputError("nothing has run on the simulated wafer: no SdkRuntime was made")
    return status, found


def _read(folder: Path) -> list[Profiled]:
    files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
    return [msgspec.json.decode(path.read_bytes(), type=Profiled) for path in files]
