"""One number for each row by a recipe in fp32: in vector instructions for all rows, or as scalar code row by row.

Both run the same steps with the same roundings. A vector instruction has a set-up, a scalar one does not: for few rows scalar
code is quicker (on WSE-3 silicon the reciprocal root of a sum takes 34 cycles, 221 in vector instructions).
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import zip_longest

import numpy as np

from wsekern.formulas import opaque
from wsekern.machine.timing import Timing
from wsekern.ops.local.arithmetic import evaluate, load, store
from wsekern.ops.local.functions import recipe
from wsekern.ops.local.recipe import Recipe, Source, Step
from wsekern.ops.local.vector import VectorWork
from wsekern.ops.operation import ELEMENT_TYPES, Emission
from wsekern.program import Mem, Mem4d, Program
from wsekern.program.code import Code
from wsekern.program.instructions import Label, Scalar, Vector
from wsekern.program.operands import Array, ElementType
from wsekern.program.values import Value
from wsekern.tiles import fma

ROWS_WRITTEN = 6
"""Rows, or one more, whose scalar code is written to know how long it takes."""

_INTEGER = {"sub16": "sub", "slr16": "shr"}
"""Integer operations of recipes as scalar ones."""


@dataclass(frozen=True)
class RowNumbers:
    """``function`` (rsqrt, one_over) of a number of each of ``count`` rows, in fp32 and rounded to a ``type`` at the end;
    ``factor`` and ``term``: of the number times ``factor`` plus ``term``, rounded once."""

    function: str
    count: int
    factor: float = 1.0
    term: float = 0.0

    @property
    def _plan(self) -> Recipe:
        return recipe(self.function, "fp32", "fp32")

    @property
    def _scaled(self) -> bool:
        return (self.factor, self.term) != (1.0, 0.0)

    @property
    def _vectors(self) -> VectorWork:
        return VectorWork(self.function, "vector", 1, self.count)

    def _by_vectors(self, timing: Timing, type: ElementType) -> tuple[int, int]:
        """(elements, set-ups) of vector instructions; ``timing`` is that of fp32."""
        elements, setups = self._vectors.cycles(timing)
        beside = ["fma"] * self._scaled + ["mov"] * (type != "fp32")
        for name in map(timing.instruction, beside):
            elements, setups = elements + timing.elements(name, self.count), setups + timing.setup(name)
        return elements, setups

    def _by_scalars(self, timing: Timing, type: ElementType) -> int:
        """Cycles of scalar code."""
        return _scalar_cycles(self.function, self.count, self.factor, self.term, timing, type)

    def cycles(self, timing: Timing, type: ElementType) -> tuple[int, int]:
        """(compute, overhead) of the quicker one."""
        timing = replace(timing, precision="fp32")
        vectors, scalars = self._by_vectors(timing, type), self._by_scalars(timing, type)
        return (scalars, 0) if scalars < sum(vectors) else vectors

    def emit(self, out: Emission, given: str, type: ElementType) -> str:
        """Write the quicker one; the symbol of the numbers, (count,) of ``type``, made of ``given``."""
        timing = replace(out.timing, precision="fp32")
        found = out.program.memory(f"found.{out.serial}", type, self.count)
        if self._by_scalars(timing, type) < sum(self._by_vectors(timing, type)):
            self.write_scalars(out.program, given, found)
            return found
        numbers = found if type == "fp32" else out.program.memory(f"numbers.{out.serial}", "fp32", self.count)
        if self._scaled:
            term, factor = (Mem(out.program.memory(f"{name}.{out.serial}", "fp32", 1, number), 1, 0, 0)
                            for name, number in (("term", self.term), ("factor", self.factor)))
            whole = Mem(numbers, self.count)
            out.program.emit(timing.instruction("fma"), whole, term, Mem(given, self.count), factor)
        self._vectors.emit(replace(out, timing=timing, inputs=(numbers if self._scaled else given,)), numbers)
        if type != "fp32":
            out.program.emit(timing.instruction("mov"), Mem(found, self.count), Mem(numbers, self.count))
        return found

    def write_scalars(self, program: Program, given: str, found: str) -> None:
        """Scalar code, two rows by turns: what one waits for, the other does not. Constants stay in registers."""
        writer = ScalarWriter(program.main(), self._plan)
        arrays = [program.array(symbol, *program.symbols[symbol]) for symbol in (given, found)]
        for row in range(0, self.count, 2):
            turns = [self._row(writer, *arrays, place) for place in range(row, min(row + 2, self.count))]
            for _ in zip_longest(*turns):
                pass

    def _row(self, writer: "ScalarWriter", given: Array, found: Array, row: int) -> Iterator[None]:
        """Write the code of one row, step by step."""
        code, place = writer.code, row or None
        x = code.read(given, place)
        yield
        if self._scaled:
            x = code.scalar("fma", writer.constant(self.term, "fp32"), x, writer.constant(self.factor, "fp32"))
            yield
        number = yield from writer.run(x)
        code.write(found, place, number if found.type == "fp32" else number.to(found.type))

    def values(self, given: np.ndarray) -> np.ndarray:
        """The numbers of ``given``, both float32 arrays."""
        if self._scaled:
            given = np.ascontiguousarray(given).reshape(1, 1, -1)
            given = fma(given, np.full_like(given, np.float32(self.factor)), np.full_like(given, np.float32(self.term)))
        return evaluate(self._plan, given)


class ScalarWriter:
    """Writes the steps of a recipe in fp32 for one number after the other. Integer steps work on the top halves of numbers
    whose low halves are zeros; those halves lie low in their registers until the number is used as a float. Only what is added
    to a top half, low bits shifted to where exponents stand, leaves the low half as it is."""

    def __init__(self, code: Code, plan: Recipe) -> None:
        self.code, self.plan = code, plan
        self._constants: dict[tuple[float, str], Value] = {}

    def constant(self, number: float, type: str) -> Value:
        """A number in a register of its own."""
        if (number, type) not in self._constants:
            self._constants[number, type] = self.code.constant(number, type)
        return self._constants[number, type]

    def run(self, x: Value) -> Generator[None, None, Value]:
        """Write the function of ``x``, step by step, and give it."""
        floats, tops = {"x": x}, {}
        exponents: dict[str, tuple[Value, int]] = {}
        for step in self.plan.steps:
            base = step.target.partition(".")[0]
            if step.operation == "sll16":
                exponents[base] = self._low(step, floats)
            elif step.operation == "add16":
                floats[base] = self._raised(floats[base], *exponents[str(step.sources[1])])
            elif step.on_bits:
                tops[base] = self._integer(step, floats, tops)
                floats.pop(base, None)
            else:
                operands = [self._float(source, floats, tops) for source in step.sources]
                floats[base] = self.code.scalar(step.operation, *operands)
            yield
        return floats["out"]

    @staticmethod
    def _low(step: Step, floats: dict[str, Value]) -> tuple[Value, int]:
        """Whose low half is shifted, and how far: that is done where it is added."""
        source, places = step.sources
        return floats[str(source).partition(".")[0]], int(places)

    def _raised(self, number: Value, low: Value, places: int) -> Value:
        """``number`` with the low half of another one, shifted, added to its top half."""
        return (number.bits("u32") + (low.bits("u32") << self.constant(16 + places, "u32"))).bits("fp32")

    def _integer(self, step: Step, floats: dict[str, Value], tops: dict[str, Value]) -> Value:
        def top(source: Source) -> Value:
            if not isinstance(source, str):
                return self.constant(source, "u32")
            base = source.partition(".")[0]
            return tops[base] if base in tops else floats[base].bits("u32") >> self.constant(16, "u32")

        return self.code.scalar(_INTEGER[step.operation], *map(top, step.sources))

    def _float(self, source: Source, floats: dict[str, Value], tops: dict[str, Value]) -> Value:
        if not isinstance(source, str):
            return self.constant(source, "fp32")
        if source not in floats:
            floats[source] = (tops[source] << self.constant(16, "u32")).bits("fp32")
        return floats[source]


@opaque
@lru_cache(maxsize=4096)
def _scalar_cycles(function: str, count: int, factor: float, term: float, timing: Timing, type: ElementType) -> int:
    """Cycles of the scalar code of :class:`RowNumbers`: an operation takes its latency where the next instruction uses its
    result. Behind the first rows each two more take as long as the two before."""
    if count > ROWS_WRITTEN + 1:
        last = ROWS_WRITTEN + (count - ROWS_WRITTEN) % 2
        before, whole = (_scalar_cycles(function, rows, factor, term, timing, type) for rows in (last - 2, last))
        return whole + (count - last) // 2 * (whole - before)
    work, program = RowNumbers(function, count, factor, term), Program("count")
    program.memory("given", "fp32", work.count)
    program.memory("found", type, work.count)
    work.write_scalars(program, "given", "found")
    return scalar_cycles(timing, program.code)


def scalar_cycles(timing: Timing, code: Sequence[Scalar | Vector | Label]) -> int:
    """Cycles of the scalar instructions of ``code``."""
    return sum(map(_cycles_of, [timing] * len(code), code, [*code[1:], None]))


def _cycles_of(timing: Timing, item: Scalar | Vector | Label, following: Scalar | Vector | Label | None) -> int:
    if not isinstance(item, Scalar):
        return 0
    used = isinstance(following, Scalar) and item.dst is not None and item.dst in (following.a, following.b, following.c)
    return max(1, timing.latency(item.form, 1)) if used and item.form in ("scalar", "load") else 1


@dataclass(frozen=True)
class RowProducts:
    """``count`` rows of ``n`` elements, each times the number that ``numbers`` makes of the row's, in fp32; ``stored``: the
    number is rounded to what is stored before, an error that all elements of a row share. ``gain``: and times a gain (n,) of
    all rows."""

    n: int
    numbers: RowNumbers
    stored: bool = False
    gain: bool = False

    def _instruction(self, timing: Timing) -> str:
        return timing.instruction("mul", None if self.stored else "fp32")

    def _type(self, precision: str) -> ElementType:
        """Of the numbers."""
        return ELEMENT_TYPES[precision] if self.stored else "fp32"

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(elements, set-ups) of all instructions in cycles."""
        elements, setups = self.numbers.cycles(timing, self._type(timing.precision))
        product, times = self._instruction(timing), 1 + self.gain
        return (elements + times * timing.elements(product, self.numbers.count * self.n),
                setups + times * timing.setup(product))

    def emit(self, out: Emission, result: str) -> None:
        """Write the instructions; ``result``: the symbol of what goes out."""
        count, whole = self.numbers.count, self.numbers.count * self.n
        numbers = self.numbers.emit(out, out.inputs[1], self._type(out.timing.precision))
        product, target = self._instruction(out.timing), Mem(result, whole)
        if self.gain:
            target = Mem(out.program.memory(f"wide.{out.serial}", "fp32", whole), whole)
        out.program.emit(product, target, Mem(out.inputs[0], whole), Mem4d(numbers, (count, self.n), (1, 0)))
        if self.gain:
            out.program.emit(product, Mem(result, whole), target, Mem4d(out.inputs[2], (count, self.n), (0, 1)))

    def values(self, precision: str, threads: int, *tiles: np.ndarray) -> np.ndarray:
        """Values (height, width, ..., n) of rows, the same in ``precision``, of a number of each (height, width, ...) in fp32,
        and of a gain (height, width, n)."""
        type, (rows, given) = ELEMENT_TYPES[precision], tiles[:2]
        with np.errstate(all="ignore"):
            numbers = self.numbers.values(given).reshape(*rows.shape[:-1], 1)
            if self.stored:
                numbers = load(type, store(type, numbers))
            found = load(type, rows) * numbers
            if self.gain:
                found = found * load(type, tiles[2]).reshape(*rows.shape[:2], *(1,) * (rows.ndim - 3), self.n)
            return store(type, found)
