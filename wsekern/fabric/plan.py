"""Describe the routes of a fabric, check them against a machine, and compile them into a plan."""

import copyreg
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.errors import BudgetError, InputError, check_flag, check_flags, check_whole, is_whole
from wsekern.fabric import _host, _routing
from wsekern.fabric._wafers import Ways
from wsekern.fabric.routes import (
    CounterFilter,
    Filter,
    Ports,
    Position,
    RangeFilter,
    Route,
    make_route,
    ports_of,
)
from wsekern.machine import Machine, load_machine
from wsekern.shown import Shown


@dataclass(frozen=True, repr=False)
class Rules(Shown):
    """What the routers of a machine can do. Latencies in cycles, ``buffer_depth`` in words per router and color."""

    name: str = "own machine"
    colors: int = 24
    hop_latency: int = 1
    ramp_latency: int = 2
    buffer_depth: int = 4
    link_words: int = 1
    link_frame: int = 1
    multicast: str = "all"
    switch_colors: frozenset[int] | None = None
    reserved_colors: frozenset[int] = frozenset()
    inputs_per_position: int | None = None
    switch_replaces_both: bool = True
    color_swap: bool = True
    filters: int = 6

    @classmethod
    def of(cls, machine: str | Machine, profile: str = "vendor-simulator", **changes: Any) -> "Rules":
        """The rules of ``machine`` ("wse2", "wse3", a TOML path, or loaded), with a timing profile; ``changes`` override."""
        machine = load_machine(machine)
        fabric, timing = machine.fabric, machine.profile(profile)
        inputs = int(fabric.inputs_per_position)
        values = dict(
            name=machine.name, colors=int(fabric.colors), hop_latency=int(fabric.hop_latency),
            ramp_latency=int(fabric.ramp_latency), buffer_depth=int(fabric.buffer_depth),
            link_words=int(timing.link_words), link_frame=int(timing.link_frame),
            switch_colors=frozenset(fabric.switch_colors.values),
            reserved_colors=frozenset(fabric.reserved_colors.values),
            inputs_per_position=inputs if inputs == 1 else None,
            switch_replaces_both=fabric.switch_replaces_both, color_swap=fabric.color_swap,
            filters=int(machine.core.filters))
        return cls(**(values | changes))


@dataclass(frozen=True)
class Painted:
    """A route on a rectangle of PEs; without one, the color is taken away there."""

    color: int
    x: int
    y: int
    width: int
    height: int
    route: Route | None


@dataclass(frozen=True)
class PlacedFilter:
    """A filter before the cores of a rectangle of PEs."""

    color: int
    x: int
    y: int
    width: int
    height: int
    rule: Filter


Area = tuple[int, int] | tuple[int, int, int, int]
"""A PE (x, y), or a rectangle of them (x, y, width, height)."""


@dataclass(frozen=True, eq=False, repr=False)
class Connection(Shown):
    """Ways that :meth:`FabricPlan.connect` painted: the color on which each source sends, uint8 (height, width); the links of
    all ways together; the links from a source to the farthest of its destinations, at most."""

    colors: NDArray[np.uint8]
    links: int
    longest: int

    @property
    def color(self) -> int:
        """The color of the first source: of the only one, where there is one."""
        return int(self.colors[0, 0])


def _check_rules(rules: Rules, width: int, height: int) -> None:
    if not (is_whole(width) and is_whole(height) and 1 <= width <= 4096 and 1 <= height <= 65536):
        raise InputError(f"a fabric of {width}x{height} PEs: expected a width of 1 to 4096 and a height of 1 to 65536")
    for name, least, most in (("hop_latency", 1, 8), ("ramp_latency", 1, 8), ("buffer_depth", 1, 7), ("colors", 1, 24),
                              ("filters", 0, 24)):
        check_whole(getattr(rules, name), f"as {name} of {rules.name}", least, most)
    check_flags(rules)
    words, frame = rules.link_words, rules.link_frame
    if not (is_whole(words) and is_whole(frame)) or words < 1 or not (frame == words or (frame == words + 1 and words <= 15)):
        raise InputError(f"{rules.name}: {words} words in {frame} cycles per link; expected n in n, or n in n + 1 (n up to 15)")
    if rules.multicast not in ("all", "each"):
        raise InputError(f"multicast {rules.multicast!r} does not exist: use 'all' (branches or none) or 'each' (when it can)")


_ERASED = -1  # number of no route: the last of the routes and None


class FabricPlan(Shown):
    """Routes of a fabric of ``width`` x ``height`` PEs, painted on rectangles, later ones over earlier ones.

    >>> plan = FabricPlan(8, 1, "wse2")
    >>> plan.paint(0, rx="RAMP", tx="EAST")
    >>> plan.paint(0, rx="WEST", tx="EAST RAMP", x=1, width=6)
    >>> plan.paint(0, rx="WEST", tx="RAMP", x=7)
    >>> compiled = plan.build()
    """

    def __init__(self, width: int, height: int, machine: str | Machine | Rules = "wse2",
                 profile: str = "vendor-simulator", *, open_edges: bool = False, allow_reserved: bool = False,
                 **changes: Any):
        if not isinstance(machine, Rules):
            self.rules = Rules.of(machine, profile, **changes)
        elif changes:
            raise InputError(f"{', '.join(changes)} cannot be changed here: put them into the Rules")
        else:
            self.rules = machine
        _check_rules(self.rules, width, height)
        self.width, self.height = width, height
        self.open_edges = check_flag(open_edges, "open_edges of a plan")
        self.allow_reserved = check_flag(allow_reserved, "allow_reserved of a plan")
        self._routes: dict[Route, int] = {}
        self._rects: list[tuple[int, int, int, int, int, int]] = []
        self._filters: list[PlacedFilter] = []
        self._ways: tuple[int, int, Ways] | None = None      # what is free, after so many rectangles and filters

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ways": None}

    def _facts(self) -> dict[str, Any]:
        return {"machine": self.rules.name, "width": self.width, "height": self.height, "routes": len(self._routes),
                "colors": sorted({rectangle[0] for rectangle in self._rects}), "filters": len(self._filters)}

    def __copy__(self) -> "FabricPlan":
        return deepcopy(self)

    def paint(self, color: int, rx: Ports, tx: Ports, *, x: int = 0, y: int = 0, width: int = 1, height: int = 1,
              switches: tuple[Position, ...] = (), initial: int = 0, ring_mode: bool = False, pop_mode: str = "no_pop",
              swap: str = "", teardown: bool = False) -> None:
        """Route ``color`` from ``rx`` to ``tx`` at all PEs of a rectangle; ``switches`` are positions 1 to 3."""
        route = make_route(rx, tx, switches, initial=initial, ring_mode=ring_mode, pop_mode=pop_mode, swap=swap,
                           teardown=teardown)
        self.paint_route(color, route, x=x, y=y, width=width, height=height)

    def paint_route(self, color: int, route: Route, *, x: int = 0, y: int = 0, width: int = 1, height: int = 1) -> None:
        """As :meth:`paint`, with a ready route."""
        self._check_rectangle(color, x, y, width, height)
        if not isinstance(route, Route):
            raise InputError(f"{route!r} is not a route: use make_route")
        self.check_route(color, route, x, y, width, height)
        number = self._routes.setdefault(route, len(self._routes))
        self._rects.append((color, x, y, width, height, number))

    @property
    def painted(self) -> tuple[Painted, ...]:
        """All that was painted and erased, in order: later rectangles hold over earlier ones."""
        routes = [*self._routes, None]
        return tuple(Painted(*rectangle, routes[number]) for *rectangle, number in self._rects)

    @property
    def placed_filters(self) -> tuple[PlacedFilter, ...]:
        """All filters, in the order of their calls."""
        return tuple(self._filters)

    def route_at(self, color: int, x: int, y: int) -> Route | None:
        """The route of ``color`` at PE (x, y), as it was painted last; None where there is none."""
        if not all(map(is_whole, (color, x, y))):
            raise InputError(f"color {color!r} at ({x!r}, {y!r}): expected whole numbers")
        routes = list(self._routes)
        for painted, left, top, width, height, number in reversed(self._rects):
            if painted == color and left <= x < left + width and top <= y < top + height:
                return routes[number] if number >= 0 else None
        return None

    def erase(self, color: int, *, x: int = 0, y: int = 0, width: int = 1, height: int = 1) -> None:
        """Take the route of ``color`` away from a rectangle."""
        self._check_rectangle(color, x, y, width, height)
        self._rects.append((color, x, y, width, height, _ERASED))

    def connect(self, source: Area, *targets: Area, colors: Iterable[int] | None = None) -> Connection:
        """Paint ways from every PE of ``source`` with ``colors`` (None: all that are not reserved) that are free where they go.

        One PE is connected to all PEs of all ``targets`` (a path, or a multicast tree); of a rectangle each PE to the one
        at the same place of every target of the same size. What is painted already stays as it is. A word that a source sends
        on its color arrives once at each of its destinations and nowhere else. :class:`BudgetError` where colors run out:
        nothing is painted then, and the message says between which PEs, and why.

        >>> plan = FabricPlan(8, 8, "wse2")
        >>> plan.connect((0, 0), (7, 3))
        Connection(colors=array([[0]], dtype=uint8), links=10, longest=10)
        >>> plan.connect((0, 1), (4, 4, 4, 4), (0, 7), colors=[0, 5]).color     # color 0 passes there already
        5
        """
        start, ends = self._area(source), [self._area(target) for target in targets]
        if not ends:
            raise InputError("nothing to connect to: give one target or more")
        wrong = [end for end in ends if start[2:] != (1, 1) and end[2:] != start[2:]]
        if wrong:
            raise InputError(f"a target of {wrong[0][2]}x{wrong[0][3]} PEs for a source of {start[2]}x{start[3]}: expected one "
                             "of its size, or a source of one PE")
        ways = self._free_ways()
        taken, links, longest, routes, rects = ways.connect(self._color_mask(colors), start, ends)
        for rect in rects.tolist():
            record = routes[rect[-1]]
            route = Route((int(record["in"][0]),), (int(record["out"][0]),))
            self._rects.append((*rect[:-1], self._routes.setdefault(route, len(self._routes))))
        self._ways = len(self._rects), len(self._filters), ways
        return Connection(taken, links, longest)

    def _free_ways(self) -> Ways:
        """What is free after all that was painted."""
        if self._ways is None or self._ways[:2] != (len(self._rects), len(self._filters)):
            self._ways = len(self._rects), len(self._filters), Ways(self.build())
        return self._ways[2]

    def _color_mask(self, colors: Iterable[int] | None) -> int:
        if colors is None:
            colors = set(range(self.rules.colors)) - (set() if self.allow_reserved else self.rules.reserved_colors)
        if not isinstance(colors, Iterable):
            raise InputError(f"{colors!r} is no list of colors")
        mask = 0
        for color in colors:
            self._check_rectangle(color, 0, 0, 1, 1)
            mask |= 1 << int(color)
        if not mask:
            raise InputError("no colors to connect with: give one or more")
        return mask

    def _area(self, area: Area) -> tuple[int, int, int, int]:
        """A PE or rectangle on the fabric, as a rectangle."""
        values = tuple(area) if isinstance(area, tuple | list) else ()
        if len(values) not in (2, 4) or not all(map(is_whole, values)):
            raise InputError(f"{area!r} is no PE (x, y) and no rectangle (x, y, width, height)")
        x, y, width, height = values if len(values) == 4 else (*values, 1, 1)
        if min(width, height) < 1 or x < 0 or y < 0 or x + width > self.width or y + height > self.height:
            raise InputError(f"the rectangle {width}x{height} at ({x}, {y}) does not lie on the {self.width}x{self.height} "
                             "fabric")
        return int(x), int(y), int(width), int(height)

    def filter(self, color: int, rule: Filter, *, x: int = 0, y: int = 0, width: int = 1, height: int = 1) -> None:
        """Put a filter before the cores of a rectangle; one per PE and color, at most ``rules.filters`` per PE."""
        self._check_rectangle(color, x, y, width, height)
        if not isinstance(rule, RangeFilter | CounterFilter):
            raise InputError(f"{rule!r} is not a filter: use RangeFilter or CounterFilter")
        self._filters.append(PlacedFilter(color, x, y, width, height, rule))

    def build(self) -> _routing.Plan:
        """Compile: a read-only plan, shared by any number of states."""
        self._check_filters()
        rules = self.rules
        routes = np.zeros(len(self._routes), _routing.ROUTE)
        for route, number in self._routes.items():
            routes[number] = route_record(route)
        rects = np.array(self._rects, np.int32).reshape(-1, 6).copy().view(_routing.RECT).reshape(-1)
        filters = np.zeros(len(self._filters), _routing.FILTER)
        for record, placed in zip(filters, self._filters, strict=True):
            for name in ("color", "x", "y", "width", "height"):
                record[name] = getattr(placed, name)
            _fill_filter(record, placed.rule)
        numbers = (self.width, self.height, rules.hop_latency, rules.ramp_latency, rules.buffer_depth, rules.link_words,
                   rules.link_frame, int(rules.multicast == "all"), int(self.open_edges))
        return _routing.Plan(numbers, routes, rects, filters, self)

    def check_route(self, color: int, route: Route, x: int, y: int, width: int = 1, height: int = 1) -> None:
        """Refuse a route that the generation does not allow, or that leads off the wafer."""
        self._check_generation(color, route, x, y)
        self._check_wafer(color, route, x, y, width, height)

    def _check_rectangle(self, color: int, x: int, y: int, width: int, height: int) -> None:
        if not is_whole(color) or not 0 <= color < self.rules.colors:
            raise BudgetError(f"color {color!r} does not exist on {self.rules.name}: use 0 to {self.rules.colors - 1}")
        if color in self.rules.reserved_colors and not self.allow_reserved:
            raise BudgetError(f"color {color} is reserved on {self.rules.name} (memcpy); use another one, or "
                              "allow_reserved=True")
        whole = all(map(is_whole, (x, y, width, height)))
        if not whole or width < 1 or height < 1 or x < 0 or y < 0 or x + width > self.width or y + height > self.height:
            raise InputError(f"color {color}: the rectangle {width}x{height} at ({x}, {y}) does not lie on the "
                             f"{self.width}x{self.height} fabric")

    def _check_generation(self, color: int, route: Route, x: int, y: int) -> None:
        rules, place = self.rules, f"color {color} at ({x}, {y})"
        if route.positions > 1 and rules.switch_colors is not None and color not in rules.switch_colors:
            raise BudgetError(f"{place}: this color has no switch on {rules.name}; switch-capable are "
                              f"{', '.join(map(str, sorted(rules.switch_colors)))}")
        for position, inputs in enumerate(route.rx):
            if rules.inputs_per_position and len(ports_of(inputs)) > rules.inputs_per_position:
                raise InputError(f"{place}: position {position} has rx {'+'.join(p.name for p in ports_of(inputs))}; "
                                 f"{rules.name} allows {rules.inputs_per_position} input per switch position")
        if not rules.switch_replaces_both:
            for position in range(1, route.positions):
                if all(route.rx[position] != route.rx[k] and route.tx[position] != route.tx[k] for k in (0, position - 1)):
                    raise InputError(f"{place}: position {position} replaces rx and tx; {rules.name} replaces one of them")
        if (route.swap_ew or route.swap_ns) and not rules.color_swap:
            raise InputError(f"{place}: {rules.name} has no color swap")
        if (route.swap_ew or route.swap_ns) and color ^ 1 >= rules.colors:
            raise InputError(f"{place}: the partner color {color ^ 1} does not exist")

    def _check_wafer(self, color: int, route: Route, x: int, y: int, width: int, height: int) -> None:
        if self.open_edges:
            return
        outputs = {port.name for mask in route.tx for port in ports_of(mask)}
        for name, at_edge, place in (("NORTH", y == 0, (x, 0)), ("WEST", x == 0, (0, y)),
                                     ("EAST", x + width == self.width, (self.width - 1, y)),
                                     ("SOUTH", y + height == self.height, (x, self.height - 1))):
            if name in outputs and at_edge:
                raise InputError(f"color {color}: tx {name} at {place} leads off the {self.width}x{self.height} fabric; "
                                 "end the route there, or use open_edges=True")

    def _check_filters(self) -> None:
        per_pe, of_color = np.zeros((self.height, self.width), np.uint8), {}
        for placed in self._filters:
            box = slice(placed.y, placed.y + placed.height), slice(placed.x, placed.x + placed.width)
            here = of_color.setdefault(placed.color, np.zeros((self.height, self.width), bool))
            if here[box].any():
                row, column = np.argwhere(here[box])[0]
                raise InputError(f"color {placed.color} at ({placed.x + column}, {placed.y + row}) has two filters; a PE has "
                                 "one per color")
            here[box] = True
            per_pe[box] += 1
        if (per_pe > self.rules.filters).any():
            row, column = np.argwhere(per_pe > self.rules.filters)[0]
            raise BudgetError(f"PE ({column}, {row}) has {per_pe[row, column]} filters; {self.rules.name} has "
                              f"{self.rules.filters} per PE")


def route_record(route: Route) -> np.void:
    """A route as the kernel takes it."""
    record = np.zeros((), _routing.ROUTE)
    record["positions"], record["initial"], record["ring"] = route.positions, route.initial, route.ring
    record["pop"], record["swap"], record["teardown"] = route.pop, route.swap_ew | route.swap_ns << 1, route.teardown
    record["in"][: route.positions] = route.rx
    record["out"][: route.positions] = route.tx
    return record[()]


def _fill_filter(record: np.void, rule: Filter) -> None:
    if isinstance(rule, RangeFilter):
        record["kind"], record["low"], record["high"] = 1, rule.low, rule.high
    else:
        record["kind"] = 2 if rule.first_limit is None else 3
        record["limit"], record["limit2"] = rule.limit, rule.first_limit or 0
        record["high"], record["start"] = rule.high, rule.start
        record["count_data"], record["count_control"] = rule.count_data, rule.count_control


def _plan_again(saved: bytes, description: FabricPlan | None) -> _routing.Plan:
    """A pickled plan."""
    return _routing.Plan(saved=saved, description=description)


copyreg.pickle(_routing.Plan, lambda plan: (_plan_again, (_host.plan_bytes(plan), plan.description)))
