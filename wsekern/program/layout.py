"""A layout: programs on rectangles of PEs and routes of colors, and the simulation that runs it cycle by cycle."""

from collections.abc import Iterable
from time import perf_counter

import numpy as np

from wsekern._pe import Cores
from wsekern._routing import State
from wsekern.errors import InputError, raise_for_status
from wsekern.fabric import FabricPlan
from wsekern.machine import Machine, load_machine
from wsekern.machine.timing import Timing
from wsekern.program.program import NUMPY_TYPES, Program

_SINK_CORE = 2
_DEADLINE = -14


class Layout:
    """Programs and routes of a ``width`` x ``height`` grid of PEs of one machine under one timing profile.

    PE (x, y) lies x columns east and y rows south of the north-west corner.
    """

    def __init__(self, machine: Machine | str, width: int, height: int, profile: str = "vendor-simulator") -> None:
        self.machine = load_machine(machine) if isinstance(machine, str) else machine
        self.machine.check_grid(width, height)
        self.width, self.height, self.profile = width, height, profile
        self.timing = Timing(self.machine, profile, "fp32")
        self.programs: list[Program] = []
        self.program_of = np.full((height, width), -1, np.int32)
        self.fabric = FabricPlan(width, height, self.machine, profile)
        """The routes; paint here what :meth:`set_route` does not offer: switches, filters, teardown, color swap."""
        self.parameters = np.zeros((height, width, 0), np.int32)
        """Parameters of each PE, (height, width, count): numbers in which PEs of one program differ."""

    def set_program(self, program: Program, x: int = 0, y: int = 0, width: int = 1, height: int = 1) -> None:
        """Put ``program`` on a rectangle of PEs, in place of what was there."""
        self._check(x, y, width, height)
        self.program_of[y:y + height, x:x + width] = self._index(program)

    def set_programs(self, programs: list[Program], which: np.ndarray) -> None:
        """Put ``programs[which[y, x]]`` on PE (x, y) of the whole grid."""
        if which.shape != (self.height, self.width):
            raise InputError(f"a map of programs of shape {which.shape}: expected {(self.height, self.width)}")
        indices = np.array([self._index(program) for program in programs], np.int32)
        self.program_of[:] = indices[which]

    def set_route(self, color: int, rx: Iterable[str], tx: Iterable[str], x: int = 0, y: int = 0, width: int = 1,
                  height: int = 1) -> None:
        """Route ``color`` on a rectangle: words come in from ``rx`` and leave to ``tx`` (N, E, S, W, RAMP)."""
        self.fabric.paint(color, tuple(rx), tuple(tx), x=x, y=y, width=width, height=height)

    def _index(self, program: Program) -> int:
        for index, known in enumerate(self.programs):
            if known is program:
                return index
        self.programs.append(program)
        return len(self.programs) - 1

    def _check(self, x: int, y: int, width: int, height: int) -> None:
        if x < 0 or y < 0 or width < 1 or height < 1 or x + width > self.width or y + height > self.height:
            raise InputError(f"a rectangle of {width}x{height} PEs at ({x}, {y}) does not lie on {self.width}x"
                             f"{self.height} PEs")

    def compile(self) -> "Simulation":
        """Check every budget, and make the simulation."""
        return Simulation(self)


class Simulation:
    """A layout in its running state: memory of every PE, cores, fabric, and the cycle."""

    def __init__(self, layout: Layout) -> None:
        self.layout, timing = layout, layout.timing
        for program in layout.programs:
            program.check(timing)
        code = [program.encode(timing) for program in layout.programs] or [np.zeros((0, 38), np.int32)]
        firsts = np.cumsum([0] + [len(records) for records in code[:-1]])
        headers = [program.header(timing, int(first)) for program, first in zip(layout.programs, firsts, strict=False)]
        self.parameters = layout.parameters.reshape(layout.program_of.size, -1).copy()
        """(PEs, count); may be written between runs."""
        self._cores = Cores(np.array(headers, np.int32).reshape(-1, 35), np.concatenate(code),
                            layout.program_of.reshape(-1), self.parameters,
                            timing.latency("input"), timing.latency("output"))
        sinks = np.full(int(layout.machine.fabric.colors), _SINK_CORE, np.uint8)
        self._fabric = State(layout.fabric.build(), sinks)
        self._cores.attach(self._fabric)

    def memcpy_h2d(self, symbol: str, values: np.ndarray) -> None:
        """Copy ``values`` (height, width, elements) into ``symbol`` of every PE whose program has it."""
        for index, pes, type, elements, address in self._holders(symbol):
            fits = values.shape[:2] == (self.layout.height, self.layout.width) and values[0, 0].size == elements
            if not fits or values.dtype != NUMPY_TYPES[type]:
                raise InputError(f"values of shape {values.shape} and type {values.dtype} for symbol {symbol} of "
                                 f"{self.layout.programs[index].name}: expected {elements} elements of {type} per PE")
            if elements:
                rows = values.reshape(-1, elements)[pes]
                raise_for_status(self._cores.copy_in(address, pes, np.ascontiguousarray(rows).view(np.uint8)))

    def memcpy_d2h(self, symbol: str) -> np.ndarray:
        """``symbol`` of every PE (height, width, elements); zeros where a PE has no such symbol."""
        out = None
        for _, pes, type, elements, address in self._holders(symbol):
            if out is None:
                out = np.zeros((self.layout.height * self.layout.width, elements), NUMPY_TYPES[type])
            rows = np.zeros((len(pes), elements), NUMPY_TYPES[type])
            if elements:
                raise_for_status(self._cores.copy_out(address, pes, rows.view(np.uint8)))
                out[pes] = rows
        return out.reshape(self.layout.height, self.layout.width, out.shape[1])

    def _holders(self, symbol: str) -> list[tuple]:
        flat, found = self.layout.program_of.reshape(-1), []
        for index, program in enumerate(self.layout.programs):
            if symbol in program.symbols:
                type, elements = program.symbols[symbol]
                pes = np.flatnonzero(flat == index).astype(np.int32)
                found.append((index, pes, type, elements, program.addresses()[symbol]))
        if not found:
            raise InputError(f"no program has a symbol {symbol!r}")
        return found

    def run(self, deadline: int = 1 << 40) -> int:
        """Run until every program has ended; the cycle at which the last did. Raises where it is stuck."""
        status, chunk = _DEADLINE, 256
        while status == _DEADLINE and self.cycle < deadline:
            began = perf_counter()
            status = self._cores.run(self._fabric, min(deadline, self.cycle + chunk))
            # About a tenth of a second between two looks at Ctrl-C.
            chunk = chunk * 2 if perf_counter() - began < 0.05 else max(64, chunk // 2)
        if status < 0:
            raise_for_status(status, *self._explain(status))
        return self._cores.ended

    @property
    def link_traversals(self) -> int:
        """Wavelets times links so far."""
        return int(self._fabric.totals()["hops"].sum())

    def reset(self) -> None:
        """Programs back to their start at cycle 0; memory stays as it is."""
        self._cores.reset()
        self._fabric.reset()
        self._cores.attach(self._fabric)

    @property
    def cycle(self) -> int:
        """The coming cycle."""
        return self._cores.cycle

    @property
    def clock(self) -> np.ndarray:
        """Cycle at which each PE's program ended, int64 (height, width)."""
        return self._counter(0)

    @property
    def stalls(self) -> dict[str, np.ndarray]:
        """Cycles that each PE waited for words (``input``) and for room to send (``output``)."""
        return {"input": self._counter(1), "output": self._counter(2)}

    def _counter(self, which: int) -> np.ndarray:
        return self._cores.counters()[:, which].reshape(self.layout.height, self.layout.width)

    def _explain(self, status: int) -> tuple[str, dict]:
        waiting = [{"x": pe % self.layout.width, "y": pe // self.layout.width, "instruction": instruction,
                    "program": self.layout.programs[self.layout.program_of.reshape(-1)[pe]].name,
                    "waits_for": "words" if state == 1 else "room to send"}
                   for pe, instruction, state in self._cores.waiting()]
        pe, color = self._cores.fault
        place = f"PE ({pe % self.layout.width}, {pe // self.layout.width}), color {color}, " if pe >= 0 else ""
        first = waiting[0] if waiting else None
        wait = (f"; {len(waiting)} PEs wait, the first is PE ({first['x']}, {first['y']}) of {first['program']} at "
                f"instruction {first['instruction']}, for {first['waits_for']}" if first else "")
        return f"{place}cycle {self.cycle}{wait}", {"cycle": self.cycle, "waiting": waiting}

