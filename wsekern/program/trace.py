"""Trace of cores and routers as Chrome / Perfetto JSON: opens in https://ui.perfetto.dev."""

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from wsekern.errors import InputError
from wsekern.fabric.trace import crossing, write_events
from wsekern.output import check_target
from wsekern.program._pe import MAIN_THREAD, STATES, THREADS
from wsekern.program.simulation import Simulation
from wsekern.program.waiting import WAITS, thread_name

_ROUTER = 0
_IDLE, _STARTING = STATES.index("idle"), STATES.index("starting")


def trace(simulation: Simulation, path: str | os.PathLike[str], cycles: int,
          pes: Iterable[tuple[int, int]] | None = None) -> int:
    """Run ``cycles`` cycles and write what ``pes`` (x, y), by default all, do in each; returns the number of slices of cores.

    One process per PE, with a row for its router and one for each thread that does anything. On a core's row a slice per
    instruction, named by its text, and in it a slice for each wait (around both one for the function, where a compiler
    wrote the program); on a router's row a slice per word that leaves or comes, with an arrow for each link crossing. A
    cycle is a microsecond on screen. Nothing is recorded but in here: threads and links are read between two cycles. Where
    the run meets an error, the trace up to there is written, and the error raised.
    """
    if cycles < 0:
        raise InputError(f"{cycles} cycles: expected at least 0")
    recorder = _Recorder(simulation, pes)
    check_target(path)      # a place where nothing can be written is refused before anything runs
    try:
        for _ in range(cycles):
            recorder.look()
            recorder.step()
    finally:
        recorder.end()
        write_events(recorder.events, path)
    return recorder.slices


class _Recorder:
    """Slices that are open on each thread of each PE, and the events so far."""

    def __init__(self, simulation: Simulation, pes: Iterable[tuple[int, int]] | None) -> None:
        self.simulation, layout = simulation, simulation.layout
        self.events: list[dict[str, Any]] = []
        self.slices, self.flows, self.named = 0, 0, set()
        self.hop = layout.fabric.rules.hop_latency
        self.chosen = np.ones(layout.program_of.size, bool)
        if pes is not None:
            self.chosen[:] = False
            for x, y in pes:
                layout.check_rectangle(x, y, 1, 1)
                self.chosen[y * layout.width + x] = True
        self.rows = np.flatnonzero(self.chosen[simulation.activity()[:, 0]])
        self.places = simulation.activity()[self.rows, 0]
        shape = (len(self.rows), THREADS)
        self.last = (np.full(shape, -1, np.int32), np.full(shape, -1, np.int32))
        self.open: dict[tuple[int, int, str], tuple[int, dict]] = {}

    def look(self) -> None:
        """What every thread does in the coming cycle: where it is something else than in the last one, slices end and begin."""
        found = self.simulation.activity()[self.rows, 1:]
        states, instructions = found[:, :THREADS], found[:, THREADS:]
        busy = states > _IDLE
        # While an instruction goes on, words that it handles are no change; a new task or a new wait is.
        at = np.where(busy, np.where(states == _STARTING, -2, instructions), -1)
        waits = np.where(busy & np.isin(states, [STATES.index(name) for name in WAITS]), states, -1)
        for row, thread in zip(*np.nonzero(at != self.last[0]), strict=True):
            self._close(row, thread, "wait")
            self._close(row, thread, "instruction")
            event = None
            if at[row, thread] != -1:
                event = self._instruction(row, instructions[row, thread], at[row, thread] == -2)
                self._open(row, thread, "instruction", event)
            self._function(row, thread, event)
        for row, thread in zip(*np.nonzero((waits != self.last[1]) | (at != self.last[0])), strict=True):
            self._close(row, thread, "wait")
            if waits[row, thread] >= 0:
                self._open(row, thread, "wait", self._wait(row, thread, STATES[waits[row, thread]]))
        self.last = (at, waits)

    def _instruction(self, row: int, instruction: int, starting: bool) -> dict:
        program = int(self.simulation.layout.program_of.reshape(-1)[self.places[row]])
        place = self.simulation.place_of(program, int(instruction))
        name = f"begins task {place['task']}" if starting else place["text"]
        return {"name": name, "cat": "task" if starting else "instruction", "args": place}

    def _function(self, row: int, thread: int, event: dict | None) -> None:
        """The slice of the function that an instruction comes from, where a compiler wrote it; none while a task begins."""
        name = event["args"].get("function") if event is not None and event["cat"] == "instruction" else None
        held = self.open.get((row, thread, "function"))
        if held is not None and held[1]["name"] != name:
            self._close(row, thread, "function")
            held = None
        if held is None and name is not None:
            self._open(row, thread, "function", {"name": name, "cat": "function", "args": {}})

    def _wait(self, row: int, thread: int, state: str) -> dict:
        pe = int(self.places[row])
        held = self.simulation.state(pe % self.simulation.layout.width, pe // self.simulation.layout.width)
        queue = held["threads"][thread]["queue"]
        program = self.simulation.layout.programs[self.simulation.layout.program_of.reshape(-1)[pe]]
        if state in ("input", "output"):
            bindings = program.inputs if state == "input" else program.outputs
            what = f"{WAITS[state]}, color {bindings[queue]}"
        else:
            what = f"{WAITS[state].removeprefix('a ')} {queue}"
        return {"name": f"waits for {what}", "cat": "wait", "cname": "terrible", "args": {"queue": queue}}

    def _open(self, row: int, thread: int, kind: str, event: dict) -> None:
        self.open[row, thread, kind] = (self.simulation.cycle, event)

    def _close(self, row: int, thread: int, kind: str) -> None:
        found = self.open.pop((row, thread, kind), None)
        if found is not None:
            pid, tid = self._row(int(self.places[row]), 1 if thread == MAIN_THREAD else 2 + int(thread),
                                 thread_name(int(thread)))
            # An instruction that ended the run with an error did so in its first cycle.
            cycles = max(1, self.simulation.cycle - found[0])
            self.events.append({"ph": "X", "ts": found[0], "dur": cycles, "pid": pid, "tid": tid, **found[1]})
            self.slices += kind == "instruction"

    def _row(self, pe: int, tid: int, name: str) -> tuple[int, int]:
        """Process and thread of a row on screen, which is named where it is new."""
        pid = pe + 1
        if pe not in self.named:
            x, y = pe % self.simulation.layout.width, pe // self.simulation.layout.width
            program = int(self.simulation.layout.program_of[y, x])
            what = self.simulation.layout.programs[program].name if program >= 0 else "no program"
            self.named.add(pe)
            self._name("process", pid, 0, f"PE ({x}, {y}) {what}", pid)
        if (pe, tid) not in self.named:
            self.named.add((pe, tid))
            self._name("thread", pid, tid, name, tid)
        return pid, tid

    def _name(self, kind: str, pid: int, tid: int, name: str, order: int) -> None:
        self.events += [{"ph": "M", "name": f"{kind}_name", "pid": pid, "tid": tid, "args": {"name": name}},
                        {"ph": "M", "name": f"{kind}_sort_index", "pid": pid, "tid": tid, "args": {"sort_index": order}}]

    def step(self) -> None:
        """One cycle, and the link crossings in it that leave or reach a chosen PE."""
        simulation, start = self.simulation, self.simulation.cycle
        before = simulation.fabric.cycle
        simulation.step()
        if simulation.fabric.cycle == before:       # an empty fabric stands still
            return
        for move in simulation.fabric.moves():
            y, x = divmod(int(move["pe"]), simulation.layout.width)
            events = crossing(move, x, y, start, self.hop, self.flows + 1, lambda x, y: {"x": x, "y": y})
            ends = [event["y"] * simulation.layout.width + event["x"] for event in events[:2]]
            on_grid = all(0 <= event["x"] < simulation.layout.width and 0 <= event["y"] < simulation.layout.height
                          for event in events[:2])
            if not on_grid or not self.chosen[ends].any():
                continue
            self.flows += 1
            for event in events:
                pe = event.pop("y") * simulation.layout.width + event.pop("x")
                event["pid"], event["tid"] = self._row(pe, _ROUTER, "router")
                self.events.append(event)

    def end(self) -> None:
        """Slices that are still open end here."""
        for row, thread, kind in list(self.open):
            self._close(row, thread, kind)
        # A slice comes before those that lie in it, names before all.
        self.events.sort(key=lambda event: (event.get("ts", -1), -event.get("dur", 0), event.get("cat") != "function"))
