"""How soon a region of a size could answer at best: what no candidate passes."""

from functools import cached_property, lru_cache
from typing import Any

from wsekern.machine import Machine
from wsekern.machine.machine import sides_of
from wsekern.machine.timing import Timing
from wsekern.planning.breakpoints import breakpoints, first_from, widths_of
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import Request


class Limits:
    """Of ``config`` before the requests of ``mix``, each with its share; ``load`` as of a search."""

    def __init__(self, config: ModelConfig, machine: Machine, mix: tuple[tuple[Request, float], ...],
                 load: dict[str, Any]) -> None:
        self.across, self.down = _sides(config, *sides_of(machine))
        timing = Timing(machine, load["profile"], mix[0][0].precision)
        self._rate, self._hop, self._kinds = float(timing.rate(timing.instruction("fma"))), timing.hop, config.kinds
        self._hidden, speculation = config.hidden, load.get("speculation")
        passes = sum(share * (request.output - 1) for request, share in mix) / sum(share for _, share in mix)
        self._scale = passes / (speculation.kept if speculation else 1.0) / float(machine.clock)
        self._known: dict[tuple[int, int], float] = {}

    @cached_property
    def _work(self) -> list[tuple[int, float, int]]:
        """Of each kind of layer: how many there are, cycles of its products on one PE, and sums over a row and a column."""
        return [(count, block.active_parameters(self._hidden) / self._rate, bool(block.mixers) + (block.feed is not None))
                for block, count in self._kinds]

    def seconds(self, width: int, height: int) -> float:
        """Of the mean request at best, on the next larger size at which vectors are cut otherwise: a token multiplies all
        weights in use once, and every part of a layer sums over a row and over a column, half of it there and half back. As a
        lone user has it, no software, no prompt."""
        wide, high = self.across[first_from(self.across, width)], self.down[first_from(self.down, height)]
        found = self._known.get((wide, high))
        if found is None:
            cycles = sum(count * (products / (wide * high) + sums * self._hop * (wide + high))
                         for count, products, sums in self._work)
            found = self._known[wide, high] = cycles * self._scale
        return found


@lru_cache(maxsize=256)
def _sides(config: ModelConfig, width: int, height: int) -> tuple[list[int], list[int]]:
    """Widths and heights that cut some vector into other pieces than one PE less does."""
    return breakpoints(width, widths_of(config)), breakpoints(height, [config.hidden])
