"""Several wafers: links between the edges of fabrics, and fabrics that are stepped together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.errors import DeadlineError, InputError, check_flag, check_whole
from wsekern.fabric import _routing
from wsekern.fabric._wafers import LINK_WORD, Lanes
from wsekern.fabric.routes import Port, port_of
from wsekern.fabric.simulation import NEVER, Fabric, Stop, check_color, words_of
from wsekern.shown import Shown

_MOST_LANES, _LONGEST, _MOST_WORDS, _LONGEST_FRAME = 65536, 1_000_000_000, 65536, 1_000_000


class Link(Shown):
    """A link from one edge to another, one way: ``lanes`` rows or columns from ``first`` on of the edge that words leave by, to
    as many from ``enters_first`` on of the edge that they enter by.

    ``latency``: cycles from the one in which a word can be read at its edge to the one in which it waits at the other. At most
    ``words`` words cross in any ``frame`` cycles, in the order in which they came; the others queue up before the link without
    limit, as an edge never holds a word back. In one process :class:`Wafers` moves the words; between processes the one that
    has the first fabric collects and takes them, the other gives them to a link of its own and delivers.
    """

    def __init__(self, leaves: Port | str, enters: Port | str, lanes: int, *, latency: int, words: int, frame: int = 1,
                 first: int = 0, enters_first: int = 0) -> None:
        self.leaves, self.enters = port_of(leaves), port_of(enters)
        if Port.RAMP in (self.leaves, self.enters):
            raise InputError("a link leads from an edge to an edge: NORTH, EAST, SOUTH or WEST")
        self.lanes = check_whole(lanes, "lanes of a link", 1, _MOST_LANES)
        self.latency = check_whole(latency, "cycles of latency of a link", 1, _LONGEST)
        self.words = check_whole(words, "words of a link in a frame", 1, _MOST_WORDS)
        self.frame = check_whole(frame, "cycles of a frame of a link", 1, _LONGEST_FRAME)
        self.first = check_whole(first, "as the first lane of a link", 0, _MOST_LANES - self.lanes)
        self.enters_first = check_whole(enters_first, "as the first lane of a link", 0, _MOST_LANES - self.lanes)
        self._lanes = Lanes(self.leaves, self.first, self.enters, self.enters_first, self.lanes, self.latency, self.words,
                            self.frame)

    def _facts(self) -> dict[str, Any]:
        return {"leaves": self.leaves.name, "enters": self.enters.name, "lanes": self.lanes, "latency": self.latency,
                "words": self.words, "frame": self.frame, "waiting": self.waiting}

    def check(self, fabric: Fabric, port: Port, first: int) -> None:
        """Refuse a fabric whose edge the lanes do not lie on, or whose edges are closed."""
        if not isinstance(fabric, Fabric):
            raise InputError(f"a link leads from a fabric to a fabric, not to {type(fabric).__name__}")
        length = fabric.width if port in (Port.NORTH, Port.SOUTH) else fabric.height
        if first + self.lanes > length:
            raise InputError(f"lanes {first} to {first + self.lanes - 1} of a link do not lie on the {port.name} edge of the "
                             f"{fabric.width}x{fabric.height} fabric")
        if not fabric.plan.open_edges:
            raise InputError(f"a link at the {port.name} edge of a fabric whose edges are closed: use open_edges=True")

    def collect(self, fabric: Fabric) -> int:
        """Take over the words that left ``fabric`` by the lanes since the last call and were not drained; how many."""
        self.check(fabric, self.leaves, self.first)
        return self._lanes.collect(fabric.state)

    def put(self, cycle: int, lane: int, color: int, data: int, *, control: bool = False) -> None:
        """Take over one word that left by a lane at ``cycle``, not before that of the last one."""
        check_whole(cycle, "as the cycle of a word", 0, _routing.LAST_CYCLE)
        check_whole(lane, "as lane of a link", 0, self.lanes - 1)
        word = int(words_of(data).reshape(-1)[0])
        self._lanes.put(int(cycle), int(lane), check_color(color), word, int(check_flag(control, "control of a word")))

    def deliver(self, fabric: Fabric) -> int:
        """Let the words that are due by now wait at the edge of ``fabric``; how many."""
        self.check(fabric, self.enters, self.enters_first)
        return self._lanes.deliver(fabric.state)

    def take(self) -> NDArray[np.void]:
        """All words on the link, which is empty then, to be sent to another process: records of
        :data:`wsekern.fabric._wafers.LINK_WORD`."""
        return self._lanes.take()

    def give(self, words: NDArray[np.void]) -> None:
        """Put words that another process took behind those that are here."""
        if not isinstance(words, np.ndarray) or words.dtype != LINK_WORD:
            raise InputError(f"words of a link are records that take() gave, not {type(words).__name__}")
        self._lanes.give(words)

    @property
    def next(self) -> int | None:
        """The cycle at which the first word is due; None: there is none."""
        return self._lanes.next

    @property
    def waiting(self) -> int:
        """Words on the link, and before it."""
        return self._lanes.waiting

    def reset(self) -> None:
        """No words."""
        self._lanes.reset()


class Wafers(Shown):
    """Fabrics whose clocks go together, with links between their edges.

    >>> from wsekern.fabric import Fabric, FabricPlan, Wafers
    >>> east, west = (FabricPlan(3, 1, "wse2", open_edges=True) for _ in range(2))
    >>> east.paint(0, "RAMP", "EAST", x=2)
    >>> west.paint(0, "WEST", "RAMP")
    >>> wafers = Wafers([Fabric(east), Fabric(west)])
    >>> link = wafers.link(0, "EAST", 1, "WEST", 1, latency=100, words=1)
    >>> wafers.fabrics[0].inject(2, 0, 0, [5, 6])
    >>> wafers.run_until_idle()
    107
    >>> wafers.fabrics[1].drain()["cycle"].tolist()     # ramp + hop, the link's latency, hop + ramp
    [106, 107]
    """

    def __init__(self, fabrics: Sequence[Fabric]) -> None:
        self.fabrics = list(fabrics) if isinstance(fabrics, Sequence) else []
        if not self.fabrics or not all(isinstance(fabric, Fabric) for fabric in self.fabrics):
            raise InputError("wafers are one fabric or more")
        if len({id(fabric.state) for fabric in self.fabrics}) < len(self.fabrics):
            raise InputError("one fabric stands for two wafers: use a fabric for each")
        if len({fabric.cycle for fabric in self.fabrics}) > 1:
            raise InputError(f"wafers at cycles {', '.join(str(fabric.cycle) for fabric in self.fabrics)}: their clocks go "
                             "together, so begin at one cycle")
        self.links: list[tuple[int, int, Link]] = []

    def _facts(self) -> dict[str, Any]:
        return {"cycle": self.cycle, "fabrics": self.fabrics, "links": self.links}

    def link(self, source: int, leaves: Port | str, target: int, enters: Port | str, lanes: int, *, latency: int, words: int,
             frame: int = 1, first: int = 0, enters_first: int = 0) -> Link:
        """Add a :class:`Link` from an edge of fabric number ``source`` to an edge of number ``target`` (the same one, too)."""
        for number in (source, target):
            check_whole(number, "as number of a wafer", 0, len(self.fabrics) - 1)
        link = Link(leaves, enters, lanes, latency=latency, words=words, frame=frame, first=first, enters_first=enters_first)
        link.check(self.fabrics[source], link.leaves, link.first)
        link.check(self.fabrics[target], link.enters, link.enters_first)
        self.links.append((source, target, link))
        return link

    @property
    def cycle(self) -> int:
        """The clock of all."""
        return self.fabrics[0].cycle

    def step(self, cycles: int = 1) -> int:
        """Step all for ``cycles``; the cycle then. Words and their cycles do not depend on how many are asked for at once."""
        end = self.cycle + check_whole(cycles, "cycles", 0, _routing.LAST_CYCLE - self.cycle)
        self._exchange()
        while self.cycle < end:
            self._advance(end, NEVER)
            self._exchange()
        return self.cycle

    def run_until_idle(self, deadline: int = 1 << 40) -> int:
        """Step until no word is left anywhere; the cycle then. :class:`DeadlineError` after ``deadline`` more cycles: a word
        that no one takes is waited for until then."""
        end = self.cycle + check_whole(deadline, "cycles", 0, _routing.LAST_CYCLE - self.cycle)
        self._exchange()
        while not self._idle():
            if self.cycle >= end:
                raise DeadlineError(f"words are still on their way between {len(self.fabrics)} wafers after {deadline} cycles "
                                    f"(cycle {self.cycle})")
            self._advance(end, Stop.IDLE)
            self._exchange()
        return self.cycle

    def reset(self) -> None:
        """All back to cycle 0 without words, on links too."""
        for part in (*self.fabrics, *(link for _, _, link in self.links)):
            part.reset()

    def _idle(self) -> bool:
        """Whether no word is left on a link or in a fabric."""
        return not any(link.waiting for _, _, link in self.links) and all(
            fabric.run(fabric.cycle, Stop.IDLE) & Stop.IDLE for fabric in self.fabrics)

    def _exchange(self) -> None:
        """Words that left go onto the links, words that are due come in."""
        for source, _, link in self.links:
            link.collect(self.fabrics[source])
        for _, target, link in self.links:
            link.deliver(self.fabrics[target])

    def _advance(self, end: int, stop: Stop) -> None:
        """All clocks to the next cycle at which a word may come in over a link, at most to ``end``: none that leaves from now
        on comes in sooner than the shortest link takes. With ``stop`` idle, to the cycle at which all fabrics are, where that
        is sooner and no word is on a link."""
        events = [event for fabric in self.fabrics if (event := fabric.next_event) is not None]
        soonest = min(events, default=end) + 1 + min((link.latency for _, _, link in self.links), default=end)
        due = [due for _, _, link in self.links if (due := link.next) is not None]
        end = max(min(end, soonest, *due), self.cycle + 1)
        if due:
            stop = NEVER
        for fabric in self.fabrics:
            fabric.run(end, stop, patience=0)
        latest = max(fabric.cycle for fabric in self.fabrics)
        for fabric in self.fabrics:
            fabric.step(latest - fabric.cycle)
