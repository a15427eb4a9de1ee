"""Choosing the next token from logits, in the order and with the definitions of ``transformers`` 5.24."""

from dataclasses import dataclass, field, fields

import numpy as np

from wsekern.errors import InputError
from wsekern.workload.text.generation import GenerationSettings


@dataclass(frozen=True)
class Sampler:
    """Greedy when ``temperature`` is 0; else draws with a seeded generator. The settings of generation_config.json: first those
    that change logits whatever is done with them, then those of draws alone (``temperature``, ``top_k``, ``top_p``, ``min_p``).
    """

    temperature: float = 0.0
    top_p: float = 1.0  # the likeliest tokens of this probability together
    seed: int = 0
    top_k: int = 0  # the likeliest so many tokens; 0: all
    min_p: float = 0.0  # tokens of at least this share of the likeliest one's probability
    repetition_penalty: float = 1.0  # logits of tokens that were there: divided by it where positive, multiplied where negative
    no_repeat_ngram_size: int = 0  # so many tokens in a row come once
    bad_words_ids: tuple[tuple[int, ...], ...] = ()
    min_length: int = 0  # tokens of prompt and answer before an end token
    min_new_tokens: int = 0
    suppress_tokens: tuple[int, ...] = ()
    begin_suppress_tokens: tuple[int, ...] = ()  # not as the first of the answer
    eos_tokens: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 100:
            raise InputError(f"temperature is {self.temperature}, expected 0 to 100")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p}, expected more than 0 and at most 1")
        if not 0 <= self.min_p <= 1:
            raise InputError(f"min_p is {self.min_p}, expected 0 to 1")
        if not 0 < self.repetition_penalty <= 1e6:
            raise InputError(f"repetition_penalty is {self.repetition_penalty}, expected more than 0, 1 for none")
        if self.seed < 0 or self.top_k < 0:
            raise InputError(f"seed is {self.seed} and top_k {self.top_k}, expected 0 or more")

    @classmethod
    def of(cls, settings: GenerationSettings, seed: int = 0, **given: float | None) -> "Sampler":
        """What a model's files ask for, and in its place what the user has ``given`` (None: nothing).

        A temperature of 0 is greedy; any other, or a ``top_k``, ``top_p`` or ``min_p``, asks for draws.
        """
        chosen = {name: value for name, value in given.items() if value is not None}
        draws = chosen.get("temperature", 1.0) > 0 if DRAWN & chosen.keys() else settings.do_sample
        names = {one.name for one in fields(cls)} & {one.name for one in fields(settings)}
        values = {name: getattr(settings, name) for name in names} | chosen
        if not settings.do_sample:  # what the file says of draws is for draws that it asks for
            values |= {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "temperature": 1.0} | chosen
        return cls(**values | {"seed": seed} | ({} if draws else {"temperature": 0.0}))

    def start(self, prompt: list[int]) -> "Choice":
        """Choices after ``prompt``, with the generator at the beginning of its sequence."""
        return Choice(self, prompt)

    def describe(self) -> str:
        """In words, what is not plain greedy."""
        plain = Sampler()
        told = (*(("top_k", "top_p", "min_p") if self.temperature else ()),
                "repetition_penalty", "no_repeat_ngram_size", "min_length", "min_new_tokens")
        parts = [f"{name} {getattr(self, name):g}" for name in told if getattr(self, name) != getattr(plain, name)]
        parts += [f"{len(getattr(self, name))} {name}" for name in ("suppress_tokens", "begin_suppress_tokens", "bad_words_ids")
                  if getattr(self, name)]
        start = f"draws with temperature {self.temperature:g}" if self.temperature else "the likeliest token"
        return ", ".join([start, *parts])


DRAWN = frozenset({"temperature", "top_k", "top_p", "min_p"})
"""Settings that mean something for draws alone."""


@dataclass
class Choice:
    """One text in the making: its tokens so far, and the generator of its draws."""

    sampler: Sampler
    tokens: list[int]
    prompt: int = field(init=False)  # tokens of the prompt
    _generator: np.random.Generator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.tokens, self.prompt = list(self.tokens), len(self.tokens)
        self._generator = np.random.Generator(np.random.PCG64(self.sampler.seed))

    def next(self, logits: np.ndarray) -> int:
        """Token for ``logits`` (vocab,), which joins the text; :class:`InputError` where one of them is not a number."""
        if not np.isfinite(logits).all():
            raise InputError("the model's logits are not finite: its values left the range of the precision; use bf16 or fp32")
        scores = self.processed(logits)
        if scores.max() == -np.inf:
            raise InputError("no token may come next: suppress_tokens, bad_words_ids and no_repeat_ngram_size forbid all")
        token = self._draw(drawn_scores(scores, self.sampler)) if self.sampler.temperature else int(np.argmax(scores))
        self.tokens.append(token)
        return token

    def go_on(self, tokens: list[int]) -> None:
        """Be where a choice was that chose ``tokens`` from here on."""
        self.tokens += tokens
        if self.sampler.temperature:
            self._generator.random(len(tokens))

    def processed(self, logits: np.ndarray) -> np.ndarray:
        """Logits (vocab,), float32, after everything that greedy choices obey too; -inf: forbidden."""
        s, scores = self.sampler, logits.astype(np.float32)
        if s.repetition_penalty != 1:
            seen, penalty = _known(set(self.tokens), scores), np.float32(s.repetition_penalty)
            scores[seen] = np.where(scores[seen] < 0, scores[seen] * penalty, scores[seen] / penalty)
        forbidden = set(_repeated(self.tokens, s.no_repeat_ngram_size))
        forbidden |= {word[-1] for word in s.bad_words_ids
                      if self._ends_with(word[:-1]) and not (len(word) == 1 and word[0] in s.eos_tokens)}
        if len(self.tokens) < max(s.min_length, self.prompt + s.min_new_tokens):
            forbidden |= set(s.eos_tokens)
        forbidden |= set(s.suppress_tokens)
        if len(self.tokens) == self.prompt:
            forbidden |= set(s.begin_suppress_tokens)
        scores[_known(forbidden, scores)] = -np.inf
        return scores

    def _ends_with(self, start: tuple[int, ...]) -> bool:
        return not start or tuple(self.tokens[-len(start):]) == start

    def _draw(self, scores: np.ndarray) -> int:
        with np.errstate(over="ignore"):  # a temperature near 0 leaves the largest alone
            probability = np.exp(scores - scores.max())
        order = np.argsort(-probability, kind="stable")
        cumulative = np.cumsum(probability[order])
        draw = self._generator.random() * cumulative[-1]
        return int(order[min(np.searchsorted(cumulative, draw, side="right"), np.count_nonzero(probability) - 1)])


def drawn_scores(scores: np.ndarray, sampler: Sampler) -> np.ndarray:
    """Scores (vocab,) as draws take them, float64: divided by the temperature, then top_k, top_p and min_p, -inf left out."""
    scores = scores.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        scores = (scores - scores.max()) / sampler.temperature
    if 0 < sampler.top_k < len(scores):
        scores[scores < np.partition(scores, -sampler.top_k)[-sampler.top_k]] = -np.inf
    if sampler.top_p < 1:
        order = np.argsort(scores, kind="stable")
        probability = np.exp(scores[order])
        tail = np.cumsum(probability) / probability.sum() <= 1 - sampler.top_p
        tail[-1] = False
        scores[order[tail]] = -np.inf
    if sampler.min_p > 0:
        scores[np.exp(scores) < sampler.min_p] = -np.inf  # the largest is 0 here
    return scores


def _known(tokens: set[int], scores: np.ndarray) -> list[int]:
    """Those of ``tokens`` that have a score, sorted."""
    return sorted(token for token in tokens if 0 <= token < len(scores))


def _repeated(tokens: list[int], size: int) -> list[int]:
    """Tokens that would complete ``size`` in a row that were there before."""
    if not 0 < size <= len(tokens):
        return []
    end = tokens[len(tokens) + 1 - size:]
    return [tokens[i + size - 1] for i in range(len(tokens) - size + 1) if tokens[i:i + size - 1] == end]
