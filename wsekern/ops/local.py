"""Local vector work: every PE on its own tile, nothing sent."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsekern.errors import InputError
from wsekern.ops.timing import Timing

if TYPE_CHECKING:
    from wsekern.ops.flow import FlowEngine

# Kind -> vector instructions (operation, elements per n) and software functions (latency key, calls per n).
_WORK: dict[str, tuple[tuple[tuple[str, float], ...], tuple[tuple[str, float], ...]]] = {
    "copy": ((("mov", 1),), ()),
    "add": ((("add", 1),), ()),
    "sub": ((("sub", 1),), ()),
    "mul": ((("mul", 1),), ()),
    "scale": ((("mul", 1),), ()),
    "fma": ((("fma", 1),), ()),
    "max": ((("max", 1),), ()),
    "sum": ((("add", 1),), ()),
    "sumsq": ((("fma", 1),), ()),
    "dot": ((("fma", 1),), ()),
    "rope": ((("mul", 1), ("mul", 1), ("add", 0.5), ("sub", 0.5)), ()),
    "exp": ((), (("exp", 1),)),
    "reciprocal": ((), (("divide", 1),)),
    "rsqrt": ((), (("rsqrt", 1),)),
    "silu": ((("mul", 1),), (("exp", 1), ("divide", 1))),
    "silu_mul": ((("mul", 1), ("mul", 1)), (("exp", 1), ("divide", 1))),
}

LOCAL_KINDS = tuple(_WORK)


@dataclass(frozen=True)
class Local:
    """``kind`` on ``n`` elements of every PE, ``count`` times (rows of a tile).

    Element-wise: copy, add, sub, mul, scale (by one number), fma, exp, reciprocal, rsqrt, silu, silu_mul (SiLU of one
    vector times another), rope (rotation of pairs). Row reductions to one number: max, sum, sumsq, dot. Cost: ``call
    +`` for each vector instruction ``setup + n / rate``, for each function done in software its latency times n.
    """

    kind: str
    n: int
    count: int = 1

    def __post_init__(self) -> None:
        if self.kind not in _WORK:
            raise InputError(f"no local work {self.kind!r}: use one of {', '.join(LOCAL_KINDS)}")
        if self.n < 0 or self.count < 0:
            raise InputError(f"n is {self.n} and count {self.count}: expected numbers that are not negative")

    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(compute, overhead) cycles of one PE."""
        if not self.n or not self.count:
            return 0, 0
        instructions, functions = _WORK[self.kind]
        compute = overhead = 0
        for operation, share in instructions:
            name = timing.instruction(operation)
            compute += timing.elements(name, int(np.ceil(self.n * share)))
            overhead += timing.setup(name)
        for function, share in functions:
            compute += int(np.ceil(self.n * share)) * timing.latency(function, 1)
        return self.count * compute, timing.latency("local_call") + self.count * overhead

    def time(self, engine: "FlowEngine") -> None:
        """Advance the clocks of ``engine`` by this operation."""
        compute, overhead = self.cycles(engine.timing)
        engine.spend(compute=compute, overhead=overhead)

    def flow(self, engine: "FlowEngine", *tiles: np.ndarray) -> np.ndarray:
        """Values by :mod:`wsekern.tiles`: tiles (height, width, [count,] n) -> the same, or one number per row."""
        from wsekern.tiles import local

        result = local(self.kind, *tiles, dtype=engine.dtype, threads=engine.threads)
        self.time(engine)
        return result
