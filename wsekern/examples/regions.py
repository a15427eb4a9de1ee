"""T4: code regions, placed from Python, with ports that are connected over whatever lies between."""

from dataclasses import dataclass

import numpy as np

from wsekern.errors import InputError
from wsekern.examples.registry import Outcome, example, measure
from wsekern.program import Layout, Program, Simulation

OPPOSITE = {"E": "W", "W": "E", "S": "N", "N": "S"}
STEP = {"E": (1, 0), "W": (-1, 0), "S": (0, 1), "N": (0, -1)}


@dataclass(frozen=True)
class Region:
    """A program on one PE, and the colors of its ports by their names."""

    program: Program
    x: int
    y: int
    ports: dict[str, int]


class Floor:
    """A layout on which regions are placed and connected; the next color that is free is each connection's own."""

    def __init__(self, layout: Layout) -> None:
        self.layout, self.next_color = layout, 0

    def color(self) -> int:
        """A color that nothing uses yet."""
        self.next_color += 1
        return self.next_color - 1

    def place(self, region: Region) -> Region:
        """Put a region on its PE."""
        self.layout.set_program(region.program, region.x, region.y)
        return region

    def connect(self, source: Region, port: str, target: Region, into: str) -> None:
        """Route what leaves a port to another one: along x first, then along y. Both ports have the same color."""
        color = source.ports[port]
        if color != target.ports[into]:
            raise InputError(f"port {port} of {source.program.name} has color {color}, port {into} of {target.program.name} "
                             f"{target.ports[into]}: connected ports have one color")
        self._walk(color, "RAMP", source.x, source.y, self._steps(source, target), "RAMP")

    def open(self, region: Region, port: str, edge: str) -> tuple[int, int]:
        """Lead words from the host, which come over an ``edge``, straight to a port; the PE at which they come in."""
        x, y = {"W": (0, region.y), "E": (self.layout.width - 1, region.y), "N": (region.x, 0),
                "S": (region.x, self.layout.height - 1)}[edge]
        steps = [OPPOSITE[edge]] * (abs(region.x - x) + abs(region.y - y))
        self._walk(region.ports[port], edge, x, y, steps, "RAMP")
        return x, y

    def close(self, region: Region, port: str, edge: str) -> None:
        """Lead what leaves a port straight to the host, over an ``edge``."""
        away = {"W": region.x, "E": self.layout.width - 1 - region.x, "N": region.y, "S": self.layout.height - 1 - region.y}
        self._walk(region.ports[port], "RAMP", region.x, region.y, [edge] * away[edge], edge)

    @staticmethod
    def _steps(source: Region, target: Region) -> list[str]:
        dx, dy = target.x - source.x, target.y - source.y
        return ["E" if dx > 0 else "W"] * abs(dx) + ["S" if dy > 0 else "N"] * abs(dy)

    def _walk(self, color: int, enter: str, x: int, y: int, steps: list[str], leave: str) -> None:
        for step in steps:
            self.layout.set_route(color, [enter], [step], x, y)
            x, y, enter = x + STEP[step][0], y + STEP[step][1], OPPOSITE[step]
        self.layout.set_route(color, [enter], [leave], x, y)


@example("regions", tier="T4", features="streaming, regions, asynchronous")
def regions(machine: str, profile: str, words: int = 12) -> Outcome:
    """Regions connected from Python: one splits a stream from the host, two work on it far apart, one joins them again."""
    layout = Layout(machine, 6, 5, profile, open_edges=True)
    floor = Floor(layout)
    colors = {name: floor.color() for name in ("in", "low", "high", "scaled", "shifted", "out")}

    split = Program("split")
    with split.task("run", active=True) as t, t.range(words // 2):
        for name in ("low", "high"):
            t.fmovs(split.fabout(colors[name], 1, "f32"), split.fabin(colors["in"], 1, "f32"))
    workers = {}
    for name, source, target in (("scale", "low", "scaled"), ("shift", "high", "shifted")):
        p = workers[name] = Program(name)
        with p.task("run", active=True) as t:
            work = t.fmuls if name == "scale" else t.fadds
            work(p.fabout(colors[target], words // 2, "f32"), p.fabin(colors[source], words // 2, "f32"), 10.0,
                 asynchronous=True)
    join = Program("join")
    scaled = join.array("scaled", "f32", words // 2)
    with join.task("run", active=True) as t:
        t.fmovs(scaled, join.fabin(colors["scaled"], words // 2, "f32"), asynchronous=True, activate="add")
    with join.task("add") as t:
        t.fadds(join.fabout(colors["out"], words // 2, "f32"), scaled, join.fabin(colors["shifted"], words // 2, "f32"))

    placed = {name: floor.place(Region(program, x, y, colors))
              for name, program, x, y in (("split", split, 1, 2), ("scale", workers["scale"], 4, 0),
                                          ("shift", workers["shift"], 2, 4), ("join", join, 4, 3))}
    entrance = floor.open(placed["split"], "in", "W")
    for source, target, name in (("split", "scale", "low"), ("split", "shift", "high"), ("scale", "join", "scaled"),
                                 ("shift", "join", "shifted")):
        floor.connect(placed[source], name, placed[target], name)
    floor.close(placed["join"], "out", "E")
    values = np.random.default_rng(18).standard_normal(words, np.float32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.send(colors["in"], values, *entrance, "W")
        simulation.run()
        return simulation.receive(colors["out"])["data"].view(np.float32)

    expected = (values[0::2] * np.float32(10)) + (values[1::2] + np.float32(10))
    return measure(layout.compile(), host, expected, 1e-6)
