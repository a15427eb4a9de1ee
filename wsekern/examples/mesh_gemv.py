"""T5: MeshGEMV, the distributed matrix-vector product of WaferLLM (OSDI'25), as PE programs with explicit descriptors.

W stays where it is, a tile on each PE; x is cut along the rows of PEs and the same on all of them; partial sums of y run along
each row: in every group of PEs from both ends to its middle, between the middles to that of the middle group, and back as
a multicast to either side. All numbers are fp16, two to a word.
"""

from dataclasses import dataclass

import numpy as np

from wsekern.errors import InputError
from wsekern.examples.registry import Outcome, example, measure
from wsekern.program import Layout, Program, Simulation
from wsekern.program.code import Code
from wsekern.program.operands import Array

GROUP, ROOTS, SPREAD = (0, 1, 2, 3), (4, 5, 6, 7), {"W": 8, "E": 9}
"""Colors of chains inside groups and between their roots (two to the east, two to the west, in turns), and of multicasts."""


@dataclass(frozen=True)
class Part:
    """What a PE does in a chain: colors that it takes sums from, the color that it passes them on to (None: it is the root)."""

    takes: tuple[int, ...] = ()
    gives: int | None = None


@dataclass(frozen=True)
class Chain:
    """Sums that run from both ends of ``places`` (columns, ascending) to the middle one."""

    places: tuple[int, ...]
    colors: tuple[int, int, int, int]

    @property
    def root(self) -> int:
        """Number of the place in the middle."""
        return len(self.places) // 2

    def part(self, k: int) -> Part:
        """Part of the k-th place."""
        east, west, root = self.colors[:2], self.colors[2:], self.root
        takes = (east[(k - 1) % 2],) if 0 < k <= root else ()
        takes += (west[(k + 1) % 2],) if root <= k < len(self.places) - 1 else ()
        return Part(takes, None if k == root else east[k % 2] if k < root else west[k % 2])

    def paint(self, layout: Layout) -> None:
        """Routes on all rows."""
        for k in range(len(self.places) - 1):
            if k < self.root:
                _path(layout, self.colors[k % 2], self.places[k], self.places[k + 1], "E", "W")
            else:
                _path(layout, self.colors[2 + (k + 1) % 2], self.places[k + 1], self.places[k], "W", "E")


def _path(layout: Layout, color: int, sender: int, receiver: int, leave: str, enter: str) -> None:
    """From one column to another on all rows, past the PEs between."""
    low, high = min(sender, receiver) + 1, max(sender, receiver)
    layout.set_route(color, ["RAMP"], [leave], sender, 0, 1, layout.height)
    if low < high:
        layout.set_route(color, [enter], [leave], low, 0, high - low, layout.height)
    layout.set_route(color, [enter], ["RAMP"], receiver, 0, 1, layout.height)


def _spread(layout: Layout, root: int) -> None:
    """Multicasts from column ``root`` to those west and to those east of it."""
    last, height = layout.width - 1, layout.height
    for leave, enter, far in (("W", "E", 0), ("E", "W", last)):
        if root == far:
            continue
        layout.set_route(SPREAD[leave], ["RAMP"], [leave], root, 0, 1, height)
        layout.set_route(SPREAD[leave], [enter], ["RAMP"], far, 0, 1, height)
        between = range(1, root) if leave == "W" else range(root + 1, last)
        if between:
            layout.set_route(SPREAD[leave], [enter], [leave, "RAMP"], between.start, 0, len(between), height)


def _pass_on(program: Program, t: Code, y: Array, part: Part) -> None:
    """One stage: sums that come in are added to y; the last of them goes on without touching memory."""
    for color in part.takes if part.gives is None else part.takes[:-1]:
        t.faddh(y, y, program.fabin(color, y.elements, "f16"))
    if part.gives is not None:
        out = program.fabout(part.gives, y.elements, "f16")
        if part.takes:
            t.faddh(out, y, program.fabin(part.takes[-1], y.elements, "f16"))
        else:
            t.fmovh(out, y)


def _program(name: str, parts: tuple[Part, ...], sides: tuple[str, ...], rows: int, columns: int) -> Program:
    """Program of the PEs with these parts in their group's chain and, if they are its root, in the chain of roots. ``sides``
    that the root of all sends to; the side of it on which any other PE lies."""
    program = Program(name)
    W, x, y = (program.array(symbol, "f16", n) for symbol, n in (("W", rows * columns), ("x", rows), ("y", columns)))
    repeats = program.variable("repeats", "i32", 1)
    x_now = program.descriptor("x_now", x.view(columns, stride=0, advance=1, save=True))
    w_now = program.descriptor("w_now", W.view(columns, advance=columns, save=True))
    with program.function("compute") as t, t.range(t.get(repeats)):
        t.set_base(x_now, x)
        t.set_base(w_now, W)
        t.fmovh(y, 0.0)
        t.fmach(y, y, x_now, w_now, repeat=rows)        # mapped over the rows of the tile: both descriptors move on
        for part in parts:
            _pass_on(program, t, y, part)
        for side in sides:
            if parts[-1].gives is None:
                t.fmovh(program.fabout(SPREAD[side], columns, "f16"), y)
            else:
                t.fmovh(y, program.fabin(SPREAD[side], columns, "f16"))
    return program


def mesh_gemv_layout(machine: str, profile: str, width: int, height: int, tile_rows: int, tile_columns: int,
                     groups: int) -> Layout:
    """MeshGEMV on ``width`` x ``height`` PEs: each has ``x`` (tile_rows), ``W`` (tile_rows x tile_columns, row by row) and gets
    ``y`` (tile_columns); the function is ``compute``, which runs ``repeats`` times. ``groups`` of PEs in a row."""
    if not 1 <= groups <= width:
        raise InputError(f"{groups} groups of {width} PEs: expected 1 to {width}")
    layout = Layout(machine, width, height, profile)
    bounds = [k * width // groups for k in range(groups + 1)]
    chains = [Chain(tuple(range(bounds[k], bounds[k + 1])), GROUP) for k in range(groups)]
    roots = Chain(tuple(chain.places[chain.root] for chain in chains), ROOTS)
    roots.paint(layout)
    center = roots.places[roots.root]
    _spread(layout, center)
    programs: dict[tuple, Program] = {}
    for g, chain in enumerate(chains):
        chain.paint(layout)
        for k, column in enumerate(chain.places):
            parts = (chain.part(k), roots.part(g)) if k == chain.root else (chain.part(k),)
            around = ("W",) * (center > 0) + ("E",) * (center < width - 1)
            role = parts, around if column == center else ("W",) if column < center else ("E",)
            if role not in programs:
                programs[role] = _program(f"mesh_gemv of column {column}", *role, tile_rows, tile_columns)
            layout.set_program(programs[role], column, 0, 1, height)
    return layout


@example("mesh-gemv", tier="T5", features="host copy, multicast, explicit descriptors, saved addresses, packed words, map")
def mesh_gemv(machine: str, profile: str, width: int = 9, height: int = 5, tile_rows: int = 7, tile_columns: int = 7,
              groups: int = 3, repeats: int = 2, threads: int = 1) -> Outcome:
    """MeshGEMV as WaferLLM describes it: a grouped reduction in two levels along the rows and a multicast back."""
    layout = mesh_gemv_layout(machine, profile, width, height, tile_rows, tile_columns, groups)
    rng = np.random.default_rng(7)
    # Small whole numbers, so that fp16 sums are exact whatever their order.
    W = rng.integers(-1, 2, (height, width, tile_rows * tile_columns)).astype(np.float16)
    x = np.broadcast_to(rng.integers(-1, 2, (1, width, tile_rows)).astype(np.float16), (height, width, tile_rows))

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("W", W)
        simulation.memcpy_h2d("x", x)
        simulation.memcpy_h2d("repeats", np.full((height, width, 1), repeats, np.int32))
        simulation.launch("compute")
        simulation.run()
        return simulation.memcpy_d2h("y")

    tiles = W.reshape(height, width, tile_rows, tile_columns).astype(np.float32)
    y = np.einsum("wr,hwrc->hc", x[0].astype(np.float32), tiles)
    return measure(layout.compile(threads), host, np.broadcast_to(y[:, None], (height, width, tile_columns)).astype(np.float16))
