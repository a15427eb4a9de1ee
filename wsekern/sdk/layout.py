"""``SdkLayout``: code regions that a Python script places on a fabric, joined by ways that are found; streams of the host."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.csl import syntax
from wsekern.csl import types as t
from wsekern.csl.build import Build, assemble
from wsekern.csl.files import Files
from wsekern.csl.image import Image
from wsekern.csl.layout import LayoutEffects
from wsekern.csl.library import HOST_COLOR
from wsekern.csl.source import Diagnostics
from wsekern.csl.tiles import Tiles
from wsekern.csl.unit import Options, Unit
from wsekern.csl.values import Value
from wsekern.errors import BudgetError, InputError
from wsekern.fabric import Rules
from wsekern.fabric.routes import ports_of
from wsekern.sdk.platform import platform_of
from wsekern.sdk.regions import Cell, CodeRegion, Color, IntVector, PortHandle
from wsekern.sdk.ways import Ways

MARGIN = 4
"""PEs of the fabric beyond the last code region, where ways may lead around."""


@dataclass(frozen=True)
class Stream:
    """Where words of a port enter or leave the fabric."""

    color: int
    cell: Cell
    side: str
    incoming: bool


@dataclass(eq=False)
class SdkCompileArtifacts:
    """A compiled layout, its streams by name, and initial values: (symbol, first PE, [height][width][elements])."""

    made: Image
    streams: dict[str, Stream]
    symbols: list[tuple[str, Cell, NDArray[Any]]] = field(default_factory=list)


class SdkLayout:
    """Code regions, what connects them, and the streams of the host."""

    def __init__(self, platform: Any = None, *, msg_level: str = "WARNING") -> None:
        self.platform = platform_of(platform)
        self.regions: list[CodeRegion] = []
        self.connections: list[tuple[PortHandle, PortHandle]] = []
        self.streams: dict[str, PortHandle] = {}
        self.located: dict[str, tuple[Cell, Color, bool]] = {}

    # ---- what a script says

    def create_code_region(self, source: str, name: str, width: int, height: int) -> CodeRegion:
        """A program on a rectangle of PEs."""
        if any(region.name == name for region in self.regions):
            raise InputError(f"two code regions are called {name!r}: give them different names")
        self.regions.append(CodeRegion(source, name, width, height))
        return self.regions[-1]

    def connect(self, sender: PortHandle, receiver: PortHandle) -> None:
        """Let words of an output port go to an input port, lane by lane."""
        if sender.incoming or not receiver.incoming:
            raise InputError(f"connect({sender.name}, {receiver.name}): expected an output port, then an input port")
        one, other = (len(port.region.at_edge(port.edge)) for port in (sender, receiver))
        if one != other:
            raise InputError(f"connect({sender.name}, {receiver.name}): the ports have {one} and {other} PEs: expected as many")
        if sender.size != receiver.size:
            raise InputError(f"connect({sender.name}, {receiver.name}): the ports are for {sender.size} and {receiver.size} "
                             "words: expected the same")
        for port in (sender, receiver):
            self._free(port)
        self.connections.append((sender, receiver))

    def create_input_stream(self, port: PortHandle, io_loc: IntVector | None = None, io_buffer_size: int = 1024) -> str:
        """Words of the host go to an input port; the name of the stream, for ``send``."""
        return self._stream(port, True)

    def create_output_stream(self, port: PortHandle, io_loc: IntVector | None = None, io_buffer_size: int = 1024) -> str:
        """Words of an output port go to the host; the name of the stream, for ``receive``."""
        return self._stream(port, False)

    def _stream(self, port: PortHandle, incoming: bool) -> str:
        kind = "input" if incoming else "output"
        if port.incoming != incoming:
            raise InputError(f"an {kind} stream for {port.name}: expected an {kind} port")
        if len(port.region.at_edge(port.edge)) != 1:
            raise InputError(f"an {kind} stream for {port.name}, a port of {len(port.region.at_edge(port.edge))} PEs: a stream "
                             "leads to one PE; a code region between them spreads or gathers its words")
        self._free(port)
        name = self._new(port.name)
        self.streams[name] = port
        return name

    def create_input_stream_from_loc(self, loc: IntVector, color: Color, prefix: str = "") -> str:
        """Words of the host go to a PE of a code region that has a route for them; the name of the stream."""
        return self._located(loc, color, prefix, True)

    def create_output_stream_from_loc(self, loc: IntVector, color: Color, prefix: str = "") -> str:
        """Words that leave a PE of a code region go to the host; the name of the stream."""
        return self._located(loc, color, prefix, False)

    def _located(self, loc: IntVector, color: Color, prefix: str, incoming: bool) -> str:
        name = self._new(f"{prefix}{color.name}_{loc.x}_{loc.y}")
        self.located[name] = (loc.x, loc.y), color, incoming
        return name

    def _new(self, name: str) -> str:
        while name in self.streams or name in self.located:
            name += "_"
        return name

    def _free(self, port: PortHandle) -> None:
        if port in self.streams.values() or any(port in pair for pair in self.connections):
            raise InputError(f"the port {port.name} is connected twice")

    def hstack(self, regions: list[CodeRegion], origin: IntVector | None = None) -> None:
        """Place regions beside each other, from a place on, or from that of the first."""
        x, y = (origin.x, origin.y) if origin is not None else regions[0].placed or (0, 0)
        for region in regions:
            region.place(x, y)
            x += region.width

    def vstack(self, regions: list[CodeRegion], origin: IntVector | None = None) -> None:
        """Place regions below each other, from a place on, or from that of the first."""
        x, y = (origin.x, origin.y) if origin is not None else regions[0].placed or (0, 0)
        for region in regions:
            region.place(x, y)
            y += region.height

    # ---- compiling

    def compile(self, out_prefix: str = "out", libs: Any = (), cslc_prefix: str = "", save_port_map: bool = False,
                f16_type: Any = None, **others: Any) -> SdkCompileArtifacts:
        """Give colors values, find ways, compile the programs."""
        if not self.regions:
            raise InputError("a layout without a code region: create_code_region makes one")
        taken = self._places()
        size = [max(cell[k] for cell in taken) + 1 + MARGIN for k in (0, 1)]
        values = Allocation(self).values
        ways = Ways(size[0], size[1], set(taken))
        for region in self.regions:
            for (cell, color), route in region.routes.items():
                ways.paint(values[color], (region.corner[0] + cell[0], region.corner[1] + cell[1]), route)
        for sender, receiver in self.connections:
            lanes = [(one, sender.edge.value, other, receiver.edge.value)
                     for one, other in zip(sender.cells(), receiver.cells(), strict=True)]
            ways.connect(values[sender.color], lanes, f"connect({sender.name}, {receiver.name})")
        ends = {name: (port.cells()[0], port.edge.value, port.color, port.incoming) for name, port in self.streams.items()}
        for name, (cell, color, incoming) in self.located.items():
            ends[name] = cell, self._side(ways, values.get(color), cell, incoming, name), color, incoming
        streams = {}
        for name, (cell, side, color, incoming) in ends.items():
            place = ways.to_edge(values[color], cell, side, incoming, f"the stream {name}")
            streams[name] = Stream(values[color], *place, incoming)
        effects = LayoutEffects(size[0], size[1], routes=ways.routes)
        folders = tuple(Path(each) for each in libs)
        options = Options(self.platform.arch, "1.x", getattr(f16_type, "value", None) or "f16", folders)
        made = self._programs(effects, options, values)
        return SdkCompileArtifacts(made, streams, [(name, region.corner, rows) for region in self.regions
                                                   for name, rows in region.symbols])

    @staticmethod
    def _side(ways: Ways, value: int | None, cell: Cell, incoming: bool, name: str) -> str:
        """Over which edge of a PE words of a color come or leave."""
        route = None if value is None else ways.routes.get((*cell, value))
        mask = 0 if route is None else (route.rx if incoming else route.tx)[0]
        side = next((port.name for port in ports_of(mask) if port.name != "RAMP"), None)
        if side is None:
            raise InputError(f"the stream {name}: PE {cell} has no route of its color that {'comes' if incoming else 'goes'} "
                             "over an edge; paint one in a code region there")
        return side

    def _places(self) -> dict[Cell, CodeRegion]:
        """PEs of all regions; those that were given no place lie east of the others."""
        for region in self.regions:
            if region.placed is None:
                region.place(max((each.corner[0] + each.width + 1 for each in self.regions if each.placed), default=0), 0)
        taken: dict[Cell, CodeRegion] = {}
        for region in self.regions:
            for x, y in region.parameters:
                cell = region.corner[0] + x, region.corner[1] + y
                if cell in taken:
                    raise InputError(f"the code regions {taken[cell].name!r} and {region.name!r} both lie on PE {cell}")
                taken[cell] = region
        return taken

    def _programs(self, effects: LayoutEffects, options: Options, values: dict[Color, int]) -> Build:
        files, diagnostics = Files(), Diagnostics()
        for region in self.regions:
            if not region.source.is_file():
                raise InputError(f"no file {region.source} for the code region {region.name!r}")
            file = str(region.source.resolve())
            if numbers_for_colors(files.parse(Path(file), diagnostics), region):
                options.dialect = "2.10"
            for (x, y), given in region.parameters.items():
                numbers = {name: Value(t.COMPTIME_INT, values[value] if isinstance(value, Color) else value)
                           for name, value in given.items()}
                effects.put(Tiles(np.array([region.corner[0] + x]), np.array([region.corner[1] + y]), file, numbers, None))
        return assemble(effects, Unit(files, options, diagnostics), Path())


def numbers_for_colors(file: syntax.File, region: CodeRegion) -> bool:
    """Whether a program takes colors as numbers, as programs do from 2.10 on."""
    colors = {name for given in region.parameters.values() for name, value in given.items() if isinstance(value, Color)}
    return any(isinstance(node, syntax.Param) and node.name in colors and isinstance(node.type, syntax.Name)
               and node.type.name != "color" for node in file.declarations)


class Allocation:
    """Numbers for the colors of a layout: one for those that are connected, others for those that meet in a code region."""

    def __init__(self, layout: SdkLayout) -> None:
        self.layout = layout
        self.rules = Rules.of(layout.platform.arch)
        self.classes = self._classes()
        self.values: dict[Color, int] = {}
        switched = {color for region in layout.regions for (_, color), route in region.routes.items() if route.positions > 1}
        order = sorted(self.classes, key=lambda each: (self._given(each) is None, not switched & set(each)))
        for colors in order:
            value = self._given(colors)
            chosen = value if value is not None else self._choose(colors, bool(switched & set(colors)))
            self._check(colors, chosen)
            self.values |= dict.fromkeys(colors, chosen)

    def _classes(self) -> list[list[Color]]:
        """Colors that one number must stand for, as words keep their color on their way."""
        leader = {color: color for region in self.layout.regions for color in region.colors()}

        def find(color: Color) -> Color:
            while leader[color] is not color:
                color = leader[color]
            return color

        for sender, receiver in self.layout.connections:
            leader[find(receiver.color)] = find(sender.color)
        found: dict[Color, list[Color]] = {}
        for color in leader:
            found.setdefault(find(color), []).append(color)
        return list(found.values())

    @staticmethod
    def _given(colors: list[Color]) -> int | None:
        given = {color.value: color for color in colors if color.value is not None}
        if len(given) > 1:
            one, other = list(given.values())[:2]
            raise InputError(f"{one!r} and {other!r} are connected: words keep their color on the way, give both one value")
        return next(iter(given), None)

    def _meeting(self, colors: list[Color]) -> set[Color]:
        """Colors of the code regions that a class is used in."""
        chosen = set(colors)
        return {each for region in self.layout.regions if chosen & set(region.colors()) for each in region.colors()} - chosen

    def _check(self, colors: list[Color], value: int) -> None:
        for region in self.layout.regions:
            here = [color for color in region.colors() if color in colors]
            if len(here) > 1:
                raise InputError(f"connections give {here[0]!r} and {here[1]!r} of region {region.name!r} one value: put a "
                                 "code region between that takes words of one color and sends another")
        clash = next((each for each in self._meeting(colors) if self.values.get(each) == value), None)
        if clash is not None:
            raise InputError(f"{colors[0]!r} and {clash!r} of one code region both have the value {value}")

    def _choose(self, colors: list[Color], switched: bool) -> int:
        able = self.rules.switch_colors
        free = [number for number in range(self.rules.colors) if number != HOST_COLOR
                and not (switched and able is not None and number not in able)]
        held = {self.values.get(each) for each in self._meeting(colors)}
        left = [number for number in free if number not in held]
        if not left:
            raise BudgetError(f"no value is left for {colors[0]!r}: the code regions that it is used in have all "
                              f"{len(free)} already")
        uses = np.bincount(np.array(list(self.values.values()), int), minlength=self.rules.colors)
        return min(left, key=lambda number: (uses[number], number))
