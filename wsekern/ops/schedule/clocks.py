"""Clocks and values of a schedule: what the kernels compute of it."""

import numpy as np

from wsekern.errors import raise_for_status
from wsekern.ops._timing import HELD_FLAG, SHALLOW_FLAG, run_steps
from wsekern.ops._values import path_values
from wsekern.ops.operation import Axis, Clocks, Operation
from wsekern.ops.schedule.meetings import Meetings
from wsekern.ops.schedule.schedule import Schedule
from wsekern.ops.schedule.tables import clock_tables, value_tables


def run_schedule(operation: Operation, engine: Clocks, schedule: Schedule, line: np.ndarray) -> None:
    """Advance the clocks (PEs, causes) by the ``schedule`` of an operation, and note why they are bounds where they are."""
    times, waits, flags = schedule_times(schedule, line)
    meetings = schedule.derived(Meetings)
    engine.happened(operation, flags & ~HELD_FLAG | SHALLOW_FLAG * meetings.held_in_chains(waits))
    engine.note(operation, meetings.note(times, waits))


def schedule_times(schedule: Schedule, line: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Advance the clocks (PEs, causes) by ``schedule``; the first and the last cycle in which every message is sent, how
    long the first word of every message that is taken waits, and what happened (flags)."""
    steps, takes, costs = schedule.derived(clock_tables)
    line[:, 3] += schedule.timing.latency(schedule.call, schedule.timing.latency("call"))
    times, waits = np.zeros((schedule.message_count, 2), np.int64), np.zeros(len(takes), np.int64)
    flags = run_steps(line, steps, takes, times, waits, costs)
    return times, waits, flags


def schedule_values(schedule: Schedule, tile: np.ndarray, axis: Axis, precision: str, threads: int) -> np.ndarray:
    """What every PE ends with, for all lines along ``axis``."""
    height, width = tile.shape[:2]
    pes = np.arange(height * width).reshape(height, width)
    return path_results(schedule, tile, pes.T if axis == "y" else pes, precision, threads)


def path_results(schedule: Schedule, tile: np.ndarray, paths: np.ndarray, precision: str, threads: int) -> np.ndarray:
    """What every PE ends with; ``paths`` (paths, PEs of a path) are the PEs of the grid, counted row by row."""
    same = schedule.result_elements == schedule.elements
    out = np.empty_like(tile) if same else np.empty((*tile.shape[:2], schedule.result_elements), tile.dtype)
    moves, arena, reserved, result = schedule.derived(value_tables)
    raise_for_status(path_values(precision, np.ascontiguousarray(paths, np.int64), moves, arena, reserved, schedule.elements,
                                 schedule.result_elements, result, tile.reshape(-1).view(np.uint8),
                                 out.reshape(-1).view(np.uint8), threads))
    return out
