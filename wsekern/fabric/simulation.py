"""Run wavelets over a compiled plan: inject, step, drain, read."""

import os
import warnings
from collections.abc import Callable, Mapping
from enum import IntFlag
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsekern.errors import (
    DeadlineError,
    InputError,
    ProgramError,
    ProgramWarning,
    check_flag,
    check_source,
    check_whole,
    is_whole,
)
from wsekern.fabric import _host, _routing
from wsekern.fabric._host import HostPort
from wsekern.fabric.plan import FabricPlan, route_record
from wsekern.fabric.routes import Port, Route, port_of
from wsekern.output import write_file
from wsekern.shown import Shown, table

REPLACED = ("the route is replaced with {number} word{s} on the way, which may follow the old one or the new one: replace it "
            "once they are through, or in a teardown")
"""What is told where a route is replaced under words."""
SINKS = {"count": 0, "log": 1, "core": 2}


class Word(NamedTuple):
    """One word that left the fabric: when it could be read, where, its color, the port it left by, its bits."""

    cycle: int
    x: int
    y: int
    color: int
    port: int
    control: bool
    teardown: bool
    data: int

    def _repr_html_(self) -> str:
        return table("Word", self._asdict())


class Stop(IntFlag):
    """Why a run stopped, and what else than the time may stop it: a word became readable; no word is left; the word at the head
    of some router waits for credit of its core; nothing has moved for ``patience`` cycles, or nothing but the host ever
    will."""

    TIME = 1
    DELIVERY = 2
    IDLE = 4
    HOST = 8
    DEADLOCK = 16


NEVER = Stop(0)
"""No reason to stop: a run to a cycle."""
_STOPS = tuple(Stop(mask) for mask in range(2 * Stop.DEADLOCK))
_STOP_OF = {reason.name.lower(): reason for reason in Stop}


class Fabric(Shown):
    """A fabric in motion: one state of a plan.

    ``sink`` says what becomes of words that leave for a core: "log" (kept for :meth:`drain`), "count" (only counted and
    summed) or "core" (as log, but a word leaves only after :meth:`credit`); one for all, or a dict by color.
    ``patience``: cycles without movement, while words wait, that count as a deadlock (0: never). A route that :meth:`rewrite`
    replaces under words on their way is told in a warning, once for each router and color; ``strict``: it is refused.
    """

    def __init__(self, plan: FabricPlan | _routing.Plan, sink: str | Mapping[int, str] = "log", *, threads: int = 1,
                 patience: int = 50, strict: bool = False):
        plan = plan.build() if isinstance(plan, FabricPlan) else plan
        sinks = np.full(24, SINKS["log"], np.uint8)
        if not isinstance(sink, str | Mapping):
            raise InputError(f"sink {sink!r}: expected one of {', '.join(SINKS)}, or a dict of them by color")
        for color, name in (dict.fromkeys(range(24), sink) if isinstance(sink, str) else sink).items():
            if name not in SINKS:
                raise InputError(f"sink {name!r} does not exist: use one of {', '.join(SINKS)}")
            sinks[check_color(color)] = SINKS[name]
        threads, patience = _count(threads, "threads", 1), _count(patience, "cycles of patience", 0)
        strict = check_flag(strict, "strict of a fabric")
        self._hold(_routing.State(plan, sinks, min(threads, 64)), patience, strict)

    def _hold(self, state: _routing.State, patience: int, strict: bool = False) -> Self:
        self.plan, self._state, self.patience, self.strict = state.plan, state, patience, strict
        self._told: set[tuple[int, int, int]] = set()
        self.height, self.width = self.plan.shape
        self._ports: dict[tuple[int, int, int], HostPort] = {}
        return self

    def _facts(self) -> dict[str, Any]:
        return {"width": self.width, "height": self.height, "cycle": self.cycle, "in_flight": self.in_flight}

    @property
    def state(self) -> _routing.State:
        """What C holds of it."""
        return self._state

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
        if _host.inject(self.state, x, y, color, data, control, advance, port):
            return
        port, color, pes, words = port_of(port), check_color(color), self._pes(x, y), words_of(data)
        if words.ndim > 2 or (words.ndim == 2 and words.shape[0] not in (1, len(pes))):
            raise InputError(f"data of shape {words.shape} for {len(pes)} PEs: expected (n,) or ({len(pes)}, n)")
        words = np.ascontiguousarray(np.broadcast_to(words, (len(pes), words.shape[-1] if words.ndim else 1)))
        marks = marks_of(words.shape, control, advance)
        check_entry(self.plan, pes, port)
        self.state.inject(pes, port, color, words, np.ascontiguousarray(marks) if marks.any() else None)

    def offer(self, x: int, y: int, color: int, data: int, *, control: bool = False, advance: bool = False,
              port: Port | str = Port.RAMP) -> bool:
        """Offer one word in this cycle, as a core does; False if the router has no room or the ramp is busy."""
        taken = _host.offer(self.state, x, y, color, data, control, advance, port)
        if taken is not None:
            return taken
        port, (x, y), word = port_of(port), self._pe(x, y), words_of(data).reshape(-1)
        if len(word) != 1:
            raise InputError(f"{data!r}: offer takes one word a cycle")
        check_entry(self.plan, self._pes(x, y), port)
        return self.state.offer(x, y, port, check_color(color), int(word[0]),
                                int(marks_of((), control, advance)))

    def credit(self, x: int, y: int, color: int, words: int = 1) -> None:
        """Let a core with sink "core" take ``words`` more words of ``color``."""
        self.state.credit(*self._pe(x, y), check_color(color), min(_count(words, "words", 0), 255))

    def step(self, cycles: int = 1) -> None:
        """Step ``cycles`` cycles; a broken rule raises :class:`RoutingError` with its report."""
        plain = type(cycles) is int and 0 <= cycles < 1 << 32
        if not plain and check_whole(cycles, "cycles", 0) > _routing.LAST_CYCLE - self.cycle:
            raise InputError(f"{cycles} cycles from cycle {self.cycle}: the clock counts to {_routing.LAST_CYCLE}")
        self.state.advance(cycles)

    def run(self, until: int | None = None, stop: Stop | str = NEVER, *, patience: int | None = None) -> Stop:
        """Step until the clock reads ``until`` (None: without end) or a reason of ``stop`` holds ("delivery", "idle", "host",
        "deadlock", several in one string, or a :class:`Stop`); which ones hold then.

        A deadlock is answered, not raised: ``state.report()`` says who waits for whom. ``patience``: cycles without movement
        that count as one; None: the fabric's own, 0: as soon as nothing but the host can move a word.
        """
        reasons = stop if isinstance(stop, Stop) else stops_of(stop)
        if until is None and not reasons:
            raise InputError("a run without an end: give until=, or what it stops for")
        now = self.state.cycle
        if until is None:
            until = _routing.LAST_CYCLE
        elif type(until) is not int or not now <= until <= _routing.LAST_CYCLE:
            until = check_whole(until, "as the cycle to run until", now, _routing.LAST_CYCLE)
        patience = self.patience if patience is None else _count(patience, "cycles of patience", 0)
        return _STOPS[self.state.advance(until - now, reasons.value, patience)]

    @property
    def next_event(self) -> int | None:
        """The first cycle at which anything can happen while the host does nothing: the present one while words move, a later
        one while all that is left is on links and ramps; None where only the host can move a word, or where there is none."""
        return _host.next_event(self.state)

    def port(self, x: int, y: int, color: int, depth: int = 8) -> HostPort:
        """One color at the ramp of PE (x, y), to push words into and pop words from: checked here, once. With sink "core" the
        router is given ``depth`` credits (1 to 255), and one more with each word that is popped."""
        found = self._ports.get((x, y, color)) if type(x) is type(y) is type(color) is int else None
        if found is None:
            x, y, color = self._router(x, y, color)
            depth = check_whole(depth, "as depth of a port", 1, 255)
            found = self._ports[x, y, color] = HostPort(self.state, y * self.width + x, color, depth)
        return found

    def push(self, x: int, y: int, color: int, data: int, *, control: bool = False) -> bool:
        """:meth:`HostPort.push` of a port that need not be opened first; a port that is kept is quicker."""
        return self.port(x, y, color).push(data, control)

    def room(self, x: int, y: int, color: int) -> int:
        """:meth:`HostPort.room`: words that a push takes now."""
        return self.port(x, y, color).room()

    def top(self, x: int, y: int, color: int) -> int | None:
        """:meth:`HostPort.top`: the oldest word that arrived since the port was opened, by this or another call."""
        return self.port(x, y, color).top()

    def pop(self, x: int, y: int, color: int) -> int | None:
        """:meth:`HostPort.pop`: that word, taken away."""
        return self.port(x, y, color).pop()

    def on_delivery(self, call: Callable[[Word], object] | None) -> None:
        """Call ``call`` with every word that becomes readable, between two cycles (not of sinks "count"); None: no more. It may
        do all but step, restore or reset this fabric; what it raises stops the run, which raises it."""
        _host.call_on_delivery(self.state, Word, _callable(call))

    def on_room(self, call: Callable[[int, int, int], object] | None) -> None:
        """Call ``call(x, y, color)`` where a push was refused, as soon as there is room again; None: no more."""
        _host.call_on_room(self.state, _callable(call))

    def run_until_idle(self, deadline: int = 1 << 40) -> int:
        """Step until no word is left (all delivered and readable); returns the cycle.

        :class:`DeadlockError` names who waits for whom, :class:`LivelockError` the circle in which words run;
        :class:`DeadlineError` after ``deadline`` more cycles.
        """
        if not self.state.run(_count(deadline, "cycles", 0), True, self.patience):
            raise DeadlineError(f"{self.in_flight + self.state.waiting_outside} words are still on their way after "
                                f"{deadline} cycles (cycle {self.cycle})")
        return self.cycle

    def run_until(self, condition: Callable[["Fabric"], bool], deadline: int = 1 << 40, every: int = 1) -> int:
        """Step until ``condition(self)`` holds, asked every ``every`` cycles; returns the cycle."""
        every, end = _count(every, "cycles between two looks", 1), self.cycle + _count(deadline, "cycles", 0)
        while not condition(self):
            if self.cycle >= end:
                raise DeadlineError(f"the condition was not met within {deadline} cycles (cycle {self.cycle})")
            self.state.run(min(every, end - self.cycle), False, self.patience)
        return self.cycle

    def drain(self) -> NDArray[np.void]:
        """Words that left for cores and edges since the last call, in order of cycle: records of
        :data:`wsekern.fabric._host.DELIVERED`."""
        return _host.drain(self.state)

    def totals(self) -> dict[str, NDArray[np.uint64]]:
        """Sums per color since reset: hops, injected, delivered, dropped, copied, edge, stalls, checksum."""
        return self.state.totals()

    def link_counts(self, port: Port | str, color: int | None = None) -> NDArray[np.uint32]:
        """Words (of one color, or of all) that left each router by ``port`` since reset, shape (height, width)."""
        return self.state.link_counts(port_of(port), -1 if color is None else check_color(color))

    def stall_counts(self, color: int | None = None) -> NDArray[np.uint32]:
        """Head words (of one color, or of all) that could not leave, summed over cycles, per router: shape (height, width)."""
        return self.state.stall_counts(-1 if color is None else check_color(color))

    def occupancy(self, color: int) -> NDArray[np.uint8]:
        """Places taken in each router's queue of ``color``, shape (height, width)."""
        return self.state.occupancy(check_color(color))

    def position(self, x: int, y: int, color: int) -> int:
        """Switch position of a PE and color."""
        return self.state.position(*self._router(x, y, color))

    def set_position(self, x: int, y: int, color: int, position: int) -> None:
        """Set a switch from a core program; words already queued follow."""
        place = self._router(x, y, color)
        try:
            self.state.set_position(*place, check_whole(position, "as a switch position", 0, 3))
        except InputError:
            raise InputError(f"color {color} at ({x}, {y}) has no switch position {position!r}") from None

    def rewrite(self, x: int, y: int, color: int, route: Route) -> None:
        """Replace a route from a core program; words already queued follow the new one (of which you are told, unless the color
        is in teardown there: the wafer promises it only then). No color swap."""
        place = self._router(x, y, color)
        if not isinstance(route, Route):
            raise InputError(f"{route!r} is not a route: use make_route")
        if route.swap_ew or route.swap_ns:
            raise InputError(f"color {color} at ({x}, {y}): a route with a color swap is for the plan, not for a rewrite")
        if isinstance(self.plan.description, FabricPlan):
            self.plan.description.check_route(color, route, x, y)
        self._tell_of_words(*place)
        self.state.rewrite(*place, route_record(route))

    def _tell_of_words(self, x: int, y: int, color: int) -> None:
        words = self.state.words_at(x, y, color)
        if not words or (x, y, color) in self._told or self.state.torn_down(x, y, color):
            return
        message = f"PE ({x}, {y}), color {color}, cycle {self.cycle}: " + REPLACED.format(number=words, s="s" * (words != 1))
        if self.strict:
            raise ProgramError(message)
        self._told.add((x, y, color))
        warnings.warn(message, ProgramWarning, stacklevel=3)

    def teardown(self, x: int, y: int, color: int, frozen: bool = False) -> None:
        """Leave (or enter) teardown from a core program."""
        self.state.teardown(*self._router(x, y, color), check_flag(frozen, "frozen of a teardown"))

    def torn_down(self, x: int, y: int, color: int) -> bool:
        """Whether a color is in teardown at a PE."""
        return self.state.torn_down(*self._router(x, y, color))

    def to_bytes(self) -> bytes:
        """All of the fabric, plan included, as bytes that are the same on every machine: ``wsk_fabric_save`` of the C library,
        whose ``wsk_fabric_open`` reads them too. Words that ports have not popped are in them; callbacks, and words that were
        not drained, are not. They are for one version of the library's ABI."""
        return _host.state_bytes(self.state)

    @classmethod
    def from_bytes(cls, saved: bytes | str | os.PathLike[str], *, threads: int = 1, patience: int = 50) -> "Fabric":
        """A fabric with a plan of its own that goes on as the saved one would have, from its bytes or the file with them; those
        that were cut or altered are refused."""
        state = _host.open_state(saved_bytes(saved), min(_count(threads, "threads", 1), 64))
        return object.__new__(cls)._hold(state, _count(patience, "cycles of patience", 0))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write :meth:`to_bytes` to a file, whole or not at all."""
        write_file(path, self.to_bytes())

    def load(self, saved: bytes | str | os.PathLike[str]) -> None:
        """Back to what :meth:`to_bytes` of a fabric with the same plan and sinks gave, or to the file that :meth:`save` wrote;
        nothing is left to drain then."""
        _host.load_state(self.state, saved_bytes(saved))

    def __reduce__(self) -> tuple:
        return _fabric_again, (type(self), self.plan, self.state.sinks, self.state.threads, self.patience, self.strict,
                               self.to_bytes(), *self.state.log(False))

    def __copy__(self) -> "Fabric":
        return self.snapshot()

    def snapshot(self) -> "Fabric":
        """A second fabric in the same state, of the same plan."""
        state = _routing.State(self.plan, np.array(self.state.sinks, np.uint8), self.state.threads)
        state.copy_from(self.state)
        return object.__new__(type(self))._hold(state, self.patience, self.strict)

    def restore(self, snapshot: "Fabric") -> None:
        """Back to the state of a snapshot of the same plan."""
        if not isinstance(snapshot, Fabric) or snapshot.plan is not self.plan or snapshot.state.sinks != self.state.sinks:
            raise InputError("this is no snapshot of this plan with these sinks: use one that snapshot() gave")
        self.state.copy_from(snapshot.state)

    def reset(self) -> None:
        """Back to cycle 0 without words."""
        self.state.reset()

    def _pes(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.uint32]:
        """The numbers (y * width + x) of PEs, if they are on the fabric."""
        try:
            xs, ys = np.broadcast_arrays(np.atleast_1d(np.asarray(x)), np.atleast_1d(np.asarray(y)))
        except ValueError:
            raise InputError(f"x and y of shapes {np.shape(x)} and {np.shape(y)} do not go together") from None
        if xs.ndim != 1 or (xs.size and (xs.dtype.kind not in "iu" or ys.dtype.kind not in "iu")):
            raise InputError("x and y of PEs are whole numbers, one or a list of them")
        if not xs.size:
            return np.zeros(0, np.uint32)
        off = (xs < 0) | (xs >= self.width) | (ys < 0) | (ys >= self.height)
        if off.any():
            raise InputError(f"PE ({xs[off][0]}, {ys[off][0]}) is not on the fabric: expected x below {self.width} and y below "
                             f"{self.height}")
        return np.ascontiguousarray(ys.astype(np.int64) * self.width + xs.astype(np.int64), np.uint32)

    def _router(self, x: int, y: int, color: int) -> tuple[int, int, int]:
        """A PE and a color that is configured somewhere on the fabric."""
        x, y = self._pe(x, y)
        if not self.plan.configured(check_color(color)):
            raise InputError(f"color {color} has no route anywhere on this fabric")
        return x, y, int(color)

    def _pe(self, x: int, y: int) -> tuple[int, int]:
        """The place of one PE on the fabric."""
        if not is_whole(x) or not is_whole(y):
            raise InputError(f"x and y of a PE are whole numbers, not {x!r} and {y!r}")
        self._pes(x, y)
        return int(x), int(y)


def _fabric_again(cls: type[Fabric], plan: _routing.Plan, sinks: tuple[int, ...], threads: int, patience: int, strict: bool,
                  data: bytes, cycles: NDArray[np.int64], words: NDArray[np.void]) -> Fabric:
    """A pickled fabric."""
    state = _routing.State(plan, np.array(sinks, np.uint8), threads)
    _host.load_state(state, data, cycles, words)
    return object.__new__(cls)._hold(state, patience, strict)


def saved_bytes(saved: bytes | str | os.PathLike[str]) -> bytes:
    """The bytes of a saved state, themselves or of the file that has them; empty ones are no state, and refused as such."""
    if isinstance(saved, str | os.PathLike):
        check_source(saved)
        try:
            return Path(saved).read_bytes()
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read {saved}: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(saved, bytes | bytearray | memoryview):
        raise InputError(f"{type(saved).__name__} is no saved state: expected the bytes that to_bytes() gave, or a file's name")
    return saved


def check_entry(plan: _routing.Plan, pes: NDArray[np.uint32], port: Port) -> None:
    """Refuse places of a plan at which no words enter from outside: they do by ramps, and by open edges of the fabric."""
    if port == Port.RAMP:
        return
    height, width = plan.shape
    y, x = np.divmod(pes.astype(np.int64), width)
    inside = {Port.NORTH: y > 0, Port.SOUTH: y < height - 1, Port.WEST: x > 0, Port.EAST: x < width - 1}[port]
    if inside.any():
        raise InputError(f"PE ({x[inside][0]}, {y[inside][0]}) is not at the {port.name} edge of the {width}x{height} fabric")
    if not plan.open_edges:
        raise InputError(f"port {port.name} leads off the fabric, whose edges are closed: use open_edges=True")


def check_color(color: int) -> int:
    """A color of the architecture, as a plain int."""
    if not is_whole(color) or not 0 <= color < 24:
        raise InputError(f"color {color!r} does not exist: use 0 to 23")
    return int(color)


def _count(value: int, what: str, least: int) -> int:
    """A whole number of cycles or words, at most what 63 bits hold."""
    check_whole(value, what, least)
    return min(int(value), _routing.LAST_CYCLE)


def stops_of(names: str) -> Stop:
    """Reasons to stop, by their names."""
    if not isinstance(names, str):
        raise InputError(f"{names!r} is no reason to stop: use {', '.join(_STOP_OF)}")
    return _stops_of(names)


@lru_cache(maxsize=64)
def _stops_of(names: str) -> Stop:
    found = NEVER
    for name in names.replace(",", " ").split():
        if name.lower() not in _STOP_OF:
            raise InputError(f"{name!r} is no reason to stop: use {', '.join(_STOP_OF)}")
        found |= _STOP_OF[name.lower()]
    return found


def _callable(call: Callable | None) -> Callable | None:
    if call is not None and not callable(call):
        raise InputError(f"{call!r} cannot be called: expected a function, or None")
    return call


def marks_of(shape: tuple[int, ...], control: ArrayLike | bool, advance: ArrayLike | bool) -> NDArray[np.uint8]:
    """Flags of words of ``shape``: which are control words, which turn switches."""
    controls, advances = _marks(control, "control"), _marks(advance, "advance")
    try:
        return np.broadcast_to(controls * np.uint8(1) + advances * np.uint8(2), shape)
    except ValueError:
        raise InputError("control and advance do not fit the data: expected one flag, or one per word") from None


def _marks(marks: ArrayLike | bool, name: str) -> NDArray[np.bool_]:
    """One flag, or one of each word."""
    try:
        found = np.asarray(marks)
    except ValueError:
        raise InputError(f"{name} of words is {marks!r}: expected one flag, or one per word") from None
    if found.shape == ():
        return np.asarray(check_flag(found[()], f"{name} of words"))
    if found.size and (found.dtype.kind not in "biu" or (found > 1).any() or (found < 0).any()):
        raise InputError(f"{name} of words is an array of {found.dtype}: expected True or False, or 1 or 0, for each word")
    return found.astype(bool)


def words_of(data: ArrayLike) -> NDArray[np.uint32]:
    """Data as 32-bit words: integers as they are (modulo 2^32), float32 by their bits."""
    try:
        array = np.asarray(data)
    except ValueError:
        raise InputError("words of different numbers per PE do not make an array: inject them PE by PE") from None
    if array.dtype == np.float32:
        return np.ascontiguousarray(array).view(np.uint32).reshape(array.shape)
    if not array.size:
        return np.zeros(array.shape, np.uint32)
    if array.dtype.kind in "iu":
        return array.astype(np.uint32)
    raise InputError(f"words of type {array.dtype} do not fit a wavelet: use integers or float32")
