"""Run the examples: ``python -m wsekern.examples [NAME ...]``."""

from math import isfinite
from typing import Any

import click

from wsekern.cli.options import JSON, PROFILE, ProgressBar, emit, open_console, run_command
from wsekern.errors import InputError
from wsekern.examples import Example, chosen


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--machine", type=click.Choice(["wse2", "wse3"]), default="wse3", show_default=True)
@PROFILE
@JSON
def main(names: tuple[str, ...], machine: str, profile: str, json_path: str | None) -> int:
    """Run example programs (names or tiers such as T3; default: all that the machine can run) and check them against numpy."""
    selected = chosen(names)
    refused = [item.name for item in selected if machine not in item.machines]
    if refused and len(refused) == len(selected):
        raise InputError(f"{machine} cannot run {', '.join(refused)}: use --machine {selected[0].machines[0]}")
    runnable = [item for item in selected if machine in item.machines]
    with ProgressBar("running", len(runnable)) as advance:
        rows = []
        for item in runnable:
            rows.append(run_one(item, machine, profile))
            advance()
    open_console(json_path).print(table(rows, machine, profile, refused))
    emit(json_path, {"machine": machine, "profile": profile, "examples": rows, "not_on_machine": refused})
    return 0 if all(row["correct"] for row in rows) else 1


def run_one(item: Example, machine: str, profile: str) -> dict[str, Any]:
    """One example at its small size, as a row."""
    outcome = item.run(machine, profile)
    layout, error = outcome.simulation.layout, outcome.error
    return {"name": item.name, "tier": item.tier, "features": list(item.features), "summary": item.summary,
            "grid": f"{layout.width}x{layout.height}", "cycles": outcome.cycles, "hops": outcome.simulation.link_traversals,
            "error": error if isfinite(error) else None, "tolerance": outcome.tolerance, "correct": outcome.correct}


def table(rows: list[dict[str, Any]], machine: str, profile: str, refused: list[str]) -> Any:
    """The rows for people."""
    from rich.console import Group
    from rich.table import Table

    wrong = [row["name"] for row in rows if not row["correct"]]
    out = Table("name", "tier", "features", "grid", title=f"Example programs on {machine}, {profile} timing",
                title_justify="left")
    for name in ("cycles", "error", "hops"):
        out.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        error = "exact" if row["error"] == 0 else "no number" if row["error"] is None else f"{row['error']:.1e}"
        out.add_row(row["name"], row["tier"], ", ".join(row["features"]), row["grid"], f"{row['cycles']:,}",
                    error if row["correct"] else f"[red]WRONG {error}[/red]", f"{row['hops']:,}")
    lines = [f"{len(rows)} programs, {len(rows) - len(wrong)} as numpy says"]
    if wrong:
        lines.append(f"WRONG: {', '.join(wrong)}")
    if refused:
        lines.append(f"not on {machine}: {', '.join(refused)}")
    return Group(out, *lines)


if __name__ == "__main__":
    run_command(main)
