"""How 16-bit elements fill words, where they are sent and where they are taken: rules HALF and PACKING of pe_state.h."""

from collections.abc import Iterable, Iterator

PAIRS, ODD_PAIRS, ALONE = "pairs", "odd pairs", "alone"
Note = tuple[int, int, int, int, int]
"""Cycle, PE, color, instruction, elements."""


class Fillings:
    """Of one core: by end of a color ("sent", "taken"), color and filling, the instructions that ended; colors of all other
    words."""

    def __init__(self) -> None:
        self.notes: dict[tuple[str, int, str], list[Note]] = {}
        self.others: set[tuple[str, int]] = set()

    def note_other(self, end: str, color: int) -> None:
        """A word is sent or taken otherwise than by an instruction whose elements are counted."""
        self.others.add((end, color))

    def note(self, end: str, color: int, filling: str, note: Note) -> None:
        """An instruction has ended."""
        self.notes.setdefault((end, color, filling), []).append(note)


def broken(cores: Iterable[Fillings], of_host: set[int], swaps: bool) -> Iterator[tuple]:
    """As :meth:`ReferenceSimulation.findings` has them. ``of_host``: colors of words that came in from outside."""
    notes: dict[tuple[str, int, str], list[Note]] = {}
    others = {("sent", color) for color in of_host}
    for core in cores:
        others |= core.others
        for key, more in core.notes.items():
            notes.setdefault(key, []).extend(more)
    for rule, blame in (("half", _half), ("packing", _packing)):
        found = [note for color in sorted({color for _, color, _ in notes}) for note in blame(notes, others, color)]
        if found and not swaps:
            yield rule, len(found), *min(found, key=lambda note: note[:2])


def _half(notes: dict, others: set, color: int) -> list[Note]:
    """Instructions with an odd number of which the other end of the color has none, and nothing else that may be meant."""
    blamed: list[Note] = []
    for end, other in (("sent", "taken"), ("taken", "sent")):
        odd = notes.get((end, color, ODD_PAIRS), [])
        if (other, color, PAIRS) in notes and (other, color, ODD_PAIRS) not in notes and (other, color) not in others:
            blamed += odd
    return blamed


def _packing(notes: dict, others: set, color: int) -> list[Note]:
    """Instructions that take what is sent by the other packing, where nothing goes by theirs."""
    ways = {end: {"two" if filling != ALONE else "one" for to, of, filling in notes if (to, of) == (end, color)}
            for end in ("sent", "taken")}
    if {("sent", color), ("taken", color)} & others or sorted(map(len, ways.values())) != [1, 1] or \
            ways["sent"] == ways["taken"]:
        return []
    number = 1 if ways["taken"] == {"one"} else 2
    return [(*note[:4], number) for filling in (PAIRS, ODD_PAIRS, ALONE) for note in notes.get(("taken", color, filling), [])]
