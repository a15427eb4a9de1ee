"""Operations on the cycle engine: the PE programs and routes of a sequence of operations, wavelet by wavelet."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from wsekern.errors import BudgetError, InputError
from wsekern.machine import Machine
from wsekern.machine.timing import Timing
from wsekern.ops.engines.flow import FlowEngine
from wsekern.ops.lines.line import check_elements
from wsekern.ops.local.rows import Local
from wsekern.ops.schedule.scheduled import lower
from wsekern.program import Layout, Mem, Program, Simulation
from wsekern.program.instructions import Vector

if TYPE_CHECKING:
    from wsekern.program.operands import ElementType

ELEMENT_TYPES: dict[str, "ElementType"] = {"fp32": "fp32", "fp16": "fp16", "fp16_fp32": "fp16", "bf16": "bf16",
                                            "u32": "u32"}
KEPT_PES = 2_000_000
"""PEs of compiled operations that a cycle engine keeps, at roughly 500 B each."""


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
    """Result of a run on the cycle engine: values (height, width, n), end of each PE in cycles, and the simulation."""

    values: np.ndarray
    clock: np.ndarray
    simulation: Simulation


def run_on_cycle_engine(operations: Any, machine: Machine | str, width: int, height: int, profile: str, dtype: str,
                        *tiles: np.ndarray, threads: int = 1) -> CycleRun:
    """Run an operation, or a sequence of which each takes the result of the one before it first, wavelet by wavelet.

    ``tiles`` are the host's tiles in the order in which the operations take them. Equal operations share their colors, but
    for those that leave switches advanced.
    """
    chain = list(operations) if isinstance(operations, Sequence) else [operations]
    compiled = compile_operations(chain, machine, width, height, profile, dtype, threads=threads)
    return compiled.run(tiles)


@dataclass
class Compiled:
    """A sequence of operations as a simulation: where its tiles go and where its result lies."""

    simulation: Simulation
    inputs: tuple[str, ...]
    result: str
    arranged: Any = None
    """The operation, where the host lays its tiles onto the PEs in an order of its own."""

    def run(self, tiles: Sequence[np.ndarray]) -> CycleRun:
        """Copy ``tiles`` (height, width, ...) in, run, copy the result out."""
        if len(tiles) != len(self.inputs):
            raise InputError(f"{len(tiles)} tiles for operations that take {len(self.inputs)}")
        self.simulation.fill_memory()
        for name, tile in zip(self.inputs, self.arranged.arrange(tiles) if self.arranged else tiles, strict=True):
            self.simulation.memcpy_h2d(name, tile)
        self.simulation.run()
        values = self.simulation.memcpy_d2h(self.result)
        return CycleRun(self.arranged.restore(values) if self.arranged else values, self.simulation.clock, self.simulation)


def compile_operations(chain: list[CycleOperation], machine: Machine | str, width: int, height: int, profile: str,
                       dtype: str, delayed: bool = False, threads: int = 1) -> Compiled:
    """Routes and programs of operations run one after the other; where ``delayed``, each PE begins after as many cycles
    as its parameter 0 says."""
    layout = Layout(machine, width, height, profile, banks=False)
    timing = Timing(layout.machine, profile, dtype)
    inputs, result = place_operations(layout, timing, chain, ColorAllocator(layout.machine), delayed)
    if delayed:
        layout.parameters = np.zeros((height, width, 1), np.int32)
    alone = lower(chain[0], timing, width, height) if len(chain) == 1 else None
    return Compiled(layout.compile(threads), inputs, result, alone if hasattr(alone, "arrange") else None)


def place_operations(layout: Any, timing: Timing, chain: list[Any], allocator: ColorAllocator, delayed: bool = False,
                     prefix: str = "") -> tuple[tuple[str, ...], str]:
    """Write routes and programs of ``chain`` onto a layout, or onto a window of one: the symbols of the tiles that it takes
    and of its result, all beginning with ``prefix``."""
    named = [str(operation) if isinstance(operation, Local) else type(operation).__name__ for operation in chain]
    title, known = " to ".join(dict.fromkeys((named[0], named[-1]))), {}
    chain, colors = [lower(operation, timing, layout.width, layout.height) for operation in chain], []
    for operation, name in zip(chain, named, strict=True):
        if operation not in known or getattr(operation, "turns_switches", False):
            known[operation] = allocator.allot(operation.colors, name, getattr(operation, "turns_switches", False))
            operation.paint(layout, known[operation])
        colors.append(known[operation])
    names = _input_names(chain, prefix)
    kinds, which = _kinds(chain, layout)
    programs, result = [], ""
    for roles in kinds:
        program = Program(f"{prefix}{title}, role {len(programs)}" if len(kinds) > 1 else f"{prefix}{title}")
        result = ""
        if delayed:
            program.spend_parameter(0)
        for serial, (operation, role, own) in enumerate(zip(chain, roles, names, strict=True)):
            inputs = (result, *own) if result else tuple(own)
            costs = replace(timing, dtype=getattr(operation, "dtype", None) or timing.dtype)
            shapes, of_dtype = operation.tiles(), ELEMENT_TYPES[costs.dtype]
            types = operation.tile_types(of_dtype) if hasattr(operation, "tile_types") else (of_dtype,) * len(shapes)
            for name, shape, kept in list(zip(own, shapes[-len(own):], types[-len(own):], strict=True)) if own else ():
                program.memory(name, kept, int(np.prod(shape)))
            _settle(program, result)
            result = operation.emit(Emission(costs, program, colors[serial], inputs, f"{prefix}{serial}"), role)
        programs.append(program)
    layout.set_programs(programs, which)
    return tuple(name for group in names for name in group), result


def _settle(program: Program, result: str) -> None:
    """Let the core wait for what microthreads of the operation before still send from ``result``: for who uses one again."""
    pending = dict.fromkeys((item.name, item.dst) for item in program.code
                            if isinstance(item, Vector) and item.microthread is not None)
    for name, target in {(name, target.queue): (name, target) for name, target in pending}.values():
        program.emit(name, replace(target, extent=0), Mem(result, 0), microthread=-1)


def _input_names(chain: list[CycleOperation], prefix: str) -> list[list[str]]:
    names, at = [], 0
    for index, operation in enumerate(chain):
        count = len(operation.tiles()) - (index > 0)
        names.append([f"{prefix}in{at + i}" for i in range(count)])
        at += count
    return names


def _kinds(chain: list[Any], layout: Layout) -> tuple[list[tuple], np.ndarray]:
    """All different sequences of roles, and which of them each PE (height, width) plays.

    The role of a PE in an operation along lines depends on one coordinate only, so that rows and columns are told apart
    by themselves; where an operation knows the whole grid, every PE is looked at.
    """
    height, width = layout.height, layout.width
    if any(hasattr(operation, "role_at") for operation in chain):
        found: dict[tuple, int] = {}
        which = [[found.setdefault(tuple(_role_at(operation, x, y, width, height) for operation in chain), len(found))
                  for x in range(width)] for y in range(height)]
        return list(found), np.array(which)

    def roles(axis: str, length: int) -> list[tuple]:
        return [tuple(operation.role(k, length) if getattr(operation, "axis", "y") == axis else None
                      for operation in chain) for k in range(length)]

    rows, columns = roles("y", height), roles("x", width)
    row_kinds, column_kinds = list(dict.fromkeys(rows)), list(dict.fromkeys(columns))
    kinds = [tuple(in_row if getattr(operation, "axis", "y") == "y" else in_column
                   for operation, in_row, in_column in zip(chain, row, column, strict=True))
             for row in row_kinds for column in column_kinds]
    row_of = np.array([row_kinds.index(row) for row in rows])
    column_of = np.array([column_kinds.index(column) for column in columns])
    return kinds, row_of[:, None] * len(column_kinds) + column_of[None, :]


def _role_at(operation: Any, x: int, y: int, width: int, height: int) -> Any:
    if hasattr(operation, "role_at"):
        return operation.role_at(x, y)
    return operation.role(y, height) if getattr(operation, "axis", "y") == "y" else operation.role(x, width)


def sends(operation: Any) -> bool:
    """Whether an operation has a program that sends words."""
    return hasattr(operation, "lowered") or bool(getattr(operation, "colors", 0))


def runs_alone(operation: Any) -> bool:
    """Whether an operation sends nothing and has a program."""
    return not sends(operation) and hasattr(operation, "emit")


class CycleEngine(FlowEngine):
    """The flow engine's interface on the cycle engine: for proof, and where links are shared.

    Operations that send anything run wavelet by wavelet, those of a PE on its own tiles instruction by instruction, every PE
    starting at its own clock. ``breakdown`` is the flow engine's, with what it does not see under ``words``.
    """

    def reset(self) -> None:
        """All clocks and counters to zero."""
        super().reset()
        self._clock = np.zeros((self.height, self.width), np.int64)
        self._traversals = 0
        self._compiled: dict[Any, Compiled] = {}

    def run(self, operation: Any, *tiles: np.ndarray) -> Any:
        """Run ``operation`` on ``tiles``: its values, and the clocks move on."""
        if sends(operation):
            super().time(operation)
            return self._run_program(operation, *tiles) if getattr(operation, "words", 1) else tiles[0].copy()
        if runs_alone(operation) and tiles:
            check_elements(str(operation), operation.tiles(), tiles)
            super().time(operation)
            return self._run_program(operation, *tiles)
        with self._alone(operation):
            return super().run(operation, *tiles)

    def time(self, operation: Any) -> None:
        """Of work that sends nothing; what wavelets do cannot be told without running them."""
        if sends(operation):
            raise InputError("the cycle engine runs operations with values only: use the flow engine for time alone")
        with self._alone(operation):
            super().time(operation)

    @contextmanager
    def _alone(self, operation: Any) -> Iterator[None]:
        """Add what the flow engine's clocks move by to each clock; all by the same, as nothing is sent."""
        before = FlowEngine.clock.fget(self)
        yield
        spent = FlowEngine.clock.fget(self) - before
        if np.any(spent != spent[0, 0]):
            raise InputError(f"{type(operation).__name__} has no program for the cycle engine: use the flow engine")
        self._clock += spent[0, 0]

    def _run_program(self, operation: Any, *tiles: np.ndarray) -> np.ndarray:
        if operation not in self._compiled:
            if len(self._compiled) >= min(64, 1 + KEPT_PES // (self.width * self.height)):
                self._compiled.pop(next(iter(self._compiled)))
            self._compiled[operation] = compile_operations([operation], self.machine, self.width, self.height,
                                                           self.profile, self.dtype, True, self.threads)
        compiled = self._compiled[operation]
        simulation, start = compiled.simulation, self._clock.min()
        simulation.reset()
        simulation.parameters[:, 0] = (self._clock - start).reshape(-1)
        done = compiled.run([np.ascontiguousarray(tile) for tile in tiles])
        self._clock = start + done.clock
        self._traversals += simulation.link_traversals
        if isinstance(operation, Local):
            return done.values.reshape(operation.shaped_as(tiles[0]))
        if len(tiles) > 1:
            return done.values.reshape(operation.result_shape(self))
        return done.values.reshape(tiles[0].shape) if done.values.size == tiles[0].size else done.values

    @property
    def energy(self) -> int:
        """Link traversals so far, counted by the routers."""
        return self._traversals

    @energy.setter
    def energy(self, value: int) -> None:
        """The flow engine's own count is not kept."""

    @property
    def clock(self) -> np.ndarray:
        """Local clock of every PE in cycles, int64 (height, width)."""
        return self._clock.copy()

    @property
    def cycles(self) -> int:
        """Cycle at which the last PE is done."""
        return int(self._clock.max())

    @property
    def breakdown(self) -> dict[str, int]:
        """Cycles on the critical path by cause, as the flow engine sees them; the difference to it under ``words``."""
        seen = super().breakdown
        seen["words"] += self.cycles - sum(seen.values())
        return seen
