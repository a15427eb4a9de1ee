"""Local work by its name, as operations know it."""

from collections.abc import Callable

from wsekern.errors import InputError
from wsekern.tiles.arguments import Array
from wsekern.tiles.elements import add, exp, fma, maximum, mov, mul, reciprocal, rope, rsqrt, scale, silu, silu_mul, sub
from wsekern.tiles.rows import dot, expsub, rowdiv, rowmax, rownorm, rowsub, rowsum, sumsq

_LOCAL: dict[str, Callable[..., Array]] = {
    "mov": mov, "copy": mov, "add": add, "sub": sub, "mul": mul, "max": maximum, "scale": scale, "fma": fma, "exp": exp,
    "reciprocal": reciprocal, "rsqrt": rsqrt, "silu": silu, "silu_mul": silu_mul, "rope": rope, "sum": rowsum,
    "rowsum": rowsum, "rowmax": rowmax, "sumsq": sumsq, "dot": dot, "expsub": expsub, "rowdiv": rowdiv, "rownorm": rownorm,
    "rowsub": rowsub,
}


def local(kind: str, *tiles: Array, precision: str = "fp32", threads: int = 1, **parameters: float) -> Array:
    """The function of :mod:`wsekern.tiles` that does ``kind`` of local work, on ``tiles``."""
    if kind not in _LOCAL:
        raise InputError(f"no local work {kind!r}: use one of {', '.join(_LOCAL)}")
    return _LOCAL[kind](*tiles, precision=precision, threads=threads, **parameters)
