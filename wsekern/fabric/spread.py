"""Several wafers on several machines: each is stepped by a Dask worker, and words pass between them as in one process.

The links' latency is what lets workers go ahead: no word that leaves from now on comes in sooner than the shortest link takes,
so that each wafer runs so far by itself, and then all exchange what left. Words and their cycles are those of
:class:`wsekern.fabric.Wafers`, whatever the workers' pace.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.errors import DeadlineError, InputError, SimulationError
from wsekern.fabric import _routing
from wsekern.fabric.routes import check_whole
from wsekern.fabric.simulation import NEVER, Fabric, Stop
from wsekern.fabric.wafers import Link, Wafers

Words = NDArray[np.void]


class Part:
    """One wafer with its ends of links, as it lives on a worker."""

    def __init__(self, fabric: Fabric, leaving: dict[int, tuple[Any, ...]], entering: dict[int, tuple[Any, ...]]) -> None:
        self.fabric = fabric
        self.leaving = {number: _link(rules) for number, rules in leaving.items()}
        self.entering = {number: _link(rules) for number, rules in entering.items()}

    def run(self, start: int, end: int, idle: bool, words: dict[int, Words]) -> tuple[int, int | None, bool, dict[int, Words]]:
        """From ``start`` (where all are) to ``end``, or to the cycle from which on nothing moves if ``idle``; ``words`` come in
        by links. The cycle, the next event, whether all is still, and what left by links."""
        fabric = self.fabric
        for number, found in words.items():
            self.entering[number].give(found)
        fabric.step(start - fabric.cycle)
        while True:
            due = self._deliver()
            stop = Stop.IDLE if idle and due is None else NEVER
            fabric.run(end if due is None else max(fabric.cycle, min(end, due)), stop, patience=0)
            if due is None or fabric.cycle >= end:
                break
        due = self._deliver()
        still = due is None and bool(fabric.run(fabric.cycle, Stop.IDLE) & Stop.IDLE)
        event = min((one for one in (fabric.next_event, due) if one is not None), default=None)
        return fabric.cycle, event, still, self._left()

    def _deliver(self) -> int | None:
        """Let words in that are due; when the next ones are."""
        for link in self.entering.values():
            link.deliver(self.fabric)
        return min((link.next for link in self.entering.values() if link.next is not None), default=None)

    def _left(self) -> dict[int, Words]:
        """What left since the last time, by the number of its link."""
        found = {}
        for number, link in self.leaving.items():
            link.collect(self.fabric)
            if link.waiting:
                found[number] = link.take()
        return found

    def whole(self, cycle: int) -> Fabric:
        """The fabric at ``cycle``, with what was delivered."""
        self.fabric.step(cycle - self.fabric.cycle)
        return self.fabric


def _rules(link: Link) -> tuple[Any, ...]:
    """What makes a link like this one."""
    return (link.leaves.name, link.enters.name, link.lanes, link.latency, link.words, link.frame, link.first, link.enters_first)


def _link(rules: tuple[Any, ...]) -> Link:
    leaves, enters, lanes, latency, words, frame, first, enters_first = rules
    return Link(leaves, enters, lanes, latency=latency, words=words, frame=frame, first=first, enters_first=enters_first)


class SpreadWafers:
    """The fabrics of ``wafers``, which have not run yet, on the workers of a Dask ``client``, by turns: the client that Dask
    takes unless told, as it is where it was made last.

    They are copies: :meth:`fabrics` fetches them, with what was delivered. A worker that ends takes its wafers with it.
    """

    def __init__(self, wafers: Wafers, client: Any) -> None:
        if wafers.cycle or any(link.waiting for _, _, link in wafers.links):
            raise InputError(f"wafers at cycle {wafers.cycle} are spread over workers: spread them before they run")
        workers = sorted(client.nthreads())
        if not workers:
            raise InputError("no Dask worker is there to step a wafer: start one with `dask worker`")
        rules = {number: _rules(link) for number, (_, _, link) in enumerate(wafers.links)}
        self._ends = [(source, target) for source, target, _ in wafers.links]
        self._latency = min((link.latency for _, _, link in wafers.links), default=_routing.LAST_CYCLE)
        self._parts = []
        for number, fabric in enumerate(wafers.fabrics):
            leaving = {key: rules[key] for key, (source, _) in enumerate(self._ends) if source == number}
            entering = {key: rules[key] for key, (_, target) in enumerate(self._ends) if target == number}
            self._parts.append(client.submit(Part, fabric, leaving, entering, actor=True, pure=False,
                                             workers=[workers[number % len(workers)]]))
        self._parts = [future.result() for future in self._parts]
        self.cycle, self._words, self._still = 0, dict[int, Words](), False
        self._events: list[int | None] = [0] * len(self._parts)

    def step(self, cycles: int = 1) -> int:
        """As :meth:`Wafers.step`."""
        end = self.cycle + check_whole(cycles, "cycles", 0, _routing.LAST_CYCLE - self.cycle)
        while self.cycle < end:
            self._advance(end, idle=False)
        return self.cycle

    def run_until_idle(self, deadline: int = 1 << 40) -> int:
        """As :meth:`Wafers.run_until_idle`."""
        end = self.cycle + check_whole(deadline, "cycles", 0, _routing.LAST_CYCLE - self.cycle)
        while not self._still:
            if self.cycle >= end:
                raise DeadlineError(f"words are still on their way between {len(self._parts)} wafers after {deadline} cycles "
                                    f"(cycle {self.cycle})")
            self._advance(end, idle=True)
        return self.cycle

    def _advance(self, end: int, idle: bool) -> None:
        """All wafers as far as no word comes in that is not known by now, at most to ``end``."""
        dues = [int(found["due"].min()) for found in self._words.values()]
        events = [max(self.cycle, event) for event in (*self._events, *dues) if event is not None]
        end = max(self.cycle + 1, min(end, min(events, default=end) + 1 + self._latency))
        incoming: list[dict[int, Words]] = [{} for _ in self._parts]
        for number, found in self._words.items():
            incoming[self._ends[number][1]][number] = found
        rounds = [part.run(self.cycle, end, idle, words) for part, words in zip(self._parts, incoming, strict=True)]
        found = [self._answer(one) for one in rounds]
        self._words = {number: words for *_, left in found for number, words in left.items()}
        self._events = [event for _, event, _, _ in found]
        self._still = not self._words and all(still for _, _, still, _ in found)
        self.cycle = max(cycle for cycle, *_ in found) if self._still else end

    def _answer(self, future: Any) -> Any:
        """What a part gave; :class:`SimulationError` where its worker is gone."""
        try:
            return future.result()
        except (OSError, ValueError) as error:
            raise SimulationError(f"a Dask worker has ended with the wafers that it stepped: {error}") from None

    def fabrics(self) -> list[Fabric]:
        """The fabrics as they are now, in the order of the wafers."""
        return [self._answer(part.whole(self.cycle)) for part in self._parts]
