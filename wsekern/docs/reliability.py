"""What tests by hand have found, as tables: of the figures that their commands keep in docs/reliability.json."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from wsekern.docs.markdown import table

FIGURES = Path("docs") / "reliability.json"


def reliability(root: Path) -> dict[str, Callable[[], str]]:
    """The parts of the source folder ``root``; none where it has no figures."""
    path = root / FIGURES
    if not path.is_file():
        return {}
    figures = json.loads(path.read_text(encoding="utf-8"))
    return {"reliability-inputs": partial(inputs, figures.get("fuzz", {})),
            "reliability-soak": partial(soak, figures.get("soak", {}), figures.get("soak_seeds", {})),
            "reliability-kills": partial(kills, figures.get("kills", {})),
            "reliability-mutants": partial(mutants, figures.get("mutants", {})),
            "reliability-coverage": partial(coverage, figures.get("coverage", {}))}


def inputs(rows: dict[str, dict[str, int]]) -> str:
    """Inputs to every entrance so far."""
    body = [[name, f"{row['inputs']:,}", f"{row['refused']:,}"] for name, row in rows.items()]
    total = [f"**{sum(row[key] for row in rows.values()):,}**" for key in ("inputs", "refused")]
    return table(["entrance", "inputs", "refused"], [*body, ["**all**", *total]])


def soak(rows: dict[str, dict[str, int]], seeds: dict[str, dict[str, int]]) -> str:
    """Random cases of long runs so far, by kind and SIMD level, and of which seeds."""
    levels = list(dict.fromkeys(level for row in rows.values() for level in row))
    body = [[kind, *(f"{row.get(level, 0):,}" for level in levels), f"{sum(row.values()):,}"] for kind, row in rows.items()]
    sums = [sum(row.get(level, 0) for row in rows.values()) for level in levels]
    total = [f"**{count:,}**" for count in [*sums, sum(sums)]]
    of_seeds = ", ".join(f"{seed} ({row['cases']:,})" for seed, row in seeds.items())
    return "\n".join([table(["cases without a difference", *levels, "all"], [*body, ["**all**", *total]]), "",
                      f"Seeds, and their cases: {of_seeds or 'none'}."])


def kills(rows: dict[str, dict[str, int]]) -> str:
    """Moments at which what was killed, and how often it went on to the same end."""
    return table(["killed", "at random moments", "went on to the same end"],
                 [[name, f"{row['kills']:,}", f"{row['survived']:,}"] for name, row in rows.items()])


def mutants(rows: dict[str, dict[str, Any]]) -> str:
    """Mutants of each module, and those that no test noticed."""
    counts = table(["module", "places", "tried", "killed", "share"], [
        [f"`{name}`", row["places"], row["mutants"], row["killed"], f"{row['killed'] / row['mutants']:.0%}"]
        for name, row in rows.items()])
    lived = [f"* `{name}`, {_told(what)}" for name, row in rows.items() for what in row["survivors"]]
    return "\n".join([counts, "", "Those that no test noticed:", "", *lived]) if lived else counts


def _told(what: str) -> str:
    """A mutant with its code as code, and why it does the same, if it does."""
    place, _, change = what.partition(": ")
    code, _, reason = change.partition(" (does")
    return f"{place}: `{code}`" + (f" (does{reason}" if reason else "")


def coverage(rows: dict[str, dict[str, Any]]) -> str:
    """Lines that tests run, of each part of the sources."""
    return table(["sources", "tests", "lines", "run", "share"], [
        [name, row["tests"], f"{row['lines']:,}", f"{row['run']:,}", f"{row['run'] / row['lines']:.1%}"]
        for name, row in rows.items()])
