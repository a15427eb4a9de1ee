"""What the kernels run of a schedule: rows for its clocks and rows for its values."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from wsekern.machine.timing import Timing
from wsekern.ops._timing import LineCosts
from wsekern.ops.local.gemm import multiply_cycles
from wsekern.ops.schedule.columns import MESSAGE, Column, Messages
from wsekern.ops.schedule.schedule import Schedule

WORK, SEND, TAKE, PART, JOIN = 0, 1, 2, 3, 4
"""Kinds of the rows of a clock table: work of the core, a send, a take, part of a message, a message of its parts."""
ColumnOr = Column | int
Rows = tuple[Column, Column, np.ndarray]
"""Rows of the table of steps: the step of each, its place behind that, and itself."""
_MOVES = {"mov": 0, "mov_async": 0, "sum": 1, "max": 2, "round": 3}


def clock_tables(schedule: Schedule) -> tuple[np.ndarray, np.ndarray, LineCosts]:
    """What the timing kernel runs: steps, takes, and the costs they share; see Step and Take of ``src/ops/_timing.pyx``."""
    timing = schedule.timing
    taking, lead = groups(schedule)
    rows = [*_step_rows(schedule, lead), *_part_rows(schedule)]
    step, behind, table = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    costs = LineCosts(call=0, setup_send=0, setup_add=0, setup_receive=0, stage=timing.stage, hop=timing.hop,
                      convert=0, stream_send=0, stream_add=0, paced_add=0, stream_broadcast=0, stream_receive=0,
                      paced_broadcast=0, sums=0, step_send=1, step_add=1, down=timing.ramp + timing.latency("input"),
                      link=timing.link, depths=timing.machine.core.input_queues.values, output=timing.latency("output"),
                      sends=min(timing.machine.core.output_queues.values),
                      buffer=int(timing.machine.fabric.buffer_depth))
    return np.ascontiguousarray(table[np.lexsort((behind, step))]), _takes(schedule, taking, lead), costs


def groups(schedule: Schedule) -> tuple[Column, Column]:
    """All steps that take, and of each the last one of its group: steps of a PE that take messages at one stretch, by the same
    instruction, and share the ramp. Groups stand in the order of their last steps."""
    steps, messages, colors = schedule.by_step, schedule.by_message, schedule.color_column
    order = np.argsort(steps.pe, kind="stable")
    ordered = order[steps.takes[order] >= 0]
    if not len(ordered):
        return ordered, ordered
    before, after = order[:-1], order[1:]
    one, other = steps.takes[before], steps.takes[after]
    joins = ((steps.pe[before] == steps.pe[after]) & (one >= 0) & (other >= 0) & (steps.sends[before] < 0)
             & (steps.op[before] == steps.op[after]) & (colors[one] != colors[other])
             & (messages.sums[one] == messages.sums[other]))
    goes_on, joined = np.zeros((2, len(order)), bool)
    goes_on[before[joins]] = joined[after[joins]] = True
    lead = ordered[~goes_on[ordered]][np.cumsum(~joined[ordered]) - 1]
    by_lead = np.argsort(lead, kind="stable")
    return ordered[by_lead], lead[by_lead]


def _takes(schedule: Schedule, taking: Column, lead: Column) -> np.ndarray:
    """Rows of the table of takes: message, links from its sender, words in its queue, color, wavelets."""
    steps, messages = schedule.by_step, schedule.by_message
    taken, depths = steps.takes[taking], np.array(schedule.timing.machine.core.input_queues.values)
    packing = schedule.packings[steps.takes[lead]]
    return np.stack((taken, schedule.apart(messages.source[taken], steps.pe[lead]), depths[schedule.input_queues[0][taking]],
                     schedule.color_column[taken], -(-steps.elements[taking] // packing)), axis=1)


def _step_rows(schedule: Schedule, lead: Column) -> Iterator[Rows]:
    """Rows of work, sends and takes."""
    steps, timing, costs = schedule.by_step, schedule.timing, _OpCosts(schedule)
    of_step = np.full(len(steps.pe), -1)
    leads, first, count = np.unique(lead, return_index=True, return_counts=True)
    packing, elements = schedule.packings[steps.takes[leads]], steps.elements[leads]
    pace, wavelets = costs.pace(leads, packing), -(-elements // packing)
    moving = np.array([timing.step(timing.instruction("mov"), packed) for packed in (1, 2)])[packing - 1]
    yield leads, of_step[leads], _rows(
        TAKE, steps.pe[leads], first, count, steps.sends[leads], steps.of_op(costs.stream_setup, leads), (wavelets - 1) * pace,
        stream(timing, wavelets, np.maximum(pace, moving)), pace, wavelets)
    at = np.flatnonzero((steps.takes < 0) & (steps.sends >= 0))
    sent = steps.sends[at]
    packing = schedule.packings[sent]
    pace, wavelets = costs.pace(at, packing), -(-schedule.by_message.elements[sent] // packing)
    yield at, of_step[at], _rows(SEND, steps.pe[at], out=sent, setup=steps.of_op(costs.stream_setup, at), step=pace,
                                 stream=sending(timing, wavelets, pace, schedule.output_queues[0][at]))
    at = np.flatnonzero((steps.takes < 0) & (steps.sends < 0))
    setup, cycles = costs.work(at)
    yield at, of_step[at], _rows(WORK, steps.pe[at], setup=setup, stream=cycles)


class _OpCosts:
    """What the ops of a schedule's steps cost."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule, self.timing, self.steps = schedule, schedule.timing, schedule.by_step
        self.names = {op: schedule.instruction(op) for op in self.steps.ops if op not in ("spend", "multiply")}
        self.stream_setup = [self.timing.stream_setup(self.names[op]) if op in self.names else 0 for op in self.steps.ops]

    def pace(self, at: Column, packing: Column) -> Column:
        """Cycles between two wavelets of so many elements, of the steps ``at``."""
        paces = np.array([[self.timing.step(self.names[op], packed) if op in self.names else 0 for packed in (1, 2)]
                          for op in self.steps.ops]).reshape(-1, 2)
        return paces[self.steps.op[at], packing - 1]

    def work(self, at: Column) -> tuple[Column, Column]:
        """Set-up and cycles of the steps ``at``, which neither take nor send."""
        timing, product = self.timing, self.schedule.product
        cycles, overhead = multiply_cycles(timing, *product[:3]) if product else (0, 0)
        setups = [overhead if op == "multiply" else timing.setup(self.names[op]) if op in self.names else 0
                  for op in self.steps.ops]
        rates = [timing.rate(self.names[op]) if op in self.names else Fraction(1) for op in self.steps.ops]
        elements, (up, down) = self.steps.elements[at], (self.steps.of_op(field, at) for field in (
            [rate.numerator for rate in rates], [rate.denominator for rate in rates]))
        spends, multiplies = (self.steps.of_op([op == name for op in self.steps.ops], at) > 0 for name in ("spend", "multiply"))
        return (np.where(spends, elements, self.steps.of_op(setups, at)),
                np.where(spends, 0, np.where(multiplies, cycles, -(-elements * down // up))))


def _part_rows(schedule: Schedule) -> Iterator[Rows]:
    """Rows of parts that are taken of a message sent, and of wholes that are taken once their last part is sent."""
    messages, sends, step_of = schedule.by_message, schedule.by_step.sends, np.full(schedule.message_count, -1)
    step_of[sends[sends >= 0]] = np.flatnonzero(sends >= 0)
    parts = np.flatnonzero(messages.whole >= 0)
    sent = parts[step_of[parts] >= 0]
    sent = sent[np.argsort(messages.whole[sent], kind="stable")]
    whole, first, count = np.unique(messages.whole[sent], return_index=True, return_counts=True)
    last = sent[first + count - 1]
    yield step_of[last], np.zeros(len(last), np.int64), _rows(JOIN, messages.source[last], sent[first], last, whole)
    taken = parts[(step_of[parts] < 0) & (step_of[messages.whole[parts]] >= 0)]
    whole, packing = messages.whole[taken], schedule.packings[taken]
    end = messages.offset[taken] + messages.elements[taken]
    paced = np.where(end >= messages.elements[whole], -1, -(-end // packing) - 1)
    yield step_of[whole], 1 + taken, _rows(PART, messages.source[taken], whole, out=taken,
                                           stream=messages.offset[taken] // packing, paced=paced)


def _rows(kind: int, pe: Column, first: ColumnOr = 0, count: ColumnOr = 0, out: ColumnOr = -1, setup: ColumnOr = 0,
          stream: ColumnOr = 0, paced: ColumnOr = 0, step: ColumnOr = 1, wavelets: ColumnOr = 0) -> np.ndarray:
    """Rows of the table of steps."""
    table = np.empty((len(pe), 10), np.int64)
    for place, field in enumerate((kind, pe, first, count, out, setup, stream, paced, step, wavelets)):
        table[:, place] = field
    return table


def stream(timing: Timing, wavelets: Column, step: Column) -> Column:
    """As :meth:`wsekern.machine.timing.Timing.stream`, of many."""
    (words, frame), last = timing.link, np.maximum(0, wavelets - 1)
    return np.where(step * words >= frame, last * step, last // words * frame + last % words * step)


def sending(timing: Timing, wavelets: Column, step: Column, queue: Column) -> Column:
    """As :meth:`wsekern.machine.timing.Timing.sending`, of many."""
    depth, own = np.array(timing.machine.core.output_queues.values)[queue], np.maximum(0, wavelets - 1) * step
    held = timing.latency("output") + 1 + stream(timing, wavelets - depth, step)
    return np.where(wavelets <= depth, own, np.maximum(own, held))


def value_tables(schedule: Schedule) -> tuple[np.ndarray, int, int, np.ndarray]:
    """What the value kernel runs: moves, elements of a path's arena and of each PE, address of each result."""
    offsets, reserved = {}, 0
    for name, (elements, _) in schedule.buffers.items():
        offsets[name] = reserved
        reserved += elements
    steps, messages = schedule.by_step, schedule.by_message
    slots, total = _slots(messages, schedule.length * reserved)
    of_buffer = np.array([offsets.get(name, 0) for name in steps.names], np.int64)

    def address(buffer: Column, at: Column) -> Column:
        found, inside, sent = np.zeros(len(at), np.int64), np.flatnonzero(buffer >= 0), np.flatnonzero(buffer == MESSAGE)
        found[inside] = steps.pe[inside] * reserved + of_buffer[buffer[inside]] + at[inside]
        found[sent] = slots[at[sent]]
        return found

    number = np.array([0 if op == "spend" else _MOVES[op] for op in steps.ops], np.int64)
    moves = np.stack((number[steps.op], steps.elements, *(address(*operand) for operand in (steps.dst, steps.a, steps.b))),
                     axis=1)[steps.of_op([op == "spend" for op in steps.ops], slice(None)) == 0]
    result = [-1 if buffer is None else offsets[buffer[0]] + buffer[1] for buffer in schedule.result]
    return np.ascontiguousarray(moves), total, reserved, np.array(result, np.int64)


def _slots(messages: Messages, begin: int) -> tuple[Column, int]:
    """Where in an arena the elements of each message lie, one message behind the other from ``begin`` on, parts within their
    wholes; and where the last one ends."""
    own = np.where(messages.whole < 0, messages.elements, 0)
    slots, whole, offset = begin + np.cumsum(own) - own, np.arange(len(own)), np.zeros(len(own), np.int64)
    while len(own) and (within := messages.whole[whole] >= 0).any():
        offset += np.where(within, messages.offset[whole], 0)
        whole = np.where(within, messages.whole[whole], whole)
    return slots[whole] + offset, int(begin + own.sum())
