"""From a layout file to programs on PEs: PEs whose code is the same share a program, whatever numbers it computes with."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.csl import builtins, calls, layout, library, mapping, routes, syntax, tasks, written  # noqa: F401  (they register)
from wsekern.csl import dialect as dialects
from wsekern.csl import types as t
from wsekern.csl.calls import jump, run_task
from wsekern.csl.configs import Chosen, Configs, chosen_config, colors_of, paint
from wsekern.csl.emit import machine_type
from wsekern.csl.files import Files
from wsekern.csl.functions import Evaluator
from wsekern.csl.image import CHOSEN, LAUNCH, Export, Image, Part
from wsekern.csl.ir import WORD_REGISTER, Frame
from wsekern.csl.layout import ColorConfig, LayoutEffects, Where, color_config, run_layout
from wsekern.csl.link import Linker
from wsekern.csl.merging import join_parts, merged
from wsekern.csl.places import from_memory
from wsekern.csl.scope import Module, Scope, kept, walk
from wsekern.csl.source import CslError, Diagnostic, Diagnostics, Span
from wsekern.csl.tasks import task_label
from wsekern.csl.tiles import Tiles, chosen, joined, mask_of, template
from wsekern.csl.unit import Options, Task, Unit
from wsekern.csl.values import Address, FunctionRef, Memory, Split, Symbol, Value, Varying, number_dtype
from wsekern.csl.variables import globals_of
from wsekern.errors import check_source
from wsekern.fabric.routes import make_route
from wsekern.program.instructions import Scalar, TaskEntry
from wsekern.program.layout import Layout

RECURSION = 20_000
"""Frames of Python: calls of CSL inside each other take a dozen each."""


@dataclass(eq=False)
class Built(Part):
    """A part, and what the layout needs of it."""

    parameters: list[np.ndarray] = field(default_factory=list)
    incoming: set[int] = field(default_factory=set)
    outgoing: set[int] = field(default_factory=set)
    """Colors that the host streams on."""
    colors: dict[int, Chosen] = field(default_factory=dict)
    """Routes that the program itself configures."""

    @property
    def reach(self) -> tuple[Any, ...]:
        """What else must be the same in programs that are made one."""
        return self.incoming, self.outgoing, self.colors.keys(), len(self.parameters)


def join(one: Built, other: Built) -> Built:
    """Two parts whose code is the same as one."""
    parameters = [np.concatenate(pair) for pair in zip(one.parameters, other.parameters, strict=True)]
    return Built(**join_parts(one, other), parameters=parameters, incoming=one.incoming, outgoing=one.outgoing,
                 colors={color: each.with_those(other.colors[color]) for color, each in one.colors.items()})


@dataclass(eq=False)
class Build(Image):
    """A compiled layout, and what its compilation has said."""

    options: Options = field(default_factory=Options)
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    said: list[str] = field(default_factory=list)


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
    check_source(path := Path(path))
    options, diagnostics, files = options or Options(), Diagnostics(), Files(path.resolve().parent)
    given = {name: Value(t.COMPTIME_INT, number) for name, number in (parameters or {}).items()}
    options = replace(options, dialect=dialects.chosen(options.dialect, path, options.folders).name)
    unit = Unit(files, options, diagnostics)
    effects = run_layout(unit, str(path.resolve()), given, Where(0, 0, fabric, offsets))
    return assemble(effects, unit, path, fabric, offsets)


@deep()
def assemble(effects: LayoutEffects, unit: Unit, path: Path, fabric: tuple[int, int] = (0, 0),
             offsets: tuple[int, int] = (0, 0)) -> Build:
    """Compile the programs of a layout's PEs; ``path``: beside which their files are."""
    files, options, diagnostics = unit.files, unit.options, unit.diagnostics
    where = Where(effects.width, effects.height, fabric, offsets)
    made = Layout(options.arch, effects.width, effects.height, options.profile, open_edges=True)
    made.fabric.allow_reserved = True
    configs = colors_of(effects, made)
    programs: list[Built] = []
    said = list(unit.said)
    for group in groups_of(effects, path):
        for built in compile_group(files, options, diagnostics, group, where, effects, said, configs):
            programs.append(built)
    diagnostics.check()
    programs = merged(programs, lambda one, other: one.reach == other.reach, join)
    for built in programs:
        place(made, built)
    incoming, outgoing = streams_of(programs)
    paint_rest(made, programs, configs, incoming | outgoing)
    return Build(made, list(programs), tuple(sorted(outgoing)), offsets, options, diagnostics, said)


def streams_of(programs: list[Built]) -> tuple[set[int], set[int]]:
    """Colors on which the host streams words to PEs, and takes words from them."""
    return (set().union(*(built.incoming for built in programs)), set().union(*(built.outgoing for built in programs)))


def paint_rest(made: Layout, programs: list[Built], configs: Configs, streams: set[int]) -> None:
    """Routes that nobody paints: of the host's streams, and of colors that programs route while they run, which have the
    first of these routes from the start."""
    for built in programs:
        first: dict[int, Any] = {}
        for item in built.program.code:
            if isinstance(item, Scalar) and item.form == "route":
                first.setdefault(item.imm, built.program.routes[item.target])
        for color in first.keys() | streams:
            config = ColorConfig(first.get(color) or make_route("RAMP", "RAMP"))
            own = built.colors.get(color)
            pes = built.pes if own is None else built.pes[own.empty]
            paint(made, config, color, mask_of(configs.shape, pes) & ~configs.painted(color))


# ---- groups of PEs ----


@dataclass(eq=False)
class Group:
    """PEs [n][x, y] of one file whose parameters differ in numbers at most."""

    file: str
    pes: NDArray[np.int64]
    parameters: dict[str, Value]
    span: Span | None


def groups_of(effects: LayoutEffects, path: Path) -> list[Group]:
    """PEs by file and by all of their parameters but whole numbers."""
    found: dict[Any, list[Tiles]] = {}
    for _, tiles in effects.tiles.blocks:
        key = (tiles.file, tuple((name, template(value)) for name, value in sorted(tiles.parameters.items())))
        found.setdefault(key, []).append(tiles)
    groups = []
    for (file, _), blocks in found.items():
        counts = [len(each.x) for each in blocks]
        pes = np.stack([np.concatenate([each.x for each in blocks]), np.concatenate([each.y for each in blocks])], 1)
        parameters = {name: joined([each.parameters[name] for each in blocks], counts) for name in blocks[0].parameters}
        source = file if file.startswith("<") else str(path.parent / file) if file else str(path)
        groups.append(Group(source, pes, parameters, blocks[0].span))
    return groups


# ---- one group ----


def compile_group(files: Files, options: Options, diagnostics: Diagnostics, group: Group, where: Where, effects: LayoutEffects,
                  said: list[str], configs: Configs) -> Iterator[Built]:
    """Programs of a group: one, or several where what differs decides how code looks."""
    waiting = [np.arange(len(group.pes))]
    while waiting:
        here = waiting.pop()
        unit = Unit(files, options, diagnostics, len(here))
        unit.configs, unit.config_of = configs, color_config
        pes = group.pes[here]
        unit.where = Where(where.width, where.height, where.fabric, where.offsets, pes[:, 0], pes[:, 1])
        try:
            yield compile_pes(unit, group, {name: chosen(each, here) for name, each in group.parameters.items()}, pes, effects)
            said += unit.said
        except Split as split:
            waiting += [here[split.groups == k] for k in np.unique(split.groups)]
        except CslError as error:
            diagnostics.found += [each for each in error.diagnostics if each not in diagnostics.found]


def compile_pes(unit: Unit, group: Group, parameters: dict[str, Value], pes: NDArray[np.int64],
                effects: LayoutEffects) -> Built:
    """One program for PEs."""
    unit.open(group.file, None, parameters, group.span)
    run_comptime(unit)
    entries = entries_of(unit)
    unit.finish()
    if unit.diagnostics.errors:
        raise CslError(unit.diagnostics.errors)
    prefer_words(entries)
    name = Path(group.file.strip("<>")).stem + (f"_{pes[0][0]}_{pes[0][1]}" if len(pes) < len(group.pes) else "")
    linker = Linker(unit, name)
    exports = exports_of(unit, effects)
    program = linker.link(entries)
    outgoing = host_colors(unit, "MEMCPYD2H") | ({library.HOST_COLOR} if unit.sites else set())
    colors = {color: chosen_config(fields, span, len(pes)) for color, (fields, span) in unit.effects.colors.items()}
    variables, numbers = globals_of(unit.modules)
    return Built(program, pes, exports, memory_of(unit), unit.sites, variables + linker.variables, numbers,
                 [each.each for each in unit.parameters], host_colors(unit, "MEMCPYH2D"), outgoing, colors)


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
                flow = Evaluator(unit, Scope(module)).block(node)
                if flow is not None and flow.kind in ("break", "continue"):
                    raise CslError([Diagnostic(f"no loop around this '{flow.kind}'", node.span, "error", module.chain)])

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
        frame = Frame(task_label(task), "task", span=task.function.node.span, title=task.function.name)
        entry = TaskEntry(frame.name, task.kind, f"task {frame.name}", number_of(unit, task))
        if task.kind == "local":
            entry.active, entry.blocked = task.number in unit.effects.activated, task.number in unit.effects.blocked
            entry.priority = unit.effects.priorities.get(task.number, "low")
        elif task.kind == "data":
            entry.blocked = task.number in unit.effects.blocked_channels
        unit.later(lambda frame=frame, task=task: run_task(unit, frame, task.function, words_of(unit, frame, task)))
        found.append((entry, frame))
    functions = {name: value.data for name, (value, _) in unit.effects.exports.items() if isinstance(value.data, FunctionRef)}
    if functions:
        found.append(launcher(unit, functions))
    if unit.effects.teardown or unit.effects.empty:
        found.append(routes.teardown_entry(unit))
    return found


def prefer_words(entries: list[tuple[TaskEntry, Frame]]) -> None:
    """Give data tasks the high priority where a local task can start itself again, at once or over others: such tasks wait for
    words in circles, and a core that picks local tasks first would never take the words."""
    def activated(frame: Frame, seen: set[Frame]) -> set[int]:
        seen.add(frame)
        found = {op.fields["target"].data for op in frame.ops if op.form == "activate"}
        return found.union(*(activated(each, seen) for each in frame.calls if each not in seen))

    local = {entry.number: activated(frame, set()) for entry, frame in entries if entry.kind == "local"}
    reached = {number: set(after) for number, after in local.items()}
    for _ in local:
        for number, after in reached.items():
            reached[number] = after.union(*(local.get(each, set()) for each in after))
    if any(number in after for number, after in reached.items()):
        for entry, _ in entries:
            if entry.kind == "data":
                entry.priority = "high"


def number_of(unit: Unit, task: Task) -> int | None:
    """The number by which programs know a task: of data tasks, the color; None where their queue has none on these PEs."""
    if task.kind == "data" and unit.options.arch == "wse3":
        queue = unit.effects.inputs.get(task.number)
        return queue.color if queue is not None else None
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


def launcher(unit: Unit, functions: dict[str, FunctionRef]) -> tuple[TaskEntry, Frame]:
    """One local task for all exported functions, as ids of tasks are few: it calls the one that the host has chosen."""
    frame = Frame(LAUNCH, "task")

    def write() -> None:
        first = next(iter(functions.values()))
        ev = Evaluator(unit, Scope(first.module), frame)
        ev.emit.span = first.node.span
        chosen = None
        if len(functions) > 1:
            symbol = Symbol(CHOSEN, t.U16, None, False, used=True)
            unit.symbols.append(symbol)
            chosen = ev.emit.load(Memory(symbol), t.U16)
        for k, (name, function) in enumerate(functions.items()):
            after, taken = frame.label(), frame.taken
            if chosen is not None and k + 1 < len(functions):
                same = ev.emit.scalar("eq", "u16", chosen, ev.emit.constant(k, "u16"))
                ev.emit.emit("branch", a=same, target=after)
            _launch(unit, frame, name, function)
            frame.place(after)
            frame.release(taken)

    unit.later(write)
    return TaskEntry(LAUNCH, "local", f"task {LAUNCH}", None), frame


def _launch(unit: Unit, frame: Frame, name: str, function: FunctionRef) -> None:
    """Call a function with the arguments that the host has written to memory."""
    ev = Evaluator(unit, Scope(function.module), frame)
    ev.emit.span = function.node.span
    arguments = []
    for k, node in enumerate(function.node.parameters):
        kind = ev.type_at(node.type)
        symbol = Symbol(f"{name}.{k}", kind, None, False, used=True)
        unit.symbols.append(symbol)
        arguments.append(from_memory(ev, Memory(symbol), kind, node))
    result = ev.type_at(function.node.result)
    jump(ev, function, arguments, result, function.node)
    ev.emit.emit("end")


def exports_of(unit: Unit, effects: LayoutEffects) -> dict[str, Export]:
    """What a program exports, checked against the names of the layout."""
    found, functions = {}, 0
    for name, (value, span) in unit.effects.exports.items():
        if name not in effects.names and effects.rectangle is not None:
            raise CslError([Diagnostic(f"'{name}' is exported here, and the layout has no @export_name for it", span)])
        found[name] = export_of(unit, name, value, functions)
        functions += isinstance(value.data, FunctionRef)
    return found


def export_of(unit: Unit, name: str, value: Value, number: int = 0) -> Export:
    """One exported symbol; of a function, the ``number`` that it has among them."""
    if isinstance(value.data, FunctionRef):
        kinds = value.type.parameters if isinstance(value.type, t.FunctionType) else ()
        return Export(name, arguments=tuple(str(number_dtype(kind) or np.dtype(np.uint16)) for kind in kinds),
                      registers=tuple(f"{name}.{k}" for k in range(len(kinds))), number=number)
    pointer = ""
    data = value.data
    if isinstance(data, Symbol):
        pointer, data = data.name, data.initial.data
    assert isinstance(data, Address) and isinstance(value.type, t.Pointer)
    symbol, element = data.symbol, value.type.element
    while isinstance(element, t.Array):
        element = element.element
    kind = number_dtype(element) or np.dtype(np.uint16 if element.bytes % 4 else np.uint32)  # words, of what is no number
    count = (symbol.type.bytes - data.offset) // max(2, kind.itemsize)
    return Export(name, symbol.name, data.offset, count, str(kind), pointer=pointer)


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
    made.set_program_at(built.program, built.pes[:, 0], built.pes[:, 1])
    for color, own in built.colors.items():
        for k, config in enumerate(own.configs):
            if config is not None:
                paint(made, config, color, mask_of(made.program_of.shape, built.pes[own.which == k]))
    grid = np.zeros((made.height, made.width), np.int64)
    for k, each in enumerate(built.parameters):
        if f"p{k}" in built.program.parameters:
            grid[:] = 0
            grid[built.pes[:, 1], built.pes[:, 0]] = np.asarray(each, np.int64)
            signed = np.where(grid > 0x7FFFFFFF, grid - (1 << 32), grid)
            made.set_parameter(built.program, f"p{k}", signed)
