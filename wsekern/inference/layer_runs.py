"""Layers executed on one grid: lists of steps of each kind of layer, listed once and run step by step."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from wsekern.inference.blocks.expert_crossing import CROSSED, returned
from wsekern.inference.choice import at_choice, load_of
from wsekern.inference.clockwork import Clockwork
from wsekern.inference.layer import ELSEWHERE, layer_steps, steps_elsewhere
from wsekern.inference.mapping import Mapping
from wsekern.inference.steps import LayerStep, Pair, Steps, Uses, Values, View, last_uses, paired
from wsekern.workload.decoder import Block


@dataclass(frozen=True, eq=False)
class Plan:
    """A list of steps, each with the names of the values that can be dropped behind it."""

    steps: Steps
    uses: Uses

    @cached_property
    def pairs(self) -> list[tuple[LayerStep | View | Pair, tuple[str, ...]]]:
        """The same, each two steps of which the second alone reads what the first makes as one."""
        return paired(self.uses)

    @classmethod
    def of(cls, steps: Steps, kept: Iterable[str]) -> "Plan":
        """``steps``, of whose values those of ``kept`` are wanted."""
        return cls(steps, last_uses(steps, kept))


class LayerRuns:
    """Layers of ``kinds`` on the grid ``mapping``, whose clocks ``clocks`` moves on."""

    def __init__(self, mapping: Mapping, kinds: Sequence[Block], clocks: Clockwork) -> None:
        self.mapping, self.kinds, self.clocks = mapping, kinds, clocks
        self._plans: dict[tuple[int, int, int, int], tuple[Plan, View | None]] = {}

    def layer(self, kind: int, tokens: int, slots: int, cache: Iterable[str], values: Values) -> None:
        """Execute a layer of a kind; behind the choice of experts with the steps for how many lie on the fullest block."""
        plan, choice = self._plan(kind, tokens, slots, cache)
        self.execute(plan, values)
        if choice is not None:
            load = load_of(choice, values)
            self._run_elsewhere(kind, tokens, load, values)
            self.execute(self._plan(kind, tokens, slots, cache, load)[0], values)

    def _run_elsewhere(self, kind: int, tokens: int, load: int, values: Values) -> None:
        """Values of the experts on other wafers, for which the steps of the first one wait."""
        mapping = replace(self.mapping, expert_load=load)
        for wafer, steps in steps_elsewhere(mapping, self.kinds[kind], tokens):
            begin = f"{ELSEWHERE}{wafer}."
            there = {name.removeprefix(begin): tile for name, tile in values.items() if name.startswith(begin)}
            there[CROSSED] = values[CROSSED]
            for step in steps:
                if isinstance(step, View):
                    step.run(there)
                else:
                    step.compute(self.clocks.engine, there)
            values[returned(wafer)] = there["out"]

    def _plan(self, kind: int, tokens: int, slots: int, cache: Iterable[str], load: int = 0) -> tuple[Plan, View | None]:
        """The steps of a layer of a kind, listed once, up to the choice of experts, if there is one, and what deals them; with
        the ``load`` that was found, the steps from there on."""
        key = (kind, tokens, slots, load)
        if key not in self._plans:
            steps = layer_steps(replace(self.mapping, expert_load=load), self.kinds[kind], tokens, slots)
            left = "out" if self.mapping.columns == "feeds" else "x"
            plan, (number, choice) = Plan.of(steps, [left, CROSSED, *cache]), at_choice(steps)
            part = slice(number, None) if load else slice(number)
            self._plans[key] = Plan(steps[part], plan.uses[part]), choice
        return self._plans[key]

    def execute(self, plan: Plan, values: Values, comes_again: bool = True) -> Values:
        """Execute ``plan`` on ``values``, to which results are added; what is not kept is dropped after its last use."""
        self.clocks.advance(plan.steps, comes_again)
        for step, unused in plan.uses if self.clocks.engine.values_take_time else plan.pairs:
            if isinstance(step, View):
                step.run(values)
            else:
                self.clocks.run(step, values)
            for name in unused:
                del values[name]
        return values
