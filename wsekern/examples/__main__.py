"""Run the examples: ``python -m wsekern.examples [NAME ...]``."""

import sys
from math import isfinite
from typing import TYPE_CHECKING, Any

from wsekern.interrupts import leaving_quietly

with leaving_quietly():
    import click

    from wsekern.errors import InputError
    from wsekern.examples import Example, chosen
    from wsekern.output import check_target, clicked, run_and_exit, to_json, write_file

if TYPE_CHECKING:
    from rich.console import Group


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--machine", type=click.Choice(["wse2", "wse3"]), default="wse3", show_default=True)
@click.option("--profile", default="silicon", show_default=True, help="Timing of the wafer: silicon or vendor-simulator.")
@click.option("--csl", "in_csl", is_flag=True, help="Those that are there in CSL too: both programs, with the timing of "
              "vendor-simulator.")
@click.option("--json", "json_path", metavar="FILE",
              help="Write JSON to FILE; '-' is standard output, and nothing else goes there.")
def main(names: tuple[str, ...], machine: str, profile: str, in_csl: bool, json_path: str | None) -> int:
    """Run example programs (names or tiers such as T3; default: all that the machine can run) and check them against numpy."""
    selected = chosen(names)
    if in_csl:
        return run_twins(selected, machine, json_path)
    refused = [item.name for item in selected if machine not in item.machines]
    if refused and len(refused) == len(selected):
        raise InputError(f"{machine} cannot run {', '.join(refused)}: use --machine {selected[0].machines[0]}")
    if json_path not in (None, "-"):
        check_target(json_path)
    rows = run_all([item for item in selected if machine in item.machines], machine, profile)
    show(json_path, table(rows, machine, profile, refused),
         {"machine": machine, "profile": profile, "examples": rows, "not_on_machine": refused})
    return 0 if all(row["correct"] for row in rows) else 1


def run_all(examples: list[Example], machine: str, profile: str) -> list[dict[str, Any]]:
    """Each example as a row, with a progress bar on standard error where somebody watches."""
    from rich.console import Console
    from rich.progress import track

    watched = track(examples, "running", console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    return [run_one(item, machine, profile) for item in watched]


def show(json_path: str | None, for_people: "Group", data: dict[str, Any]) -> None:
    """A table for people on standard output, or on standard error where JSON goes to standard output."""
    from rich.console import Console

    Console(stderr=json_path == "-", highlight=False).print(for_people)
    if json_path == "-":
        click.echo(to_json(data), nl=False)
    elif json_path:
        write_file(json_path, to_json(data))


def run_twins(examples: list[Example], machine: str, json_path: str | None) -> int:
    """The examples that are there in CSL too, both programs of each."""
    from rich.console import Group
    from rich.table import Table

    from wsekern.examples.twins import PROFILE, TWINS

    twins = [TWINS[item.name] for item in examples if item.name in TWINS and machine in item.machines]
    if not twins:
        raise InputError(f"none of these is there in CSL for {machine}: there are {', '.join(TWINS)}")
    out = Table("name", title=f"Example programs in CSL on {machine}, {PROFILE} timing", title_justify="left")
    for name in ("Python", "CSL", "ratio", "values"):
        out.add_column(name, justify="right", no_wrap=True)
    rows = []
    for each in twins:
        pair = each.run(machine)
        rows.append({"name": each.name, "summary": each.summary, "cycles_python": pair.python.cycles,
                     "cycles_csl": pair.csl.cycles, "same": pair.same, "correct": pair.python.correct and pair.csl.correct})
        out.add_row(each.name, f"{pair.python.cycles:,}", f"{pair.csl.cycles:,}", f"{pair.csl.cycles / pair.python.cycles:.2f}",
                    "WRONG" if not rows[-1]["correct"] else "the same" if pair.same else "as numpy says")
    show(json_path, Group(out), {"machine": machine, "profile": PROFILE, "examples": rows})
    return 0 if all(row["correct"] for row in rows) else 1


def run_one(item: Example, machine: str, profile: str) -> dict[str, Any]:
    """One example at its small size, as a row."""
    outcome = item.run(machine, profile)
    layout, error = outcome.simulation.layout, outcome.error
    return {"name": item.name, "tier": item.tier, "features": list(item.features), "summary": item.summary,
            "grid": f"{layout.width}x{layout.height}", "cycles": outcome.cycles, "hops": outcome.simulation.link_traversals,
            "error": error if isfinite(error) else None, "tolerance": outcome.tolerance, "correct": outcome.correct}


def table(rows: list[dict[str, Any]], machine: str, profile: str, refused: list[str]) -> "Group":
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
    run_and_exit(lambda: clicked(main))
