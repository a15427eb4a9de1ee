"""Run wavelets over a compiled plan: inject, step, drain, read."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsekern import _routing
from wsekern.errors import DeadlineError, InputError
from wsekern.fabric.plan import FabricPlan, route_record
from wsekern.fabric.routes import Port, Route, port_of

SINKS = {"count": 0, "log": 1, "core": 2}
DELIVERED = np.dtype([("cycle", "i8"), ("x", "i4"), ("y", "i4"), ("color", "u1"), ("port", "u1"), ("control", "?"),
                      ("teardown", "?"), ("data", "u4")])
"""One word that left the fabric: when it could be read, where, its color, the port it left by, its bits."""


class Fabric:
    """A fabric in motion: one state of a plan.

    ``sink`` says what becomes of words that leave for a core: "log" (kept for :meth:`drain`), "count" (only counted and
    summed) or "core" (as log, but a word leaves only after :meth:`credit`); one for all, or a dict by color.
    ``patience``: cycles without movement, while words wait, that count as a deadlock (0: never).
    """

    def __init__(self, plan: FabricPlan | _routing.Plan, sink: str | Mapping[int, str] = "log", *, threads: int = 1,
                 patience: int = 50):
        self.plan = plan.build() if isinstance(plan, FabricPlan) else plan
        sinks = np.full(24, SINKS["log"], np.uint8)
        for color, name in (dict.fromkeys(range(24), sink) if isinstance(sink, str) else sink).items():
            if name not in SINKS:
                raise InputError(f"sink {name!r} does not exist: use one of {', '.join(SINKS)}")
            sinks[color] = SINKS[name]
        if threads < 1:
            raise InputError(f"{threads} threads: expected at least 1")
        self.state = _routing.State(self.plan, sinks, threads)
        self.patience = patience
        self.height, self.width = self.plan.shape

    @property
    def cycle(self) -> int:
        """Cycles since reset."""
        return self.state.cycle

    @property
    def in_flight(self) -> int:
        """Words in routers, on links and on on-ramps."""
        return self.state.in_flight

    def inject(self, x: ArrayLike, y: ArrayLike, color: int, data: ArrayLike, *, control: ArrayLike | bool = False,
               advance: ArrayLike | bool = False, port: Port | str = Port.RAMP) -> None:
        """Let words wait outside the ramp (or an edge ``port``) of PE (x, y); they enter as room allows, one per cycle.

        ``data``: 32-bit words, shape (n,) for one PE, or (m, n) for the m PEs whose ``x`` and ``y`` are given. ``control``
        and ``advance`` mark control wavelets and the advance-switch bit, broadcast to the shape of ``data``.
        """
        xs, ys = np.broadcast_arrays(np.atleast_1d(np.asarray(x, np.int64)), np.atleast_1d(np.asarray(y, np.int64)))
        words = words_of(data)
        words = np.ascontiguousarray(np.broadcast_to(words, (len(xs), words.shape[-1] if words.ndim else 1)))
        marks = np.broadcast_to(np.asarray(control, bool) * np.uint8(1) + np.asarray(advance, bool) * np.uint8(2), words.shape)
        flags = np.ascontiguousarray(marks) if marks.any() else None
        for i, (px, py) in enumerate(zip(xs.tolist(), ys.tolist(), strict=True)):
            self.state.inject(px, py, port_of(port), color, words[i], None if flags is None else flags[i])

    def offer(self, x: int, y: int, color: int, data: int, *, control: bool = False, advance: bool = False,
              port: Port | str = Port.RAMP) -> bool:
        """Offer one word in this cycle, as a core does; False if the router has no room or the ramp is busy."""
        return self.state.offer(x, y, port_of(port), color, data, control | advance << 1)

    def credit(self, x: int, y: int, color: int, words: int = 1) -> None:
        """Let a core with sink "core" take ``words`` more words of ``color``."""
        self.state.credit(x, y, color, words)

    def step(self, cycles: int = 1) -> None:
        """Step ``cycles`` cycles; a broken rule raises :class:`RoutingError` with its report."""
        self.state.run(cycles)

    def run_until_idle(self, deadline: int = 1 << 40) -> int:
        """Step until no word is left (all delivered and readable); returns the cycle.

        :class:`DeadlockError` names who waits for whom; :class:`DeadlineError` after ``deadline`` more cycles.
        """
        if not self.state.run(deadline, True, self.patience):
            raise DeadlineError(f"{self.in_flight + self.state.waiting_outside} words are still on their way after "
                                f"{deadline} cycles (cycle {self.cycle})")
        return self.cycle

    def run_until(self, condition: Callable[["Fabric"], bool], deadline: int = 1 << 40, every: int = 1) -> int:
        """Step until ``condition(self)`` holds, asked every ``every`` cycles; returns the cycle."""
        end = self.cycle + deadline
        while not condition(self):
            if self.cycle >= end:
                raise DeadlineError(f"the condition was not met within {deadline} cycles (cycle {self.cycle})")
            self.state.run(min(every, end - self.cycle), False, self.patience)
        return self.cycle

    def drain(self) -> NDArray[np.void]:
        """Words that left for cores and edges since the last call, in order of cycle: records of :data:`DELIVERED`."""
        cycles, words = self.state.log()
        out = np.empty(len(words), DELIVERED)
        out["cycle"], out["data"], out["color"], out["port"] = cycles, words["data"], words["color"], words["port"]
        out["y"], out["x"] = np.divmod(words["pe"].astype(np.int64), self.width)
        out["control"], out["teardown"] = words["flags"] & 1, words["flags"] & 4
        return out

    def totals(self) -> dict[str, NDArray[np.uint64]]:
        """Sums per color since reset: hops, injected, delivered, dropped, copied, edge, stalls, checksum."""
        return self.state.totals()

    def link_counts(self, port: Port | str) -> NDArray[np.uint32]:
        """Words that left each router by ``port`` since reset, shape (height, width)."""
        return self.state.link_counts(port_of(port))

    def stall_counts(self) -> NDArray[np.uint32]:
        """Head words that could not leave, summed over cycles and colors, per router: shape (height, width)."""
        return self.state.stall_counts()

    def occupancy(self, color: int) -> NDArray[np.uint8]:
        """Places taken in each router's queue of ``color``, shape (height, width)."""
        return self.state.occupancy(color)

    def position(self, x: int, y: int, color: int) -> int:
        """Switch position of a PE and color."""
        return self.state.position(x, y, color)

    def set_position(self, x: int, y: int, color: int, position: int) -> None:
        """Set a switch from a core program."""
        self.state.set_position(x, y, color, position)

    def rewrite(self, x: int, y: int, color: int, route: Route) -> None:
        """Replace a route from a core program; words already queued follow the new one."""
        self.state.rewrite(x, y, color, route_record(route))

    def teardown(self, x: int, y: int, color: int, frozen: bool = False) -> None:
        """Leave (or enter) teardown from a core program."""
        self.state.teardown(x, y, color, frozen)

    def torn_down(self, x: int, y: int, color: int) -> bool:
        """Whether a color is in teardown at a PE."""
        return self.state.torn_down(x, y, color)

    def snapshot(self) -> "Fabric":
        """A second fabric in the same state."""
        copy = object.__new__(Fabric)
        copy.__dict__.update(self.__dict__)
        copy.state = _routing.State(self.plan, np.array(self.state.sinks, np.uint8), self.state.threads)
        copy.state.copy_from(self.state)
        return copy

    def restore(self, snapshot: "Fabric") -> None:
        """Back to the state of a snapshot of the same plan."""
        self.state.copy_from(snapshot.state)

    def reset(self) -> None:
        """Back to cycle 0 without words."""
        self.state.reset()


def words_of(data: ArrayLike) -> NDArray[np.uint32]:
    """Data as 32-bit words: integers as they are (modulo 2^32), float32 by their bits."""
    array = np.asarray(data)
    if array.dtype == np.float32:
        return array.view(np.uint32)
    if array.dtype.kind in "iu":
        return array.astype(np.uint32)
    raise InputError(f"words of type {array.dtype} do not fit a wavelet: use integers or float32")
