"""What a wafer's arithmetic costs in quality: the likelihood of a text by a model that is executed with every value."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import exp
from pathlib import Path

import numpy as np

from wsekern.errors import InputError
from wsekern.inference.execution import place
from wsekern.inference.programs import program_set
from wsekern.inference.reference import ReferenceModel
from wsekern.inference.wafer import WaferModel
from wsekern.inference.weight_formats import RoundedWeights
from wsekern.machine import Machine
from wsekern.ops.local.packed import PACKED_PRECISIONS
from wsekern.ops.local.packing import PACKINGS
from wsekern.ops.local.rows import Form
from wsekern.workload.checkpoint import Checkpoint

STORED = "stored"
"""Weights as the checkpoint stores them, in the precision of the wafer."""


@dataclass(frozen=True)
class Arithmetic:
    """How a model is computed: precision of the wafer, format of the weights, form of SiLU and exponentials, set of programs,
    format of the cache."""

    precision: str = "fp16"
    weights: str = STORED
    activations: Form | None = None  # None: the form that the set names, or that is used where nobody asks
    programs: str = "default"  # of PROGRAM_SETS
    cache: str = ""  # format of keys and values; empty: the precision

    @property
    def is_packed(self) -> bool:
        """Whether PEs keep weights in the format, and unpack them; else they are rounded to it and kept in the precision."""
        return self.weights in PACKINGS and self.precision in PACKED_PRECISIONS


@dataclass(frozen=True)
class Score:
    """Mean negative log likelihood of a token, in nats, and how far it and its distributions are from the exact model's."""

    arithmetic: Arithmetic
    grid: str
    tokens: int  # scored: all of the text but the first
    nats: float
    exact_nats: float
    divergence: float
    """Mean Kullback-Leibler divergence from the exact model's distribution of the next token, in nats."""
    cycles_per_token: float  # of the last one, decoded after all others

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log likelihood."""
        return exp(self.nats)

    @property
    def exact_perplexity(self) -> float:
        """That of the plain reference in float32."""
        return exp(self.exact_nats)

    def to_dict(self) -> dict:
        """Plain data for JSON; keys carry units."""
        return {"precision": self.arithmetic.precision, "weights": self.arithmetic.weights,
                "cache": self.arithmetic.cache or self.arithmetic.precision, "packed": self.arithmetic.is_packed,
                "activations": self.arithmetic.activations, "program_set": self.arithmetic.programs, "grid": self.grid,
                "tokens": self.tokens, "perplexity": self.perplexity,
                "perplexity_above_exact": self.perplexity - self.exact_perplexity,
                "nats_per_token": self.nats, "nats_above_exact": self.nats - self.exact_nats,
                "divergence_nats": self.divergence, "cycles_per_token": self.cycles_per_token}


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Logits (..., vocab) as log probabilities, float64."""
    wide = logits.astype(np.float64)
    wide = wide - wide.max(-1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(-1, keepdims=True))


def exact_logits(checkpoint: Checkpoint, tokens: list[int]) -> np.ndarray:
    """Logits (tokens, vocab), float32, of what follows each token: the plain reference in float32, with exact functions."""
    return ReferenceModel(checkpoint.config, checkpoint.weights, kept=False).forward(tokens)


def score(checkpoint: Checkpoint, machine: Machine, tokens: list[int], exact: np.ndarray, arithmetic: Arithmetic,
          grid: tuple[int, int] | None = None, profile: str = "silicon", threads: int = 1,
          on_token: Callable[[], None] | None = None) -> Score:
    """Execute the model on ``tokens``, and score each by what came before.

    All but the last one are read in chunks: what a token becomes is the same, where it comes alone and where others do with it.
    ``exact``: :func:`exact_logits` of the tokens. ``grid``: default a small one that fits; ``on_token``: called after each.
    """
    chosen, as_they_are = program_set(arithmetic.programs), arithmetic.weights == STORED or arithmetic.is_packed
    weights = checkpoint.weights if as_they_are else RoundedWeights(checkpoint.weights, arithmetic.weights)
    model = place(checkpoint, machine, len(tokens), precision=arithmetic.precision, grid=grid, profile=profile,
                  threads=threads, activations=arithmetic.activations or chosen.activations, weights=weights,
                  programs=chosen.programs, weight_precision=arithmetic.weights if arithmetic.is_packed else "",
                  cache_precision=arithmetic.cache)
    nats, exact_nats, divergence, cycles = 0.0, 0.0, 0.0, 0
    for index, logits in enumerate(_every(model, tokens)):
        before, cycles = cycles, model.engine.cycles
        found, true = log_probabilities(logits), log_probabilities(exact[index])
        divergence += float((np.exp(true) * (true - found)).sum())
        if index + 1 < len(tokens):
            nats, exact_nats = nats - float(found[tokens[index + 1]]), exact_nats - float(true[tokens[index + 1]])
        if on_token is not None:
            on_token()
    scored = len(tokens) - 1
    return Score(replace(arithmetic, activations=model.mapping.form), f"{model.mapping.width}x{model.mapping.height}", scored,
                 nats / scored, exact_nats / scored, divergence / len(tokens), cycles - before)


def _every(model: WaferModel, tokens: list[int]) -> Iterator[np.ndarray]:
    """The logits (vocab,) that follow each of ``tokens``."""
    for logits in model.read(tokens[:-1]):
        yield from logits
    yield model.decode(tokens[-1])


LARGEST_TEXT = 10_000_000
"""Bytes of a text; it is read and encoded whole before its first tokens are taken."""


def read_tokens(checkpoint: Checkpoint, file: Path, count: int) -> list[int]:
    """The first ``count`` tokens of a text in UTF-8, with what the tokenizer puts in front of it."""
    try:
        with open(file, "rb") as stored:
            text = stored.read(LARGEST_TEXT + 1).decode()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{file} is not text in UTF-8") from None
    if len(text) > LARGEST_TEXT:
        raise InputError(f"{file} is larger than {LARGEST_TEXT:,} bytes: give its beginning")
    if not 2 <= count <= checkpoint.config.max_context:
        raise InputError(f"tokens is {count}, expected 2 to {checkpoint.config.max_context:,}, which the model knows")
    tokens = checkpoint.encode(text)[:count]
    if len(tokens) < 2:
        raise InputError(f"{file} has one token, and there is nothing to foretell: give a longer text")
    return tokens


def default_text() -> Path:
    """A passage in the public domain that ships with the package."""
    import wsekern.workload

    return Path(wsekern.workload.__file__).parent / "text" / "texts" / "pride-and-prejudice.txt"
