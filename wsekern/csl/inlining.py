"""Small functions, and those that are called at one place, stand where they are called."""

from dataclasses import replace
from typing import Any

from wsekern.csl.access import renamed, renamed_value
from wsekern.csl.ir import Frame, Named, Op
from wsekern.csl.registers import rings_of
from wsekern.csl.values import Reg

SMALL = 12
"""Operations of a function that always stands where it is called: a call and its return cost about as many cycles."""
MOST = 4000
"""Operations of a function into which none is expanded any more."""
_PLACES = ("label", "mark")


def expand_calls(entries: list[Frame], functions: list[Frame]) -> list[Frame]:
    """Expand functions into those that call them; the functions that are left."""
    frames = [*entries, *functions]
    sites: dict[Frame, int] = {}
    for frame in frames:
        _note_calls(frame)
        for op in frame.ops:
            if op.form == "call":
                sites[op.fields["target"]] = sites.get(op.fields["target"], 0) + 1
    for ring in rings_of(frames):       # callees before their callers
        for frame in ring:
            wanted = {callee for callee in frame.calls if callee is not frame and _is_leaf_of(callee)
                      and (sites.get(callee) == 1 or (callee not in ring and _size(callee) <= SMALL))}
            if wanted and len(frame.ops) < MOST:
                _expand(frame, wanted)
                _note_calls(frame)
    return _reached(entries, functions)


def _size(frame: Frame) -> int:
    return sum(op.form not in _PLACES for op in frame.ops)


def _is_leaf_of(callee: Frame) -> bool:
    """Whether a function does not call itself."""
    return callee not in callee.calls and callee.kind == "function"


def _note_calls(frame: Frame) -> None:
    frame.calls = {op.fields["target"] for op in frame.ops if op.form == "call"}


def _reached(entries: list[Frame], functions: list[Frame]) -> list[Frame]:
    seen, waiting = set(entries), list(entries)
    while waiting:
        for callee in waiting.pop().calls:
            if callee not in seen:
                seen.add(callee)
                waiting.append(callee)
    return [frame for frame in functions if frame in seen]


def _expand(frame: Frame, wanted: set[Frame]) -> None:
    """Put functions where they are called; registers of one behind those of the frame, as they were."""
    base, size = frame.size, frame.size

    def name(each: Reg) -> Reg:
        return Reg(frame, base + each.number) if each.frame in wanted else each

    ops: list[Op] = []
    for op in frame.ops:
        if op.form == "call" and op.fields["target"] in wanted:
            callee = op.fields["target"]
            size = max(size, base + callee.size)
            ops += _copy(frame, callee, name)
        else:
            ops.append(op if op.form in _PLACES else renamed(op, name))
    frame.ops, frame.size = ops, size


def _copy(frame: Frame, callee: Frame, name: Any) -> list[Op]:
    """A function's code for one place: labels and marks of its own, and a return is a jump to the end."""
    labels = {op.fields["name"]: frame.label() for op in callee.ops if op.form == "label"}
    marks = {id(op): Op("mark", {}) for op in callee.ops if op.form == "mark"}
    end, found = frame.label(), []
    for op in callee.ops:
        if op.form == "mark":
            found.append(marks[id(op)])
        elif op.form == "label":
            found.append(Op("label", {"name": labels[op.fields["name"]]}))
        elif op.form == "return":
            found.append(Op("jump", {"target": end}, op.span, op.title or callee.title))
        else:
            copy = renamed(op, name)
            if op.form in ("jump", "branch"):
                copy.fields["target"] = labels[op.fields["target"]]
            copy.title = op.title or callee.title
            found.append(copy)
    found.append(Op("label", {"name": end}))
    for named in callee.variables:
        binding, value = named.binding, getattr(named.binding, "value", None)
        if value is not None:
            binding = replace(binding, value=renamed_value(value, name))
        assert named.marks is not None
        first, last = (marks[id(mark)] for mark in named.marks)
        frame.variables.append(Named(named.name, binding, 0, 0, (first, last), named.title or callee.title))
    return found
