"""Loops of a frame, by the labels where they begin, and what their rounds change."""

from dataclasses import dataclass, field
from typing import Any

from wsekern.csl.access import written
from wsekern.csl.ir import Frame
from wsekern.csl.values import Reg


@dataclass(eq=False)
class Loop:
    """Operations ``first`` (a label) to ``last``, which may lead back to it."""

    first: int
    last: int
    written: set[Reg] = field(default_factory=set)
    symbols: set[Any] = field(default_factory=set)
    """Symbols that change."""
    calls: bool = False


def loops_of(frame: Frame, private: Any) -> dict[str, Loop]:
    """By label. A loop goes on as far as something behind it leads back into it."""
    ops = frame.ops
    places = {op.fields["name"]: k for k, op in enumerate(ops) if op.form == "label"}
    ends: dict[int, int] = {}
    for k, op in enumerate(ops):
        if op.form in ("jump", "branch") and places[op.fields["target"]] <= k:
            at = places[op.fields["target"]]
            ends[at] = max(ends.get(at, k), k)
    changed = True
    while changed:
        changed = False
        for at, end in ends.items():
            reach = max((other for inner, other in ends.items() if at < inner <= end), default=end)
            if reach > end:
                ends[at], changed = reach, True
    found = {}
    for at, end in ends.items():
        loop = Loop(at, end)
        for op in ops[at : end + 1]:
            loop.written.update(written(op))
            if op.form == "store":
                loop.symbols.add(op.fields["target"])
            elif op.form in ("call", "tail"):
                loop.calls = True
                loop.symbols |= private.changed_by(op.fields["target"])
        found[ops[at].fields["name"]] = loop
    return found
