"""Schedules: what every PE does, step by step, from which programs, routes, clocks and values all follow.

A schedule is for a line of PEs, counted from 0, or for a grid of PEs, counted row by row. Words travel along a row or a
column as messages: one instruction of the sender puts the words of a message on a color, routers pass them on, and one
instruction of each receiver takes them, adds its own, or hands them on. The steps are written down once, in an order in
which every message is sent before it is taken.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from wsekern.errors import BudgetError
from wsekern.machine.timing import Timing
from wsekern.ops._trees import Written
from wsekern.ops.packing import tile_packing
from wsekern.ops.schedule.columns import PLANE, Column, Messages, Steps, queues
from wsekern.ops.schedule.steps import Buffer, Message, Step

MAX_FEEDS = 8
"""Streams that one PE takes in at a time: input queues of every machine."""
Derived = TypeVar("Derived")


@dataclass(eq=False)
class Schedule(Written):
    """Steps of ``length`` PEs, in rows of ``width`` (0: one line), each with a tile of ``elements`` elements.

    ``call`` names the latency that every PE spends first. Beside its ``tile`` a PE has the buffers declared in
    ``buffers``: elements, and whether they are of the ``tile``'s precision, ``sums`` (fp32 where fp16 is accumulated in
    fp32), or ``fp32``. ``result`` is where each PE finds what it ends with, None where it has nothing.
    """

    length: int
    elements: int
    timing: Timing
    call: str
    result_elements: int
    buffers: dict[str, tuple[int, str]] = field(default_factory=dict)
    result: list[Buffer | None] = field(default_factory=list)
    width: int = 0
    second: int = 0
    """Elements of a second tile of every PE, ``second``."""
    product: tuple[int, int, int, bool] | None = None
    """Rows, inner size and columns of tile products, and whether the right tile lies transposed."""
    queues_taken: int = 0
    """Input queues of every PE that what ran before it in the same program has."""

    def __post_init__(self) -> None:
        self._derived: dict[Callable, Any] = {}
        self.width = self.width or max(1, self.length)
        self.buffers = {"tile": (self.elements, "tile"), "second": (self.second, "tile"), **self.buffers}
        self.result = self.result or [("tile", 0)] * self.length

    @property
    def wide(self) -> bool:
        """Whether sums are held and travel in fp32 while tiles are fp16."""
        return self.timing.precision == "fp16_fp32"

    # What an operation writes.

    def parts_in_turn(self, message: int, source: int, elements: int, sums: bool = True) -> list[tuple[int, int, int]]:
        """The parts, as (message, first element, elements), by which the PE ``source`` sends ``message``: where others wait for
        their turn its last wavelet is one by itself, which hands over; else the message alone."""
        if self.far(message) in (None, source) or not elements:
            return [(message, 0, elements)]
        packing = self._packing[sums]
        before = (-(-elements // packing) - 1) * packing
        parts = [(self.part(message, 0, before), 0, before)] if before else []
        return [*parts, (self.part(message, before, elements - before, hands_over=True), before, elements - before)]

    def spend(self, pe: int, cycles: int) -> None:
        """Scalar code, such as the start of a further operation."""
        self.step(pe, "spend", cycles, ("tile", 0), ("tile", 0))

    # What follows from it.

    def apart(self, a: Column, b: Column) -> Column:
        """Links between PEs."""
        if self.width == self.length:
            return np.abs(a - b)
        return np.abs(a // self.width - b // self.width) + np.abs(a % self.width - b % self.width)

    @cached_property
    def by_message(self) -> Messages:
        """The fields of all messages as arrays."""
        return Messages(self)

    @cached_property
    def by_step(self) -> Steps:
        """The fields of all steps as arrays."""
        return Steps(self)

    @cached_property
    def messages(self) -> list[Message]:
        """All messages."""
        return self.by_message.rows()

    @cached_property
    def steps(self) -> list[Step]:
        """All steps."""
        return self.by_step.rows()

    def derived(self, make: Callable[["Schedule"], Derived]) -> Derived:
        """What ``make`` derives from the schedule once all its steps are written; kept with it."""
        if make not in self._derived:
            self._derived[make] = make(self)
        return self._derived[make]

    @cached_property
    def color_column(self) -> Column:
        """Color of every message, counted from 0: the lowest that no other route has at a router on its way."""
        found = self.by_message.colors(self.length, self.width)
        if (found < 0).any():
            raise BudgetError(f"a schedule on {self.length} PEs needs more than 64 colors: use another algorithm")
        return found

    @cached_property
    def colors(self) -> list[int]:
        """The same as a list."""
        return self.color_column.tolist()

    @cached_property
    def input_queues(self) -> tuple[Column, Column]:
        """Number of the input queue of every step that takes, 0 of others; and how many every PE has."""
        return self._queues(self.by_step.takes, self.queues_taken, "input")

    @cached_property
    def output_queues(self) -> tuple[Column, Column]:
        """Number of the output queue of every step that sends, 0 of others; and how many every PE has."""
        return self._queues(self.by_step.sends, 0, "output")

    def _queues(self, messages: Column, taken: int, name: str) -> tuple[Column, Column]:
        """Queues of the streams of ``messages``, -1 of steps that have none, behind so many; refused where a PE has too few."""
        core, at = self.timing.machine.core, np.flatnonzero(messages >= 0)
        there = len((core.input_queues if name == "input" else core.output_queues).values)
        number = np.zeros(len(messages), np.int64)
        found, bound = queues(self.by_step.pe[at], self.color_column[messages[at]], self.length)
        number[at], number_of_pe = found + taken, bound + taken
        if (number_of_pe > there).any():
            pe = int((number_of_pe > there).argmax())
            raise BudgetError(f"the PE at place {pe} of {self.length} needs {number_of_pe[pe]} {name} queues, a PE of "
                              f"{self.timing.machine.name} has {there}: use an algorithm with fewer streams into one PE")
        return number, number_of_pe

    @cached_property
    def turns_switches(self) -> bool:
        """Whether PEs take turns on a color."""
        return bool(self.by_message.hands_over.any())

    @property
    def color_count(self) -> int:
        """Colors it takes."""
        return max(self.colors, default=-1) + 1

    @cached_property
    def link_traversals(self) -> int:
        """Link traversals on one path."""
        messages = self.by_message
        links = np.where(messages.kind == PLANE, self.length - 1, self.apart(messages.low, messages.high))
        return int((links * -(-messages.elements // self.packings))[messages.whole < 0].sum())

    @cached_property
    def packings(self) -> Column:
        """Elements in one wavelet of every message."""
        return np.array(self._packing)[self.by_message.sums.astype(np.int64)]

    def packing(self, message: Message) -> int:
        """Elements in one wavelet of ``message``."""
        return self._packing[message.sums]

    @cached_property
    def _packing(self) -> tuple[int, int]:
        """Elements in one wavelet of a tile, and of sums."""
        return tile_packing(self.timing), 1 if self.wide else tile_packing(self.timing)

    def wavelets(self, message: Message) -> int:
        """Wavelets of ``message``."""
        return -(-message.elements // self.packing(message))

    def instruction(self, op: str) -> str:
        """Vector instruction of a step."""
        return self.timing.instruction({"sum": "add", "round": "mov", "clear": "mov", "mov_async": "mov"}.get(op, op))

    def role(self, pe: int) -> tuple:
        """Everything the PE does: PEs of the same role run the same program."""
        return self._roles[pe]

    @cached_property
    def _roles(self) -> list[tuple]:
        roles: list[list] = [[] for _ in range(self.length)]
        for step in self.steps:
            roles[step.pe].append((step.op, step.elements, *(self._operand(x) for x in (step.dst, step.a, step.b))))
        return [(tuple(steps), result) for steps, result in zip(map(tuple, roles), self.result, strict=True)]

    def _operand(self, operand: Buffer | int | None) -> tuple | None:
        if isinstance(operand, int):
            return self.colors[operand], self.messages[operand].sums, self.messages[operand].hands_over
        return operand
