"""Where the instructions and tasks of the cores stand in the programs that were written, and what one PE holds, by names."""

from collections.abc import Sequence

from wsekern.errors import InputError
from wsekern.program._pe import Cores
from wsekern.program.instructions import MAIN_TASK, Label, Placed
from wsekern.program.plan import ProgramPlan
from wsekern.program.program import Program
from wsekern.program.text.listing import instruction_text, listing

_THREAD = ("state", "instruction", "word", "queue", "cycle")


class Places:
    """Instructions of ``programs`` by task and line, from the numbers that the cores have for them (``placed``)."""

    def __init__(self, programs: Sequence[Program], placed: Sequence[Placed]) -> None:
        self.programs, self.placed = programs, placed
        self._lines: dict[int, list[int]] = {}
        self._places: dict[tuple[int, int], dict] = {}

    def first(self, program: int) -> int:
        """Number of the first instruction of a program in the code of all programs."""
        return sum(len(placed.code) for placed in self.placed[:program])

    def of(self, program: int, instruction: int) -> dict:
        """Where an instruction of a program stands: ``program`` and ``task`` by name, ``line`` of :meth:`Program.text`, its
        ``text``; where a compiler wrote it, also ``function`` and ``source`` (file:line) of what it was made of."""
        if (program, instruction) not in self._places:
            self._places[program, instruction] = self._find(program, instruction)
        return dict(self._places[program, instruction])

    def _find(self, program: int, instruction: int) -> dict:
        written = self.programs[program]
        if program not in self._lines:
            lines, numbers = listing(written)
            self._lines[program] = [*numbers, len(lines) + 1]       # what follows the code is the end of the main task
        lines, placed = self._lines[program], self.placed[program].lines
        at = placed[instruction] if 0 <= instruction < len(placed) else len(written.code)
        tasks = {task.label: task.name for task in written.tasks.values()}
        labels = (item.name for item in reversed(written.code[:at]) if isinstance(item, Label))
        task = next((tasks[name] for name in labels if name in tasks), MAIN_TASK)
        text = instruction_text(written.code[at], written) if at < len(written.code) else "end"
        found = {"program": written.name, "task": task, "line": lines[at], "text": text}
        origin = written.origins.get(at)
        return found if origin is None else found | {"function": origin.function, "source": str(origin)}


def said(place: dict) -> str:
    """A place that :meth:`Places.of` found, in words: the line of the source where there is one, else that of the program's
    text."""
    if "source" in place:
        return f"function {place['function']}, {place['source']} ({place['text']})"
    return f"task {place['task']}, line {place['line']} of its text ({place['text']})"


def state_of(plan: ProgramPlan, cores: Cores, places: Places, x: int, y: int) -> dict:
    """All that PE (x, y) holds beside its memory: see :meth:`wsekern.program.Simulation.state`."""
    found, program = held_by(plan, cores, places.placed, x, y), int(plan.program_of[y, x])
    for values in found["threads"].values():
        if values["state"] != "idle":
            values |= places.of(program, values["instruction"])
    return found


def held_by(plan: ProgramPlan, cores: Cores, placed: Sequence[Placed], x: int, y: int) -> dict:
    """The same without where its instructions stand, which takes a listing of its program."""
    plan.check_rectangle(x, y, 1, 1)
    found = cores.state_of(y * plan.width + x)
    if found is None:
        raise InputError(f"PE ({x}, {y}) has no program")
    tasks = placed[int(plan.program_of[y, x])].tasks
    for mask in ("activated", "blocked"):
        found[mask] = [name for name, number in tasks.items() if found[mask] >> number & 1]
    found["threads"] = {thread: dict(zip(_THREAD, values, strict=True)) for thread, values in found["threads"].items()}
    return found
