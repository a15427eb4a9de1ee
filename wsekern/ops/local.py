"""Local work: every PE on its own tiles, nothing sent."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.ops.line import check_count
from wsekern.program import Mem

if TYPE_CHECKING:
    from wsekern.ops.cycle import Emission
    from wsekern.ops.flow import FlowEngine


@dataclass(frozen=True)
class Work:
    """What a kind of local work takes per row of n elements."""

    vector: tuple[tuple[str, float], ...] = ()
    """Vector instructions: operation, elements per element of the row."""
    element: tuple[str, ...] = ()
    """Functions done in software, once per element: keys of the profile's latencies."""
    row: tuple[str, ...] = ()
    """Functions done in software, once per row."""


_WORK = {
    "mov": Work((("mov", 1),)), "copy": Work((("mov", 1),)),
    "add": Work((("add", 1),)), "sub": Work((("sub", 1),)), "mul": Work((("mul", 1),)), "max": Work((("max", 1),)),
    "scale": Work((("mul", 1),)), "fma": Work((("fma", 1),)),
    "sum": Work((("add", 1),)), "rowsum": Work((("add", 1),)), "rowmax": Work((("max", 1),)),
    "sumsq": Work((("fma", 1),)), "dot": Work((("fma", 1),)),
    "rownorm": Work((("mul", 1), ("mul", 1)), row=("rsqrt",)),
    "rowdiv": Work((("mul", 1),), row=("divide",)),
    "expsub": Work((("sub", 1),), element=("exp",)),
    "rope": Work((("mul", 1), ("mul", 1), ("add", 0.5), ("sub", 0.5))),
    "exp": Work(element=("exp",)), "reciprocal": Work(element=("divide",)), "rsqrt": Work(element=("rsqrt",)),
    "silu": Work((("mul", 1),), element=("exp", "divide")),
    "silu_mul": Work((("mul", 1), ("mul", 1)), element=("exp", "divide")),
}

LOCAL_KINDS = tuple(_WORK)
_OPERANDS = {"mov": 1, "copy": 1, "add": 2, "sub": 2, "mul": 2, "max": 2, "fma": 3}
"""Kinds that are one vector instruction for each row, and the tiles that they take."""
_SUMS = {"sum": 1, "rowsum": 1, "sumsq": 1, "dot": 2}
"""Kinds that add up each row in fp32, and the tiles that they take."""
_PARAMETERS = {"scale": ("factor",), "rownorm": ("divisor", "eps")}


def _in_fp32(timing: Timing) -> Timing:
    """Costs of adding numbers of the dtype in fp32."""
    return timing if timing.dtype == "fp32" else replace(timing, dtype="fp16_fp32")


@dataclass(frozen=True)
class Local:
    """``kind`` on ``count`` rows of ``n`` elements of every PE.

    Element-wise: mov, copy, add, sub, mul, max, scale (by ``factor``), fma, exp, reciprocal, rsqrt, silu, silu_mul
    (SiLU of one tile times another), rope (rotation of pairs). By rows: rowmax, rowsum, sum, sumsq, dot to one
    number; expsub (exp of the row minus a number), rowdiv (row by a number), rownorm (row times rsqrt(s / divisor +
    eps) times gain). Cost: ``local_call +`` for each row and vector instruction ``setup + n / rate``, for each
    function done in software its latency (``exp``, ``divide``, ``rsqrt``) per element or row.

    On the cycle engine element-wise work and sums (in fp32) are programs of vector instructions; of the rest both engines
    know the time alone, and the tile kernels compute its values.
    """

    kind: str
    n: int
    count: int = 1
    factor: float = 1.0
    divisor: float = 1.0
    eps: float = 0.0
    colors: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if self.kind not in _WORK:
            raise InputError(f"no local work {self.kind!r}: use one of {', '.join(LOCAL_KINDS)}")
        if self.n < 0 or self.count < 0:
            raise InputError(f"n is {self.n} and count {self.count}: expected numbers that are not negative")
        check_count("the elements of a tile", self.n * self.count)

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(compute, overhead) cycles of one PE."""
        if not self.n or not self.count:
            return 0, 0
        work = _WORK[self.kind]
        compute = sum(timing.latency(function, 1) for function in work.row)
        compute += self.n * sum(timing.latency(function, 1) for function in work.element)
        overhead = 0
        for operation, share in work.vector:
            instruction = self._instruction(operation, timing)
            compute += timing.elements(instruction, ceil(self.n * share))
            overhead += timing.setup(instruction)
        return self.count * compute, timing.latency("local_call", timing.latency("call")) + self.count * overhead

    def _instruction(self, operation: str, timing: Timing) -> str:
        """Vector instruction of ``operation``; sums over rows add in fp32 whatever they add."""
        return (timing if self.kind not in _SUMS else _in_fp32(timing)).instruction(operation)

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

        parameters = {name: getattr(self, name) for name in _PARAMETERS.get(self.kind, ())}
        result = local(self.kind, *tiles, dtype=engine.dtype, threads=engine.threads, **parameters)
        self.time(engine)
        return result

    def tiles(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the tiles on each PE."""
        return ((self.count, self.n),) * (_OPERANDS | _SUMS).get(self.kind, 1)

    def role(self, position: int, length: int) -> None:
        """All PEs run the same program."""

    def paint(self, layout: Any, colors: Sequence[int]) -> None:
        """Nothing is sent."""

    def emit(self, out: "Emission", role: None) -> str:
        """One vector instruction for each row."""
        timing, program, n = out.timing, out.program, self.n
        sums = self.kind in _SUMS
        if not sums and self.kind not in _OPERANDS:
            raise InputError(f"{self.kind} has no program for the cycle engine, which knows its time alone: use "
                             "the flow engine for its values")
        type = "fp32" if sums else out.type
        result = program.memory(f"local.{out.serial}", type, self.count if sums else self.count * n)
        if self.n and self.count:
            program.spend(timing.latency("local_call", timing.latency("call")))
        instruction = self._instruction(_WORK[self.kind].vector[0][0], timing)
        for row in range(self.count if n else 0):
            operands = [Mem(name, n, row * n) for name in out.inputs]
            if sums:
                total = Mem(result, n, row, 0)
                left = operands if self.kind in ("sum", "rowsum") else [operands[0], operands[-1]]
                program.emit(instruction, total, total, *left)
            elif self.kind == "fma":
                program.emit(instruction, Mem(result, n, row * n), operands[2], *operands[:2])
            else:
                program.emit(instruction, Mem(result, n, row * n), *operands)
        return result
