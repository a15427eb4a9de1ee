"""Many inputs to every entrance, by hand: how many were tried and refused, and every distinct fault.

    python tests/fuzz/count.py N [--only NAME] [--seed S] [--seconds S] [--add FILE.json]
    python tests/fuzz/count.py --minutes M ...

hands N inputs to each entrance (at most S seconds each), with the wsekern that this Python imports. An input is made of the
entrance's name, the seed and its number, so a fault that is told comes again. Inputs go to child processes: one that crashes,
takes more than 2 GB, is refused after more than 10 s of processor time, or has no answer after 60 s of it (work that was asked
for may take a while) is a fault like one that raises. ``--minutes`` goes on for as long, or until
SIGTERM, in turn with the entrance that has had the fewest inputs and with the one that has had the least processor time: cheap
inputs are many, and costly ones not few. ``--add`` adds the figures to a file, of which docs/reliability.md is written. Exit
code 1 where there was a fault.
"""

import argparse
import json
import mmap
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))     # behind everything: the package that is tested is the installed one

from tests.fuzz.entrances import BY_HAND, ENTRANCES, READY
from wsekern.errors import ProgramWarning
from wsekern.soak.figures import keep

ALL = {**ENTRANCES, **BY_HAND}
REFUSAL_SECONDS, CPU_SECONDS, SECONDS, BYTES = 10, 60, 3600, 2 << 30
"""The processor's time in which a refusal is there; an input that takes so much of it, or waits for so long (others may have
the processor), hangs; memory of one process."""
BLOCK, BLOCK_SECONDS = 1000, 5.0
"""Inputs of a process, and the processor's time after which it tries no more."""


def processor_time() -> float:
    """Of this process and those that it started and that ended, in seconds."""
    return sum(os.times()[:4])


def place_of(error: BaseException) -> str:
    """Where it was raised: the exception and the last lines of the package, and of the test."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if f"{os.sep}wsekern{os.sep}" in frame.filename] or frames
    where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in own[:-3:-1])
    return f"{type(error).__name__}: {str(error)[:100]!r} at {where}"


def attempt(enter: Callable[[Random], Any], random: Random) -> tuple[bool, str]:
    """Whether an input was refused, and what is wrong."""
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    signal.alarm(SECONDS)
    try:
        return enter(random) is None, ""
    except MemoryError as error:
        return True, "" if "not enough memory" in str(error) else place_of(error)
    except BaseException as error:      # a panic in Rust is no Exception
        return True, place_of(error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)


def child(name: str, seed: int, numbers: range, at: mmap.mmap, out: int) -> None:
    """Try some inputs and write what came of them; ``at`` tells the parent which one is tried."""
    resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", ProgramWarning)  # what a program is told of itself is an answer
    tried, refused, faults, slowest, now = 0, 0, {}, 0.0, processor_time()
    end = now + BLOCK_SECONDS
    for number in numbers:
        if now > end:
            break
        at[:8], began = number.to_bytes(8, "little"), now
        was_refused, fault = attempt(ALL[name], Random(f"{name} {seed} {number}"))
        tried, refused, now = tried + 1, refused + was_refused, processor_time()
        slowest = max(slowest, now - began)
        if was_refused and now - began > REFUSAL_SECONDS:
            fault = fault or f"refused after more than {REFUSAL_SECONDS} s"
        if fault:
            faults.setdefault(fault, number)
    os.write(out, json.dumps([tried, refused, faults, slowest]).encode()[:60000])
    os._exit(0)


def block(name: str, seed: int, numbers: range) -> "Found":
    """Try some inputs, as many as fit a block's time; a crash ends it."""
    at = mmap.mmap(-1, 8)
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        try:
            child(name, seed, numbers, at, writer)
        finally:
            os._exit(3)
    os.close(writer)
    with open(reader, "rb") as answer:
        text = answer.read()
    status = os.waitpid(process, 0)[1]
    if status == 0 and text:
        return Found(*json.loads(text))
    last = int.from_bytes(at[:8], "little")
    end = os.waitstatus_to_exitcode(status)
    how = "hangs" if end in (-signal.SIGALRM, -signal.SIGPROF) else f"the process ended with {end}"
    return Found(last - numbers.start + 1, 0, {how: last})


@dataclass
class Found:
    """What came of the inputs to an entrance: how many were tried and refused, faults and their first input, the slowest."""

    inputs: int = 0
    refused: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    slowest: float = 0.0

    def go_on(self, name: str, seed: int, most: int, kept: Path | None) -> None:
        """Try a block more, and tell and keep what came of it."""
        new = block(name, seed, range(self.inputs, min(most, self.inputs + BLOCK)))
        self.inputs, self.refused = self.inputs + new.inputs, self.refused + new.refused
        self.slowest = max(self.slowest, new.slowest)
        for fault, number in new.faults.items():
            if fault not in self.faults:
                print(f"    {name}, input {number}: {fault}", flush=True)
                self.faults[fault] = number
        if kept:
            keep(kept, "fuzz", {name: {"inputs": new.inputs, "refused": new.refused}}, ("inputs", "refused"))

    def tell(self, name: str) -> None:
        print(f"{name:28} {self.inputs:9,} {self.refused:9,} {self.slowest:6.2f} s {len(self.faults)}", flush=True)


def one_by_one(names: list[str], asked: argparse.Namespace) -> dict[str, Found]:
    """As many inputs as are asked for to each entrance."""
    results = {name: Found() for name in names}
    for name, found in results.items():
        READY.get(name, int)()
        began = time.monotonic()
        while found.inputs < asked.inputs and time.monotonic() - began < asked.seconds:
            found.go_on(name, asked.seed, asked.inputs, asked.add)
        found.tell(name)
    return results


def in_turn(names: list[str], asked: argparse.Namespace) -> dict[str, Found]:
    """Inputs for as long as is asked for: to the entrance that has had the fewest, then to the one that took the least time."""
    results, used, stopped = {name: Found() for name in names}, dict.fromkeys(names, 0.0), []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    before = json.loads(asked.add.read_text())["fuzz"] if asked.add and asked.add.is_file() else {}
    had = {name: before.get(name, {"inputs": 0})["inputs"] for name in names}
    began, turn = time.monotonic(), 0
    while not stopped and time.monotonic() - began < 60 * asked.minutes:
        name = min(names, key=lambda each: had[each] + results[each].inputs) if turn % 2 else min(used, key=used.__getitem__)
        if not results[name].inputs:
            READY.get(name, int)()
        start, turn = processor_time(), turn + 1
        results[name].go_on(name, asked.seed, sys.maxsize, asked.add)
        used[name] += processor_time() - start
    for name, found in results.items():
        found.tell(name)
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", type=int, nargs="?", default=1000, help="for each entrance")
    parser.add_argument("--minutes", type=float, help="for all of them, in turn")
    parser.add_argument("--only", action="append", choices=sorted(ALL))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--add", type=Path)
    asked = parser.parse_args()
    print(f"{'entrance':28} {'inputs':>9} {'refused':>9} {'slowest':>8} faults")
    results = (in_turn if asked.minutes else one_by_one)(asked.only or list(ALL), asked)
    faults = sum(len(found.faults) for found in results.values())
    print(f"{sum(found.inputs for found in results.values()):,} inputs, {faults} faults")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
