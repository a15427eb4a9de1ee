"""What all operations along lines of PEs share: geometry, checks, costs, values."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from wsekern.errors import InputError, raise_for_status
from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES, round_bf16, widen_bf16
from wsekern.ops._timing import LineCosts
from wsekern.ops._values import line_values
from wsekern.program import Mem

if TYPE_CHECKING:
    from wsekern.ops.engines.cycle import Emission
    from wsekern.ops.engines.flow import FlowEngine
    from wsekern.program import Layout

Axis = Literal["x", "y"]
MOST = 10_000_000
"""Elements, PEs or steps that any operation is asked for, at most."""


def group_begin(group: int, length: int, groups: int) -> int:
    """First PE of ``group`` on a line of ``length`` PEs in ``groups`` groups."""
    return group * length // groups


def group_root(group: int, length: int, groups: int) -> int:
    """Middle PE of ``group``, where its sum ends up."""
    begin = group_begin(group, length, groups)
    return begin + (group_begin(group + 1, length, groups) - begin) // 2


def segments(length: int, segment: int) -> list[tuple[int, int]]:
    """(begin, end) of every independent line on a line of ``length`` PEs; ``segment`` 0 is the whole line."""
    size = segment or length
    return [(begin, min(begin + size, length)) for begin in range(0, length, size)]


def segment_at(position: int, length: int, segment: int) -> tuple[int, int]:
    """(begin, end) of the independent line that the PE at ``position`` is in."""
    size = segment or length
    begin = position // size * size
    return begin, min(begin + size, length)


def check_line(words: int, axis: str, segment: int, **counts: int) -> None:
    """Refuse what no line operation accepts; ``counts`` are further numbers that must be at least one."""
    if axis not in ("x", "y"):
        raise InputError(f"axis is {axis!r}: expected 'x' or 'y'")
    if words < 0 or segment < 0:
        raise InputError(f"words is {words} and segment {segment}: expected numbers that are not negative")
    check_count("words", words)
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name} is {count}: expected at least 1")
        check_count(name, count)


def check_count(name: str, count: int) -> None:
    """Refuse numbers so far past what a PE holds that their cycles would not be worth waiting for."""
    if count > MOST:
        raise InputError(f"{name} is {count}: expected at most {MOST:,}, hundreds of times what a PE holds")


def check_tile(engine: "FlowEngine", tile: np.ndarray, *shape: int) -> np.ndarray:
    """``tile`` as a contiguous array (height, width, *shape) of the engine's dtype, or an error that says so."""
    return _check(engine, tile, engine.dtype, tile.shape == (engine.height, engine.width, *shape), str(shape))


def check_words(engine: "FlowEngine", tile: np.ndarray, words: int, dtype: str) -> np.ndarray:
    """``tile`` as a contiguous array (height, width, ...) with ``words`` elements of ``dtype`` on each PE."""
    fits = tile.shape[:2] == (engine.height, engine.width) and int(np.prod(tile.shape[2:])) == words
    return _check(engine, tile, dtype, fits, f"{words} elements")


def _check(engine: "FlowEngine", tile: np.ndarray, dtype: str, fits: bool, wanted: str) -> np.ndarray:
    expected = np.dtype(NUMPY_DTYPES[dtype])
    if not fits or tile.dtype != expected:
        raise InputError(f"a tile of shape {tile.shape} and type {tile.dtype}: expected {wanted} of {expected} on each "
                         f"PE, for {dtype} on {engine.width}x{engine.height} PEs (height first)")
    return np.ascontiguousarray(tile)


@dataclass(frozen=True)
class LineTraffic:
    """How the words of an operation travel: wavelets of the sum, and of the result."""

    sums: int
    results: int


def tile_packing(timing: Timing) -> int:
    """Elements of a tile in one wavelet: two of any 16-bit precision."""
    return 2 if timing.dtype == "fp16_fp32" else timing.packing


def traffic(timing: Timing, words: int) -> LineTraffic:
    """Wavelets of a running sum and of a result of ``words`` elements: a sum in fp16 with fp32 accumulation travels as
    fp32, one element a wavelet; everything else is packed as tightly as its dtype allows."""
    wide = timing.dtype == "fp16_fp32"
    return LineTraffic(timing.wavelets(words, 1) if wide else timing.wavelets(words),
                       timing.wavelets(words, tile_packing(timing)))


def line_costs(timing: Timing, words: int, call: str, op: str = "sum", stride: int = 1) -> LineCosts:
    """Whole-cycle constants of an operation on ``words`` elements over PEs that are ``stride`` links apart."""
    move, combine = timing.instruction("mov"), timing.instruction("add" if op == "sum" else "max")
    wide = timing.dtype == "fp16_fp32"
    wavelets = traffic(timing, words)
    sum_packing = 1 if wide else timing.packing
    result_packing = 2 if wide else timing.packing
    send, add = timing.step(move, sum_packing), timing.step(combine, sum_packing)
    receive = timing.step(move, result_packing)
    return LineCosts(
        call=timing.latency(call, timing.latency("call")),
        setup_send=timing.setup(move), setup_add=timing.setup(combine), setup_receive=timing.setup(move),
        stage=timing.stage, hop=stride * timing.hop, convert=timing.vector(move, words) if wide else 0,
        words_send=timing.sending(wavelets.sums, send),
        words_add=(wavelets.sums - 1) * add, paced_add=timing.stream(wavelets.sums, max(send, add)),
        words_broadcast=timing.sending(wavelets.results, receive), words_receive=(wavelets.results - 1) * receive,
        paced_broadcast=timing.stream(wavelets.results, receive),
        sums=wavelets.sums, step_send=send, step_add=add, down=timing.ramp + timing.latency("input"),
        link=timing.link, depths=timing.machine.core.input_queues.values, room=waiting_room(timing))


def waiting_room(timing: Timing) -> int:
    """Words that may wait for a core, in its shallowest queue and its router, without holding their sender back."""
    return min(timing.machine.core.input_queues.values) + int(timing.machine.fabric.buffer_depth)


def run_line(engine: "FlowEngine", kind: str, op: str, tile: np.ndarray, axis: str, segment: int, parameter: int,
             dtype: str) -> np.ndarray:
    """Values of a line operation for all PEs, in the kernel's threads."""
    if dtype == "u32" and kind != "broadcast":
        raise InputError(f"u32 words can be broadcast only, not taken through {kind}")
    out = np.empty_like(tile)
    if tile.size:
        length = tile.shape[0 if axis == "y" else 1]
        shape = (*tile.shape[:2], tile[0, 0].size)
        raise_for_status(line_values(kind, dtype, op, shape, axis, segment or length, parameter,
                                     tile.reshape(-1).view(np.uint8), out.reshape(-1).view(np.uint8), engine.threads))
    return out


def add_in(dtype: str, own: np.ndarray, incoming: np.ndarray, op: str) -> np.ndarray:
    """One add (or max) of the numerical contract, plain numpy: what one PE of a chain does to one vector.

    Arrays hold what travels: float32, float16 or bf16 in uint16.
    """
    if dtype == "bf16":
        return round_bf16(_combine(widen_bf16(own), widen_bf16(incoming), op))
    return _combine(own, incoming, op)


def _combine(own: np.ndarray, incoming: np.ndarray, op: str) -> np.ndarray:
    return own + incoming if op == "sum" else np.where(own > incoming, own, incoming)


def check_elements(what: str, shapes: Sequence[tuple[int, ...]], tiles: Sequence[np.ndarray]) -> None:
    """Refuse tiles that are not as many, or not of as many elements on a PE, as ``what`` takes: they would be computed in one
    size and timed in another."""
    if len(tiles) != len(shapes):
        raise InputError(f"{len(tiles)} tiles for {what}, which takes {len(shapes)}")
    for name, shape, tile in zip("abc", shapes, tiles, strict=False):
        if prod(tile.shape[2:]) != prod(shape):
            raise InputError(f"{name} has {prod(tile.shape[2:])} elements on a PE: {what} takes {prod(shape)}")


def travelling(dtype: str, tile: np.ndarray) -> np.ndarray:
    """A tile as it travels in a sum: fp16 with fp32 accumulation travels as fp32."""
    return tile.astype(np.float32) if dtype == "fp16_fp32" else tile


def chains(dtype: str, line: np.ndarray, root: int, op: str) -> np.ndarray:
    """Plain reference of two chains over ``line`` (PEs, words), what travels, meeting at ``root``."""
    total = line[root]
    for side in (range(0, root), range(len(line) - 1, root, -1)):
        running = None
        for k in side:
            running = line[k] if running is None else add_in(dtype, line[k], running, op)
        if running is not None:
            total = add_in(dtype, total, running, op)
    return total


def along(tile: np.ndarray, axis: str) -> np.ndarray:
    """View of a tile array (height, width, n) as (lines, PEs of a line, n)."""
    return tile.swapaxes(0, 1) if axis == "y" else tile


@dataclass(frozen=True)
class Stream:
    """Part of a PE in the chains of one level, as indices of colors: sums it takes, in order, and where it sends."""

    takes: tuple[int, ...] = ()
    sends: int | None = None


def stream_of(place: int, root: int, count: int, first: int) -> Stream:
    """Part of member ``place`` of ``count`` in two chains to ``root``; colors: first + (0, 1) up, + (2, 3) down."""
    up, down = first + (place - 1) % 2, first + 2 + (place + 1) % 2
    if place == root:
        return Stream((up,) * (place > 0) + (down,) * (place < count - 1))
    if place < root:
        return Stream((up,) * (place > 0), first + place % 2)
    return Stream((down,) * (place < count - 1), first + 2 + place % 2)


@dataclass(frozen=True)
class LinePainter:
    """Sets routes on all lines along ``axis``, or on ``lines`` of them from ``first`` on, by place on the line counted
    from ``begin``."""

    layout: "Layout"
    axis: Axis
    begin: int
    first: int = 0
    lines: int = 0

    @property
    def ports(self) -> tuple[str, str]:
        """Ports towards lower and towards higher places."""
        return ("W", "E") if self.axis == "x" else ("N", "S")

    def at(self, color: int, first: int, last: int, rx: str, *tx: str, then: str | None = None) -> None:
        """Route of ``color`` at places first to last, both included; nothing where there are none. ``then``: the port that
        words come in from once the switch is advanced."""
        if last < first:
            return
        first, last = first + self.begin, last + self.begin
        lines = self.lines or (self.layout.height if self.axis == "x" else self.layout.width)
        box = (first, self.first, last - first + 1, lines) if self.axis == "x" else (self.first, first, lines,
                                                                                     last - first + 1)
        self.layout.set_route(color, (rx,), tx, *box, then=then)

    def link(self, color: int, source: int, target: int) -> None:
        """From the core at ``source`` to the core at ``target``, through the routers between them."""
        low, high = self.ports if target > source else self.ports[::-1]
        step = 1 if target > source else -1
        self.at(color, source, source, "RAMP", high)
        first, last = sorted((source + step, target - step))
        if abs(target - source) > 1:
            self.at(color, first, last, low, high)
        self.at(color, target, target, low, "RAMP")

    def turns(self, color: int, senders: Sequence[int], target: int) -> None:
        """From the cores at ``senders``, all on one side, to the core at ``target``, in turns from near to far: the router of
        each but the farthest passes on what comes from beyond once its switch is advanced."""
        far = max(senders, key=lambda place: abs(place - target))
        self.link(color, far, target)
        near, beyond = self.ports if far > target else self.ports[::-1]
        for place in senders:
            if place != far:
                self.at(color, place, place, "RAMP", near, then=beyond)

    def chains(self, colors: Sequence[int], places: Sequence[int], root: int) -> None:
        """Chains over ``places`` from both ends to ``places[root]``; colors by direction and parity of the sender."""
        for k, place in enumerate(places):
            if k < root:
                self.link(colors[k % 2], place, places[k + 1])
            elif k > root:
                self.link(colors[2 + k % 2], place, places[k - 1])

    def multicast(self, color: int, root: int, begin: int, end: int) -> None:
        """From the core at ``root`` to all cores of [begin, end), both ways."""
        low, high = self.ports
        if end - begin < 2:
            return
        self.at(color, root, root, "RAMP", *([low] if root > begin else []), *([high] if root < end - 1 else []))
        self.at(color, root + 1, end - 2, low, "RAMP", high)
        self.at(color, begin + 1, root - 1, high, "RAMP", low)
        if root < end - 1:
            self.at(color, end - 1, end - 1, low, "RAMP")
        if root > begin:
            self.at(color, begin, begin, high, "RAMP")


class LineEmitter:
    """Writes the instructions of line operations into a PE program.

    ``held`` is the symbol with what the PE has so far: its tile, then its sum. Sums of fp16 tiles with fp32
    accumulation are held and travel as fp32; everything else in the type of the tile.
    """

    def __init__(self, out: "Emission", words: int, op: str, tile: str) -> None:
        self.out, self.words, self.tile, self.held = out, words, tile, tile
        self.wide = out.timing.dtype == "fp16_fp32"
        self.sum_type = "fp32" if self.wide else out.type
        self.move = out.timing.instruction("mov")
        self.add = out.timing.instruction("add" if op == "sum" else "max")

    def combine(self, stream: Any) -> None:
        """Add what the PE takes in to what it holds, in the stream where it passes the sum on."""
        program, n = self.out.program, self.words
        for index, color in enumerate(stream.takes):
            incoming = program.fabin(self.out.colors[color], n, self.sum_type)
            passes_on = stream.sends is not None and index == len(stream.takes) - 1
            if passes_on:
                program.emit(self.add, program.fabout(self.out.colors[stream.sends], n, self.sum_type),
                             Mem(self.held, n), incoming)
            else:
                target = program.memory("sum", "fp32", n) if self.wide else self.tile
                program.emit(self.add, Mem(target, n), Mem(self.held, n), incoming)
                self.held = target
        if stream.sends is not None and not stream.takes:
            program.emit(self.move, program.fabout(self.out.colors[stream.sends], n, self.sum_type), Mem(self.held, n))

    def finish(self) -> None:
        """Round what is held to the tile's type, into the tile."""
        if self.wide:
            self.out.program.emit(self.move, Mem(self.tile, self.words), Mem(self.held, self.words))
            self.held = self.tile

    def send(self, color: int) -> None:
        """Send the tile."""
        program = self.out.program
        program.emit(self.move, program.fabout(color, self.words, self.out.type), Mem(self.tile, self.words))

    def receive(self, color: int) -> None:
        """Receive the tile."""
        program = self.out.program
        program.emit(self.move, Mem(self.tile, self.words), program.fabin(color, self.words, self.out.type))
