"""What the kernels run of a schedule: rows for its clocks and rows for its values."""

from collections import defaultdict
from functools import cache

import numpy as np

from wsekern.ops._timing import LineCosts
from wsekern.ops.local.gemm import multiply_cycles
from wsekern.ops.schedule.schedule import Buffer, Schedule, Step

WORK, SEND, TAKE, PART, JOIN = 0, 1, 2, 3, 4
"""Kinds of the rows of a clock table: work of the core, a send, a take, part of a message, a message of its parts."""
_MOVES = {"mov": 0, "mov_async": 0, "sum": 1, "max": 2, "round": 3}


def clock_tables(schedule: Schedule) -> tuple[np.ndarray, np.ndarray, LineCosts]:
    """What the timing kernel runs: steps, takes, and the costs they share."""
    return _ClockTables(schedule).build()


class _ClockTables:
    """Rows of the timing kernel's tables: see Step and Take of ``src/ops/_timing.pyx``."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule, self.timing = schedule, schedule.timing
        self.pace, self.stream_setup = cache(self.timing.step), cache(self.timing.stream_setup)
        self.sending_costs, self.taking_costs = cache(self._sending_costs), cache(self._taking_costs)
        self.steps: list[tuple[int, ...]] = []
        self.takes: list[tuple[int, ...]] = []
        self.inputs, self.outputs = schedule.input_queues, schedule.output_queues
        self.depths = schedule.timing.machine.core.input_queues.values
        self.groups = _groups(schedule)
        self.parts, sent = defaultdict(list), {message for _, message in schedule.ports}
        self.wholes = {}
        for index, message in enumerate(schedule.messages):
            if message.whole is not None and index in sent:
                self.wholes.setdefault(message.whole, []).append(index)
            elif message.whole is not None:
                self.parts[message.whole].append(index)

    def build(self) -> tuple[np.ndarray, np.ndarray, LineCosts]:
        schedule, timing = self.schedule, self.timing
        for index, (step, (takes, sends)) in enumerate(zip(schedule.steps, schedule.ports, strict=True)):
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
        costs = LineCosts(call=0, setup_send=0, setup_add=0, setup_receive=0, stage=timing.stage, hop=timing.hop,
                          convert=0, stream_send=0, stream_add=0, paced_add=0, stream_broadcast=0, stream_receive=0,
                          paced_broadcast=0, sums=0, step_send=1, step_add=1, down=timing.ramp + timing.latency("input"),
                          link=timing.link, depths=timing.machine.core.input_queues.values, output=timing.latency("output"),
                          sends=min(timing.machine.core.output_queues.values),
                          buffer=int(timing.machine.fabric.buffer_depth))
        return (np.array(self.steps, np.int64).reshape(-1, 10), np.array(self.takes, np.int64).reshape(-1, 5), costs)

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
            self.takes.append((taken, schedule.hops(messages[taken], last.pe), self.depths[queues.index(color)], color,
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
    for index, (step, (takes, _)) in enumerate(zip(schedule.steps, schedule.ports, strict=True)):
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


def value_tables(schedule: Schedule) -> tuple[np.ndarray, int, int, np.ndarray]:
    """What the value kernel runs: moves, elements of a path's arena and of each PE, address of each result."""
    offsets, reserved = {}, 0
    for name, (elements, _) in schedule.buffers.items():
        offsets[name] = reserved
        reserved += elements
    at, slots = schedule.length * reserved, []
    for message in schedule.messages:
        if message.whole is None:
            slots.append(at)
            at += message.elements
        else:
            slots.append(slots[message.whole] + message.offset)

    def address(pe: int, operand: Buffer | int | None) -> int:
        if isinstance(operand, int):
            return slots[operand]
        return 0 if operand is None else pe * reserved + offsets[operand[0]] + operand[1]

    moves = [(_MOVES[step.op], step.elements, *(address(step.pe, x) for x in (step.dst, step.a, step.b)))
             for step in schedule.steps if step.op != "spend"]
    result = [-1 if buffer is None else offsets[buffer[0]] + buffer[1] for buffer in schedule.result]
    return np.array(moves, np.int64).reshape(-1, 5), at, reserved, np.array(result, np.int64)
