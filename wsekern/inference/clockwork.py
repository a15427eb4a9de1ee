"""The time of lists of steps, worked out once for each start and repeated: layers that are alike take the same cycles."""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass

from wsekern.inference.run_log import RunLog
from wsekern.inference.steps import LayerStep, Pair, Steps, Values
from wsekern.ops import FlowEngine
from wsekern.ops.engines.flow import Mark


@dataclass(frozen=True, eq=False)
class _Passage:
    """A list of steps that was timed: ``steps`` is kept, so that its identity stays its own."""

    steps: Steps
    before: Mark
    after: Mark
    parts: Counter[str]
    notes: dict[str, str]
    logged: tuple[int, int, tuple[int, ...]]
    """In the log: the first operation, the one behind the last, and the clocks when it began."""


class Clockwork:
    """Moves the clocks of ``engine`` on by lists of steps, and counts cycles by part of the model.

    Cycles depend on how far PEs are apart when a list starts, not on when that is: the second layer of a kind mostly starts as
    the third does, whose clocks then move on by what they did before.
    """

    def __init__(self, engine: FlowEngine, log: RunLog | None = None) -> None:
        self.engine, self.log = engine, log
        self.cycles_by_part: Counter[str] = Counter()
        self._passages: dict[tuple[int, Hashable], _Passage] = {}

    def reset(self) -> None:
        """Clocks and counts to zero; forget what was timed, with which the notes of the engine came."""
        self.engine.reset()
        self.cycles_by_part.clear()
        self._passages.clear()

    def advance(self, steps: Steps, comes_again: bool = True) -> None:
        """Move the clocks on by ``steps``, a list that does not change; one that does not come again is not remembered."""
        if self.engine.values_take_time:
            return
        start, log = self.engine.start() if comes_again else None, self.log
        now = log.look(self.engine) if log is not None else ()
        known = self._passages.get((id(steps), start)) if start is not None else None
        if known:
            self.engine.repeat(known.before, known.after)
            self.engine.notes |= known.notes
            self.cycles_by_part += known.parts
            if log is not None:
                log.repeat(*known.logged, now)
            return
        first = len(log.names) if log is not None else 0
        before, (earlier, self.engine.notes) = self.engine.mark(), (self.engine.notes, {})
        parts, notes = self._time(steps), self.engine.notes
        self.engine.notes = earlier | notes
        self.cycles_by_part += parts
        if start is not None and self.engine.lines_are_alike:
            logged = first, len(log.names) if log is not None else 0, now
            self._passages[id(steps), start] = _Passage(steps, before, self.engine.mark(), parts, notes, logged)

    def run(self, step: LayerStep | Pair, values: Values) -> None:
        """Run a step of a list that clocks have moved on by; those that move with values only now do."""
        if isinstance(step, Pair) or not self.engine.values_take_time:
            return step.compute(self.engine, values)
        before = self.engine.cycles
        step.run(self.engine, values)
        self.cycles_by_part[step.part] += self.engine.cycles - before

    def _time(self, steps: Steps) -> Counter[str]:
        """Cycles of each part, step by step: by how much the last PE is done later."""
        parts: Counter[str] = Counter()
        now = self.engine.cycles
        for step in steps:
            if isinstance(step, LayerStep):
                before, crossed = now, self.engine.link_traversals
                step.time(self.engine)
                now = self.engine.cycles
                parts[step.part] += now - before
                if self.log is not None:
                    self.log.add(step, self.log.look(self.engine), int(self.engine.link_traversals - crossed))
        return parts
