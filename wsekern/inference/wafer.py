"""A transformer executed on a simulated wafer: every value on every PE, every clock, operation by operation.

The model of :class:`WaferModel` is data: lists of steps (:mod:`wsekern.inference.layer`), executed one step after the other.
"""

from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np

from wsekern.errors import InputError
from wsekern.inference.layer import embedding_steps, head_steps, layer_cache, layer_steps, layer_tiles
from wsekern.inference.mapping import Mapping
from wsekern.inference.steps import Steps, Values, View, last_uses, refuse_timed_only
from wsekern.inference.weights import model_tiles
from wsekern.machine import Machine
from wsekern.number_formats import NUMPY_DTYPES, narrow, widen
from wsekern.ops import FlowEngine
from wsekern.workload.checkpoint import Weights
from wsekern.workload.config import ModelConfig
from wsekern.workload.rope import rotation


class WaferModel:
    """A Llama-family model on a rectangle of a wafer, with its key-value cache."""

    def __init__(self, config: ModelConfig, weights: Weights, machine: Machine, mapping: Mapping,
                 profile: str = "silicon", threads: int = 1, engine: type[FlowEngine] = FlowEngine):
        mapping.check(machine)
        refuse_timed_only(layer_steps(mapping, 1, 1, experts=bool(config.moe_layers)), config.name)
        self.config, self.mapping = config, mapping
        self.engine = engine(machine, mapping.width, mapping.height, profile=profile, precision=mapping.precision,
                             threads=threads)
        self._layers = [layer_tiles(mapping, layer, index) for index, layer in enumerate(weights.layers)]
        self._model = model_tiles(mapping, weights)
        self.cycles_by_part: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Forget the sequence and set all clocks to zero."""
        m, precision = self.mapping, NUMPY_DTYPES[self.mapping.precision]
        self._caches = [{name: np.zeros((m.height, m.width, *tile), precision) for name, tile in layer_cache(m).items()}
                        for _ in self._layers]
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
        values = self._execute(embedding_steps(m, tokens), dict(self._model), ["x"])
        slots = -(-total // m.height)
        steps, tables = layer_steps(m, len(tokens), slots), self._tables(len(tokens))
        for index, (weights, cache) in enumerate(zip(self._layers, self._caches, strict=True)):
            values |= {**weights, **cache, **tables, "table.mask": self._mask(len(tokens), slots, self.config.window(index))}
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

    # -- tables of the host -------------------------------------------------------------------------------------------
    def _tables(self, tokens: int) -> Values:
        """Positions (tokens,) of a chunk; their cosine and sine, (tokens, features / 2): each column its own pairs."""
        pairs, height = self.mapping.pair_index, self.mapping.height
        positions = np.arange(self.length, self.length + tokens)
        tables = {"table.positions": positions}
        for name, turn in zip(("table.cos", "table.sin"), rotation(self.config.rotary, positions), strict=True):
            columns = np.where(pairs[:, None] >= 0, turn[:, pairs].swapaxes(0, 1), 0).astype(np.float32)
            tables[name] = np.broadcast_to(narrow(columns, self.mapping.precision, "rope"), (height, *columns.shape))
        return tables

    def _mask(self, tokens: int, slots: int, window: int) -> np.ndarray:
        """0 where a query may see a position, very negative elsewhere: (height, width, heads * tokens * group, slots).

        A query sees itself and what came before, ``window`` positions in all.
        """
        m = self.mapping
        position = np.arange(slots) * m.height + np.arange(m.height)[:, None]  # (row, slot)
        now = self.length + np.arange(tokens)[:, None]
        seen = (position[:, None] <= now) & (position[:, None] > now - window)  # (row, token, slot)
        lowest = -3e4 if m.precision.startswith("fp16") else -1e30
        mask = np.where(seen, np.float32(0), np.float32(lowest))
        mask = np.tile(np.repeat(mask, m.group, axis=1), (1, m.heads_per_column, 1))
        return np.broadcast_to(narrow(mask, m.precision, "mask")[:, None], (m.height, m.width, *mask.shape[1:]))
