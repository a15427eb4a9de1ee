"""How long sweeps take, on two processes and on two workers of Dask, in turn:

    python bench/sweeps.py [MODEL ...] [--points 100] [--rounds 1] [--keep docs/performance.json]
    python bench/sweeps.py --whole [--keep docs/performance.json]

Each model has so many points, lengths of prompts by numbers of users, on wafers and on GPUs, nothing
kept from before. Seconds are by the clock, beside those of all processors that took part: on a machine with other work the
clock says little. The last lines: what 10,000 points of 100 such models would take, and what Dask takes more.
``--whole``: these 10,000 points, of all models that are shipped, on two processes.
"""

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from beside import keep, machine_name

from wsekern.output import check_target, run_and_exit
from wsekern.sweep.axes import Range
from wsekern.sweep.run import run
from wsekern.sweep.spec import Plan, Spec, plan_of
from wsekern.workload.load import bundled_models

MODELS = ("llama3-8b", "llama3-70b", "gpt-oss-120b", "qwen3-235b-a22b", "gemma3-27b", "mixtral-8x7b")
JOBS = 2


def count(text: str) -> int:
    """A number of at least 1."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number of at least 1")
    return int(text)


def plan_for(models: list[str], points: int) -> Plan:
    """Lengths by users for each of the models."""
    users = max(1, int((points / 2) ** 0.5))
    return plan_of(Spec(grid={"model": models, "prompt": Range(128, 8192, -(-points // users), "log"),
                              "batch": Range(1, 256, users, "log")}))


@contextmanager
def processes() -> Iterator[dict[str, Any]]:
    """What has a sweep run on processes of its own."""
    yield {"jobs": JOBS}


@contextmanager
def dask() -> Iterator[dict[str, Any]]:
    """What has it run on as many workers of Dask, which start before the clock does."""
    from distributed import LocalCluster

    with closing(LocalCluster(n_workers=JOBS, threads_per_worker=1, dashboard_address=None,
                              silence_logs=logging.ERROR)) as cluster:
        yield {"dask": cluster}


def timed(plan: Plan, there: Any) -> tuple[float, float]:
    """Seconds of a sweep into a new file by the clock, and those of all processors that took part, their start included."""
    with tempfile.TemporaryDirectory() as folder:
        used = sum(os.times()[:4])
        with there() as where:
            begun = time.perf_counter()
            run(plan, Path(folder) / "points.jsonl", **where)
            clock = time.perf_counter() - begun
        return clock, sum(os.times()[:4]) - used


def beside(plan: Plan, rounds: int) -> dict[str, Any]:
    """On processes and on workers of Dask, in turn."""
    times: dict[str, list[tuple[float, float]]] = {"processes": [], "dask": []}
    for number in range(rounds):
        for name, there in (("processes", processes), ("dask", dask)):
            times[name].append(timed(plan, there))
            clock, used = times[name][-1]
            print(f"round {number + 1}, {len(plan.points)} points, {JOBS} {name}: {clock:.1f} s, of processors {used:.1f} s",
                  flush=True)
    (alone, used), (spread, _) = ([statistics.median(column) for column in zip(*times[name], strict=True)] for name in times)
    return {"seconds": alone, "processor_seconds": used, "dask_over_processes": spread / alone}


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--points", type=count, default=100)
    parser.add_argument("--rounds", type=count, default=1)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    if asked.keep:
        check_target(asked.keep)
    models = bundled_models() if asked.whole else asked.models
    plan = plan_for(models, 10_000 // len(models) if asked.whole else asked.points)
    found: dict[str, Any] = {"machine": machine_name(), "points": len(plan.points)}
    if asked.whole:
        clock, used = timed(plan, processes)
        found |= {"models": len(models), "seconds": clock, "processor_seconds": used}
        print(f"{len(plan.points):,} points of {len(models)} models on {JOBS} processes: {clock / 60:.1f} minutes, "
              f"of processors {used:.0f} s")
    else:
        found |= {"models": models, **beside(plan, asked.rounds)}
        print(f"10,000 points of {10_000 * len(models) // len(plan.points)} such models on {JOBS} processes: "
              f"{found['seconds'] / len(plan.points) * 10_000 / 60:.1f} minutes; "
              f"Dask takes {found['dask_over_processes'] - 1:+.1%}")
    if asked.keep:
        keep(asked.keep, "whole_sweep" if asked.whole else "sweeps", found)


if __name__ == "__main__":
    run_and_exit(main)
