"""Speculative decoding: tokens are drafted, and one pass through the model checks them all."""

from dataclasses import dataclass, replace
from typing import Literal

from wsekern.errors import InputError
from wsekern.workload.config import ModelConfig
from wsekern.workload.load import load_config

MAX_DRAFTED = 64
"""Drafted tokens at most: engines offer far fewer."""

LAYERS = "layer:"
"""What stands before the number of layers of a draft that the model's own first layers make."""


@dataclass(frozen=True)
class Draft:
    """What proposes the tokens that a pass checks.

    ``free``: something that takes no time. ``ngram``: the host, from what stood behind the last tokens before. ``layers``: the
    model's own first ``layers`` layers and its head. ``model``: another one with the same vocabulary.
    """

    kind: Literal["free", "ngram", "layers", "model"] = "free"
    layers: int = 0
    model: ModelConfig | None = None

    @classmethod
    def of(cls, text: str) -> "Draft":
        """``ngram``, ``layer:N``, or a model as :func:`load_config` takes it."""
        layers = layers_of(text)
        if layers:
            return cls("layers", layers)
        return cls("ngram") if text == "ngram" else cls("model", model=load_config(text))

    def check(self, config: ModelConfig) -> None:
        """Refuse a draft that cannot propose tokens to the model ``config``."""
        if self.kind == "layers":
            check_layers(self.layers, config)
        if self.model is not None:
            check_vocabulary(self.model, config)

    def drafting_model(self, config: ModelConfig) -> ModelConfig | None:
        """What drafts for ``config``: another model, or its own first layers with embedding and head; None for neither."""
        if self.layers:
            return replace(config, name=f"{config.name}, first {layers_in_words(self.layers)}",
                           blocks=config.blocks[:self.layers])
        return self.model

    def describe(self) -> str:
        """In words."""
        if self.model is not None:
            return f"of {self.model.name}"
        return {"free": "that takes no time", "ngram": "of n-grams of the text, which the host finds in no time",
                "layers": f"of the model's own first {layers_in_words(self.layers)} and its head"}[self.kind]


def layers_of(text: str) -> int:
    """N of ``layer:N``; 0 for a text without ``layer:`` in front."""
    number = text.removeprefix(LAYERS)
    if number == text:
        return 0
    if not number.isascii() or not number.isdigit() or int(number[:9]) < 1:
        raise InputError(f"draft is {text[:60]!r}, expected {LAYERS}N with a whole number of layers, such as {LAYERS}1")
    return int(number[:9])


def check_layers(layers: int, config: ModelConfig) -> None:
    """Refuse a draft of all layers of a model, or more."""
    if layers >= config.layers:
        raise InputError(f"the draft is made by {layers} layers, but {config.name} has {config.layers}: "
                         f"use {LAYERS}N with N below {config.layers}")


def check_vocabulary(draft: ModelConfig, config: ModelConfig) -> None:
    """Refuse a draft whose tokens are others."""
    if draft.vocab != config.vocab:
        raise InputError(f"the draft {draft.name} has {draft.vocab:,} tokens and {config.name} {config.vocab:,}: a draft needs "
                         "the vocabulary of the model that checks it")


def layers_in_words(layers: int) -> str:
    """A number of layers."""
    return "layer" if layers == 1 else f"{layers} layers"


FREE = Draft()
"""A draft that takes no time."""


@dataclass(frozen=True)
class Speculation:
    """``drafted`` tokens before every pass, each accepted with probability ``acceptance`` if all before it were.

    A pass checks them beside its own token and keeps those accepted and one more.
    """

    drafted: int
    acceptance: float
    draft: Draft = FREE

    def __post_init__(self) -> None:
        check_drafted(self.drafted)
        if not 0.0 <= self.acceptance <= 1.0:
            raise InputError(f"acceptance is {self.acceptance!r}, expected a probability from 0 to 1")

    @property
    def checked(self) -> int:
        """Tokens of one user in a pass."""
        return self.drafted + 1

    @property
    def kept(self) -> float:
        """Tokens that a pass yields on average: 1 + a + a^2 + ... + a^drafted (Leviathan et al. 2023, equation 1)."""
        return sum(self.acceptance**accepted for accepted in range(self.checked))

    def passes(self, output: float) -> float:
        """Passes of an answer of ``output`` tokens on average, that of the prompt (which yields the first token) included."""
        return 1.0 + (output - 1.0) / self.kept

    def assumption(self) -> str:
        """In a sentence: what is drafted, and that the acceptance is not known but stated."""
        tokens = "token" if self.drafted == 1 else "tokens"
        return (f"speculation is assumed: {self.drafted} drafted {tokens} in every pass, each accepted with probability "
                f"{self.acceptance:g} if all before it were, so that a pass yields {self.kept:.3g} tokens")


def check_drafted(drafted: int) -> None:
    """Refuse what is no number of drafted tokens."""
    if isinstance(drafted, bool) or not isinstance(drafted, int) or not 1 <= drafted <= MAX_DRAFTED:
        raise InputError(f"drafted is {drafted!r}, expected a whole number of at least 1 and at most {MAX_DRAFTED}")
