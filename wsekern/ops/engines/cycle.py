"""The cycle engine: operations as PE programs, wavelet by wavelet, each PE starting at its own clock."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wsekern.errors import InputError
from wsekern.machine import Machine
from wsekern.ops.engines.alike import Ended, KeptLines
from wsekern.ops.engines.engine import Engine
from wsekern.ops.engines.flow import FlowEngine
from wsekern.ops.engines.programs import Compiled, compile_operations
from wsekern.ops.operation import Operation, check_operands
from wsekern.ops.repeated import Repeated

KEPT_PES = 2_000_000
"""PEs of compiled operations that a cycle engine keeps, at roughly 500 B each."""


class CycleEngine(Engine):
    """An engine that moves every wavelet: for proof, and where links are shared.

    Operations that send anything run wavelet by wavelet, those of a PE on its own tiles instruction by instruction, every PE
    starting at its own clock. Lines of PEs that are alike and begin alike are stepped once (:mod:`wsekern.ops.engines.alike`).
    A flow engine beside it tells the causes of cycles and times work that has no program.
    """

    def __init__(self, machine: Machine | str, width: int, height: int, profile: str = "silicon", precision: str = "fp16",
                 threads: int = 1) -> None:
        super().__init__(machine, width, height, profile, precision, threads)
        self._flow = FlowEngine(self.machine, width, height, profile, precision, threads)
        self.reset()

    def reset(self) -> None:
        """All clocks and counters to zero."""
        self._flow.reset()
        self._clock = np.zeros((self.height, self.width), np.int64)
        self._compiled: dict[Operation, Compiled] = {}
        self._lines = KeptLines(self.width, self.height)
        self.link_traversals = 0
        self.notes = {}

    def run(self, operation: Operation, *tiles: np.ndarray) -> Any:
        """Run ``operation`` on ``tiles``: its values, and the clocks move on."""
        tiles = tuple(map(np.asarray, tiles))
        if operation.sends:
            self._flow.time(operation)
            return tiles[0].copy() if operation.elements == 0 else self._run_program(operation, *tiles)
        if operation.runs_alone and tiles:
            check_operands(str(operation), operation.tiles(), tiles)
            self._flow.time(operation)
            return self._run_program(operation, *tiles)
        return self._by_clocks_alone(operation, lambda: self._flow.run(operation, *map(np.ascontiguousarray, tiles)))

    def values(self, operation: Operation, *tiles: Repeated) -> Any:
        """The values of ``operation``; the clocks move on, as words do."""
        found = self.run(operation, *(tile.full() for tile in tiles))
        return tuple(map(Repeated.of, found)) if isinstance(found, tuple) else Repeated.of(found)

    def time(self, operation: Operation) -> None:
        """Of work that sends nothing; what wavelets do cannot be told without running them."""
        if operation.sends:
            raise InputError("the cycle engine runs operations with values only: use the flow engine for time alone")
        self._by_clocks_alone(operation, lambda: self._flow.time(operation))

    def _by_clocks_alone(self, operation: Operation, run: Callable[[], Any]) -> Any:
        """Add what the flow engine's clocks move by to each clock; all by the same, as nothing is sent."""
        before = self._flow.clock
        values = run()
        spent = self._flow.clock - before
        if np.any(spent != spent[0, 0]):
            raise InputError(f"{type(operation).__name__} has no program for the cycle engine: use the flow engine")
        self._clock += spent[0, 0]
        return values

    def _run_program(self, operation: Operation, *tiles: np.ndarray) -> Any:
        line = self._lines.of(operation, self.timing)
        ended = (line.run(self._clock, tiles, self.threads) if line else None) or self._run_on_all(operation, tiles)
        self._clock = ended.clock
        self.link_traversals += ended.link_traversals
        if len(ended.values) > 1:
            return tuple(values.reshape(tile.shape) for values, tile in zip(ended.values, tiles, strict=True))
        return ended.values[0].reshape(operation.result_shape(self._flow, *tiles))

    def _run_on_all(self, operation: Operation, tiles: Sequence[np.ndarray]) -> Ended:
        """Every PE by itself."""
        compiled = self._compile(operation)
        simulation, start = compiled.simulation, self._clock.min()
        simulation.reset()
        simulation.parameters[:, 0] = (self._clock - start).reshape(-1)
        done = compiled.run([np.ascontiguousarray(tile) for tile in tiles])
        values = done.values if isinstance(done.values, tuple) else (done.values,)
        return Ended(values, start + done.clock, simulation.link_traversals)

    def _compile(self, operation: Operation) -> Compiled:
        """The program of an operation; kept."""
        if operation not in self._compiled:
            if len(self._compiled) >= min(64, 1 + KEPT_PES // (self.width * self.height)):
                self._compiled.pop(next(iter(self._compiled)))
            self._compiled[operation] = compile_operations([operation], self.machine, self.width, self.height,
                                                           self.profile, self.precision, True, self.threads)
        return self._compiled[operation]

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
        """Cycles on the critical path by cause, as the flow engine sees them; the difference to it under ``stream``."""
        seen = self._flow.breakdown
        seen["stream"] += self.cycles - sum(seen.values())
        return seen
