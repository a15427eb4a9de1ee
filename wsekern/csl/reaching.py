"""Which loads of a DSR an operation may meet: a flow analysis over functions and tasks.

A DSR keeps what was loaded into it last, across calls and tasks, while the core needs to know for every operation what kind
of descriptor stands there. A function is looked at once: what is in a DSR where it begins stays a symbol (``BEFORE``), which
callers and tasks replace.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from wsekern.csl.dsds import Dsr
from wsekern.csl.ir import Frame, Op
from wsekern.csl.registers import rings_of
from wsekern.csl.values import Value

Load = tuple[Value, dict[str, Value]]
"""What a DSR is loaded with, and the options."""
State = dict[Dsr, frozenset[int]]
"""Numbers of the loads that each DSR may hold; of those that are not there, what it held before."""
BEFORE = -1
SAME = frozenset({BEFORE})
FLOW = {"label", "jump", "branch", "call", "tail", "return", "end", "dsr_load", "dsr_base"}


@dataclass(eq=False)
class _Seen:
    """Of a function: states at its calls and operations, and where it ends (None: it never does)."""

    calls: list[tuple[Frame, State]] = field(default_factory=list)
    uses: dict[int, State] = field(default_factory=dict)
    end: State | None = None


def _merged(a: State | None, b: State | None) -> State | None:
    if a is None or b is None:
        return b if a is None else a
    return {dsr: a.get(dsr, SAME) | b.get(dsr, SAME) for dsr in a.keys() | b.keys()}


def _behind(before: State, summary: State) -> State:
    """What holds behind a call, from what a function leaves."""
    found = dict(before)
    for dsr, loads in summary.items():
        found[dsr] = _known(loads, before.get(dsr, SAME))
    return found


def _known(loads: frozenset[int], before: frozenset[int]) -> frozenset[int]:
    """Loads, with those of before in the place of the symbol for them."""
    return loads - SAME | before if BEFORE in loads else loads


class Reaching:
    """Of ``frames``, of which tasks are started from outside; ``loads``: those made before the start."""

    def __init__(self, frames: list[Frame], loads: Iterable[tuple[Dsr, Value, dict[str, Value]]]) -> None:
        self.loads: list[Load] = []
        self._number: dict[int, int] = {}
        start: State = {}
        for dsr, value, options in loads:
            start[dsr] = start.get(dsr, frozenset()) | {self._add((value, options))}
        self._steps = {frame: [op for op in frame.ops if self._matters(op)] for frame in frames}
        self._seen: dict[Frame, _Seen] = {}
        self._frame = {id(op): frame for frame, steps in self._steps.items() for op in steps}
        if self.loads:
            self._look(frames)
            self._enter(frames, start)

    def _matters(self, op: Op) -> bool:
        if op.form == "dsr_load":
            self._number[id(op)] = self._add((op.fields["a"], op.fields["options"]))
        return op.form in FLOW or (op.form == "vector" and any(_dsrs_of(op)))

    def _add(self, load: Load) -> int:
        self.loads.append(load)
        return len(self.loads) - 1

    def of(self, op: Op, dsr: Dsr) -> list[Load]:
        """Loads that a DSR may hold at an operation, in the order of the text."""
        frame = self._frame.get(id(op))
        state = self._seen[frame].uses.get(id(op)) if frame in self._seen else None
        if frame is None or state is None:
            return []
        return [self.loads[k] for k in sorted(_known(state.get(dsr, SAME), self._entry[frame].get(dsr, frozenset())))]

    # ---- functions by themselves

    def _look(self, frames: list[Frame]) -> None:
        order = [frame for ring in rings_of(frames) for frame in ring]
        changed = True
        while changed:
            changed = False
            for frame in order:
                before = self._seen[frame].end if frame in self._seen else None
                self._seen[frame] = self._walk(frame)
                changed = changed or self._seen[frame].end != before

    def _walk(self, frame: Frame) -> _Seen:
        labels: dict[str, State | None] = {}
        while True:
            before, seen = dict(labels), _Seen()
            state: State | None = {}
            for op in self._steps.get(frame, []):
                state = self._step(op, state, labels, seen)
            if labels == before:
                return seen

    def _step(self, op: Op, state: State | None, labels: dict[str, State | None], seen: _Seen) -> State | None:
        """What holds behind an instruction; None where none is reached."""
        form, target = op.form, op.fields.get("target")
        if form == "label":
            name = op.fields["name"]
            labels[name] = _merged(labels.get(name), state)
            return labels[name]
        if state is None:
            return None
        if form in ("jump", "branch"):
            labels[target] = _merged(labels.get(target), state)
            return state if form == "branch" else None
        if form in ("call", "tail"):
            seen.calls.append((target, state))
            left = self._seen[target].end if target in self._seen else None
            behind = None if left is None else _behind(state, left)
            if form == "call":
                return behind
            seen.end = _merged(seen.end, behind)
            return None
        if form in ("return", "end"):
            seen.end = _merged(seen.end, state)
            return None
        if form == "dsr_load":
            return {**state, target: frozenset({self._number[id(op)]})}
        seen.uses[id(op)] = state
        return state

    # ---- what functions and tasks begin with

    def _enter(self, frames: list[Frame], start: State) -> None:
        self._entry: dict[Frame, State] = {frame: {} for frame in frames}
        tasks = [frame for frame in frames if frame.kind == "task"]
        for task in tasks:
            self._entry[task] = dict(start)
        changed = True
        while changed:
            changed = False
            for frame in frames:
                seen = self._seen[frame]
                for target, state in seen.calls:
                    changed |= self._reach(target, state, self._entry[frame])
                if frame.kind == "task" and seen.end is not None:
                    for task in tasks:
                        changed |= self._reach(task, seen.end, self._entry[frame])

    def _reach(self, frame: Frame, state: State, before: State) -> bool:
        """Add to what a frame may begin with; whether that is more than before."""
        entry, more = self._entry.setdefault(frame, {}), False
        for dsr in state.keys() | before.keys():
            known = _known(state.get(dsr, SAME), before.get(dsr, frozenset()))
            if known - entry.get(dsr, frozenset()):
                entry[dsr] = entry.get(dsr, frozenset()) | known
                more = True
        return more


def _dsrs_of(op: Op) -> Iterable[Dsr]:
    return (operand.value.data for operand in op.fields["operands"] if isinstance(operand.value.data, Dsr))
