"""Local work of a softmax over positions on many PEs, none of which knows the largest score of all.

Scores are logarithms to base 2. A row of scores takes its exponentials relative to the whole number nearest to its own largest
one (:class:`WholeReference`), and multiplies their sum and its partial values by a power of two (:class:`SoftmaxFactor`) before
they are added to those of other PEs in fp32 (:class:`SoftmaxMessage`): its exponent is that number minus a bound that all PEs
know. Powers of two change no bit of what they multiply, so results do not depend on how far the bound lies above the largest
score, up to some 190 powers of two. Where it is looser, rows far below it would count more than they should: that is refused.

The bound is the sum over features of the larger of q times the largest and q times the smallest key so far
(:class:`KeyRange`, :class:`ScoreBound`): no score lies above it.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.ops.local.arithmetic import load, store
from wsekern.ops.local.instructions import Do, emit_work, work_cycles
from wsekern.ops.local.numbers import RowNumbers
from wsekern.ops.operation import ELEMENT_TYPES, Clocks, Emission, LocalOperation, Shapes, check_count, check_operands
from wsekern.ops.repeated import Repeated, common
from wsekern.program import Mem, Mem4d
from wsekern.program.operands import TYPE_BYTES, ElementType
from wsekern.tiles import reciprocal

MAGIC = 12582912.0
"""1.5 * 2^23: in fp32 its last bit counts ones, and its low 16 bits are 0."""
SHIFT = 96
"""Factors are 2^96 times 2^(own - bound): so many bits more room below. Partial values of fp16 on 2^14 rows still fit fp32."""
SEEN_BITS = 14
SEEN = 2.0 ** -SEEN_BITS
"""What a row that sees a position gives :class:`SoftmaxFactor`, the smallest normal fp16 number; one that sees none gives 0."""
LEAST_POWER = -126 - SHIFT
"""Rows further below the bound, in powers of two, are counted as if they lay here: the largest one is never lost."""
LEAST_TOTAL = 2.0 ** -96
"""A sum below it may come from rows that are counted so: 2^30 times what each of them adds."""


class _Softmax(LocalOperation):
    """A few vector instructions, the values of each PE its own."""

    kept: ClassVar[ElementType | None] = None
    """Element type of the result; None: that of the precision."""

    @abstractmethod
    def result_sizes(self) -> tuple[int, ...]:
        """Sizes of the result on a PE."""

    @abstractmethod
    def work(self, timing: Timing) -> list[Do]:
        """Its instructions, of tiles ``in0``, ``in1``, ``in2``, of the result ``out`` and of :meth:`rooms`."""

    def rooms(self, stored: ElementType) -> dict[str, tuple[ElementType, int]]:
        """Type and elements of the memory that instructions use beside the tiles."""
        return {}

    def before(self, out: Emission) -> dict[str, str]:
        """Write what comes before them; symbols that it made, by the names that they have here."""
        return {}

    @abstractmethod
    def reference(self, *tiles_and_timing: object) -> np.ndarray:
        """Values (rows, columns, ...) of any PEs, in plain numpy."""

    def _check(self, *sizes: int) -> None:
        if any(size < 1 for size in sizes):
            raise InputError(f"{self}: expected sizes of at least 1")
        check_count("the elements of a tile", prod(sizes))

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(compute, overhead) cycles of one PE."""
        compute, overhead = work_cycles(self.work(timing), timing)
        return compute, overhead + timing.latency("local_call", timing.latency("call"))

    def flow(self, engine: Clocks, *tiles: np.ndarray) -> np.ndarray:
        """Values of tiles (height, width, ...)."""
        check_operands(self, self.tiles(), tiles)
        self.time(engine)
        return self._compute(engine, tiles)

    def values(self, engine: Clocks, *tiles: Repeated) -> Repeated:
        """Values alone, once for PEs that hold the same."""
        check_operands(self, self.tiles(), [tile.tiles for tile in tiles])
        held = common(tiles)
        result = self._compute(engine, [tile.at(*held) for tile in tiles])
        return Repeated(result, tiles[0].height, tiles[0].width, *held)

    def _compute(self, engine: Clocks, tiles: Sequence[np.ndarray]) -> np.ndarray:
        shaped = [tile.reshape(*tile.shape[:2], *shape) for tile, shape in zip(tiles, self.tiles(), strict=True)]
        return self.reference(*shaped, engine.timing)

    def result_shape(self, engine: Clocks, *tiles: np.ndarray) -> tuple[int, ...]:
        """Shape of the values."""
        return engine.height, engine.width, *self.result_sizes()

    def memory_bytes(self, engine: Clocks) -> int:
        """Bytes of the tiles and of the result that a PE holds."""
        type = ELEMENT_TYPES[engine.precision]
        taken = sum(prod(shape) * TYPE_BYTES[kept] for shape, kept in zip(self.tiles(), self.tile_types(type), strict=True))
        return taken + prod(self.result_sizes()) * TYPE_BYTES[self.kept or type]

    def emit(self, out: Emission, role: None) -> str:
        """Its instructions, one behind the other."""
        program = out.program
        result = program.memory(f"softmax.{out.serial}", self.kept or out.type, prod(self.result_sizes()), 0)
        program.spend(out.timing.latency("local_call", out.timing.latency("call")))
        names = {f"in{index}": tile for index, tile in enumerate(out.inputs)} | {"out": result} | self.before(out)
        emit_work(out, self.work(out.timing), names, self.rooms(out.type))
        return result


@dataclass(frozen=True)
class KeyRange(_Softmax):
    """Keys (tokens, n) and the largest of each of the n features so far, and of minus it (2, n) -> the same with the keys."""

    n: int
    tokens: int

    def __post_init__(self) -> None:
        self._check(self.n, self.tokens)

    def tiles(self) -> Shapes:
        """Keys, and what is kept."""
        return (self.tokens, self.n), (2, self.n)

    def result_sizes(self) -> tuple[int, ...]:
        return 2, self.n

    def rooms(self, stored: ElementType) -> dict[str, tuple[ElementType, int]]:
        """Minus the keys."""
        return {"minus": (stored, self.n * self.tokens)}

    def work(self, timing: Timing) -> list[Do]:
        """Turn the keys, then the larger of each token and what was."""
        n, whole, stored = self.n, self.n * self.tokens, ELEMENT_TYPES[timing.precision]
        larger = timing.instruction("max", stored)
        found = [Do(timing.instruction("neg", stored), whole, (Mem("minus", whole), Mem("in0", whole)))]
        for token in range(self.tokens):
            for half, new in enumerate(("in0", "minus")):
                target, before = (Mem(symbol, n, half * n) for symbol in ("out", "out" if token else "in1"))
                found.append(Do(larger, n, (target, before, Mem(new, n, token * n))))
        return found

    def reference(self, keys: np.ndarray, kept: np.ndarray, timing: Timing) -> np.ndarray:
        """The largest of all."""
        type = ELEMENT_TYPES[timing.precision]
        keys, found = load(type, keys), load(type, kept)
        for token in range(self.tokens):
            new = np.stack([keys[:, :, token], -keys[:, :, token]], axis=2)
            found = np.where(found > new, found, new)
        return store(type, found)


@dataclass(frozen=True)
class ScoreBound(_Softmax):
    """Queries (heads, rows, n) and the range of their keys (2, heads, n) -> (heads * rows): what no score lies above.

    Of the features on this PE: features are added by halves, in the type of tiles.
    """

    heads: int
    rows: int
    n: int

    def __post_init__(self) -> None:
        self._check(self.heads, self.rows, self.n)

    def tiles(self) -> Shapes:
        """Queries, and the range of keys."""
        return (self.heads, self.rows, self.n), (2, self.heads, self.n)

    def result_sizes(self) -> tuple[int, ...]:
        return (self.heads * self.rows,)

    def _halves(self) -> list[tuple[int, int]]:
        """(features left, how many of the last ones are added to the first ones), until one is left."""
        found, left = [], self.n
        while left > 1:
            found.append((left, left // 2))
            left -= left // 2
        return found

    def rooms(self, stored: ElementType) -> dict[str, tuple[ElementType, int]]:
        """Products with the largest and with the smallest keys."""
        return dict.fromkeys(("high", "low"), (stored, self.heads * self.rows * self.n))

    def work(self, timing: Timing) -> list[Do]:
        """The larger product of each feature, then their sum by halves."""
        heads, rows, n, count = self.heads, self.rows, self.n, self.heads * self.rows
        whole, stored = count * n, ELEMENT_TYPES[timing.precision]
        times, larger, plus = (timing.instruction(name, stored) for name in ("mul", "max", "add"))
        queries, high, low = (Mem(symbol, whole) for symbol in ("in0", "high", "low"))
        largest, smallest = (Mem4d("in1", (heads, rows, n), (n, 0, 1), half * heads * n) for half in (0, 1))
        found = [Do(times, whole, (high, queries, largest)), Do(times, whole, (low, queries, smallest)),
                 Do(timing.instruction("neg", stored), whole, (low, low)), Do(larger, whole, (high, high, low))]
        for left, half in self._halves():
            first, last = (Mem4d("high", (count, half), (n, 1), start) for start in (0, left - half))
            target = first if left > 2 else Mem("out", count)
            found.append(Do(plus, count * half, (target, first, last)))
        alone = Do(timing.instruction("mov", stored), count, (Mem("out", count), Mem("high", count)))
        return found if n > 1 else [*found, alone]

    def reference(self, queries: np.ndarray, kept: np.ndarray, timing: Timing) -> np.ndarray:
        """The larger product of each feature, then their sum by halves."""
        type = ELEMENT_TYPES[timing.precision]
        with np.errstate(over="ignore", invalid="ignore"):
            high, low = (load(type, store(type, load(type, queries) * load(type, kept[:, :, half])[:, :, :, None]))
                         for half in (0, 1))
            found = np.where(high > -low, high, -low)
            for left, half in self._halves():
                added = found[..., :half] + found[..., left - half:left]
                found = np.concatenate([load(type, store(type, added)), found[..., half:left - half]], axis=-1)
            return store(type, found[..., 0].reshape(*found.shape[:2], -1))


@dataclass(frozen=True)
class WholeReference(_Softmax):
    """The whole number nearest to each of ``count`` largest scores."""

    count: int

    def __post_init__(self) -> None:
        self._check(self.count)

    def tiles(self) -> Shapes:
        """One number a row."""
        return ((self.count,),)

    def result_sizes(self) -> tuple[int, ...]:
        return (self.count,)

    def rooms(self, stored: ElementType) -> dict[str, tuple[ElementType, int]]:
        """Scores in fp32."""
        return {"wide": ("fp32", self.count)}

    def work(self, timing: Timing) -> list[Do]:
        """Up to the last bit that counts ones, and down."""
        count, magic, room = self.count, (MAGIC, "fp32"), Mem("wide", self.count)
        return [Do(timing.instruction("add", "fp32"), count, (room, magic, Mem("in0", count))),
                Do(timing.instruction("sub", "fp32"), count, (Mem("out", count), room, magic))]

    def reference(self, tops: np.ndarray, timing: Timing) -> np.ndarray:
        """Up to the last bit that counts ones, and down."""
        type = ELEMENT_TYPES[timing.precision]
        return store(type, (load(type, tops) + np.float32(MAGIC)) - np.float32(MAGIC))


@dataclass(frozen=True)
class SoftmaxFactor(_Softmax):
    """2^(own - bound + 96) in fp32 for ``count`` rows: of whole numbers, bounds, and :data:`SEEN` where a row sees a position;
    0 where it sees none. At least 2^-126 where it does."""

    count: int
    kept: ClassVar[ElementType | None] = "fp32"

    def __post_init__(self) -> None:
        self._check(self.count)

    def tiles(self) -> Shapes:
        """Three numbers a row."""
        return (self.count,), (self.count,), (self.count,)

    def result_sizes(self) -> tuple[int, ...]:
        return (self.count,)

    def rooms(self, stored: ElementType) -> dict[str, tuple[ElementType, int]]:
        """Whole numbers in the low bits of fp32, and the same where exponents stand."""
        return {"wide": ("fp32", self.count), "steps": ("u16", self.count)}

    def work(self, timing: Timing) -> list[Do]:
        """Whole numbers as exponents."""
        count, named = self.count, timing.instruction
        own, bound, seen, room, steps, result = (Mem(symbol, count) for symbol in ("in0", "in1", "in2", "wide", "steps", "out"))
        low, top = Mem("wide", count, 0, 2, type="u16"), Mem("out", count, 1, 2, type="u16")
        return [Do(named("sub", "fp32"), count, (room, (MAGIC, "fp32"), bound)),
                Do(named("add", "fp32"), count, (room, room, own)),
                Do(named("max", "fp32"), count, (room, room, (MAGIC + LEAST_POWER, "fp32"))),
                Do("sll16", count, (steps, low, (7, "u16"))),
                Do("add16", count, (top, (127 + SHIFT + SEEN_BITS << 7, "u16"), steps)),
                Do(named("mul", "fp32"), count, (result, result, seen))]

    def reference(self, own: np.ndarray, bound: np.ndarray, seen: np.ndarray, timing: Timing) -> np.ndarray:
        """Whole numbers as exponents."""
        type = ELEMENT_TYPES[timing.precision]
        own, bound, seen = (load(type, tile) for tile in (own, bound, seen))
        wide = (np.float32(MAGIC) - bound) + own
        least = np.float32(MAGIC + LEAST_POWER)
        powers = np.where(wide > least, wide, least).view(np.uint32) << 23
        one = np.uint32(127 + SHIFT + SEEN_BITS << 23)
        with np.errstate(all="ignore"):
            return (one + powers).view(np.float32) * seen


@dataclass(frozen=True)
class SoftmaxMessage(_Softmax):
    """Partial values (count, n) and sums of exponentials (count) -> both in fp32 one behind the other, (count * (n + 1)).

    ``weighed``: each row times a factor of its own (count)."""

    n: int
    count: int
    weighed: bool = False
    kept: ClassVar[ElementType | None] = "fp32"

    def __post_init__(self) -> None:
        self._check(self.n, self.count)

    def tiles(self) -> Shapes:
        """Values, sums, factors."""
        return (self.count, self.n), (self.count,), *(((self.count,),) if self.weighed else ())

    def tile_types(self, type: ElementType) -> tuple[ElementType, ...]:
        """Sums and factors are fp32."""
        return (type, "fp32", "fp32")[:2 + self.weighed]

    def result_sizes(self) -> tuple[int, ...]:
        return (self.count * (self.n + 1),)

    def work(self, timing: Timing) -> list[Do]:
        """Moves, or products with the factors."""
        n, count, whole, name = self.n, self.count, self.n * self.count, "mul" if self.weighed else "mov"
        factors = (Mem4d("in2", (count, n), (1, 0)),), (Mem("in2", count),)
        each, one = factors if self.weighed else ((), ())
        return [Do(timing.instruction(name, "fp32"), whole, (Mem("out", whole), Mem("in0", whole), *each)),
                Do(timing.instruction(name, "fp32"), count, (Mem("out", count, whole), Mem("in1", count), *one))]

    def reference(self, rows: np.ndarray, totals: np.ndarray, *factors_and_timing: object) -> np.ndarray:
        """Products rounded once."""
        *factors, timing = factors_and_timing
        values = load(ELEMENT_TYPES[timing.precision], rows)
        if factors:
            values, totals = values * factors[0][..., None], totals * factors[0]
        return np.concatenate([values.reshape(*values.shape[:2], -1), totals], axis=2).astype(np.float32)


@dataclass(frozen=True)
class SoftmaxQuotients(_Softmax):
    """Values (count, n) in fp32 over the sums (count) of their rows, rounded to the precision: by reciprocals of the sums, in
    calls of the library or vector steps as ``form`` says. ``copies``: sums are so many times too large."""

    n: int
    count: int
    form: str = "scalar"
    copies: int = 1

    def __post_init__(self) -> None:
        self._check(self.n, self.count, self.copies)

    def tiles(self) -> Shapes:
        """Values and sums."""
        return (self.count, self.n), (self.count,)

    def tile_types(self, type: ElementType) -> tuple[ElementType, ...]:
        """Both fp32."""
        return "fp32", "fp32"

    def result_sizes(self) -> tuple[int, ...]:
        return self.count, self.n

    @property
    def _reciprocals(self) -> RowNumbers:
        return RowNumbers("one_over", self.count)

    def rooms(self, stored: ElementType) -> dict[str, tuple[ElementType, int]]:
        """Reciprocals."""
        return {"found": ("fp32", self.count)}

    def work(self, timing: Timing) -> list[Do]:
        """Those behind the steps of reciprocals."""
        n, count, whole, times = self.n, self.count, self.n * self.count, timing.instruction("mul", "fp32")
        every, found = Mem("found", count), []
        if self.form == "scalar":
            found.append(Do("lib_div", count, (every, (1, "fp32"), Mem("in1", count))))
        if self.copies > 1:
            found.append(Do(times, count, (every, every, (self.copies, "fp32"))))
        product = Mem("out", whole), Mem("in0", whole), Mem4d("found", (count, n), (1, 0))
        return [*found, Do(times, whole, product)]

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(compute, overhead) cycles of one PE."""
        compute, overhead = super().cycles(timing)
        elements, setups = self._reciprocals.cycles(timing, "fp32") if self.form != "scalar" else (0, 0)
        return compute + elements, overhead + setups

    def before(self, out: Emission) -> dict[str, str]:
        """Reciprocals, by the steps that every number of a row takes."""
        return {} if self.form == "scalar" else {"found": self._reciprocals.emit(out, out.inputs[1], "fp32")}

    def _compute(self, engine: Clocks, tiles: Sequence[np.ndarray]) -> np.ndarray:
        if (tiles[1] < LEAST_TOTAL).any():
            raise InputError("the bound of a softmax lies further above its scores than fp32 reaches: this model needs "
                             "programs with softmax=maximum, such as --program-set 2024-08")
        return super()._compute(engine, tiles)

    def reference(self, values: np.ndarray, totals: np.ndarray, timing: Timing) -> np.ndarray:
        """Each step rounded once."""
        with np.errstate(all="ignore"):
            scalar = self.form == "scalar"
            numbers = reciprocal(np.ascontiguousarray(totals)) if scalar else self._reciprocals.values(totals)
            numbers = numbers * np.float32(self.copies)
            return store(ELEMENT_TYPES[timing.precision], values * numbers[..., None])
