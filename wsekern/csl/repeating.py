"""``@map`` over a function that is one vector instruction: that instruction, repeated by the core."""

from dataclasses import dataclass
from typing import Any

from wsekern.csl import syntax
from wsekern.csl import types as t
from wsekern.csl.coerce import coerce
from wsekern.csl.dsds import Dsr, increment_dsd_offset
from wsekern.csl.functions import Evaluator
from wsekern.csl.ir import Frame
from wsekern.csl.operands import OPERATIONS, Operand
from wsekern.csl.operations import is_scalar, operand
from wsekern.csl.places import store
from wsekern.csl.scope import Constant, Scope
from wsekern.csl.values import Dsd, FunctionRef, Reg, Value, Varying


@dataclass(eq=False)
class _Shape:
    """What the body of such a function says: the instruction, and by how many elements DSDs move behind it."""

    operation: syntax.Builtin
    moves: dict[str, tuple[syntax.Assign, syntax.Builtin]]


def shape_of(function: FunctionRef) -> _Shape | None:
    """None where the body is anything else."""
    body = function.node.body
    statements = body.statements if body is not None else ()
    if not statements or not isinstance(statements[0], syntax.Do) or not isinstance(statements[0].expression, syntax.Builtin):
        return None
    operation, moves = statements[0].expression, {}
    if operation.name not in OPERATIONS or len(operation.arguments) != 1 + OPERATIONS[operation.name][2]:
        return None
    if not all(isinstance(each, (syntax.Name, syntax.Member)) for each in operation.arguments):
        return None
    for each in statements[1:]:
        value = each.value if isinstance(each, syntax.Assign) and not each.operator else None
        if not isinstance(value, syntax.Builtin) or value.name != "increment_dsd_offset" or len(value.arguments) != 3:
            return None
        names = each.target, value.arguments[0]
        if not all(isinstance(name, syntax.Name) for name in names) or names[0].name != names[1].name or names[0].name in moves:
            return None
        moves[names[0].name] = each, value
    used = [each.name for each in operation.arguments if isinstance(each, syntax.Name)]
    parameters = {each.name for each in function.node.parameters}
    if any(used.count(name) == 0 or name in parameters for name in moves):
        return None
    return _Shape(operation, moves)


def repeated(ev: Evaluator, node: syntax.Builtin, function: FunctionRef, values: list[Value], times: Value) -> str | None:
    """Write the instruction, ``times`` over, as what may stand for the code up to a label, which is the result; None, and
    nothing is written, where the function is more than that. Whether it does, :func:`settle` decides, as the instruction takes
    operands in memory alone, and what DSRs hold is not known before all functions are compiled."""
    shape = shape_of(function)
    if shape is None or any(each.comptime for each in function.node.parameters):
        return None
    inner = _inside(ev, function, values, node)
    if inner is None:
        return None
    precision, elements = OPERATIONS[shape.operation.name][1], _elements(function, values)
    operands = []
    for k, each in enumerate(shape.operation.arguments):
        name = each.name if isinstance(each, syntax.Name) else ""
        if name in elements:
            if k == 0:
                return None
            operands.append(Operand(Value(t.MEM1D, elements[name]), precision))
            continue
        made = operand(inner, each, precision, shape.operation, k)
        if name in shape.moves:
            made = _moving(inner, made, shape.moves[name][1])
        if made is None or not _fits(made.value):
            return None
        operands.append(made)
    end = ev.frame.label()
    ev.emit.emit("mapped", target=end)
    number = times.data if isinstance(times.data, int) else ev.emit.index(times)
    ev.emit.emit("vector", name=shape.operation.name, operands=operands, options={"async": False}, done=None, times=number)
    for assign, move in shape.moves.values():
        by = ev.operate("*", coerce(inner, inner.evaluate(move.arguments[1], t.I16), t.I16, node), Value(t.I16, number), node)
        _move(inner, assign, move, by)
    ev.emit.emit("mapped_end", target=end)
    return end


def _inside(ev: Evaluator, function: FunctionRef, values: list[Value], node: syntax.Builtin) -> Evaluator | None:
    """An evaluator in the function, whose parameters are scalars, or elements that only stand as operands."""
    if len(values) != len(function.node.parameters):
        return None
    scope = Scope(function.module)
    inner = Evaluator(ev.unit, scope, ev.frame)
    inner.depth, inner.branches, inner.assigned = ev.depth + 1, ev.branches, ev.unit.assigned_in(function.node)
    inner.emit.span = node.span
    for parameter, value in zip(function.node.parameters, values, strict=True):
        if not isinstance(value.data, Dsd):
            scope.names[parameter.name] = Constant(coerce(ev, value, inner.type_at(parameter.type), node), parameter.span)
        elif not _walks(value):
            return None
    return inner


def _walks(value: Value) -> bool:
    """Whether a DSD is of memory, with a stride that is known."""
    data = value.data
    return value.type == t.MEM1D and data.fifo is None and data.stride is not None and isinstance(data.stride.data, int)


def _elements(function: FunctionRef, values: list[Value]) -> dict[str, Dsd]:
    """By parameter, the element of a DSD that is its value, as a scalar in memory that moves on."""
    return {parameter.name: value.data.with_fields(extent=None, stride=Value(t.COMPTIME_INT, 0), advance=value.data.stride.data)
            for parameter, value in zip(function.node.parameters, values, strict=True) if isinstance(value.data, Dsd)}


def _moving(ev: Evaluator, made: Operand, move: syntax.Builtin) -> Operand | None:
    """An operand that moves on behind each repeat by so many elements; None where these are known only at run time."""
    data, by = made.value.data, ev.evaluate(move.arguments[1])
    if not isinstance(data, Dsd) or data.base is None or not isinstance(by.data, int) or isinstance(by.data, bool):
        return None
    if max(2, ev.type_at(move.arguments[2]).bytes) != max(2, data.element):
        return None
    return Operand(Value(made.value.type, data.with_fields(advance=by.data)), made.type)


def _move(ev: Evaluator, assign: syntax.Assign, move: syntax.Builtin, by: Value) -> None:
    """Let a DSD be where all repeats have moved it."""
    ev.scope.names["by all"] = Constant(by)
    moved = syntax.Builtin(move.span, move.name, (move.arguments[0], syntax.Name(move.span, "by all"), move.arguments[2]))
    store(ev, ev.place(assign.target), increment_dsd_offset(ev, moved), assign)


def _fits(value: Value) -> bool:
    """Whether a repeated instruction may take an operand."""
    data = value.data
    if isinstance(data, Dsd):
        return data.base is not None and data.fifo is None and (is_scalar(data) or value.type == t.MEM1D)
    return isinstance(data, (Dsr, Reg, Varying))


def settle(frames: list[Frame], loads: list[Any]) -> None:
    """Choose between repeated instructions and the loops behind them: the former where all DSRs hold descriptors of memory."""
    held: dict[Dsr, list[Value]] = {}
    for dsr, value, _ in loads:
        held.setdefault(dsr, []).append(value)
    for frame in frames:
        for op in frame.ops:
            if op.form == "dsr_load":
                held.setdefault(op.fields["target"], []).append(op.fields["a"])
    for frame in frames:
        if any(op.form == "mapped" for op in frame.ops):
            _settle(frame, held)


def _settle(frame: Frame, held: dict[Dsr, list[Value]]) -> None:
    keep: list[Any] = []
    waiting: list[tuple[str, int, bool]] = []       # label, place of the first instruction, whether the repeated one is taken
    skipping = ""
    for k, op in enumerate(frame.ops):
        target = op.fields.get("target")
        if skipping:
            if op.form == "label" and op.fields["name"] == skipping:
                skipping = ""
            elif op.form != "mark":
                continue
        if op.form == "mapped":
            vector = next(each for each in frame.ops[k:] if each.form == "vector")
            waiting.append((target, len(keep), all(_in_memory(each.value, held) for each in vector.fields["operands"])))
        elif op.form == "mapped_end":
            _, first, taken = waiting.pop()
            if taken:
                skipping = target
            else:
                keep[first:] = [each for each in keep[first:] if each.form == "mark"]
        else:
            keep.append(op)
    frame.ops = keep


def _in_memory(value: Value, held: dict[Dsr, list[Value]]) -> bool:
    if not isinstance(value.data, Dsr):
        return True
    return bool(held.get(value.data)) and all(each.type == t.MEM1D and each.data.fifo is None and each.data.base is not None
                                              for each in held[value.data])
