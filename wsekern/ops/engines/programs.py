"""Operations as PE programs and routes: a sequence of operations in one simulation, wavelet by wavelet."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from wsekern.errors import BudgetError, InputError
from wsekern.machine import Machine
from wsekern.machine.timing import Timing
from wsekern.ops.operation import ELEMENT_TYPES, Emission, Operation, WaferProgram
from wsekern.program import Layout, Mem, Program, Simulation
from wsekern.program.instructions import Vector


@dataclass
class ColorAllocator:
    """Colors of the machine that programs may use; refuses when they run out."""

    machine: Machine
    taken: set[int] = field(default_factory=set)

    def allot(self, count: int, purpose: str, switches: bool = False) -> list[int]:
        """``count`` free colors, lowest first; ``switches``: of those that have some."""
        reserved = set(self.machine.fabric.reserved_colors.values)
        able = self.machine.fabric.switch_colors.values if switches else range(int(self.machine.fabric.colors))
        free = [color for color in able if color not in reserved | self.taken]
        if len(free) < count:
            raise BudgetError(f"{purpose} needs {count} colors{' with switches' * switches}, {len(free)} of {len(able)} are "
                              f"free on {self.machine.name}: run fewer operations at once, free finished ones' colors")
        self.taken.update(free[:count])
        return free[:count]

    def free(self, colors: Sequence[int]) -> None:
        """Give ``colors`` back."""
        self.taken.difference_update(colors)


@dataclass(frozen=True)
class CycleRun:
    """Result of a run on the cycle engine: values (height, width, n), or a tuple of several results; end of each PE in cycles,
    and the simulation."""

    values: Any
    clock: np.ndarray
    simulation: Simulation


def run_on_cycle_engine(operations: Operation | Sequence[Operation], machine: Machine | str, width: int, height: int,
                        profile: str, precision: str, *tiles: np.ndarray, threads: int = 1) -> CycleRun:
    """Run an operation, or a sequence of which each takes the (first) result of the one before it first, wavelet by wavelet.

    ``tiles`` are the host's tiles in the order in which the operations take them. Equal operations share their colors, but
    for those that leave switches advanced.
    """
    chain = list(operations) if isinstance(operations, Sequence) else [operations]
    compiled = compile_operations(chain, machine, width, height, profile, precision, threads=threads)
    return compiled.run(tiles)


@dataclass
class Compiled:
    """A sequence of operations as a simulation: where its tiles go and where its results lie."""

    simulation: Simulation
    inputs: tuple[str, ...]
    results: tuple[str, ...]
    arranged: WaferProgram | None = None
    """The operation that is alone in the sequence: the host lays its tiles onto the PEs in an order of its own."""

    def run(self, tiles: Sequence[np.ndarray]) -> CycleRun:
        """Copy ``tiles`` (height, width, ...) in, run, copy the result out."""
        if len(tiles) != len(self.inputs):
            raise InputError(f"{len(tiles)} tiles for operations that take {len(self.inputs)}")
        self.simulation.fill_memory()
        for name, tile in zip(self.inputs, self.arranged.arrange(tiles) if self.arranged else tiles, strict=True):
            self.simulation.memcpy_h2d(name, tile)
        self.simulation.run()
        values = tuple(self.simulation.memcpy_d2h(result) for result in self.results)
        if self.arranged:
            values = tuple(map(self.arranged.restore, values))
        return CycleRun(values if len(values) > 1 else values[0], self.simulation.clock, self.simulation)


class Canvas(Protocol):
    """What operations are written onto: a layout, or a window of one."""

    width: int
    height: int

    def set_programs(self, programs: list[Program], which: np.ndarray) -> None:
        """Give PE (y, x) the program number ``which[y, x]``."""


def compile_operations(chain: Sequence[Operation], machine: Machine | str, width: int, height: int, profile: str,
                       precision: str, delayed: bool = False, threads: int = 1) -> Compiled:
    """Routes and programs of operations run one after the other; where ``delayed``, each PE begins after as many cycles
    as its parameter 0 says."""
    layout = Layout(machine, width, height, profile, banks=False)
    timing = Timing(layout.machine, profile, precision)
    inputs, results = place_operations(layout, timing, chain, ColorAllocator(layout.machine), delayed)
    if delayed:
        layout.parameters = np.zeros((height, width, 1), np.int32)
    alone = chain[0].lowered(timing, width, height) if len(chain) == 1 else None
    return Compiled(layout.compile(threads), inputs, results, alone)


def place_operations(layout: Canvas, timing: Timing, chain: Sequence[Operation], allocator: ColorAllocator,
                     delayed: bool = False, prefix: str = "") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write routes and programs of ``chain`` onto a layout, or onto a window of one: the symbols of the tiles that it takes
    and of its results, all beginning with ``prefix``."""
    title = prefix + " to ".join(dict.fromkeys((chain[0].label, chain[-1].label)))
    lowered = [operation.lowered(timing, layout.width, layout.height) for operation in chain]
    colors = _allot(layout, lowered, [operation.label for operation in chain], allocator)
    names = _input_names(lowered, prefix)
    kinds, which = _kinds(lowered, layout)
    programs, results = [], ()
    for roles in kinds:
        program = Program(f"{title}, role {len(programs)}" if len(kinds) > 1 else title)
        if delayed:
            program.spend_parameter(0)
        results = ()
        for serial, operation in enumerate(lowered):
            costs = replace(timing, precision=operation.precision or timing.precision)
            _declare(program, operation, names[serial], costs)
            _settle(program, results)
            inputs = (*results[:1], *names[serial])
            out = Emission(costs, program, colors[serial], inputs, f"{prefix}{serial}")
            found = operation.emit(out, roles[serial])
            results = (found,) if isinstance(found, str) else found
        programs.append(program)
    layout.set_programs(programs, which)
    return tuple(name for group in names for name in group), results


def write_alone(operation: WaferProgram, timing: Timing, role: Any) -> tuple[Program, tuple[str, ...]]:
    """The program of one role of an operation that runs by itself, in whatever colors; symbols of its tiles and its result."""
    program, names = Program("alone"), _input_names([operation], "")[0]
    _declare(program, operation, names, timing)
    result = operation.emit(Emission(timing, program, range(operation.colors), tuple(names)), role)
    return program, (*names, result)


def _allot(layout: Any, chain: list[WaferProgram], labels: list[str], allocator: ColorAllocator) -> list[Sequence[int]]:
    """Colors of every operation, its routes painted with them. Equal operations share theirs, but for those that leave
    switches advanced."""
    known: dict[WaferProgram, Sequence[int]] = {}
    colors = []
    for operation, label in zip(chain, labels, strict=True):
        if operation not in known or operation.turns_switches:
            known[operation] = allocator.allot(operation.colors, label, operation.turns_switches)
            operation.paint(layout, known[operation])
        colors.append(known[operation])
    return colors


def _declare(program: Program, operation: WaferProgram, names: list[str], timing: Timing) -> None:
    """Memory for the tiles that the host gives an operation: its last ones, as the first may be the result before it."""
    shapes, types = operation.tiles(), operation.tile_types(ELEMENT_TYPES[timing.precision])
    given = len(shapes) - len(names)
    for name, shape, type in zip(names, shapes[given:], types[given:], strict=True):
        program.memory(name, type, int(np.prod(shape)))


def _settle(program: Program, results: tuple[str, ...]) -> None:
    """Let the core wait for what microthreads of the operation before still send from its result: for who uses one again."""
    pending = dict.fromkeys((item.name, item.dst) for item in program.code
                            if isinstance(item, Vector) and item.microthread is not None)
    for name, target in {(name, target.queue): (name, target) for name, target in pending}.values():
        program.emit(name, replace(target, extent=0), Mem(results[0], 0), microthread=-1)


def _input_names(chain: list[WaferProgram], prefix: str) -> list[list[str]]:
    names, at = [], 0
    for index, operation in enumerate(chain):
        count = len(operation.tiles()) - (index > 0)
        names.append([f"{prefix}in{at + i}" for i in range(count)])
        at += count
    return names


def _kinds(chain: list[WaferProgram], layout: Canvas) -> tuple[list[tuple], np.ndarray]:
    """All different sequences of roles, and which of them each PE (height, width) plays.

    The role of a PE in an operation along lines depends on one coordinate only, so that rows and columns are told apart
    by themselves; where an operation knows the whole grid, every PE is looked at.
    """
    height, width = layout.height, layout.width
    if any(operation.knows_grid for operation in chain):
        known: dict[tuple, int] = {}
        which = [[known.setdefault(tuple(operation.role_at(x, y, width, height) for operation in chain), len(known))
                  for x in range(width)] for y in range(height)]
        return list(known), np.array(which)

    along_x = [operation.axis == "x" for operation in chain]
    rows = [tuple(None if x else operation.role(k, height) for operation, x in zip(chain, along_x, strict=True))
            for k in range(height)]
    columns = [tuple(operation.role(k, width) if x else None for operation, x in zip(chain, along_x, strict=True))
               for k in range(width)]
    row_kinds, column_kinds = list(dict.fromkeys(rows)), list(dict.fromkeys(columns))
    kinds = [tuple(in_column if x else in_row for x, in_row, in_column in zip(along_x, row, column, strict=True))
             for row in row_kinds for column in column_kinds]
    row_of = np.array([row_kinds.index(row) for row in rows])
    column_of = np.array([column_kinds.index(column) for column in columns])
    return kinds, row_of[:, None] * len(column_kinds) + column_of[None, :]
