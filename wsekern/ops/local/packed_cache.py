"""A cache of 8 bits: floats to fp8 when they are kept, and the products of attention with what is kept.

An element is e4m3 without a scale, as caches of servers mostly are. A word holds two features of a position, one of each half
of those that a PE keeps. Products unpack some positions at a time; of a sum of elements times 2^-8 the factor is put right in
the last instruction.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops.local.arithmetic import load, store
from wsekern.ops.local.gemv import multiply_reference
from wsekern.ops.local.instructions import Constant, Do, emit_work, work_cycles
from wsekern.ops.local.packed import check_unpacking
from wsekern.ops.local.packing import PIECE, packing, unpack_lane
from wsekern.ops.local.product import WIDE
from wsekern.ops.local.shared import multiply
from wsekern.ops.operation import ELEMENT_TYPES, Clocks, Emission, LocalOperation, Shapes, check_count, check_operands
from wsekern.ops.repeated import Repeated
from wsekern.program import Mem, Mem4d
from wsekern.program.operands import TYPE_BYTES, ElementType

_FP8 = packing("fp8")
_DOWN: dict[str, float] = {"fp16": 2.0**-8, "bf16": 2.0**-120}
"""What a float is multiplied by so that its exponent has the bits of e4m3."""
_LOW: dict[str, int] = {"fp16": 7, "bf16": 4}
"""Lowest bit of e4m3 there."""


def _features(features: int) -> int:
    """Half of them."""
    if features % 2:
        raise InputError(f"{features} features of a head on a PE: expected an even number, two of which make a word")
    return features // 2


@dataclass(frozen=True)
class PackCache(LocalOperation):
    """``rows`` rows of ``features`` floats as words (rows, features / 2) of fp8: to the nearest, ties to even, at most 448.

    Eleven vector instructions on all elements (bf16: 13), two on half of them. What lies below 2^-6 is rounded twice, first to
    seven bits more (bf16: four): 40 of all floats of 16 bits, next to a tie, become the neighbor. What is no number becomes
    448.
    """

    rows: int
    features: int

    def __post_init__(self) -> None:
        check_count("the elements of a tile", self.rows * self.features)
        _features(self.features)

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(compute, overhead) cycles of one PE."""
        compute, overhead = work_cycles(self.work(timing), timing)
        return (compute, timing.latency("local_call", timing.latency("call")) + overhead) if compute else (0, 0)

    def work(self, timing: Timing) -> Iterator[Do]:
        """Its instructions: down, to 448 on both sides, the nearest with three bits of fraction, up, two to a word."""
        check_unpacking(timing.precision)
        type, whole, half = ELEMENT_TYPES[timing.precision], self.rows * self.features, self.features // 2
        if not whole:
            return
        value, low, x = Mem("value", whole), _LOW[type], Mem("x", whole)
        most: Constant = (-448 * _DOWN[type], type)
        for operation, sources in (("mul", (x, (-_DOWN[type], type))), ("max", (value, most)), ("neg", (value,)),
                                   ("max", (value, most))):
            yield Do(timing.instruction(operation, type), whole, (value, *sources))
        bits, rest = replace(value, type="u16"), Mem("rest", whole)
        magnitude = 0x7F << low
        for operation, target, source, other in (
                ("slr16", rest, bits, low), ("and16", rest, rest, 1), ("add16", bits, bits, rest),
                ("add16", bits, bits, (1 << low - 1) - 1), ("and16", bits, bits, 0x8000 | magnitude),
                ("and16", rest, bits, magnitude), *_up(bits, rest, low)):
            yield Do(operation, whole, (target, source, (other, "u16") if isinstance(other, int) else other))
        words = Mem("result", self.rows * half)
        first, second = (Mem4d("value", (self.rows, half), (self.features, 1), start, "u16") for start in (0, half))
        yield Do("slr16", words.extent, (words, second, (8, "u16")))
        yield Do("or16", words.extent, (words, words, first))

    def emit(self, out: Emission, role: None) -> str:
        """The instructions of :meth:`work`."""
        whole, program = self.rows * self.features, out.program
        result = program.memory(f"words.{out.serial}", "u16", whole // 2, 0)
        if whole:
            program.spend(out.timing.latency("local_call", out.timing.latency("call")))
            sizes: dict[str, tuple[ElementType, int]] = {"value": (out.type, whole), "rest": ("u16", whole)}
            emit_work(out, self.work(out.timing), {"x": out.inputs[0], "result": result}, sizes)
        return result

    def flow(self, engine: Clocks, x: np.ndarray) -> np.ndarray:
        """x (height, width, ..., features) -> words (height, width, rows, features / 2), uint16."""
        self.time(engine)
        return self.values(engine, Repeated.of(x)).full()

    def values(self, engine: Clocks, *tiles: Repeated) -> Repeated:
        """Values alone, once for PEs that hold the same."""
        check_operands(self, self.tiles(), [tile.tiles for tile in tiles])
        return tiles[0].with_tiles(self.reference(tiles[0].tiles, engine.timing))

    def reference(self, x: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy, bit for bit."""
        type = ELEMENT_TYPES[timing.precision]
        codes = _codes(type)[np.ascontiguousarray(x).view(np.uint16)].reshape(*x.shape[:2], self.rows, 2, self.features // 2)
        return codes[..., 0, :] << np.uint16(8) | codes[..., 1, :]

    def tiles(self) -> Shapes:
        """Shape of the floats."""
        return ((self.rows, self.features),)

    def result_shape(self, engine: Clocks, *tiles: np.ndarray) -> tuple[int, ...]:
        """Shape of the words."""
        return engine.height, engine.width, self.rows, self.features // 2

    def memory_bytes(self, engine: Clocks) -> int:
        """Bytes of floats, words, and the room for two vectors."""
        return 7 * self.rows * self.features


def _up(bits: Mem, rest: Mem, low: int) -> list[tuple[str, Mem, Mem, Mem | int]]:
    """Magnitudes, which lie alone in ``rest`` and with their sign in ``bits``, to just below the sign."""
    if low == 7:
        return [("add16", bits, bits, rest)]
    return [("sub16", bits, bits, rest), ("sll16", rest, rest, 8 - low), ("or16", bits, bits, rest)]


@lru_cache(maxsize=4)
def _codes(type: ElementType) -> np.ndarray:
    """The code of every float of 16 bits."""
    every = np.arange(1 << 16, dtype=np.uint16).view(NUMPY_DTYPES[type])
    most, low = np.float32(-448 * _DOWN[type]), _LOW[type]
    with np.errstate(all="ignore"):
        value = load(type, store(type, load(type, every) * np.float32(-_DOWN[type])))
        value = np.where(value > most, value, most)
        value = np.where(-value > most, -value, most)
    bits = store(type, value).view(np.uint16)
    bits = bits + (bits >> np.uint16(low) & np.uint16(1)) + np.uint16((1 << low - 1) - 1)
    return bits >> np.uint16(low) & np.uint16(0x7F) | (bits >> np.uint16(8) & np.uint16(0x80))


@dataclass(frozen=True)
class CacheProduct(LocalOperation):
    """Y = X K^T or X V on every PE with what is kept as fp8: m rows of X, ``positions`` positions of ``features`` features.

    Scores (``transposed``): X (m, features), Y (m, positions). Values: X (m, positions), Y (m, features). In the order of adds
    of :class:`Gemm`, times 2^8 in the last instruction. Cost: ``gemv_call`` and every instruction's set-up and elements.
    """

    m: int
    positions: int
    features: int
    transposed: bool = False

    def __post_init__(self) -> None:
        _features(self.features)
        check_count("the elements of a tile", self.m * max(self.positions, self.features) + self.positions * self.features)

    @property
    def _inner(self) -> int:
        return self.features if self.transposed else self.positions

    @property
    def _outer(self) -> int:
        return self.positions if self.transposed else self.features

    def _pieces(self) -> list[tuple[int, int]]:
        """First position and positions of each piece."""
        count = -(-self.positions // max(1, PIECE // max(1, self.features)))
        edges = [self.positions * index // count for index in range(count + 1)] if count else [0]
        return [(start, end - start) for start, end in pairwise(edges)]

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(compute, overhead) cycles of one PE."""
        compute, overhead = work_cycles(self.work(timing), timing)
        return (compute, timing.latency("gemv_call", timing.latency("call")) + overhead) if compute else (0, 0)

    def work(self, timing: Timing) -> Iterator[Do]:
        """Its instructions, in order."""
        check_unpacking(timing.precision)
        if not self.m * self.positions * self.features:
            return
        for start, count in self._pieces():
            yield from self._unpacked(timing, start, count)
            for row in range(self.m):
                yield self._row(timing, row, start, count)
        whole, wide = self.m * self._outer, timing.precision in WIDE
        factor: Constant = (2.0**8, "fp32" if wide else ELEMENT_TYPES[timing.precision])
        yield Do(timing.instruction("mul", factor[1]), whole, (Mem("result", whole), Mem("sums", whole), factor))

    def _unpacked(self, timing: Timing, start: int, count: int) -> Iterator[Do]:
        """Positions as a product goes through them: one behind the other, of scores feature by feature."""
        type, half = ELEMENT_TYPES[timing.precision], self.features // 2
        source = Mem("words", count * half, start * half)
        for index, lane in enumerate(_FP8.lanes(type)):
            strides, offset = ((1, count), index * half * count) if self.transposed else ((self.features, 1), index * half)
            target, read = Mem4d("buffer", (count, half), strides, offset), source
            bits = replace(target, type="u16")
            for operation, constants in lane.steps:
                if operation.endswith("16"):
                    yield Do(operation, source.extent, (bits, read, (constants[0], "u16")))
                else:
                    yield Do(timing.instruction(operation, type), source.extent, (target, target, (constants[0], type)))
                read = bits

    def _row(self, timing: Timing, row: int, start: int, count: int) -> Do:
        """A row of X times a piece of positions."""
        n, repeat, first = (count, self.features, start) if self.transposed else (self.features, count, 0)
        target = Mem("sums", n, row * self._outer + first)
        left = Mem("x", n, row * self._inner + (0 if self.transposed else start), stride=0, advance=1)
        return Do(timing.instruction("fma"), n, (target, target, left, Mem("buffer", n, advance=n)), repeat,
                  timing.latency("map"))

    def emit(self, out: Emission, role: None) -> str:
        """The instructions of :meth:`work`; sums are zero when the program is loaded."""
        whole, program = self.m * self._outer, out.program
        result = program.memory(f"y.{out.serial}", out.type, whole, 0)
        if whole * self._inner:
            program.spend(out.timing.latency("gemv_call", out.timing.latency("call")))
            most = max(count for _, count in self._pieces())
            sizes: dict[str, tuple[ElementType, int]] = {
                "buffer": (out.type, most * self.features),
                "sums": ("fp32" if out.timing.precision in WIDE else out.type, whole)}
            names = {"x": out.inputs[0], "words": out.inputs[1], "result": result}
            emit_work(out, self.work(out.timing), names, sizes)
        return result

    def flow(self, engine: Clocks, x: np.ndarray, words: np.ndarray) -> np.ndarray:
        """x (height, width, m, inner), words (height, width, positions, features / 2) -> (height, width, m, outer)."""
        self.time(engine)
        return self.values(engine, Repeated.of(x), Repeated.of(words)).full()

    def values(self, engine: Clocks, *tiles: Repeated) -> Repeated:
        """Values alone."""
        x, words = tiles
        check_operands(self, self.tiles(), [tile.tiles for tile in tiles])
        left = x.with_tiles(x.tiles.reshape(*x.tiles.shape[:2], self.m, self._inner))
        return Repeated.of(self._scaled(engine.timing, left, words, lambda *pair: multiply(*pair, engine.threads).full()))

    def reference(self, x: np.ndarray, words: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        left, right = x.reshape(*x.shape[:2], self.m, self._inner), Repeated.of(words)
        return self._scaled(timing, Repeated.of(left), right,
                            lambda a, b, precision: multiply_reference(a.full(), b.full(), precision))

    def _scaled(self, timing: Timing, left: Repeated, words: Repeated,
                product: Callable[[Repeated, Repeated, str], np.ndarray]) -> np.ndarray:
        """The ``product`` of rows and unpacked elements, times 2^8."""
        type, wide = ELEMENT_TYPES[timing.precision], timing.precision in WIDE
        given = words.tiles.reshape(*words.tiles.shape[:2], self.positions, self.features // 2)
        elements = np.concatenate([unpack_lane(_FP8, type, lane, given) for lane in (0, 1)], axis=-1)
        right = words.with_tiles(elements.swapaxes(2, 3) if self.transposed else elements)
        if wide:
            left, right = (tile.with_tiles(load(type, tile.tiles)) for tile in (left, right))
        sums = product(left, right, "fp32" if wide else timing.precision)
        with np.errstate(all="ignore"):
            return store(type, load("fp32" if wide else type, sums) * np.float32(2.0**8))

    def tiles(self) -> Shapes:
        """Shapes of X and of the words on each PE."""
        return (self.m, self._inner), (self.positions, self.features // 2)

    def tile_types(self, type: ElementType) -> tuple[ElementType, ...]:
        """Words are integers."""
        return type, "u16"

    def result_shape(self, engine: Clocks, *tiles: np.ndarray) -> tuple[int, ...]:
        """Shape of the values."""
        return engine.height, engine.width, self.m, self._outer

    def room_bytes(self, precision: str) -> int:
        """Bytes beside X, the words and the result: what is unpacked at a time, and sums."""
        size = TYPE_BYTES[ELEMENT_TYPES[precision]]
        most = max((count for _, count in self._pieces()), default=0)
        return size * most * self.features + (4 if precision in WIDE else size) * self.m * self._outer

    def memory_bytes(self, engine: Clocks) -> int:
        """Bytes of the tiles, the result and the room that a PE holds."""
        size = TYPE_BYTES[ELEMENT_TYPES[engine.precision]]
        return size * self.m * (self._inner + self._outer) + self.positions * self.features + self.room_bytes(engine.precision)
