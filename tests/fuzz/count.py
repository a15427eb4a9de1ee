"""Many inputs to every entrance, by hand: how many were tried and refused, and every distinct fault.

    python tests/fuzz/count.py N [--only NAME] [--seed S] [--seconds S] [--add FILE.json]

hands N inputs to each entrance (at most S seconds each), with the wsekern that this Python imports. An input is made of the
entrance's name, the seed and its number, so a fault that is told comes again. Inputs go to child processes: one that crashes,
takes 10 s of processor time or more than 2 GB is a fault like one that raises. ``--add`` adds the figures to a file, of which
docs/reliability.md is written. Exit code 1 where there was a fault.
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
from pathlib import Path
from random import Random
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))     # behind everything: the package that is tested is the installed one

from tests.fuzz.entrances import BY_HAND, ENTRANCES, READY
from tests.fuzz.figures import keep

ALL = {**ENTRANCES, **BY_HAND}
CPU_SECONDS, SECONDS, BYTES, BLOCK = 10, 600, 2 << 30, 1000
"""An input that takes more of the processor's time, or waits for longer, hangs; memory of one process; inputs of a process."""


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
    refused, faults, slowest = 0, {}, 0.0
    for number in numbers:
        at[:8] = number.to_bytes(8, "little")
        began = time.process_time()
        was_refused, fault = attempt(ALL[name], Random(f"{name} {seed} {number}"))
        slowest, refused = max(slowest, time.process_time() - began), refused + was_refused
        if fault:
            faults.setdefault(fault, number)
    os.write(out, json.dumps([refused, faults, slowest]).encode()[:60000])
    os._exit(0)


def block(name: str, seed: int, numbers: range) -> tuple[int, int, dict[str, int], float]:
    """Inputs tried and refused, faults and their first input, the slowest; a crash ends a block."""
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
        refused, faults, slowest = json.loads(text)
        return len(numbers), refused, faults, slowest
    last = int.from_bytes(at[:8], "little")
    end = os.waitstatus_to_exitcode(status)
    how = "hangs" if end in (-signal.SIGALRM, -signal.SIGPROF) else f"the process ended with {end}"
    return last - numbers.start + 1, 0, {how: last}, 0.0


def count(name: str, seed: int, most: int, seconds: float) -> dict[str, Any]:
    """``most`` inputs, or as many as the time allows."""
    READY.get(name, int)()
    began, tried, refused, faults, slowest = time.monotonic(), 0, 0, {}, 0.0
    while tried < most and time.monotonic() - began < seconds:
        done, no, found, slow = block(name, seed, range(tried, min(most, tried + BLOCK)))
        tried, refused, slowest = tried + done, refused + no, max(slowest, slow)
        for fault, number in found.items():
            faults.setdefault(fault, number)
    return {"inputs": tried, "refused": refused, "faults": faults, "slowest": slowest}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", type=int, help="for each entrance")
    parser.add_argument("--only", action="append", choices=sorted(ALL))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--add", type=Path)
    asked = parser.parse_args()
    results = {}
    print(f"{'entrance':28} {'inputs':>9} {'refused':>9} {'slowest':>8} faults")
    for name in asked.only or ALL:
        results[name] = found = count(name, asked.seed, asked.inputs, asked.seconds)
        print(f"{name:28} {found['inputs']:9,} {found['refused']:9,} {found['slowest']:6.2f} s {len(found['faults'])}",
              flush=True)
        for fault, number in found["faults"].items():
            print(f"    input {number}: {fault}", flush=True)
        if asked.add:
            counts = {key: found[key] for key in ("inputs", "refused")}
            keep(asked.add, "fuzz", {name: counts}, ("inputs", "refused"))
    print(f"{sum(found['inputs'] for found in results.values()):,} inputs, "
          f"{sum(len(found['faults']) for found in results.values())} faults")
    return int(any(found["faults"] for found in results.values()))


if __name__ == "__main__":
    sys.exit(main())
