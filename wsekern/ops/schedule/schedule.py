"""Schedules: what every PE does, step by step, from which programs, routes, clocks and values all follow.

A schedule is for a line of PEs, whose places count from 0, or for a grid, whose places count row by row. Words travel along
a row or a column as messages: one instruction of the sender puts the words of a message on a color, routers pass them on, and
one instruction of each receiver takes them, adds its own, or hands them on. The steps are written down once, in an order in
which every message is sent before it is taken.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache, cached_property
from math import ceil
from typing import NamedTuple

import numpy as np

from wsekern.errors import BudgetError
from wsekern.machine.timing import Timing
from wsekern.ops._timing import LineCosts
from wsekern.ops._trees import lowest_colors
from wsekern.ops.lines.line import tile_packing
from wsekern.ops.schedule.meetings import TAKE, Meetings

Place = tuple[str, int]
"""Buffer and first element."""
_WORK, _SEND, _TAKE, _PART, _JOIN = 0, 1, TAKE, 3, 4
_MOVES = {"mov": 0, "aside": 0, "sum": 1, "max": 2, "round": 3}
MOST_FEEDS = 8
"""Streams that one PE takes in at a time: input queues of every machine."""


class Message(NamedTuple):
    """``words`` elements from the core at ``source`` to all cores that take it in [low, high], or part of such a message.

    Parts are taken one by one where the whole is sent at once, and sent one by one where the whole is taken at once.
    """

    source: int
    low: int
    high: int
    words: int
    sums: bool
    """Whether it travels as sums do: in fp32 where fp16 is accumulated in fp32."""
    whole: int | None = None
    """The message that this is a part of, beginning at its element ``offset``."""
    offset: int = 0
    multicast: str = ""
    """``line``: to every PE of [low, high]; ``plane``: to every PE of the grid; empty: to one."""
    far: int | None = None
    """Where senders take turns on one color, from near to far: the farthest of them. The router of a sender passes on what
    comes from beyond once its own core's last word has asked it to."""
    hands_over: bool = False
    """Whether it holds that last word."""

    @property
    def route(self) -> tuple[int, int, int, str]:
        """What tells its route from others."""
        if self.far is not None:
            target = self.high if self.source == self.low else self.low
            return self.far, min(self.far, target), max(self.far, target), "turns"
        return self.source, self.low, self.high, self.multicast


class Step(NamedTuple):
    """One instruction of the PE at ``pe``: ``dst = a`` or ``a`` combined with message ``b``; numbers are messages.

    ``op``: mov, aside (a mov by which a microthread sends while the core goes on), sum, max, round (to the tile's
    precision), spend (scalar code of ``words`` cycles), clear, or multiply (``dst += a b``, tiles of the sizes in the
    schedule's ``product``).
    """

    pe: int
    op: str
    words: int
    dst: Place | int
    a: Place | int
    b: Place | int | None = None

    @property
    def takes(self) -> int | None:
        """The message that it takes in."""
        if isinstance(self.a, int):
            return self.a
        return self.b if isinstance(self.b, int) else None

    @property
    def sends(self) -> int | None:
        """The message that it sends."""
        return self.dst if isinstance(self.dst, int) else None


@dataclass(eq=False)
class Schedule:
    """Steps of ``length`` PEs, in rows of ``width`` (0: one line), each with a tile of ``words`` elements, timed by ``timing``.

    ``call`` names the latency that every PE spends first. Beside its ``tile`` a PE has the buffers declared in
    ``buffers``: elements, and whether they are of the ``tile``'s precision, ``sums`` (fp32 where fp16 is accumulated in
    fp32), or ``fp32``. ``result`` is where each PE finds what it ends with, None where it has nothing.
    """

    length: int
    words: int
    timing: Timing
    call: str
    result_words: int
    buffers: dict[str, tuple[int, str]] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    result: list[Place | None] = field(default_factory=list)
    width: int = 0
    second: int = 0
    """Elements of a second tile of every PE, ``second``."""
    product: tuple[int, int, int, bool] | None = None
    """Rows, inner size and columns of tile products, and whether the right tile lies transposed."""

    def __post_init__(self) -> None:
        self.width = self.width or max(1, self.length)
        self.buffers = {"tile": (self.words, "tile"), "second": (self.second, "tile"), **self.buffers}
        self.result = self.result or [("tile", 0)] * self.length

    @property
    def wide(self) -> bool:
        """Whether sums are held and travel in fp32 while tiles are fp16."""
        return self.timing.dtype == "fp16_fp32"

    # What an operation writes.

    def message(self, source: int, target: int, words: int, sums: bool = True, far: int | None = None) -> int:
        """A message from one PE to another, in turns with those of other PEs where the farthest of them is given."""
        self.messages.append(Message(source, min(source, target), max(source, target), words, sums, far=far))
        return len(self.messages) - 1

    def parts_in_turn(self, message: int) -> list[tuple[int, int, int]]:
        """The parts, as (message, first element, elements), by which a PE sends ``message``: where others wait for their turn
        its last wavelet is one by itself, which hands over; else the message alone."""
        whole = self.messages[message]
        if whole.far in (None, whole.source) or not whole.words:
            return [(message, 0, whole.words)]
        before = (self.wavelets(whole) - 1) * self.packing(whole)
        parts = [(self.part(message, 0, before), 0, before)] if before else []
        last = self.part(message, before, whole.words - before)
        self.messages[last] = self.messages[last]._replace(hands_over=True)
        return [*parts, (last, before, whole.words - before)]

    def multicast(self, source: int, low: int, high: int, words: int, kind: str = "line") -> int:
        """A message from one PE to all others in [low, high], both ways; of the grid, where ``kind`` is ``plane``."""
        self.messages.append(Message(source, low, high, words, False, multicast=kind))
        return len(self.messages) - 1

    def part(self, message: int, offset: int, words: int) -> int:
        """The elements of ``message`` from ``offset`` on, as something to take by itself."""
        whole = self.messages[message]
        self.messages.append(whole._replace(words=words, whole=message, offset=offset))
        return len(self.messages) - 1

    def step(self, pe: int, op: str, words: int, dst: Place | int, a: Place | int,
             b: Place | int | None = None) -> None:
        """One instruction; nothing where there are no words."""
        if words:
            self.steps.append(Step(pe, op, words, dst, a, b))

    def spend(self, pe: int, cycles: int) -> None:
        """Scalar code, such as the start of a further operation."""
        self.step(pe, "spend", cycles, ("tile", 0), ("tile", 0))

    # What follows from it.

    def span(self, route: tuple[int, int, int, str]) -> slice:
        """Places of the routers on a route."""
        _, low, high, kind = route
        straight = low // self.width == high // self.width or kind == "plane"
        return slice(low, high + 1, 1 if straight else self.width)

    def hops(self, message: Message, pe: int) -> int:
        """Links from the sender of ``message`` to ``pe``."""
        return self._apart(message.source, pe)

    def _apart(self, a: int, b: int) -> int:
        if self.width == self.length:
            return abs(a - b)
        (y0, x0), (y1, x1) = divmod(a, self.width), divmod(b, self.width)
        return abs(y1 - y0) + abs(x1 - x0)

    def links(self, message: Message) -> int:
        """Links that ``message`` goes over."""
        if message.multicast == "plane":
            return self.length - 1
        return self._apart(message.low, message.high)

    @cached_property
    def ports(self) -> list[tuple[int | None, int | None]]:
        """The message that each step takes in, and the one that it sends."""
        return [(step.takes, step.sends) for step in self.steps]

    @cached_property
    def meetings(self) -> Meetings:
        """Where its words may meet, or wait."""
        return Meetings(self)

    @cached_property
    def colors(self) -> list[int]:
        """Color of every message, counted from 0: the lowest that no other route has at a router on its way."""
        routes = sorted({message.route for message in self.messages},
                        key=lambda route: (route[3] != "", route[2] - route[1], route[0]))
        spans = [self.span(route) for route in routes]
        rows = np.array([(span.start, span.stop, span.step) for span in spans], np.int64).reshape(-1, 3)
        found = lowest_colors(rows, self.length).tolist()
        if -1 in found:
            raise BudgetError(f"a schedule on {self.length} PEs needs more than 64 colors: use another algorithm")
        color_of = dict(zip(routes, found, strict=True))
        return [color_of[message.route] for message in self.messages]

    @cached_property
    def input_queues(self) -> list[list[int]]:
        """Colors of the input queues of every PE."""
        return _queues(self, True)

    @cached_property
    def output_queues(self) -> list[list[int]]:
        """Colors of the output queues of every PE."""
        return _queues(self, False)

    @cached_property
    def turns_switches(self) -> bool:
        """Whether PEs take turns on a color."""
        return any(message.hands_over for message in self.messages)

    @property
    def color_count(self) -> int:
        """Colors it takes."""
        return max(self.colors, default=-1) + 1

    @cached_property
    def energy(self) -> int:
        """Link traversals on one path."""
        return sum(self.links(message) * self.wavelets(message) for message in self.messages
                   if message.whole is None)

    def packing(self, message: Message) -> int:
        """Elements in one wavelet of ``message``."""
        return self._packing[message.sums]

    @cached_property
    def _packing(self) -> tuple[int, int]:
        """Elements in one wavelet of a tile, and of sums."""
        return tile_packing(self.timing), 1 if self.wide else tile_packing(self.timing)

    def wavelets(self, message: Message) -> int:
        """Wavelets of ``message``."""
        return -(-message.words // self.packing(message))

    def instruction(self, op: str) -> str:
        """Vector instruction of a step."""
        return self.timing.instruction({"sum": "add", "round": "mov", "clear": "mov", "aside": "mov"}.get(op, op))

    def role(self, place: int) -> tuple:
        """Everything the PE at ``place`` does: PEs of the same role run the same program."""
        return self._roles[place]

    @cached_property
    def _roles(self) -> list[tuple]:
        roles: list[list] = [[] for _ in range(self.length)]
        for step in self.steps:
            roles[step.pe].append((step.op, step.words, *(self._operand(x) for x in (step.dst, step.a, step.b))))
        return [(tuple(steps), place) for steps, place in zip(map(tuple, roles), self.result, strict=True)]

    def _operand(self, operand: Place | int | None) -> tuple | None:
        if isinstance(operand, int):
            return self.colors[operand], self.messages[operand].sums, self.messages[operand].hands_over
        return operand

    @cached_property
    def clock_tables(self) -> tuple[np.ndarray, np.ndarray, LineCosts]:
        """What the timing kernel runs: steps, takes, and the costs they share."""
        return _ClockTables(self).build()

    @cached_property
    def value_tables(self) -> tuple[np.ndarray, int, int, np.ndarray]:
        """What the value kernel runs: moves, elements of a path's arena and of each PE, place of each result."""
        return _value_tables(self)


def multiply_cycles(timing: Timing, m: int, k: int, n: int) -> tuple[int, int]:
    """(compute, overhead) of one tile product: k loop bodies, each a map over n calls of a multiply-add of length m.

    Rounded up once: what a mapped call takes is a mean over many, not a whole number of cycles. Not less than its k
    instructions take on the core.
    """
    if not m * k * n:
        return 0, 0
    compute = ceil(k * n * m / timing.rate(timing.instruction("fma")))
    overhead = timing.exact("gemm_call") + k * (timing.exact("gemm_row") + n * timing.exact("gemm_map"))
    return compute, max(ceil(overhead), instruction_cycles(timing, m, k, n) - compute)


def instruction_cycles(timing: Timing, m: int, k: int, n: int) -> int:
    """Cycles of the k mapped multiply-adds of one tile product by themselves."""
    fma = timing.instruction("fma")
    return k * (timing.setup(fma) + n * timing.elements(fma, m))


class _ClockTables:
    """Rows of the timing kernel's tables: see Step and Take of ``src/timing/_timing.pyx``."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule, self.timing = schedule, schedule.timing
        self.pace, self.setup = cache(self.timing.step), cache(self.timing.setup)
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
                self.row(_WORK, step.pe, setup=step.words)
            elif step.op == "multiply":
                compute, overhead = multiply_cycles(timing, *schedule.product[:3])
                self.row(_WORK, step.pe, setup=overhead, words=compute)
            elif takes is None:
                name = schedule.instruction(step.op)
                self.row(_WORK, step.pe, setup=timing.setup(name), words=timing.elements(name, step.words))
            if sends is not None:
                self.split(sends)
        costs = LineCosts(call=0, setup_send=0, setup_add=0, setup_receive=0, stage=timing.stage, hop=timing.hop,
                          convert=0, words_send=0, words_add=0, paced_add=0, words_broadcast=0, words_receive=0,
                          paced_broadcast=0, sums=0, step_send=1, step_add=1, down=timing.ramp + timing.latency("input"),
                          link=timing.link, depths=timing.machine.core.input_queues.values, room=0)
        return (np.array(self.steps, np.int64).reshape(-1, 10), np.array(self.takes, np.int64).reshape(-1, 5), costs)

    def row(self, kind: int, pe: int, first: int = 0, count: int = 0, out: int = -1, setup: int = 0, words: int = 0,
            paced: int = 0, step: int = 1, wavelets: int = 0) -> None:
        self.steps.append((kind, pe, first, count, out, setup, words, paced, step, wavelets))

    def _sending_costs(self, op: str, words: int, packing: int, queue: int) -> tuple[int, int, int]:
        """Set-up, cycles to the last word, and pace of sending ``words`` elements."""
        name = self.schedule.instruction(op)
        pace = self.pace(name, packing)
        return self.setup(name), self.timing.sending(-(-words // packing), pace, queue), pace

    def _taking_costs(self, op: str, words: int, packing: int) -> tuple[int, int, int, int, int]:
        """Set-up, cycles to the last word, the same where words come from a core, pace, and wavelets of taking ``words``."""
        name, wavelets = self.schedule.instruction(op), -(-words // packing)
        pace, send = self.pace(name, packing), self.pace(self.timing.instruction("mov"), packing)
        return (self.setup(name), (wavelets - 1) * pace, self.timing.stream(wavelets, max(pace, send)), pace, wavelets)

    def send(self, step: Step) -> None:
        message = self.schedule.messages[step.sends]
        queue = self.outputs[step.pe].index(self.schedule.colors[step.sends])
        setup, words, pace = self.sending_costs(step.op, message.words, self.schedule.packing(message), queue)
        self.row(_SEND, step.pe, out=step.sends, setup=setup, words=words, step=pace)

    def take(self, group: list[Step]) -> None:
        last, first, schedule = group[-1], len(self.takes), self.schedule
        messages, colors, queues, sends = schedule.messages, schedule.colors, self.inputs[last.pe], last.sends
        packing = schedule.packing(messages[last.takes])
        for step in group:
            taken = step.takes
            color = colors[taken]
            self.takes.append((taken, schedule.hops(messages[taken], last.pe), self.depths[queues.index(color)], color,
                               -(-step.words // packing)))
        setup, words, paced, pace, wavelets = self.taking_costs(last.op, last.words, packing)
        self.row(_TAKE, last.pe, first, len(group), -1 if sends is None else sends, setup, words, paced, pace, wavelets)

    def split(self, sent: int) -> None:
        """Parts that are taken of a message sent, and the whole that is taken once its last part is sent."""
        whole = self.schedule.messages[sent].whole
        if whole in self.wholes and self.wholes[whole][-1] == sent:
            self.row(_JOIN, self.schedule.messages[sent].source, first=self.wholes[whole][0], count=sent, out=whole)
        for index in self.parts[sent]:
            message, packing = self.schedule.messages[index], self.schedule.packing(self.schedule.messages[index])
            end = message.offset + message.words
            to_end = end >= self.schedule.messages[sent].words
            self.row(_PART, message.source, first=sent, out=index, words=message.offset // packing,
                     paced=-1 if to_end else -(-end // packing) - 1)


def _queues(schedule: Schedule, takes: bool) -> list[list[int]]:
    """Colors of the input (or output) queues of every PE: in the order in which its program first uses them.

    Refused where a PE has too few.
    """
    bound: list[list[int]] = [[] for _ in range(schedule.length)]
    core = schedule.timing.machine.core
    there = len((core.input_queues if takes else core.output_queues).values)
    colors, port = schedule.colors, 0 if takes else 1
    for step, messages in zip(schedule.steps, schedule.ports, strict=True):
        message = messages[port]
        if message is not None and colors[message] not in bound[step.pe]:
            bound[step.pe].append(colors[message])
    for pe, colors in enumerate(bound):
        if len(colors) > there:
            raise BudgetError(f"the PE at place {pe} of {schedule.length} needs {len(colors)} {'input' if takes else 'output'} "
                              f"queues, a PE of {schedule.timing.machine.name} has {there}: use an algorithm with fewer "
                              "streams into one PE")
    return bound


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


def _value_tables(schedule: Schedule) -> tuple[np.ndarray, int, int, np.ndarray]:
    offsets, reserved = {}, 0
    for name, (words, _) in schedule.buffers.items():
        offsets[name] = reserved
        reserved += words
    at, slots = schedule.length * reserved, []
    for message in schedule.messages:
        if message.whole is None:
            slots.append(at)
            at += message.words
        else:
            slots.append(slots[message.whole] + message.offset)

    def address(pe: int, operand: Place | int | None) -> int:
        if isinstance(operand, int):
            return slots[operand]
        return 0 if operand is None else pe * reserved + offsets[operand[0]] + operand[1]

    moves = [(_MOVES[step.op], step.words, *(address(step.pe, x) for x in (step.dst, step.a, step.b)))
             for step in schedule.steps if step.op != "spend"]
    result = [-1 if place is None else offsets[place[0]] + place[1] for place in schedule.result]
    return np.array(moves, np.int64).reshape(-1, 5), at, reserved, np.array(result, np.int64)
