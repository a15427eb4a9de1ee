"""Feed-forward halves of layers, executed on columns of their own beside those of the mixers."""

from collections.abc import Sequence

import numpy as np

from wsekern.inference.clockwork import Clockwork
from wsekern.inference.halves import ARRIVED, arriving_steps
from wsekern.inference.layer import FEEDS
from wsekern.inference.layer_runs import LayerRuns, Plan
from wsekern.inference.mapping import Mapping
from wsekern.inference.steps import Values
from wsekern.ops import FlowEngine
from wsekern.ops.repeated import Repeated
from wsekern.workload.decoder import Block


class FeedRuns:
    """Halves of ``kinds`` on the columns ``columns``, which take turns with those of ``mixers``: while one half works, the
    clocks of the other stand still, and all of its PEs go on at once."""

    def __init__(self, mixers: LayerRuns, columns: Mapping, kinds: Sequence[Block], engine: FlowEngine) -> None:
        self._mixers, self._runs = mixers, LayerRuns(columns, kinds, Clockwork(engine))
        self._ways: dict[tuple[int, int], Plan] = {}

    @property
    def engine(self) -> FlowEngine:
        """That of the columns."""
        return self._runs.clocks.engine

    def reset(self) -> None:
        """All clocks to zero."""
        self._runs.clocks.reset()

    def layer(self, kind: int, tokens: int, values: Values) -> None:
        """From ``x`` on the columns of mixers to ``x`` there behind the feed-forward half of a layer."""
        engine, main = self.engine, self._mixers.clocks
        there = {name.removeprefix(FEEDS): tile for name, tile in values.items() if name.startswith(FEEDS)}
        engine.synchronise()
        before, crossed, parts = dict(engine.breakdown), engine.link_traversals, dict(self._runs.clocks.cycles_by_part)
        self._arrive(self._runs, tokens, values["x"], -1, there)
        self._runs.layer(kind, tokens, 1, (), there)
        main.engine.synchronise()
        main.engine.spend(**{cause: cycles - before[cause] for cause, cycles in engine.breakdown.items()})
        main.engine.link_traversals += engine.link_traversals - crossed
        main.engine.notes |= engine.notes
        for part, cycles in self._runs.clocks.cycles_by_part.items():
            main.cycles_by_part[part] += cycles - parts.get(part, 0)
        self._arrive(self._mixers, tokens, there["x"], 0, values)

    def _arrive(self, runs: LayerRuns, tokens: int, x: np.ndarray | Repeated, border: int, values: Values) -> None:
        """``x`` on all columns of ``runs`` from the column ``border`` of the other half."""
        key = runs.mapping.width, tokens
        if key not in self._ways:
            self._ways[key] = Plan.of(arriving_steps(runs.mapping, tokens), ["x"])
        sent = Repeated.of(x).full()[:, border]
        tiles = np.zeros((len(sent), runs.mapping.width, sent[0].size), sent.dtype)
        tiles[:, 0] = sent.reshape(len(sent), -1)
        values[ARRIVED] = tiles
        runs.execute(self._ways[key], values)
