"""Local work by recipes of vector instructions: its program, its clocks and its values, for one operation on all its rows.

A recipe runs on up to :data:`PIECE` elements at a time, so that its room is small: whole rows where they fit, else parts of
one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from wsekern.formulas import largest, opaque, smallest
from wsekern.machine.timing import LIBRARY, Timing
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops.local.arithmetic import evaluate, first_factor, load, nearest, store
from wsekern.ops.local.calls import CALLS, call_recipe
from wsekern.ops.local.functions import DIFFERENCES, recipe
from wsekern.ops.local.recipe import Recipe, Source, Step
from wsekern.ops.operation import ELEMENT_TYPES, Emission
from wsekern.program import Mem, Mem4d
from wsekern.program.operands import TYPE_BYTES, ElementType, Operand
from wsekern.tiles import mul, sub

PIECE = 128
"""Elements that an instruction of a recipe takes at most: about where its set-up is a third of its time."""


@dataclass(frozen=True)
class Piece:
    """``columns`` elements from ``column`` on of ``rows`` rows from ``row`` on; all columns where there are several rows."""

    row: int
    rows: int
    column: int
    columns: int

    @property
    def elements(self) -> int:
        return self.rows * self.columns


def pieces(rows: int, n: int) -> Iterator[Piece]:
    """``rows`` rows of ``n`` elements, in pieces of up to :data:`PIECE` elements."""
    together = max(1, PIECE // max(1, n))
    for row in range(0, rows, together):
        for column in range(0, n, PIECE):
            yield Piece(row, min(together, rows - row), column, min(PIECE, n - column))


def work_type(form: str, precision: str) -> ElementType:
    """Type that the steps of a form compute in: fp32, or what the tiles of a precision are stored in."""
    return "fp32" if form == "vector-fp32" else ELEMENT_TYPES[precision]


@opaque
@lru_cache(maxsize=4096)
def room_bytes(function: str, form: str, precision: str, elements: int) -> int:
    """Bytes on a PE that a function of ``elements`` elements takes beside what comes in and goes out; library calls none."""
    if not elements or (form == "scalar" and function not in CALLS):
        return 0
    return VectorWork(function, form, 1, 1).recipe(precision).room_bytes(min(PIECE, elements))


def apply(function: str, form: str, precision: str, x: np.ndarray, factor: float = 1.0) -> np.ndarray:
    """float32 -> float32: a function of one number, or of a difference (:data:`DIFFERENCES`), of ``x`` as stored in
    ``precision``."""
    stored = ELEMENT_TYPES[precision]
    with np.errstate(over="ignore"):
        given = store(stored, x).reshape(1, 1, -1)
    second = [np.zeros((1, 1, 1), given.dtype)] if function in DIFFERENCES else []
    return load(stored, VectorWork(function, form, x.size, 1, factor).values(precision, 1, given, *second)).reshape(x.shape)


@dataclass(frozen=True)
class VectorWork:
    """A function on ``count`` rows of ``n`` elements in steps of one form; ``factor`` as in :func:`recipe`."""

    function: str
    form: str
    n: int
    count: int
    factor: float = 1.0

    def recipe(self, precision: str) -> Recipe:
        """The steps for tiles of a precision."""
        if self.form == "scalar":
            return call_recipe(self.function, ELEMENT_TYPES[precision], self.factor)
        return recipe(self.function, work_type(self.form, precision), ELEMENT_TYPES[precision], self.factor)

    def pieces(self) -> list[Piece]:
        """Elements of all rows together where no row has a number of its own."""
        return list(pieces(self.count, self.n) if self.function in DIFFERENCES else pieces(1, self.count * self.n))

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(elements, set-ups) of all instructions in cycles."""
        steps = [step_instruction(step, timing, self.recipe(timing.precision)) for step in self.recipe(timing.precision).steps]
        sizes = self.sizes()
        return (sum(count * timing.elements(step, size) for step in steps for count, size in sizes),
                sum(count for count, _ in sizes) * sum(timing.setup(step) for step in steps))

    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(how many, elements) of the equal ones of :meth:`pieces`."""
        rows, n = (self.count, self.n) if self.function in DIFFERENCES else (1, self.count * self.n)
        if n <= PIECE:
            together = largest(1, PIECE // largest(1, n))
            whole, rest = divmod(rows, together)
            return ((whole, together * n), (smallest(rest, 1), rest * n)) if n else ()
        whole, rest = divmod(n, PIECE)
        return ((rows * whole, PIECE), (rows * smallest(rest, 1), rest))

    # ---- program

    def emit(self, out: Emission, result: str) -> None:
        """Write the instructions; ``result``: the symbol of what goes out."""
        plan, found = self.recipe(out.timing.precision), self.pieces()
        room = _Room(plan, out, max(piece.elements for piece in found))
        for piece in found:
            start = piece.row * self.n + piece.column
            vectors = {"x": Mem(out.inputs[0], piece.elements, start), "out": Mem(result, piece.elements, start)}
            if len(out.inputs) > 1:
                vectors["y"] = self._second(out.inputs[1], piece, start)
            for step in plan.steps:
                operands = [room.operand(step, name, vectors, piece.elements) for name in (step.target, *step.sources)]
                out.program.emit(step_instruction(step, out.timing, plan), *operands)

    def _second(self, symbol: str, piece: Piece, start: int) -> Operand:
        """The second input: a vector, or a number for each row."""
        if self.function not in DIFFERENCES:
            return Mem(symbol, piece.elements, start)
        if piece.rows == 1:
            return Mem(symbol, piece.elements, piece.row, 0)
        return Mem4d(symbol, (piece.rows, piece.columns), (1, 0), piece.row)

    # ---- values

    def values(self, precision: str, threads: int, *tiles: np.ndarray) -> np.ndarray:
        """Values (height, width, ...) of tiles in ``precision``: by table where one number of 16 bits decides."""
        plan, a = self.recipe(precision), np.asarray(tiles[0])
        if len(tiles) == 1:
            return _by_table(plan, a) if plan.stored != "fp32" else evaluate(plan, a)
        b = np.asarray(tiles[1])
        b = np.broadcast_to(b.reshape(*a.shape[:-1], 1), a.shape) if self.function in DIFFERENCES else b.reshape(a.shape)
        if plan.stored == "fp32" or self.function == "clamped_silu" or (self.function in DIFFERENCES and plan.work == "fp32"):
            return evaluate(plan, a, b)
        if self.function in DIFFERENCES:
            return _by_table(plan, sub(a, b, precision, threads))
        gate = _table(plan)[a.view(np.uint16)]
        if plan.work != "fp32":
            return mul(gate, b, precision, threads)
        with np.errstate(all="ignore"):
            return store(plan.stored, gate * load(plan.stored, b))


def step_instruction(step: Step, timing: Timing, plan: Recipe) -> str:
    """The vector instruction of a step."""
    return step.operation if step.on_bits or step.operation in LIBRARY else timing.instruction(step.operation, plan.work)


class _Room:
    """Memory of a recipe in a program: a vector for each of its names, a number for each of its constants."""

    def __init__(self, plan: Recipe, out: Emission, elements: int) -> None:
        self.plan, self.out, self.elements = plan, out, elements
        self._constants: dict[tuple[bool, str], Mem] = {}
        for base in plan.rooms:             # one behind the other, so that they begin in banks as the recipe says
            self._vector(base, elements)

    def operand(self, step: Step, source: Source, vectors: dict[str, Mem], elements: int) -> Operand:
        """One operand of a step on ``elements`` elements."""
        if not isinstance(source, str):
            known = step.on_bits, repr(source)          # which tells zeros apart
            if known not in self._constants:
                self._constants[known] = self._constant(step, source)
            return self._constants[known]
        base, _, part = source.partition(".")
        found = vectors.get(base) or self._vector(base, elements)
        return self._half(found, base, part) if part else found

    def _vector(self, base: str, elements: int) -> Mem:
        """Room that begins in the bank that the recipe says, counted from the first one's: all take whole rounds of banks."""
        type = self.plan.type_of(base)
        elements_kept = self.plan.vector_bytes(base, self.elements) // TYPE_BYTES[type]
        shift = self.plan.rooms[base] if TYPE_BYTES[type] == 2 else 0
        symbol = self.out.program.memory(f"{base}.{self.out.serial}", type, elements_kept)
        return Mem(symbol, elements, shift)

    def _half(self, found: Mem, base: str, part: str) -> Mem:
        """Top or low 16 bits of every element."""
        wide = TYPE_BYTES[self.plan.type_of(base)] // 2
        return Mem(found.symbol, found.extent, found.offset * wide + (part == "top") * (wide - 1), wide, type="u16")

    def _constant(self, step: Step, number: float) -> Mem:
        type: ElementType = "u16" if step.on_bits else self.plan.work
        value = nearest(type, number) if not step.on_bits else number
        kept = store(type, np.full(1, value, np.float32)) if not step.on_bits else np.array([number], NUMPY_DTYPES["bf16"])
        return Mem(self.out.program.memory(f"{value}.{type}.{self.out.serial}", type, 1, kept), 1, 0, 0)


@lru_cache(maxsize=32)
def _table(plan: Recipe) -> np.ndarray:
    """What a function of one number of 16 bits gives for each; of a product, its first factor, in the type of steps."""
    every = np.arange(1 << 16, dtype=np.uint16)
    x = every if plan.stored == "bf16" else every.view(np.float16)
    if len(plan.inputs) == 1:
        return evaluate(plan, x)
    return evaluate(plan, x, np.zeros_like(x)) if plan.name in DIFFERENCES else first_factor(plan, x)


def _by_table(plan: Recipe, a: np.ndarray) -> np.ndarray:
    return _table(plan)[a.view(np.uint16)]
