"""Random cases on every SIMD level in turn: ``python -m wsekern.soak --minutes M [--seed S]``. It tells how many there were, or
the first difference and what makes it come again (exit code 2)."""

import json
import os
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from wsekern.interrupts import leaving_quietly

with leaving_quietly():
    import click

    from wsekern._common import simd_level
    from wsekern.errors import InputError
    from wsekern.output import check_target, clicked, run_and_exit
    from wsekern.soak.cases import KINDS, run_cases
    from wsekern.soak.difference import Difference
    from wsekern.soak.figures import keep

LEVELS = ("base", "avx2", "avx512")
SLICE = 60.0
"""Seconds that one level has before the next one's turn."""


def levels() -> list[str]:
    """SIMD levels that this CPU has, as far as ``WSEKERN_SIMD`` allows."""
    return list(LEVELS[:LEVELS.index(simd_level()) + 1])


@dataclass(frozen=True)
class Soak:
    """What is asked for."""

    kinds: tuple[str, ...]
    seed: int
    first: int
    cases: int | None
    add: Path | None
    """File of figures, to which cases are added."""

    def on_level(self, level: str, first: dict[str, int], seconds: float) -> dict[str, int]:
        """Cases on one level, in a process of its own: how many they were."""
        command = [sys.executable, "-P", "-m", "wsekern.soak", "--here", json.dumps(first), "--seed", str(self.seed),
                   "--minutes", str(seconds / 60), *(word for kind in self.kinds for word in ("--only", kind))]
        if self.cases is not None:
            command += ["--cases", str(self.cases)]
        done = subprocess.run(command, env={**os.environ, "WSEKERN_SIMD": level}, check=False, capture_output=True, text=True)
        if done.returncode:
            raise Difference(f"WSEKERN_SIMD={level}: {' '.join(done.stderr.split())}")
        return json.loads(done.stdout)

    def run(self, minutes: float) -> None:
        """Levels in turn until the time is over, or each has had its cases."""
        counts, end, turn = dict.fromkeys(self.kinds, 0), time.monotonic() + 60.0 * minutes, 0
        known = levels()
        click.echo(f"seed {self.seed}, levels {', '.join(known)}")
        while time.monotonic() < end and (self.cases is None or turn < len(known)):
            level = known[turn % len(known)]
            first = {kind: self.first + counts[kind] for kind in counts}
            found = self.on_level(level, first, min(SLICE, end - time.monotonic()))
            counts, turn = {kind: counts[kind] + found[kind] for kind in counts}, turn + 1
            if self.add is not None:
                keep(self.add, "soak", {kind: {level: cases} for kind, cases in found.items()}, known)
                keep(self.add, "soak_seeds", {str(self.seed): {"cases": sum(found.values())}}, ["cases"])
            click.echo(f"{level}: {sum(found.values()):,} cases, {sum(counts.values()):,} so far")
            sys.stdout.flush()
        parts = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
        click.echo(f"seed {self.seed}: {sum(counts.values()):,} cases without a difference ({parts})")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--minutes", type=float, default=1.0, show_default=True)
@click.option("--seed", type=int, help="Default: another one every time.")
@click.option("--only", multiple=True, type=click.Choice(sorted(KINDS)), help="A kind of case.  [default: all]")
@click.option("--cases", type=int, help="Of each kind on each level, at most.")
@click.option("--first", type=int, default=0, show_default=True, help="Number of the first case.")
@click.option("--add", type=click.Path(path_type=Path), help="File of figures in JSON, to which the cases are added.")
@click.option("--here", hidden=True, help="Numbers of the first cases by kind, which run in this process.")
def main(minutes: float, seed: int | None, only: tuple[str, ...], cases: int | None, first: int, add: Path | None,
         here: str | None) -> None:
    """Set kernels beside their references, and both engines beside each other, on random cases."""
    if not 0 < minutes < 1e5 or first < 0 or (cases is not None and cases < 1):
        raise InputError("a soak takes --minutes above 0, --cases of at least 1 and --first of at least 0")
    seed, kinds = secrets.randbelow(10**9) if seed is None else seed, only or tuple(KINDS)
    if add is not None:
        check_target(add)
    if here is None:
        Soak(kinds, seed, first, cases, add).run(minutes)
    else:
        click.echo(json.dumps(run_cases(kinds, seed, json.loads(here), cases, 60.0 * minutes)))


if __name__ == "__main__":
    run_and_exit(lambda: clicked(main))
