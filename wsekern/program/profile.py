"""Where the cycles of a run go: how often each instruction began, and what its threads did in each cycle, by line.

>>> profile = Profile(simulation)
>>> profile.run()                               # as simulation.run(), and counts
>>> for row in profile.rows():
...     print(row.file, row.line, row.count, row.cycles, row.waiting)
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wsekern.program._pe import MAIN_THREAD, STATES, THREADS
from wsekern.program.simulation import Simulation
from wsekern.program.waiting import WAITS

_IDLE, _STARTING = STATES.index("idle"), STATES.index("starting")


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
    """Counts what every thread of ``simulation`` is at, in each cycle of :meth:`run`."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation, layout = simulation, simulation.layout
        lengths = [simulation.instructions_of(number) for number in range(len(layout.programs))]
        self.first = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        pes = simulation.activity()[:, 0]
        self._base = self.first[layout.program_of.reshape(-1)[pes]][:, None]
        self._last = np.full(len(pes), -1, np.int64)
        self.began = np.zeros(self.first[-1], np.int64)
        """By instruction of all programs: how often it began."""
        self.spent = np.zeros((self.first[-1], len(STATES)), np.int64)
        """And thread-cycles, by what a thread did (``wsekern.program._pe.STATES``)."""

    def run(self, *, quiet: bool = False) -> None:
        """Until all is done, as :meth:`Simulation.run`, which raises where the simulation is stuck."""
        simulation = self.simulation
        while True:
            self._look(0)
            event = simulation.next_event
            if event is None:
                break
            cycles = max(1, event - simulation.cycle)
            self._look(cycles)
            simulation.step(cycles)
        simulation.run(quiet=quiet)

    def _look(self, cycles: int) -> None:
        """What threads do for so many cycles; with 0, only which instructions begin."""
        found = self.simulation.activity()[:, 1:]
        states, at = found[:, :THREADS], found[:, THREADS:] + self._base
        busy = states > _IDLE
        if cycles:
            keys = at[busy] * len(STATES) + states[busy]
            self.spent += cycles * np.bincount(keys, minlength=self.spent.size).reshape(self.spent.shape)
            return
        now = np.where(busy & (states != _STARTING), at, -1)[:, MAIN_THREAD]  # it begins what microthreads go on with
        new = now[(now != self._last) & (now >= 0)]
        self.began += np.bincount(new, minlength=len(self.began))
        self._last = now

    def rows(self) -> list[Row]:
        """Lines that did anything, by file and line."""
        found: dict[tuple[str, int], Row] = {}
        for index in np.flatnonzero(self.began + self.spent.sum(1)):
            number = int(np.searchsorted(self.first, index, "right")) - 1
            place = self.simulation.place_of(number, int(index - self.first[number]))
            file, _, line = place["source"].rpartition(":") if "source" in place else (place["program"], "", place["line"])
            row = found.setdefault((file, int(line)), Row(file, int(line)))
            self._add(row, index, place.get("function", place["task"]))
        return [found[key] for key in sorted(found)]

    def _add(self, row: Row, index: int, function: str) -> None:
        if function not in row.functions:
            row.functions.append(function)
        spent: NDArray[np.int64] = self.spent[index]
        row.count += int(self.began[index])
        for k, state in enumerate(STATES):
            if state in WAITS:
                row.waits[state] += int(spent[k])
            else:
                row.cycles += int(spent[k])
