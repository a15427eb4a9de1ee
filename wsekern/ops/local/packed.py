"""Products with matrices of 8 and 4 bits, which PEs unpack piece by piece into their number format, for all rows at once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops.local.arithmetic import load, store
from wsekern.ops.local.gemv import WIDE, multiply_reference
from wsekern.ops.local.instructions import Constant, Do, emit_work, work_cycles
from wsekern.ops.local.packing import Instruction, PackedLayout, packing, scale_steps, unpack
from wsekern.ops.local.shared import multiply
from wsekern.ops.operation import ELEMENT_TYPES, Clocks, Emission, LocalOperation, Shapes, check_count, check_operands
from wsekern.ops.repeated import Repeated
from wsekern.program import Mem, Mem4d
from wsekern.program.operands import TYPE_BYTES, ElementType

PACKED_PRECISIONS = ("fp16", "fp16_fp32", "bf16")
"""Number formats into which cores unpack."""


@dataclass(frozen=True)
class PackedProduct(LocalOperation):
    """Y (m, n) on every PE, nothing sent: X (m, parts * k) times matrices (k, n) of 8 or 4 bits that lie packed.

    Without ``own`` all rows of X take the same matrix. With ``own`` row i takes its own ``parts`` matrices, one below the
    other: the chosen experts of a token. Each matrix is unpacked piece by piece into a buffer, once for all rows that take it.
    The sum of a group of inputs goes on in fp32, in every number format, from what all of its elements have too much; times
    the group's scales it is added to Y, which is rounded once at the end. Cost: ``gemv_call`` and every instruction's set-up
    and elements.
    """

    m: int
    k: int
    n: int
    form: str
    parts: int = 1
    own: bool = False

    def __post_init__(self) -> None:
        packing(self.form)
        if min(self.m, self.k, self.n) < 0 or self.parts < 1:
            raise InputError(f"{self.parts} tiles of {self.m} x {self.k} x {self.n}: expected sizes that are not negative")
        if self.parts > 1 and not self.own:
            raise InputError("several matrices one below the other are those of a row of its own")
        for count in (self.m * self.k * self.parts, self.k * self.n * self.tiles_held, self.m * self.n):
            check_count("the elements of a tile", count)

    @property
    def layout(self) -> PackedLayout:
        """How one matrix lies."""
        return PackedLayout(packing(self.form), self.k, self.n)

    @property
    def tiles_held(self) -> int:
        """Matrices that it reads."""
        return self.m * self.parts if self.own else 1

    @property
    def several(self) -> bool:
        """Whether several sums, each with scales of its own, make up an element of Y."""
        return len(self.layout.groups) * self.parts > 1

    @property
    def _rows(self) -> int:
        """Rows of X that take a matrix once it is unpacked."""
        return 1 if self.own else self.m

    def __str__(self) -> str:
        return f"PackedProduct(m={self.m}, k={self.k * self.parts}, n={self.n}, {self.form})"

    # ---- clocks

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(compute, overhead) cycles of one PE."""
        return _cycles(self, timing)

    # ---- program

    def work(self, timing: Timing) -> Iterator[Do]:
        """Its vector instructions, in order."""
        if not self.m * self.k * self.n:
            return
        writer = _Writer(self, timing)
        for tile in range(self.tiles_held):
            yield from writer.tile(tile)
        if self.several:
            whole = self.m * self.n
            yield writer.do("mov", whole, Mem("result", whole), Mem("sums", whole))

    def emit(self, out: Emission, role: None) -> str:
        """The instructions of :meth:`work`; sums are zero when the program is loaded."""
        program, timing, layout = out.program, out.timing, self.layout
        result = program.memory(f"y.{out.serial}", out.type, self.m * self.n, 0)
        if not self.m * self.k * self.n:
            return result
        names = {"x": out.inputs[0], "words": out.inputs[1], "result": result}
        sizes: dict[str, tuple[ElementType, int]] = {
            "buffer": (out.type, layout.buffer), "part": ("fp32", self._rows * self.n), "sums": ("fp32", self.m * self.n),
            "zeros": ("fp32", self._rows), "lifted": ("fp32", len(layout.groups) * self.n),
            "scales": (out.type, 2 * layout.scale_words)}
        program.spend(timing.latency("gemv_call", timing.latency("call")))
        emit_work(out, self.work(timing), names, sizes)
        return result

    # ---- values

    def flow(self, engine: Clocks, x: np.ndarray, words: np.ndarray) -> np.ndarray:
        """x (height, width, m, parts * k), words (height, width, [m * parts,] words) -> (height, width, m, n)."""
        self.time(engine)
        return self.values(engine, Repeated.of(x), Repeated.of(words)).full()

    def values(self, engine: Clocks, *tiles: Repeated) -> Repeated:
        """Values alone: a product for each group of inputs, on all PEs at once."""
        x, words = tiles
        check_operands(self, self.tiles(), [tile.tiles for tile in tiles])
        check_unpacking(engine.precision)
        found = (self._own_values if self.own else self._shared_values)(engine, x, words)
        return Repeated.of(found)

    def _shared_values(self, engine: Clocks, x: Repeated, words: Repeated) -> np.ndarray:
        """Of one matrix for all rows."""
        given = np.ascontiguousarray(words.tiles).reshape(*words.tiles.shape[:2], self.layout.words)
        left = x.with_tiles(x.tiles.reshape(*x.tiles.shape[:2], self.m, self.k))
        return self._on_engine(engine, [(left, words.with_tiles(given))])

    def _own_values(self, engine: Clocks, x: Repeated, words: Repeated) -> np.ndarray:
        """Of matrices of each row: those of all rows as if on so many more columns of PEs."""
        shape, layout = (engine.height, engine.width * self.m), self.layout
        given = np.ascontiguousarray(words.full()).reshape(*shape, self.parts, layout.words)
        left = np.ascontiguousarray(x.full()).reshape(*shape, self.parts, 1, self.k)
        pairs = [(Repeated.of(np.ascontiguousarray(left[:, :, part])), Repeated.of(given[:, :, part]))
                 for part in range(self.parts)]
        return self._on_engine(engine, pairs)

    def _on_engine(self, engine: Clocks, pairs: list[tuple[Repeated, Repeated]]) -> np.ndarray:
        """The sum of ``pairs`` by the kernel of products."""
        return self._summed(engine.timing, engine.height, engine.width, pairs,
                            lambda *pair: multiply(*pair, "fp32", engine.threads).full())

    def _summed(self, timing: Timing, height: int, width: int,
                pairs: list[tuple[Repeated, Repeated]], product: Callable[[Repeated, Repeated], np.ndarray]) -> np.ndarray:
        """On every PE the sum over all ``pairs`` of rows (..., rows, k) and words (..., words), and over the groups of their
        inputs, of the ``product`` of a group times its scales. A product begins with the row's sum of zeros, times 1."""
        type, form, total = ELEMENT_TYPES[timing.precision], packing(self.form), None
        for left, words in pairs if self.m * self.k * self.n else ():
            elements, scales = unpack(form, type, words.tiles, self.k, self.n)
            factors = load(type, scales) * np.float32(2.0 ** form.lift(type))
            for group, (row, rows) in enumerate(self.layout.groups):
                x, w = (load(type, part) for part in (left.tiles[..., row:row + rows], elements[:, :, row:row + rows]))
                if form.zero(type):
                    x = np.concatenate([_zeros(x, form.zero(type)), x], axis=-1)
                    w = np.concatenate([np.ones_like(w[:, :, :1]), w], axis=2)
                factor = words.with_tiles(factors[:, :, group, None]).full()
                with np.errstate(all="ignore"):
                    part = product(left.with_tiles(x), words.with_tiles(w)) * factor
                    total = np.float32(0) + part if total is None and self.several else part if total is None else total + part
        return np.zeros((height, width, self.m, self.n), NUMPY_DTYPES[type]) if total is None else \
            store(type, total).reshape(height, width, self.m, self.n)

    def reference(self, x: np.ndarray, words: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        shape, rows = (x.shape[0], x.shape[1] * (self.m if self.own else 1)), 1 if self.own else self.m
        left, given = x.reshape(*shape, self.parts, rows, self.k), words.reshape(*shape, self.parts, self.layout.words)
        pairs = [(Repeated.of(left[:, :, part]), Repeated.of(given[:, :, part])) for part in range(self.parts)]
        return self._summed(timing, *x.shape[:2], pairs,
                            lambda *pair: multiply_reference(*(tile.full() for tile in pair), "fp32"))

    # ---- sizes

    def tiles(self) -> Shapes:
        """Shapes of X and of the words on each PE."""
        return (self.m, self.parts * self.k), (self.tiles_held, self.layout.words)

    def tile_types(self, type: ElementType) -> tuple[ElementType, ...]:
        """Words are integers."""
        return type, "u16"

    def result_shape(self, engine: Clocks, *tiles: np.ndarray) -> tuple[int, ...]:
        """Shape of the values."""
        return engine.height, engine.width, self.m, self.n

    def memory_bytes(self, engine: Clocks) -> int:
        """Bytes of the tiles, the result and the room that a PE holds."""
        size = np.dtype(NUMPY_DTYPES[engine.precision]).itemsize
        held = size * self.m * (self.parts * self.k + self.n) + 2 * self.tiles_held * self.layout.words
        return held + self.room_bytes(engine.precision)

    def room_bytes(self, precision: str) -> int:
        """Bytes beside X, the words and the result: what is unpacked at a time, scales, sums in fp32."""
        layout, type, form = self.layout, ELEMENT_TYPES[precision], packing(self.form)
        elements = layout.buffer + (2 * layout.scale_words if form.byte_scales else 0)
        sums = self._rows * (self.n + bool(form.zero(type))) + self.m * self.n * self.several
        return TYPE_BYTES[type] * elements + 4 * (sums + len(layout.groups) * self.n * bool(form.lift(type)))


class _Writer:
    """The instructions of a product in one number format."""

    def __init__(self, product: PackedProduct, timing: Timing) -> None:
        self.product, self.timing, self.layout = product, timing, product.layout
        self.type, self.form = ELEMENT_TYPES[timing.precision], packing(product.form)
        self.several = product.several
        check_unpacking(timing.precision)

    def do(self, operation: str, elements: int, *operands: Mem | Mem4d | Constant, repeat: int = 1,
           between: int = 0, precision: str = "fp32") -> Do:
        """An instruction by what it does, or by its name where it works on bits."""
        name = operation if operation.endswith("16") else self.timing.instruction(operation, precision)
        return Do(name, elements, operands, repeat, between)

    def tile(self, tile: int) -> Iterator[Do]:
        """All that is done with one matrix."""
        layout, start = self.layout, tile * self.layout.words
        yield from self.scales(start + layout.element_words)
        for group, rows in enumerate(layout.groups):
            yield from self.start(tile, group)
            for row, count in layout.pieces_of(*rows):
                words = layout.piece_words(count)
                for index, lane in enumerate(self.form.lanes(self.type)):
                    yield from self.steps(lane.steps, Mem("buffer", words, index * words), Mem("words", words, start))
                yield from self.sums(tile, row, count)
                start += words
            yield from self.scaled(tile, group)

    def scales(self, start: int) -> Iterator[Do]:
        """Scales, stored from word ``start`` on, as sums are multiplied by them."""
        layout, words = self.layout, self.layout.scale_words
        if self.form.byte_scales:
            for index, steps in enumerate(scale_steps(self.type)):
                yield from self.steps(steps, Mem("scales", words, index * words), Mem("words", words, start))
        elif lift := self.form.lift(self.type):
            count = len(layout.groups) * layout.n
            yield self.do("mul", count, Mem("lifted", count), Mem("words", count, start, type=self.type), (2.0**lift, "fp32"))

    def steps(self, steps: tuple[Instruction, ...], target: Mem, source: Mem) -> Iterator[Do]:
        """Instructions on the bits of ``source``, then on those of ``target``."""
        read, bits = source, replace(target, type="u16")
        for operation, constants in steps:
            if operation.endswith("16"):
                yield self.do(operation, target.extent, bits, read, (constants[0], "u16"))
            elif operation == "mul":
                yield self.do("mul", target.extent, target, target, (constants[0], self.type), precision=self.type)
            else:
                yield self.do("fma", target.extent, target, (constants[0], self.type), target, (constants[1], self.type),
                              precision=self.type)
            read = bits

    def start(self, tile: int, group: int) -> Iterator[Do]:
        """Sums of a group from what its elements have too much: the row's sum times that."""
        product, rows, (first, count) = self.product, self.product._rows, self.layout.groups[group]
        used, zero, whole = self.several or product.tiles_held > 1, self.form.zero(self.type), rows * product.n
        if not zero:
            if used:
                yield self.do("mov", whole, Mem("part", whole), (0.0, "fp32"))
            return
        if used:
            yield self.do("mov", rows, Mem("zeros", rows), (0.0, "fp32"))
        for row in range(rows):
            target = Mem("zeros", count, row, stride=0)
            x = Mem("x", count, (tile if product.own else row) * product.k + first)
            yield self.do("fma", count, target, target, x, (zero, self.type), precision=WIDE[0])
        yield self.do("mov", whole, Mem("part", whole), Mem4d("zeros", (rows, product.n), (1, 0)))

    def sums(self, tile: int, start: int, count: int) -> Iterator[Do]:
        """``count`` inputs from ``start`` on, which lie unpacked, times those of every row."""
        product, n, inner = self.product, self.product.n, self.product.k
        for row in range(product._rows):
            target = Mem("part", n, row * n)
            left = Mem("x", n, (tile if product.own else row) * inner + start, stride=0, advance=1)
            yield self.do("fma", n, target, target, left, Mem("buffer", n, advance=n), repeat=count,
                          between=self.timing.latency("map"), precision=WIDE[0])

    def scaled(self, tile: int, group: int) -> Iterator[Do]:
        """The sums of a group times its scales: the result, or added to what will be."""
        product, n, rows = self.product, self.product.n, self.product._rows
        whole, first = rows * n, tile // product.parts * n if product.own else 0
        if self.form.byte_scales or self.form.lift(self.type):
            scales = Mem4d("scales" if self.form.byte_scales else "lifted", (rows, n), (0, 1), group * n)
        else:
            start = tile * self.layout.words + self.layout.element_words
            scales = Mem4d("words", (rows, n), (0, 1), start + group * n, self.type)
        part, target = Mem("part", whole), Mem("sums" if self.several else "result", whole, first)
        yield self.do("mul", whole, part if self.several else target, part, scales)
        if self.several:
            yield self.do("add", whole, target, target, part)


@lru_cache(maxsize=4096)
def _cycles(product: PackedProduct, timing: Timing) -> tuple[int, int]:
    """(compute, overhead) cycles of one PE."""
    compute, overhead = work_cycles(product.work(timing), timing)
    return (compute, timing.latency("gemv_call", timing.latency("call")) + overhead) if compute else (0, 0)


def check_unpacking(precision: str) -> None:
    """Refuse number formats into which no core unpacks."""
    if precision not in PACKED_PRECISIONS:
        raise InputError(f"cores unpack weights into {', '.join(PACKED_PRECISIONS)}, not into {precision}")


def _zeros(x: np.ndarray, zero: float) -> np.ndarray:
    """Of rows (..., k) the sum of each times ``zero``, (..., 1): a chain of multiply-adds in fp32 from 0 on."""
    total = np.zeros((*x.shape[:-1], 1), np.float32)
    with np.errstate(all="ignore"):
        for element in range(x.shape[-1]):
            total += x[..., element:element + 1] * np.float32(zero)
    return total
