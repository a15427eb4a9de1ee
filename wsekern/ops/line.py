"""What all operations along lines of PEs share: geometry, checks, costs, values."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from wsekern._timing import LineCosts, line_values
from wsekern.errors import InputError, raise_for_status
from wsekern.ops.timing import Timing

if TYPE_CHECKING:
    from wsekern.ops.flow import FlowEngine

Axis = Literal["x", "y"]
NUMPY_DTYPES = {"fp32": np.float32, "fp16": np.float16, "fp16_fp32": np.float16, "bf16": np.uint16}


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


def check_line(words: int, axis: str, segment: int, **counts: int) -> None:
    """Refuse what no line operation accepts; ``counts`` are further numbers that must be at least one."""
    if axis not in ("x", "y"):
        raise InputError(f"axis is {axis!r}: expected 'x' or 'y'")
    if words < 0 or segment < 0:
        raise InputError(f"words is {words} and segment {segment}: expected numbers that are not negative")
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name} is {count}: expected at least 1")


def check_tile(engine: "FlowEngine", tile: np.ndarray, *shape: int) -> np.ndarray:
    """``tile`` as a contiguous array (height, width, *shape) of the engine's dtype, or an error that says so."""
    expected = (engine.height, engine.width, *shape)
    dtype = np.dtype(NUMPY_DTYPES[engine.dtype])
    if tile.shape != expected or tile.dtype != dtype:
        raise InputError(f"a tile of shape {tile.shape} and type {tile.dtype}: expected {expected} and {dtype} for "
                         f"{engine.dtype} on {engine.width}x{engine.height} PEs")
    return np.ascontiguousarray(tile)


@dataclass(frozen=True)
class LineTraffic:
    """How the words of an operation travel: wavelets of the sum, and of the result."""

    sums: int
    results: int


def traffic(timing: Timing, words: int) -> LineTraffic:
    """Wavelets of a running sum and of a result of ``words`` elements: a sum in fp16 with fp32 accumulation travels as
    fp32, one element a wavelet; everything else is packed as tightly as its dtype allows."""
    wide = timing.dtype == "fp16_fp32"
    return LineTraffic(timing.wavelets(words, 1) if wide else timing.wavelets(words),
                       timing.wavelets(words, 2) if wide else timing.wavelets(words))


def line_costs(timing: Timing, words: int, call: str, op: str = "sum") -> LineCosts:
    """Whole-cycle constants of a reduction, all-reduce or broadcast of ``words`` elements."""
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
        stage=timing.stage, hop=timing.hop, convert=timing.vector(move, words) if wide else 0,
        words_send=(wavelets.sums - 1) * send,
        words_add=(wavelets.sums - 1) * add, paced_add=timing.stream(wavelets.sums, max(send, add)),
        words_broadcast=(wavelets.results - 1) * receive,
        paced_broadcast=timing.stream(wavelets.results, receive))


def run_line(engine: "FlowEngine", kind: str, op: str, tile: np.ndarray, axis: str, segment: int,
             parameter: int) -> np.ndarray:
    """Values of a line operation for all PEs, in the kernel's threads."""
    out = np.empty_like(tile)
    if tile.size:
        length = engine.height if axis == "y" else engine.width
        raise_for_status(line_values(kind, engine.dtype, op, tile.shape, axis, segment or length, parameter,
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


def widen_bf16(words: np.ndarray) -> np.ndarray:
    """bf16 in uint16 as float32."""
    return (words.astype(np.uint32) << 16).view(np.float32)


def round_bf16(values: np.ndarray) -> np.ndarray:
    """float32 rounded to nearest even bf16 in uint16; finite values only need apply."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)


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
