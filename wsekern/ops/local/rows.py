"""Local work: every PE on its own tiles, nothing sent.

Each kind is one short program: its vector instructions and calls of the software library are what the cycle engine runs,
what both engines count, and what the tile kernels compute, step by step with the same roundings. The exponentials of a
softmax, two rows of four fp16, each minus its row's largest; differences stay in fp32 until the exponential is taken:

>>> from wsekern.ops import Local
>>> from wsekern.ops.engines.programs import compile_operations
>>> work = Local("expsub", n=4, count=2)
>>> compiled = compile_operations([work], "wse3", 1, 1, "silicon", "fp16")
>>> print(compiled.simulation.layout.programs[0].text().partition("task main:")[2].strip(chr(10)))
    fsubs "wide.0"[4], in0[4], in1[4, stride=0]
    lib_exp "local.0"[4], "wide.0"[4]
    fsubs "wide.0"[4], in0[4, offset=4], in1[4, offset=1, stride=0]
    lib_exp "local.0"[4, offset=4], "wide.0"[4]
>>> compiled.simulation.run(), work.cycles(compiled.simulation.layout.timing)      # two set-ups of 11 cycles are overhead
(586, (564, 22))
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Literal, get_args

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import LIBRARY, Timing
from wsekern.number_formats import NUMPY_DTYPES, round_bf16
from wsekern.ops.local.calls import CALLS
from wsekern.ops.local.chains import RowMaxima, RowSums
from wsekern.ops.local.functions import DIFFERENCES, FUNCTIONS
from wsekern.ops.local.numbers import RowNumbers, RowProducts
from wsekern.ops.local.vector import VectorWork
from wsekern.ops.operation import ELEMENT_TYPES, Clocks, Emission, LocalOperation, Shapes, check_count, check_operands
from wsekern.ops.repeated import Repeated, common
from wsekern.program import Mem, Mem4d
from wsekern.program.operands import TYPE_BYTES, ElementType, Operand
from wsekern.tiles import local

Precision = Literal["tile", "stored", "sums", "fp32"]


@dataclass(frozen=True)
class LocalStep:
    """One instruction of a kind of local work: target, then sources, by the words in the table of :class:`_Operands`."""

    operation: str
    """A vector operation (``mul``), or a function of the software library (``lib_exp``)."""
    operands: str
    precision: Precision = "tile"
    """``tile``: what the engine's precision does that operation in; ``stored``: what its tiles are stored in, with one
    rounding; ``sums``: added in fp32, whatever is added; ``fp32``."""
    elements: Literal["row", "half", "rows", "all", "halves"] = "row"
    """A row at a time, or half of one; in a single instruction one number of every row, all rows, or a half of each."""

    def instruction(self, timing: Timing) -> str:
        """The instruction that does it."""
        if self.operation in LIBRARY:
            return self.operation
        wide = timing.precision == "fp32"
        precision = {"tile": timing.precision, "stored": "fp16" if timing.precision == "fp16_fp32" else timing.precision,
                     "fp32": "fp32", "sums": "fp32" if wide else "fp16_fp32"}
        return timing.instruction(self.operation, precision[self.precision])


@dataclass(frozen=True)
class Kind:
    """A kind of local work: its tiles and its steps. ``row``: (count, n); ``number``: (count,) of the precision, ``sum``: in
    fp32; ``gain``: (n,); ``turn``: (count / heads, n / 2)."""

    tiles: str
    steps: tuple[LocalStep, ...]
    result: Literal["row", "number", "sum"] = "row"
    parameters: tuple[str, ...] = ()


def _one(tiles: str, operation: str, operands: str, elements: Literal["row", "all"] = "row", **more: Any) -> Kind:
    return Kind(tiles, (LocalStep(operation, operands, elements=elements),), **more)


def _sum(tiles: str, operation: str, operands: str) -> Kind:
    return Kind(tiles, (LocalStep(operation, operands, "sums"),), "sum")


_KINDS = {
    "mov": _one("row", "mov", "out a"), "copy": _one("row", "mov", "out a"),
    "add": _one("row row", "add", "out a b"), "sub": _one("row row", "sub", "out a b"),
    "mul": _one("row row", "mul", "out a b"), "max": _one("row row", "max", "out a b"),
    "scale": _one("row", "mul", "out a factor", parameters=("factor",)),
    "fma": Kind("row row row", (LocalStep("fma", "out c a b", "stored"),)),
    "sum": _sum("row", "add", "total total a"), "rowsum": _sum("row", "add", "total total a"),
    "rowmax": Kind("row", (LocalStep("mov", "totals firsts", elements="rows"), LocalStep("max", "total a total")), "number"),
    "sumsq": _sum("row", "fma", "total total a a"), "dot": _sum("row row", "fma", "total total a b"),
    "rownorm": Kind("row sum gain", (LocalStep("fma", "numbers eps b_all inverse", "fp32", "rows"),
                                     LocalStep("lib_rsqrt", "numbers numbers", elements="rows"),
                                     LocalStep("mul", "wide a number", "fp32"), LocalStep("mul", "out wide c_gain", "fp32")),
                    parameters=("divisor", "eps")),
    "rowscale": Kind("row sum", (), parameters=("divisor", "eps")),
    "rowsub": Kind("row sum gain", (LocalStep("mul", "numbers b_all inverse", "fp32", "rows"),
                                    LocalStep("sub", "wide a number", "fp32"), LocalStep("mul", "out wide c_gain", "fp32")),
                   parameters=("divisor",)),
    "rowdiv": Kind("row sum", (LocalStep("lib_div", "numbers one b_all", elements="rows"),
                               LocalStep("mul", "out a number", "fp32"))),
    "expsub": Kind("row number", (LocalStep("sub", "wide a b_number", "fp32"), LocalStep("lib_exp", "out wide"))),
    "rope": Kind("row turn turn", (LocalStep("mul", "cosines a b_turn"), LocalStep("mul", "sines a c_turn"),
                                   LocalStep("sub", "out_first cosines_first sines_second", elements="half"),
                                   LocalStep("add", "out_second cosines_second sines_first", elements="half"))),
    "exp": _one("row", "lib_exp", "out a"), "reciprocal": _one("row", "lib_div", "out one a"),
    "rsqrt": _one("row", "lib_rsqrt", "out a"), "silu": _one("row", "lib_silu", "out a"),
    "silu_mul": Kind("row row", (LocalStep("lib_silu", "wide a"), LocalStep("mul", "out wide b", "fp32"))),
}

_TWO_ROWS = tuple(name for name in FUNCTIONS if name.endswith("_mul") or name == "clamped_silu")
_TILES = {**dict.fromkeys(DIFFERENCES, "row number"), "rowdiv": "row sum", **dict.fromkeys(_TWO_ROWS, "row row")}
_KINDS |= {name: Kind(_TILES.get(name, "row"), (), parameters=("factor",)) for name in CALLS}
LOCAL_KINDS = tuple(_KINDS)
_TOGETHER = {
    **{name: _one("row row", name, "out a b", elements="all") for name in ("add", "sub", "mul", "max")},
    "rope": Kind("row turn turn", (LocalStep("mul", "cosines a b_turn", elements="all"),
                                   LocalStep("mul", "sines a c_turn", elements="all"),
                                   LocalStep("sub", "out_first cosines_first sines_second", elements="halves"),
                                   LocalStep("add", "out_second cosines_second sines_first", elements="halves"))),
}
"""Vector forms of work that calls no function of many numbers: the same steps, all rows in one instruction."""
_VECTOR_KINDS = {**{name: Kind(_TILES.get(name, "row"), ()) for name in (*FUNCTIONS, "rowdiv")},
                 "rownorm": Kind("row sum gain", ()), **{name: Kind("row", (), "sum") for name in ("rowsum", "sumsq")},
                 "rowmax": Kind("row", (), "number")}
_IN_VECTORS = {**_VECTOR_KINDS, **_TOGETHER}
"""Everything that has a vector form."""
_NAMES = {*_KINDS, *_VECTOR_KINDS}
Form = Literal["scalar", "vector", "vector-fp32"]
"""How functions are computed: by calls of the software library, one element after the other, in fp32; in vector instructions of
the type that tiles are stored in; in vector instructions in fp32."""
FORMS = get_args(Form)


def check_form(form: str) -> None:
    """Refuse a form that does not exist."""
    if form not in FORMS:
        raise InputError(f"no form {form!r} of local work: use one of {', '.join(FORMS)}")


@dataclass(frozen=True)
class Local(LocalOperation):
    """``kind`` on ``count`` rows of ``n`` elements of every PE.

    Element-wise: mov, copy, add, sub, mul, max, scale (by ``factor``), fma, exp, reciprocal, rsqrt, silu, silu_mul
    (SiLU of one tile times another), rope (rotation of pairs, first halves first; ``heads`` rows share an angle). By rows:
    rowmax, rowsum, sum, sumsq, dot to one number; expsub and exp2sub (exp and 2^ of the row minus a number), rowdiv (row times
    1 / number), rowscale (row times rsqrt(s * (1 / divisor) + eps) in the precision), rownorm (the same times gain), rowsub
    (row minus s * (1 / divisor), times gain). Those of :data:`wsekern.ops.local.calls.CALLS` (gelu, gelu_erf, sigmoid, relu2,
    softcap, ...) are steps in every form. In ``form`` vector or vector-fp32, functions (those, and exp, silu, silu_mul, expsub,
    softplus, reciprocal, rsqrt) are the steps of :mod:`wsekern.ops.local.functions`, and an instruction of those and of add,
    sub, mul, max, rope, rowdiv and rownorm takes all rows together, and one of rowmax, rowsum and sumsq a column of all rows,
    or all, where that is quicker.

    Sums are fp32 chains from 0, elements in order. Functions of the software library compute in fp32, as do the steps that
    take or give a number between two roundings; every other step is rounded to the precision. Cost: ``local_call +`` for each
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
    form: Form = "scalar"

    def __post_init__(self) -> None:
        if self.kind not in _NAMES:
            raise InputError(f"no local work {self.kind!r}: use one of {', '.join(LOCAL_KINDS)}")
        check_form(self.form)
        if self.kind not in (_KINDS if self.form == "scalar" else _IN_VECTORS):
            raise InputError(f"{self.kind} has no form {self.form!r}: those with vector forms are "
                             f"{', '.join(_IN_VECTORS)}")
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
        if self._vector:
            elements, setups = self._vector.cycles(timing)
            return elements, overhead + setups
        for step in self._kind.steps:
            instruction, (times, elements) = step.instruction(timing), self._extent(step)
            compute += times * timing.elements(instruction, elements)
            overhead += times * timing.setup(instruction)
        return compute, overhead

    @cached_property
    def _kind(self) -> Kind:
        return (_KINDS if self.form == "scalar" else _IN_VECTORS)[self.kind]

    @cached_property
    def _vector(self) -> VectorWork | RowProducts | RowSums | RowMaxima | None:
        """The steps of a function in a vector form, or of a number of each row."""
        inverse, eps = float(np.float32(1) / np.float32(self.divisor)), float(np.float32(self.eps))
        if self.kind == "rowscale":
            return RowProducts(self.n, RowNumbers("rsqrt", self.count, inverse, eps), stored=True)
        if self.kind not in (CALLS if self.form == "scalar" else _VECTOR_KINDS):
            return None
        if self.kind == "rowdiv":
            return RowProducts(self.n, RowNumbers("one_over", self.count))
        if self.kind == "rownorm":
            return RowProducts(self.n, RowNumbers("rsqrt", self.count, inverse, eps), gain=True)
        if self.kind in ("rowsum", "sumsq"):
            return RowSums(self.n, self.count, self.kind == "sumsq")
        if self.kind == "rowmax":
            return RowMaxima(self.n, self.count)
        return VectorWork(self.kind, self.form, self.n, self.count, self.factor)

    def _extent(self, step: LocalStep) -> tuple[int, int]:
        """How many instructions a step is, and their elements."""
        together = {"rows": self.count, "all": self.count * self.n, "halves": self.count * (self.n // 2)}
        if step.elements in together:
            return 1, together[step.elements]
        return self.count, self.n // 2 if step.elements == "half" else self.n

    def flow(self, engine: Clocks, *tiles: np.ndarray) -> np.ndarray | None:
        """Values by :mod:`wsekern.tiles`: tiles (height, width, [count,] n) -> the same, or one number per row.

        Without tiles only the clocks move: the caller has moved the data itself.
        """
        if not tiles:
            return self.time(engine)
        check_operands(self, self.tiles(), tiles)
        result = self._compute(engine, *tiles)
        self.time(engine)
        return result

    def values(self, engine: Clocks, *tiles: Repeated) -> Repeated:
        """Values alone, once for PEs that hold the same."""
        check_operands(self, self.tiles(), [tile.tiles for tile in tiles])
        down, across = common(tiles)
        result = self._compute(engine, *(tile.at(down, across) for tile in tiles))
        return Repeated(result, tiles[0].height, tiles[0].width, down, across)

    def _compute(self, engine: Clocks, *tiles: np.ndarray) -> np.ndarray:
        """The result of the tiles of some PEs (rows, columns, ...)."""
        if self._vector:
            return self._vector.values(engine.precision, engine.threads, *tiles)
        numbers = {"factor": self.factor, "divisor": self.divisor, "eps": self.eps}
        parameters = {name: numbers[name] for name in self._kind.parameters}
        return local(self.kind, *tiles, precision=engine.precision, threads=engine.threads, **parameters)

    def __str__(self) -> str:
        return f"{self.kind} of {self.count} rows of {self.n}" + (f", {self.form}" if self.form != "scalar" else "")

    @property
    def label(self) -> str:
        """Its kind and its size."""
        return str(self)

    def tiles(self) -> Shapes:
        """Shapes of the tiles on each PE."""
        return self._tiles

    @cached_property
    def _tiles(self) -> Shapes:
        shapes = {"row": (self.count, self.n), "number": (self.count,), "sum": (self.count,), "gain": (self.n,),
                  "turn": (self.count // self.heads, self.n // 2)}
        return tuple(shapes[tile] for tile in self._kind.tiles.split())

    def tile_types(self, type: ElementType) -> tuple[ElementType, ...]:
        """Element types of the tiles where ``type`` is the precision's: sums are fp32."""
        return tuple("fp32" if tile == "sum" else type for tile in self._kind.tiles.split())

    def memory_bytes(self, engine: Clocks) -> int:
        """Bytes of the tiles and of the result that a PE holds."""
        type, result = ELEMENT_TYPES[engine.precision], self._kind.result
        taken = sum(prod(shape) * TYPE_BYTES[kept] for shape, kept in zip(self.tiles(), self.tile_types(type), strict=True))
        return taken + self.count * (4 if result == "sum" else TYPE_BYTES[type] * (self.n if result == "row" else 1))

    def result_shape(self, engine: Clocks, *tiles: np.ndarray) -> tuple[int, ...]:
        """Shape of the result for a first tile (height, width, ..., n)."""
        return tiles[0].shape if self._kind.result == "row" else tiles[0].shape[:-1]

    def emit(self, out: Emission, role: None) -> str:
        """The steps that each row takes, one row after the other, behind those that all rows share."""
        kind, program = self._kind, out.program
        if self.kind == "rowmax" and not self.n:
            raise InputError("a has rows of no elements: expected at least one, for the largest")
        operands = _Operands(self, out)
        result = operands.result(kind.result)
        if not self.n or not self.count:
            return result
        program.spend(out.timing.latency("local_call", out.timing.latency("call")))
        if self._vector:
            self._vector.emit(out, result)
        shared = {"rows": operands.all_rows, "all": operands.together, "halves": operands.together}
        for step in (step for step in kind.steps if step.elements in shared):
            program.emit(step.instruction(out.timing), *map(shared[step.elements], step.operands.split()))
        for row in range(self.count):
            for step in (step for step in kind.steps if step.elements in ("row", "half")):
                program.emit(step.instruction(out.timing), *(operands.of_row(name, row) for name in step.operands.split()))
        return result


class _Operands:
    """Operands of the steps of one operation by their words, with memory for what they need beside the tiles.

    ================================  =============  ========================================================
    word                              elements       type, and what it is
    ================================  =============  ========================================================
    ``a`` ``b`` ``c``                 n              precision; this row of the first, second, third tile
    ``b_number``                      1, repeated    the tile's; the number of this row in a tile (count,)
    ``c_gain``                        n              precision; the tile (n,) that all rows share
    ``b_turn`` ``c_turn``             n / 2, twice   precision; this row's angles, for both halves
    ``out``                           n              precision; this row of the result
    ``total``                         1, repeated    precision or fp32; the number of this row in the result
    ``wide``                          n              fp32; room for one row
    ``cosines`` ``sines``             n              precision; room for one row
    ``number``                        1, repeated    fp32; room for a number of this row
    ``..._first`` ``..._second``      n / 2          a half of a row
    ``firsts``                        count          precision; the first element of every row of the first tile
    ``totals`` ``numbers`` ``b_all``  count          numbers of all rows: the result, the room, the second tile
    ``one`` ``eps`` ``inverse``       1, repeated    fp32 constants: 1, ``eps``, 1 / ``divisor``
    ``factor``                        1, repeated    precision; the constant ``factor``
    ================================  =============  ========================================================
    """

    def __init__(self, work: Local, out: Emission) -> None:
        self.work, self.out = work, out
        self.tile = dict(zip("abc", out.inputs, strict=False))

    def memory(self, name: str, type: ElementType, elements: int, initial: Any = None) -> str:
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

    def all_rows(self, name: str) -> Operand:
        """An operand of an instruction that all rows share."""
        work = self.work
        if name == "firsts":
            return Mem(self.tile["a"], work.count, 0, work.n)
        if name in ("totals", "numbers", "b_all"):
            symbol = {"totals": f"local.{self.out.serial}", "b_all": self.tile.get("b")}.get(name) or self._numbers()
            return Mem(symbol, work.count)
        return self._constant(name)

    def together(self, name: str) -> Operand:
        """An operand of an instruction for all elements of all rows."""
        work, n, (base, _, part) = self.work, self.work.n, name.partition("_")
        symbol = self.tile.get(base) or f"local.{self.out.serial}"
        if base in ("cosines", "sines"):
            symbol = self.memory(base, self.out.type, work.count * n)
        if part in ("first", "second"):
            return Mem4d(symbol, (work.count, n // 2), (n, 1), n // 2 * (part == "second"))
        if part == "turn":
            return Mem4d(symbol, (work.count // work.heads, work.heads, 2, n // 2), (n // 2, 0, 0, 1))
        return Mem(symbol, work.count * n)

    def of_row(self, name: str, row: int) -> Operand:
        """An operand of an instruction for one row."""
        work, n, (base, _, part) = self.work, self.work.n, name.partition("_")
        if part in ("first", "second"):
            symbol, offset = (f"local.{self.out.serial}", row * n) if base == "out" else (self._row_of(base), 0)
            return Mem(symbol, n // 2, offset + n // 2 * (part == "second"))
        if part == "turn":
            return Mem4d(self.tile[base], (2, n // 2), (0, 1), row // work.heads * (n // 2))
        if part == "gain":
            return Mem(self.tile[base], n)
        if part == "number":
            return Mem(self.tile[base], n, row, 0)
        if base in self.tile:
            return Mem(self.tile[base], n, row * n)
        if base == "out":
            return Mem(f"local.{self.out.serial}", n, row * n)
        if base in ("total", "number"):
            return Mem(f"local.{self.out.serial}" if base == "total" else self._numbers(), n, row, 0)
        if base in ("wide", "cosines", "sines"):
            return Mem(self._row_of(base), n)
        return self._constant(name)

    def _numbers(self) -> str:
        return self.memory("numbers", "fp32", self.work.count)

    def _row_of(self, name: str) -> str:
        return self.memory(name, "fp32" if name == "wide" else self.out.type, self.work.n)

    def _constant(self, name: str) -> Mem:
        """One number for all elements; the factor in the precision, others in fp32."""
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
