"""What one compilation holds: module instances, symbols, compiled functions, and what comptime blocks did to the PEs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from wsekern.csl import syntax
from wsekern.csl import types as t
from wsekern.csl.apart import groups_by, varying_of
from wsekern.csl.coerce import coerce
from wsekern.csl.dsds import Dsr, one_extent
from wsekern.csl.files import Files
from wsekern.csl.flow import InOrder
from wsekern.csl.functions import Evaluator
from wsekern.csl.ir import Frame
from wsekern.csl.library import tell
from wsekern.csl.scope import Binding, Constant, Module, Scope, Stored, assigned_members, assigned_names, walk
from wsekern.csl.source import CslError, Diagnostic, Diagnostics, Note, Span
from wsekern.csl.types import Type
from wsekern.csl.values import Address, Dsd, FunctionRef, Split, Symbol, Value, Varying, element_of, leaves, zero_of
from wsekern.fabric.routes import POP_MODES, ports_of

MAX_STEPS = 20_000_000
"""Rounds of all loops that the compiler itself goes through."""
MAX_WHILE = 1_000_000
"""Rounds of one while loop: nothing else says where it ends."""


@dataclass(eq=False)
class Task:
    """A bound task: kind "local", "data" or "control", its id (of a data task of WSE-3, its input queue)."""

    kind: str
    number: int
    function: FunctionRef
    span: Span


@dataclass(eq=False)
class Queue:
    """What @initialize_queue says of a queue."""

    color: int | None
    span: Span
    priority: str = ""


@dataclass(eq=False)
class Effects:
    """What comptime blocks of a PE's program did."""

    tasks: list[Task] = field(default_factory=list)
    activated: set[int] = field(default_factory=set)
    blocked: set[int] = field(default_factory=set)
    blocked_channels: set[int] = field(default_factory=set)
    """Colors (WSE-2) or input queues (WSE-3) that start no task."""
    opened: set[int] = field(default_factory=set)
    """Colors whose control words start tasks though no data task is bound to them."""
    inputs: dict[int, Queue] = field(default_factory=dict)
    outputs: dict[int, Queue] = field(default_factory=dict)
    exports: dict[str, tuple[Value, Span]] = field(default_factory=dict)
    colors: dict[int, tuple[dict[str, Value], Span]] = field(default_factory=dict)
    """Local color configurations."""
    teardown: dict[int, FunctionRef] = field(default_factory=dict)
    """Handlers of colors that go into teardown, and (``empty``) of output queues that have been flushed."""
    empty: dict[int, FunctionRef] = field(default_factory=dict)
    priorities: dict[int, str] = field(default_factory=dict)
    fifos: list[Any] = field(default_factory=list)
    loads: list[Any] = field(default_factory=list)
    """(DSR, DSD, options) of @load_to_dsr."""


@dataclass(eq=False)
class Options:
    """Of a compilation."""

    arch: str = "wse2"
    dialect: str = "auto"
    """"0.x", "1.x" or "2.10"; "auto" tells it from the files."""
    fp16: str = "f16"
    folders: tuple[Path, ...] = ()
    """Where imports are looked for after the importing file's folder."""
    profile: str = "vendor-simulator"
    """Whose times the programs take: a profile of the machine."""


class Unit:
    """One program for ``pes`` PEs, or the layout (``pes`` 0)."""

    def __init__(self, files: Files, options: Options, diagnostics: Diagnostics, pes: int = 0, where: Any = None) -> None:
        self.files, self.options, self.diagnostics, self.pes, self.where = files, options, diagnostics, pes, where
        self.modules: list[Module] = []
        self.effects = Effects()
        self.symbols: list[Symbol] = []
        self.frames: list[Frame] = []
        self.instances: dict[Any, Any] = {}
        self.parameters: list[Varying] = []
        self.names_of_types: dict[syntax.Node, str] = {}
        self.layout: Any = None
        self.together = False
        """Whether all rounds of a loop of the layout are done at once."""
        self.apart = False
        """Whether a function of the compiler is being run for some of the PEs."""
        self.exported: dict[str, Symbol] = {}
        self.pointed: list[FunctionRef] = []
        """Functions whose address is taken."""
        self._dispatchers: dict[Type, Any] = {}
        self._libraries: dict[str, Module] = {}
        self._pending: list[Callable[[], None]] = []
        self._assigned: dict[syntax.Node, dict[str, set[str]]] = {}
        self._members: set[str] = set()
        self._changed: dict[Symbol, set[str]] = {}
        self._constants: dict[Any, Symbol] = {}
        self._names: dict[str, count[int]] = {}
        self._dsrs: dict[Any, Dsr] = {}
        self._steps = 0
        self.said: list[str] = []
        self.sites: list[Any] = []
        self.routes: dict[int, dict[str, Any]] = {}
        self.configs: Any = None
        self.config_of: Any = None
        """What makes a configuration of a color of its fields and span."""

    # ---- modules

    def open(self, path: str, importer: Module | None, parameters: dict[str, Value], span: Span | None) -> Module:
        """An instance of a file or library."""
        if self.together and any(isinstance(leaf.data, Varying) for value in parameters.values() for leaf in leaves(value)):
            raise InOrder
        name, file, folder = self.files.find(path, importer, self.options.folders, span, self.diagnostics)
        module = Module(name, file, parameters, (importer, span) if importer is not None and span is not None else None, folder,
                        len(self.modules))
        for each, here, there in module.twice:
            self.diagnostics.error(f"'{each}' is declared twice", here, Note("here first", there))
        self.modules.append(module)
        self._members |= assigned_members(file)
        declared = {node.name for node in file.declarations if isinstance(node, syntax.Param)}
        for extra in parameters.keys() - declared:
            if span is not None and "memcpy" not in name:
                self.diagnostics.warn(f"'{name}' has no parameter '{extra}'", span)
        return module

    def library(self, name: str) -> Module:
        """A library that the compiler itself needs, once."""
        if name not in self._libraries:
            self._libraries[name] = self.open(name, None, {}, None)
        return self._libraries[name]

    def global_binding(self, module: Module, name: str) -> Binding | None:
        """What a name of a module stands for; it is evaluated when it is first asked for."""
        if name in module.names:
            return module.names[name]
        node = module.declarations.get(name)
        if node is None:
            return None
        if name in module.evaluating:
            chain = " -> ".join([*module.evaluating[module.evaluating.index(name):], name])
            raise CslError([_error(f"'{name}' depends on itself: {chain}", node, module)])
        module.evaluating.append(name)
        try:
            module.names[name] = self._evaluate(module, name, node)
        finally:
            module.evaluating.pop()
        return module.names[name]

    def _evaluate(self, module: Module, name: str, node: syntax.Node) -> Binding:
        ev = Evaluator(self, Scope(module))
        if isinstance(node, syntax.Function):
            return Constant(self._function(ev, module, node), node.span)
        if isinstance(node, syntax.Param):
            return Constant(self._parameter(ev, module, node), node.span)
        if isinstance(node, syntax.Colors):
            given = module.parameters.get(name)
            number = given if given is not None else ev.evaluate(node.value) if node.value is not None else None
            if number is None:
                ev.fail(node, f"the color '{name}' has no value: give it one with --colors={name}:N")
            return Constant(Value(t.COLOR, number.data), node.span)
        assert isinstance(node, syntax.Variable)
        return self._global(ev, module, node)

    @staticmethod
    def _function(ev: Evaluator, module: Module, node: syntax.Function) -> Value:
        """Its type is a generic one where it depends on the arguments."""
        generic = any(each.comptime or (isinstance(each.type, syntax.Name) and each.type.name == "anytype")
                      for each in node.parameters)
        kinds = () if generic else tuple(ev.type_at(each.type) for each in node.parameters)
        result: Type = t.ANY if generic else ev.type_at(node.result)
        return Value(t.FunctionType(node.kind, kinds, result), FunctionRef(module, node))

    @staticmethod
    def _parameter(ev: Evaluator, module: Module, node: syntax.Param) -> Value:
        kind = ev.type_at(node.type) if node.type is not None else None
        if node.name in module.parameters:
            value = module.parameters[node.name]
            if kind is None or value.type == kind:
                return value
            if isinstance(kind, t.Opaque) and isinstance(value.type, (t.ComptimeInt, t.Int)) and module.importer is None:
                return Value(kind, value.data)
            return coerce(ev, value, kind, node)
        if node.value is None:
            ev.fail(node, f"the parameter '{node.name}' has no value", *(() if module.importer is None else (
                Note("given here", module.importer[1]),)))
        return ev.evaluate(node.value, kind)

    def _global(self, ev: Evaluator, module: Module, node: syntax.Variable) -> Binding:
        if node.value is not None and isinstance(node.value, (syntax.StructType, syntax.EnumType)):
            self.names_of_types[node.value] = node.name
        kind = ev.type_at(node.type) if node.type is not None else None
        if node.storage == "extern":
            return self._extern(ev, node, kind)
        value = ev.evaluate(node.value, kind) if node.value is not None else zero_of(kind or t.VOID)
        kind = kind or value.type
        kept = kind.element if isinstance(kind, t.Array) else kind  # arrays of no elements have a place all the same
        if t.is_comptime(kind) or isinstance(kind, (t.Void, t.FunctionType)) or isinstance(value.data, Dsr) or not kept.bytes:
            if node.kind == "var" and isinstance(kind, (t.ComptimeInt, t.ComptimeFloat)):
                ev.fail(node, f"a variable of type {kind} exists only while the program is compiled: give it a type")
            return Constant(value, node.span)
        changed = module.assigned.get(node.name, set())
        if node.kind == "const" and not isinstance(kind, (t.Array, t.Struct)) and "address" not in changed:
            return Constant(value, node.span)
        constant = node.kind == "const" or (not changed and not node.storage and node.name not in self._members)
        symbol = Symbol(self.unique(node.name, module), kind, value, constant, node.span, node.storage)
        for each in node.attributes:
            if each.name == "align":
                symbol.align = ev.known_int(ev.compiling(each.value), each)
        self._changed[symbol] = {"base", "extent", "stride"} if "all" in changed or node.name in self._members else set(changed)
        self.symbols.append(symbol)
        if node.storage == "export":
            self._export(ev, node, symbol)
        return Stored(symbol, node.span)

    def _export(self, ev: Evaluator, node: syntax.Variable, symbol: Symbol) -> None:
        if node.name in self.exported:
            ev.fail(node, f"'{node.name}' is exported twice", Note("here first", self.exported[node.name].span))
        self.exported[node.name] = symbol
        symbol.used, symbol.constant = True, False

    def _extern(self, ev: Evaluator, node: syntax.Variable, kind: Type | None) -> Binding:
        """A variable that another module exports."""
        if node.name not in self.exported:
            for module in self.modules:
                each = module.declarations.get(node.name)
                if isinstance(each, syntax.Variable) and each.storage == "export":
                    self.global_binding(module, node.name)
        if node.name not in self.exported:
            ev.fail(node, f"no module exports a variable '{node.name}'")
        symbol = self.exported[node.name]
        if kind is not None and symbol.type != kind:
            ev.fail(node, f"'{node.name}' is exported as {symbol.type}, not {kind}", Note("here", symbol.span))
        return Stored(symbol, node.span)

    # ---- symbols

    def unique(self, name: str, module: Module | None = None) -> str:
        """A name that no other symbol or function has."""
        used = self._names.setdefault(name, count())
        number = next(used)
        return name if number == 0 else f"{name}.{number}"

    def use(self, symbol: Symbol | None) -> None:
        """Code needs a symbol in memory."""
        if symbol is not None:
            symbol.used = True

    def changed_parts(self, symbol: Symbol) -> set[str]:
        """Parts of a DSD variable that code changes."""
        return self._changed.get(symbol, {"base", "extent", "stride"})

    def constant_symbol(self, value: Value) -> Symbol:
        """Memory that holds a known value."""
        key = (value.type, self.key_of(value))
        if key not in self._constants:
            self._constants[key] = Symbol(self.unique("constant"), value.type, value, True, used=True)
            self.symbols.append(self._constants[key])
        return self._constants[key]

    def local_symbol(self, frame: Frame, kind: Type, node: syntax.Variable | None = None) -> Symbol:
        """Memory of a function's array: functions do not recur, so that each has one."""
        name = f"{frame.name}.{node.name if node is not None else 'array'}"
        symbol = Symbol(self.unique(name), kind, zero_of(kind), False, node.span if node is not None else None, used=True)
        for each in node.attributes if node is not None else ():
            if each.name == "align":
                symbol.align = max(4, int(getattr(each.value, "value", 4) or 4))
        self.symbols.append(symbol)
        return symbol

    def parameter(self, varying: Varying) -> int:
        """Number of the parameter that holds a number of each PE."""
        for k, known in enumerate(self.parameters):
            if known is varying or np.array_equal(known.each, varying.each):
                return k
        self.parameters.append(varying)
        return len(self.parameters) - 1

    # ---- functions

    def later(self, work: Callable[[], None]) -> None:
        """Do ``work`` when the code that asks for it is written."""
        self._pending.append(work)

    def finish(self) -> None:
        """Compile all functions that were called; errors are kept, and others looked for."""
        more = True
        while more:
            while self._pending:
                try:
                    self._pending.pop(0)()
                except CslError as error:
                    self.diagnostics.found += [each for each in error.diagnostics if each not in self.diagnostics.found]
            more = any([each.extend() for each in self._dispatchers.values()])
        for each in self._dispatchers.values():
            each.end()

    def function_number(self, function: FunctionRef) -> int:
        """The value of a pointer to a function: its number among those whose address is taken, from 1 on."""
        if function not in self.pointed:
            self.pointed.append(function)
        return self.pointed.index(function) + 1

    def type_of_function(self, function: FunctionRef) -> Type | None:
        """The type of a declared function."""
        binding = self.global_binding(function.module, function.name)
        return binding.value.type if isinstance(binding, Constant) else None

    def dispatcher(self, kind: Type, node: syntax.Node, make: Any) -> Any:
        """What calls functions of a type through pointers."""
        if kind not in self._dispatchers:
            self._dispatchers[kind] = make(self, kind, node)
            self.instances["pointed", kind] = self._dispatchers[kind].instance
        return self._dispatchers[kind]

    def frame_name(self, function: FunctionRef) -> str:
        """A name for a function's code."""
        return self.unique(function.name, function.module)

    def assigned_in(self, node: syntax.Node) -> dict[str, set[str]]:
        """Names that a function assigns to."""
        if node not in self._assigned:
            self._assigned[node] = assigned_names(node)
        return self._assigned[node]

    @contextmanager
    def without_effects(self) -> Iterator[None]:
        """Forget what is asked for inside: only a type is wanted."""
        kept = (dict(self.instances), list(self._pending), list(self.symbols), list(self.parameters), dict(self._constants))
        used = {symbol: symbol.used for symbol in self.symbols}
        try:
            yield
        finally:
            bound = {each.symbol for module in self.modules for each in module.names.values() if isinstance(each, Stored)}
            found = [symbol for symbol in self.symbols if symbol in bound and symbol not in used]
            self.instances, self._pending, self.symbols, self.parameters, self._constants = kept
            self.symbols += found
            used |= dict.fromkeys(found, False)
            for symbol, was in used.items():
                symbol.used = was

    def key_of(self, value: Value) -> Any:
        """What two known values have in common exactly where they are the same."""
        data = value.data
        if isinstance(data, Address):
            return "address", id(data.symbol), data.offset
        if isinstance(data, FunctionRef):
            return "function", id(data.module), id(data.node)
        if isinstance(data, np.ndarray):
            return data.tobytes()
        if isinstance(data, Varying):
            return "varying", data.each.tobytes()
        if isinstance(data, list):
            return tuple(self.key_of(element_of(value, k)) for k in range(len(data)))
        if isinstance(data, dict):
            return tuple((name, self.key_of(each)) for name, each in data.items())
        if isinstance(data, Dsd):
            return self.shape_of(value)
        return data if isinstance(data, (int, float, bytes, bool, Type, type(None))) else id(data)

    def shape_of(self, value: Value) -> Any:
        """What of a value decides how code that takes it looks, beside its scalars."""
        data = value.data
        if isinstance(data, Dsd):
            parts = tuple(None if each is None else self.key_of(each) for each in (data.color, data.queue))
            return (value.type, data.element, data.shape, data.strides, parts, id(data.fifo),
                    tuple((name, self.key_of(each)) for name, each in sorted(data.options.items())))
        if isinstance(data, dict):
            return value.type, tuple(self.shape_of(each) for each in data.values())
        return value.type

    # ---- tasks and registers

    def task_of(self, function: FunctionRef) -> Value | None:
        """The id that a task is bound to; None: it is bound to none."""
        for task in self.effects.tasks:
            if task.function.node is function.node and task.function.module is function.module:
                kind = {"local": t.LOCAL_TASK, "data": t.DATA_TASK, "control": t.CONTROL_TASK}[task.kind]
                return Value(kind, task.number)
        return None

    def dsr(self, module: Module, kind: str, number: int) -> Dsr:
        """The DSR of a file."""
        return self._dsrs.setdefault((kind, number), Dsr(kind, number))

    def say(self, text: str) -> None:
        """What the program prints while it is compiled."""
        if self.together:
            raise InOrder
        self.said.append(text)

    def trap_unless(self, ev: Evaluator, condition: Value, node: syntax.Node) -> None:
        """Tell the host where a condition does not hold, so that it stops."""
        failed, after = ev.frame.label(), ev.frame.label()
        ev.emit.unless(Value(condition.type, ev.emit.register(condition)), failed)
        ev.emit.jump(after)
        ev.frame.place(failed)
        tell(ev, "trap", f"{node.span}, in {ev.frame.title}: this does not hold", [], node)
        ev.frame.place(after)

    def painted(self, color: int) -> dict[str, Any]:
        """Parts of the route that a color has at the start: the program's own, or the layout's at the first of its PEs."""
        if color in self.effects.colors:
            fields, span = self.effects.colors[color]
            differing = [each for value in fields.values() for each in varying_of(value.data)]
            if differing:
                raise Split(groups_by(differing))
            config = self.config_of(fields, span)
        elif self.configs is None or self.where is None or self.where.x is None:
            return {}
        else:
            config = self.configs.at(int(self.where.x[0]), int(self.where.y[0]), color)
        if config is None or config.route is None:
            return {}
        parts: dict[str, Any] = {"ring": config.route.ring, "pop": POP_MODES[config.route.pop]}
        for k in range(config.route.positions):
            parts[f"rx{k}"], parts[f"tx{k}"] = ([port.name for port in ports_of(mask)]
                                                for mask in (config.route.rx[k], config.route.tx[k]))
        return parts

    def colors_painted(self) -> set[int]:
        """Colors that the layout or the program routes at PEs of the program."""
        found = set(self.effects.colors)
        if self.configs is not None and self.where is not None and self.where.x is not None:
            found |= self.configs.colors_at(self.where.x, self.where.y)
        return found

    def initializes_by_condition(self) -> bool:
        """Whether some @initialize_queue of the program stands under a condition."""
        return any(isinstance(each, syntax.Builtin) and each.name == "initialize_queue"
                   for module in self.modules for node in module.file.declarations if isinstance(node, syntax.Block)
                   for inner in walk(node) if isinstance(inner, (syntax.If, syntax.Switch)) for each in walk(inner))

    def site(self, site: Any) -> int:
        """Number of a place that tells the host something."""
        self.sites.append(site)
        return len(self.sites) - 1

    def loaded(self, ev: Evaluator, dsr: Dsr, value: Value, options: dict[str, Value], node: syntax.Node) -> None:
        """A DSD goes into a DSR."""
        one_extent(ev, value)
        dsr.loaded, dsr.options = value, options
        dsr.saves = bool(options["save_address"].data) if "save_address" in options else False
        if ev.runtime:
            ev.emit.emit("dsr_load", target=dsr, a=value, options=options)
        else:
            self.effects.loads.append((dsr, value, options))

    def budget(self, node: syntax.Node, endless: bool = False) -> Iterator[int]:
        """Rounds of a loop of the compiler, as many as are left for all; of one that may be ``endless``, fewer."""
        most = MAX_WHILE if endless else MAX_STEPS
        for k in count():
            self._steps += 1
            if self._steps > MAX_STEPS or k >= most:
                raise CslError([_error(f"loops of the compiler go on after {most} rounds", node, None)])
            yield k


def _error(message: str, node: syntax.Node, module: Module | None) -> Any:
    return Diagnostic(message, node.span, "error", module.chain if module is not None else ())
