"""``@map``."""

from typing import Any

from wsekern.csl import syntax
from wsekern.csl import types as t
from wsekern.csl.calls import call_values
from wsekern.csl.functions import Evaluator
from wsekern.csl.places import InMemory, from_memory, store, to_memory
from wsekern.csl.repeating import repeated
from wsekern.csl.values import NOTHING, Dsd, FunctionRef, Memory, Value


def map_elements(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@map(f, inputs..., output)``: a loop over elements that calls f."""
    if len(node.arguments) < 2:
        ev.fail(node, "@map takes a function and what it is called with")
    function = ev.evaluate(node.arguments[0])
    if not isinstance(function.data, FunctionRef):
        ev.fail(node.arguments[0], f"expected a function, found a value of type {function.type}")
    if not ev.runtime:
        ev.fail(node, "@map is code of a PE, and this is evaluated while the program is compiled")
    result = ev.type_at_in(function.data.module, function.data.node.result)
    values = [ev.evaluate(each) for each in node.arguments[1:]]
    output = values.pop() if not isinstance(result, t.Void) else None
    _loop(ev, node, function.data, values, output, result)
    return NOTHING


def _loop(ev: Evaluator, node: syntax.Builtin, function: FunctionRef, values: list[Value], output: Value | None,
          result: t.Type) -> None:
    frame, emit = ev.frame, ev.emit
    parameters = [ev.type_at_in(function.module, each.type) for each in function.node.parameters]
    lengths = [each.data.extent for each in [*values, *([output] if output else [])]
               if isinstance(each.data, Dsd) and each.data.extent is not None and not _stays(each.data)]
    if not lengths:
        ev.fail(node, "@map needs a descriptor among its arguments")
    taken = frame.taken
    left = _least(ev, lengths)
    instead = repeated(ev, node, function, values, left) if output is None else None
    counter = ev.copied(Value(t.I32, 0))
    left = ev.copied(left)
    top, end = frame.label(), frame.label()
    emit.unless(Value(t.BOOL, emit.binary("<", t.I32, counter, left)), end)
    frame.place(top)
    before = frame.taken
    arguments = [_element(ev, each, kind, counter, node) if isinstance(each.data, Dsd) else each
                 for each, kind in zip(values, parameters, strict=False)]
    value = call_values(ev, function, arguments, node)
    if output is not None:
        _put(ev, output, value, counter, node)
    frame.release(before)
    emit.emit("scalar", op="add", type="i32", dst=counter.data, a=counter.data, b=emit.constant(1))
    emit.unless(Value(t.BOOL, emit.binary("<=", t.I32, left, counter)), top)
    frame.place(end)
    if instead is not None:
        frame.place(instead)
    frame.release(taken)


def _stays(data: Dsd) -> bool:
    return data.stride is not None and data.stride.data == 0


def _least(ev: Evaluator, lengths: list[Value]) -> Value:
    known = [int(each.data) for each in lengths if isinstance(each.data, int)]
    if len(known) == len(lengths):
        return Value(t.I32, min(known))
    total = None
    for each in lengths:
        number = Value(t.I32, ev.emit.index(each if isinstance(each.type, t.Int) else Value(t.I32, each.data)))
        total = number if total is None else Value(t.I32, ev.emit.scalar("min", "i32", total.data, number.data))
    return total


def _place(ev: Evaluator, dsd: Dsd, kind: t.Type, counter: Value, node: syntax.Node) -> InMemory:
    """Where element ``counter`` of a memory descriptor is."""
    memory = ev.memory_at(dsd.base, node)
    if dsd.kind == "mem4d_dsd":
        return InMemory(_place_4d(ev, dsd, memory, counter, kind), kind)
    stride = dsd.stride
    if isinstance(stride.data, int):
        return InMemory(memory.moved(0, (counter.data, stride.data * kind.bytes)) if stride.data else memory, kind)
    step = ev.emit.scalar("mul", "i32", counter.data, ev.emit.index(stride))
    return InMemory(memory.moved(0, (step, kind.bytes)), kind)


def _place_4d(ev: Evaluator, dsd: Dsd, memory: Memory, counter: Value, kind: t.Type) -> Memory:
    rest = counter.data
    for length, stride in zip(reversed(dsd.shape), reversed(dsd.strides), strict=True):
        size = ev.emit.constant(length)
        index = ev.emit.scalar("mod", "i32", rest, size)
        rest = ev.emit.scalar("div", "i32", rest, size)
        memory = memory.moved(0, (index, stride * kind.bytes))
    return memory


def _element(ev: Evaluator, value: Value, kind: t.Type, counter: Value, node: syntax.Node) -> Value:
    dsd = value.data
    if dsd.fifo is not None:
        ev.fail(node, "@map takes no FIFO")
    if dsd.base is None:
        register = ev.frame.new()
        ev.emit.emit("take_word", dst=register, source=value, kind=kind)
        return Value(kind, register)
    return from_memory(ev, _place(ev, dsd, kind, counter, node).memory, kind, node)


def _put(ev: Evaluator, output: Value, value: Value, counter: Value, node: syntax.Node) -> None:
    if isinstance(output.type, t.Pointer):
        store(ev, InMemory(ev.memory_at(output, node), output.type.element), value, node)
        return
    dsd: Any = output.data
    if not isinstance(dsd, Dsd):
        ev.fail(node, f"the last argument of @map is a DSD or a pointer, found a value of type {output.type}")
    if dsd.base is None:
        ev.emit.emit("give_word", c=ev.emit.register(value), target=output, kind=value.type)
    else:
        to_memory(ev, _place(ev, dsd, value.type, counter, node).memory, value, node)
