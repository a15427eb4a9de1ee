"""Products with matrices of 8 and 4 bits, which PEs unpack piece by piece into their number format, for all rows at once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from wsekern.errors import InputError
from wsekern.formulas import largest, smallest
from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops.local.arithmetic import load, store
from wsekern.ops.local.gemv import multiply_reference
from wsekern.ops.local.instructions import Constant, Do, emit_work, work_cycles
from wsekern.ops.local.packing import PIECE, Instruction, PackedLayout, packing, scale_steps, unpack
from wsekern.ops.local.product import LONGEST, WIDE
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
    Matrices of rows of their own lie anywhere: as many as fit the buffer are moved together first, and instructions take a
    piece of all of them.
    The sum of a group of inputs goes on in fp32, in every number format, from what all of its elements have too much; times
    the group's scales it is added to Y, which is rounded once at the end. With ``together`` one instruction takes all inputs of
    a piece of all rows and matrices that are unpacked, where no sum has to be waited for: the same chain of sums for every
    element. Cost: ``gemv_call`` and every instruction's set-up and elements.
    """

    m: int
    k: int
    n: int
    form: str
    parts: int = 1
    own: bool = False
    together: bool = field(default=False, repr=False)

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
    def held(self) -> int:
        """Matrices that are unpacked together; one where sums of several groups and matrices add up in a given order."""
        if not self.own or (self.parts > 1 and len(self.layout.groups) > 1):
            return 1
        return smallest(self.tiles_held, largest(1, PIECE // largest(1, self.layout.buffer)))

    @property
    def moved(self) -> bool:
        """Whether matrices are moved together before."""
        return self.held > 1

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
        for tile in range(0, self.tiles_held, self.held):
            yield from writer.tiles(tile, min(self.held, self.tiles_held - tile))
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
        held, groups = self.held, len(layout.groups)
        sizes: dict[str, tuple[ElementType, int]] = {
            "buffer": (out.type, held * layout.buffer), "part": ("fp32", held * self._rows * self.n),
            "sums": ("fp32", self.m * self.n), "zeros": ("fp32", held * self._rows),
            "lifted": ("fp32", held * groups * self.n), "scales": (out.type, 2 * held * layout.scale_words),
            "moved": ("u16", held * layout.words)}
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
        layout, type, form, held = self.layout, ELEMENT_TYPES[precision], packing(self.form), self.held
        elements = layout.buffer + (2 * layout.scale_words if form.byte_scales else 0) + self.moved * layout.words
        lifted = len(layout.groups) * self.n * bool(form.lift(type))
        sums = self._rows * (self.n + bool(form.zero(type))) + lifted
        return held * (TYPE_BYTES[type] * elements + 4 * sums) + 4 * self.m * self.n * self.several


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

    def tiles(self, tile: int, count: int) -> Iterator[Do]:
        """All that is done with ``count`` matrices from ``tile`` on."""
        layout, symbol, start = self.layout, "words", tile * self.layout.words
        if self.product.moved:
            for index in range(count):
                there = Mem("moved", layout.words, index * layout.words)
                yield self.do("mov16", layout.words, there, Mem("words", layout.words, start + index * layout.words))
            symbol, start = "moved", 0
        yield from self.scales(symbol, start + layout.element_words, count)
        for group, rows in enumerate(layout.groups):
            yield from self.start(tile, count, group)
            for row, inputs in layout.pieces_of(*rows):
                words = layout.piece_words(inputs)
                yield from self.unpacked(count, words, self.of_each(symbol, count, words, layout.words, start))
                yield from self.sums(tile, count, row, inputs)
                start += words
            yield from self.scaled(tile, count, group, symbol)

    @staticmethod
    def of_each(symbol: str, count: int, size: int, stride: int, start: int, type: ElementType | None = None) -> Mem | Mem4d:
        """``size`` elements of each of ``count`` matrices that lie ``stride`` apart."""
        if count == 1 or size == stride:
            return Mem(symbol, count * size, start, type=type)
        return Mem4d(symbol, (count, size), (stride, 1), start, type)

    def unpacked(self, count: int, words: int, source: Mem | Mem4d) -> Iterator[Do]:
        """Elements of a piece of each matrix: the steps of each lane, then those with which all lanes end alike at once."""
        lanes = [lane.steps for lane in self.form.lanes(self.type)]
        alike = 0
        while all(len(steps) > alike + 1 for steps in lanes) and len({steps[-1 - alike] for steps in lanes}) == 1:
            alike += 1
        whole = len(lanes) * words
        for index, steps in enumerate(lanes):
            target = self.of_each("buffer", count, words, whole, index * words)
            yield from self.steps(steps[:len(steps) - alike], target, source)
        every = Mem("buffer", count * whole)
        yield from self.steps(lanes[0][len(lanes[0]) - alike:], every, every)

    def scales(self, symbol: str, start: int, count: int) -> Iterator[Do]:
        """Scales of ``count`` matrices, stored from word ``start`` of each on, as sums are multiplied by them."""
        layout, words = self.layout, self.layout.scale_words
        if self.form.byte_scales:
            source = self.of_each(symbol, count, words, layout.words, start)
            for index, steps in enumerate(scale_steps(self.type)):
                yield from self.steps(steps, self.of_each("scales", count, words, 2 * words, index * words), source)
        elif lift := self.form.lift(self.type):
            each = len(layout.groups) * layout.n
            yield self.do("mul", count * each, Mem("lifted", count * each),
                          self.of_each(symbol, count, each, layout.words, start, self.type), (2.0**lift, "fp32"))

    def steps(self, steps: tuple[Instruction, ...], target: Mem | Mem4d, source: Mem | Mem4d) -> Iterator[Do]:
        """Instructions on the bits of ``source``, then on those of ``target``."""
        read, bits = source, replace(target, type="u16")
        for operation, constants in steps:
            if operation.endswith("16"):
                yield self.do(operation, target.extent, bits, replace(read, type="u16"), (constants[0], "u16"))
            elif operation == "mul":
                yield self.do("mul", target.extent, target, target, (constants[0], self.type), precision=self.type)
            else:
                yield self.do("fma", target.extent, target, (constants[0], self.type), target, (constants[1], self.type),
                              precision=self.type)
            read = bits

    def start(self, tile: int, count: int, group: int) -> Iterator[Do]:
        """Sums of a group of each matrix from what its elements have too much: the row's sum times that."""
        product, (first, inputs) = self.product, self.layout.groups[group]
        rows, zero = count * product._rows, self.form.zero(self.type)
        used, whole = self.several or product.tiles_held > product.held, rows * product.n
        if not zero:
            if used:
                yield self.cleared("part", whole)
            return
        if used:
            yield self.cleared("zeros", rows)
        for row in range(rows):
            target = Mem("zeros", inputs, row, stride=0)
            x = Mem("x", inputs, (tile + row if product.own else row) * product.k + first)
            yield self.do("fma", inputs, target, target, x, (zero, self.type), precision=WIDE[0])
        yield self.do("mov", whole, Mem("part", whole), Mem4d("zeros", (rows, product.n), (1, 0)))

    def cleared(self, symbol: str, count: int) -> Do:
        """So many fp32 zeros, or twice as many halves, whichever is quicker."""
        halves = self.do("mov16", 2 * count, Mem(symbol, 2 * count, type="u16"), (0, "u16"))
        numbers = self.do("mov", count, Mem(symbol, count), (0.0, "fp32"))
        return min(numbers, halves, key=lambda one: self.timing.vector(one.instruction, one.elements))

    def sums(self, tile: int, count: int, start: int, inputs: int) -> Iterator[Do]:
        """``inputs`` inputs from ``start`` on of ``count`` matrices from ``tile`` on, which lie unpacked, times those of every
        row."""
        product, n, inner = self.product, self.product.n, self.product.k
        rows, unpacked = product._rows, self.layout.lanes * self.layout.piece_words(inputs)
        every, first = count * rows, (tile if product.own else 0) * inner + start
        if self.follow("fma", every * n, WIDE[0]) and every * inputs * n <= LONGEST:
            shape = inputs, every, n
            target = Mem4d("part", shape, (0, n, 1))
            yield self.do("fma", every * inputs * n, target, target, Mem4d("x", shape, (1, inner, 0), first),
                          Mem4d("buffer", shape, (n, unpacked if product.own else 0, 1)), precision=WIDE[0])
            return
        for row in range(every):
            target, begin = Mem("part", n, row * n), row * unpacked if product.own else 0
            left = Mem("x", n, first + row * inner, stride=0, advance=1)
            yield self.do("fma", n, target, target, left, Mem("buffer", n, begin, advance=n), repeat=inputs,
                          between=self.timing.latency("map"), precision=WIDE[0])

    def follow(self, operation: str, elements: int, precision: str = "fp32") -> bool:
        """Whether instructions are taken together that add to sums of so many elements."""
        return self.product.together and self.timing.follows(self.timing.instruction(operation, precision), elements)

    def scaled(self, tile: int, count: int, group: int, symbol: str) -> Iterator[Do]:
        """The sums of a group of each matrix times its scales: the result, or added to what will be."""
        product, layout, n = self.product, self.layout, self.product.n
        rows, groups = count * product._rows, len(layout.groups)
        whole = rows * n
        if self.form.byte_scales or self.form.lift(self.type):
            name, stride, first = "lifted", groups * n, group * n
            if self.form.byte_scales:
                name, stride = "scales", 2 * layout.scale_words
            scales = Mem4d(name, (rows, n), (stride if product.own else 0, 1), first)
        else:
            first = (0 if product.moved else tile * layout.words) + layout.element_words + group * n
            scales = Mem4d(symbol, (rows, n), (layout.words if product.own else 0, 1), first, self.type)
        part, first = Mem("part", whole), tile // product.parts * n if product.own else 0
        yield self.do("mul", whole, part if self.several else Mem("result", whole, first), part, scales)
        if self.several:
            yield from self.added(tile, count, whole)

    def added(self, tile: int, count: int, whole: int) -> Iterator[Do]:
        """The scaled sums of ``count`` matrices, of ``whole`` elements in all, added to the rows that they belong to."""
        n, parts, own = self.product.n, self.product.parts, self.product.own
        if parts == 1:
            target = Mem("sums", whole, tile * n if own else 0)
            yield self.do("add", whole, target, target, Mem("part", whole))
            return
        together = self.follow("add", n)
        index = 0
        while index < count:
            row = (tile + index) // parts
            these = min(count - index, (row + 1) * parts - tile - index) if together else 1
            target = Mem("sums", n, row * n) if these == 1 else Mem4d("sums", (these, n), (0, 1), row * n)
            yield self.do("add", these * n, target, target, Mem("part", these * n, index * n))
            index += these


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
