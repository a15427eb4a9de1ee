"""Clocks of one operation by the cycle engine, for a flow engine that is asked to be exact where words meet."""

from dataclasses import replace

import numpy as np

from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops.engines.programs import compile_operations
from wsekern.ops.operation import ELEMENT_TYPES, Operation


def clocks_by_wavelet(operation: Operation, timing: Timing, start: np.ndarray) -> np.ndarray:
    """Clocks (height, width) after ``operation`` moved every wavelet (of zeros), every PE starting at its clock in ``start``
    (height, width); ``timing`` is the engine's, whose number format counts where the operation has none of its own."""
    timing = replace(timing, precision=operation.precision or timing.precision)
    plain, (height, width) = operation.in_engine_format(), start.shape
    compiled = compile_operations([plain], timing.machine, width, height, timing.profile, timing.precision, delayed=True)
    compiled.simulation.parameters[:, 0] = (start - start.min()).reshape(-1)
    compiled.arranged = None
    program = plain.lowered(timing, width, height)
    types = program.tile_types(ELEMENT_TYPES[timing.precision])
    tiles = [np.zeros((height, width, *shape), NUMPY_DTYPES[type]) for shape, type in zip(program.tiles(), types, strict=True)]
    return start.min() + compiled.run(tiles).clock
