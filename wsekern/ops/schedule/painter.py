"""Routes on lines of PEs and over a grid, painted onto a layout."""

from collections.abc import Sequence
from dataclasses import dataclass

from wsekern.ops.operation import Axis
from wsekern.program import Layout


@dataclass(frozen=True)
class LinePainter:
    """Sets routes on all lines along ``axis``, or on ``lines`` of them from ``first`` on; PEs of a line are counted from
    ``begin``."""

    layout: Layout
    axis: Axis
    begin: int
    first: int = 0
    lines: int = 0

    @property
    def ports(self) -> tuple[str, str]:
        """Ports towards lower and towards higher PEs."""
        return ("W", "E") if self.axis == "x" else ("N", "S")

    def at(self, color: int, first: int, last: int, rx: str, *tx: str, then: str | None = None) -> None:
        """Route of ``color`` at PEs first to last, both included; nothing where last is before first. ``then``: the port that
        words come in from once the switch is advanced."""
        if last < first:
            return
        first, last = first + self.begin, last + self.begin
        lines = self.lines or (self.layout.height if self.axis == "x" else self.layout.width)
        box = (first, self.first, last - first + 1, lines) if self.axis == "x" else (self.first, first, lines,
                                                                                     last - first + 1)
        self.layout.set_route(color, (rx,), tx, *box, then=then)

    def link(self, color: int, source: int, target: int) -> None:
        """From the core at ``source`` to the core at ``target``, through the routers between them."""
        low, high = self.ports if target > source else self.ports[::-1]
        step = 1 if target > source else -1
        self.at(color, source, source, "RAMP", high)
        first, last = sorted((source + step, target - step))
        if abs(target - source) > 1:
            self.at(color, first, last, low, high)
        self.at(color, target, target, low, "RAMP")

    def turns(self, color: int, senders: Sequence[int], target: int) -> None:
        """From the cores at ``senders``, all on one side, to the core at ``target``, in turns from near to far: the router of
        each but the farthest passes on what comes from beyond once its switch is advanced."""
        far = max(senders, key=lambda pe: abs(pe - target))
        self.link(color, far, target)
        near, beyond = self.ports if far > target else self.ports[::-1]
        for pe in senders:
            if pe != far:
                self.at(color, pe, pe, "RAMP", near, then=beyond)

    def chains(self, colors: Sequence[int], pes: Sequence[int], root: int) -> None:
        """Chains over ``pes`` from both ends to ``pes[root]``; colors as in :func:`wsekern.ops.lines.line.stream_of`."""
        for k, pe in enumerate(pes):
            if k < root:
                self.link(colors[(root - k + 1) % 2], pe, pes[k + 1])
            elif k > root:
                self.link(colors[(k - root) % 2], pe, pes[k - 1])

    def multicast(self, color: int, root: int, begin: int, end: int) -> None:
        """From the core at ``root`` to all cores of [begin, end), both ways."""
        low, high = self.ports
        if end - begin < 2:
            return
        self.at(color, root, root, "RAMP", *([low] if root > begin else []), *([high] if root < end - 1 else []))
        self.at(color, root + 1, end - 2, low, "RAMP", high)
        self.at(color, begin + 1, root - 1, high, "RAMP", low)
        if root < end - 1:
            self.at(color, end - 1, end - 1, low, "RAMP")
        if root > begin:
            self.at(color, begin, begin, high, "RAMP")


def paint_plane(layout: Layout, color: int, x: int, y: int) -> None:
    """From PE (x, y) to all others: both ways along its row, and from every PE of the row both ways along its column."""
    width, height = layout.width, layout.height
    for k in range(width):
        out = _ports(("N", y > 0), ("S", y < height - 1), ("W", 0 < k <= x), ("E", x <= k < width - 1))
        source = "RAMP" if k == x else "E" if k < x else "W"
        if k != x or out:
            layout.set_route(color, (source,), (*out, *(["RAMP"] if k != x else [])), k, y)
    for row in range(height):
        if row != y:
            onward = _ports(("N", 0 < row < y), ("S", y < row < height - 1))
            layout.set_route(color, ("S" if row < y else "N",), (*onward, "RAMP"), 0, row, width, 1)


def _ports(*ports: tuple[str, bool]) -> list[str]:
    """Ports whose condition holds."""
    return [port for port, holds in ports if holds]
