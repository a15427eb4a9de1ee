"""The tables of a schedule's clocks, step by step: the plain reference of ``wsekern.ops.schedule.tables``."""

from collections import defaultdict
from functools import cache

import numpy as np

from wsekern.ops.local.gemm import multiply_cycles
from wsekern.ops.schedule.schedule import Schedule
from wsekern.ops.schedule.steps import Step
from wsekern.ops.schedule.tables import JOIN, PART, SEND, TAKE, WORK


def ports(schedule: Schedule) -> list[tuple[int | None, int | None]]:
    """The message that each step takes in, and the one that it sends."""
    return [(step.takes, step.sends) for step in schedule.steps]


def queues(schedule: Schedule, port: int) -> list[list[int]]:
    """Colors of the input (0) or output (1) queues of every PE, in the order in which its program first uses them."""
    taken = [-1 - queue for queue in range(schedule.queues_taken if port == 0 else 0)]
    bound: list[list[int]] = [[*taken] for _ in range(schedule.length)]
    for step, messages in zip(schedule.steps, ports(schedule), strict=True):
        message = messages[port]
        if message is not None and schedule.colors[message] not in bound[step.pe]:
            bound[step.pe].append(schedule.colors[message])
    return bound


def hops(schedule: Schedule, a: int, b: int) -> int:
    """Links between two PEs."""
    if schedule.width == schedule.length:
        return abs(a - b)
    (y0, x0), (y1, x1) = divmod(a, schedule.width), divmod(b, schedule.width)
    return abs(y1 - y0) + abs(x1 - x0)


class PlainTables:
    """Rows of the timing kernel's tables: see Step and Take of ``src/ops/_timing.pyx``."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule, self.timing = schedule, schedule.timing
        self.pace, self.stream_setup = cache(self.timing.step), cache(self.timing.stream_setup)
        self.sending_costs, self.taking_costs = cache(self._sending_costs), cache(self._taking_costs)
        self.steps: list[tuple[int, ...]] = []
        self.takes: list[tuple[int, ...]] = []
        self.inputs, self.outputs = queues(schedule, 0), queues(schedule, 1)
        self.depths = schedule.timing.machine.core.input_queues.values
        self.groups = _groups(schedule)
        self.parts, sent = defaultdict(list), {message for _, message in ports(schedule)}
        self.wholes = {}
        for index, message in enumerate(schedule.messages):
            if message.whole is not None and index in sent:
                self.wholes.setdefault(message.whole, []).append(index)
            elif message.whole is not None:
                self.parts[message.whole].append(index)

    def build(self) -> tuple[np.ndarray, np.ndarray]:
        schedule, timing = self.schedule, self.timing
        for index, (step, (takes, sends)) in enumerate(zip(schedule.steps, ports(schedule), strict=True)):
            if index in self.groups:
                self.take(self.groups[index])
            elif takes is None and sends is not None:
                self.send(step)
            elif step.op == "spend":
                self.row(WORK, step.pe, setup=step.elements)
            elif step.op == "multiply":
                compute, overhead = multiply_cycles(timing, *schedule.product[:3])
                self.row(WORK, step.pe, setup=overhead, stream=compute)
            elif takes is None:
                name = schedule.instruction(step.op)
                self.row(WORK, step.pe, setup=timing.setup(name), stream=timing.elements(name, step.elements))
            if sends is not None:
                self.split(sends)
        return np.array(self.steps, np.int64).reshape(-1, 10), np.array(self.takes, np.int64).reshape(-1, 5)

    def row(self, kind: int, pe: int, first: int = 0, count: int = 0, out: int = -1, setup: int = 0, stream: int = 0,
            paced: int = 0, step: int = 1, wavelets: int = 0) -> None:
        self.steps.append((kind, pe, first, count, out, setup, stream, paced, step, wavelets))

    def _sending_costs(self, op: str, elements: int, packing: int, queue: int) -> tuple[int, int, int]:
        """Set-up, cycles to the last word, and pace of sending ``elements`` elements."""
        name = self.schedule.instruction(op)
        pace = self.pace(name, packing)
        return self.stream_setup(name), self.timing.sending(-(-elements // packing), pace, queue), pace

    def _taking_costs(self, op: str, elements: int, packing: int) -> tuple[int, int, int, int, int]:
        """Set-up, cycles to the last word, the same where words come from a core, pace, and wavelets of taking ``elements``."""
        name, wavelets = self.schedule.instruction(op), -(-elements // packing)
        pace, send = self.pace(name, packing), self.pace(self.timing.instruction("mov"), packing)
        return (self.stream_setup(name), (wavelets - 1) * pace, self.timing.stream(wavelets, max(pace, send)), pace, wavelets)

    def send(self, step: Step) -> None:
        message = self.schedule.messages[step.sends]
        queue = self.outputs[step.pe].index(self.schedule.colors[step.sends])
        setup, stream, pace = self.sending_costs(step.op, message.elements, self.schedule.packing(message), queue)
        self.row(SEND, step.pe, out=step.sends, setup=setup, stream=stream, step=pace)

    def take(self, group: list[Step]) -> None:
        last, first, schedule = group[-1], len(self.takes), self.schedule
        messages, colors, queues, sends = schedule.messages, schedule.colors, self.inputs[last.pe], last.sends
        packing = schedule.packing(messages[last.takes])
        for step in group:
            taken = step.takes
            color = colors[taken]
            self.takes.append((taken, hops(schedule, messages[taken].source, last.pe), self.depths[queues.index(color)], color,
                               -(-step.elements // packing)))
        setup, stream, paced, pace, wavelets = self.taking_costs(last.op, last.elements, packing)
        self.row(TAKE, last.pe, first, len(group), -1 if sends is None else sends, setup, stream, paced, pace, wavelets)

    def split(self, sent: int) -> None:
        """Parts that are taken of a message sent, and the whole that is taken once its last part is sent."""
        whole = self.schedule.messages[sent].whole
        if whole in self.wholes and self.wholes[whole][-1] == sent:
            self.row(JOIN, self.schedule.messages[sent].source, first=self.wholes[whole][0], count=sent, out=whole)
        for index in self.parts[sent]:
            message, packing = self.schedule.messages[index], self.schedule.packing(self.schedule.messages[index])
            end = message.offset + message.elements
            to_end = end >= self.schedule.messages[sent].elements
            self.row(PART, message.source, first=sent, out=index, stream=message.offset // packing,
                     paced=-1 if to_end else -(-end // packing) - 1)


def _groups(schedule: Schedule) -> dict[int, list[Step]]:
    """Index of a step -> the steps that take messages at one stretch and end with it: they share the ramp."""
    groups: dict[int, list[Step]] = {}
    open_group: dict[int, tuple[int, list[Step]]] = {}
    for index, (step, (takes, _)) in enumerate(zip(schedule.steps, ports(schedule), strict=True)):
        if takes is None:
            open_group.pop(step.pe, None)
            continue
        before = open_group.get(step.pe)
        joins = before is not None and _joins(schedule, before[1][-1], step)
        group = [*before[1], step] if joins else [step]
        if joins:
            del groups[before[0]]
        groups[index] = group
        open_group[step.pe] = (index, group)
    return groups


def _joins(schedule: Schedule, before: Step, step: Step) -> bool:
    """Whether two steps of a PE take streams that are on its ramp at the same time, and by the same instruction."""
    return (before.sends is None and before.op == step.op and schedule.colors[before.takes] != schedule.colors[step.takes]
            and schedule.messages[before.takes].sums == schedule.messages[step.takes].sums)
