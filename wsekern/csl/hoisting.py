"""What every round of a loop would compute anew goes before it, and other work between a result and what waits for it."""

from typing import Any

from wsekern.csl.access import LEAVES, PURE, read, written
from wsekern.csl.blocks import Life, blocks_of
from wsekern.csl.ir import Frame, Op
from wsekern.csl.loops_of import Loop, loops_of
from wsekern.csl.private import Private, Slot
from wsekern.csl.values import Reg

MOST = 32
"""Values of a frame that are kept from before a loop: registers are finite."""
_COSTLY = {"div", "mod", "sqrt", "floor", "exp", "log", "sin", "cos", "library_exp", "library_rsqrt", "library_silu"}
"""What may cost more before a loop than where it stands, perhaps behind a condition."""
_AHEAD = 8
"""Operations that are looked through for one that can go first."""


def hoist(frame: Frame, private: Private, kept: set[Reg]) -> None:
    """Put before loops what does not change in them, inner loops first."""
    left = MOST
    for label in [each for each, _ in sorted(loops_of(frame, private).items(), key=lambda item: item[1].last - item[1].first)]:
        loop = loops_of(frame, private).get(label)
        if loop is not None and left > 0 and _entered_from_above(frame, loop, label):
            left -= _hoist(frame, loop, private, kept, left)


def _entered_from_above(frame: Frame, loop: Loop, label: str) -> bool:
    before = next((op for op in reversed(frame.ops[: loop.first]) if op.form != "mark"), None)
    if before is None or before.form in LEAVES:
        return False
    return not any(op.form in ("jump", "branch") and op.fields["target"] == label for op in frame.ops[: loop.first])


def _hoist(frame: Frame, loop: Loop, private: Private, kept: set[Reg], most: int) -> int:
    life = Life(frame)
    block = next(each for each in life.blocks if each.first == loop.first)
    times: dict[Reg, int] = {}
    for op in frame.ops[loop.first : loop.last + 1]:
        for each in written(op):
            times[each] = times.get(each, 0) + 1
    moved: list[Op] = []
    changing = set(loop.written)
    rest: list[Op] = []
    for op in frame.ops[loop.first : loop.last + 1]:
        target = op.fields.get("dst")
        if (len(moved) < most and op.form in PURE and target is not None and target.frame is frame and target not in kept
                and times[target] == 1 and not life.bits[target] & block.begins and _stays(op, loop, private)
                and not any(each in changing or each.frame is not frame for each in read(op, frame))):
            moved.append(op)
            changing.discard(target)
        else:
            rest.append(op)
    frame.ops[loop.first : loop.last + 1] = moved + rest
    return len(moved)


def _stays(op: Op, loop: Loop, private: Private) -> bool:
    """Whether an operation gives the same in every round, if what it reads does."""
    if op.form == "load":
        slot = private.slot(op)
        return slot is not None and slot.symbol not in loop.symbols
    return op.form != "scalar" or op.fields["op"] not in _COSTLY


def fill_waits(frame: Frame, private: Private, kept: set[Reg]) -> None:
    """Where an operation waits for the result of the one before, let one from behind it go between them."""
    for block in blocks_of(frame):
        for k in range(block.first, block.last - 2):
            target = frame.ops[k].fields.get("dst")
            if frame.ops[k].form not in ("scalar", "load", "take_word") or target not in read(frame.ops[k + 1], frame):
                continue
            for j in range(k + 2, min(k + 2 + _AHEAD, block.last)):
                if _may_go_first(frame, k, j, private, kept):
                    op = frame.ops.pop(j)
                    frame.ops.insert(k + 1, Op(op.form, op.fields, frame.ops[k].span, frame.ops[k].title))
                    break


def _may_go_first(frame: Frame, k: int, j: int, private: Private, kept: set[Reg]) -> bool:
    """Whether operation ``j`` may stand behind ``k``."""
    op: Any = frame.ops[j]
    target = op.fields.get("dst")
    if op.form not in PURE or target is None or target in kept or target.frame is not frame:
        return False
    reads, slot = set(read(op, frame)), private.slot(op) if op.form == "load" else None
    if reads & set(written(frame.ops[k])):
        return False
    for other in frame.ops[k + 1 : j]:
        if reads & set(written(other)) or target in written(other) or target in read(other, frame):
            return False
        if op.form == "load" and not _leaves_alone(other, slot):
            return False
    return True


def _leaves_alone(op: Op, slot: Slot | None) -> bool:
    """Whether a load may go before an operation: of private memory (``slot``) or not."""
    if op.form in PURE or op.form in ("mark", "activate", "block", "unblock"):
        return True
    return slot is not None and op.form in ("store", "vector", "dsr_load") and op.fields.get("target") is not slot.symbol
