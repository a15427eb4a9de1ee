"""Generation: a prompt in, text out, with the cycles of every token."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec
import numpy as np

from wsekern.errors import InputError
from wsekern.inference.mapping import Mapping
from wsekern.inference.reference import Activations, ReferenceModel
from wsekern.inference.sampling import Choice, Sampler
from wsekern.inference.saved_model import SavedModel
from wsekern.inference.speculative import SavedSpeculation, Speculator
from wsekern.machine import Machine
from wsekern.workload.checkpoint import Checkpoint
from wsekern.workload.config import ModelConfig
from wsekern.workload.weights.weights import Weights

CheckedTokens = Literal["every", "first", "none"]
"""Which tokens the plain reference repeats. ``first``: one pass over the prompt. ``every``: one more pass over all weights in
float32 for each token, several times what the wafer's own values cost a small model's simulation."""


@dataclass
class Generation:
    """Tokens that came out, and the cycles that they took."""

    prompt_tokens: list[int]
    tokens: list[int] = field(default_factory=list)
    read_tokens: int = 0  # of the prompt; less than its length where the cache held its start
    prefill_cycles: int = 0
    token_cycles: list[int] = field(default_factory=list)
    cycles_by_part: dict[str, int] = field(default_factory=dict)
    breakdown: dict[str, float] = field(default_factory=dict)
    link_traversals: int = 0
    prompt_logits: np.ndarray | None = None  # (vocab,): what followed the prompt, before the sampler

    @property
    def cycles_per_token(self) -> float:
        """Mean cycles of a decoded token; 0 if only the prompt ran."""
        return sum(self.token_cycles) / len(self.token_cycles) if self.token_cycles else 0.0


@dataclass(frozen=True)
class Check:
    """What the plain reference says of a generation."""

    tokens: int
    """How many of the first tokens it repeated."""
    same: bool
    """Whether it chose the same ones."""
    logit_difference: float
    """Largest difference of a logit after the prompt."""


class Model(Protocol):
    """What text is generated on: a :class:`WaferModel`, or several wafers."""

    @property
    def config(self) -> ModelConfig:
        """Its shape."""

    @property
    def length(self) -> int:
        """Tokens in the cache."""

    @property
    def cycles(self) -> int:
        """Of everything so far."""

    @property
    def cycles_by_part(self) -> Counter[str]:
        """Cycles so far by part of the model."""

    @property
    def breakdown(self) -> dict[str, int]:
        """Cycles so far by cause."""

    @property
    def link_traversals(self) -> int:
        """Words over links so far, hop by hop."""

    def prefill(self, tokens: list[int], on_chunk: Callable[[int], None] | None = None) -> np.ndarray:
        """Feed a prompt, of which ``on_chunk`` sees the lengths of chunks; logits (vocab,) behind its last token."""

    def decode(self, token: int) -> np.ndarray:
        """Feed one token; logits (vocab,) behind it."""

    def saved(self) -> SavedModel:
        """What :meth:`restore` goes on from."""

    def restore(self, saved: SavedModel) -> None:
        """Be where :meth:`saved` was."""


def default_grid(config: ModelConfig, machine: Machine, precision: str, context: int, chunk: int, weight_precision: str = "",
                 cache_precision: str = "") -> tuple[int, int]:
    """A grid for a small model: about eight residual elements per PE, or the smallest square that fits."""
    side = max(2, min(64, config.hidden // 8))
    mapping = Mapping(config, side, side, precision, context, chunk, weight_precision=weight_precision,
                      cache_precision=cache_precision)
    if not mapping.fits(machine):
        side = mapping.smallest_grid(machine) or side
    return side, side


def check_length(checkpoint: Checkpoint, prompt: list[int], count: int) -> int:
    """Tokens that the cache must hold; refuse what the model was not made for."""
    if count < 1:
        raise InputError(f"tokens is {count}, expected at least 1")
    total = len(prompt) + count
    if total > checkpoint.config.max_context:
        raise InputError(f"the prompt has {len(prompt)} tokens and {count} are asked for, but {checkpoint.config.name} knows "
                         f"positions up to {checkpoint.config.max_context}: shorten the prompt or ask for fewer tokens")
    return total


class SavedRun(msgspec.Struct, forbid_unknown_fields=True):
    """A generation between two chunks of its prompt or two tokens, as data: ``start`` and ``before`` are the cycles, and those
    by part of the model, when it began."""

    generation: Generation
    start: int
    before: dict[str, int]
    model: SavedModel
    drafts: SavedSpeculation | None


class Keeper(Protocol):
    """Keeps what a run has reached, and gives it to one that goes on."""

    def found(self) -> SavedRun | None:
        """Where to go on from; None: at the beginning."""

    def keep(self, reached: Callable[[], SavedRun], last: bool) -> None:
        """Called wherever a run could go on from what ``reached`` gives, which need not be asked for but at the ``last``."""


def generate(checkpoint: Checkpoint, model: Model, prompt: list[int], count: int, sampler: Sampler,
             on_token: Callable[[int], None] | None = None, on_chunk: Callable[[int], None] | None = None,
             on_text: Callable[[str], None] | None = None, stop: Callable[[], bool] = lambda: False,
             decoder: Speculator | None = None, keeper: Keeper | None = None) -> Generation:
    """Run up to ``count`` tokens on the wafer; its cache holds the first ``model.length`` of ``prompt``. Stops at an end token.

    ``on_chunk`` sees how many tokens of the prompt have just been read, ``on_token`` each token as it comes, ``on_text`` its
    text, as far as it makes whole characters; ``stop`` is asked after each, and ends the text where it is true. The cache is
    whole whenever one of them is called: a caller that wants what an interrupt (Ctrl-C) leaves keeps what it has seen.
    ``decoder``: what decodes on ``model`` in its place. ``keeper`` is told of all that is reached; what it has found is told
    again, and the run goes on behind.
    """
    check_length(checkpoint, prompt, count)
    choice, stream, source = sampler.start(prompt), checkpoint.text.stream(prompt), decoder or model
    result, start, before = _begun(model, decoder, prompt, count, keeper.found() if keeper else None)
    ended, known = False, min(model.length, len(prompt)) + result.read_tokens - len(prompt)

    def keep(last: bool) -> None:
        if keeper is not None:
            keeper.keep(lambda: SavedRun(result, start, before, model.saved(), decoder.saved() if decoder else None), last)

    def read(tokens: int) -> None:
        if on_chunk is not None:
            on_chunk(tokens)
        if model.length < len(prompt):  # behind the last one logits are still to come
            keep(False)

    def tell(token: int, number: int) -> bool:
        ends = token in checkpoint.eos_tokens or number == count or stop()
        _tell(token, stream.push(token) + (stream.finish() if ends else ""), on_token, on_text)
        return ends

    if known and on_chunk is not None:
        on_chunk(known)
    for number, token in enumerate(result.tokens, 1):
        ended = tell(token, number)
    choice.go_on(result.tokens)
    if not result.tokens:
        logits = result.prompt_logits = model.prefill(prompt[model.length:], read)
        result.prefill_cycles = model.cycles - start
    while not ended:
        if result.tokens:
            last = source.cycles
            logits = source.decode(result.tokens[-1])
            result.token_cycles.append(source.cycles - last)
        result.tokens.append(choice.next(logits))
        ended = tell(result.tokens[-1], len(result.tokens))
        keep(ended)
    return _counted(result, model, before)


def _counted(result: Generation, model: Model, before: dict[str, int]) -> Generation:
    """``result`` with what the engine counted, by part of the model since ``before``."""
    result.cycles_by_part = {part: cycles - before.get(part, 0) for part, cycles in model.cycles_by_part.items()}
    result.breakdown = dict(model.breakdown)
    result.link_traversals = model.link_traversals
    return result


def _begun(model: Model, decoder: Speculator | None, prompt: list[int], count: int,
           found: SavedRun | None) -> tuple[Generation, int, dict[str, int]]:
    """A generation that begins on ``model``, or what was ``found`` of one, from which ``model`` and ``decoder`` then go on; the
    cycles when it began, and those by part."""
    if found is None:
        return Generation(prompt, read_tokens=len(prompt) - model.length), model.cycles, dict(model.cycles_by_part)
    done, vocab = found.generation, model.config.vocab
    if not all(0 <= token < vocab for token in done.tokens):
        raise InputError(f"saved with tokens beyond the {vocab:,} that {model.config.name} has")
    if done.prompt_tokens != prompt or len(done.tokens) > count or len(done.token_cycles) != max(0, len(done.tokens) - 1):
        raise InputError(f"saved with {len(done.tokens)} tokens behind another prompt, or more than the {count} asked for")
    model.restore(found.model)
    if (decoder is None) != (found.drafts is None):
        raise InputError("saved by a run with drafts, or without, unlike this one")
    if decoder is not None and found.drafts is not None:
        decoder.restore(found.drafts)
    return done, found.start, found.before


def _tell(token: int, piece: str, on_token: Callable[[int], None] | None, on_text: Callable[[str], None] | None) -> None:
    """A new token and its piece of text to those who want to know."""
    if on_token is not None:
        on_token(token)
    if on_text is not None and piece:
        on_text(piece)


def check_generation(checkpoint: Checkpoint, generation: Generation, sampler: Sampler, which: CheckedTokens,
                     activations: Activations | None = None, weights: Weights | None = None) -> Check | None:
    """Repeat the ``every`` or the ``first`` token with the plain numpy reference; None for ``none``. ``weights``: as PEs keep
    them, where that is not as the checkpoint has them."""
    if which == "none":
        return None
    count = len(generation.tokens) if which == "every" else 1
    model = ReferenceModel(checkpoint.config, weights or checkpoint.weights, activations, kept=count > 1)
    logits = first = model.forward(generation.prompt_tokens)[-1]
    choice = sampler.start(generation.prompt_tokens)
    tokens = _choose(model, checkpoint, choice, logits, count)
    difference = float(np.abs(first - generation.prompt_logits).max())
    return Check(count, tokens == generation.tokens[:count], difference)


def _choose(model: ReferenceModel, checkpoint: Checkpoint, choice: Choice, logits: np.ndarray, count: int) -> list[int]:
    """Up to ``count`` tokens of the reference, from the ``logits`` after the prompt on."""
    tokens: list[int] = []
    while True:
        tokens.append(choice.next(logits))
        if tokens[-1] in checkpoint.eos_tokens or len(tokens) == count:
            return tokens
        logits = model.forward([tokens[-1]])[-1]
