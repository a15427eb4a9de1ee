"""What all engines are: a grid of PEs with local clocks, on which operations run one after the other."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from wsekern.errors import InputError
from wsekern.machine import Machine, load_machine
from wsekern.machine.timing import Timing
from wsekern.ops.operation import Operation
from wsekern.ops.repeated import Repeated
from wsekern.shown import Shown

MAX_THREADS = 1024
"""Sanity limit."""


class Engine(Shown, ABC):
    """A ``width`` x ``height`` grid of PEs of a machine. Every PE has a local clock, and each operation starts on each PE when
    that PE is ready.

    Values are numpy arrays of shape (height, width, ...): float32 for ``fp32``, float16 for ``fp16`` and ``fp16_fp32``,
    uint16 for ``bf16``. Results do not depend on ``threads``.
    """

    link_traversals: int
    """Wavelets times links so far, over the whole grid."""
    values_take_time: ClassVar[bool] = True
    """Whether clocks move with :meth:`values`, which are found by moving words, and need no :meth:`time` beside."""
    notes: dict[str, str]
    """Operations whose clocks are bounds rather than exact, with the reason."""

    def __init__(self, machine: Machine | str, width: int, height: int, profile: str = "silicon", precision: str = "fp16",
                 threads: int = 1) -> None:
        self.machine = load_machine(machine)
        self.machine.check_grid(width, height)
        if not 1 <= threads <= MAX_THREADS:
            raise InputError(f"threads is {threads}: expected 1 to {MAX_THREADS}")
        self.width, self.height, self.profile, self.precision, self.threads = width, height, profile, precision, threads
        self.timing = Timing(self.machine, profile, precision)

    def _facts(self) -> dict[str, Any]:
        return {"machine": self.machine.name, "width": self.width, "height": self.height, "profile": self.profile,
                "precision": self.precision, "cycles": self.cycles, "link_traversals": int(self.link_traversals),
                "notes": self.notes}

    @abstractmethod
    def reset(self) -> None:
        """All clocks and counters to zero."""

    @abstractmethod
    def run(self, operation: Operation, *tiles: np.ndarray) -> Any:
        """Run ``operation`` on ``tiles`` (height, width, ...): its values, and the clocks move on."""

    def values(self, operation: Operation, *tiles: Repeated) -> Any:
        """The values of ``operation``: a :class:`Repeated`, or a tuple of several results."""
        found = self.run(operation, *(np.ascontiguousarray(tile.full()) for tile in tiles))
        return tuple(map(Repeated.of, found)) if isinstance(found, tuple) else Repeated.of(found)

    def values_of(self, first: Operation, operation: Operation, *tiles: Repeated) -> Any:
        """The values of ``operation`` on those of ``first``, which nothing else reads."""
        return self.values(operation, self.values(first, *tiles))

    @abstractmethod
    def time(self, operation: Operation) -> None:
        """Move the clocks on by ``operation``, without values."""

    @property
    @abstractmethod
    def clock(self) -> np.ndarray:
        """Local clock of every PE in cycles, int64 (height, width)."""

    @property
    @abstractmethod
    def cycles(self) -> int:
        """Cycle at which the last PE is done."""

    @property
    @abstractmethod
    def breakdown(self) -> dict[str, int]:
        """Cycles on the critical path of the last PE to finish, by cause; they add up to :attr:`cycles`."""
