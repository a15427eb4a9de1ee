"""Local work: every PE on its own tiles, nothing sent."""

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import Timing

if TYPE_CHECKING:
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
_PARAMETERS = {"scale": ("factor",), "rownorm": ("divisor", "eps")}


@dataclass(frozen=True)
class Local:
    """``kind`` on ``count`` rows of ``n`` elements of every PE.

    Element-wise: mov, copy, add, sub, mul, max, scale (by ``factor``), fma, exp, reciprocal, rsqrt, silu, silu_mul
    (SiLU of one tile times another), rope (rotation of pairs). By rows: rowmax, rowsum, sum, sumsq, dot to one
    number; expsub (exp of the row minus a number), rowdiv (row by a number), rownorm (row times rsqrt(s / divisor +
    eps) times gain). Cost: ``local_call +`` for each row and vector instruction ``setup + n / rate``, for each
    function done in software its latency (``exp``, ``divide``, ``rsqrt``) per element or row.
    """

    kind: str
    n: int
    count: int = 1
    factor: float = 1.0
    divisor: float = 1.0
    eps: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in _WORK:
            raise InputError(f"no local work {self.kind!r}: use one of {', '.join(LOCAL_KINDS)}")
        if self.n < 0 or self.count < 0:
            raise InputError(f"n is {self.n} and count {self.count}: expected numbers that are not negative")

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(compute, overhead) cycles of one PE."""
        if not self.n or not self.count:
            return 0, 0
        work = _WORK[self.kind]
        compute = sum(timing.latency(function, 1) for function in work.row)
        compute += self.n * sum(timing.latency(function, 1) for function in work.element)
        overhead = 0
        for operation, share in work.vector:
            instruction = timing.instruction(operation)
            compute += timing.elements(instruction, ceil(self.n * share))
            overhead += timing.setup(instruction)
        return self.count * compute, timing.latency("local_call", timing.latency("call")) + self.count * overhead

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
