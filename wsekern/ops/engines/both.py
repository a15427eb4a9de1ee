"""Both engines at once: every operation also runs on the cycle engine, and must give the same."""

from dataclasses import replace
from typing import Any

import numpy as np

from wsekern.errors import SimulationError
from wsekern.ops.engines.cycle import run_on_cycle_engine, runs_alone
from wsekern.ops.engines.flow import FlowEngine, Operation


class BothEngines(FlowEngine):
    """A flow engine whose operations run on the cycle engine too, from the values that the PEs hold.

    Values are the cycle engine's; :class:`SimulationError` if the flow engine's differ by a bit. Clocks are the flow engine's;
    ``clock_difference`` is the largest difference in cycles between the engines, over all operations and PEs, each operation
    started on all PEs at once.
    """

    def reset(self) -> None:
        """All clocks and counters to zero."""
        super().reset()
        self.operations_by_wavelet = self.local_work = 0
        self.clock_difference = 0

    def run(self, operation: Operation, *tiles: np.ndarray) -> Any:
        """Run ``operation``; one with a wafer program runs on both engines."""
        values = super().run(operation, *tiles)
        if not getattr(operation, "colors", 0) and not (runs_alone(operation) and tiles):
            return values
        return self._by_wavelet(operation, values, *tiles)

    def _by_wavelet(self, operation: Any, values: np.ndarray, *tiles: np.ndarray) -> np.ndarray:
        dtype = getattr(operation, "dtype", None) or self.dtype
        plain = replace(operation, dtype=None) if getattr(operation, "dtype", None) else operation
        flat = [np.ascontiguousarray(tile).reshape(self.height, self.width, -1) for tile in tiles]
        done = run_on_cycle_engine(plain, self.machine, self.width, self.height, self.profile, dtype, *flat)
        found = done.values.reshape(values.shape)
        if found.tobytes() != values.tobytes():
            where = np.argwhere(found != values)
            raise SimulationError(f"{operation}: the engines' values differ, first on PE (y, x, ...) = "
                                  f"{tuple(int(i) for i in where[0]) if len(where) else '(signs of zeros)'}")
        alone = FlowEngine(self.machine, self.width, self.height, self.profile, dtype)
        alone.time(plain)
        if runs_alone(operation):
            self.local_work += 1
        else:
            self.operations_by_wavelet += 1
        self.clock_difference = max(self.clock_difference, int(np.abs(done.clock - alone.clock).max()))
        return found
