"""The softmax of a few numbers, the largest of which comes first: shares of the experts that a token chose."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import zip_longest

import numpy as np

from wsekern.formulas import opaque
from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops.local.arithmetic import evaluate, load, store
from wsekern.ops.local.functions import recipe
from wsekern.ops.local.numbers import ScalarWriter, scalar_cycles
from wsekern.ops.local.rows import Form, Local
from wsekern.ops.operation import ELEMENT_TYPES, Clocks, Emission, LocalOperation, Shapes, check_count, check_operands
from wsekern.ops.repeated import Repeated
from wsekern.program import Program
from wsekern.program.values import Value

FEW = 8
"""Rows at most that are scalar code: of more, vector instructions are quicker."""

TURNS = 4
"""Exponentials at most that are computed by turns."""


@dataclass(frozen=True)
class TopShares(LocalOperation):
    """Rows (count, n) whose first number is the largest -> exp(x - first) of each over their sum, of 16 bits.

    A vector instruction has a set-up, a scalar one does not: of few rows all is one piece of scalar code in fp32, rounded once,
    a row after the other. Of many it is the largest, exponentials, sum and quotients of :class:`wsekern.ops.Local` in ``form``,
    where these are quicker. Cost: ``local_call`` and the quicker one.
    """

    n: int
    count: int = 1
    form: Form = "vector"

    def __post_init__(self) -> None:
        check_count("n", self.n, 1)
        check_count("the elements of a tile", self.n * self.count)

    def __str__(self) -> str:
        return f"shares of {self.count} rows of {self.n}"

    @cached_property
    def parts(self) -> tuple[Local, Local, Local, Local]:
        """The largest of rows, exponentials, sums, quotients."""
        largest, exponentials, sums, quotients = (Local(kind, self.n, self.count, form=self.form)
                                                  for kind in ("rowmax", "expsub", "rowsum", "rowdiv"))
        return largest, exponentials, sums, quotients

    def by_scalars(self, timing: Timing) -> bool:
        """Whether it is scalar code."""
        if self.count > FEW:
            return False
        call = timing.latency("local_call", timing.latency("call"))
        return call + _scalars(self.n, self.count, timing) < sum(sum(part.cycles(timing)) for part in self.parts)

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(compute, overhead) cycles of one PE."""
        if self.by_scalars(timing):
            return _scalars(self.n, self.count, timing), timing.latency("local_call", timing.latency("call"))
        costs = [part.cycles(timing) for part in self.parts]
        return sum(compute for compute, _ in costs), sum(overhead for _, overhead in costs)

    def emit(self, out: Emission, role: None) -> str:
        """Scalar code row by row, or the parts one after the other."""
        if self.by_scalars(out.timing):
            result = out.program.memory(f"shares.{out.serial}", out.type, self.count * self.n)
            out.program.spend(out.timing.latency("local_call", out.timing.latency("call")))
            _write(out.program, out.inputs[0], result, self.count, self.n)
            return result
        largest, exponentials, sums, quotients = self.parts
        tops = largest.emit(self._within(out, 0, out.inputs[0]), None)
        terms = exponentials.emit(self._within(out, 1, out.inputs[0], tops), None)
        return quotients.emit(self._within(out, 3, terms, sums.emit(self._within(out, 2, terms), None)), None)

    @staticmethod
    def _within(out: Emission, index: int, *inputs: str) -> Emission:
        """Where one of the parts is written to: with buffers of its own."""
        return replace(out, inputs=inputs, serial=f"{out.serial}.{index}")

    def flow(self, engine: Clocks, rows: np.ndarray) -> np.ndarray:
        """Tiles (height, width, count, n) -> the same."""
        self.time(engine)
        return self.values(engine, Repeated.of(rows)).full()

    def values(self, engine: Clocks, *tiles: Repeated) -> Repeated:
        """Values alone, once for PEs that hold the same."""
        check_operands(self, self.tiles(), [tile.tiles for tile in tiles])
        rows, = tiles
        rows = rows.with_tiles(rows.tiles.reshape(*rows.tiles.shape[:2], self.count, self.n))
        if self.by_scalars(engine.timing):
            return rows.with_tiles(self.reference(rows.tiles, engine.timing))
        largest, exponentials, sums, quotients = self.parts
        terms = exponentials.values(engine, rows, largest.values(engine, rows))
        return quotients.values(engine, terms, sums.values(engine, terms))

    def reference(self, rows: np.ndarray, timing: Timing) -> np.ndarray:
        """The scalar code in plain numpy, each step rounded once."""
        type = ELEMENT_TYPES[timing.precision]
        with np.errstate(all="ignore"):
            given = load(type, rows)
            terms = np.ones(given.shape, np.float32)
            terms[..., 1:] = evaluate(recipe("share_exp", "fp32", "fp32"), given[..., 1:] - given[..., :1])
            total = terms[..., :1]
            for place in range(1, self.n):
                total = total + terms[..., place, None]
            return store(type, terms * evaluate(recipe("one_over", "fp32", "fp32"), total))

    def tiles(self) -> Shapes:
        """Shape of the rows on each PE."""
        return ((self.count, self.n),)

    def result_shape(self, engine: Clocks, *tiles: np.ndarray) -> tuple[int, ...]:
        """Shape of the shares."""
        return engine.height, engine.width, self.count, self.n

    def memory_bytes(self, engine: Clocks) -> int:
        """Bytes of the rows and the shares that a PE holds."""
        return 2 * np.dtype(NUMPY_DTYPES[engine.precision]).itemsize * self.count * self.n


def _write(program: Program, rows: str, result: str, count: int, n: int) -> None:
    """Scalar code for all rows; constants stay in registers."""
    code = program.main()
    exponential, one_over = (ScalarWriter(code, recipe(name, "fp32", "fp32")) for name in ("share_exp", "one_over"))
    given, found = (program.array(symbol, *program.symbols[symbol]) for symbol in (rows, result))
    for row in range(0, count * n, n):
        first, *others = [code.read(given, row + place or None).to("fp32") for place in range(n)]
        terms = [exponential.constant(1.0, "fp32"), *_exponentials(exponential, [other - first for other in others])]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        inverse = _all(one_over, [total])[0]
        for place, term in enumerate(terms):
            share = (term * inverse if place else inverse).to(found.type)
            code.write(found, row + place or None, share)


def _exponentials(writer: ScalarWriter, numbers: list[Value]) -> list[Value]:
    """Some by turns: what one waits for, the others do not."""
    return [found for start in range(0, len(numbers), TURNS) for found in _all(writer, numbers[start:start + TURNS])]


def _all(writer: ScalarWriter, numbers: list[Value]) -> list[Value]:
    """The function of a writer of some numbers, a step of each in turn."""
    found: dict[int, Value] = {}

    def run(place: int) -> Iterator[None]:
        found[place] = yield from writer.run(numbers[place])

    for _ in zip_longest(*map(run, range(len(numbers)))):
        pass
    return [found[place] for place in range(len(numbers))]


@opaque
@lru_cache(maxsize=1024)
def _scalars(n: int, count: int, timing: Timing) -> int:
    """Cycles of the scalar code of some rows."""
    program = Program("count")
    program.memory("rows", ELEMENT_TYPES[timing.precision], n * count)
    program.memory("result", ELEMENT_TYPES[timing.precision], n * count)
    _write(program, "rows", "result", count, n)
    return scalar_cycles(timing, program.code)
