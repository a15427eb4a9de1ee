"""A transformer executed on a simulated wafer: every value on every PE, every clock, operation by operation.

The model of :class:`WaferModel` is data: lists of steps (:mod:`wsekern.inference.layer`), executed one step after the other.
"""

from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np

from wsekern.errors import InputError
from wsekern.inference.executable import check_executable
from wsekern.inference.layer import empty_cache, layer_steps, layer_tables, layer_tiles
from wsekern.inference.mapping import Mapping
from wsekern.inference.outer import embedding_steps, head_steps, outer_tiles
from wsekern.inference.steps import Steps, Values, View, last_uses, refuse_timed_only
from wsekern.machine import Machine
from wsekern.number_formats import widen
from wsekern.ops import FlowEngine
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Block
from wsekern.workload.weights import Weights


class WaferModel:
    """A decoder on a rectangle of a wafer, with what its layers keep between tokens."""

    def __init__(self, config: ModelConfig, weights: Weights, machine: Machine, mapping: Mapping,
                 profile: str = "silicon", threads: int = 1, engine: type[FlowEngine] = FlowEngine):
        check_executable(config)
        mapping.check(machine)
        for block, _ in config.kinds:
            refuse_timed_only(layer_steps(mapping, block, 1, 1), config.name)
        self.config, self.mapping = config, mapping
        self.engine = engine(machine, mapping.width, mapping.height, profile=profile, precision=mapping.precision,
                             threads=threads)
        self._model = outer_tiles(mapping, weights.outer)  # first: the largest matrices, while there is nothing beside them
        self._layers = [layer_tiles(mapping, block, weights.block(index), index) for index, block in enumerate(config.blocks)]
        self.cycles_by_part: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Forget the sequence and set all clocks to zero."""
        self._caches = [empty_cache(self.mapping, block) for block in self.config.blocks]
        self.length = 0
        self.engine.reset()
        self.cycles_by_part.clear()

    def prefill(self, tokens: list[int], on_chunk: Callable[[int], None] | None = None) -> np.ndarray:
        """Feed a prompt in chunks (``on_chunk`` sees the length of each); return the logits (vocab,) after its last token."""
        for start in range(0, len(tokens), self.mapping.chunk):
            chunk = tokens[start:start + self.mapping.chunk]
            values = self._forward(chunk)
            if on_chunk is not None:
                on_chunk(len(chunk))
        return self._logits(values)

    def decode(self, token: int) -> np.ndarray:
        """Feed one token; return the logits (vocab,) that follow it."""
        return self._logits(self._forward([token]))

    # -- one forward pass ---------------------------------------------------------------------------------------------
    def _forward(self, tokens: list[int]) -> Values:
        """Residual stream ``x`` (height, width, tokens, hidden) after the last layer."""
        m, total = self.mapping, self.length + len(tokens)
        if total > m.context:
            raise InputError(f"{total} tokens do not fit the KV cache of {m.context} tokens; "
                             "use a shorter prompt or a mapping with more context")
        values = self._execute(embedding_steps(m, tokens, self.length), dict(self._model), ["x"])
        slots = -(-total // m.height)
        plans: dict[Block, tuple[Steps, Values]] = {}
        for block, weights, cache in zip(self.config.blocks, self._layers, self._caches, strict=True):
            if block not in plans:
                plans[block] = (layer_steps(m, block, len(tokens), slots),
                                layer_tables(m, block, self.length, len(tokens), slots) | self._positions(len(tokens)))
            steps, tables = plans[block]
            values |= {**weights, **cache, **tables}
            self._execute(steps, values, ["x", *cache])
            cache.update({name: values.pop(name) for name in cache})
        self.length = total
        return values

    def _execute(self, steps: Steps, values: Values, kept: Iterable[str]) -> Values:
        """Execute ``steps`` on ``values``, to which results are added; what is not ``kept`` is dropped after its last use."""
        for step, unused in last_uses(steps, kept):
            if isinstance(step, View):
                step.run(values)
            else:
                before = self.engine.cycles
                step.time(self.engine)
                step.run(self.engine, values)
                self.cycles_by_part[step.part] += self.engine.cycles - before
            for name in unused:
                del values[name]
        return values

    def _logits(self, values: Values) -> np.ndarray:
        """Logits (vocab,) of the last token of ``x``, read from the first row of PEs by the host."""
        values |= self._model
        logits = self._execute(head_steps(self.mapping), values, ["logits"])["logits"].full()
        return widen(logits[0, :, 0].reshape(-1)[:self.config.vocab], self.mapping.precision)

    def _positions(self, tokens: int) -> Values:
        """Positions (tokens,) of a chunk."""
        return {"table.positions": np.arange(self.length, self.length + tokens)}
