"""The sweep of the page about sweeps: its specification, and what the command prints."""

import io
import tempfile
from functools import cache
from pathlib import Path

from wsekern.docs.markdown import table
from wsekern.report.sweeps import sweep_report
from wsekern.sweep.axes import Value
from wsekern.sweep.findings import Findings
from wsekern.sweep.inputs import DEFAULTS
from wsekern.sweep.run import run
from wsekern.sweep.spec import load_plan

SPEC = """\
[inputs]
model = "llama3-8b"

[grid]
batch = [1, 16, 256]
prompt = [512, 4096]
"gpu.price.per_hour" = { from = 1.5, to = 6.0, count = 3, scale = "log" }
"""
"""The specification that the page shows."""


@cache
def sweep_printed() -> str:
    """:data:`SPEC`, the command, and its output."""
    from rich.console import Console

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prices.toml"
        path.write_text(SPEC)
        plan = load_plan(path)
        records = run(plan, Path(folder) / "prices.jsonl")
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(sweep_report(Findings(plan, records, "tokens_per_usd"), "prices.jsonl"))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    shown = "\n".join(line for line in lines if line)
    return f"```toml\n{SPEC}```\n\n```text\n$ wsekern sweep prices.toml\n{shown}\n```"


def sweep_inputs() -> str:
    """Every input and what it is unless said."""
    return table(("input", "unless said"), [(f"`{name}`", _shown(value)) for name, value in DEFAULTS.items()])


def _shown(value: Value | None) -> str:
    return "" if value is None or value == "" else f"`{str(value).lower() if isinstance(value, bool) else value}`"
