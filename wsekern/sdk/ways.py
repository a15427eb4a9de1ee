"""Ways of words between the edges of code regions, and to the edges of the fabric, over PEs where their color is free."""

from collections import deque
from collections.abc import Callable, Iterable

from wsekern.errors import BudgetError
from wsekern.fabric.routes import Route, make_route

Cell = tuple[int, int]
STEPS = {"EAST": (1, 0), "WEST": (-1, 0), "SOUTH": (0, 1), "NORTH": (0, -1)}
BACK = {"EAST": "WEST", "WEST": "EAST", "SOUTH": "NORTH", "NORTH": "SOUTH"}


def beside(cell: Cell, direction: str) -> Cell:
    """The next PE in a direction."""
    return cell[0] + STEPS[direction][0], cell[1] + STEPS[direction][1]


class Ways:
    """Routes on a fabric of ``width`` x ``height`` PEs; ``taken``: PEs of code regions, which ways avoid where they can."""

    def __init__(self, width: int, height: int, taken: set[Cell]) -> None:
        self.width, self.height, self.taken = width, height, taken
        self.routes: dict[tuple[int, int, int], Route] = {}
        self.used: dict[int, set[Cell]] = {}

    def paint(self, color: int, cell: Cell, route: Route) -> None:
        """A route that is asked for."""
        self.routes[(*cell, color)] = route
        self.used.setdefault(color, set()).add(cell)

    def inside(self, cell: Cell) -> bool:
        """Whether a place is on the fabric."""
        return 0 <= cell[0] < self.width and 0 <= cell[1] < self.height

    def connect(self, color: int, lanes: list[tuple[Cell, str, Cell, str]], what: str) -> None:
        """Lanes (PE that sends, over which edge, PE that takes, over which edge) of a color."""
        waiting = [lane for lane in lanes if not self._adjoin(*lane)]
        distance = {lane: abs(lane[0][0] - lane[2][0]) + abs(lane[0][1] - lane[2][1]) for lane in waiting}
        for order in (waiting, waiting[::-1], sorted(waiting, key=distance.__getitem__)):
            found: list[tuple[list[Cell], str, str]] = []
            ends = {cell for sender, out, taker, edge in order for cell in (beside(sender, out), beside(taker, edge))}
            held: set[Cell] = set(ends)
            for sender, out, taker, edge in order:
                start, end = beside(sender, out), beside(taker, edge)
                cells = self._way(color, start, {end}.__contains__, held - {start, end})
                if cells is None:
                    break
                held |= set(cells)
                found.append((cells, BACK[out], BACK[edge]))
            if len(found) == len(order):
                for cells, rx, tx in found:
                    self._lay(color, cells, rx, tx)
                return
        raise BudgetError(f"{what}: no way on color {color} is free; place the code regions farther apart, or give the colors "
                          "other values")

    def _adjoin(self, sender: Cell, out: str, taker: Cell, edge: str) -> bool:
        return beside(sender, out) == taker and beside(taker, edge) == sender

    def to_edge(self, color: int, cell: Cell, edge: str, incoming: bool, what: str) -> tuple[Cell, str]:
        """A way between an edge of a region and one of the fabric: (PE, direction) where words enter or leave the fabric."""
        start = beside(cell, edge)
        if not self.inside(start):
            return cell, edge
        cells = self._way(color, start, self._at_edge, set())
        if cells is None:
            raise BudgetError(f"{what}: no way on color {color} to an edge of the fabric is free; place the code regions "
                              "farther apart")
        side = next(each for each in STEPS if not self.inside(beside(cells[-1], each)))
        if incoming:
            self._lay(color, cells[::-1], side, BACK[edge])
        else:
            self._lay(color, cells, BACK[edge], side)
        return cells[-1], side

    def _at_edge(self, cell: Cell) -> bool:
        return not all(self.inside(beside(cell, each)) for each in STEPS)

    def _way(self, color: int, start: Cell, ends: Callable[[Cell], bool], held: Iterable[Cell]) -> list[Cell] | None:
        """The shortest way, around code regions if one leads around them."""
        used = self.used.get(color, set()) | set(held)
        return self._search(start, ends, used | self.taken) or self._search(start, ends, used)

    def _search(self, start: Cell, ends: Callable[[Cell], bool], blocked: set[Cell]) -> list[Cell] | None:
        if start in blocked or not self.inside(start):
            return None
        before: dict[Cell, Cell | None] = {start: None}
        waiting = deque([start])
        while waiting:
            cell = waiting.popleft()
            if ends(cell):
                cells: list[Cell] = []
                at: Cell | None = cell
                while at is not None:
                    cells.append(at)
                    at = before[at]
                return cells[::-1]
            for direction in STEPS:
                other = beside(cell, direction)
                if other not in before and other not in blocked and self.inside(other):
                    before[other] = cell
                    waiting.append(other)
        return None

    def _lay(self, color: int, cells: list[Cell], rx: str, tx: str) -> None:
        """Routes along a way that comes in from ``rx`` and goes out to ``tx``."""
        for k, cell in enumerate(cells):
            into = rx if k == 0 else BACK[direction_of(cells[k - 1], cell)]
            out = tx if k + 1 == len(cells) else direction_of(cell, cells[k + 1])
            self.paint(color, cell, make_route(into, out))


def direction_of(one: Cell, other: Cell) -> str:
    """From a PE to one beside it."""
    return next(name for name, step in STEPS.items() if (one[0] + step[0], one[1] + step[1]) == other)
