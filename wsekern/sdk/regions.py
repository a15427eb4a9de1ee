"""Code regions of an SdkLayout: programs on rectangles of PEs, their parameters, colors, routes and ports."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsekern.errors import InputError
from wsekern.fabric.routes import Position, make_route
from wsekern.fabric.routes import Route as FabricRoute

Cell = tuple[int, int]


class Route(Enum):
    """Ports of a router."""

    RAMP = "RAMP"
    EAST = "EAST"
    WEST = "WEST"
    NORTH = "NORTH"
    SOUTH = "SOUTH"


class Edge(Enum):
    """Edges of a rectangle; a value is the direction that leads over the edge."""

    TOP = "NORTH"
    BOTTOM = "SOUTH"
    LEFT = "WEST"
    RIGHT = "EAST"


@dataclass(frozen=True)
class IntVector:
    """A place: column, row."""

    x: int
    y: int


@dataclass(frozen=True)
class IntRectangle:
    """PEs from ``upper_left`` to before ``lower_right``."""

    upper_left: IntVector
    lower_right: IntVector

    def cells(self) -> Iterator[Cell]:
        """All places in it."""
        for y in range(self.upper_left.y, self.lower_right.y):
            for x in range(self.upper_left.x, self.lower_right.x):
                yield x, y


class RoutingPosition:
    """Where words come in from and go to in one position of a switch."""

    def __init__(self) -> None:
        self.inputs: tuple[str, ...] = ()
        self.outputs: tuple[str, ...] = ()

    def set_input(self, routes: Iterable[Route] | Route) -> "RoutingPosition":
        """Where words come in from."""
        self.inputs = _names(routes)
        return self

    def set_output(self, routes: Iterable[Route] | Route) -> "RoutingPosition":
        """Where words go to."""
        self.outputs = _names(routes)
        return self


def _names(routes: Iterable[Route] | Route) -> tuple[str, ...]:
    return tuple(each.value for each in ([routes] if isinstance(routes, Route) else routes))


@dataclass(frozen=True, eq=False)
class EdgeRouteInfo:
    """Routes for the PEs at an edge, in place of those of the rest."""

    edge: Edge
    positions: list[RoutingPosition]


def get_edge_routing(edge: Edge, positions: list[RoutingPosition]) -> EdgeRouteInfo:
    """Routes for the PEs at an edge."""
    return EdgeRouteInfo(edge, list(positions))


class Color:
    """A color by name; without a value it gets one when the layout is compiled."""

    def __init__(self, name: str, value: int | None = None) -> None:
        self.name, self.value = name, value

    def __repr__(self) -> str:
        return f"Color({self.name!r})" if self.value is None else f"Color({self.name!r}, {self.value})"


@dataclass(eq=False)
class PortHandle:
    """An edge of a region where words of a color come in or leave: one lane a PE."""

    region: "CodeRegion"
    color: Color
    edge: Edge
    size: int
    incoming: bool
    prefix: str = ""

    @property
    def name(self) -> str:
        """For messages, and of streams."""
        return f"{self.region.name}_{self.color.name}{self.prefix}"

    def cells(self) -> list[Cell]:
        """PEs of the port on the fabric, from west to east or from north to south."""
        x, y = self.region.corner
        return [(x + i, y + j) for i, j in self.region.at_edge(self.edge)]


class CodeRegion:
    """A program on ``width`` x ``height`` PEs."""

    def __init__(self, source: str, name: str, width: int, height: int) -> None:
        if width < 1 or height < 1:
            raise InputError(f"the code region {name!r} has {width} x {height} PEs: expected one or more each way")
        self.source, self.name, self.width, self.height = Path(source), name, width, height
        self.placed: Cell | None = None
        self.parameters: dict[Cell, dict[str, int | Color]] = {(x, y): {} for y in range(height) for x in range(width)}
        self.routes: dict[tuple[Cell, Color], FabricRoute] = {}
        self.ports: list[PortHandle] = []
        self.symbols: list[tuple[str, NDArray[Any]]] = []

    @property
    def corner(self) -> Cell:
        """The place of its first PE on the fabric."""
        assert self.placed is not None
        return self.placed

    def place(self, x: int, y: int) -> None:
        """Put its first PE at a place of the fabric."""
        if x < 0 or y < 0:
            raise InputError(f"the code region {self.name!r} at ({x}, {y}): a fabric begins at (0, 0)")
        self.placed = int(x), int(y)

    def color(self, name: str, value: int | None = None) -> Color:
        """A color of this region."""
        return Color(name, value)

    def at_edge(self, edge: Edge) -> list[Cell]:
        """PEs at an edge."""
        if edge in (Edge.TOP, Edge.BOTTOM):
            return [(x, 0 if edge is Edge.TOP else self.height - 1) for x in range(self.width)]
        return [(0 if edge is Edge.LEFT else self.width - 1, y) for y in range(self.height)]

    def colors(self) -> list[Color]:
        """All colors that it uses, in the order that they were named."""
        found = {value: None for given in self.parameters.values() for value in given.values() if isinstance(value, Color)}
        found |= {color: None for _, color in self.routes}
        return list(found | {port.color: None for port in self.ports})

    # ---- parameters

    def set_param_all(self, name: str | Color, value: int | Color | None = None) -> None:
        """A parameter of all PEs: a name and a number or color, or a color, which has a name."""
        self._set(self.parameters, name, value)

    def set_param(self, place: IntVector, name: str | Color, value: int | Color | None = None) -> None:
        """A parameter of one PE."""
        self._set([self._inside((place.x, place.y))], name, value)

    def set_param_range(self, area: IntRectangle, name: str | Color, value: int | Color | None = None) -> None:
        """A parameter of the PEs of a rectangle."""
        self._set([self._inside(cell) for cell in area.cells()], name, value)

    def _set(self, cells: Iterable[Cell], name: str | Color, value: int | Color | None) -> None:
        if isinstance(name, Color):
            name, value = name.name, name
        if value is None:
            raise InputError(f"the parameter {name!r} of region {self.name!r} has no value: give a number or a Color")
        given = value if isinstance(value, Color) else int(value)
        for cell in cells:
            self.parameters[cell][name] = given

    def _inside(self, cell: Cell) -> Cell:
        if cell not in self.parameters:
            raise InputError(f"PE {cell} is not in the code region {self.name!r} of {self.width} x {self.height} PEs")
        return cell

    # ---- routes

    def paint_all(self, color: Color, positions: list[RoutingPosition], edge_routes: Iterable[EdgeRouteInfo] = ()) -> None:
        """Routes of a color on all PEs, other ones at some edges."""
        self._paint(self.parameters, color, positions)
        for each in edge_routes:
            self._paint(self.at_edge(each.edge), color, each.positions)

    def paint(self, place: IntVector, color: Color, positions: list[RoutingPosition]) -> None:
        """Routes of a color on one PE."""
        self._paint([self._inside((place.x, place.y))], color, positions)

    def paint_range(self, area: IntRectangle, color: Color, positions: list[RoutingPosition]) -> None:
        """Routes of a color on the PEs of a rectangle."""
        self._paint([self._inside(cell) for cell in area.cells()], color, positions)

    def _paint(self, cells: Iterable[Cell], color: Color, positions: list[RoutingPosition], rx: str = "", tx: str = "") -> None:
        """Positions of a switch; ``rx``, ``tx``: the direction that a port adds."""
        if not positions:
            raise InputError(f"{color!r} of region {self.name!r} is painted without a RoutingPosition")
        inputs = [each.inputs or ((rx,) if rx else ()) for each in positions]
        outputs = [each.outputs or ((tx,) if tx else ()) for each in positions]
        if not inputs[0] or not outputs[0]:
            missing = "input" if not inputs[0] else "output"
            raise InputError(f"the first RoutingPosition of {color!r} in region {self.name!r} has no {missing}: set_{missing}")
        more = [Position(one or None, other or None) for one, other in zip(inputs[1:], outputs[1:], strict=True)]
        route = make_route(inputs[0], outputs[0], more)
        for cell in cells:
            self.routes[cell, color] = route

    # ---- ports

    def create_input_port(self, color: Color, edge: Edge, routes: list[RoutingPosition], data_size: int,
                          prefix: str = "") -> PortHandle:
        """Words of a color come in over an edge; positions say where they go."""
        self._paint(self.at_edge(edge), color, routes, rx=edge.value)
        return self._port(PortHandle(self, color, edge, data_size, True, prefix))

    def create_output_port(self, color: Color, edge: Edge, routes: list[RoutingPosition], data_size: int,
                           prefix: str = "") -> PortHandle:
        """Words of a color leave over an edge; positions say where they come from."""
        self._paint(self.at_edge(edge), color, routes, tx=edge.value)
        return self._port(PortHandle(self, color, edge, data_size, False, prefix))

    def _port(self, port: PortHandle) -> PortHandle:
        if any(each.name == port.name for each in self.ports):
            raise InputError(f"two ports are called {port.name}: give one of them a prefix")
        self.ports.append(port)
        return port

    # ---- memory

    def set_symbol_all(self, name: str, values: ArrayLike, width: int, height: int) -> None:
        """Initial values of a variable: each PE gets its block of a matrix of ``width`` x ``height``."""
        matrix = np.asarray(values)
        if matrix.size != width * height or width % self.width or height % self.height:
            raise InputError(f"{matrix.size} values for {name!r} of {width} x {height} on {self.width} x {self.height} PEs: "
                             "expected a matrix of that size that splits evenly")
        blocks = matrix.reshape(self.height, height // self.height, self.width, width // self.width)
        rows = blocks.transpose(0, 2, 1, 3).reshape(self.height, self.width, -1)
        self.symbols.append((name, np.ascontiguousarray(rows)))
