"""Choosing the next token from logits."""

from dataclasses import dataclass

import numpy as np

from wsekern.errors import InputError


@dataclass(frozen=True)
class Sampler:
    """Greedy when ``temperature`` is 0; else draws from the ``top_p`` most likely tokens with a seeded generator."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 100:
            raise InputError(f"temperature is {self.temperature}, expected 0 to 100")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p}, expected more than 0 and at most 1")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}, expected 0 or more")

    def start(self) -> "np.random.Generator":
        """A generator at the beginning of its sequence."""
        return np.random.Generator(np.random.PCG64(self.seed))

    def choose(self, logits: np.ndarray, generator: np.random.Generator) -> int:
        """Token id for ``logits`` (vocab,); :class:`InputError` where one of them is not a number."""
        if not np.isfinite(logits).all():
            raise InputError("the model's logits are not finite: its values left the range of the precision; use bf16 or fp32")
        if self.temperature == 0:
            return int(np.argmax(logits))
        scaled = logits.astype(np.float64)
        with np.errstate(over="ignore"):  # a temperature near 0 leaves the largest alone
            probability = np.exp((scaled - scaled.max()) / self.temperature)
        order = np.argsort(-probability, kind="stable")
        cumulative = np.cumsum(probability[order])
        kept = int(np.searchsorted(cumulative, self.top_p * cumulative[-1])) + 1
        draw = generator.random() * cumulative[min(kept, len(order)) - 1]
        return int(order[min(np.searchsorted(cumulative, draw, side="right"), kept - 1, len(order) - 1)])
