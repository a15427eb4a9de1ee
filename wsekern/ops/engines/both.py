"""Both engines at once: every operation also runs on the cycle engine, and must give the same."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wsekern.errors import SimulationError
from wsekern.fabric.heatmap import link_use
from wsekern.ops.engines.alike import KeptLines
from wsekern.ops.engines.flow import FlowEngine
from wsekern.ops.engines.programs import run_on_cycle_engine
from wsekern.ops.operation import Operation
from wsekern.ops.repeated import Repeated

OnLinks = Callable[[Operation, np.ndarray], None]


class BothEngines(FlowEngine):
    """A flow engine whose operations run on the cycle engine too, from the values that the PEs hold; of lines of PEs that are
    alike one is stepped for all (:mod:`wsekern.ops.engines.alike`), unless ``on_links`` wants to see every link.

    Values are the cycle engine's; :class:`SimulationError` if the flow engine's differ by a bit. Clocks are the flow engine's;
    ``clock_difference`` is the largest difference in cycles between the engines, over all operations and PEs, each operation
    started on all PEs at once.
    """

    counters = ("operations_by_wavelet", "local_work", "clock_difference")
    on_links: OnLinks | None = None
    """Sees every operation that sends, and how many words left each router over its links (height, width)."""

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_lines": KeptLines(self.width, self.height)}

    def reset(self) -> None:
        """All clocks and counters to zero."""
        super().reset()
        self._lines = KeptLines(self.width, self.height)
        self.operations_by_wavelet = self.local_work = 0
        self.clock_difference = 0

    def run(self, operation: Operation, *tiles: np.ndarray) -> Any:
        """Run ``operation``; one with a wafer program runs on both engines."""
        values = super().run(operation, *tiles)
        return self._by_wavelet(operation, values, *tiles) if self._has_program(operation, tiles) else values

    def values(self, operation: Operation, *tiles: Repeated) -> Any:
        """The values of ``operation``; no clock moves."""
        values = super().values(operation, *tiles)
        if not self._has_program(operation, tiles):
            return values
        full = _each(lambda value: np.ascontiguousarray(value.full()), values)
        return _each(Repeated.of, self._by_wavelet(operation, full, *(tile.full() for tile in tiles)))

    def values_of(self, first: Operation, operation: Operation, *tiles: Repeated) -> Any:
        """The values of ``operation`` on those of ``first``, one after the other."""
        return self.values(operation, self.values(first, *tiles))

    def _has_program(self, operation: Operation, tiles: Sequence[np.ndarray | Repeated]) -> bool:
        """Whether the cycle engine has something to run."""
        return operation.sends or (operation.runs_alone and bool(tiles))

    def _by_wavelet(self, operation: Operation, values: Any, *tiles: np.ndarray) -> Any:
        precision, plain = operation.precision or self.precision, operation.in_engine_format().staged()
        tiles = tuple(np.ascontiguousarray(tile) for tile in tiles)
        found, clock = self._moved(operation, plain, precision, tiles)
        by_wavelet = _each(lambda found, value: found.reshape(value.shape), found, values)
        _each(lambda found, value: _check_same(operation, found, value), by_wavelet, values)
        alone = FlowEngine(self.machine, self.width, self.height, self.profile, precision)
        alone.time(plain)
        if operation.sends:
            self.operations_by_wavelet += 1
        else:
            self.local_work += 1
        self.clock_difference = max(self.clock_difference, int(np.abs(clock - alone.clock).max()))
        return by_wavelet

    def _moved(self, operation: Operation, plain: Operation, precision: str,
               tiles: Sequence[np.ndarray]) -> tuple[Any, np.ndarray]:
        """Values and clocks of the cycle engine, which runs ``plain`` for ``operation``."""
        line = self._lines.of(plain, self.timing_of(precision)) if self.on_links is None else None
        ended = line.run(np.zeros((self.height, self.width), np.int64), tiles, self.threads) if line is not None else None
        if ended is not None:
            return ended.values if len(ended.values) > 1 else ended.values[0], ended.clock
        done = run_on_cycle_engine(plain, self.machine, self.width, self.height, self.profile, precision, *tiles)
        if operation.sends and self.on_links is not None:
            self.on_links(operation, link_use(done.simulation.fabric))
        return done.values, done.clock


def _each(function: Callable[..., Any], *values: Any) -> Any:
    """``function`` of a value, or of each of several in a tuple."""
    return tuple(map(function, *values)) if isinstance(values[0], tuple) else function(*values)


def _check_same(operation: Operation, by_wavelet: np.ndarray, values: np.ndarray) -> None:
    """Raise :class:`SimulationError` where the engines' values differ by a bit."""
    if by_wavelet.tobytes() != values.tobytes():
        where = np.argwhere(by_wavelet != values)
        raise SimulationError(f"{operation}: the engines' values differ, first on PE (y, x, ...) = "
                              f"{tuple(int(i) for i in where[0]) if len(where) else '(signs of zeros)'}")
