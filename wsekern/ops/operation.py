"""The contract between operations and engines.

:class:`Operation` holds every question that an engine may ask of an operation, with the answer of most as a default.
:class:`WaferProgram` is the part of it that the cycle engine runs. :class:`Clocks` is what an operation may ask of the engine
that times it. This module imports no engine and no operation: engines and operations know each other through it alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal, Protocol, Self

import numpy as np

from wsekern.errors import InputError, is_whole
from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops.pieces import Pieces
from wsekern.ops.repeated import Repeated
from wsekern.program import Layout, Program
from wsekern.program.operands import ElementType
from wsekern.shown import Tabled

Axis = Literal["x", "y"]
MAX_COUNT = 10_000_000
"""Sanity limit of elements, PEs and steps of one operation."""
ELEMENT_TYPES: dict[str, ElementType] = {"fp32": "fp32", "fp16": "fp16", "fp16_fp32": "fp16", "bf16": "bf16", "u32": "u32"}
"""Element type that stores a tile of each number format."""
Shapes = tuple[tuple[int, ...], ...]


class Clocks(Protocol):
    """What an operation may ask of the engine that times it: the grid, and one clock for each PE, in cycles by cause."""

    width: int
    height: int
    precision: str
    """Number format of tiles."""
    threads: int
    """Threads for kernels that compute values."""
    timing: Timing
    link_traversals: int
    """Wavelets times links so far; an operation adds its own."""
    reports: bool
    """Whether notes and link traversals are read: operations may leave them out where they are not."""

    def timing_of(self, precision: str | None) -> Timing:
        """Costs in ``precision``, the engine's own where it is None."""

    def length(self, axis: str) -> int:
        """PEs of a line along ``axis``."""

    def lines(self, axis: str) -> int:
        """Lines along ``axis``."""

    def on_lines(self, axis: str, advance: Callable[[np.ndarray], None]) -> None:
        """Let ``advance`` move the clocks (PEs, causes) of all lines along ``axis``."""

    def grid(self) -> np.ndarray:
        """Cycles by cause of every PE (height, width, causes), to be moved in place."""

    def pieces(self) -> Pieces | None:
        """The same as pieces, to be put anew; None where they are not few."""

    def spend(self, *, compute: int = 0, fabric: int = 0, stages: int = 0, overhead: int = 0, stream: int = 0) -> None:
        """Work that takes every PE the same number of cycles, by cause."""

    def synchronise(self) -> None:
        """Set every clock to the latest: a barrier, the bound of many rounds of neighbor exchange."""

    def time(self, operation: "Operation") -> None:
        """Move the clocks on by another operation."""

    def note(self, operation: "Operation", reason: str) -> None:
        """Remember why the clocks of ``operation`` are bounds; nothing without a reason."""

    def happened(self, operation: "Operation", flags: int) -> None:
        """Record from the kernel's flags why this operation's clocks may be early."""


class Untimed:
    """An engine as an operation sees it that shall compute values and move no clock."""

    def __init__(self, engine: Clocks) -> None:
        self.width, self.height, self.precision, self.threads = engine.width, engine.height, engine.precision, engine.threads
        self.timing, self.timing_of, self.length, self.lines = engine.timing, engine.timing_of, engine.length, engine.lines
        self.link_traversals, self.reports = 0, False

    def on_lines(self, axis: str, advance: Callable[[np.ndarray], None]) -> None:
        """No clock moves."""

    def grid(self) -> np.ndarray:
        """Clocks that nobody reads."""
        return np.zeros((self.height, self.width, 5), np.int64)

    def pieces(self) -> None:
        """None: see :meth:`grid`."""

    def spend(self, **cycles: int) -> None:
        """No clock moves."""

    def synchronise(self) -> None:
        """No clock moves."""

    def time(self, operation: "Operation") -> None:
        """No clock moves."""

    def note(self, operation: "Operation", reason: str) -> None:
        """Nothing is noted."""

    def happened(self, operation: "Operation", flags: int) -> None:
        """Nothing is recorded."""


@dataclass
class Emission:
    """What an operation writes to: one PE program, its symbols, and the colors that the operation was allotted."""

    timing: Timing
    program: Program
    colors: Sequence[int]
    inputs: tuple[str, ...]
    serial: str = "0"
    """Which operation of the sequence (and of the regions) it is: keeps its buffers apart from others'."""

    @property
    def type(self) -> ElementType:
        """Element type of tiles."""
        return ELEMENT_TYPES[self.timing.precision]


class WaferProgram(ABC):
    """What the cycle engine runs of an operation on one grid: its routes, and the program of every PE."""

    axis: Axis | None
    """Axis of the lines that the operation goes along; None where it goes along neither, or both."""
    precision: str | None = None
    """Number format other than the engine's."""
    colors: int = 0
    """Colors it takes."""
    turns_switches: bool = False
    """Whether it leaves switches advanced: its colors do not serve a second run."""
    knows_grid: bool = False
    """Whether the role of a PE depends on both its coordinates."""

    def tiles(self) -> Shapes:
        """Shape of each tile on a PE; the first one is the result of the operation before it, if any."""
        return ()

    def tile_types(self, type: ElementType) -> tuple[ElementType, ...]:
        """Element types of the tiles where ``type`` is that of the number format."""
        return (type,) * len(self.tiles())

    def role(self, position: int, length: int) -> Any:
        """What tells the program of the PE at ``position`` on its line from others: hashable."""
        return None

    def role_at(self, x: int, y: int, width: int, height: int) -> Any:
        """Role of PE (x, y) of a grid."""
        return self.role(x, width) if self.axis == "x" else self.role(y, height)

    def paint(self, layout: Layout, colors: Sequence[int]) -> None:
        """Set the routes; none where nothing is sent."""
        return None

    def emit(self, out: Emission, role: Any) -> str | tuple[str, ...]:
        """Write the program of one role; the symbol that holds the result, or those of several results."""
        raise InputError(f"{type(self).__name__} has no program for the cycle engine: use the flow engine")

    def arrange(self, tiles: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """Tiles (height, width, ...) as the host lays them onto the PEs: as they are, unless an operation says otherwise."""
        return tiles

    def restore(self, values: np.ndarray) -> np.ndarray:
        """Values of the PEs as the host reads them: the inverse of :meth:`arrange`."""
        return values


class Operation(WaferProgram, Tabled):
    """A mesh operation. Subclasses are frozen dataclasses: equal sizes are equal operations."""

    elements: int | None
    """Elements of the tile on a PE that travels; 0: nothing to do; None where several sizes travel, or nothing does."""
    sends: bool = False
    """Whether it is of a kind that puts words onto links."""
    runs_alone: bool = False
    """Whether it has a program and sends nothing."""
    leaves_words_under_way: bool = True
    """Whether a PE may be done with it while words that others sent are still on links beside that PE."""
    settles: bool = False
    """Whether nothing is under way any more behind its words, where nothing was when it sent the first of them."""

    @property
    def label(self) -> str:
        """Its name in notes and programs."""
        return type(self).__name__

    # What the flow engine runs.

    @abstractmethod
    def time(self, engine: Clocks) -> None:
        """Advance the clocks of ``engine`` by this operation."""

    @abstractmethod
    def flow(self, engine: Clocks, *tiles: np.ndarray) -> Any:
        """Advance the clocks and return the values: tiles (height, width, ...) -> what each PE ends with, a tuple of several
        results."""

    def values(self, engine: Clocks, *tiles: Repeated) -> Any:
        """Values alone, the clocks stay: a :class:`Repeated`, or a tuple of several results. Of PEs that hold the same tiles,
        once, where the operation can say so."""
        return Repeated.of(self.flow(Untimed(engine), *(np.ascontiguousarray(tile.full()) for tile in tiles)))

    def values_of(self, first: "Operation", engine: Clocks, *tiles: Repeated) -> Any:
        """Values alone of this operation on what ``first`` makes of ``tiles``, which nothing else reads."""
        return self.values(engine, first.values(engine, *tiles))

    def pieces(self, engine: Clocks, axis: Axis, *tiles: Repeated) -> Iterator[tuple[slice, np.ndarray]] | None:
        """Values alone of some lines along ``axis`` after others: which of them, and their tiles (height, width, ...), as many
        as the caches keep. None where that is no use, or values cannot be found so."""
        return None

    def reference(self, *tiles_and_timing: Any) -> np.ndarray:
        """Plain numpy with the same order of adds, bit for bit: the tiles (height, width, ...) in their order, then the
        :class:`Timing`, whose number format counts where the operation has none of its own."""
        raise InputError(f"{self.label} has no plain reference: its values are those of wsekern.tiles")

    def link_traversals(self, engine: Clocks) -> int:
        """Wavelets times links of one run on the whole grid."""
        return 0

    # What the cycle engine runs.

    def lowered(self, timing: Timing, width: int, height: int) -> WaferProgram:
        """What the cycle engine runs on a grid: the operation itself, unless its program depends on the grid."""
        return self

    def staged(self) -> "Operation":
        """The same operation as the cycle engine can run it, where some of its forms have no program."""
        return self

    def on(self, timing: Timing, width: int, height: int) -> "Operation":
        """With what is chosen by the machine and the grid: the operation itself, unless it leaves something to be chosen."""
        return self

    def largest(self, width: int, height: int) -> tuple["Operation", int, int]:
        """Of the same kind, with the sides of a grid: one whose program is as large as any is, where that depends on sides."""
        return self, width, height

    def host_tiles(self, timing: Timing, width: int, height: int) -> Shapes:
        """Shapes of the tiles on a PE of a grid, as the host gives them."""
        return self.lowered(timing, width, height).tiles()

    def result_shape(self, engine: Clocks, *tiles: np.ndarray) -> tuple[int, ...]:
        """Shape of the values (height, width, ...) for ``tiles``."""
        return tiles[0].shape

    # What both ask.

    def memory_bytes(self, engine: Clocks) -> int:
        """Bytes of the tiles that a PE holds; those that move are held twice."""
        return np.dtype(NUMPY_DTYPES[engine.precision]).itemsize * (self.elements or 0)

    def sent_along(self) -> Sequence["Operation"]:
        """The operations given by a schedule that send what this one sends along lines, in their order; empty where none
        does, or not known."""
        return ()

    def first_sender(self, engine: Clocks) -> int | None:
        """The PE that sends the first words, counted along its line (row by row where it has no axis); None: any."""
        return None

    def along_x(self) -> Self:
        """The same operation along x."""
        return replace(self, axis="x")

    def in_engine_format(self) -> Self:
        """The same operation in the number format of its engine."""
        return self if self.precision is None else replace(self, precision=None)


class LocalOperation(Operation):
    """Work of every PE on its own tiles: nothing is sent."""

    axis = None
    elements = None
    runs_alone = True

    @abstractmethod
    def cycles(self, timing: Timing) -> tuple[int, int]:
        """(compute, overhead) cycles of one PE."""

    def time(self, engine: Clocks) -> None:
        """Advance the clocks of ``engine`` by this operation."""
        compute, overhead = self.cycles(engine.timing)
        engine.spend(compute=compute, overhead=overhead)


def check_count(name: str, count: int, least: int = 0) -> None:
    """Refuse what is no whole number of at least ``least``, and numbers so far past what a PE holds that their cycles would not
    be worth waiting for."""
    if not is_whole(count) or count < least:
        raise InputError(f"{name} is {count!r}: expected a whole number of at least {least}")
    if count > MAX_COUNT:
        raise InputError(f"{name} is {count}: expected at most {MAX_COUNT:,}, hundreds of times what a PE holds")


def check_line(elements: int, axis: str, segment: int, root: int = 0, tail: int = 0, **counts: int) -> None:
    """Refuse what no line operation accepts; ``counts`` are further numbers that must be at least one."""
    if axis not in ("x", "y"):
        raise InputError(f"axis is {axis!r}: expected 'x' or 'y'")
    for name, count in {"elements": elements, "segment": segment, "root": root, "tail": tail}.items():
        check_count(name, count)
    for name, count in counts.items():
        check_count(name, count, 1)


def check_arrays(tiles: Sequence[object]) -> None:
    """Refuse tiles that are no arrays."""
    for tile in tiles:
        if not isinstance(tile, np.ndarray):
            raise InputError(f"a tile is of type {type(tile).__name__}: expected an array (height, width, ...)")


def check_tile(engine: Clocks, tile: np.ndarray, *shape: int) -> np.ndarray:
    """``tile`` as a contiguous array (height, width, *shape) of the engine's number format, or an error that says so."""
    return _check(engine, tile, engine.precision, tile.shape == (engine.height, engine.width, *shape), str(shape))


def check_flat_tile(engine: Clocks, tile: np.ndarray, elements: int, precision: str) -> np.ndarray:
    """``tile`` as a contiguous array (height, width, ...) with ``elements`` elements of ``precision`` on each PE."""
    fits = tile.shape[:2] == (engine.height, engine.width) and int(np.prod(tile.shape[2:])) == elements
    return _check(engine, tile, precision, fits, f"{elements} elements")


def check_values(engine: Clocks, tile: Repeated, elements: int, precision: str) -> None:
    """Refuse tiles that are not on all PEs of ``engine``, or not of ``elements`` elements of ``precision`` on each."""
    expected, found = np.dtype(NUMPY_DTYPES[precision]), tile.tiles
    on_all = (tile.height, tile.width) == (engine.height, engine.width)
    if not on_all or prod(found.shape[2:]) != elements or found.dtype != expected:
        raise InputError(f"tiles of shape {found.shape[2:]} and type {found.dtype} on {tile.width}x{tile.height} PEs: expected "
                         f"{elements} elements of {expected} on each of {engine.width}x{engine.height}")


def _check(engine: Clocks, tile: np.ndarray, precision: str, fits: bool, wanted: str) -> np.ndarray:
    expected = np.dtype(NUMPY_DTYPES[precision])
    if not fits or tile.dtype != expected:
        raise InputError(f"a tile of shape {tile.shape} and type {tile.dtype}: expected {wanted} of {expected} on each "
                         f"PE, for {precision} on {engine.width}x{engine.height} PEs (height first)")
    return np.ascontiguousarray(tile)


def check_operands(what: object, shapes: Shapes, tiles: Sequence[np.ndarray]) -> None:
    """Refuse tiles that are not as many, or not of as many elements on a PE, as ``what`` takes: they would be computed in one
    size and timed in another."""
    if len(tiles) != len(shapes):
        raise InputError(f"{len(tiles)} tiles for {what}, which takes {len(shapes)}")
    for name, shape, tile in zip("abc", shapes, tiles, strict=False):
        if prod(tile.shape[2:]) != prod(shape):
            raise InputError(f"{name} has {prod(tile.shape[2:])} elements on a PE: {what} takes {prod(shape)}")
