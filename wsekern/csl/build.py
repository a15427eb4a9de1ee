"""From a layout file to programs on PEs: PEs whose code is the same share a program, whatever numbers it computes with."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from wsekern.csl import builtins, calls, layout, library, mapping, syntax, tasks  # noqa: F401  (they register what they do)
from wsekern.csl import types as t
from wsekern.csl.calls import jump, run_task
from wsekern.csl.dialect import chosen
from wsekern.csl.emit import machine_type
from wsekern.csl.files import Files
from wsekern.csl.functions import Evaluator
from wsekern.csl.ir import WORD_REGISTER, Frame
from wsekern.csl.layout import ColorConfig, LayoutEffects, Where, color_config, run_layout
from wsekern.csl.link import Linker
from wsekern.csl.places import from_memory
from wsekern.csl.scope import Module, Scope, kept, walk
from wsekern.csl.source import CslError, Diagnostic, Diagnostics, Span
from wsekern.csl.tasks import task_label
from wsekern.csl.unit import Options, Task, Unit
from wsekern.csl.values import Address, FunctionRef, Memory, Split, Symbol, Value, Varying
from wsekern.fabric.routes import make_route
from wsekern.program.instructions import Scalar, TaskEntry
from wsekern.program.layout import Layout

RECURSION = 20_000
"""Frames of Python: calls of CSL inside each other take a dozen each."""


@dataclass(eq=False)
class Export:
    """What the host knows by a name: memory (symbol, byte offset, type of an element, elements) or a function."""

    name: str
    kind: t.Type
    symbol: str = ""
    offset: int = 0
    elements: int = 0
    element: t.Type | None = None
    arguments: tuple[t.Type, ...] = ()
    registers: tuple[str, ...] = ()
    """Symbols of a function's arguments."""
    pointer: str = ""
    """Symbol of the pointer, where code may change it."""


@dataclass(eq=False)
class Built:
    """A program, the PEs that run it (x, y), and what it exports."""

    program: Any
    pes: np.ndarray
    exports: dict[str, Export]
    parameters: list[np.ndarray] = field(default_factory=list)
    memory: list[tuple[str, int, str, np.ndarray]] = field(default_factory=list)
    incoming: set[int] = field(default_factory=set)
    outgoing: set[int] = field(default_factory=set)
    """Colors that the host streams on."""
    colors: dict[int, ColorConfig | None] = field(default_factory=dict)
    """Routes that the program itself configures."""
    sites: list[Any] = field(default_factory=list)
    """Places that tell the host something."""


@dataclass(eq=False)
class Build:
    """A compiled layout."""

    layout: Layout
    programs: list[Built]
    effects: LayoutEffects
    parameters: dict[str, Value]
    options: Options
    diagnostics: Diagnostics
    said: list[str]
    taps: tuple[int, ...] = ()
    offsets: tuple[int, int] = (0, 0)
    """Colors whose words the host takes at the ramps."""


@contextmanager
def deep() -> Iterator[None]:
    """Inside, calls of CSL may lie inside each other; the limit of the process stays what it was."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, RECURSION))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@deep()
def build(path: str | Path, parameters: dict[str, int] | None = None, options: Options | None = None,
          fabric: tuple[int, int] = (0, 0), offsets: tuple[int, int] = (0, 0)) -> Build:
    """Compile a layout file. Raises :class:`wsekern.csl.source.CslError` with everything that is wrong."""
    options, diagnostics, files = options or Options(), Diagnostics(), Files()
    given = {name: Value(t.COMPTIME_INT, number) for name, number in (parameters or {}).items()}
    path = Path(path)
    options = replace(options, dialect=chosen(options.dialect, path, options.folders).name)
    unit = Unit(files, options, diagnostics)
    effects = run_layout(unit, str(path.resolve()), given, Where(0, 0, fabric, offsets))
    return assemble(effects, unit, path, fabric, offsets, given)


@deep()
def assemble(effects: LayoutEffects, unit: Unit, path: Path, fabric: tuple[int, int] = (0, 0),
             offsets: tuple[int, int] = (0, 0), given: dict[str, Value] | None = None) -> Build:
    """Compile the programs of a layout's PEs; ``path``: beside which their files are."""
    files, options, diagnostics = unit.files, unit.options, unit.diagnostics
    where = Where(effects.width, effects.height, fabric, offsets)
    made = Layout(options.arch, effects.width, effects.height, open_edges=True)
    made.fabric.allow_reserved = True
    configs = colors_of(effects, made)
    programs, said = [], list(unit.said)
    for group in groups_of(effects, path):
        for built in compile_group(files, options, diagnostics, group, where, effects, said, configs):
            programs.append(built)
    diagnostics.check()
    for built in programs:
        place(made, built)
    incoming, outgoing = streams_of(programs)
    paint_rest(made, programs, effects, incoming | outgoing)
    return Build(made, programs, effects, given or {}, options, diagnostics, said, tuple(sorted(outgoing)), offsets)


def streams_of(programs: list[Built]) -> tuple[set[int], set[int]]:
    """Colors on which the host streams words to PEs, and takes words from them."""
    return (set().union(*(built.incoming for built in programs)), set().union(*(built.outgoing for built in programs)))


def paint_rest(made: Layout, programs: list[Built], effects: LayoutEffects, streams: set[int]) -> None:
    """Routes that nobody paints: of the host's streams, and of colors that programs route while they run, which have the
    first of these routes from the start."""
    painted = {(color, x, y) for x, y, color in [*effects.colors, *effects.routes]}
    for built in programs:
        first: dict[int, Any] = {}
        for item in built.program.code:
            if isinstance(item, Scalar) and item.form == "route":
                first.setdefault(item.imm, built.program.routes[item.target])
        for color in (first.keys() | streams) - {color for color, config in built.colors.items() if config is not None}:
            route = first.get(color) or make_route("RAMP", "RAMP")
            for x, y in built.pes:
                if (color, int(x), int(y)) not in painted:
                    made.fabric.paint_route(color, route, x=int(x), y=int(y))


# ---- colors ----


def colors_of(effects: LayoutEffects, made: Layout) -> dict[tuple[int, int, int], ColorConfig]:
    """Paint the routes of the layout."""
    known: dict[int, ColorConfig | None] = {}
    found = {}
    for (x, y, color), (fields, span) in effects.colors.items():
        key = id(fields)
        if key not in known:
            known[key] = color_config(fields, span)
        config = known[key]
        if config is not None:
            found[x, y, color] = config
            paint(made, config, color, x, y)
    for (x, y, color), route in effects.routes.items():
        found[x, y, color] = ColorConfig(route)
        paint(made, found[x, y, color], color, x, y)
    return found


def paint(made: Layout, config: ColorConfig, color: int, x: int, y: int) -> None:
    """A configuration at a PE."""
    if config.route is not None:
        made.fabric.paint_route(color, config.route, x=x, y=y)
    if config.filter is not None:
        made.fabric.filter(color, config.filter, x=x, y=y)


# ---- groups of PEs ----


@dataclass(eq=False)
class Group:
    """PEs of one file whose parameters differ in numbers at most."""

    file: str
    pes: np.ndarray
    parameters: list[dict[str, Value]]
    span: Span | None


def groups_of(effects: LayoutEffects, path: Path) -> list[Group]:
    """PEs by file and by all of their parameters but whole numbers."""
    found: dict[Any, list[tuple[int, int]]] = {}
    for place_, tile in effects.tiles.items():
        key = (tile.file, tuple((name, template(value)) for name, value in sorted(tile.parameters.items())))
        found.setdefault(key, []).append(place_)
    groups = []
    for (file, _), places in found.items():
        tiles = [effects.tiles[each] for each in places]
        groups.append(Group(str(path.parent / file) if file else str(path), np.array(places, np.int64),
                            [tile.parameters for tile in tiles], tiles[0].span))
    return groups


def template(value: Value) -> Any:
    """What of a parameter must be the same on PEs that are compiled together."""
    if isinstance(value.type, (t.Int, t.ComptimeInt, t.Bool)):
        return str(value.type)
    if isinstance(value.data, dict):
        return tuple((name, template(each)) for name, each in value.data.items())
    if isinstance(value.data, np.ndarray):
        return str(value.type), value.data.tobytes()
    if isinstance(value.data, (int, float, bytes, t.Type, type(None))):
        return str(value.type), value.data
    if isinstance(value.data, list):
        return str(value.type), tuple(map(str, value.data))
    return str(value.type), id(value.data)


def joined(values: list[Value]) -> Value:
    """A parameter of several PEs as one value."""
    first = values[0]
    if isinstance(first.data, dict):
        return Value(first.type, {name: joined([each.data[name] for each in values]) for name in first.data})
    if isinstance(first.type, (t.Int, t.ComptimeInt, t.Bool)) and any(each.data != first.data for each in values):
        dtype = bool if isinstance(first.type, t.Bool) else np.int64
        return Value(first.type, Varying(np.array([each.data for each in values], dtype)))
    return first


# ---- one group ----


def compile_group(files: Files, options: Options, diagnostics: Diagnostics, group: Group, where: Where, effects: LayoutEffects,
                  said: list[str], configs: dict[tuple[int, int, int], ColorConfig]) -> Iterator[Built]:
    """Programs of a group: one, or several where what differs decides how code looks."""
    waiting = [np.arange(len(group.pes))]
    while waiting:
        chosen = waiting.pop()
        unit = Unit(files, options, diagnostics, len(chosen))
        unit.configs, unit.config_of = configs, color_config
        pes = group.pes[chosen]
        unit.where = Where(where.width, where.height, where.fabric, where.offsets, pes[:, 0], pes[:, 1])
        try:
            yield compile_pes(unit, group, chosen, pes, effects)
            said += unit.said
        except Split as split:
            waiting += [chosen[split.groups == k] for k in np.unique(split.groups)]
        except CslError as error:
            diagnostics.found += [each for each in error.diagnostics if each not in diagnostics.found]


def compile_pes(unit: Unit, group: Group, chosen: np.ndarray, pes: np.ndarray, effects: LayoutEffects) -> Built:
    """One program for PEs."""
    parameters = {name: joined([group.parameters[k][name] for k in chosen]) for name in group.parameters[chosen[0]]}
    unit.open(group.file, None, parameters, group.span)
    run_comptime(unit)
    entries = entries_of(unit)
    unit.finish()
    if unit.diagnostics.errors:
        raise CslError(unit.diagnostics.errors)
    name = Path(group.file).stem + (f"_{pes[0][0]}_{pes[0][1]}" if len(pes) < len(group.pes) else "")
    linker = Linker(unit, name)
    exports = exports_of(unit, effects)
    program = linker.link(entries)
    outgoing = host_colors(unit, "MEMCPYD2H") | ({library.HOST_COLOR} if unit.sites else set())
    return Built(program, pes, exports, [varying.each for varying in unit.parameters], memory_of(unit),
                 host_colors(unit, "MEMCPYH2D"), outgoing,
                 {color: color_config(fields, span) for color, (fields, span) in unit.effects.colors.items()}, unit.sites)


def host_colors(unit: Unit, name: str) -> set[int]:
    """Colors that <memcpy/memcpy> was given for a direction."""
    found = set()
    for module in unit.modules:
        for key, value in module.parameters.items():
            if key.startswith(name) and isinstance(value.data, int):
                found.add(value.data)
    return found


def run_comptime(unit: Unit) -> None:
    """Imports of all modules, then their comptime blocks, those of the imported before those of the importer."""
    done: set[Module] = set()

    def visit(module: Module) -> None:
        if module in done:
            return
        done.add(module)
        before = 0
        for node in module.file.declarations:
            if isinstance(node, syntax.Variable) and _imports(node):
                unit.global_binding(module, node.name)
        while before < len(unit.modules):
            each = unit.modules[before]
            before += 1
            if each is not module and each.importer is not None and each.importer[0] is module:
                visit(each)
        for node in module.file.declarations:
            if isinstance(node, syntax.Block) and node.comptime:
                Evaluator(unit, Scope(module)).block(node)

    k = 0
    while k < len(unit.modules):
        visit(unit.modules[k])
        k += 1


@kept
def _imports(node: syntax.Variable) -> bool:
    return any(isinstance(each, syntax.Builtin) and each.name == "import_module" for each in walk(node.value))


# ---- tasks and functions that something outside starts ----


def entries_of(unit: Unit) -> list[tuple[TaskEntry, Frame]]:
    """Bound tasks and exported functions, their code asked for."""
    found = []
    for task in unit.effects.tasks:
        frame = Frame(task_label(task), "task", span=task.span)
        entry = TaskEntry(frame.name, task.kind, f"task {frame.name}", number_of(unit, task))
        if task.kind == "local":
            entry.active, entry.blocked = task.number in unit.effects.activated, task.number in unit.effects.blocked
            entry.priority = unit.effects.priorities.get(task.number, "low")
        elif task.kind == "data":
            entry.blocked = task.number in unit.effects.blocked_channels
        unit.later(lambda frame=frame, task=task: run_task(unit, frame, task.function, words_of(unit, frame, task)))
        found.append((entry, frame))
    for name, (value, span) in unit.effects.exports.items():
        if isinstance(value.data, FunctionRef):
            found.append(launched(unit, name, value.data, span))
    if unit.effects.teardown:
        found.append(library.teardown_entry(unit))
    return found


def number_of(unit: Unit, task: Task) -> int:
    """The number by which programs know a task: of data tasks, the color."""
    if task.kind == "data" and unit.options.arch == "wse3":
        queue = unit.effects.inputs.get(task.number)
        return queue.color if queue is not None and queue.color is not None else 0
    return task.number


def words_of(unit: Unit, frame: Frame, task: Task) -> list[Value]:
    """Parameters of a task: parts of the word that started it."""
    nodes = task.function.node.parameters
    ev = Evaluator(unit, Scope(task.function.module), frame)
    kinds = [ev.type_at(node.type) for node in nodes]
    if len(kinds) == 2:
        low = ev.emit.scalar("and", "u32", WORD_REGISTER, ev.emit.constant(0xFFFF, "u32"))
        high = ev.emit.scalar("shr", "u32", WORD_REGISTER, ev.emit.constant(16, "u32"))
        return [Value(kinds[0], low), Value(kinds[1], high)]
    held = []
    for kind in kinds:
        register = frame.new()
        ev.emit.emit("scalar", op="mov", type="u32" if kind.bytes == 4 else "u16", dst=register, a=WORD_REGISTER)
        held.append(Value(kind, register))
    return held


def launched(unit: Unit, name: str, function: FunctionRef, span: Span) -> tuple[TaskEntry, Frame]:
    """A local task that calls an exported function with arguments which the host writes to memory."""
    frame = Frame(f"launch_{name}", "task", span=span)
    entry = TaskEntry(name, "local", f"task launch {name}", None)
    unit.later(lambda: _launch(unit, frame, name, function))
    return entry, frame


def _launch(unit: Unit, frame: Frame, name: str, function: FunctionRef) -> None:
    ev = Evaluator(unit, Scope(function.module), frame)
    ev.emit.span = function.node.span
    arguments = []
    for k, node in enumerate(function.node.parameters):
        kind = ev.type_at(node.type)
        symbol = Symbol(f"{name}.{k}", kind, None, False, used=True)
        unit.symbols.append(symbol)
        arguments.append(from_memory(ev, Memory(symbol), kind))
    result = ev.type_at(function.node.result)
    jump(ev, function, arguments, result, function.node)
    ev.emit.emit("end")


def exports_of(unit: Unit, effects: LayoutEffects) -> dict[str, Export]:
    """What a program exports, checked against the names of the layout."""
    found = {}
    for name, (value, span) in unit.effects.exports.items():
        if name not in effects.names and effects.rectangle is not None:
            raise CslError([Diagnostic(f"'{name}' is exported here, and the layout has no @export_name for it", span)])
        found[name] = export_of(unit, name, value)
    return found


def export_of(unit: Unit, name: str, value: Value) -> Export:
    """One exported symbol."""
    if isinstance(value.data, FunctionRef):
        kinds = value.type.parameters if isinstance(value.type, t.FunctionType) else ()
        return Export(name, value.type, arguments=tuple(kinds), registers=tuple(f"{name}.{k}" for k in range(len(kinds))))
    pointer = ""
    data = value.data
    if isinstance(data, Symbol):
        pointer, data = data.name, data.initial.data
    assert isinstance(data, Address) and isinstance(value.type, t.Pointer)
    symbol, element = data.symbol, value.type.element
    while isinstance(element, t.Array):
        element = element.element
    size = max(2, element.bytes)
    count = (symbol.type.bytes - data.offset) // size
    return Export(name, value.type, symbol.name, data.offset, count, element, pointer=pointer)


def memory_of(unit: Unit) -> list[tuple[str, int, str, np.ndarray]]:
    """Symbols whose initial values differ between PEs: (symbol, byte, element type, value of each PE)."""
    found = []
    for symbol in unit.symbols:
        if symbol.used and symbol.initial is not None:
            for offset, leaf in varying_in(symbol.initial):
                found.append((symbol.name, offset, machine_type(leaf.type), leaf.data.each))
    return found


def varying_in(value: Value, at: int = 0) -> Iterator[tuple[int, Value]]:
    """Numbers of a value that differ between PEs, with the bytes where they lie."""
    if isinstance(value.data, Varying):
        yield at, value
    elif isinstance(value.data, dict) and isinstance(value.type, t.Struct):
        for name, each in value.data.items():
            yield from varying_in(each, at + value.type.offset(name))
    elif isinstance(value.data, list) and isinstance(value.type, t.Array):
        for k, each in enumerate(value.data):
            if isinstance(each, Varying):
                yield at + k * value.type.element.bytes, Value(value.type.element, each)


def place(made: Layout, built: Built) -> None:
    """Put a program, its parameters and its own routes on its PEs."""
    grid = np.zeros((made.height, made.width), np.int64)
    for x, y in built.pes:
        made.set_program(built.program, int(x), int(y))
        for color, config in built.colors.items():
            if config is not None:
                paint(made, config, color, int(x), int(y))
    for k, each in enumerate(built.parameters):
        if f"p{k}" in built.program.parameters:
            grid[:] = 0
            grid[built.pes[:, 1], built.pes[:, 0]] = np.asarray(each, np.int64)
            signed = np.where(grid > 0x7FFFFFFF, grid - (1 << 32), grid)
            made.set_parameter(built.program, f"p{k}", signed)


