"""Builtins of values and types."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import numpy as np

from wsekern.csl import dsds, syntax
from wsekern.csl import types as t
from wsekern.csl.apart import PURE, Together
from wsekern.csl.coerce import bitcast as bits_as
from wsekern.csl.coerce import cast
from wsekern.csl.evaluator import _EVALUATE
from wsekern.csl.functions import Evaluator
from wsekern.csl.mapping import map_elements
from wsekern.csl.operands import OPERATIONS
from wsekern.csl.operations import operation
from wsekern.csl.places import from_memory, load, to_memory
from wsekern.csl.types import Type
from wsekern.csl.values import NOTHING, FunctionRef, Memory, Reg, Value, Varying, number_dtype, shown, zero_of

Handler = Callable[[Evaluator, syntax.Builtin], Value]
BUILTINS: dict[str, Handler] = {}
"""What each builtin does."""


NOT_THERE = {
    **dict.fromkeys(("addc16",), "the carry of a vector; add wider integers in scalar code"),
    **dict.fromkeys(("fnormh", "fnorms"), "mantissas of vectors"),
    "dfilt": "words of a queue are dropped by an operation of their number, or by a filter of the color",
    **dict.fromkeys(("set_fifo_read_length", "set_fifo_write_length"), "the other operand says how many elements move"),
    "set_active_prng": "a PE has one generator of random bits",
    "bind_rotating_tasks": "bind one task, which counts its turns",
    "get_filter_id": "filters change only in the layout",
    **dict.fromkeys(("get_config", "set_config", "get_config_unchecked", "set_config_unchecked"),
                    "the registers of a PE are documented nowhere; <tile_config> has what programs change"),
    **dict.fromkeys(("get_symbol_id", "get_symbol_value", "get_tensor_ptr", "has_exported_tensors"),
                    "the host's copies need none of it here"),
}
"""Builtins that are documented and not there: why, or what to do instead."""


def builtin(*names: str, arguments: int | tuple[int, int] | None = None) -> Callable[[Handler], Handler]:
    """Register a builtin of so many arguments (from, to)."""
    least, most = (arguments, arguments) if isinstance(arguments, int) else arguments or (0, 99)

    def register(handler: Handler) -> Handler:
        def checked(ev: Evaluator, node: syntax.Builtin) -> Value:
            if not least <= len(node.arguments) <= most:
                expected = str(least) if least == most else f"{least} to {most}"
                ev.fail(node, f"@{node.name} takes {expected} argument{'s' * (expected != '1')}, found {len(node.arguments)}")
            return handler(ev, node)

        for name in names:
            BUILTINS[name] = checked
        return handler
    return register


def call_builtin(ev: Evaluator, node: syntax.Builtin, wanted: Type | None) -> Value:
    """``@name(...)``."""
    if ev.unit.apart and node.name not in PURE:
        raise Together
    if node.name in OPERATIONS:
        return operation(ev, node)
    handler = BUILTINS.get(node.name)
    if node.name in NOT_THERE:
        ev.fail(node, f"@{node.name} is not supported: {NOT_THERE[node.name]}")
    if handler is None:
        near = get_close_matches(node.name, [*BUILTINS, *OPERATIONS], 1)
        ev.fail(node, f"unknown builtin @{node.name}" + (f"; did you mean @{near[0]}?" if near else ""))
    return handler(ev, node)


_EVALUATE[syntax.Builtin] = call_builtin

for _name in ("get_dsd", "increment_dsd_offset", "set_dsd_base_addr", "set_dsd_length", "set_dsd_stride", "get_dsr"):
    BUILTINS[_name] = getattr(dsds, _name)


def text_of(ev: Evaluator, node: syntax.Expression) -> str:
    """A comptime string."""
    value = ev.compiling(node)
    if not isinstance(value.data, bytes):
        ev.fail(node, f"expected a string, found {shown(value)}")
    return value.data.decode("utf-8", "replace")


# ---- types and conversions ----


@builtin("as", arguments=2)
def as_(ev: Evaluator, node: syntax.Builtin) -> Value:
    """A value as another type."""
    wanted = ev.type_at(node.arguments[0])
    value = ev.evaluate(node.arguments[1], wanted if isinstance(wanted, (t.Struct, t.Array)) else None)
    return cast(ev, value, wanted, node.arguments[1])


@builtin("bitcast", arguments=2)
def bitcast(ev: Evaluator, node: syntax.Builtin) -> Value:
    """The same bits as another type; those of structs and arrays by way of memory."""
    value, wanted = ev.evaluate(node.arguments[1]), ev.type_at(node.arguments[0])
    if not any(isinstance(each, (t.Struct, t.Array)) for each in (value.type, wanted)):
        return bits_as(ev, value, wanted, node.arguments[1])
    if value.type.bytes != wanted.bytes or not wanted.bytes:
        ev.fail(node, f"{value.type} has {value.type.bytes} bytes and {wanted} {wanted.bytes}: @bitcast needs as many in both")
    if not ev.runtime:
        ev.fail(node, "@bitcast of structs and arrays belongs into code of a PE")
    memory = Memory(ev.unit.local_symbol(ev.frame, value.type))
    to_memory(ev, memory, value, node)
    return from_memory(ev, memory, wanted, node)


@builtin("ptrcast", arguments=2)
def ptrcast(ev: Evaluator, node: syntax.Builtin) -> Value:
    """A pointer to another type."""
    wanted, value = ev.type_at(node.arguments[0]), ev.evaluate(node.arguments[1])
    if not isinstance(wanted, t.Pointer) or not isinstance(value.type, t.Pointer):
        ev.fail(node, f"@ptrcast turns pointers into pointers, found {value.type} to {wanted}")
    return Value(wanted, value.data)


@builtin("type_of", arguments=1)
def type_of(ev: Evaluator, node: syntax.Builtin) -> Value:
    """The type of an expression, without its effects."""
    return Value(t.TYPE, ev.type_of(node.arguments[0]))


@builtin("is_same_type", arguments=2)
def is_same_type(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Whether two types are one."""
    return Value(t.BOOL, ev.type_at(node.arguments[0]) == ev.type_at(node.arguments[1]))


def _array_type(ev: Evaluator, node: syntax.Builtin) -> t.Array | t.Pointer:
    value = ev.evaluate(node.arguments[0]) if not ev.runtime else None
    kind = value.data if value is not None and isinstance(value.type, t.TypeType) else (
        value.type if value is not None else ev.type_of(node.arguments[0]))
    if isinstance(kind, t.TypeType):
        kind = ev.type_at(node.arguments[0])
    if isinstance(kind, t.Pointer) and isinstance(kind.element, t.Array):
        kind = kind.element
    if not isinstance(kind, (t.Array, t.Pointer)):
        ev.fail(node, f"@{node.name} takes an array, found {kind}")
    return kind


@builtin("element_type", arguments=1)
def element_type(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Of an array."""
    return Value(t.TYPE, _array_type(ev, node).element)


@builtin("element_count", arguments=1)
def element_count(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Of an array."""
    return Value(t.U32, getattr(_array_type(ev, node), "count", 0))


@builtin("dimensions", arguments=1)
def dimensions(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Extents of an array."""
    extents = getattr(_array_type(ev, node), "extents", ())
    return Value(t.Array((len(extents),), t.U32), np.array(extents, np.uint32))


@builtin("rank", arguments=1)
def rank(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Number of extents of an array."""
    return Value(t.U16, len(getattr(_array_type(ev, node), "extents", ())))


@builtin("zeros", arguments=1)
def zeros(ev: Evaluator, node: syntax.Builtin) -> Value:
    """An array of zeros."""
    kind = ev.type_at(node.arguments[0])
    if not isinstance(kind, t.Array):
        ev.fail(node, f"@zeros takes a type of arrays, found {kind}")
    return zero_of(kind)


@builtin("constants", arguments=2)
def constants(ev: Evaluator, node: syntax.Builtin) -> Value:
    """An array of one value."""
    kind = ev.type_at(node.arguments[0])
    if not isinstance(kind, t.Array):
        ev.fail(node, f"@constants takes a type of arrays, found {kind}")
    value = ev.compiling(node.arguments[1], kind.element)
    dtype = number_dtype(kind.element)
    if dtype is None or isinstance(value.data, Varying):
        return Value(kind, [value.data] * kind.count)
    return Value(kind, np.full(kind.count, value.data, dtype))


@builtin("has_field", arguments=2)
def has_field(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Whether a struct has a field."""
    value, name = ev.evaluate(node.arguments[0]), text_of(ev, node.arguments[1])
    kind = value.data if isinstance(value.type, t.TypeType) else value.type
    return Value(t.BOOL, isinstance(kind, t.Struct) and name in kind.names)


@builtin("field", arguments=2)
def field(ev: Evaluator, node: syntax.Builtin) -> Value:
    """A field by its name."""
    return load(ev, ev.place(node), node)


@builtin("concat_structs", arguments=2)
def concat_structs(ev: Evaluator, node: syntax.Builtin) -> Value:
    """The fields of two structs in one."""
    values = [ev.evaluate(each) for each in node.arguments]
    for value, each in zip(values, node.arguments, strict=True):
        if not isinstance(value.data, dict):
            ev.fail(each, f"expected a struct, found {shown(value)}")
    first, second = values[0].data, values[1].data
    if all(isinstance(each.type, t.Struct) and each.type.is_tuple for each in values):
        joined = [*first.values(), *second.values()]
        return Value(t.Struct(None, ("",) * len(joined), tuple(each.type for each in joined)),
                     {str(k): each for k, each in enumerate(joined)})
    both = first.keys() & second.keys()
    if both:
        ev.fail(node, f"both structs have a field '{min(both)}'")
    fields = {**first, **second}
    return Value(t.Struct(None, tuple(fields), tuple(each.type for each in fields.values())), fields)


@builtin("strcat")
def strcat(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Strings in a row."""
    return Value(t.STRING, "".join(text_of(ev, each) for each in node.arguments).encode())


@builtin("strlen", arguments=1)
def strlen(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Bytes of a string."""
    return Value(t.COMPTIME_INT, len(ev.compiling(node.arguments[0]).data))


@builtin("get_array", arguments=1)
def get_array(ev: Evaluator, node: syntax.Builtin) -> Value:
    """A string as an array of u8."""
    data = ev.compiling(node.arguments[0]).data
    return Value(t.Array((len(data),), t.U8), np.frombuffer(data, np.uint8).copy())


@builtin("get_string_from_byte", arguments=1)
def get_string_from_byte(ev: Evaluator, node: syntax.Builtin) -> Value:
    """A string of one byte."""
    number = ev.known_int(ev.compiling(node.arguments[0]), node.arguments[0])
    if not 0 <= number < 256:
        ev.fail(node.arguments[0], f"{number} is no byte: they are 0 to 255")
    return Value(t.STRING, bytes([number]))


# ---- small numbers with a meaning ----


@builtin("get_int", arguments=1)
def get_int(ev: Evaluator, node: syntax.Builtin) -> Value:
    """The number of an id, queue, color or enum."""
    value = ev.evaluate(node.arguments[0])
    if isinstance(value.type, t.Enum):
        return Value(value.type.type, value.data)
    if isinstance(value.type, (t.Int, t.ComptimeInt)):
        return value
    if not isinstance(value.type, t.Opaque):
        ev.fail(node, f"a value of type {value.type} has no number")
    return Value(t.U16, value.data)


_RANGES = {"wse2": {"get_color": 24, "get_input_queue": 8, "get_output_queue": 6, "get_local_task_id": 31,
                    "get_control_task_id": 64, "get_data_task_id": 24, "get_ut_id": 8},
           "wse3": {"get_color": 24, "get_input_queue": 8, "get_output_queue": 8, "get_local_task_id": 31,
                    "get_control_task_id": 64, "get_data_task_id": 8, "get_ut_id": 8}}
_KINDS = {"get_color": t.COLOR, "get_input_queue": t.INPUT_QUEUE, "get_output_queue": t.OUTPUT_QUEUE,
          "get_local_task_id": t.LOCAL_TASK, "get_control_task_id": t.CONTROL_TASK, "get_data_task_id": t.DATA_TASK,
          "get_ut_id": t.UT}


@builtin(*_KINDS, arguments=1)
def small(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@get_color(n)`` and its like."""
    value, kind = ev.evaluate(node.arguments[0]), _KINDS[node.name]
    if isinstance(value.data, Reg):
        if node.name != "get_color":
            ev.fail(node, f"@{node.name} needs a number that is known while the program is compiled")
        return Value(kind, value.data)
    if node.name == "get_data_task_id":
        wanted = t.COLOR if ev.unit.options.arch == "wse2" else t.INPUT_QUEUE
        if isinstance(value.type, t.Opaque) and value.type != wanted:
            made_of = "a color" if wanted == t.COLOR else "an input queue"
            ev.fail(node, f"on {ev.unit.options.arch} the id of a data task is made of {made_of}, found {shown(value)}")
    elif not isinstance(value.type, (t.Int, t.ComptimeInt)):
        ev.fail(node, f"@{node.name} takes a whole number, found {shown(value)}")
    number, most = ev.known_int(value, node.arguments[0]), _RANGES[ev.unit.options.arch][node.name]
    if not 0 <= number < most:
        ev.fail(node.arguments[0], f"{number} is no {kind} of {ev.unit.options.arch}: they are 0 to {most - 1}")
    return Value(kind, number)


@builtin("is_arch", arguments=1)
def is_arch(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Whether the program is compiled for a generation."""
    return Value(t.BOOL, text_of(ev, node.arguments[0]) == ev.unit.options.arch)


@builtin("is_comptime", arguments=0)
def is_comptime(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Whether this is evaluated while the program is compiled."""
    return Value(t.BOOL, not ev.runtime)


@builtin("fp16", arguments=0)
def fp16(ev: Evaluator, node: syntax.Builtin) -> Value:
    """The 16-bit float type of the program."""
    return Value(t.TYPE, t.NAMED[ev.unit.options.fp16])


@builtin("range", arguments=(2, 4))
def range_(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@range(T, stop)`` or ``@range(T, start, stop, step)``."""
    kind = ev.type_at(node.arguments[0])
    if not isinstance(kind, (t.Int, t.ComptimeInt)):
        ev.fail(node.arguments[0], f"a range is of whole numbers, found {kind}")
    values = [ev.evaluate(each, kind) for each in node.arguments[1:]]
    zero, one = Value(kind, 0), Value(kind, 1)
    parts = (zero, values[0], one) if len(values) == 1 else (values[0], values[1], values[2] if len(values) > 2 else one)
    if not isinstance(parts[2].data, (Reg, Varying)) and parts[2].data == 0:
        ev.fail(node, "the step of a range is 0")
    return Value(t.RangeType(kind), parts)


@builtin("range_start", "range_stop", "range_step", arguments=1)
def range_part(ev: Evaluator, node: syntax.Builtin) -> Value:
    """A part of a range."""
    value = ev.evaluate(node.arguments[0])
    if not isinstance(value.type, t.RangeType):
        ev.fail(node, f"expected a range, found {shown(value)}")
    return value.data[("range_start", "range_stop", "range_step").index(node.name)]


# ---- modules, checks, messages ----


@builtin("import_module", arguments=(1, 2))
def import_module(ev: Evaluator, node: syntax.Builtin) -> Value:
    """An instance of a file."""
    path = text_of(ev, node.arguments[0])
    parameters: dict[str, Value] = {}
    if len(node.arguments) > 1:
        given = ev.compiling(node.arguments[1])
        if not isinstance(given.data, dict):
            if given.type != t.VOID:
                ev.fail(node.arguments[1], f"expected a struct of parameters, found {shown(given)}")
        else:
            parameters = dict(given.data) if not given.type.is_tuple else {}
    return Value(t.MODULE, ev.unit.open(path, ev.scope.module, parameters, node.span))


@builtin("comptime_assert", arguments=(1, 2))
def comptime_assert(ev: Evaluator, node: syntax.Builtin) -> Value:
    """An error where a condition does not hold."""
    condition = ev.compiling(node.arguments[0], t.BOOL)
    if not ev.known_bool(condition, node.arguments[0]):
        message = f": {text_of(ev, node.arguments[1])}" if len(node.arguments) > 1 else ""
        ev.fail(node, f"this does not hold{message}")
    return NOTHING


@builtin("comptime_print")
def comptime_print(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Print while the program is compiled."""
    ev.unit.say(f"{node.span}: {' '.join(shown(ev.compiling(each)) for each in node.arguments)}")
    return NOTHING


@builtin("assert", arguments=1)
def assert_(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Stop the simulation where a condition does not hold."""
    condition = ev.evaluate(node.arguments[0], t.BOOL)
    known = ev.known_bool(condition, node.arguments[0])
    if known is False and not ev.runtime:
        ev.fail(node, "this does not hold")
    if not known:
        ev.unit.trap_unless(ev, condition, node)
    return NOTHING


@builtin("map")
def map_(ev: Evaluator, node: syntax.Builtin) -> Value:
    """``@map(f, inputs..., output)``."""
    return map_elements(ev, node)


def function_of(ev: Evaluator, node: syntax.Expression, kind: str) -> FunctionRef:
    """A function or task."""
    value: Any = ev.evaluate(node)
    if isinstance(value.type, t.Pointer) and isinstance(value.data, FunctionRef):
        ev.warn(node, "the address of a task is deprecated; write its name")
    if not isinstance(value.data, FunctionRef) or (kind and value.data.node.kind != kind):
        ev.fail(node, f"expected a {'task' if kind == 'task' else 'function'}, found {shown(value)}")
    return value.data


