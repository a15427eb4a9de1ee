"""Two builds side by side, and what the machine allowed, as tables: of the figures that bench/beside.py and its like keep in
docs/performance.json."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from wsekern.docs.markdown import table

FIGURES = Path("docs") / "performance.json"


def performance(root: Path) -> dict[str, Callable[[], str]]:
    """The parts of the source folder ``root``; none where it has no figures."""
    path = root / FIGURES
    if not path.is_file():
        return {}
    figures = json.loads(path.read_text(encoding="utf-8"))
    return {"performance-beside": partial(beside, figures.get("beside", {})),
            "performance-flames": partial(flames, root / "docs"),
            "performance-token": partial(whole_token, figures.get("whole_token"), figures.get("whole_token_by_wavelet")),
            "performance-peers": partial(peers, figures.get("peers", {})),
            "performance-sweeps": partial(sweeps, figures.get("whole_sweep"), figures.get("sweeps"))}


def beside(found: dict[str, Any]) -> str:
    """The machine and what it allows, all cases, and which goals are missed and why."""
    if not found:
        return "Not measured yet."
    limits = [f"* {name}: {_short(value)}" for name, value in found["limits"].items()]
    lines = [cells for case in found["rows"] for cells in _rows_of(case)]
    missed = [f"* {case['case']}: {', '.join(goals)}; what seems to stop it: {case['bound']}." for case in found["rows"]
              if (goals := [goal for goal, met in case["goals"].items() if not met])]
    return "\n".join([
        f"{found['machine']}. What it allows, measured in the same run:", "", *limits, "",
        table(["case", "threads", "9a58329", "now", "ratio", "two over one", "goals", "bound by"], lines),
        *(["", "Not reached:", "", *missed] if missed else [])])


def _rows_of(case: dict[str, Any]) -> list[list[str]]:
    """A row of cells for each number of threads; what holds of all stands in the last."""
    rows = []
    for number, threads in enumerate(case["threads"]):
        last = number == len(case["threads"]) - 1
        goals = [f"{goal}: {'yes' if met else 'no'}" for goal, met in case["goals"].items()]
        rows.append([case["case"], str(threads), _figure(case["old"][number], case["unit"]),
                     _figure(case["new"][number], case["unit"]), _short(case["ratio"][number]),
                     _short(case["two_over_one"]) if last and case["two_over_one"] else "",
                     "; ".join(goals) if last else "", case["bound"] if last else ""])
    return rows


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{_short(1000 * value)} ms" if unit == "s" else f"{_short(value / 1e6)} M {unit}"


def _short(value: float | None) -> str:
    """Three digits; large ones with their power of ten."""
    if value is None:
        return "-"
    for power, name in ((1e9, "G"), (1e6, "M")):
        if value >= power:
            return f"{value / power:.3g} {name}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def flames(folder: Path) -> str:
    """The flame graphs that bench/flames.py drew."""
    names = sorted(path.name for path in folder.glob("flames-*.svg"))
    return "\n\n".join(f"![{name.removeprefix('flames-').removesuffix('.svg').replace('-', ' ').capitalize()}]({name})"
                       for name in names) or "Not drawn yet."


def whole_token(*runs: dict[str, Any] | None) -> str:
    """A decode token of a whole model on each engine: its time beside that of reading its memory once."""
    lines = [[found["model"], found["engine"], "of one layer" if found["one_layers_weights"] else "its own",
              str(found["layers"]), f"{found['grid']}x{found['grid']}", str(found["threads"]), f"{found['seconds']:.3g} s",
              f"{found['memory_seconds']:.2g} s", f"{found['peak_bytes'] / 1e9:.1f} GB",
              str(found["layers_with_the_clocks_of_predict"])] for found in runs if found]
    return table(["model", "engine", "weights of a layer", "layers", "grid", "threads", "a token",
                  "reading weights and cache once", "memory", "layers with the clocks of `predict`"],
                 lines) if lines else "Not measured yet."


def peers(found: dict[str, Any]) -> str:
    """What other programs do on the same load, in the same run or as measured before."""
    if not found:
        return "Not measured yet."
    return table(["load", "ours", "peer", "its figure", "ours over it"], [
        [row["load"], _figure(row["ours"], row["unit"]), row["peer"], _figure(row["theirs"], row["unit"]), _short(row["ratio"])]
        for row in found["rows"]])


def sweeps(whole: dict[str, Any] | None, found: dict[str, Any] | None) -> str:
    """What a sweep of all models took on two processes, one of some models there, and what Dask takes more."""
    if not whole or not found:
        return "Not measured yet."
    return (f"{whole['points']:,} points of the {whole['models']} models that are shipped (lengths of prompts by users) took "
            f"{whole['seconds'] / 60:.1f} minutes on two processes, {whole['processor_seconds']:.0f} s of work "
            f"({whole['machine']}). {found['points']:,} points of {', '.join(found['models'])} took "
            f"{found['seconds']:.0f} s, {found['processor_seconds'] / found['points'] * 1e3:.0f} ms of work each; on two "
            f"workers of Dask {found['dask_over_processes']:.2f} times as long.")
