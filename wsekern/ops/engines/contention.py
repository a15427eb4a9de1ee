"""Clocks of one operation by the cycle engine, for a flow engine that is asked to be exact where words meet."""

from dataclasses import replace
from typing import Any

import numpy as np

from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops.engines.cycle import compile_operations
from wsekern.ops.engines.flow import FlowEngine
from wsekern.ops.schedule.scheduled import lower


def time_by_wavelet(engine: FlowEngine, before: FlowEngine, operation: Any) -> None:
    """Set the clocks of ``engine`` to those after ``operation`` moved every wavelet (of zeros), every PE starting at its
    clock in ``before``: on one line where all lines are alike, else on the whole grid."""
    axis = getattr(operation, "axis", None)
    if axis is None or not before.lines_are_alike:
        engine.set_clock(_run(engine, operation, before.clock))
        return
    start = before.line_clock(axis)
    engine.set_line(axis, _run(engine, replace(operation, axis="x"), start[None])[0])


def _run(engine: FlowEngine, operation: Any, start: np.ndarray) -> np.ndarray:
    dtype = getattr(operation, "dtype", None) or engine.dtype
    plain = replace(operation, dtype=None) if getattr(operation, "dtype", None) else operation
    height, width = start.shape
    compiled = compile_operations([plain], engine.machine, width, height, engine.profile, dtype, delayed=True)
    compiled.simulation.parameters[:, 0] = (start - start.min()).reshape(-1)
    compiled.arranged = None
    shapes = lower(plain, Timing(engine.machine, engine.profile, dtype), width, height).tiles()
    tiles = [np.zeros((height, width, *shape), NUMPY_DTYPES[dtype]) for shape in shapes]
    return start.min() + compiled.run(tiles).clock
