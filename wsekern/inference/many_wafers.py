"""A model whose layers lie on several wafers: chunks and tokens go from wafer to wafer over links, and wafers work on several
chunks at a time.

Each wafer has a grid and clocks of its own. It begins on words when they are there and all its PEs are ready, and hands on
what its last layer makes behind its last PE; a link takes the latency of the machine and the time of the words. Each wafer is
stepped here, or by a worker of its own (:mod:`wsekern.inference.spread`): values and clocks are the same.
"""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NoReturn, Protocol

import numpy as np

from wsekern.errors import InputError
from wsekern.inference.mapping import Mapping
from wsekern.inference.wafer import WaferModel
from wsekern.machine import Machine
from wsekern.ops import FlowEngine
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import PRECISIONS
from wsekern.workload.weights.weights import Arrays, Weights

AHEAD = 1
"""Chunks that wait at a wafer behind the one it works on."""

LINKS = "links"
"""Part of the model's cycles that words spend between wafers."""


@dataclass(frozen=True)
class Words:
    """What goes from wafer to wafer: the ``tokens`` of a chunk, the residual stream ``x`` behind the layers so far, when it is
    there (``cycle``), and whether the head is ``wanted`` for the last token, whose ``logits`` the last wafer gives."""

    tokens: list[int]
    cycle: int
    wanted: bool
    x: Any = None
    logits: np.ndarray | None = None


@dataclass(frozen=True)
class Counts:
    """What a wafer did: cycles by part of the model and by cause, waiting left out, and words over its links; what both
    engines did, where both did."""

    parts: Counter[str]
    breakdown: Counter[str]
    link_traversals: int
    both: dict[str, int] | None


class SomeWeights(Weights):
    """The weights of consecutive layers from ``first`` on."""

    def __init__(self, weights: Weights, first: int, count: int) -> None:
        self._weights, self._first, self._count = weights, first, count

    def __len__(self) -> int:
        return self._count

    def block(self, index: int) -> Arrays:
        """Weights of one block."""
        return self._weights.block(self._first + index)

    @property
    def outer(self) -> Arrays:
        """Weights outside the blocks."""
        return self._weights.outer

    def in_memory(self) -> Weights:
        """The same, read: they can be sent to another process."""
        return Weights([self.block(index) for index in range(self._count)], self.outer)


@dataclass(frozen=True)
class Recipe:
    """All that makes a wafer with its layers, but for their weights."""

    machine: Machine
    mapping: Mapping
    profile: str
    threads: int
    engine: type[FlowEngine]
    memory: int | None
    place: int
    """Of the wafer in the line, from 0."""
    last: bool


class Stage:
    """One wafer with its layers."""

    def __init__(self, recipe: Recipe, weights: Weights) -> None:
        self._recipe, mapping = recipe, recipe.mapping
        self.model = WaferModel(mapping.config, weights, recipe.machine, mapping, recipe.profile, recipe.threads, recipe.engine,
                                recipe.memory)
        self._waited = 0

    def pass_on(self, words: Words) -> Words:
        """Behind the layers of this wafer, ready for the next one; behind the last one with logits where they are wanted."""
        engine, recipe, tokens = self.model.engine, self._recipe, words.tokens
        engine.synchronise()
        wait = max(0, words.cycle - engine.cycles)
        engine.spend(stages=wait)
        self._waited += wait
        values = self.model.enter(tokens) if recipe.place == 0 else {"x": words.x}
        values = self.model.through(values, tokens)
        if not recipe.last:
            leaves = engine.cycles + link_cycles(recipe.machine, recipe.mapping, len(tokens))
            return replace(words, x=values["x"], cycle=leaves)
        logits = self.model.logits(values)[0] if words.wanted else None
        return Words(tokens, engine.cycles, words.wanted, logits=logits)

    def counts(self) -> Counts:
        """So far."""
        breakdown = Counter(self.model.engine.breakdown)
        breakdown["stages"] -= self._waited
        return Counts(self.model.cycles_by_part.copy(), breakdown, int(self.model.engine.link_traversals),
                      self.model.both_engines)


def link_cycles(machine: Machine, mapping: Mapping, tokens: int) -> int:
    """Cycles of ``tokens`` tokens from a wafer to the next; of a sampled token (0) back to the first, which is nothing but
    latency."""
    size = mapping.config.hidden * PRECISIONS[mapping.precision] * tokens
    return math.ceil(machine.system.io_seconds(size) * float(machine.clock))


class Future(Protocol):
    """What a wafer will have handed on."""

    def result(self) -> Any:
        """Wait for it."""


class Wafer(Protocol):
    """A :class:`Stage` here or elsewhere."""

    def pass_on(self, words: Words) -> Future:
        """As :meth:`Stage.pass_on`."""

    def counts(self) -> Future:
        """As :meth:`Stage.counts`."""


@dataclass(frozen=True)
class _Done:
    """What is there already."""

    found: Any

    def result(self) -> Any:
        """It."""
        return self.found


class _Here:
    """A wafer in this process."""

    def __init__(self, recipe: Recipe, weights: Weights) -> None:
        self._stage = Stage(recipe, weights)

    def pass_on(self, words: Words) -> _Done:
        return _Done(self._stage.pass_on(words))

    def counts(self) -> _Done:
        return _Done(self._stage.counts())


Maker = Callable[[Recipe, SomeWeights], Wafer]
"""Sets a wafer up."""


class ManyWafers:
    """A model on a line of wafers, which decodes as :class:`WaferModel` does; ``mappings`` of its layers, wafer by wafer."""

    def __init__(self, config: ModelConfig, weights: Weights, machine: Machine, mappings: Sequence[Mapping],
                 profile: str = "silicon", threads: int = 1, engine: type[FlowEngine] = FlowEngine, memory: int | None = None,
                 make: Maker = _Here) -> None:
        self.config, self.machine, self.mappings, self.length, self.cycles = config, machine, tuple(mappings), 0, 0
        first, self._wafers = 0, list[Wafer]()
        for place, mapping in enumerate(mappings):
            mapping.check(machine)
            recipe = Recipe(machine, mapping, profile, threads, engine, memory, place, place + 1 == len(mappings))
            self._wafers.append(make(recipe, SomeWeights(weights, first, mapping.config.layers)))
            first += mapping.config.layers
        self._linked = 0

    @property
    def mapping(self) -> Mapping:
        """That of the wafer whose PEs are fullest."""
        return max(self.mappings, key=lambda mapping: sum(mapping.memory.values()))

    def prefill(self, tokens: list[int], on_chunk: Callable[[int], None] | None = None) -> np.ndarray:
        """As :meth:`WaferModel.prefill`: wafers work on several chunks at a time."""
        size = self.mapping.chunk
        chunks = [tokens[start:start + size] for start in range(0, len(tokens), size)]
        self._check(len(tokens))
        logits = None
        for words in self._through(Words(chunk, 0, chunk is chunks[-1]) for chunk in chunks):
            self._count(words)
            logits = words.logits
            if on_chunk is not None:
                on_chunk(len(words.tokens))
        assert logits is not None
        return logits

    def decode(self, token: int) -> np.ndarray:
        """As :meth:`WaferModel.decode`: the token goes back to the first wafer."""
        self._check(1)
        back = link_cycles(self.machine, self.mapping, 0) if len(self._wafers) > 1 else 0
        (words,) = self._through([Words([token], self.cycles + back, True)])
        self._linked += back
        self._count(words)
        assert words.logits is not None
        return words.logits

    def _check(self, more: int) -> None:
        """Refuse what the cache cannot hold, before any wafer works."""
        if self.length + more > self.mapping.context:
            raise InputError(f"{self.length + more} tokens do not fit the KV cache of {self.mapping.context} tokens; "
                             "use a shorter prompt or a mapping with more context")

    def _count(self, words: Words) -> None:
        """A chunk that is through."""
        self.length += len(words.tokens)
        self.cycles = words.cycle
        self._linked += (len(self._wafers) - 1) * link_cycles(self.machine, self.mapping, len(words.tokens))

    def _through(self, chunks: Iterable[Words]) -> Iterator[Words]:
        """All wafers, one behind the other."""
        found: Iterator[Words] = iter(chunks)
        for wafer in self._wafers:
            found = _passed(wafer, found)
        return found

    def counts(self) -> Counts:
        """Of all wafers together; words between them under :data:`LINKS`."""
        each: list[Counts] = [one.result() for one in [wafer.counts() for wafer in self._wafers]]
        both = [one.both for one in each if one.both is not None]
        sums = {name: (max if name.startswith("largest") else sum)(one[name] for one in both)
                for name in (both[0] if both else ())}
        return Counts(sum((one.parts for one in each), Counter({LINKS: self._linked})),
                      sum((one.breakdown for one in each), Counter()), sum(one.link_traversals for one in each), sums or None)

    @property
    def cycles_by_part(self) -> Counter[str]:
        """Work of all wafers and their links: chunks that are on several wafers at a time count on each."""
        return self.counts().parts

    @property
    def breakdown(self) -> dict[str, int]:
        """Cycles by cause, waiting for words left out, of all wafers."""
        return dict(self.counts().breakdown)

    @property
    def link_traversals(self) -> int:
        """Of words inside the wafers."""
        return self.counts().link_traversals

    @property
    def both_engines(self) -> dict[str, int] | None:
        """What both engines did, where both did."""
        return self.counts().both

    def saved(self) -> NoReturn:
        """Not yet."""
        raise InputError("a run on several wafers cannot be kept: leave --save and --resume out, or run it on one wafer")

    def restore(self, saved: object) -> NoReturn:
        """Not yet."""
        self.saved()


def _passed(wafer: Wafer, chunks: Iterator[Words]) -> Iterator[Words]:
    """What ``wafer`` hands on of ``chunks``, in their order: some wait at it while it works."""
    waiting = deque[Future]()
    for words in chunks:
        waiting.append(wafer.pass_on(words))
        if len(waiting) > AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def cut(config: ModelConfig, wafers: int) -> list[ModelConfig]:
    """Consecutive layers for each of ``wafers``, as many on each as can be."""
    if not 1 <= wafers <= config.layers:
        raise InputError(f"wafers is {wafers}, expected 1 to {config.layers}, the layers of {config.name}")
    ends = [config.layers * number // wafers for number in range(wafers + 1)]
    return [replace(config, blocks=config.blocks[first:last]) for first, last in pairwise(ends)]
