"""Where the cycles of a run go: how often each instruction began, and what its threads did in each cycle, by line.

>>> profile = Profile(simulation)               # counts from here on
>>> simulation.run()
>>> for row in profile.rows():
...     print(row.file, row.line, row.count, row.cycles, row.waiting)
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wsekern.program.simulation import Simulation
from wsekern.program.waiting import WAITS


@dataclass
class Row:
    """A line of a source, or of a program's text where no compiler wrote it: how often its instructions began, in all PEs and
    threads, and thread-cycles that they took: at work (``cycles``), and waiting for what :data:`WAITS` names."""

    file: str
    line: int
    functions: list[str] = field(default_factory=list)
    count: int = 0
    cycles: int = 0
    waits: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WAITS, 0))

    @property
    def waiting(self) -> int:
        """Thread-cycles of all waits."""
        return sum(self.waits.values())


class Profile:
    """What each line of ``simulation`` did from here on, and after a reset or load from there on.

    In every cycle a thread that is not idle is at one instruction: at work at the one that it issued last (before the first of
    a task, at that one), or waiting at the one that cannot go on, until the cycle in which it can.
    """

    def __init__(self, simulation: Simulation) -> None:
        self.simulation, layout = simulation, simulation.layout
        lengths = [simulation.instructions_of(number) for number in range(len(layout.programs))]
        self.first = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        simulation.count_instructions()

    def spent(self) -> NDArray[np.int64]:
        """By instruction of all programs: how often it began, thread-cycles at work, and waiting (:data:`WAITS`)."""
        return self.simulation.instruction_counts()

    def rows(self) -> list[Row]:
        """Lines that did anything, by file and line."""
        found: dict[tuple[str, int], Row] = {}
        counts = self.spent()
        for index in np.flatnonzero(counts.any(1)):
            number = int(np.searchsorted(self.first, index, "right")) - 1
            place = self.simulation.place_of(number, int(index - self.first[number]))
            file, _, line = place["source"].rpartition(":") if "source" in place else (place["program"], "", place["line"])
            row = found.setdefault((file, int(line)), Row(file, int(line)))
            function = place.get("function", place["task"])
            if function not in row.functions:
                row.functions.append(function)
            begun, worked, *waited = counts[index].tolist()
            row.count += begun
            row.cycles += worked
            for name, cycles in zip(WAITS, waited, strict=True):
                row.waits[name] += cycles
        return [found[key] for key in sorted(found)]
