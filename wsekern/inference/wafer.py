"""A transformer executed on a simulated wafer: every value on every PE, every clock, operation by operation.

The model of :class:`WaferModel` is data: lists of steps (:mod:`wsekern.inference.layer`), executed one step after the other.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from wsekern.errors import InputError
from wsekern.inference.clockwork import Clockwork
from wsekern.inference.executable import check_executable
from wsekern.inference.feed_runs import FeedRuns
from wsekern.inference.halves import feed_half, mixer_half
from wsekern.inference.layer import empty_cache, layer_steps, layer_tables, layer_tiles, parts_on_grid
from wsekern.inference.layer_runs import LayerRuns, Plan
from wsekern.inference.mapping import Mapping
from wsekern.inference.outer import embedding_steps, head_steps, outer_tiles
from wsekern.inference.residency import Layers, room_for_layers
from wsekern.inference.run_log import RunLog
from wsekern.inference.saved_model import SavedModel, restore_tiles, save_tiles
from wsekern.inference.steps import Values, refuse_timed_only
from wsekern.machine import Machine
from wsekern.number_formats import widen
from wsekern.ops import FlowEngine
from wsekern.ops.engines.both import BothEngines
from wsekern.ops.repeated import Repeated
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Block, Recurrent
from wsekern.workload.request import PRECISIONS
from wsekern.workload.weights.weights import Weights

Exit = Callable[[], np.ndarray]
"""Logits (vocab,) that follow a token where it is, without the layers behind."""

OnLayer = Callable[[int, Exit], None]
"""Sees how many layers the token of a pass has behind it, 0 to all of them."""


def distinct(blocks: Sequence[Block]) -> tuple[list[Block], list[int]]:
    """The blocks that differ, and of each block which of these it is."""
    numbers: dict[Block, int] = {}
    places = [numbers.setdefault(block, len(numbers)) for block in blocks]
    return list(numbers), places


class WaferModel:
    """A decoder on a rectangle of a wafer, with what its layers keep between tokens.

    ``memory``: bytes that weights and cache may take on this machine, None for no limit; layers that find no room are read from
    the checkpoint again in every pass, with the same values. ``log``: what is told of every operation.
    """

    def __init__(self, config: ModelConfig, weights: Weights, machine: Machine, mapping: Mapping,
                 profile: str = "silicon", threads: int = 1, engine: type[FlowEngine] = FlowEngine, memory: int | None = None,
                 log: RunLog | None = None):
        check_executable(config)
        mapping.check(machine)
        for block, _ in config.kinds:
            refuse_timed_only(layer_steps(mapping, block, 1, 1), config.name)
        self.config, self.mapping = config, mapping
        self.engine = engine(machine, mapping.width, mapping.height, profile=profile, precision=mapping.precision,
                             threads=threads)
        self._model = outer_tiles(mapping, weights.outer)  # first: the largest matrices, while there is nothing beside them
        self._log, self._clocks = log, Clockwork(self.engine, log)
        self._kinds, self._kind_of_layer = distinct(config.blocks)
        self._runs, self._feeds = LayerRuns(mapping, self._kinds, self._clocks), None
        if mapping.feed_width:
            columns, beside = mapping.halves
            self._runs = LayerRuns(columns, list(map(mixer_half, self._kinds)), self._clocks)
            self._feeds = FeedRuns(self._runs, beside, list(map(feed_half, self._kinds)),
                                   engine(machine, beside.width, beside.height, profile=profile, precision=beside.precision,
                                          threads=threads))
        free = int(machine.core.sram) - sum(mapping.memory.values())  # beside the logits of one token
        self._heads_together = 1 + int(free / (PRECISIONS[mapping.precision] * mapping.vocab))
        self._heads: dict[tuple[int | None, int], Plan] = {}
        self.reset()

        def make(index: int) -> Values:
            return layer_tiles(mapping, config.blocks[index], weights.block(index), index)

        self.layers = Layers(make, len(config.blocks), room_for_layers(memory, self._model, self._caches))

    def reset(self) -> None:
        """Forget the sequence and set all clocks to zero."""
        self._caches = [empty_cache(self.mapping, block) for block in self.config.blocks]
        self.length = self._furthest = 0
        self._clocks.reset()
        if self._feeds is not None:
            self._feeds.reset()

    @property
    def engines(self) -> tuple[FlowEngine, ...]:
        """The engine, whose clocks are the model's, and where feed-forward parts have columns of their own theirs."""
        return (self.engine,) if self._feeds is None else (self.engine, self._feeds.engine)

    @property
    def cycles(self) -> int:
        """Of everything so far."""
        return self.engine.cycles

    @property
    def breakdown(self) -> dict[str, int]:
        """Cycles so far by cause, along the PE that is done last."""
        return self.engine.breakdown

    @property
    def both_engines(self) -> dict[str, int] | None:
        """What both engines did, where both did."""
        both = [engine for engine in self.engines if isinstance(engine, BothEngines)]
        if not both:
            return None
        return {"operations_by_wavelet": sum(engine.operations_by_wavelet for engine in both),
                "local_work": sum(engine.local_work for engine in both),
                "largest_clock_difference_cycles": max(engine.clock_difference for engine in both)}

    @property
    def link_traversals(self) -> int:
        """Words over links so far, hop by hop."""
        return int(self.engine.link_traversals)

    @property
    def cycles_by_part(self) -> Counter[str]:
        """Cycles so far by part of the model."""
        return self._clocks.cycles_by_part

    @property
    def can_rewind(self) -> bool:
        """Whether the sequence can be cut: a state of fixed size does not know what it was before."""
        return not any(isinstance(mixer, Recurrent) for block in self.config.blocks for mixer in block.mixers)

    def can_rewind_to(self, length: int) -> bool:
        """Whether the sequence can be cut to its first ``length`` tokens: no layer has written over what they look back to."""
        parts = (part for block in self._kinds for part in parts_on_grid(self.mapping, block))
        return length == self.length or (self.can_rewind and all(part.can_go_back(self._furthest, length) for part in parts))

    def rewind(self, length: int) -> None:
        """Forget all of the sequence but its first ``length`` tokens; clocks go on."""
        if not 0 <= length <= self.length:
            raise InputError(f"the sequence has {self.length} tokens: it cannot be cut to {length}")
        if length < self.length and not self.can_rewind:
            raise InputError(f"{self.config.name} has recurrent layers, whose state cannot go back: start anew")
        if not self.can_rewind_to(length):
            raise InputError(f"{self.config.name} has layers that keep their window alone, and wrote over what token {length} "
                             f"looks back to when they read {self._furthest:,}: start anew")
        self.length = length

    def saved(self) -> SavedModel:
        """What :meth:`restore` goes on from, as data: between two passes only."""
        return SavedModel(self.length, self._furthest, [save_tiles(cache) for cache in self._caches],
                          {part: int(cycles) for part, cycles in self.cycles_by_part.items()},
                          *(engine.saved() for engine in self.engines))

    def restore(self, saved: SavedModel) -> None:
        """Be where :meth:`saved` of a model like this was; :class:`InputError` where it was none."""
        if not 0 <= saved.length <= saved.furthest <= self.mapping.context or len(saved.caches) != len(self._caches):
            raise InputError(f"saved with {saved.length} tokens of {len(saved.caches)} layers, which is not this model's state")
        self.reset()
        for cache, tiles in zip(self._caches, saved.caches, strict=True):
            restore_tiles(cache, tiles)
        self.length, self._furthest = saved.length, saved.furthest
        for engine, clocks in zip(self.engines, (saved.clocks, saved.feed_clocks), strict=False):
            if clocks is None:
                raise InputError("saved without the clocks of columns for feed-forward parts, which is not this model's state")
            engine.restore(clocks)
        self.cycles_by_part.update(saved.cycles_by_part)

    def prefill(self, tokens: list[int], on_chunk: Callable[[int], None] | None = None) -> np.ndarray:
        """Feed a prompt in chunks (``on_chunk`` sees the length of each); return the logits (vocab,) after its last token."""
        for values in self._chunks(tokens, on_chunk):
            last = values
        return self.logits(last)[0]

    def read(self, tokens: list[int], on_chunk: Callable[[int], None] | None = None) -> Iterator[np.ndarray]:
        """As :meth:`prefill`, with the logits (tokens, vocab) that follow every token of a chunk, chunk by chunk.

        So many heads are computed together as their logits find room on the PEs.
        """
        for values in self._chunks(tokens, on_chunk):
            count = Repeated.of(values["x"]).tiles.shape[2]
            yield np.concatenate([self.logits(dict(values), start, min(self._heads_together, count - start))
                                  for start in range(0, count, self._heads_together)])

    def decode(self, token: int, on_layer: OnLayer | None = None) -> np.ndarray:
        """Feed one token; return the logits (vocab,) that follow it. ``on_layer`` is called behind the embedding and behind
        each layer."""
        return self.logits(self._forward([token], on_layer))[0]

    # -- one forward pass ---------------------------------------------------------------------------------------------
    def _chunks(self, tokens: list[int], on_chunk: Callable[[int], None] | None) -> Iterator[Values]:
        for start in range(0, len(tokens), self.mapping.chunk):
            chunk = tokens[start:start + self.mapping.chunk]
            values = self._forward(chunk)
            if on_chunk is not None:
                on_chunk(len(chunk))
            yield values

    def _forward(self, tokens: list[int], on_layer: OnLayer | None = None) -> Values:
        """Residual stream ``x`` (height, width, tokens, hidden) after the last layer."""
        return self.through(self.enter(tokens), tokens, on_layer)

    def enter(self, tokens: list[int]) -> Values:
        """Residual stream ``x`` of ``tokens`` behind the embedding."""
        m, total = self.mapping, self.length + len(tokens)
        if total > m.context:
            raise InputError(f"{total} tokens do not fit the KV cache of {m.context} tokens; "
                             "use a shorter prompt or a mapping with more context")
        if self._log is not None:
            self._log.begin_pass(self.length, len(tokens))
        embedding = Plan.of(embedding_steps(m, tokens, self.length), ["x"])
        return self._runs.execute(embedding, dict(self._model), comes_again=False)

    def through(self, values: Values, tokens: list[int], on_layer: OnLayer | None = None) -> Values:
        """``x`` of ``values`` behind all layers, which keep what ``tokens`` leave in the cache."""

        def tell(passed: int) -> None:
            if on_layer is not None:
                on_layer(passed, lambda: self.logits(dict(values))[0])

        m, total = self.mapping, self.length + len(tokens)
        slots = -(-total // m.height)
        tables = [layer_tables(m, block, self.length, len(tokens), slots) | self._positions(len(tokens))
                  for block in self._kinds]
        tell(0)
        for number, (kind, weights, cache) in enumerate(zip(self._kind_of_layer, self.layers, self._caches, strict=True), 1):
            values |= {**weights, **cache, **tables[kind]}
            if self._log is not None:
                self._log.begin_layer()
            self._runs.layer(kind, len(tokens), slots, cache, values)
            if self._feeds is not None:
                self._feeds.layer(kind, len(tokens), values)
            cache.update({name: values.pop(name) for name in cache})
            tell(number)
        if self._log is not None:
            self._log.begin_layer()
        self.length, self._furthest = total, max(self._furthest, total)
        return values

    def logits(self, values: Values, start: int | None = None, count: int = 1) -> np.ndarray:
        """Logits (count, vocab) of tokens of ``x`` as in :func:`head_steps`, read from a line of PEs by the host."""
        values |= self._model
        if (start, count) not in self._heads:
            self._heads[start, count] = Plan.of(head_steps(self.mapping, start, count), ["logits"])
        logits = self._runs.execute(self._heads[start, count], values)["logits"].full()
        line = logits[:, 0] if self.config.embedding_size else logits[0]
        return widen(line.swapaxes(0, 1).reshape(count, -1)[:, :self.config.vocab], self.mapping.precision)

    def _positions(self, tokens: int) -> Values:
        """Positions (tokens,) of a chunk."""
        return {"table.positions": np.arange(self.length, self.length + tokens)}
