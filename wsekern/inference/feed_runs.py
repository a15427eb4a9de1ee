"""Feed-forward halves of layers, executed on columns of their own on both sides of those of the mixers."""

from collections.abc import Sequence

import numpy as np

from wsekern.inference.blocks.common import one_side
from wsekern.inference.clockwork import Clockwork
from wsekern.inference.layer import ARRIVED, FEEDS, arriving_steps
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
        self._ways: dict[tuple[str, int, int], Plan] = {}
        self._right = min(one_side(columns), columns.width - 1)
        """The column next to the border on the right, or the last one where there is none."""

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
        leaving = Repeated.of(values["x"]).full()
        self._arrive(self._runs, kind, tokens, {self._right: leaving[:, -1]}, there)
        self._runs.layer(kind, tokens, 1, (), there)
        main.engine.synchronise()
        main.engine.spend(**{cause: cycles - before[cause] for cause, cycles in engine.breakdown.items()})
        main.engine.link_traversals += engine.link_traversals - crossed
        main.engine.notes |= engine.notes
        for part, cycles in self._runs.clocks.cycles_by_part.items():
            main.cycles_by_part[part] += cycles - parts.get(part, 0)
        sums, left = Repeated.of(there["out"]).full(), one_side(self._runs.mapping) - 1
        sides = {0: sums[:, left]} | ({-1: sums[:, -1]} if left + 1 < sums.shape[1] else {})
        self._arrive(self._mixers, kind, tokens, sides, values)

    def _arrive(self, runs: LayerRuns, kind: int, tokens: int, sent: dict[int, np.ndarray], values: Values) -> None:
        """Behind :func:`arriving_steps` of a layer of a kind: ``sent`` over the border to columns of ``runs``, by these."""
        mapping, key = runs.mapping, (runs.mapping.columns, kind, tokens)
        if key not in self._ways:
            self._ways[key] = Plan.of(arriving_steps(mapping, runs.kinds[kind], tokens), ["x"])
        one = next(iter(sent.values()))
        tiles = np.zeros((mapping.height, mapping.width, one[0].size), one.dtype)
        for column, tile in sent.items():
            tiles[:, column] = tile.reshape(mapping.height, -1)
        values[ARRIVED] = tiles
        runs.execute(self._ways[key], values)
