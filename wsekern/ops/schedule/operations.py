"""Operations that are given by a schedule: values, clocks, routes and programs all follow from it."""

from abc import abstractmethod
from functools import lru_cache

import numpy as np

from wsekern.machine.timing import Timing
from wsekern.ops.operation import Axis, Clocks, Operation, WaferProgram, check_flat_tile
from wsekern.ops.schedule.clocks import path_results, run_schedule, schedule_values
from wsekern.ops.schedule.lowering import LoweredLine, LoweredPlane
from wsekern.ops.schedule.schedule import Schedule


class LineScheduled(Operation):
    """Base class along lines: write one schedule; values, clocks and programs follow from it."""

    axis: Axis
    elements: int
    sends = True

    @abstractmethod
    def write(self, length: int, timing: Timing) -> Schedule:
        """The schedule on a line of ``length`` PEs."""

    def schedule(self, length: int, timing: Timing) -> Schedule:
        """The schedule on a line of ``length`` PEs; kept."""
        return _schedule(self, length, timing)

    def schedule_on(self, engine: Clocks) -> Schedule:
        """The schedule on the lines of an engine."""
        return _schedule(self, engine.length(self.axis), engine.timing)

    def time(self, engine: Clocks) -> None:
        """Advance the clocks of ``engine`` by this operation."""
        if self.elements:
            schedule = self.schedule_on(engine)
            engine.on_lines(self.axis, lambda line: run_schedule(self, engine, schedule, line))
            engine.link_traversals += schedule.link_traversals * engine.lines(self.axis)

    def flow(self, engine: Clocks, tile: np.ndarray) -> np.ndarray:
        """Tiles (height, width, ...) -> what each PE ends with; the same shape where it is as large."""
        schedule = self.schedule_on(engine)
        tile = check_flat_tile(engine, tile, schedule.elements, engine.dtype)
        self.time(engine)
        return schedule_values(schedule, tile, self.axis, engine.dtype, engine.threads)

    def link_traversals(self, engine: Clocks) -> int:
        """Wavelets times links of one run on the whole grid."""
        return self.schedule_on(engine).link_traversals * engine.lines(self.axis) if self.elements else 0

    def lowered(self, timing: Timing, width: int, height: int) -> WaferProgram:
        """What the cycle engine runs on a grid."""
        return _lowered(self, timing, height if self.axis == "y" else width)

    def result_shape(self, engine: Clocks, *tiles: np.ndarray) -> tuple[int, ...]:
        """Shape of the values: the tile's where they are as many elements."""
        schedule = self.schedule_on(engine)
        same = schedule.result_elements == schedule.elements
        return tiles[0].shape if same else (*tiles[0].shape[:2], schedule.result_elements)


class PlaneScheduled(Operation):
    """Base class over a whole grid: write one schedule; values, clocks and programs follow from it."""

    axis = None
    sends = True

    @abstractmethod
    def write(self, width: int, height: int, timing: Timing) -> Schedule:
        """The schedule on a grid, whose PEs count row by row."""

    def schedule(self, width: int, height: int, timing: Timing) -> Schedule:
        """The schedule on a grid; kept."""
        return _plane(self, width, height, timing)

    def time(self, engine: Clocks) -> None:
        """Advance the clocks of ``engine`` by this operation."""
        if self.elements != 0:
            schedule = self.schedule(engine.width, engine.height, engine.timing)
            grid = engine.grid()
            run_schedule(self, engine, schedule, grid.reshape(-1, grid.shape[2]))
            engine.link_traversals += schedule.link_traversals

    def flow(self, engine: Clocks, tile: np.ndarray) -> np.ndarray:
        """Tiles (height, width, ...) -> what each PE ends with."""
        schedule = self.schedule(engine.width, engine.height, engine.timing)
        tile = check_flat_tile(engine, tile, schedule.elements, engine.dtype)
        self.time(engine)
        return path_results(schedule, tile, np.arange(schedule.length)[None], engine.dtype, engine.threads)

    def link_traversals(self, engine: Clocks) -> int:
        """Wavelets times links of one run on the whole grid."""
        schedule = self.schedule(engine.width, engine.height, engine.timing)
        return schedule.link_traversals if self.elements != 0 else 0

    def lowered(self, timing: Timing, width: int, height: int) -> WaferProgram:
        """What the cycle engine runs on a grid."""
        return _lowered_plane(self, timing, width, height)


@lru_cache(maxsize=16)
def _plane(operation: PlaneScheduled, width: int, height: int, timing: Timing) -> Schedule:
    return operation.write(width, height, timing)


@lru_cache(maxsize=16)
def _lowered_plane(operation: PlaneScheduled, timing: Timing, width: int, height: int) -> LoweredPlane:
    return LoweredPlane(operation.schedule(width, height, timing), operation)


@lru_cache(maxsize=256)
def _schedule(operation: LineScheduled, length: int, timing: Timing) -> Schedule:
    return operation.write(length, timing)


@lru_cache(maxsize=64)
def _lowered(operation: LineScheduled, timing: Timing, length: int) -> LoweredLine:
    return LoweredLine(operation.schedule(length, timing), operation.axis)
