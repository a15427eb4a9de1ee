"""Local work: every PE on its own tiles, nothing sent.

Each kind is one short program: its vector instructions and calls of the software library are what the cycle engine runs,
what both engines count, and what the tile kernels compute, step by step with the same roundings. The exponentials of a
softmax, two rows of four fp16, each minus its row's largest; differences stay in fp32 until the exponential is taken:

>>> from wsekern.ops import Local
>>> from wsekern.ops.engines.cycle import compile_operations
>>> work = Local("expsub", n=4, count=2)
>>> compiled = compile_operations([work], "wse3", 1, 1, "silicon", "fp16")
>>> print(compiled.simulation.layout.programs[0].text().partition("task main:")[2].strip(chr(10)))
    fsubs "wide.0"[4], in0[4], in1[4, stride=0]
    lib_exp "local.0"[4], "wide.0"[4]
    fsubs "wide.0"[4], in0[4, offset=4], in1[4, offset=1, stride=0]
    lib_exp "local.0"[4, offset=4], "wide.0"[4]
>>> compiled.simulation.run(), work.cycles(compiled.simulation.layout.timing)      # two set-ups of 11 cycles are overhead
(584, (562, 22))
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import LIBRARY, Timing
from wsekern.number_formats import NUMPY_DTYPES, round_bf16
from wsekern.ops.lines.line import check_count, check_elements
from wsekern.program import Mem, Mem4d
from wsekern.program.operands import TYPE_BYTES

if TYPE_CHECKING:
    from wsekern.ops.engines.cycle import Emission
    from wsekern.ops.engines.flow import FlowEngine
    from wsekern.program.operands import ElementType, Operand

Precision = Literal["tile", "stored", "sums", "fp32"]


@dataclass(frozen=True)
class Step:
    """One instruction of a kind of local work: target, then sources, as :class:`_Operands` knows them."""

    operation: str
    """A vector operation (``mul``), or a function of the software library (``lib_exp``)."""
    operands: str
    precision: Precision = "tile"
    """``tile``: what the dtype does that operation in; ``stored``: what its tiles are stored in, with one rounding; ``sums``:
    added in fp32, whatever is added; ``fp32``."""
    elements: Literal["row", "half", "rows"] = "row"
    """A row at a time, half of one, or one number of every row in a single instruction."""

    def instruction(self, timing: Timing) -> str:
        """The instruction that does it."""
        if self.operation in LIBRARY:
            return self.operation
        dtype = {"tile": timing.dtype, "stored": "fp16" if timing.dtype == "fp16_fp32" else timing.dtype, "fp32": "fp32",
                 "sums": "fp32" if timing.dtype == "fp32" else "fp16_fp32"}
        return timing.instruction(self.operation, dtype[self.precision])


@dataclass(frozen=True)
class Kind:
    """A kind of local work: its tiles and its steps. ``row``: (count, n); ``number``: (count,) of the dtype, ``sum``: in
    fp32; ``gain``: (n,); ``turn``: (count / heads, n / 2)."""

    tiles: str
    steps: tuple[Step, ...]
    result: Literal["row", "number", "sum"] = "row"
    parameters: tuple[str, ...] = ()


def _one(tiles: str, operation: str, operands: str, **more: Any) -> Kind:
    return Kind(tiles, (Step(operation, operands),), **more)


def _sum(tiles: str, operation: str, operands: str) -> Kind:
    return Kind(tiles, (Step(operation, operands, "sums"),), "sum")


_KINDS = {
    "mov": _one("row", "mov", "out a"), "copy": _one("row", "mov", "out a"),
    "add": _one("row row", "add", "out a b"), "sub": _one("row row", "sub", "out a b"),
    "mul": _one("row row", "mul", "out a b"), "max": _one("row row", "max", "out a b"),
    "scale": _one("row", "mul", "out a factor", parameters=("factor",)),
    "fma": Kind("row row row", (Step("fma", "out c a b", "stored"),)),
    "sum": _sum("row", "add", "total total a"), "rowsum": _sum("row", "add", "total total a"),
    "rowmax": Kind("row", (Step("mov", "totals firsts", elements="rows"), Step("max", "total a total")), "number"),
    "sumsq": _sum("row", "fma", "total total a a"), "dot": _sum("row row", "fma", "total total a b"),
    "rownorm": Kind("row sum gain", (Step("fma", "numbers eps b_all inverse", "fp32", "rows"),
                                     Step("lib_rsqrt", "numbers numbers", elements="rows"),
                                     Step("mul", "wide a number", "fp32"), Step("mul", "out wide c_gain", "fp32")),
                    parameters=("divisor", "eps")),
    "rowdiv": Kind("row sum", (Step("lib_div", "numbers one b_all", elements="rows"),
                               Step("mul", "out a number", "fp32"))),
    "expsub": Kind("row number", (Step("sub", "wide a b_number", "fp32"), Step("lib_exp", "out wide"))),
    "rope": Kind("row turn turn", (Step("mul", "cosines a b_turn"), Step("mul", "sines a c_turn"),
                                   Step("sub", "out_first cosines_first sines_second", elements="half"),
                                   Step("add", "out_second cosines_second sines_first", elements="half"))),
    "exp": _one("row", "lib_exp", "out a"), "reciprocal": _one("row", "lib_div", "out one a"),
    "rsqrt": _one("row", "lib_rsqrt", "out a"), "silu": _one("row", "lib_silu", "out a"),
    "silu_mul": Kind("row row", (Step("lib_silu", "wide a"), Step("mul", "out wide b", "fp32"))),
}

LOCAL_KINDS = tuple(_KINDS)


@dataclass(frozen=True)
class Local:
    """``kind`` on ``count`` rows of ``n`` elements of every PE.

    Element-wise: mov, copy, add, sub, mul, max, scale (by ``factor``), fma, exp, reciprocal, rsqrt, silu, silu_mul
    (SiLU of one tile times another), rope (rotation of pairs, first halves first; ``heads`` rows share an angle). By rows:
    rowmax, rowsum, sum, sumsq, dot to one number; expsub (exp of the row minus a number), rowdiv (row times 1 / number),
    rownorm (row times rsqrt(s * (1 / divisor) + eps) times gain).

    Sums are fp32 chains from 0, elements in order. Functions of the software library compute in fp32, as do the steps that
    take or give a number between two roundings; every other step is rounded to the dtype. Cost: ``local_call +`` for each
    row and vector instruction ``setup + n / rate`` and for each call of the library its latency (``exp``, ``divide``,
    ``rsqrt``; silu: ``exp + divide``) an element; what is one number a row is done for all rows in one instruction.
    """

    kind: str
    n: int
    count: int = 1
    factor: float = 1.0
    divisor: float = 1.0
    eps: float = 0.0
    heads: int = 1
    colors: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise InputError(f"no local work {self.kind!r}: use one of {', '.join(LOCAL_KINDS)}")
        if self.n < 0 or self.count < 0:
            raise InputError(f"n is {self.n} and count {self.count}: expected numbers that are not negative")
        check_count("the elements of a tile", self.n * self.count)
        if self.kind == "rope" and self.n % 2:
            raise InputError(f"rows of {self.n} elements: rope takes an even number, first halves and second halves of pairs")
        if self.heads < 1 or self.count % self.heads:
            raise InputError(f"heads is {self.heads}: expected a divisor of the {self.count} rows, at least 1")

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(compute, overhead) cycles of one PE."""
        if not self.n or not self.count:
            return 0, 0
        compute, overhead = 0, timing.latency("local_call", timing.latency("call"))
        for step in _KINDS[self.kind].steps:
            instruction, (times, elements) = step.instruction(timing), self._extent(step)
            compute += times * timing.elements(instruction, elements)
            overhead += times * timing.setup(instruction)
        return compute, overhead

    def _extent(self, step: Step) -> tuple[int, int]:
        """How many instructions a step is, and their elements."""
        return (1, self.count) if step.elements == "rows" else (self.count, self.n // 2 if step.elements == "half" else self.n)

    def time(self, engine: "FlowEngine") -> None:
        """Advance the clocks of ``engine`` by this operation."""
        compute, overhead = self.cycles(engine.timing)
        engine.spend(compute=compute, overhead=overhead)

    def flow(self, engine: "FlowEngine", *tiles: np.ndarray) -> np.ndarray | None:
        """Values by :mod:`wsekern.tiles`: tiles (height, width, [count,] n) -> the same, or one number per row.

        Without tiles only the clocks move: the caller has moved the data itself.
        """
        if not tiles:
            return self.time(engine)
        from wsekern.tiles import local

        check_elements(str(self), self.tiles(), tiles)
        parameters = {name: getattr(self, name) for name in _KINDS[self.kind].parameters}
        result = local(self.kind, *tiles, dtype=engine.dtype, threads=engine.threads, **parameters)
        self.time(engine)
        return result

    def __str__(self) -> str:
        return f"{self.kind} of {self.count} rows of {self.n}"

    def tiles(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the tiles on each PE."""
        shapes = {"row": (self.count, self.n), "number": (self.count,), "sum": (self.count,), "gain": (self.n,),
                  "turn": (self.count // self.heads, self.n // 2)}
        return tuple(shapes[tile] for tile in _KINDS[self.kind].tiles.split())

    def tile_types(self, type: "ElementType") -> tuple["ElementType", ...]:
        """Element types of the tiles where ``type`` is the dtype's: sums are fp32."""
        return tuple("fp32" if tile == "sum" else type for tile in _KINDS[self.kind].tiles.split())

    def result_bytes(self, type: "ElementType") -> int:
        """Bytes of the result on a PE where ``type`` is the dtype's."""
        result = _KINDS[self.kind].result
        return self.count * (4 if result == "sum" else TYPE_BYTES[type] * (self.n if result == "row" else 1))

    def shaped_as(self, tile: np.ndarray) -> tuple[int, ...]:
        """Shape of the result for a first tile (height, width, ..., n)."""
        return tile.shape if _KINDS[self.kind].result == "row" else tile.shape[:-1]

    def role(self, position: int, length: int) -> None:
        """All PEs run the same program."""

    def paint(self, layout: Any, colors: Sequence[int]) -> None:
        """Nothing is sent."""

    def emit(self, out: "Emission", role: None) -> str:
        """The steps that each row takes, one row after the other, behind those that all rows share."""
        kind, program = _KINDS[self.kind], out.program
        if self.kind == "rowmax" and not self.n:
            raise InputError("a has rows of no elements: expected at least one, for the largest")
        operands = _Operands(self, out)
        result = operands.result(kind.result)
        if not self.n or not self.count:
            return result
        program.spend(out.timing.latency("local_call", out.timing.latency("call")))
        for step in (step for step in kind.steps if step.elements == "rows"):
            program.emit(step.instruction(out.timing), *map(operands.all_rows, step.operands.split()))
        for row in range(self.count):
            for step in (step for step in kind.steps if step.elements != "rows"):
                program.emit(step.instruction(out.timing), *(operands.of_row(name, row) for name in step.operands.split()))
        return result


class _Operands:
    """Operands of the steps of one operation by their names, with memory for what they need beside the tiles.

    ``a``, ``b``, ``c``: rows of the tiles; ``b_number``, ``c_gain``, ``b_turn``: what a tile that has no rows gives a row;
    ``out``, ``total``: row and number of the result; ``wide``: an fp32 row, ``cosines``, ``sines``: rows of the dtype;
    ``number``: an fp32 number of each row; ``_first``, ``_second``: halves of a row. ``one``, ``factor``, ``eps``,
    ``inverse``: constants.
    """

    def __init__(self, work: Local, out: "Emission") -> None:
        self.work, self.out = work, out
        self.tile = dict(zip("abc", out.inputs, strict=False))

    def memory(self, name: str, type: "ElementType", elements: int, initial: Any = None) -> str:
        """A symbol of this operation's own."""
        return self.out.program.memory(f"{name}.{self.out.serial}", type, elements, initial)

    def result(self, shape: str) -> str:
        """The symbol of the result: sums begin at 0."""
        work = self.work
        if shape == "row":
            return self.memory("local", self.out.type, work.count * work.n)
        if shape == "number":
            return self.memory("local", self.out.type, work.count)
        return self.memory("local", "fp32", work.count, 0)

    def all_rows(self, name: str) -> "Operand":
        """An operand of an instruction that all rows share."""
        work = self.work
        if name == "firsts":
            return Mem(self.tile["a"], work.count, 0, work.n)
        if name in ("totals", "numbers", "b_all"):
            symbol = {"totals": f"local.{self.out.serial}", "b_all": self.tile.get("b")}.get(name) or self._numbers()
            return Mem(symbol, work.count)
        return self._constant(name)

    def of_row(self, name: str, row: int) -> "Operand":
        """An operand of an instruction for one row."""
        work, n, (place, _, part) = self.work, self.work.n, name.partition("_")
        if part in ("first", "second"):
            symbol, offset = (f"local.{self.out.serial}", row * n) if place == "out" else (self._row_of(place), 0)
            return Mem(symbol, n // 2, offset + n // 2 * (part == "second"))
        if part == "turn":
            return Mem4d(self.tile[place], (2, n // 2), (0, 1), row // work.heads * (n // 2))
        if part == "gain":
            return Mem(self.tile[place], n)
        if part == "number":
            return Mem(self.tile[place], n, row, 0)
        if place in self.tile:
            return Mem(self.tile[place], n, row * n)
        if place == "out":
            return Mem(f"local.{self.out.serial}", n, row * n)
        if place in ("total", "number"):
            return Mem(f"local.{self.out.serial}" if place == "total" else self._numbers(), n, row, 0)
        if place in ("wide", "cosines", "sines"):
            return Mem(self._row_of(place), n)
        return self._constant(name)

    def _numbers(self) -> str:
        return self.memory("numbers", "fp32", self.work.count)

    def _row_of(self, name: str) -> str:
        return self.memory(name, "fp32" if name == "wide" else self.out.type, self.work.n)

    def _constant(self, name: str) -> Mem:
        """One number for all elements; the factor in the dtype, others in fp32."""
        work, type = self.work, self.out.type if name == "factor" else "fp32"
        with np.errstate(all="ignore"):
            if type == "bf16":
                value = round_bf16(np.full(1, work.factor, np.float32))
            elif name == "factor":
                value = NUMPY_DTYPES[type](work.factor)
            else:
                value = {"one": np.float32(1), "eps": np.float32(work.eps),
                         "inverse": np.float32(1) / np.float32(work.divisor)}[name]
        return Mem(self.memory(name, type, 1, value), 1, 0, 0)
