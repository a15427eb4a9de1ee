"""A layout in its running state, and the host's side of it: copies, streams, launches, and what one can look at."""

import os
import warnings
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any, Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsekern.errors import (
    STATUS,
    InputError,
    ProgramError,
    ProgramWarning,
    check_flag,
    check_text,
    check_whole,
    raise_for_status,
)
from wsekern.fabric._host import inject
from wsekern.fabric._routing import LAST_CYCLE, State
from wsekern.fabric.routes import Port, port_of
from wsekern.fabric.simulation import NEVER, Stop, Word, check_color, check_entry, marks_of, saved_bytes, stops_of, words_of
from wsekern.output import write_file
from wsekern.program._pe import COUNTERS, Cores
from wsekern.program.compiled import compile_plan
from wsekern.program.findings import Finding, findings_of
from wsekern.program.instructions import COLORS
from wsekern.program.operands import NUMPY_TYPES
from wsekern.program.places import Places, state_of
from wsekern.program.plan import ProgramPlan
from wsekern.program.waiting import STUCK, WAITS, Waits, sentence_of
from wsekern.shown import Shown

MAX_THREADS = 1024
"""Sanity limit of the threads of a simulation."""

_SINK_LOG, _SINK_CORE = 1, 2
_DEADLINE, _DEADLOCK = STATUS["DEADLINE"], STATUS["DEADLOCK"]
_FEW = 256          # cycles that one step takes without a look at Ctrl-C


class Simulation(Shown):
    """A layout in its running state: memory of every PE, cores, fabric, and the cycle.

    Time is in cycles. The host's own time costs nothing: copies happen and functions begin in the coming cycle. ``strict`` and
    ``watch_memory``: as :meth:`wsekern.program.Layout.compile` says.
    """

    def __init__(self, layout: ProgramPlan, threads: int = 1, taps: tuple[int, ...] = (), *, strict: bool = False,
                 watch_memory: bool = False) -> None:
        check_whole(threads, "threads", 1, MAX_THREADS)
        if not isinstance(layout, ProgramPlan):
            raise InputError(f"{layout!r} is no layout of programs")
        if not isinstance(taps, Iterable):
            raise InputError(f"taps are {taps!r}: expected colors")
        self.layout, self.threads, self.strict = layout, threads, check_flag(strict, "strict of a simulation")
        self.watches_memory, self._told = check_flag(watch_memory, "watch_memory of a simulation"), set[tuple]()
        self._on_delivery: Callable[[Word], object] | None = None
        compiled = compile_plan(layout)
        self._placed, self.parameters = compiled.placed, compiled.parameters
        """(PEs, count); may be written between runs."""
        self._cores = Cores(compiled.programs, compiled.code, compiled.descriptors, compiled.routes,
                            layout.program_of.reshape(-1), compiled.parameters, compiled.latency, layout.width)
        sinks = np.full(COLORS, _SINK_CORE, np.uint8)
        sinks[[check_color(color) for color in taps]] = _SINK_LOG
        self._fabric = State(layout.fabric.build(), sinks)
        self._cores.attach(self._fabric)
        self._places = Places(layout.programs, self._placed)
        self._waits = Waits(layout, self._cores, self._places, self._fabric)
        if watch_memory:
            self._cores.watch()
        self.fill_memory()

    def _facts(self) -> dict[str, Any]:
        return {**self.layout._facts(), "cycle": self.cycle, "threads": self.threads}

    # ---- memory

    def fill_memory(self) -> None:
        """Give symbols that have initial values these again; ``reset`` leaves all memory as it is."""
        for index, program in enumerate(self.layout.programs):
            for symbol, values in program.initial.items():
                self._fill(index, program.addresses()[symbol], values)

    def memcpy_h2d(self, symbol: str, values: np.ndarray, x: int = 0, y: int = 0, width: int | None = None,
                   height: int | None = None, order: str = "row") -> None:
        """Copy ``values`` into ``symbol`` of every PE of a rectangle (default: the grid) whose program has it.

        ``values``: (height, width, elements) of the symbol's type, or flat in ``order`` "row" (PE by PE along rows) or
        "column" (element by element: all PEs' first elements, then all second ones).
        """
        values, (width, height) = np.asarray(values), self._rectangle(x, y, width, height)
        for index, pes, type, elements, address in self._holders(symbol, x, y, width, height):
            check_values(values, (width, height), type, elements, f"symbol {symbol} of {self.layout.programs[index].name}")
            if elements:
                rows = self._by_pe(values, height * width, elements, order)
                here = (pes // self.layout.width - y) * width + pes % self.layout.width - x
                raise_for_status(self._cores.copy_in(address, pes, np.ascontiguousarray(rows[here]).view(np.uint8)))

    def memcpy_d2h(self, symbol: str, x: int = 0, y: int = 0, width: int | None = None, height: int | None = None,
                   order: str | None = None) -> np.ndarray:
        """``symbol`` of every PE of a rectangle (height, width, elements), flat where an ``order`` is given; zeros where a PE
        has no such symbol."""
        width, height = self._rectangle(x, y, width, height)
        out = None
        for _, pes, type, elements, address in self._holders(symbol, x, y, width, height):
            if out is None:
                out = np.zeros((height * width, elements), NUMPY_TYPES[type])
            elif out.shape[1] != elements or out.dtype != NUMPY_TYPES[type]:
                raise InputError(f"symbol {symbol} has {out.shape[1]} elements of {out.dtype} on some PEs of the rectangle, "
                                 f"{elements} of {np.dtype(NUMPY_TYPES[type])} on others: copy them apart")
            rows = np.zeros((len(pes), elements), NUMPY_TYPES[type])
            if elements:
                raise_for_status(self._cores.copy_out(address, pes, rows.view(np.uint8)))
                out[(pes // self.layout.width - y) * width + pes % self.layout.width - x] = rows
        if order is not None:
            return out.reshape(-1) if _is_row(order) else out.T.reshape(-1)
        return out.reshape(height, width, out.shape[1])

    @staticmethod
    def _by_pe(values: np.ndarray, pes: int, elements: int, order: str) -> np.ndarray:
        if values.ndim > 1 or _is_row(order):
            return values.reshape(pes, elements)
        return values.reshape(elements, pes).T

    def _rectangle(self, x: int, y: int, width: int | None, height: int | None) -> tuple[int, int]:
        width = self.layout.width - check_whole(x, "as x of a rectangle", 0) if width is None else width
        height = self.layout.height - check_whole(y, "as y of a rectangle", 0) if height is None else height
        self.layout.check_rectangle(x, y, width, height)
        return width, height

    def _pes(self, x: int, y: int, width: int, height: int) -> tuple[NDArray[np.int32], np.ndarray]:
        """Numbers of the PEs of a rectangle, and their programs."""
        rows = np.arange(y, y + height)[:, None] * self.layout.width + np.arange(x, x + width)[None, :]
        return rows.reshape(-1).astype(np.int32), self.layout.program_of[y:y + height, x:x + width].reshape(-1)

    def _holders(self, symbol: str, x: int, y: int, width: int, height: int) -> list[tuple]:
        check_text(symbol, "a symbol")
        numbers, programs = self._pes(x, y, width, height)
        found = []
        for index, program in enumerate(self.layout.programs):
            pes = numbers[programs == index]
            if symbol in program.symbols and len(pes):
                type, elements = program.symbols[symbol]
                found.append((index, pes, type, elements, program.addresses()[symbol]))
        if not found:
            raise InputError(f"no program has a symbol {symbol!r}")
        return found

    def _fill(self, program: int, address: int, values: np.ndarray) -> None:
        pes = np.flatnonzero(self.layout.program_of.reshape(-1) == program).astype(np.int32)
        if len(pes) and values.size:
            rows = np.ascontiguousarray(np.broadcast_to(values, (len(pes), values.size)))
            raise_for_status(self._cores.copy_in(address, pes, rows.view(np.uint8)))

    def timestamps(self, symbol: str, offset: int = 0) -> NDArray[np.int64]:
        """Time-stamp counters that ``code.timestamp`` wrote into ``symbol``: cycles (height, width)."""
        words = self.memcpy_d2h(symbol)
        if words.dtype.kind not in "iu" or words.shape[2] < 3:
            raise InputError(f"symbol {symbol} has {words.shape[2]} elements of {words.dtype}: a time stamp takes three 16-bit "
                             "integers")
        check_whole(offset, f"as first element of a time stamp in {symbol}", 0, words.shape[2] - 3)
        parts = words[:, :, offset:offset + 3].astype(np.int64)
        return parts[:, :, 0] | parts[:, :, 1] << 16 | parts[:, :, 2] << 32

    # ---- running

    def launch(self, function: str, x: int = 0, y: int = 0, width: int | None = None, height: int | None = None) -> None:
        """Let ``function`` (a local task) begin on every PE of a rectangle whose program has it, in the coming cycle."""
        check_text(function, "a function")
        numbers, programs = self._pes(x, y, *self._rectangle(x, y, width, height))
        found = False
        for index, placed in enumerate(self._placed):
            pes = numbers[programs == index]
            if function in placed.tasks and len(pes):
                found = True
                raise_for_status(self._cores.launch(pes, placed.tasks[function]))
        if not found:
            raise InputError(f"no program has a function {function!r}")

    @overload
    def run(self, deadline: int = 1 << 40, *, quiet: bool = False) -> int: ...
    @overload
    def run(self, *, until: int | None = None, stop: Stop | str, patience: int = 0) -> Stop: ...

    def run(self, deadline: int = 1 << 40, *, until: int | None = None, stop: Stop | str | None = None,
            patience: int = 0, quiet: bool = False) -> int | Stop:
        """Run until every core is idle and no word is on its way; the cycle at which the last core became idle. Raises where it
        is stuck, or at cycle ``deadline``. Then it tells what the programs did that is hardly meant (:meth:`tell`), unless
        ``quiet``: words may lie unread for a function that is still to be launched.

        With ``stop`` ("delivery": a word that left the grid waits to be received; "idle", "deadlock") until one of these holds
        or the clock reads ``until`` (None: without end): answers which, and raises on a broken rule only. ``patience``: cycles
        without any movement that count as a deadlock; 0: as many as :meth:`run` waits.
        """
        quiet = check_flag(quiet, "quiet of a run")
        if stop is not None:
            end = LAST_CYCLE if until is None else check_whole(until, "as the cycle to run until", self.cycle, LAST_CYCLE)
            reasons = stop if isinstance(stop, Stop) else stops_of(stop)
            if until is None and not reasons & ~Stop.HOST:
                raise InputError("a run without an end: give until=, or what it stops for")
            return Stop(self._run(end, reasons, check_whole(patience, "cycles of patience", 0, LAST_CYCLE)))
        if until is not None:
            raise InputError("until= goes with stop=; a run until all is done takes a deadline")
        found = self._run(check_whole(deadline, "as deadline in cycles", 0, LAST_CYCLE), Stop.IDLE | Stop.DEADLOCK)
        if not found & Stop.IDLE:
            self._refuse(_DEADLOCK if found & Stop.DEADLOCK else _DEADLINE)
        if not quiet:
            self.tell()
        return self._cores.ended

    def findings(self) -> list[Finding]:
        """What the programs did so far that the hardware allows and that is hardly meant
        (:data:`wsekern.program.findings.RULES`): the first of each kind, with PE, color, line and cycle. Words count as unread
        if they lie in a queue or a router now: ask when all is idle."""
        return findings_of(self.layout, self._cores, self._places, self._fabric)

    def tell(self) -> None:
        """A :class:`~wsekern.errors.ProgramWarning` for each of :meth:`findings` that was not told yet; ``strict``: a
        :class:`~wsekern.errors.ProgramError` with all of them. :meth:`run` to the end calls it."""
        found = [item for item in self.findings() if item.key not in self._told]
        self._told |= {item.key for item in found}
        if found and self.strict:
            raise ProgramError("; ".join(map(str, found)), {"findings": found})
        for item in found:
            warnings.warn(str(item), ProgramWarning, stacklevel=3)

    def step(self, cycles: int = 1) -> int:
        """Run for ``cycles``, whether or not anything happens; the coming cycle."""
        now = self._cores.cycle
        if type(cycles) is not int or not 0 <= cycles <= _FEW or now > LAST_CYCLE - _FEW:
            check_whole(cycles, "cycles", 0, LAST_CYCLE - now)
        if self._on_delivery is None and cycles <= _FEW:
            found = self._cores.run(self._fabric, now + cycles, 0, 0, self.threads)
            if found < 0:
                self._refuse(found)
        else:
            self._run(now + cycles, NEVER)
        return self._cores.cycle

    def _run(self, until: int, stop: Stop, patience: int = 0) -> int:
        """To a cycle or a reason of ``stop``; the reasons that hold then."""
        heard = 0 if self._on_delivery is None else Stop.DELIVERY
        chunk = min(until - self._cores.cycle, _FEW)
        while True:
            began = perf_counter()
            end = min(until, self._cores.cycle + chunk)
            found = self._cores.run(self._fabric, end, stop.value | heard, patience, self.threads)
            if found < 0:
                self._refuse(found)
            if heard and found & heard:
                self._tell()
                found &= ~heard | stop.value
            if self._cores.cycle >= until or found & ~Stop.TIME.value:
                return found if self._cores.cycle >= until else found & ~Stop.TIME.value
            # About a tenth of a second between two looks at Ctrl-C.
            chunk = max(256, chunk * 2 if perf_counter() - began < 0.05 else chunk // 2)

    def _refuse(self, status: int) -> None:
        raise_for_status(status, *self._explain(status))

    def _tell(self) -> None:
        """Hand words that left the grid to the host's function."""
        for word in self.receive().tolist():
            self._on_delivery(Word(*word))

    @property
    def next_event(self) -> int | None:
        """The next cycle in which anything can happen while the host does nothing; None: nothing ever does. A cycle up to 1,022
        ahead may turn out to be one in which nothing happens after all."""
        return self._cores.next_event(self._fabric)

    def on_delivery(self, call: Callable[[Word], object] | None) -> None:
        """Call ``call`` with every word that leaves the grid, as soon as it could be received, in place of :meth:`receive`;
        None: no more. What it raises ends the run, which raises it."""
        if call is not None and not callable(call):
            raise InputError(f"{call!r} cannot be called: expected a function, or None")
        self._on_delivery = call

    def reset(self) -> None:
        """Programs back to their start at cycle 0; memory stays as it is."""
        self._told.clear()
        self._cores.reset()
        self._fabric.reset()
        self._cores.attach(self._fabric)

    # ---- bytes

    def to_bytes(self) -> bytes:
        """All of the simulation at this cycle, memory and words not yet received included, as bytes that are the same on every
        machine (those of ``wsk_simulation_save`` of the C library); the layout is not in them."""
        return self._cores.save(self._fabric)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write :meth:`to_bytes` to a file, whole or not at all."""
        write_file(path, self.to_bytes())

    def load(self, saved: bytes | str | os.PathLike[str]) -> None:
        """Back to what :meth:`to_bytes` of a simulation of the same layout gave, by any number of threads, or to the file that
        :meth:`save` wrote; bytes that were cut or altered are refused, and nothing has changed then."""
        self._cores.load(self._fabric, saved_bytes(saved))

    @classmethod
    def from_bytes(cls, saved: bytes | str | os.PathLike[str], layout: ProgramPlan, threads: int = 1,
                   strict: bool = False) -> Self:
        """A simulation of ``layout`` that goes on as the saved one would have, from its bytes or the file with them."""
        made = cls(layout, threads, strict=strict)
        made.load(saved)
        return made

    def __reduce__(self) -> tuple:
        return type(self).from_bytes, (self.to_bytes(), self.layout, self.threads, self.strict)

    # ---- streams

    def send(self, color: int, words: ArrayLike, x: int, y: int, port: Port | str = Port.WEST, *,
             control: ArrayLike | bool = False) -> None:
        """Let words (integers, or float32 by their bits) wait at an edge of the grid, or at a ramp, and come in one a cycle."""
        self._cores.open_fabric(self._fabric)
        if inject(self._fabric, x, y, color, words, control, False, port):
            return
        self.layout.check_rectangle(x, y, 1, 1)
        port, color, data = port_of(port), check_color(color), words_of(words).reshape(1, -1)
        pes = np.array([y * self.layout.width + x], np.uint32)
        check_entry(self._fabric.plan, pes, port)
        marks = marks_of(data.shape, control, False)
        self._fabric.inject(pes, port, color, np.ascontiguousarray(data), np.ascontiguousarray(marks) if marks.any() else None)

    def receive(self, color: int | None = None) -> NDArray[np.void]:
        """Words that left the grid over its edges since the last call, in order of cycle: records of
        :data:`wsekern.fabric._host.DELIVERED`. With ``color``, words of others are kept for later."""
        return self._cores.receive(-1 if color is None else check_color(color))

    # ---- looking

    @property
    def link_traversals(self) -> int:
        """Wavelets times links so far."""
        return int(self._fabric.totals()["hops"].sum())

    @property
    def fabric(self) -> State:
        """The routers' state: link counts, stalls, occupancies, switch positions."""
        return self._fabric

    @property
    def cycle(self) -> int:
        """The coming cycle."""
        return self._cores.cycle

    @property
    def clock(self) -> np.ndarray:
        """Cycle at which each PE became idle, int64 (height, width)."""
        return self.counters()["done"]

    def counters(self) -> dict[str, NDArray[np.int64]]:
        """What each PE did so far, (height, width) by name: see ``wsekern.program._pe.COUNTERS``."""
        values = self._cores.counters().reshape(self.layout.height, self.layout.width, len(COUNTERS))
        return {name: values[:, :, k] for k, name in enumerate(COUNTERS)}

    @property
    def stalls(self) -> dict[str, np.ndarray]:
        """Thread-cycles that each PE waited, by what for: words (``input``), room to send (``output``), ``fifo``,
        ``microthread``."""
        counters = self.counters()
        return {name: counters[name] for name in WAITS}

    def count_instructions(self) -> None:
        """From now on, and anew after a reset or load, count what :meth:`instruction_counts` tells."""
        self._cores.profile()

    def instruction_counts(self) -> NDArray[np.int64]:
        """By instruction of all programs: how often it began, thread-cycles of all PEs at work, and waiting for words, room to
        send, FIFOs and microthreads: see :class:`wsekern.program.profile.Profile`."""
        found = self._cores.spent()
        if found is None:
            raise InputError("no instructions are counted: count_instructions() of the simulation begins it")
        return found

    def activity(self) -> NDArray[np.int32]:
        """What each thread of each PE is at: see ``wsekern.program._pe.Cores.activity``."""
        return self._cores.activity()

    def state(self, x: int, y: int) -> dict:
        """All that PE (x, y) holds beside its memory: threads, registers, queues, tasks, descriptors, FIFOs.

        Of each thread (0 to 7, and 8 the main one): its ``state`` in the coming cycle (``wsekern.program._pe.STATES``), its
        ``instruction`` and where that stands (:meth:`place_of`), the next ``word`` of a stream, the ``queue`` that it waits
        for, the ``cycle`` since which it waits or until which it is busy.
        """
        return state_of(self.layout, self._cores, self._places, x, y)

    def memory_of(self, x: int, y: int) -> bytes:
        """All bytes of the symbols of PE (x, y), in the order of :meth:`Program.addresses`."""
        self.layout.check_rectangle(x, y, 1, 1)
        program = int(self.layout.program_of[y, x])
        if program < 0:
            raise InputError(f"PE ({x}, {y}) has no program")
        found = np.zeros((1, self.layout.programs[program].data_bytes), np.uint8)
        pe = np.array([y * self.layout.width + x], np.int32)
        raise_for_status(self._cores.copy_out(0, pe, found))
        return found.tobytes()

    def place_of(self, program: int, instruction: int) -> dict:
        """Where an instruction of a program (numbers as in :meth:`activity`) stands: ``program`` and ``task`` by name, ``line``
        of :meth:`Program.text`, its ``text``; ``function`` and ``source`` (file:line) where a compiler wrote it."""
        return self._places.of(check_whole(program, "as number of a program", 0, len(self._placed) - 1),
                               check_whole(instruction, "as number of an instruction", -1))

    def instructions_of(self, program: int) -> int:
        """How many instructions a program (by number) has for the cores."""
        return len(self._placed[program].code)

    def item_of(self, program: int, instruction: int) -> int:
        """The place in its program's ``code`` of an instruction of a program."""
        return self._placed[program].lines[instruction]

    def waiting(self) -> list[dict]:
        """Threads that wait, by PE: see :meth:`wsekern.program.waiting.Waits.threads`."""
        return self._waits.threads()

    def wait_report(self) -> str:
        """Who waits for whom in the coming cycle, as text: see :meth:`wsekern.program.waiting.Waits.report`."""
        return self._waits.report()

    def _explain(self, status: int) -> tuple[str, dict]:
        place = {} if status in STUCK else self._waits.fault()
        report = {"cycle": self.cycle, "place": place, "waiting": self.waiting(), "fabric": self._fabric.report()}
        report["findings"] = [item for item in self.findings() if item.rule != "unread"]
        report["senders"] = self._waits.senders(report["waiting"])
        if report["fabric"] is None:
            report["fabric"] = self._fabric.explain()
        return "; ".join([sentence_of(report, status), *map(str, report["findings"])]), report


def check_values(values: np.ndarray, grid: tuple[int, int], type: str, elements: int, what: str) -> None:
    """Refuse values that are not so many elements of that type for each PE of a grid (width, height): flat, or by rows."""
    width, height = grid
    fits = values.dtype == NUMPY_TYPES[type] and (
        values.size == height * width * elements if values.ndim == 1
        else values.shape[:2] == (height, width) and values[0, 0].size == elements)
    if not fits:
        raise InputError(f"values of shape {values.shape} and type {values.dtype} for {what}: expected {elements} elements of "
                         f"{type} per PE")


def _is_row(order: str) -> bool:
    if order not in ("row", "column"):
        raise InputError(f"order {order!r}: use row or column")
    return order == "row"
