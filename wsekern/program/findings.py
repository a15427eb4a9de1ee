"""What programs do that the hardware allows and that is hardly meant: found by the cores, told in a sentence."""

from dataclasses import dataclass

from wsekern.fabric._routing import State
from wsekern.fabric.simulation import REPLACED
from wsekern.program._pe import Cores
from wsekern.program.places import Places
from wsekern.program.plan import ProgramPlan
from wsekern.program.waiting import code_words

RULES = {
    "unread": "{number} word{s} lie{not_s} unread when all is idle: the sender sends more than the receiver takes",
    "rewritten": REPLACED,
    "shared-input": "a second thread reads input queue {number} while a microthread is at it, so that each gets some of the "
                    "words: wait for the first one",
    "shared-output": "a second thread sends by output queue {number} while a microthread is at it, so that their words mix: "
                     "wait for the first one",
    "odd": "a microthread hands on {number} elements of 16 bits, two to a word: on a WSE-3 an odd number never ends; hand on "
           "an even one, or one to a word",
    "unwritten": "{symbol} is read, which neither the program nor the host has written",
    "half": "{number} elements of 16 bits, an odd number, go two to a word, and at the other end of the color an even number: "
            "half of the last word is sent for nothing or read though nobody has filled it; let both ends have as many",
    "packing": "elements of 16 bits are taken {number} to a word, and their sender puts {other} to one: let both do the same",
}
"""What is told, by rule: of which things there are how many is in ``number``."""
_ODD_NEVER_ENDS = frozenset({"wse3"})


@dataclass(frozen=True)
class Finding:
    """One of :data:`RULES`, and where it was broken first. ``place``: ``program``, ``task``, ``line``, ``text`` as
    :meth:`Places.of` has them, empty where no instruction is known; ``number``: words, a queue, elements or a byte address."""

    rule: str
    x: int
    y: int
    cycle: int
    color: int | None
    place: dict
    number: int
    symbol: str
    count: int
    """How often in all, or of unread words how many."""
    where: str
    """The same as text."""

    def __str__(self) -> str:
        many = self.number != 1
        told = RULES[self.rule].format(number=self.number, other=3 - self.number, symbol=self.symbol, s="s" * many,
                                       not_s="s" * (not many))
        more = self.count - (self.number if self.rule == "unread" else 1)
        return f"{self.where}: {told}" + (f" ({more:,} more)" if more else "")

    @property
    def key(self) -> tuple:
        """What makes it another one than was told before."""
        return self.rule, self.x, self.y, self.color, self.cycle


def findings_of(plan: ProgramPlan, cores: Cores, places: Places, fabric: State) -> list[Finding]:
    """What was found so far, the first of each rule; unread words are those of this cycle."""
    found = []
    for rule, count, cycle, pe, color, program, instruction, number in cores.findings(fabric):
        if rule == "odd" and plan.machine.name not in _ODD_NEVER_ENDS:
            continue
        y, x = divmod(pe, plan.width)
        place = places.of(program, instruction) if instruction >= 0 else {}
        where = [f"PE ({x}, {y})", *([f"color {color}"] if color >= 0 else []), *([code_words(place)] if place else []),
                 f"cycle {cycle}"]
        found.append(Finding(rule, x, y, cycle, color if color >= 0 else None, place, number,
                             _element(plan, program, number) if rule == "unwritten" else "", count, ", ".join(where)))
    return found


def _element(plan: ProgramPlan, program: int, address: int) -> str:
    """The symbol in which a byte of memory lies, and the byte within it."""
    written = plan.programs[program]
    symbol, first = max(((name, at) for name, at in written.addresses().items() if at <= address), key=lambda item: item[1])
    return f"symbol {symbol}, from byte {address - first} on," if address > first else f"symbol {symbol}"
