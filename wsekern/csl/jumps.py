"""Jumps, branches and labels of a frame: those that lead to jumps, around jumps, or nowhere."""

from wsekern.csl.access import LEAVES, read, written
from wsekern.csl.ir import Frame, Op
from wsekern.csl.values import Reg

_FLIPPED = {"lt": "le", "le": "lt", "eq": "ne", "ne": "eq"}
"""What holds where a comparison does not; of ``lt`` and ``le`` with exchanged sides, and not of floats."""


def straighten(frame: Frame, kept: set[Reg]) -> None:
    """Make the way through a frame as short as it gets; ``kept``: registers whose values stay as they are."""
    before = -1
    while before != len(frame.ops):
        before = len(frame.ops)
        _drop_unreached(frame)
        _thread(frame)
        _around(frame, kept)
        _drop_useless(frame)


def _drop_unreached(frame: Frame) -> None:
    """Leave out what stands between the end of one way and the next label that something leads to."""
    reached, kept = True, []
    targets = {op.fields["target"] for op in frame.ops if op.form in ("jump", "branch")}
    for op in frame.ops:
        if op.form == "label" and op.fields["name"] not in targets:
            continue
        reached = reached or op.form == "label"
        if reached or op.form == "mark":
            kept.append(op)
        if op.form in LEAVES:
            reached = False
    frame.ops = kept


def _first_behind(frame: Frame, at: int) -> Op | None:
    for op in frame.ops[at + 1:]:
        if op.form not in ("label", "mark"):
            return op
    return None


def _thread(frame: Frame) -> None:
    """Let jumps to jumps go where these go, and jumps to an end be one."""
    behind = {op.fields["name"]: _first_behind(frame, k) for k, op in enumerate(frame.ops) if op.form == "label"}
    for k, op in enumerate(frame.ops):
        if op.form not in ("jump", "branch"):
            continue
        seen: set[str] = set()
        target, following = op.fields["target"], behind[op.fields["target"]]
        while following is not None and following.form == "jump" and target not in seen:
            seen.add(target)
            target = following.fields["target"]
            following = behind[target]
        if op.form == "jump" and following is not None and following.form in ("end", "return"):
            frame.ops[k] = Op(following.form, {}, op.span, op.title)
        elif target != op.fields["target"]:
            op.fields["target"] = target


def _around(frame: Frame, kept: set[Reg]) -> None:
    """``branch a, L1; jump L2; L1:`` is a branch on the contrary where that is to be had."""
    ops = frame.ops
    for k in range(len(ops) - 1):
        if ops[k].form != "branch" or ops[k + 1].form != "jump":
            continue
        if not _leads_next(ops, k + 1, ops[k].fields["target"]):
            continue
        made = _flip(frame, k) if ops[k].fields["a"] not in kept else None
        if made is not None:
            ops[made[0]] = made[1]
            ops[k] = Op("branch", {**ops[k].fields, "target": ops[k + 1].fields["target"]}, ops[k].span, ops[k].title)
            ops[k + 1] = Op("mark", {})


def _leads_next(ops: list[Op], at: int, label: str) -> bool:
    """Whether a label stands right behind an operation."""
    for op in ops[at + 1:]:
        if op.form == "label" and op.fields["name"] == label:
            return True
        if op.form not in ("label", "mark"):
            return False
    return False


def _flip(frame: Frame, at: int) -> tuple[int, Op] | None:
    """The comparison that decides a branch turned around, and where it stands; None where it decides something else too."""
    ops, truth = frame.ops, frame.ops[at].fields["a"]
    for k in range(at - 1, -1, -1):
        op = ops[k]
        if truth in written(op):
            flippable = op.form == "scalar" and op.fields["op"] in _FLIPPED and not (
                op.fields["op"] in ("lt", "le") and not op.fields["type"].startswith(("i", "u")))
            if not flippable or _read_elsewhere(frame, truth, at):
                return None
            name, a, b = _FLIPPED[op.fields["op"]], op.fields["a"], op.fields["b"]
            a, b = (b, a) if op.fields["op"] in ("lt", "le") else (a, b)
            return k, Op("scalar", {**op.fields, "op": name, "a": a, "b": b}, op.span, op.title)
        if op.form == "label" or op.form in LEAVES or op.form == "branch" or truth in read(op, frame):
            return None
    return None


def _read_elsewhere(frame: Frame, register: Reg, at: int) -> bool:
    return any(k != at and register in read(op, frame) for k, op in enumerate(frame.ops))


def _drop_useless(frame: Frame) -> None:
    """Leave out jumps to what comes next anyway."""
    frame.ops = [op for k, op in enumerate(frame.ops)
                 if op.form not in ("jump", "branch") or not _leads_next(frame.ops, k, op.fields["target"])]
