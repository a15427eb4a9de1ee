"""T5: rings folded into lines, no neighbor more than two hops away; and an all-reduce around one.

    place on the line   0   1   2   3   4   5          a word goes from 0 to 2, 4, 5, 3, 1 and back to 0: two hops at most,
    number in the ring  0   5   1   4   2   3          and no link closes the ring over the whole line
"""

from dataclasses import dataclass

import numpy as np

from wsekern.errors import InputError
from wsekern.examples.registry import Outcome, example, measure
from wsekern.program import Layout, Program, Simulation


@dataclass(frozen=True)
class FoldedRing:
    """A ring of ``size`` PEs on a line. Colors ``first_color`` to + 3: two to the east (south) and two to the west (north), by
    the sender's number in the ring."""

    size: int
    first_color: int = 0

    def __post_init__(self) -> None:
        if self.size < 2:
            raise InputError(f"a ring of {self.size} PEs: expected at least 2")

    @property
    def order(self) -> list[int]:
        """Places on the line, in the order of the ring."""
        return [*range(0, self.size, 2), *reversed(range(1, self.size, 2))]

    def number(self, place: int) -> int:
        """Number in the ring of the PE at a place."""
        return self.order.index(place)

    def next(self, place: int) -> int:
        """Place that the PE at ``place`` sends to."""
        return self.order[(self.number(place) + 1) % self.size]

    def sends(self, place: int) -> int:
        """Color that it sends on."""
        return self.first_color + 2 * (self.next(place) < place) + self.number(place) % 2

    def listens(self, place: int) -> int:
        """Color that it listens to."""
        return self.sends(self.order[self.number(place) - 1])

    def paint(self, layout: Layout, vertical: bool = False) -> None:
        """The routes, on all rows; with ``vertical`` of rings along the columns, on all of them."""
        ahead, back = ("S", "N") if vertical else ("E", "W")
        for place in range(self.size):
            target, color = self.next(place), self.sends(place)
            leave, enter = (ahead, back) if target > place else (back, ahead)
            routes = {place: (["RAMP"], [leave]), (place + target) // 2: ([enter], [leave]), target: ([enter], ["RAMP"])}
            if abs(target - place) == 1:
                routes = {place: (["RAMP"], [leave]), target: ([enter], ["RAMP"])}
            for at, (rx, tx) in routes.items():
                if vertical:
                    layout.set_route(color, rx, tx, 0, at, layout.width, 1)
                else:
                    layout.set_route(color, rx, tx, at, 0, 1, layout.height)


def ring_program(sends: int, listens: int, size: int, words: int) -> Program:
    """``v``: the vector, cut into ``size`` pieces of ``words``. In round k a PE sends piece number - k and receives the one
    before it: in the first size - 1 rounds to add, in the others, when the sums are complete, to keep."""
    p = Program(f"ring {sends} {listens}")
    v, count = p.array("v", "f32", size * words), p.variable("round", "i32")
    out, into = p.descriptor("out", v.view(words)), p.descriptor("into", v.view(words))
    p.outputs, p.inputs = {0: sends}, {4: listens}      # on WSE-2 the number of a queue is that of its microthread
    with p.function("all_reduce") as t:
        t.put(count, 0)
        t.activate("exchange")
    with p.task("exchange") as t:
        t.block("exchange")
        k = t.get(count)
        with t.if_(k == 2 * (size - 1)):
            t.return_()
        t.put(count, k + 1)
        piece = (t.get_parameter("number") + 2 * size - k) % size
        t.set_base(out, v, piece * words)
        t.set_base(into, v, (piece + (size - 1)) % size * words)
        t.fmovs(p.fabout(sends, words, "f32"), out, microthread=0, activate="exchange")
        with t.if_(k < size - 1):
            t.fadds(into, into, p.fabin(listens, words, "f32"), microthread=4, unblock="exchange")
        with t.else_():
            t.fmovs(into, p.fabin(listens, words, "f32"), microthread=4, unblock="exchange")
    return p


@example("ring-all-reduce", tier="T5", features="host copy, asynchronous, microthread ids, explicit descriptors, block/unblock")
def ring_all_reduce(machine: str, profile: str, size: int = 5, words: int = 6) -> Outcome:
    """An all-reduce around a folded ring: a microthread sends one piece of the vector while another adds to the next."""
    ring, layout = FoldedRing(size), Layout(machine, size, 1, profile)
    ring.paint(layout)
    programs: dict[tuple[int, int], Program] = {}
    for place in range(size):
        colors = (ring.sends(place), ring.listens(place))
        programs.setdefault(colors, ring_program(*colors, size, words))
        layout.set_program(programs[colors], place)
    for program in programs.values():
        layout.set_parameter(program, "number", [[ring.number(place) for place in range(size)]])
    v = np.random.default_rng(12).integers(-100, 100, (1, size, size * words)).astype(np.float32)

    def host(simulation: Simulation) -> np.ndarray:
        simulation.memcpy_h2d("v", v)
        simulation.launch("all_reduce")
        simulation.run()
        return simulation.memcpy_d2h("v")

    return measure(layout.compile(), host, np.broadcast_to(v.sum(1, keepdims=True), v.shape))
