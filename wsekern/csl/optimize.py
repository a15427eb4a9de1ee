"""What happens to the functions of a unit between compiling and linking: from code as it is written to code as it is run."""

from typing import Any

from wsekern.csl.access import LEAVES
from wsekern.csl.bases import count_in_elements, sizes_of
from wsekern.csl.blocks import pinned, without_dead
from wsekern.csl.hoisting import fill_waits, hoist
from wsekern.csl.inlining import expand_calls
from wsekern.csl.ir import Frame, mark_variables
from wsekern.csl.jumps import straighten
from wsekern.csl.numbering import number_values
from wsekern.csl.placing import place_registers
from wsekern.csl.private import Private
from wsekern.csl.repeating import settle
from wsekern.csl.webs import merge_copies, own_names


def optimize(unit: Any, entries: list[Frame]) -> list[Frame]:
    """Make the code of tasks and of all functions that they call as good as it gets; the frames that are left."""
    frames = list(dict.fromkeys([*entries, *unit.instances.values()]))
    for frame in frames:
        mark_variables(frame)
        _end(frame)
    settle(frames, unit.effects.loads)
    for frame in frames:
        straighten(frame, pinned(frame))
    frames = [*entries, *expand_calls(entries, [frame for frame in frames if frame not in entries])]
    exported = [value.data for value, _ in unit.effects.exports.values()]
    private = Private(unit.symbols, exported, unit.effects.loads, frames)
    sizes = sizes_of(frames)
    for frame in frames:
        count_in_elements(frame, sizes)
        _improve(frame, private)
    return frames


def _improve(frame: Frame, private: Private) -> None:
    own_names(frame)
    for _ in range(2 if any(op.form == "branch" for op in frame.ops) else 1):
        number_values(frame, private, pinned(frame))
        merge_copies(frame)
        kept = pinned(frame)
        straighten(frame, kept)
        while without_dead(frame, kept):
            pass
        hoist(frame, private, kept)
    straighten(frame, kept)
    fill_waits(frame, private, kept)
    place_registers(frame)


def _end(frame: Frame) -> None:
    """Say how a frame ends where its last branches have all left."""
    last = next((op for op in reversed(frame.ops) if op.form != "mark"), None)
    if last is None or last.form not in LEAVES:
        frame.emit("end" if frame.kind == "task" else "return", frame.span)
