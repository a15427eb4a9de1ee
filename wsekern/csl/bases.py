"""Pointers that descriptors begin at, as numbers of elements: what the core takes, computed where it can be shared."""

from wsekern.csl import types as t
from wsekern.csl.dsds import Dsr
from wsekern.csl.dsrs import element_type
from wsekern.csl.ir import Frame, Op
from wsekern.csl.operands import Operand
from wsekern.csl.values import Dsd, Reg, Value
from wsekern.program.operands import TYPE_BYTES


def sizes_of(frames: list[Frame]) -> dict[Dsr, set[int]]:
    """Bytes of the elements that operations take each DSR for."""
    found: dict[Dsr, set[int]] = {}
    for op in [op for frame in frames for op in frame.ops if op.form == "vector"]:
        for k, operand in enumerate(op.fields["operands"]):
            if isinstance(operand.value.data, Dsr):
                kind = element_type(operand, op.fields["name"], Dsd(""), k)
                found.setdefault(operand.value.data, set()).add(TYPE_BYTES[kind])
    return found


def count_in_elements(frame: Frame, sizes: dict[Dsr, set[int]]) -> None:
    """Let bases in registers count elements from address 0 on, where all uses agree how large these are: their type says so."""
    ops: list[Op] = []
    for op in frame.ops:
        if op.form in ("dsr_load", "dsr_base"):
            given = sizes.get(op.fields["target"], set())
            if len(given) == 1:
                op.fields["a"] = _counted(frame, ops, op, op.fields["a"], next(iter(given)))
        elif op.form == "vector":
            op.fields["operands"] = [_operand(frame, ops, op, each, k) for k, each in enumerate(op.fields["operands"])]
        ops.append(op)
    frame.ops = ops


def _operand(frame: Frame, ops: list[Op], op: Op, operand: Operand, place: int) -> Operand:
    data = operand.value.data
    if not isinstance(data, Dsd):
        return operand
    size = TYPE_BYTES[element_type(operand, op.fields["name"], data, place)]
    return Operand(_counted(frame, ops, op, operand.value, size), operand.type, operand.back)


def _counted(frame: Frame, ops: list[Op], op: Op, value: Value, size: int) -> Value:
    base = value.data.base if isinstance(value.data, Dsd) else value
    if base is None or not isinstance(base.data, Reg) or not isinstance(base.type, t.Pointer):
        return value
    shift, index = Reg(frame, frame.size), Reg(frame, frame.size + 1)
    frame.size += 2
    ops.append(Op("constant", {"type": "i32", "dst": shift, "imm": size.bit_length() - 1}, op.span, op.title))
    ops.append(Op("scalar", {"op": "shr", "type": "u32", "dst": index, "a": base.data, "b": shift}, op.span, op.title))
    counted = Value(t.I32, index)
    return Value(value.type, value.data.with_fields(base=counted)) if isinstance(value.data, Dsd) else counted
