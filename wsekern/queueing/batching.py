"""Continuous batching on one engine, step by step, from tables of step costs: which GPU, model or software set them does not
matter here.

Rules of current engines (vLLM V1, TensorRT-LLM): in every step each decoding sequence takes a token; what is left of the token
budget of the step reads waiting prompts, first come first served. A prompt is admitted if its tokens fit the cache, and yields
its first token with the end of the step that reads its last. Where the cache is full, the latest admitted is pre-empted: it
goes to the head of the line and is read again, with its answer so far.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsekern.errors import InputError, check_flags
from wsekern.queueing._batching import Batching
from wsekern.queueing.outcome import Outcome
from wsekern.queueing.traffic import Traffic
from wsekern.shown import Shown

EVENTS = 20_000
"""In one go: some milliseconds, after which Ctrl-C is heard."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class StepCosts(Shown):
    """Seconds of an engine's steps, linear between the points of two grids (and beyond their ends).

    A step of ``D`` decoding sequences that look back on ``c`` tokens on average takes ``base(D) + slope(D) c``. ``P`` tokens of
    prompts that look back on ``L`` on average (what of the prompt is cached, and half of what is read) take
    ``alone(P) + look(P) L`` in a step of their own. Beside decoding sequences they share its weights and its fixed times: the
    step takes ``together(D + crowded(P)) - together(D) + look(P) L`` more than without them.
    """

    decode_grid: NDArray[np.float64]  # [d] numbers of decoding sequences, ascending
    decode_base: NDArray[np.float64]  # [d] s
    decode_slope: NDArray[np.float64]  # [d] s/token
    prompt_grid: NDArray[np.float64]  # [p] tokens, ascending
    crowded: NDArray[np.float64]  # [p] tokens, were the prompts on all ranks as many as on the busiest: P for one rank
    alone: NDArray[np.float64]  # [p] s
    together: NDArray[np.float64]  # [p] s of tokens of any kind, what they look back on left out, software too
    look: NDArray[np.float64]  # [p] s/token
    step_tokens: int  # of a step at most
    cache_tokens: int  # of all sequences inside
    sequences: int  # inside at most
    page_tokens: int = 16  # a sequence takes whole pages of the cache
    chunked: bool = True  # else prompts are never cut and read in steps of their own, before anything decodes
    stages: int = 1  # of a pipeline: a prompt leaves the last stage as many steps less one after the first
    request_seconds: float = 0.0  # outside the steps
    # of steady states only (wsekern.queueing.closed):
    checked: int = 1  # tokens of a decoding sequence in a step: its own and drafted ones
    kept: float = 1.0  # of these, on average
    cached: float = 0.0  # tokens before every prompt that need not be read
    shared: float = 0.0  # of these, kept once for all sequences
    beside_seconds: float = 0.0  # more of a step that reads prompts beside decoding sequences
    whole: bool = False  # prompts are never cut, beside decoding sequences neither
    look_steps: int = 1  # decoding steps from one look for new requests to the next; each step that reads prompts ends with one
    hold_steps: int = 0  # decoding steps at most for which prompts of few tokens wait for more,
    hold_tokens: int = 0  # few: with the decoding sequences less than this

    def __post_init__(self) -> None:
        check_flags(self)

    @property
    def pages(self) -> int:
        """Of the whole cache."""
        return self.cache_tokens // self.page_tokens

    def decode_seconds(self, sequences: float, context: float) -> float:
        """A step of ``sequences`` that look back on ``context`` tokens each."""
        base, slope = self.decode_base, self.decode_slope
        return interpolate(self.decode_grid, base, sequences) + context * interpolate(self.decode_grid, slope, sequences)

    def prompt_seconds(self, tokens: float, look: float, decoding: float = 0.0) -> float:
        """``tokens`` of prompts that look back on ``look`` each: in a step of their own, or what they add to ``decoding``."""
        steep = look * interpolate(self.prompt_grid, self.look, tokens)
        if not (decoding and self.chunked):
            return steep + interpolate(self.prompt_grid, self.alone, tokens)
        crowd = decoding + interpolate(self.prompt_grid, self.crowded, tokens)
        grid, seconds = self.prompt_grid, self.together
        return self.beside_seconds + steep + interpolate(grid, seconds, crowd) - interpolate(grid, seconds, decoding)

    def outside_seconds(self, prompt: int) -> float:
        """Seconds of a request in which no step works on it: the request's own, and its last tokens' way down the pipeline."""
        if self.stages == 1:
            return self.request_seconds
        last = min(prompt, self.step_tokens)
        return self.request_seconds + (self.stages - 1) * self.prompt_seconds(last, prompt - 0.5 * last)


def interpolate(grid: NDArray[np.float64], values: NDArray[np.float64], x: float) -> float:
    """``values`` at ``x``, by straight lines between the points of ``grid``; those of its ends go on outside."""
    if len(grid) == 1:
        return float(values[0])
    low = min(max(int(np.searchsorted(grid, x, "right")) - 1, 0), len(grid) - 2)
    share = (x - grid[low]) / (grid[low + 1] - grid[low])
    return float(values[low] + (values[low + 1] - values[low]) * share)


def require_room(costs: StepCosts, traffic: Traffic) -> None:
    """Raise :class:`InputError` that names the first request which the cache can never hold."""
    needed = -(-(traffic.prompt + traffic.output - 1) // costs.page_tokens)
    if needed.max() > costs.pages:
        request = int(np.argmax(needed > costs.pages))
        raise InputError(
            f"request {request} has {traffic.prompt[request]} + {traffic.output[request]} tokens, but the cache of the engine "
            f"holds {costs.pages * costs.page_tokens}; use shorter requests or more memory"
        )


def simulate_batching(costs: StepCosts, traffic: Traffic) -> Outcome:
    """``traffic`` on one engine, every step of it.

    The time it takes grows with arrivals, answers and steps that read prompts, not with tokens. Raises :class:`InputError`
    for a request that can never fit the cache.
    """
    require_room(costs, traffic)
    arrival = traffic.arrival_seconds.astype(np.float64)
    first, finish = np.zeros(len(traffic)), np.zeros(len(traffic))
    lengths, where = np.unique(traffic.prompt, return_inverse=True)
    delay = np.array([costs.outside_seconds(int(length)) for length in lengths])[where]
    run = Batching(costs, traffic, delay, arrival, first, finish)
    while not run.advance(EVENTS):
        pass
    return Outcome(traffic, arrival, first, finish, run.busy_seconds, run.prompt_tokens, int(traffic.output.sum()),
                   run.preemptions)
