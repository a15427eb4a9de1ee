"""Builtins of tasks, queues, colors, DSRs and exports."""

from dataclasses import dataclass
from typing import Any

from wsekern.csl import syntax
from wsekern.csl import types as t
from wsekern.csl.builtins import builtin, function_of, text_of
from wsekern.csl.dsds import Dsr, fields_of
from wsekern.csl.functions import Evaluator
from wsekern.csl.operations import for_each_task, task_value
from wsekern.csl.places import InMemory, load
from wsekern.csl.source import Note
from wsekern.csl.unit import Queue, Task
from wsekern.csl.values import NOTHING, Address, Dsd, FunctionRef, Reg, Symbol, Value, Varying, shown


def _at_start(ev: Evaluator, node: syntax.Builtin) -> None:
    if ev.runtime:
        ev.fail(node, f"@{node.name} stands in a comptime block")


def _id(ev: Evaluator, node: syntax.Expression, *kinds: t.Type) -> Value:
    value = ev.evaluate(node)
    if isinstance(value.data, FunctionRef):
        value = task_value(ev, value, node)
    if value.type not in kinds:
        ev.fail(node, f"expected a {' or '.join(map(str, kinds))}, found {shown(value)}")
    return value


def known_task(ev: Evaluator, value: Value, node: syntax.Node) -> Value:
    """A task id that is known while the program is compiled."""
    if isinstance(value.data, Reg):
        ev.fail(node, "a task id that is known only at run time is not supported here: give it to the operation")
    return task_value(ev, value, node)


def task_label(task: Task) -> str:
    """Name of a bound task in the program."""
    return f"{task.function.name}_{task.kind}{task.number}"


# ---- binding ----


@builtin("bind_local_task", "bind_data_task", "bind_control_task", "bind_task", arguments=2)
def bind(ev: Evaluator, node: syntax.Builtin) -> Value:
    """A task on an id."""
    _at_start(ev, node)
    function = function_of(ev, node.arguments[0], "task")
    kind = {"bind_local_task": "local", "bind_data_task": "data", "bind_control_task": "control"}.get(node.name, "")
    value = ev.compiling(node.arguments[1])
    kinds = {t.LOCAL_TASK: "local", t.DATA_TASK: "data", t.CONTROL_TASK: "control", t.COLOR: ""}
    if value.type not in kinds:
        ev.fail(node.arguments[1], f"expected the id of a task, found {shown(value)}")
    if not kind:  # before 1.0 a color was the id of every task
        kind = kinds[value.type] or ("data" if function.node.parameters else "local")
    elif kinds[value.type] != kind:
        ev.fail(node.arguments[1], f"@{node.name} takes a {kind}_task_id, found {shown(value)}")
    _check_parameters(ev, function, kind, node)
    number = ev.known_int(value, node.arguments[1])
    other = next((task for task in ev.unit.effects.tasks if task.kind == kind and task.number == number), None)
    if other is not None:
        ev.fail(node, f"the {kind} task id {number} is bound to '{other.function.name}' already", Note("here", other.span))
    if kind == "local" and ev.unit.options.arch == "wse3" and number < 8:
        ev.fail(node.arguments[1], f"local tasks of wse3 have the ids 8 to 30, not {number}")
    ev.unit.effects.tasks.append(Task(kind, number, function, node.span))
    return NOTHING


def _check_parameters(ev: Evaluator, function: FunctionRef, kind: str, node: syntax.Builtin) -> None:
    count = len(function.node.parameters)
    if kind == "local" and count:
        ev.fail(node, f"a local task takes no arguments, '{function.name}' has {count}",
                Note("declared here", function.node.span))
    if kind == "data" and count not in (1, 2):
        ev.fail(node, f"a data task takes a word, or its two halves; '{function.name}' has {count} parameters",
                Note("declared here", function.node.span))
    if kind == "control" and count > 1:
        ev.fail(node, f"a control task takes at most the word's 16 bits; '{function.name}' has {count} parameters",
                Note("declared here", function.node.span))


HOST_QUEUES = {("wse2", "input"): {0}, ("wse2", "output"): {0}, ("wse3", "input"): {0, 1}, ("wse3", "output"): {0}}
"""Queues that <memcpy/memcpy> uses itself (SDK documentation, task and queue maps)."""


@builtin("initialize_queue", arguments=(1, 2))
def initialize_queue(ev: Evaluator, node: syntax.Builtin) -> Value:
    """A queue's color and priority."""
    _at_start(ev, node)
    queue = _id(ev, node.arguments[0], t.INPUT_QUEUE, t.OUTPUT_QUEUE)
    fields = fields_of(ev, node.arguments[1])[0] if len(node.arguments) > 1 else {}
    number = ev.known_int(queue, node)
    bound = ev.unit.effects.inputs if queue.type == t.INPUT_QUEUE else ev.unit.effects.outputs
    color = ev.known_int(fields["color"], node) if "color" in fields else None
    if number in bound and bound[number].color is not None and bound[number].color != color:
        ev.fail(node, f"this queue has color {bound[number].color} already", Note("here", bound[number].span))
    if color is None and ev.unit.options.arch == "wse3":
        ev.fail(node, "queues of wse3 need a color: @initialize_queue(queue, .{ .color = c })")
    what = "input" if queue.type == t.INPUT_QUEUE else "output"
    if number in HOST_QUEUES[ev.unit.options.arch, what] and any("memcpy/memcpy" in module.name or "memcpy_multi/memcpy" in
                                                                 module.name for module in ev.unit.modules):
        ev.unit.diagnostics.warn(f"{what} queue {number} is reserved for the host's copies, as this program imports "
                                 "<memcpy/memcpy>: use another one", node.span)
    priority = next((name for name, each in fields["priority"].data.items() if each.data), "") if "priority" in fields else ""
    bound[number] = Queue(color, node.span, priority)
    return NOTHING


@builtin("set_local_color_config", arguments=2)
def set_local_color_config(ev: Evaluator, node: syntax.Builtin) -> Value:
    """The route of a color on the PEs of this program."""
    _at_start(ev, node)
    color = ev.known_int(_id(ev, node.arguments[0], t.COLOR), node)
    if color in ev.unit.effects.colors:
        ev.fail(node, f"color {color} is configured twice", Note("here first", ev.unit.effects.colors[color][1]))
    fields = fields_of(ev, node.arguments[1])[0]
    if "teardown" in fields and isinstance(fields["teardown"].data, Varying):  # code asks for it
        raise ev.split(fields["teardown"].data)
    ev.unit.effects.colors[color] = (fields, node.span)
    return NOTHING


@builtin("set_teardown_handler", arguments=2)
def set_teardown_handler(ev: Evaluator, node: syntax.Builtin) -> Value:
    """What runs when a color goes into teardown."""
    _at_start(ev, node)
    function = function_of(ev, node.arguments[0], "")
    color = ev.known_int(_id(ev, node.arguments[1], t.COLOR), node)
    ev.unit.effects.teardown[color] = function
    return NOTHING


def _flushes(ev: Evaluator, node: syntax.Builtin) -> None:
    if ev.unit.options.arch == "wse2":
        ev.fail(node, f"wse2 has no @{node.name}: its output queues take words of all colors")


@builtin("set_empty_queue_handler", arguments=2)
def set_empty_queue_handler(ev: Evaluator, node: syntax.Builtin) -> Value:
    """What runs when an output queue that is flushed is empty."""
    _at_start(ev, node)
    _flushes(ev, node)
    function = function_of(ev, node.arguments[0], "")
    queue = ev.known_int(_id(ev, node.arguments[1], t.OUTPUT_QUEUE), node)
    ev.unit.effects.empty[queue] = function
    return NOTHING


@builtin("queue_flush", arguments=1)
def queue_flush(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Let the handler of an output queue, or the teardown task, run once the queue is empty. Nobody waits for an input queue:
    it has no handler."""
    _flushes(ev, node)
    queue = ev.evaluate(node.arguments[0])
    if queue.type == t.INPUT_QUEUE:
        ev.warn(node, "the flush of an input queue does nothing here: only output queues tell when they are empty")
    else:
        ev.emit.emit("flush", imm=ev.known_int(_id(ev, node.arguments[0], t.OUTPUT_QUEUE), node))
    return NOTHING


@builtin("set_control_task_table", arguments=(0, 1))
def set_control_task_table(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Control tasks have a table of their own here in any case."""
    return NOTHING


@builtin("rpc", arguments=1)
def rpc(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Machinery of the dialect before 1.0, which needs none of it here."""
    return NOTHING


# ---- activation ----


@builtin("activate", arguments=1)
def activate(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Start a task; in comptime, at the beginning."""
    task = _id(ev, node.arguments[0], t.LOCAL_TASK, t.DATA_TASK, t.COLOR)
    if isinstance(task.data, Reg):
        for_each_task(ev, task.data, lambda one: ev.emit.emit("activate", target=one))
    elif ev.runtime:
        ev.emit.emit("activate", target=task)
    else:
        ev.unit.effects.activated.add(ev.known_int(task, node))
    return NOTHING


@builtin("block", "unblock", arguments=1)
def block(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Keep a task or a channel from starting, or let it."""
    value = _id(ev, node.arguments[0], t.LOCAL_TASK, t.DATA_TASK, t.COLOR, t.INPUT_QUEUE, t.UT)
    if value.type == t.UT:
        ev.fail(node, f"@{node.name} of a microthread is not supported yet")
    if ev.runtime and isinstance(value.data, Reg):
        if value.type != t.LOCAL_TASK:
            ev.fail(node, f"@{node.name} of a {value.type} that is known only at run time: only local tasks are told so")
        for_each_task(ev, value.data, lambda one: ev.emit.emit(node.name, target=one))
        return NOTHING
    if ev.runtime:
        ev.emit.emit(node.name, target=value)
        return NOTHING
    number = ev.known_int(value, node)
    if value.type == t.COLOR and node.name == "unblock":
        ev.unit.effects.opened.add(number)
    held = ev.unit.effects.blocked if value.type == t.LOCAL_TASK else ev.unit.effects.blocked_channels
    held.add(number) if node.name == "block" else held.discard(number)
    return NOTHING


# ---- registers of descriptors, FIFOs ----


_BESIDE = {"load_to_dsr": 0, "load_to_dsr_xdsr": 1, "load_to_dsr_xdsr_sr": 2}
"""Arguments between the DSR and the DSD: registers for more dimensions or a wrap-around, which a DSR has here."""


@builtin(*_BESIDE, arguments=(2, 5))
def load_to_dsr(ev: Evaluator, node: syntax.Builtin) -> Value:
    """A DSD into a DSR, at the start or while the program runs."""
    at = 1 + _BESIDE[node.name]
    if not at < len(node.arguments) <= at + 2:
        ev.fail(node, f"@{node.name} takes {at + 1} arguments, and perhaps options; found {len(node.arguments)}")
    dsr, value = ev.evaluate(node.arguments[0]), ev.evaluate(node.arguments[at])
    if not isinstance(dsr.data, Dsr):
        ev.fail(node.arguments[0], f"expected a DSR, found {shown(dsr)}")
    if not isinstance(value.data, Dsd):
        ev.fail(node.arguments[at], f"expected a DSD, found {shown(value)}")
    options = fields_of(ev, node.arguments[at + 1])[0] if len(node.arguments) > at + 1 else {}
    for name in ("activate", "unblock"):
        if name in options:
            options[name] = known_task(ev, options[name], node)
    ev.unit.loaded(ev, dsr.data, value, options, node)
    return NOTHING


@builtin("set_dsr_base_addr", arguments=2)
def set_dsr_base_addr(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Let a DSR begin elsewhere."""
    dsr, place = ev.evaluate(node.arguments[0]), ev.place(node.arguments[1])
    if not isinstance(dsr.data, Dsr) or not ev.runtime:
        ev.fail(node, "expected a DSR, in code of a PE")
    pointer = load(ev, place, node) if isinstance(place.type, t.Pointer) else Value(
        t.Pointer(place.type), Address(place.memory.symbol, place.memory.offset))
    if isinstance(place, InMemory) and place.memory.symbol is not None:
        ev.unit.use(place.memory.symbol)
    ev.emit.emit("dsr_base", target=dsr.data, a=pointer)
    return NOTHING


@dataclass(eq=False)
class FifoBuffer:
    """A FIFO in the memory of a symbol."""

    symbol: Symbol
    options: dict[str, Value]
    name: str


@builtin("allocate_fifo", arguments=(1, 2))
def allocate_fifo(ev: Evaluator, node: syntax.Builtin) -> Value:
    """A FIFO in an array."""
    place = ev.place(node.arguments[0])
    if not isinstance(place, InMemory) or place.memory.symbol is None or not isinstance(place.type, t.Array):
        ev.fail(node.arguments[0], "a FIFO lies in a global array")
    options = fields_of(ev, node.arguments[1])[0] if len(node.arguments) > 1 else {}
    for name in ("activate_push", "activate_pop"):
        if name in options:
            options[name] = known_task(ev, options[name], node)
    symbol = place.memory.symbol
    ev.unit.use(symbol)
    fifo = FifoBuffer(symbol, options, symbol.name)
    ev.unit.effects.fifos.append(fifo)
    return Value(t.FIFO, Dsd("fifo", element=max(2, place.type.element.bytes), fifo=fifo))


# ---- exports ----


@builtin("export_symbol", arguments=(1, 2))
def export_symbol(ev: Evaluator, node: syntax.Builtin) -> Value:
    """What the host knows by a name: memory behind a pointer, a variable, a function."""
    _at_start(ev, node)
    argument = node.arguments[0]
    place = ev.place(argument)
    name = text_of(ev, node.arguments[1]) if len(node.arguments) > 1 else getattr(argument, "name", "")
    if not name:
        ev.fail(node, "an exported symbol needs a name")
    if name in ev.unit.effects.exports:
        ev.fail(node, f"'{name}' is exported twice", Note("here first", ev.unit.effects.exports[name][1]))
    ev.unit.effects.exports[name] = (_exported(ev, place, argument), node.span)
    return NOTHING


def _exported(ev: Evaluator, place: Any, node: syntax.Expression) -> Value:
    if isinstance(place, InMemory) and place.memory.symbol is not None:
        symbol = place.memory.symbol
        if isinstance(symbol.type, t.Pointer) and symbol.initial is not None and isinstance(symbol.initial.data, Address):
            ev.unit.use(symbol.initial.data.symbol)
            if not symbol.constant:
                ev.unit.use(symbol)
            return Value(symbol.type, symbol.initial.data if symbol.constant else symbol)
        ev.unit.use(symbol)
        return Value(t.Pointer(symbol.type), Address(symbol, place.memory.offset))
    value = place.value
    if isinstance(value.data, Address):
        ev.unit.use(value.data.symbol)
        return value
    if isinstance(value.data, FunctionRef):
        return value
    if isinstance(value.data, Reg) or not value.type.bytes:
        ev.fail(node, f"{shown(value)} cannot be exported")
    symbol = ev.unit.constant_symbol(value)
    return Value(t.Pointer(value.type, True), Address(symbol))
