"""A profile of CSL as a listing: the source, and beside each line what it did."""

from typing import TYPE_CHECKING

from wsekern.program.profile import Row
from wsekern.sdk.profile import Profiled

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

COLUMNS = {"times": "count", "cycles": "cycles", "waiting": "waiting", "words": "input", "room": "output", "FIFO": "fifo",
           "thread": "microthread"}
"""Heads of the columns, and what of a row they show: the last four are parts of ``waiting``. Waits that no line has are left
out."""
AROUND = 2
"""Lines without counts that are shown around those that have some."""


def profile_view(found: Profiled) -> "RenderableType":
    """Files by the thread-cycles that they took, the most first."""
    from rich.console import Group
    from rich.text import Text

    files: dict[str, list[Row]] = {}
    for row in found.rows:
        files.setdefault(row.file, []).append(row)
    total = sum(row.cycles + row.waiting for row in found.rows)
    order = sorted(files, key=lambda file: -sum(row.cycles + row.waiting for row in files[file]))
    head = Text(f"{found.cycles:,} cycles, {found.pes:,} PEs; times: instructions that began; cycles: thread-cycles at work; "
                "waiting: thread-cycles, of them for words, room to send, FIFOs and microthreads; share of all thread-cycles")
    return Group(head, *(_listing(file, files[file], found.texts.get(file), total) for file in order))


def _listing(file: str, rows: list[Row], text: str | None, total: int) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=file, title_justify="left", box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, expand=True)
    columns = {head: name for head, name in COLUMNS.items()
               if name in ("count", "cycles") or any(_value(row, name) for row in rows)}
    for head in [*columns, "share", "line"]:
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("source", no_wrap=True, overflow="crop", ratio=1)
    by_line = {row.line: row for row in rows}
    lines = text.split("\n") if text is not None else None
    shown = _shown(set(by_line), None if lines is None else len(lines))
    for k, line in enumerate(shown):
        if k and line > shown[k - 1] + 1:
            table.add_row(*[""] * (len(columns) + 2), Text("...", "dim"))
        source = lines[line - 1].rstrip() if lines is not None and line <= len(lines) else "?"
        table.add_row(*_cells(by_line.get(line), columns, total), str(line), Text(source, "" if line in by_line else "dim"))
    return table


def _shown(counted: set[int], length: int | None) -> list[int]:
    """Lines with counts, and those around them where the file can be read."""
    near = 0 if length is None else AROUND
    return sorted({line for each in counted for line in range(max(1, each - near), each + near + 1)
                   if line in counted or line <= (length or 0)})


def _value(row: Row, name: str) -> int:
    found: int = row.waits[name] if name in row.waits else getattr(row, name)
    return found


def _cells(row: Row | None, columns: dict[str, str], total: int) -> list[str]:
    if row is None:
        return [""] * (len(columns) + 1)
    values = [_value(row, name) for name in columns.values()]
    return [*(f"{value:,}" if value else "" for value in values), f"{(row.cycles + row.waiting) / max(total, 1):.1%}"]
