"""Operations on the cycle engine: the PE programs and routes of a sequence of operations, wavelet by wavelet."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from wsekern.errors import BudgetError, InputError
from wsekern.machine import Machine
from wsekern.machine.timing import Timing
from wsekern.program import Layout, Program, Simulation

if TYPE_CHECKING:
    from wsekern.program.program import ElementType

ELEMENT_TYPES: dict[str, "ElementType"] = {"fp32": "fp32", "fp16": "fp16", "fp16_fp32": "fp16", "bf16": "bf16"}
PORTS = {"x": ("W", "E"), "y": ("N", "S")}
"""Ports of a line along an axis, towards lower and towards higher coordinates."""


@dataclass
class Emission:
    """What an operation writes to: one PE program, its symbols, and the colors that the operation was allotted."""

    timing: Timing
    program: Program
    colors: Sequence[int]
    inputs: tuple[str, ...]

    @property
    def type(self) -> "ElementType":
        """Element type of tiles."""
        return ELEMENT_TYPES[self.timing.dtype]


class CycleOperation(Protocol):
    """What an operation offers the cycle engine."""

    colors: int
    """Colors it takes."""

    def tiles(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each tile it takes from the host, beside the result of the operation before it."""

    def role(self, position: int, length: int) -> Any:
        """What tells the program of a PE at ``position`` on its line from others; None off lines."""

    def emit(self, out: Emission, role: Any) -> str:
        """Write the program of one role; the symbol that holds the result."""

    def paint(self, layout: Layout, colors: Sequence[int]) -> None:
        """Set the routes."""


@dataclass
class ColorAllocator:
    """Colors of the machine that programs may use; refuses when they run out."""

    machine: Machine
    taken: set[int] = field(default_factory=set)

    def allot(self, count: int, purpose: str) -> list[int]:
        """``count`` free colors, lowest first."""
        reserved = set(self.machine.fabric.reserved_colors.values)
        free = [color for color in range(int(self.machine.fabric.colors)) if color not in reserved | self.taken]
        if len(free) < count:
            raise BudgetError(f"{purpose} needs {count} colors, {len(free)} of {int(self.machine.fabric.colors)} are "
                              f"free on {self.machine.name}: run fewer operations at once, free finished ones' colors")
        self.taken.update(free[:count])
        return free[:count]

    def free(self, colors: Sequence[int]) -> None:
        """Give ``colors`` back."""
        self.taken.difference_update(colors)


@dataclass(frozen=True)
class CycleRun:
    """Result of a run on the cycle engine: values (height, width, n), end of each PE in cycles, and the simulation."""

    values: np.ndarray
    clock: np.ndarray
    simulation: Simulation


def run_on_cycle_engine(operations: Any, machine: Machine | str, width: int, height: int, profile: str, dtype: str,
                        *tiles: np.ndarray) -> CycleRun:
    """Run an operation, or a sequence of which each takes the result of the one before it first, wavelet by wavelet.

    ``tiles`` are the host's tiles in the order in which the operations take them. Equal operations share their colors.
    """
    chain = list(operations) if isinstance(operations, Sequence) else [operations]
    layout = Layout(machine, width, height, profile)
    timing = Timing(layout.machine, profile, dtype)
    allocator, colors = ColorAllocator(layout.machine), {}
    for operation in chain:
        if operation not in colors:
            colors[operation] = allocator.allot(operation.colors, type(operation).__name__)
            operation.paint(layout, colors[operation])
    names = _input_names(chain, tiles)
    result = _place_programs(layout, timing, chain, colors, names)
    simulation = layout.compile()
    for name, tile in zip((name for group in names for name in group), tiles, strict=True):
        simulation.memcpy_h2d(name, tile)
    simulation.run()
    return CycleRun(simulation.memcpy_d2h(result), simulation.clock, simulation)


def _input_names(chain: list[CycleOperation], tiles: Sequence[np.ndarray]) -> list[list[str]]:
    names, at = [], 0
    for index, operation in enumerate(chain):
        count = len(operation.tiles()) - (index > 0)
        names.append([f"in{at + i}" for i in range(count)])
        at += count
    if at != len(tiles):
        raise InputError(f"{len(tiles)} tiles for operations that take {at}")
    return names


def _place_programs(layout: Layout, timing: Timing, chain: list[CycleOperation], colors: dict,
                    names: list[list[str]]) -> str:
    # The role of a PE in an operation depends on one coordinate only: programs are told apart by row and column roles.
    def roles(axis: str, length: int) -> list[tuple]:
        return [tuple(operation.role(k, length) if getattr(operation, "axis", "y") == axis else None
                      for operation in chain) for k in range(length)]

    rows, columns = roles("y", layout.height), roles("x", layout.width)
    row_kinds, column_kinds = list(dict.fromkeys(rows)), list(dict.fromkeys(columns))
    programs, result = [], ""
    for row in row_kinds:
        for column in column_kinds:
            program = Program(f"program {len(programs)}")
            result = ""
            for operation, in_row, in_column, own in zip(chain, row, column, names, strict=True):
                inputs = (result, *own) if result else tuple(own)
                costs = replace(timing, dtype=getattr(operation, "dtype", None) or timing.dtype)
                for name, shape in zip(own, operation.tiles()[-len(own):] if own else (), strict=True):
                    program.memory(name, ELEMENT_TYPES[costs.dtype], int(np.prod(shape)))
                role = in_row if getattr(operation, "axis", "y") == "y" else in_column
                result = operation.emit(Emission(costs, program, colors[operation], inputs), role)
            programs.append(program)
    row_of = np.array([row_kinds.index(row) for row in rows])
    column_of = np.array([column_kinds.index(column) for column in columns])
    layout.set_programs(programs, row_of[:, None] * len(column_kinds) + column_of[None, :])
    return result
