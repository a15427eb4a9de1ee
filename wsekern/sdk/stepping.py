"""Stepping through a CSL program from Python: run to a cycle or a line, read any variable of any PE by its name in CSL.

>>> view = Stepper("out")                   # a folder of cslc, or an SdkRuntime
>>> view.launch("compute")                  # begins in the coming cycle
>>> view.run_to_line("pe_program.csl", 60)
(0, 0)
>>> view.where(0, 0)["source"], view.read(0, 0, "y"), view.read(0, 0, "i")
>>> view.run_to(200)
>>> print(view.simulation.wait_report())
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from wsekern.csl.image import Part, Variable
from wsekern.errors import InputError, check_whole
from wsekern.program._pe import MAIN_THREAD, STATES, THREADS
from wsekern.program.operands import NUMPY_TYPES, TYPE_BYTES
from wsekern.program.simulation import Simulation
from wsekern.sdk.runtime import SdkRuntime
from wsekern.shown import Shown

_IDLE = STATES.index("idle")


class Stepper(Shown):
    """A program that goes on as far as one says, and what its PEs hold then. Columns and rows count from the program's
    first PE."""

    def __init__(self, source: SdkRuntime | str | Path) -> None:
        if not isinstance(source, SdkRuntime | str | Path):
            raise InputError(f"a {type(source).__name__} is no compiled program: expected its folder, or an SdkRuntime")
        self.runtime = source if isinstance(source, SdkRuntime) else SdkRuntime(source)
        self.made = self.runtime.machine.made
        self._launched: int | None = None               # the cycle before which nothing of the last launch was done
        self._parts = {self.made.layout.number_of(part.program): part for part in self.made.programs}

    def _facts(self) -> dict[str, Any]:
        layout = self.made.layout
        return {"width": layout.width, "height": layout.height, "names": sorted(self.runtime.machine.exports),
                "cycle": self.cycle}

    # ---- going on

    @property
    def simulation(self) -> Simulation:
        """The simulation, with all that it offers: state, counters, waits, bytes to come back to."""
        return self.runtime.machine.simulation

    @property
    def cycle(self) -> int:
        """The coming cycle."""
        return self.simulation.cycle

    def launch(self, name: str, *arguments: Any) -> None:
        """Let an exported function begin in the coming cycle, on all PEs that have it."""
        self.runtime.begin(name, *arguments)
        self._launched = self.cycle

    def step(self, cycles: int = 1) -> int:
        """Run for ``cycles``; the coming cycle."""
        self.simulation.step(cycles)
        self.runtime.hear()
        return self.cycle

    def run_to(self, cycle: int) -> None:
        """Run until the clock reads ``cycle``."""
        if check_whole(cycle, "as a cycle", 0) < self.cycle:
            raise InputError(f"cycle {cycle} is over: it is cycle {self.cycle}")
        self.step(cycle - self.cycle)

    def run(self) -> None:
        """Run until nothing moves any more."""
        self.runtime.settle()

    def run_to_line(self, file: str, line: int, x: int | None = None, y: int | None = None) -> tuple[int, int]:
        """Run until a PE (any, or the one at (x, y)) comes to a line; the PE. ``file``: the end
        of its path is enough. :class:`InputError` where no instruction comes from there, or none is reached any more."""
        wanted, layout, chosen = self._instructions_at(file, line), self.made.layout, None
        if x is not None or y is not None:
            chosen = check_whole(y, "as y", 0, layout.height - 1) * layout.width + check_whole(x, "as x", 0, layout.width - 1)

        def there() -> set[int]:
            found = self.simulation.activity()[:, [0, 1 + MAIN_THREAD, 1 + THREADS + MAIN_THREAD]].tolist()
            return {pe for pe, state, at in found if state > _IDLE and at in wanted[int(layout.program_of.flat[pe])]}

        before = set() if self._launched == self.cycle else there()

        def reached() -> int | None:
            nonlocal before
            now = there()
            come, before = now - before, now
            return min((pe for pe in come if chosen in (None, pe)), default=None)

        pe = self._until(reached)
        if pe is None:
            raise InputError(f"no PE comes to {file}:{line} any more; it is cycle {self.cycle}")
        return pe % layout.width, pe // layout.width

    def _until(self, reached: Callable[[], int | None]) -> int | None:
        """Step at least once, then until something holds, or nothing can happen any more."""
        while (event := self.simulation.next_event) is not None:
            self.step(max(1, event - self.cycle))
            found = reached()
            if found is not None:
                return found
        return None

    def _instructions_at(self, file: str, line: int) -> dict[int, set[int]]:
        """Numbers of the instructions of a line, by program."""
        found, others = {}, set()
        for number in self._parts:
            places = [self.simulation.place_of(number, k).get("source", "")
                      for k in range(self.simulation.instructions_of(number))]
            found[number] = {k for k, source in enumerate(places) if f"/{source}".endswith(f"/{file}:{line}")}
            others |= {int(source.rpartition(":")[2]) for source in places
                       if f"/{source}".rpartition(":")[0].endswith(f"/{file}")}
        if not any(found.values()):
            lines = ", ".join(map(str, sorted(others))) or "no line"
            raise InputError(f"no instruction comes from {file}:{line}; of this file they come from {lines}")
        return found

    # ---- looking

    def where(self, x: int, y: int) -> dict | None:
        """Where the main thread of a PE is (``function``, ``source``, ``text``, see ``Simulation.place_of``, and its
        ``state``); None where it is idle."""
        thread = self.simulation.state(x, y)["threads"][MAIN_THREAD]
        return None if thread["state"] == "idle" else thread

    def names(self, x: int, y: int) -> list[str]:
        """Variables and constants of a PE that :meth:`read` knows now: those of the function that it is in come first."""
        part = self._part(x, y)
        return list(dict.fromkeys([each.name for each in self._visible(part, x, y)] + list(part.numbers)))

    def read(self, x: int, y: int, name: str) -> Any:
        """The value of a variable of a PE by its name in CSL: of the function that it is in, of its file, of a module as
        ``module.name``, of a struct as ``name.field``; arrays in their shape."""
        part = self._part(x, y)
        found = next((each for each in self._visible(part, x, y) if each.name == name), None)
        if found is not None:
            return self._value(found, x, y)
        if name in part.numbers:
            return part.numbers[name][np.flatnonzero((part.pes == (x, y)).all(1))[0]]
        known = ", ".join(self.names(x, y)[:20])
        raise InputError(f"PE ({x}, {y}) has no variable {name!r} where it is now; it has {known or 'none'}")

    def _part(self, x: int, y: int) -> Part:
        self.made.layout.check_rectangle(x, y, 1, 1)
        number = int(self.made.layout.program_of[y, x])
        if number not in self._parts:
            raise InputError(f"PE ({x}, {y}) has no program")
        return self._parts[number]

    def _visible(self, part: Part, x: int, y: int) -> list[Variable]:
        """Variables of the function that a PE is in, the innermost first, then those of modules."""
        here = self.where(x, y)
        number = int(self.made.layout.program_of[y, x])
        at = -1 if here is None else self.simulation.item_of(number, here["instruction"])
        inner = [each for each in part.variables if each.function and each.first <= at < each.last]
        return inner[::-1] + [each for each in part.variables if not each.function]

    def _value(self, variable: Variable, x: int, y: int) -> Any:
        if variable.value is not None or not variable.element:
            return variable.value
        kind = np.dtype(NUMPY_TYPES[variable.element])
        if variable.register >= 0:
            bits = np.array([self.simulation.state(x, y)["registers"][variable.register] & 0xFFFFFFFF], np.uint32)
            return _number(bits.view(f"u{kind.itemsize}")[:1].view(kind), variable)[0]
        start = self._part(x, y).program.addresses()[variable.symbol] + variable.offset
        count = int(np.prod(variable.shape, dtype=np.int64))
        data = self.simulation.memory_of(x, y)[start : start + count * TYPE_BYTES[variable.element]]
        values = _number(np.frombuffer(data, kind), variable)
        return values.reshape(variable.shape) if variable.shape else values[0]


def _number(values: np.ndarray, variable: Variable) -> np.ndarray:
    """Elements of the core as numpy has them: bf16 as float32, truths as bool."""
    if variable.element == "bf16":
        return (values.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return values.astype(bool) if variable.type == "bool" or variable.type.endswith("]bool") else values


