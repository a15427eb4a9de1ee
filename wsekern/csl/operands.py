"""Vector instructions: which there are, and what they take."""

from dataclasses import dataclass
from typing import Any

from wsekern.csl import types as t
from wsekern.csl.context import Context
from wsekern.csl.values import Dsd, Memory, Value

OPERATIONS: dict[str, tuple[str, str, int]] = {
    "mov16": ("mov", "u16", 1), "mov32": ("mov", "u32", 1), "add16": ("add", "u16", 2), "sub16": ("sub", "u16", 2),
    "and16": ("and", "u16", 2), "or16": ("or", "u16", 2), "xor16": ("xor", "u16", 2), "sll16": ("shl", "u16", 2),
    "slr16": ("shr", "u16", 2), "sar16": ("shr", "i16", 2), "fmovh": ("mov", "fp16", 1), "fmovs": ("mov", "fp32", 1),
    "faddh": ("add", "fp16", 2), "fadds": ("add", "fp32", 2), "faddhs": ("add", "fp32", 2), "fsubh": ("sub", "fp16", 2),
    "fsubs": ("sub", "fp32", 2), "fmulh": ("mul", "fp16", 2), "fmuls": ("mul", "fp32", 2), "fmach": ("fma", "fp16", 3),
    "fmacs": ("fma", "fp32", 3), "fmachs": ("fma", "fp32", 3), "fmaxh": ("max", "fp16", 2), "fmaxs": ("max", "fp32", 2),
    "fnegh": ("neg", "fp16", 1), "fnegs": ("neg", "fp32", 1), "fabsh": ("abs", "fp16", 1), "fabss": ("abs", "fp32", 1),
    "fs2h": ("mov", "fp16", 1), "fh2s": ("mov", "fp32", 1), "clz": ("clz", "u16", 1), "ctz": ("ctz", "u16", 1),
    "popcnt": ("popcnt", "u16", 1), "xp162fh": ("from_integer", "fp16", 1), "xp162fs": ("from_integer", "fp32", 1),
    "fh2xp16": ("to_integer", "i16", 1), "fs2xp16": ("to_integer", "i16", 1),
}
"""Operations of CSL: what they do, in which precision, and their sources."""
CORE_NAMES = {"clz": "clz16", "ctz": "ctz16", "popcnt": "popcnt16"}
"""What the core calls an operation, where not the same."""


@dataclass(eq=False)
class Operand:
    """Of a vector instruction: a DSD, a DSR, or a scalar in a register (``back``: the place that it is written to after)."""

    value: Value
    type: str
    back: tuple[Any, Value] | None = None


def steps_of(data: Dsd, elements: int, size: int) -> int:
    """What a stride of so many elements of a DSD is in elements of an instruction, of ``size`` bytes: memory steps as the
    array that the DSD was made of does. One that would end inside an element is taken as it is written."""
    scaled = elements * data.element
    return scaled // size if scaled % size == 0 and data.element else elements


def copy_memory(ev: Context, target: Memory, source: Memory, elements: int, size: int) -> None:
    """Bits from memory to memory."""
    if elements == 0:
        return
    kind, name = (t.U32, "mov32") if size == 4 else (t.U16, "mov16")
    operands = []
    for memory in (target, source):
        if memory.symbol is not None:
            ev.unit.use(memory.symbol)
        base = Value(t.Pointer(kind), ev.emit.address(memory).data)
        dsd = Dsd("mem1d_dsd", base, Value(t.COMPTIME_INT, elements), Value(t.COMPTIME_INT, 1), size)
        operands.append(Operand(Value(t.MEM1D, dsd), "u32" if size == 4 else "u16"))
    ev.emit.emit("vector", name=name, operands=operands, options={"async": False}, done=None)
