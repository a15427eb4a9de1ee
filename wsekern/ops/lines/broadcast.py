"""Broadcast along lines: every PE of a line ends with the tile of one of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from wsekern.ops._timing import LineCosts, broadcast_alone, broadcast_line
from wsekern.ops.lines.line import LineEmitter, LineOperation, segments
from wsekern.ops.operation import Axis, Clocks, check_line
from wsekern.ops.schedule.painter import LinePainter


@dataclass(frozen=True)
class Broadcast(LineOperation):
    """Multicast of ``elements`` elements from PE ``root`` of every line along ``axis`` to all its PEs.

    One send; routers copy each wavelet to the core and onward, both ways from the root. Cost, B wavelets to the PE d
    hops away: ``B + d h + output + 2 T_R + input`` (HPDC'24: B + P + 2 T_R for the whole line from its end).
    """

    elements: int
    axis: Axis
    root: int = 0
    segment: int = 0
    precision: str | None = None
    """Number format other than the engine's, such as fp32 for statistics."""
    colors: ClassVar[int] = 1
    kind: ClassVar[str] = "broadcast"
    settles: ClassVar[bool] = True
    ends_alike: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_line(self.elements, self.axis, self.segment, root=self.root)

    def parameter_on(self, engine: Clocks) -> int:
        """The root."""
        return self.root

    def root_of(self, length: int) -> int:
        """The root on an independent line of ``length`` PEs."""
        return min(self.root, length - 1)

    def first_sender(self, engine: Clocks) -> int | None:
        """The root, where lines are not cut."""
        return None if self.segment else self.root_of(engine.length(self.axis))

    def advance(self, line: np.ndarray, segment: int, parameter: int, *costs: LineCosts) -> int:
        """Advance the clocks (PEs, causes) of a line."""
        return broadcast_line(line, segment, parameter, *costs)

    def alone(self, engine: Clocks) -> Callable[[int], int]:
        """Cycles on one line of PEs that are all ready at once, by its length."""
        costs = self.costs(engine)
        return lambda length: broadcast_alone(length, self.root_of(length), *costs) if self.elements else 0

    def compute(self, engine: Clocks, tiles: np.ndarray, precision: str) -> np.ndarray:
        """The tiles of the roots."""
        along = 0 if self.axis == "y" else 1
        roots = [begin + self.root_of(end - begin) for begin, end in segments(tiles.shape[along], self.segment)]
        return tiles[:, roots] if along else tiles[roots]      # take would copy all tiles first

    def reference_line(self, precision: str, line: np.ndarray) -> np.ndarray:
        """The root's tile."""
        return np.broadcast_to(line[self.root_of(len(line))], line.shape)

    def hops(self, length: int) -> tuple[int, int]:
        """Results over every link."""
        return 0, length - 1

    def role_on(self, pe: int, length: int) -> str:
        """Whether a PE sends, receives, or is alone."""
        return "alone" if length < 2 else "root" if pe == self.root_of(length) else "receiver"

    def paint_line(self, painter: LinePainter, colors: Sequence[int], length: int) -> None:
        """One multicast both ways."""
        painter.multicast(colors[0], self.root_of(length), 0, length)

    def write(self, emitter: LineEmitter, role: str) -> None:
        """One send or one receive."""
        if role == "root":
            emitter.send(emitter.out.colors[0])
        elif role == "receiver":
            emitter.receive(emitter.out.colors[0])
