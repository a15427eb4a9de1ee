"""What one step has to do, and the seconds it takes by cause: what kernels of every family of machines are asked for."""

from dataclasses import dataclass
from math import inf

from wsekern.formulas import smallest

CAUSES = ("weights", "kv", "compute", "fixed", "all_reduce", "engine")
"""Where time goes: streaming weights, streaming the cache, tensor cores beyond that, fixed time of kernels,
collectives, serving software."""

PARTS = (*CAUSES, "kernels", "flops", "idle", "unpacking", "roofline")
"""Numbers of a :class:`StepTime`, in its order."""


@dataclass
class StepTime:
    """Seconds by cause; ``kernels`` are launches and ``flops`` the arithmetic of one GPU, ``idle`` the part of the device's
    seconds in which the mean GPU waits for the busiest, ``unpacking`` that of streaming weights in which they are widened."""

    weights: float = 0.0
    kv: float = 0.0
    compute: float = 0.0
    fixed: float = 0.0
    all_reduce: float = 0.0
    engine: float = 0.0
    kernels: float = 0.0
    flops: float = 0.0
    idle: float = 0.0
    unpacking: float = 0.0
    roofline: float = 0.0  # what plain peaks would allow: never more than the sum

    @property
    def device(self) -> float:
        """Seconds the GPU is busy."""
        return self.weights + self.kv + self.compute + self.fixed + self.all_reduce

    @property
    def seconds(self) -> float:
        """The whole step."""
        return self.device + self.engine

    @property
    def breakdown(self) -> dict[str, float]:
        """Seconds by cause."""
        return {cause: getattr(self, cause) for cause in CAUSES}

    def add(self, other: "StepTime", times: float = 1.0) -> None:
        """Add ``times`` of ``other``."""
        for name in PARTS:
            setattr(self, name, getattr(self, name) + times * getattr(other, name))


@dataclass(frozen=True)
class Work:
    """What one step processes on each attention replica.

    ``tokens`` new tokens of ``sequences``, each looking back over ``context`` cached ones besides themselves; ``sampled``
    from a sorted distribution (top-p, top-k) instead of taking the likeliest. ``ranks``: share of the attention replicas that
    have these tokens, while the others have none.
    """

    tokens: float
    sequences: float
    context: float
    prefill: bool
    sampled: bool = False
    ranks: float = 1.0


@dataclass(frozen=True)
class AttentionShape:
    """Heads of one GPU, widths of a head in the two products, bytes of a token's cache, tokens that a head looks back over at
    most, and how many the tokens of a prompt see on average at most; ``latent``: all heads read one vector a token. Of all
    tokens, each ``every`` are compressed into one besides, of which a head reads ``chosen`` at most; 0: none are. ``filled``:
    every token of a prompt takes the time of a whole window."""

    heads: float
    score: float
    value: float
    cached: float
    window: float = inf
    mean: float = inf
    latent: bool = False
    every: int = 0
    chosen: float = inf
    filled: bool = False

    def seen(self, context: float) -> float:
        """Entries of the cache that one token reads after ``context`` others."""
        near = smallest(context, self.window)
        return near + smallest(context / self.every, self.chosen) if self.every else near

    def pairs(self, each: float, context: float) -> float:
        """Of ``each`` new tokens of a prompt and the entries that they read, after ``context`` others."""
        if self.filled:
            return each * self.window
        near = smallest(each * smallest(context, self.window) + causal_pairs(each, self.window), each * self.mean)
        if not self.every:
            return near
        return near + smallest((each * context + causal_pairs(each, inf)) / self.every, each * self.chosen)


def causal_pairs(tokens: float, window: float) -> float:
    """Pairs of a new token with itself and those before it, at most ``window`` back."""
    if tokens <= window:
        return 0.5 * tokens * (tokens + 1.0)
    return 0.5 * window * (window + 1.0) + (tokens - window) * window
