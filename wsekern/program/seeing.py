"""Seeing what PEs do: counts of instructions, stalls and SIMD use as tables and heat maps, waits, traces.

>>> import rich
>>> simulation.run()
>>> rich.print(counts_table(simulation))                    # by program, and the PEs that waited longest
>>> print(heat_map(simulation, "stalls"))                   # a character per PE
>>> plot_counts(simulation, "use.png", "elements_per_cycle")
>>> print(wait_report(simulation))                          # who waits for whom, also at a deadlock
>>> trace(simulation, "trace.json", cycles=500, pes=[(0, 0), (1, 0)])      # opens in https://ui.perfetto.dev
"""

import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsekern.errors import InputError
from wsekern.fabric.heatmap import plot_heatmap, text_heatmap
from wsekern.output import picture_kind, write_figure
from wsekern.program.simulation import Simulation
from wsekern.program.trace import trace
from wsekern.program.waiting import WAITS

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

COUNTS = {
    "instructions": "instructions", "elements": "elements of vector instructions",
    "vector_cycles": "cycles of vector instructions",
    "elements_per_cycle": "elements per cycle of vector instructions (SIMD use)", "input": "thread-cycles waiting for words",
    "output": "thread-cycles waiting for room to send", "fifo": "thread-cycles waiting for a FIFO",
    "microthread": "thread-cycles waiting for a microthread", "stalls": "thread-cycles waiting",
    "conflict_cycles": "cycles that bank conflicts added", "words": "words taken and sent", "tasks": "tasks",
    "done": "cycle at which the PE became idle",
}
"""What can be seen of every PE."""
_WORK = {"instructions": "instr.", "elements": "elements", "elements_per_cycle": "per cycle", "words": "words",
         "tasks": "tasks", "done": "end"}
_WAITING = {"stalls": "waiting", "input": "input", "output": "output", "fifo": "FIFO", "microthread": "thread",
            "conflict_cycles": "banks"}
"""Columns of the tables."""
_WIDEST, _MAX_PROGRAMS = 100, 16


def counts(simulation: Simulation, what: str) -> NDArray:
    """One of :data:`COUNTS` for every PE, (height, width); zeros where a PE has no program."""
    if what not in COUNTS:
        raise InputError(f"no count {what!r}: use one of {', '.join(COUNTS)}")
    return _counts(simulation)[what]


def _counts(simulation: Simulation) -> dict[str, NDArray]:
    found = simulation.counters()
    found["stalls"] = sum(found[name] for name in WAITS)
    found["elements_per_cycle"] = found["elements"] / np.maximum(found["vector_cycles"], 1)
    return found


def counts_table(simulation: Simulation, worst: int = 5) -> "RenderableType":
    """What PEs did so far, by program and in all, and the ``worst`` PEs by waiting: tables for ``rich.print``."""
    from rich.console import Group
    from rich.text import Text

    if worst < 0:
        raise InputError(f"{worst} PEs: expected at least 0")
    found, which = _counts(simulation), simulation.layout.program_of
    title = f"{int((which >= 0).sum()):,} PEs with programs, {simulation.cycle:,} cycles"
    tables = [_by_program(simulation, found, title, _WORK),
              _by_program(simulation, found, "Thread-cycles waiting, by what for; cycles that bank conflicts added", _WAITING)]
    order = [int(pe) for pe in np.argsort(-found["stalls"].reshape(-1), kind="stable")[:worst]]
    order = [pe for pe in order if found["stalls"].reshape(-1)[pe] > 0]
    if order:
        tables.append(_table("PEs that waited longest", ("PE", "program"), _WAITING))
    for pe in order:
        here = (np.arange(which.size) == pe).reshape(which.shape)
        y, x = divmod(pe, simulation.layout.width)
        tables[-1].add_row(f"({x}, {y})", simulation.layout.programs[which[y, x]].name, *_row(found, here, _WAITING))
    spaced = [part for table in tables for part in (table, Text(""))]
    return Group(*spaced[:-1])


def _by_program(simulation: Simulation, found: dict[str, NDArray], title: str, columns: dict[str, str]) -> "Table":
    table, which = _table(title, ("program", "PEs"), columns), simulation.layout.program_of
    sizes = np.bincount(which[which >= 0], minlength=len(simulation.layout.programs))
    largest = [int(number) for number in np.argsort(-sizes, kind="stable") if sizes[number]]
    for number in sorted(largest[:_MAX_PROGRAMS]):
        name = simulation.layout.programs[number].name
        table.add_row(name, f"{sizes[number]:,}", *_row(found, which == number, columns))
    others = largest[_MAX_PROGRAMS:]
    if others:
        here = np.isin(which, others)
        table.add_row(f"{len(others)} more programs", f"{int(here.sum()):,}", *_row(found, here, columns))
    table.add_section()
    table.add_row("all", f"{int((which >= 0).sum()):,}", *_row(found, which >= 0, columns))
    return table


def _table(title: str, heads: tuple[str, str], columns: dict[str, str]) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE, collapse_padding=True, pad_edge=False)
    table.add_column(heads[0])
    table.add_column(heads[1], justify="left" if heads[1] == "program" else "right")
    for head in columns.values():
        table.add_column(head, justify="right", no_wrap=True)
    return table


def _row(found: dict[str, NDArray], here: NDArray[np.bool_], columns: dict[str, str]) -> list[str]:
    """Sums over PEs; of elements per cycle the mean over all vector cycles, of ends the last."""
    cells = []
    for name in columns:
        if name == "elements_per_cycle":
            cycles = int(found["vector_cycles"][here].sum())
            cells.append(f"{found['elements'][here].sum() / cycles:.2f}" if cycles else "-")
        else:
            cells.append(f"{int(found[name][here].max(initial=0) if name == 'done' else found[name][here].sum()):,}")
    return cells


def wait_report(simulation: Simulation) -> str:
    """Who waits for whom in the coming cycle, as text: see :meth:`wsekern.program.waiting.Waits.report`."""
    return simulation.wait_report()


def heat_map(simulation: Simulation, what: str = "stalls") -> str:
    """One of :data:`COUNTS` as characters, one per PE (of a wide grid, per square of PEs), blank for none and ``@`` for the
    most, under a line that says what it is and how much the most."""
    values = counts(simulation, what)
    side = -(-values.shape[1] // _WIDEST)
    if side > 1:
        padded = np.pad(values, [(0, -size % side) for size in values.shape])
        values = padded.reshape(padded.shape[0] // side, side, padded.shape[1] // side, side).max(axis=(1, 3))
    most = values.max()
    shown = f"{most:.3g}" if values.dtype.kind == "f" else f"{most:,}"
    squares = f", the most of each {side}x{side} PEs" if side > 1 else ""
    scaled = values if values.dtype.kind != "f" else np.rint(values / max(most, 1e-9) * 1000).astype(np.int64)
    return f"{COUNTS[what]}{squares}; @ = {shown}\n{text_heatmap(scaled)}\n"


def plot_counts(simulation: Simulation, path: str | os.PathLike[str], what: str = "stalls") -> None:
    """One of :data:`COUNTS` as a heat map over the PEs, in a file (.png, .svg or .pdf); needs matplotlib."""
    picture_kind(path)
    values, label = counts(simulation, what), COUNTS[what]
    figure = plot_heatmap(values, f"{label[:1].upper()}{label[1:]},\nafter {simulation.cycle:,} cycles", what.replace("_", " "))
    write_figure(path, figure)


__all__ = ["COUNTS", "counts", "counts_table", "heat_map", "plot_counts", "trace", "wait_report"]
