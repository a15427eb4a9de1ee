"""The vector instructions as type checkers and editors know them: :class:`wsekern.program.code.Code` has one attribute for each
of :data:`wsekern.program.INSTRUCTIONS`."""

from typing import Protocol

from wsekern.program.operands import Array, Operand
from wsekern.program.values import Number, Value

Item = Operand | Array | Number


class VectorInstruction(Protocol):
    """Writes one vector instruction; keywords are the fields of :class:`wsekern.program.instructions.Vector`."""

    def __call__(self, dst: Item, *sources: Item, microthread: int | None = None,
                 asynchronous: bool = False, repeat: int = 1, between: int = 0, priority: str = "medium",
                 activate: str | None = None, unblock: str | None = None, terminate: bool = False,
                 control_activate: str | None = None, control_unblock: str | None = None,
                 done: int | Value | None = None, times: int | Value | None = None) -> None: ...


class InstructionNames:
    """One attribute for each vector instruction."""

    mov32: VectorInstruction
    add32: VectorInstruction
    sub32: VectorInstruction
    mul32: VectorInstruction
    max32: VectorInstruction
    neg32: VectorInstruction
    abs32: VectorInstruction
    fma32: VectorInstruction
    and32: VectorInstruction
    or32: VectorInstruction
    xor32: VectorInstruction
    mov16: VectorInstruction
    add16: VectorInstruction
    sub16: VectorInstruction
    mul16: VectorInstruction
    max16: VectorInstruction
    neg16: VectorInstruction
    abs16: VectorInstruction
    fma16: VectorInstruction
    and16: VectorInstruction
    or16: VectorInstruction
    xor16: VectorInstruction
    sll16: VectorInstruction
    slr16: VectorInstruction
    sar16: VectorInstruction
    fmovs: VectorInstruction
    fadds: VectorInstruction
    fsubs: VectorInstruction
    fmuls: VectorInstruction
    fmaxs: VectorInstruction
    fnegs: VectorInstruction
    fabss: VectorInstruction
    fmacs: VectorInstruction
    fmachs: VectorInstruction
    faddhs: VectorInstruction
    fh2s: VectorInstruction
    fmovh: VectorInstruction
    faddh: VectorInstruction
    fsubh: VectorInstruction
    fmulh: VectorInstruction
    fmaxh: VectorInstruction
    fnegh: VectorInstruction
    fabsh: VectorInstruction
    fmach: VectorInstruction
    fs2h: VectorInstruction
    clz16: VectorInstruction
    ctz16: VectorInstruction
    popcnt16: VectorInstruction
    xp162fh: VectorInstruction
    xp162fs: VectorInstruction
    fh2xp16: VectorInstruction
    fs2xp16: VectorInstruction
    lib_div: VectorInstruction
    lib_exp: VectorInstruction
    lib_rsqrt: VectorInstruction
    lib_silu: VectorInstruction
