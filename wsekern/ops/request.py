"""What ``predict op`` is asked for, and the checks of its sizes."""

from dataclasses import dataclass

from wsekern.errors import InputError, check_flags, is_whole
from wsekern.machine import Machine
from wsekern.ops.operation import Axis, check_count


@dataclass(frozen=True, kw_only=True)
class OpRequest:
    """What to predict: an operation by name, the machine, the grid, and those sizes that the operation needs."""

    name: str
    machine: Machine
    profile: str = "silicon"
    grid: tuple[int, int] | None = None
    """Width and height in PEs."""
    tile: tuple[int, ...] | None = None
    groups: int | None = None
    levels: tuple[int, ...] = ()
    """Groups of every level of a K-tree."""
    relays: int | None = None
    words: int | None = None
    tail: int | None = None
    """fp32 elements behind the words of an all-reduce."""
    receivers: int | None = None
    precision: str | None = None
    conflict: bool = False
    engine: str = "flow"
    plot: str | None = None
    along: Axis | None = None
    """Axis of operations along lines, where it is not that of :attr:`axis`'s own choice."""

    def __post_init__(self) -> None:
        check_flags(self)

    def elements(self) -> int:
        """Elements on each PE, of an operation on tiles without rows and columns."""
        return check_size("words", self.words, "elements on each PE")

    def relays_of(self) -> int:
        """PEs that every tile moves by."""
        return check_size("relays", self.relays, "PEs to move by")

    def groups_of(self, meaning: str, default: int) -> int:
        """The number of groups, or of PEs in one, as ``meaning`` says."""
        return default if self.groups is None else check_size("groups", self.groups, meaning)

    def tile_of(self, meaning: str) -> tuple[int, ...]:
        """The tile, of as many sizes as ``meaning`` names."""
        sizes = len(meaning.split("x"))
        if self.tile is None or len(self.tile) != sizes or not all(is_whole(size) and size > 0 for size in self.tile):
            given = "missing" if self.tile is None else "x".join(map(str, self.tile))
            raise InputError(f"tile is {given}: expected {meaning}, sizes of one PE's tile")
        return self.tile

    @property
    def width(self) -> int:
        """PEs of a row."""
        return self._grid[0]

    @property
    def height(self) -> int:
        """PEs of a column."""
        return self._grid[1]

    @property
    def _grid(self) -> tuple[int, int]:
        if self.grid is None:
            raise InputError("grid is missing: expected WIDTHxHEIGHT PEs")
        if not isinstance(self.grid, tuple) or len(self.grid) != 2:
            raise InputError(f"grid is {self.grid!r}: expected (width, height) in PEs")
        return self.grid

    @property
    def axis(self) -> Axis:
        """Axis of operations along lines: the one asked for, else y where there are columns of several PEs."""
        return self.along or ("x" if self.height == 1 else "y")

    @property
    def line(self) -> int:
        """PEs of a line along :attr:`axis`."""
        return self.width if self.axis == "x" else self.height


def check_size(field: str, value: int | None, meaning: str) -> int:
    """``value`` of a size that must be given and at least one."""
    if value is None:
        raise InputError(f"{field} is missing: expected {meaning}")
    if not is_whole(value) or value < 1:
        raise InputError(f"{field} is {value!r}: expected {meaning}, at least 1")
    check_count(field, value)
    return value
