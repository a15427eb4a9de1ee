"""Products with matrices of 8 and 4 bits, which every PE unpacks piece by piece into its number format, for all rows at once."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops.local.arithmetic import fma, load, store
from wsekern.ops.local.gemv import WIDE, multiply_reference
from wsekern.ops.local.packing import Instruction, PackedLayout, packing, scale_steps, unpack
from wsekern.ops.local.shared import multiply
from wsekern.ops.operation import ELEMENT_TYPES, Clocks, Emission, LocalOperation, Shapes, check_count, check_operands
from wsekern.ops.repeated import Repeated
from wsekern.program import Mem, Mem4d
from wsekern.program.operands import TYPE_BYTES, ElementType
from wsekern.tiles import fma as fma_tiles

PACKED_PRECISIONS = ("fp16", "fp16_fp32", "bf16")
"""Number formats into which cores unpack."""


@dataclass(frozen=True)
class _Do:
    """One vector instruction; an operand's symbol is a word that :meth:`PackedProduct.emit` gives a name."""

    instruction: str
    elements: int
    operands: tuple[Mem | Mem4d | tuple[float, str], ...]
    """Target, then sources; a constant is a number and its type."""
    repeat: int = 1
    between: int = 0


@dataclass(frozen=True)
class PackedProduct(LocalOperation):
    """Y (m, n) on every PE, nothing sent: X (m, parts * k) times matrices (k, n) of 8 or 4 bits that lie packed.

    Without ``own`` all rows of X take the same matrix. With ``own`` row i takes its own ``parts`` matrices, one below the other:
    the chosen experts of a token. Each matrix is unpacked piece by piece into a buffer, once for all rows that take it; the
    sum of a group of inputs, a Gemv, is multiplied by the group's scales and added to Y. Sums, scales and Y as the number
    format adds: fp16, or fp32 rounded once at the end. Cost: ``gemv_call`` and every instruction's set-up and elements.
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

    def work(self, timing: Timing) -> Iterator[_Do]:
        """Its vector instructions, in order."""
        if not self.m * self.k * self.n:
            return
        writer = _Writer(self, timing)
        for tile in range(self.tiles_held):
            yield from writer.tile(tile)
        if writer.wide and writer.summed:
            whole = self.m * self.n
            yield writer.do("mov", whole, Mem("result", whole), Mem("y32", whole), precision="fp32")

    def emit(self, out: Emission, role: None) -> str:
        """The instructions of :meth:`work`; sums are zero when the program is loaded."""
        program, timing, serial, layout = out.program, out.timing, out.serial, self.layout
        sums: ElementType = "fp32" if timing.precision in WIDE else out.type
        result = program.memory(f"y.{serial}", out.type, self.m * self.n, 0)
        if not self.m * self.k * self.n:
            return result
        names = {"x": out.inputs[0], "words": out.inputs[1], "result": result}
        sizes = {"buffer": (out.type, layout.buffer), "scales": (out.type, 2 * layout.scale_words),
                 "part": (sums, self._rows * self.n), "y32": ("fp32", self.m * self.n)}
        program.spend(timing.latency("gemv_call", timing.latency("call")))
        for item in self.work(timing):
            operands = []
            for operand in item.operands:
                if isinstance(operand, tuple):
                    number, type = operand
                    kept = np.uint16(number) if type == "u16" else store(type, np.full(1, number, np.float32))
                    operands.append(Mem(program.memory(f"{number}.{type}.{serial}", type, 1, kept), 1, 0, 0))
                    continue
                if operand.symbol not in names:
                    type, elements = sizes[operand.symbol]
                    names[operand.symbol] = program.memory(f"{operand.symbol}.{serial}", type, elements, 0)
                operands.append(replace(operand, symbol=names[operand.symbol]))
            program.emit(item.instruction, *operands, repeat=item.repeat, between=item.between)
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
        _check_precision(engine.precision)
        if self.own:
            found = self._own_values(engine, x, words)
        else:
            found = self._shared_values(engine, x, words)
        return Repeated.of(found)

    def _shared_values(self, engine: Clocks, x: Repeated, words: Repeated) -> np.ndarray:
        """Of one matrix for all rows."""
        type, wide = ELEMENT_TYPES[engine.precision], engine.precision in WIDE
        form, shape = packing(self.form), (*words.tiles.shape[:2], -1)
        elements, scales = unpack(form, type, np.ascontiguousarray(words.tiles).reshape(shape), self.k, self.n)
        left = x.with_tiles(x.tiles.reshape(*x.tiles.shape[:2], self.m, self.k))
        total: np.ndarray | None = None
        for group, (row, rows) in enumerate(self.layout.groups if self.m * self.k * self.n else ()):
            part = left.with_tiles(left.tiles[..., row:row + rows])
            right = words.with_tiles(elements[:, :, row:row + rows])
            if wide:
                part, right = (tile.with_tiles(load(type, tile.tiles)) for tile in (part, right))
            sums = multiply(part, right, "fp32" if wide else engine.precision, engine.threads).full()
            factor = words.with_tiles(scales[:, :, group, None]).full()
            total = _scaled(type, wide, total, sums, factor)
        if total is None:
            return np.zeros((engine.height, engine.width, self.m, self.n), NUMPY_DTYPES[type])
        return store(type, total) if wide else total

    def _own_values(self, engine: Clocks, x: Repeated, words: Repeated) -> np.ndarray:
        """Of matrices of each row: those of all rows as if on so many more columns of PEs."""
        type, wide, (height, width) = ELEMENT_TYPES[engine.precision], engine.precision in WIDE, (engine.height, engine.width)
        form, layout = packing(self.form), self.layout
        given = np.ascontiguousarray(words.full()).reshape(height, width * self.m, self.parts, layout.words)
        left = np.ascontiguousarray(x.full()).reshape(height, width * self.m, self.parts, 1, self.k)
        total: np.ndarray | None = None
        for part in range(self.parts if self.m * self.k * self.n else 0):
            elements, scales = unpack(form, type, given[:, :, part], self.k, self.n)
            for group, (row, rows) in enumerate(layout.groups):
                pair = left[:, :, part, :, row:row + rows], elements[:, :, row:row + rows]
                pair = tuple(np.ascontiguousarray(load(type, tile) if wide else tile) for tile in pair)
                sums = multiply(*map(Repeated.of, pair), "fp32" if wide else engine.precision, engine.threads).full()
                total = _scaled(type, wide, total, sums, scales[:, :, group, None])
        if total is None:
            return np.zeros((height, width, self.m, self.n), NUMPY_DTYPES[type])
        return (store(type, total) if wide else total).reshape(height, width, self.m, self.n)

    def reference(self, x: np.ndarray, words: np.ndarray, timing: Timing) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit."""
        type, wide, around = ELEMENT_TYPES[timing.precision], timing.precision in WIDE, x.shape[:2]
        rows = x.reshape(*around, *((self.m, self.parts, 1) if self.own else (1, 1, self.m)), self.k)
        given = words.reshape(*around, *((self.m, self.parts) if self.own else (1, 1)), self.layout.words)
        elements, scales = unpack(packing(self.form), type, given, self.k, self.n)
        total: np.ndarray | None = None
        for part in range(self.parts):
            for group, (row, count) in enumerate(self.layout.groups):
                left, right = rows[..., part, :, row:row + count], elements[..., part, row:row + count, :]
                if wide:
                    left, right = load(type, left), load(type, right)
                sums = multiply_reference(left, right, "fp32" if wide else timing.precision)
                total = _scaled(type, wide, total, sums, scales[..., part, group, None, :])
        if total is None or not total.size:
            return np.zeros((*around, self.m, self.n), NUMPY_DTYPES[type])
        return (store(type, total) if wide else total).reshape(*around, self.m, self.n)

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
        """Bytes beside X, the words and the result: what is unpacked at a time, scales, sums."""
        layout, size = self.layout, TYPE_BYTES[ELEMENT_TYPES[precision]]
        scales = 2 * layout.scale_words if layout.packing.byte_scales else 0
        sums = (4 if precision in WIDE else size) * self._rows * self.n
        several = precision in WIDE and len(layout.groups) * self.parts > 1
        return size * (layout.buffer + scales) + sums + (4 * self.m * self.n if several else 0)


class _Writer:
    """The instructions of a product in one number format."""

    def __init__(self, product: PackedProduct, timing: Timing) -> None:
        self.product, self.timing, self.layout = product, timing, product.layout
        self.wide = timing.precision in WIDE
        self.type = ELEMENT_TYPES[timing.precision]
        _check_precision(timing.precision)
        self.summed = len(self.layout.groups) * product.parts > 1

    def do(self, operation: str, elements: int, *operands: Mem | Mem4d | tuple[float, str], repeat: int = 1,
           between: int = 0, precision: str | None = None) -> _Do:
        """An instruction by what it does, or by its name where it works on bits."""
        name = operation if operation.endswith("16") else self.timing.instruction(operation, precision)
        return _Do(name, elements, operands, repeat, between)

    def tile(self, tile: int) -> Iterator[_Do]:
        """All that is done with one matrix."""
        product, layout, start = self.product, self.layout, tile * self.product.layout.words
        if layout.packing.byte_scales:
            words = layout.scale_words
            for index, steps in enumerate(scale_steps(self.type)):
                yield from self.steps(steps, Mem("scales", words, index * words),
                                      Mem("words", words, start + layout.element_words))
        group, used = 0, False
        for row, rows in layout.pieces:
            words = layout.piece_words(rows)
            for index, lane in enumerate(layout.packing.lanes(self.type)):
                yield from self.steps(lane.steps, Mem("buffer", words, index * words), Mem("words", words, start))
            start += words
            at = row
            while at < row + rows:
                first, count = layout.groups[group]
                end = min(row + rows, first + count)
                if at == first and (used or tile):
                    yield self.clear()
                yield from self.sums(tile, row, at, end)
                if end == first + count:
                    yield self.scaled(tile, group)
                    group, used = group + 1, True
                at = end

    def steps(self, steps: tuple[Instruction, ...], target: Mem, source: Mem) -> Iterator[_Do]:
        """Instructions on the bits of ``source``, then on those of ``target``."""
        bits = source
        for operation, constants in steps:
            if operation.endswith("16"):
                seen = replace(target, type="u16")
                yield self.do(operation, target.extent, seen, replace(bits, type=None) if bits is source else seen,
                              (constants[0], "u16"))
            elif operation == "mul":
                yield self.do("mul", target.extent, target, target, (constants[0], self.type), precision=self.type)
            else:
                yield self.do("fma", target.extent, target, (constants[0], self.type), target, (constants[1], self.type),
                              precision=self.type)
            bits = target

    def clear(self) -> _Do:
        """Sums of the next group from 0 on."""
        whole = self.product._rows * self.product.n
        type: ElementType = "fp32" if self.wide else self.type
        return self.do("mov", whole, Mem("part", whole), (0.0, type), precision=type)

    def sums(self, tile: int, piece: int, start: int, end: int) -> Iterator[_Do]:
        """Inputs ``start`` to ``end``, which lie unpacked, times those of every row."""
        product, n, inner = self.product, self.product.n, self.product.k
        for row in range(product._rows):
            target = Mem("part", n, row * n)
            left = Mem("x", n, (tile if product.own else row) * inner + start, stride=0, advance=1)
            yield self.do("fma", n, target, target, left, Mem("buffer", n, (start - piece) * n, advance=n),
                          repeat=end - start, between=self.timing.latency("map"))

    def scaled(self, tile: int, group: int) -> _Do:
        """The sums of a group times its scales, onto the result."""
        product, n, rows = self.product, self.product.n, self.product._rows
        whole, first = rows * n, tile // product.parts * n if product.own else 0
        sums: ElementType = "fp32" if self.wide else self.type
        symbol, at = (("scales", group * n) if self.layout.packing.byte_scales else
                      ("words", tile * self.layout.words + self.layout.element_words + group * n))
        scales = Mem4d(symbol, (rows, n), (0, 1), at, type=None if symbol == "scales" else self.type)
        target = Mem("y32" if self.wide and self.summed else "result", whole, first)
        if group or (product.own and tile % product.parts):
            return self.do("fma", whole, target, target, Mem("part", whole), scales, precision=sums)
        return self.do("mul", whole, target, Mem("part", whole), scales, precision=sums)


@lru_cache(maxsize=4096)
def _cycles(product: PackedProduct, timing: Timing) -> tuple[int, int]:
    """(compute, overhead) cycles of one PE."""
    compute, overhead = 0, timing.latency("gemv_call", timing.latency("call"))
    for item in product.work(timing):
        compute += item.repeat * timing.elements(item.instruction, item.elements)
        overhead += timing.setup(item.instruction) + item.repeat * item.between
    return (compute, overhead) if compute else (0, 0)


def _check_precision(precision: str) -> None:
    if precision not in PACKED_PRECISIONS:
        raise InputError(f"cores unpack weights into {', '.join(PACKED_PRECISIONS)}, not into {precision}")


def _scaled(type: ElementType, wide: bool, total: np.ndarray | None, sums: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """``total`` (nothing yet: 0) plus ``sums`` times ``scales``, rounded once to the number format of sums."""
    factor = load(type, scales)
    with np.errstate(all="ignore"):
        if wide:
            factor = np.ascontiguousarray(np.broadcast_to(factor, sums.shape))
            return sums * factor if total is None else _fma_fp32(total, sums, factor)
        exact = load(type, sums) * factor if total is None else fma(load(type, total), load(type, sums), factor)
        return store(type, exact)


def _fma_fp32(total: np.ndarray, sums: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """``total`` + ``sums`` * ``factor`` in fp32, rounded once."""
    flat = (np.ascontiguousarray(tile).reshape(1, 1, -1) for tile in (sums, factor, total))
    return fma_tiles(*flat).reshape(total.shape)
