"""Vector instructions as CSL writes them: their operands and options."""

from collections.abc import Callable
from typing import Any

from wsekern.csl import syntax
from wsekern.csl import types as t
from wsekern.csl.dsds import Dsr, element_bytes, fields_of, moved
from wsekern.csl.functions import Evaluator
from wsekern.csl.operands import OPERATIONS, Operand
from wsekern.csl.places import InMemory, known_value, store
from wsekern.csl.types import Type
from wsekern.csl.values import Dsd, FunctionRef, Reg, Value, shown


def is_scalar(data: Any) -> bool:
    """Whether a descriptor stands for one scalar in memory, whatever the length of the operation."""
    return isinstance(data, Dsd) and data.base is not None and data.extent is None and data.stride is not None and (
        data.stride.data == 0)


_TYPES = {"u16": (t.U16, t.I16), "i16": (t.I16, t.U16), "u32": (t.U32, t.I32, t.F32), "fp16": (t.F16, t.BF16), "fp32": (t.F32,)}


def operation(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@op(destination, sources..., .{options})``."""
    _, precision, sources = OPERATIONS[node.name]
    count = 1 + sources
    if len(node.arguments) not in (count, count + 1):
        ev.fail(node, f"@{node.name} takes a destination and {sources} source{'s' * (sources > 1)}, and perhaps options; found "
                      f"{len(node.arguments)} arguments")
    if not ev.runtime:
        ev.fail(node, f"@{node.name} is an instruction of a PE, and this is evaluated while the program is compiled")
    options = fields_of(ev, node.arguments[count])[0] if len(node.arguments) > count else {}
    operands = [operand(ev, node.arguments[0], precision, node, 0)]
    operands += [_scalar_in_memory(ev, operands[0], each, precision) or operand(ev, each, precision, node, k)
                 for k, each in enumerate(node.arguments[1:count], 1)]
    if "index" in options:
        if not any(_may_take_index(each.value.data) for each in operands):
            ev.unit.diagnostics.warn("'.index' changes nothing: no operand has '.wavelet_index_offset = true'", node.span)
        operands = [indexed(ev, each, options["index"], node) for each in operands]
    done = ev.frame.new()
    ev.emit.span = node.span
    checked = checked_options(ev, options, operands, node)
    chosen = [name for name in ("activate", "unblock") if isinstance(getattr(checked.get(name), "data", None), Reg)]

    def write(one: Value | None = None) -> None:
        held = checked if one is None else {**checked, chosen[0]: one}
        ev.emit.emit("vector", name=node.name, operands=operands, options=held, done=done)

    if chosen:
        for_each_task(ev, checked[chosen[0]].data, write)
    else:
        write()
    for place, value in [each.back for each in operands if each.back is not None]:
        store(ev, place, value, node)
    return Value(t.BOOL, done)


def _scalar_in_memory(ev: Evaluator, target: Operand, node: syntax.Expression, precision: str) -> Operand | None:
    """A source that is a variable in memory, where the destination is a scalar, perhaps the same one: it is then read anew for
    every element, and so takes what the element before has left, as sums and maxima do. None for other sources."""
    if not is_scalar(target.value.data) or not isinstance(node, (syntax.Name, syntax.Index, syntax.Member, syntax.Dereference)):
        return None
    place = ev.place(node)
    if not isinstance(place, InMemory) or place.type not in _TYPES[precision] or known_value(ev, place) is not None:
        return None
    return Operand(Value(t.MEM1D, _scalar_at(ev.pointer_to(place))), precision)


def _scalar_at(pointer: Value) -> Dsd:
    """The descriptor of the scalar that a pointer leads to."""
    return Dsd("mem1d_dsd", pointer, None, Value(t.COMPTIME_INT, 0), element_bytes(pointer.type))


def operand(ev: Evaluator, node: syntax.Expression, precision: str, of: syntax.Builtin, number: int) -> Operand:
    """What an argument of an operation is to the core."""
    value = ev.evaluate(node)
    base = getattr(value.data, "base", None)
    if isinstance(value.type, t.DsdType) and (value.data is None or (base is not None and base.data == 0)):
        ev.fail(node, "this DSD has no value yet: give the variable one where it is declared")
    if isinstance(value.data, (Dsd, Dsr)):
        return Operand(value, precision)
    if isinstance(value.type, t.Pointer):
        return Operand(Value(t.MEM1D, _scalar_at(value)), precision)
    if number == 0:
        ev.fail(node, f"the destination is a DSD, a DSR or a pointer to a scalar, found {shown(value)}")
    kind = _scalar_type(ev, value, precision, of, node)
    value = value if value.type == kind else ev.evaluate(node, kind)
    return Operand(Value(kind, ev.emit.register(value)), precision)


def _may_take_index(data: Any) -> bool:
    """Whether an operand says that it takes an index, or what is loaded into it may."""
    return isinstance(data, Dsr) or (isinstance(data, Dsd) and "wavelet_index_offset" in data.options)


def indexed(ev: Evaluator, given: Operand, index: Value, node: syntax.Builtin) -> Operand:
    """An operand of an operation with ``.index``: descriptors of memory that say so begin that many 16-bit words further on."""
    data = given.value.data
    wanted = data.options.get("wavelet_index_offset") if isinstance(data, Dsd) else None
    if wanted is None or not wanted.data:
        return given
    if data.base is None:
        return Operand(Value(given.value.type, data.with_fields(options={**data.options, "word_index": index})), given.type)
    return Operand(Value(given.value.type, data.with_fields(base=moved(ev, data.base, index, 2))), given.type, given.back)


def _scalar_type(ev: Evaluator, value: Value, precision: str, of: syntax.Builtin, node: syntax.Expression) -> Type:
    """The type of a scalar operand."""
    fits = _TYPES[precision]
    if of.name in ("faddhs", "fmachs", "fh2s"):
        fits = (t.F32, t.F16)
    if of.name in ("fs2h", "fs2xp16"):
        fits = (t.F32,)
    if of.name == "fh2xp16":
        fits = (t.F16, t.BF16)
    if of.name in ("xp162fh", "xp162fs"):
        fits = (t.I16, t.U16)
    if value.type in fits:
        return value.type
    if isinstance(value.type, t.ComptimeInt):
        return next((each for each in fits if not isinstance(each, t.Int) or each.low <= value.data <= each.high), fits[0])
    if isinstance(value.type, t.ComptimeFloat):
        return next((each for each in fits if isinstance(each, t.Float)), fits[0])
    if isinstance(value.type, (t.Opaque, t.Bool, t.Enum)) and precision == "u16":
        return t.U16
    if t.is_number(value.type) and value.type.bytes == fits[0].bytes and of.name.startswith("mov"):
        return value.type
    ev.fail(node, f"@{of.name} takes {' or '.join(map(str, fits))}, found {shown(value)}")


OPTIONS = ("async", "activate", "unblock", "on_control", "priority", "ut_id", "index")


def checked_options(ev: Evaluator, options: dict[str, Value], operands: list[Operand], node: syntax.Builtin) -> dict[str, Any]:
    """Options of an operation as the linker takes them."""
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        ev.fail(node, f"no option '{unknown[0]}': there are {', '.join(OPTIONS)}")
    found: dict[str, Any] = {"async": bool(options["async"].data) if "async" in options else False}
    if "activate" in options and "unblock" in options:
        ev.fail(node, "an operation activates a task or unblocks one, not both")
    for name in ("activate", "unblock"):
        if name in options:
            found[name] = task_value(ev, options[name], node)
    if "on_control" in options:
        found["on_control"] = {name: task_value(ev, each, node) if name != "terminate" else True
                               for name, each in options["on_control"].data.items()}
    if "priority" in options:
        found["priority"] = next((name for name, each in options["priority"].data.items() if each.data), "low")
    if "ut_id" in options:
        found["ut_id"] = ev.known_int(options["ut_id"], node)
    if "index" in options:
        found["index"] = options["index"]
    has_stream = any(isinstance(each.value.data, Dsr) or (isinstance(each.value.data, Dsd) and each.value.data.base is None)
                     for each in operands)
    if found["async"] and not has_stream:
        ev.fail(node, "an asynchronous operation needs an operand of the fabric or a FIFO")
    return found


def task_value(ev: Evaluator, value: Value, node: syntax.Node) -> Value:
    """A task id, or the name of a task as its id."""
    if isinstance(value.data, FunctionRef):
        found = ev.unit.task_of(value.data)
        if found is None:
            ev.fail(node, f"'{value.data.name}' is bound to no task id")
        return found
    return value


def for_each_task(ev: Evaluator, number: Reg, write: Callable[[Value], None]) -> None:
    """Code for the local task whose id a register holds: one comparison for each task that is bound."""
    ended = ev.frame.label()
    for bound in [each for each in ev.unit.effects.tasks if each.kind == "local"]:
        other, taken = ev.frame.label(), ev.frame.taken
        same = ev.emit.scalar("eq", "u16", number, ev.emit.constant(bound.number, "u16"))
        ev.emit.emit("branch", a=same, target=other)
        write(Value(t.LOCAL_TASK, bound.number))
        ev.emit.jump(ended)
        ev.frame.place(other)
        ev.frame.release(taken)
    ev.frame.place(ended)
