"""``layout {...}``: which program every PE runs, with which parameters; colors, and the names that the host knows."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.csl import syntax
from wsekern.csl import types as t
from wsekern.csl.builtins import builtin, text_of
from wsekern.csl.directions import DIRECTIONS, ports_of_value
from wsekern.csl.dsds import fields_of
from wsekern.csl.functions import Evaluator
from wsekern.csl.scope import Scope
from wsekern.csl.source import CslError, Diagnostic, Note, Span
from wsekern.csl.tiles import NOBODY, Board, Configured, Tiles, differs
from wsekern.csl.unit import Unit
from wsekern.csl.values import NOTHING, Split, Value, Varying, leaves, split_of
from wsekern.errors import InputError
from wsekern.fabric.routes import POP_MODES, CounterFilter, Position, RangeFilter, make_route


@dataclass(eq=False)
class LayoutEffects:
    """What a layout block did."""

    width: int = 0
    height: int = 0
    rectangle: Span | None = None
    tiles: Board = field(default_factory=Board)
    colors: Board = field(default_factory=Board)
    """Configurations, by color."""
    routes: dict[tuple[int, int, int], Any] = field(default_factory=dict)
    """(x, y, color) -> a route of the fabric: of a layout that no layout block made."""
    names: dict[str, tuple[t.Type, bool, Span]] = field(default_factory=dict)

    def put(self, tiles: Tiles) -> tuple[int, int, Tiles] | None:
        """Give PEs a program; or the first of them that has one, and that one."""
        return self.tiles.add(0, tiles, (self.width, self.height))

    @property
    def empty(self) -> NDArray[np.int64]:
        """PEs [n][x, y] without a program, row by row."""
        grid = self.tiles.grids.get(0)
        if grid is None:
            grid = np.full((self.height, self.width), NOBODY)
        return np.argwhere(grid == NOBODY)[:, ::-1]


def _layout(ev: Evaluator, node: syntax.Builtin) -> LayoutEffects:
    if ev.unit.layout is None:
        ev.fail(node, f"@{node.name} stands in a layout block")
    return ev.unit.layout


@builtin("set_rectangle", arguments=2)
def set_rectangle(ev: Evaluator, node: syntax.Builtin) -> Value:
    """The grid of PEs."""
    layout = _layout(ev, node)
    if layout.rectangle is not None:
        ev.fail(node, "@set_rectangle stands once in a layout", Note("here first", layout.rectangle))
    layout.width, layout.height = (ev.known_int(ev.evaluate(each), each) for each in node.arguments)
    layout.rectangle = node.span
    if layout.width < 1 or layout.height < 1:
        ev.fail(node, f"a rectangle of {layout.width} x {layout.height} PEs")
    return NOTHING


def _place(ev: Evaluator, node: syntax.Builtin, layout: LayoutEffects) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns and rows: of a PE, or of those of all rounds of a loop."""
    if layout.rectangle is None:
        ev.fail(node, "@set_rectangle comes first")
    given = [ev.evaluate(each) for each in node.arguments[:2]]
    numbers = [each.data.each if isinstance(each.data, Varying) else np.array([ev.known_int(each, at)])
               for each, at in zip(given, node.arguments, strict=False)]
    x, y = np.broadcast_arrays(*numbers)
    outside = np.flatnonzero((x < 0) | (x >= layout.width) | (y < 0) | (y >= layout.height))
    if outside.size:
        ev.fail(node, f"PE ({x[outside[0]]}, {y[outside[0]]}) is outside the rectangle of {layout.width} x {layout.height} PEs",
                Note("set here", layout.rectangle))
    return x, y


def _alike(value: Value) -> None:
    """Split the rounds of a loop where anything but whole numbers and truths differs between them."""
    for leaf in leaves(value):
        if isinstance(leaf.data, Varying) and not differs(leaf):
            raise Split(split_of(leaf.data))


@builtin("set_tile_code", arguments=(2, 4))
def set_tile_code(ev: Evaluator, node: syntax.Builtin) -> Value:
    """The program of a PE."""
    layout = _layout(ev, node)
    x, y = _place(ev, node, layout)
    rest, file, parameters = list(node.arguments[2:]), "", {}
    if rest:
        first = ev.evaluate(rest[0])
        if isinstance(first.data, bytes):
            file, rest = first.data.decode(), rest[1:]
    if rest:
        given = ev.compiling(rest[0])
        _alike(given)
        parameters = dict(given.data) if isinstance(given.data, dict) and not given.type.is_tuple else {}
    held = layout.put(Tiles(x, y, file, parameters, node.span))
    if held is not None:
        ev.fail(node, f"PE ({held[0]}, {held[1]}) has a program already", Note("here", held[2].span))
    return NOTHING


@builtin("set_color_config", arguments=4)
def set_color_config(ev: Evaluator, node: syntax.Builtin) -> Value:
    """The route of a color at a PE."""
    layout = _layout(ev, node)
    x, y = _place(ev, node, layout)
    color = ev.evaluate(node.arguments[2])
    if color.type != t.COLOR:
        ev.fail(node.arguments[2], f"expected a color, found a value of type {color.type}")
    number = ev.known_int(color, node.arguments[2])
    fields = fields_of(ev, node.arguments[3])[0]
    for each in fields.values():
        for leaf in leaves(each):
            if isinstance(leaf.data, Varying):
                raise Split(split_of(leaf.data))
    held = layout.colors.add(number, Configured(x, y, number, fields, node.span), (layout.width, layout.height))
    if held is not None:
        ev.fail(node, f"color {number} of PE ({held[0]}, {held[1]}) is configured twice", Note("here first", held[2].span))
    return NOTHING


@builtin("export_name", arguments=(2, 3))
def export_name(ev: Evaluator, node: syntax.Builtin) -> Value:
    """A name that the host may use."""
    layout = _layout(ev, node)
    name, kind = text_of(ev, node.arguments[0]), ev.type_at(node.arguments[1])
    mutable = bool(ev.compiling(node.arguments[2], t.BOOL).data) if len(node.arguments) > 2 else False
    if name in layout.names:
        ev.fail(node, f"'{name}' is exported twice", Note("here first", layout.names[name][2]))
    layout.names[name] = (kind, mutable, node.span)
    return NOTHING


@builtin("get_rectangle", arguments=0)
def get_rectangle(ev: Evaluator, node: syntax.Builtin) -> Value:
    """Sizes of the rectangle, and where it lies on the fabric."""
    where = ev.unit.where
    layout = ev.unit.layout
    width, height = (layout.width, layout.height) if layout is not None else (where.width, where.height)
    size = _size(width, height)
    return _struct({**size.data, "fabric": _size(*where.fabric), "offsets": _size(*where.offsets)})


def _size(width: int, height: int) -> Value:
    return _struct({"width": Value(t.U16, width), "height": Value(t.U16, height)})


def _struct(fields: dict[str, Value]) -> Value:
    return Value(t.Struct(None, tuple(fields), tuple(each.type for each in fields.values())), fields)


# ---- colors ----


@dataclass(frozen=True)
class Where:
    """The rectangle and its place; ``x``, ``y``: of every PE of a program."""

    width: int
    height: int
    fabric: tuple[int, int] = (0, 0)
    offsets: tuple[int, int] = (0, 0)
    x: Any = None
    y: Any = None


@dataclass(frozen=True)
class ColorConfig:
    """A route and, perhaps, a filter before the core."""

    route: Any
    filter: Any = None
    span: Span | None = field(default=None, compare=False)


def color_config(fields: dict[str, Value], span: Span) -> ColorConfig | None:
    """A configuration of ``@set_color_config``; None where it routes nothing."""
    try:
        found = _color_config(fields)
        return found if found is None else replace(found, span=span)
    except InputError as error:
        raise CslError([Diagnostic(str(error), span)]) from None
    except (KeyError, TypeError, AttributeError) as error:
        raise CslError([Diagnostic(f"this is no configuration of a color: {error}", span)]) from None


def _color_config(fields: dict[str, Value]) -> ColorConfig | None:
    unknown = fields.keys() - {"routes", "switches", "filter", "teardown"}
    if unknown:
        raise InputError(f"a color has no '{min(unknown)}': it has routes, switches, filter and teardown")
    routes = sides_of(fields["routes"]) if "routes" in fields else {}
    switches = fields["switches"].data if "switches" in fields else {}
    rules = filter_of(fields["filter"].data) if "filter" in fields else None
    rx, tx = ports_of_value(routes.get("rx")), ports_of_value(routes.get("tx"))
    if not rx or not tx:
        return None if rules is None and not routes else ColorConfig(None, rules)
    swap = [axis for name, axis in (("color_swap_x", "EW"), ("color_swap_y", "NS")) if name in routes and routes[name].data]
    route = make_route(
        rx, tx, positions_of(switches),
        initial=int(switches["current_switch_pos"].data) if "current_switch_pos" in switches else 0,
        ring_mode=bool(switches["ring_mode"].data) if "ring_mode" in switches else False,
        pop_mode=_pop(switches.get("pop_mode") or routes.get("pop_mode")), swap=" ".join(swap),
        teardown=bool(fields["teardown"].data) if "teardown" in fields else False)
    return ColorConfig(route, rules)


def sides_of(value: Value) -> dict[str, Value]:
    """Where words come from and go to: a struct, or bits as ``<directions>`` makes them."""
    if not isinstance(value.data, (int, np.integer)):
        return value.data
    found, sides = {}, len(DIRECTIONS)
    for name, shift in (("rx", 0), ("tx", sides)):
        ports = [k for k in range(sides) if int(value.data) >> (shift + k) & 1]
        if ports:
            found[name] = Value(t.COMPTIME_STRUCT, {str(port): Value(t.DIRECTION, port) for port in ports})
    return found


def positions_of(switches: dict[str, Value]) -> list[Position]:
    """Switch positions 1 to 3, up to the first that is not there, is invalid, or has no bits of a route. A position replaces rx
    or tx of the one before it: public programs change tx first, and from which side words come at the next position."""
    found: list[Position] = []
    last = Position()
    for name in ("pos1", "pos2", "pos3"):
        if name not in switches:
            break
        fields = sides_of(switches[name])
        if not fields or ("invalid" in fields and fields["invalid"].data):
            break
        last = Position(rx=ports_of_value(fields.get("rx")) or last.rx, tx=ports_of_value(fields.get("tx")) or last.tx)
        found.append(last)
    return found


def _pop(value: Value | None) -> str:
    if value is None:
        return "no_pop"
    chosen = [name for name, each in value.data.items() if each.data]
    if not chosen:
        return "no_pop"
    if chosen[0] not in POP_MODES:
        raise InputError(f"no pop mode '{chosen[0]}': there are {', '.join(POP_MODES)}")
    return chosen[0]


def filter_of(fields: dict[str, Value]) -> Any:
    """A filter before the core."""
    number = {name: int(each.data) for name, each in fields.items() if name != "kind"}
    kind = next((name for name, each in fields["kind"].data.items() if each.data), "") if "kind" in fields else ""
    if kind == "range":
        return RangeFilter(number.get("min_idx", 0), number.get("max_idx", 0xFFFF))
    if kind in ("counter", "sparse_counter"):
        limit = number.get("limit1", 0)
        first = None
        if kind == "sparse_counter":
            first, limit = limit, number.get("limit2", limit)
        return CounterFilter(limit, number.get("max_counter", 0), number.get("init_counter", 0), first,
                             bool(number.get("count_data", 1)), bool(number.get("count_control", 0)))
    raise InputError("a filter is of the kind range, counter or sparse_counter")


# ---- the layout as a whole ----


def run_layout(unit: Unit, path: str, parameters: dict[str, Value], where: Where) -> LayoutEffects:
    """Evaluate the layout of the top file."""
    unit.layout, unit.where = LayoutEffects(), where
    module = unit.open(path, None, parameters, None)
    blocks = [node for node in module.file.declarations if isinstance(node, syntax.Layout)]
    if len(blocks) != 1:
        span = blocks[1].span if blocks else module.file.span
        raise CslError([Diagnostic(f"a top file has one layout block, found {len(blocks)}", span)])
    for node in module.file.declarations:  # a parameter that nobody uses still needs a value
        if isinstance(node, syntax.Param):
            unit.global_binding(module, node.name)
    Evaluator(unit, Scope(module)).block(blocks[0].body)
    layout = unit.layout
    if layout.rectangle is None:
        raise CslError([Diagnostic("the layout sets no rectangle: @set_rectangle(width, height)", blocks[0].span)])
    missing = layout.empty
    if len(missing):
        others = f", nor have {len(missing) - 1} others" if len(missing) > 1 else ""
        place = tuple(missing[0].tolist())
        raise CslError([Diagnostic(f"PE {place} has no program{others}: @set_tile_code gives one to every PE of the rectangle",
                                   layout.rectangle)])
    return layout
