"""Basic blocks of a frame, what is alive between them, and what nobody needs."""

from dataclasses import dataclass, field

from wsekern.csl.access import LEAVES, PURE, read, written
from wsekern.csl.ir import Frame, Op
from wsekern.csl.values import Reg, leaves


@dataclass(eq=False)
class Block:
    """Operations that follow each other: places ``first`` to ``last`` (exclusive) of the frame, and blocks that may be next."""

    first: int
    last: int
    after: list["Block"] = field(default_factory=list)
    reads: int = 0
    writes: int = 0
    begins: int = 0
    """Registers that are alive where it begins and ends, one bit each."""
    ends: int = 0


def blocks_of(frame: Frame) -> list[Block]:
    """The blocks, in order."""
    starts = [0]
    for k, op in enumerate(frame.ops):
        if op.form == "label" and k != starts[-1]:
            starts.append(k)
        elif op.form in LEAVES or op.form == "branch":
            starts.append(k + 1)
    starts = [k for k in dict.fromkeys(starts) if k < len(frame.ops)]
    blocks = [Block(first, last) for first, last in zip(starts, [*starts[1:], len(frame.ops)], strict=True)]
    at = {frame.ops[each.first].fields["name"]: each for each in blocks if frame.ops[each.first].form == "label"}
    for k, block in enumerate(blocks):
        op = frame.ops[block.last - 1]
        if op.form in ("jump", "branch"):
            block.after.append(at[op.fields["target"]])
        if op.form not in LEAVES and k + 1 < len(blocks):
            block.after.append(blocks[k + 1])
    return blocks


class Life:
    """Which registers of a frame are alive where: those that some later operation reads before another writes them."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.bits: dict[Reg, int] = {}
        self.blocks = blocks_of(frame)
        for block in self.blocks:
            for op in reversed(frame.ops[block.first : block.last]):
                writes, reads = self.mask(written(op)), self.mask(read(op, frame))
                block.writes |= writes
                block.reads = block.reads & ~writes | reads
        changed = True
        while changed:
            changed = False
            for block in reversed(self.blocks):
                ends = 0
                for each in block.after:
                    ends |= each.begins
                begins = block.reads | ends & ~block.writes
                changed = changed or begins != block.begins
                block.begins, block.ends = begins, ends

    def mask(self, registers: "list[Reg] | tuple[Reg, ...]") -> int:
        """A bit for each register."""
        found = 0
        for each in registers:
            bit = self.bits.get(each)
            if bit is None:
                bit = self.bits[each] = 1 << len(self.bits)
            found |= bit
        return found


def pinned(frame: Frame) -> set[Reg]:
    """Registers of variables, which somebody who looks at the program may read."""
    found = set()
    for named in frame.variables:
        value = getattr(named.binding, "value", None)
        if value is None:
            continue
        for leaf in leaves(value):
            if isinstance(leaf.data, Reg):
                found.add(leaf.data)
                if leaf.type.bytes == 8:
                    found.add(Reg(leaf.data.frame, leaf.data.number + 1))
    return found


def without_dead(frame: Frame, kept: set[Reg]) -> bool:
    """Leave out what only gives registers values that nobody reads, and give values at once to the registers that they are
    moved to; whether there was any. ``kept``: registers that count as read."""
    life, ops, before = Life(frame), [], len(frame.ops)
    for block in reversed(life.blocks):
        ops += _needed(frame, life, block, kept)
    frame.ops = ops[::-1]
    return len(frame.ops) < before


def _needed(frame: Frame, life: Life, block: Block, kept: set[Reg]) -> list[Op]:
    """Operations of a block that are needed, the last one first."""
    alive = block.ends
    found: list[Op | None] = []
    moves: dict[Reg, tuple[Op, int]] = {}       # by source, moves below (and their places) that are all that reads it
    for op in reversed(frame.ops[block.first : block.last]):
        target = op.fields.get("dst")
        if op.form in PURE and target is not None and not life.bits[target] & alive and target not in kept:
            continue
        if target in moves:         # give the value to where it is moved
            move, place = moves.pop(target)
            found[place] = None
            alive = alive & ~life.bits[target] | life.bits[move.fields["dst"]]
            op = Op(op.form, {**op.fields, "dst": move.fields["dst"]}, op.span, op.title)
            target = op.fields["dst"]
        if moves:
            touched = {*read(op, frame), *written(op)}
            for source in [source for source, (move, _) in moves.items() if source in touched
                           or move.fields["dst"] in touched
                           or (op.form == "call" and move.fields["dst"].frame is not frame)]:
                del moves[source]
        writes = life.mask(written(op))
        source = op.fields.get("a") if op.form == "scalar" and op.fields["op"] == "mov" else None
        if source is not None and source.frame is frame and source != target and not life.bits[source] & alive and (
                source not in kept):
            moves[source] = op, len(found)
        alive = alive & ~writes | life.mask(read(op, frame))
        found.append(op)
    return [op for op in found if op is not None]
