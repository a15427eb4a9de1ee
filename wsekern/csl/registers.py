"""Which registers of the core a function's frame gets, and which calls are jumps."""

from wsekern.csl.ir import Frame
from wsekern.csl.source import CslError, Diagnostic


def rings_of(frames: list[Frame]) -> list[list[Frame]]:
    """Functions that call each other in a circle, together; callees come before their callers (Tarjan's components)."""
    number: dict[Frame, int] = {}
    low: dict[Frame, int] = {}
    stack: list[Frame] = []
    found: list[list[Frame]] = []

    def visit(frame: Frame) -> None:
        number[frame] = low[frame] = len(number)
        stack.append(frame)
        for callee in frame.calls:
            if callee not in number:
                visit(callee)
                low[frame] = min(low[frame], low[callee])
            elif callee in stack:
                low[frame] = min(low[frame], number[callee])
        if low[frame] == number[frame]:
            ring: list[Frame] = []
            while not ring or ring[-1] is not frame:
                ring.append(stack.pop())
            found.append(ring)

    for frame in frames:
        if frame not in number:
            visit(frame)
    return found


def tail_calls(frames: list[Frame]) -> None:
    """Make calls of functions jumps where a return follows; other recursion is refused: a PE has no stack for it."""
    for ring in rings_of(frames):
        recurs = len(ring) > 1 or ring[0] in ring[0].calls
        for frame in ring:
            for k, op in enumerate(frame.ops):
                if op.form != "call" or not (frame.kind == "function" or op.fields["target"] in ring):
                    continue
                if not _returns(frame, k + 1):
                    if not recurs or op.fields["target"] not in ring:
                        continue
                    raise CslError([Diagnostic(f"'{op.fields['target'].name}' calls itself, and not as the last thing that it "
                                               "does: a PE keeps no copies of a function's variables", op.span)])
                op.form = "tail"


def _returns(frame: Frame, at: int) -> bool:
    """Whether nothing happens from an instruction on but a return."""
    jumps = 0
    while at < len(frame.ops) and jumps < 100:
        op = frame.ops[at]
        if op.form == "return":
            return True
        if op.form == "jump":
            at = next(k for k, other in enumerate(frame.ops)
                      if other.form == "label" and other.fields["name"] == op.fields["target"])
            jumps += 1
        elif op.form not in ("label", "mark"):
            return False
        at += 1
    return False


def bases_of(entries: list[Frame], frames: list[Frame]) -> tuple[dict[Frame, int], int]:
    """First register of every frame, and the first behind all: a function's are behind those of everyone who calls it.
    Register 0 holds the word that started a task."""
    bases: dict[Frame, int] = dict.fromkeys(entries, 1)
    last = 1
    for ring in reversed(rings_of(frames)):
        start = max([bases.get(frame, 1) for frame in ring])
        for frame in ring:
            bases[frame] = start
            start += frame.size
        last = max(last, start)
        for frame in ring:
            for callee in frame.calls:
                if callee not in ring:
                    bases[callee] = max(bases.get(callee, 1), start)
    return bases, last
