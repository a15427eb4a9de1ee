"""Queues in the linker: which one a color or a descriptor of the fabric has, and what its words are marked with."""

from abc import ABC, abstractmethod
from typing import Any, NoReturn

from wsekern.csl import types as t
from wsekern.csl.ir import Frame
from wsekern.csl.source import Span
from wsekern.csl.values import Dsd, Split, Value, Varying, split_of
from wsekern.program.operands import TYPE_BYTES, Fabric

QUEUES = {"wse2": (8, 6), "wse3": (8, 8)}
"""Input and output queues of a PE."""


class QueueLinker(ABC):
    """What the linker does with queues; :class:`wsekern.csl.link.Linker` has the rest."""

    span: Span | None = None

    def __init__(self, unit: Any, program: Any) -> None:
        self.unit, self.program = unit, program
        self.stated_queues: tuple[set[int], set[int]] = (set(), set())
        """Input and output queues that descriptors name, which no other color takes where one is free."""
        self.shared: dict[int, set[int]] = {}
        """Colors of the words that each output queue takes, on WSE-2."""
        self.late: list[int] = []
        """Colors that share one input queue, which each instruction binds to the color of its words."""
        self._widest = 1

    @abstractmethod
    def fail(self, message: str) -> NoReturn:
        """An error at the instruction that is being linked."""

    def fabric(self, data: Dsd, kind: str, out: bool, extent: int) -> Fabric:
        """A descriptor of the fabric."""
        return Fabric(self.queue_of(data, out), extent, kind, self.packing(data, kind), **self.marks(data, out))

    @staticmethod
    def number(value: Value) -> int:
        """Of an id, which PEs of one program share."""
        if isinstance(value.data, Varying):
            raise Split(split_of(value.data))
        assert isinstance(value.data, int)
        return value.data

    def channel(self, value: Value) -> int | None:
        """The input queue that a color, queue or data task stands for."""
        number = self.number(value)
        if value.type == t.INPUT_QUEUE or (value.type == t.DATA_TASK and self.unit.options.arch == "wse3"):
            return number if number in self.program.inputs else None
        return next((queue for queue, color in self.program.inputs.items() if color == number), None)

    def find_queues(self, frames: list[Frame]) -> None:
        """Queues that descriptors name, and colors that have to share one."""
        found = [(value, options) for _, value, options in self.unit.effects.loads]
        for op in [op for frame in frames for op in frame.ops]:
            fields = op.fields
            values = [fields[name] for name in ("a", "source", "target") if isinstance(fields.get(name), Value)]
            values += [each.value for each in fields.get("operands", ())]
            found += [(value, fields.get("options", {})) for value in values]
        waiting: dict[int, bool] = {}  # colors of words that come in, and whether the main thread alone takes them
        for value, options in found:
            data, out = value.data, value.type == t.FABOUT
            if not isinstance(data, Dsd) or data.base is not None or data.fifo is not None:
                continue
            if data.queue is not None and isinstance(data.queue.data, int):
                self.stated_queues[out].add(data.queue.data)
            if not out and data.color is not None:
                alone = not getattr(options.get("async"), "data", options.get("async"))
                color = self.number(data.color)
                waiting[color] = waiting.get(color, True) and alone
        self._share(waiting)

    def _share(self, waiting: dict[int, bool]) -> None:
        """Which colors of WSE-2 share an input queue that each instruction binds: where there are more colors than queues, as
        few as need be, first those whose words the main thread alone takes, so that no two are taken at once; of others, an
        instruction waits until the one before has its words."""
        effects = self.unit.effects
        fixed = {queue.color for queue in effects.inputs.values() if queue.color is not None} | effects.opened | {
            task.number for task in effects.tasks if task.kind == "data"}
        excess = len(fixed | waiting.keys()) - QUEUES["wse2"][0]
        if self.unit.options.arch == "wse2" and excess > 0:
            free = [color for turn in (False, True) for color, alone in waiting.items() if alone is turn and color not in fixed]
            self.late = free[-1 - excess:]

    def bind_queues(self) -> None:
        """Colors of the queues that @initialize_queue names, and of data tasks."""
        arch, effects = self.unit.options.arch, self.unit.effects
        for bound, queues in ((self.program.inputs, effects.inputs), (self.program.outputs, effects.outputs)):
            for number, queue in queues.items():
                if queue.color is not None:
                    bound[number] = queue.color
        for task in effects.tasks:
            self.span = task.span
            if task.kind == "data" and arch == "wse2":
                self.input_queue(task.number, None)
            elif task.kind == "data" and task.number not in self.program.inputs:
                self.unit.diagnostics.warn(f"'{task.function.name}' never starts: no @initialize_queue binds input queue "
                                           f"{task.number}", task.span)
        if arch == "wse2" and any(task.kind == "control" for task in effects.tasks):
            for color in sorted(effects.opened | self._open_by_number()):
                self.input_queue(color, None)

    def _open_by_number(self) -> set[int]:
        """Colors of WSE-2 whose number a local task has, which opens them as a data task would: both kinds share one table."""
        return {task.number for task in self.unit.effects.tasks if task.kind == "local" and any(
            "RAMP" in ports for name, ports in self.unit.painted(task.number).items() if name.startswith("tx"))}

    def input_queue(self, color: int, wanted: int | None) -> int:
        """The input queue of a color."""
        if color in self.late:
            color, wanted = self.late[0], None
        return self._queue(self.program.inputs, color, wanted, QUEUES[self.unit.options.arch][0], "input")

    def output_queue(self, color: int, wanted: int | None) -> int:
        """The output queue of a color. On WSE-2 each takes words of all colors: the one that is asked for, else one for this
        color alone, else the one that the fewest colors share."""
        bound, most = self.program.outputs, QUEUES[self.unit.options.arch][1]
        if self.unit.options.arch != "wse2":
            return self._queue(bound, color, wanted, most, "output")
        if wanted is None:
            wanted = next((queue for queue, colors in self.shared.items() if color in colors), None)
        if wanted is None and len(bound) == most:
            wanted = min(sorted(bound, reverse=True), key=lambda queue: len(self.shared.get(queue, ())))
        if wanted is None:
            wanted = self._queue(bound, color, None, most, "output")
        self.shared.setdefault(wanted, {bound.setdefault(wanted, color)}).add(color)
        return wanted

    def _queue(self, bound: dict[int, int], color: int, wanted: int | None, most: int, what: str) -> int:
        known = next((queue for queue, other in bound.items() if other == color), None)
        if known is not None:
            return known
        if wanted is not None and wanted not in bound:
            bound[wanted] = color
            return wanted
        reserved = {*(self.unit.effects.inputs if what == "input" else self.unit.effects.outputs),
                    *self.stated_queues[what == "output"]}
        free = next((queue for queue in range(most - 1, -1, -1) if queue not in bound and queue not in reserved), None)
        if free is None:
            free = next((queue for queue in range(most) if queue not in bound), None)
        if free is None:
            self.fail(f"color {color} finds no {what} queue: all {most} are bound to other colors")
        bound[free] = color
        return free

    def queue_of(self, data: Dsd, out: bool) -> int:
        """The queue of a fabric DSD; on WSE-3 it alone says which color, on WSE-2 the color does."""
        number = None if data.queue is None else self.number(data.queue)
        bound = self.program.outputs if out else self.program.inputs
        if number is not None and (data.color is None or (self.unit.options.arch == "wse3" and number in bound)):
            if number not in bound:
                self._without_color(number, bound, out)
            return number
        assert data.color is not None
        color = self.number(data.color)
        return self.output_queue(color, number) if out else self.input_queue(color, number)

    def _without_color(self, number: int, bound: dict[int, int], out: bool) -> None:
        """An operation on a queue that no @initialize_queue reaches here: refused, unless one is skipped by a condition, so
        that the operation is not meant to run; the queue has a color then that no route of the PE knows."""
        what = "output" if out else "input"
        if not self.unit.initializes_by_condition():
            self.fail(f"{what} queue {number} has no color: @initialize_queue gives it one")
        used = {*self.program.inputs.values(), *self.program.outputs.values(), *self.unit.colors_painted()}
        free = next((color for color in range(23, -1, -1) if color not in used), None)
        if free is None:
            self.fail(f"{what} queue {number} has no color here, and every color is in use")
        bound[number] = free

    def packing(self, data: Dsd, kind: str) -> int | None:
        """Elements in a word: before 2.10 one unless a SIMD mode says otherwise, from 2.10 on as many as fit; one beside an
        index."""
        if TYPE_BYTES[kind] == 4:
            return None
        if "word_index" in data.options:
            return 1
        mode = data.options.get("simd_mode")
        if mode is not None and isinstance(mode.data, dict):
            chosen = {name for name, each in mode.data.items() if each.data}
            return 1 if "simd_off" in chosen else 2 if chosen else 1
        return 1 if self.unit.options.dialect != "2.10" or "unpacked" in data.options else self._widest

    def marks(self, data: Dsd, out: bool) -> dict[str, Any]:
        """What words that leave are marked with: control, the switch's advance, an index, a color that is not the queue's; of
        words that come in, the color that their queue is bound to."""
        found: dict[str, Any] = {}
        if not out:
            return {"color": self.number(data.color)} if self.late and data.color is not None and (
                self.number(data.color) in self.late) else found
        for name in ("control", "advance_switch"):
            if name in data.options and data.options[name].data:
                found[name] = True
        index = data.options.get("word_index")
        if index is not None:
            found |= {"index": index.data & 0xFFFF if isinstance(index.data, int) else 0, "same_index": True}
        color = None if data.color is None or self.unit.options.arch != "wse2" else self.number(data.color)
        if color is not None and self.program.outputs[self.queue_of(data, out)] != color:
            found["color"] = color
        return found

