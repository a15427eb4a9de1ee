"""How fast programs run: PEs and the cycles that they took, by the seconds of CPU that it took to step them."""

import os
from collections.abc import Callable
from time import process_time
from typing import Any

from wsekern.output import ProgressBar

PATIENCE = 2.0
"""Seconds after which somebody who watches is told that a run goes on."""
ASKED = "WSEKERN_CSL_SPEED"
"""Variable of the environment: every run says at its end how fast it was."""


class Speed:
    """Runs a simulation by ``run``, and looks at the clock; ``pes`` have programs."""

    def __init__(self, simulation: Any, pes: int, run: Callable[[], Any]) -> None:
        self._simulation, self._run, self.pes = simulation, run, pes
        self.cycles, self.seconds = 0, 0.0

    def run(self) -> None:
        """Run until nothing moves any more, or an error ends it."""
        cycle, began = self._simulation.cycle, process_time()
        try:
            with ProgressBar(f"stepping {self.pes:,} PEs", after=PATIENCE):
                self._run()
        finally:
            self.seconds += process_time() - began
            self.cycles += self._simulation.cycle - cycle

    def __str__(self) -> str:
        rate = self.pes * self.cycles / self.seconds / 1e6 if self.seconds else 0.0
        return f"{self.pes:,} PEs x {self.cycles:,} cycles in {self.seconds:.2f} s of CPU, {rate:,.1f} M PE-cycles/s"

    def numbers(self, layout: Any) -> dict[str, int | float | str]:
        """The same for ``sim_stats.json``, by the vendor's names."""
        cycles, seconds = self._simulation.cycle, max(self.seconds, 1e-9)
        return {"cycle_count": cycles, "cycles_per_second": cycles / seconds, "fabric_x": layout.width,
                "fabric_y": layout.height, "hwtile_count": self.pes, "sim_stop_cause": "Stop due to user request",
                "sim_time": self.seconds, "threads": 1, "tile_count": layout.width * layout.height,
                "tile_cycles_per_second": self.pes * cycles / seconds, "total_time": self.seconds}

    def tell(self) -> None:
        """Print it, where that was asked for."""
        if os.environ.get(ASKED):
            print(f"wsekern: {self}")
