"""Users who take turns on one engine with continuous batching: the steady state in closed form, without running it.

Time is counted in steps first. ``arrivals`` prompts come in a step, as many as answers end; an answer takes a step for each
token after the first. From the number of arrivals follow the sequences that decode, from these the seconds of a step and the
tokens that it has left for prompts, from these the steps that prompts wait. Every user is somewhere in this cycle, which
settles the number of arrivals (:class:`wsekern.queueing.reference.closed.Turn` has the formulas).
:func:`wsekern.queueing.batching.simulate_batching` runs the same queue step by step.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from wsekern.queueing._closed import Turn
from wsekern.queueing.batching import StepCosts


@dataclass(frozen=True, kw_only=True)
class ClosedQueue:
    """Means of ``users`` on one engine, each of whom sends the next prompt when the answer is there."""

    time_to_first_token_seconds: float
    time_per_output_token_seconds: float
    stalled_seconds: float
    """What of the time per output token the prompts of others add to a step that decodes."""
    step_sequences: float
    """That decode in the steps of a decoding user, its own included."""
    decoding_users: float
    """Mean over the time."""
    requests_per_second: float
    """Of all users."""


def closed_queue(costs: StepCosts, users: float, prompt: float, output: float, think_seconds: float = 0.0) -> ClosedQueue:
    """Steady state of ``users`` with prompts of ``prompt`` tokens to be read and answers of about ``output`` tokens. As many
    are inside as the cache holds, the others wait for a place. ``users`` may be broken: the mean of several engines."""
    return of_turn(Turn(costs, prompt, output, think_seconds), costs, users, output, think_seconds)


def of_turn(turn: "Takes", costs: StepCosts, users: float, output: float, think_seconds: float) -> ClosedQueue:
    """The queue of ``users`` by what their turns take."""
    room = costs.pages * costs.page_tokens - costs.shared
    inside = max(1.0, min(users, costs.sequences, room / turn.held))
    state = State(*turn.settle(inside))
    token = (state.step + state.stalled) / costs.kept
    answer = (output - 1.0) * token
    cycle = turn.away + state.first + answer
    cycle = max(cycle, inside * state.each)  # the engine reads one prompt after the other
    if costs.chunked:  # steps hold no more prompts than that
        cycle = max(cycle, inside * (state.step + state.stalled) / turn.full)
    cycle *= max(users, 1.0) / inside
    return ClosedQueue(
        time_to_first_token_seconds=cycle - answer - think_seconds, time_per_output_token_seconds=token,
        stalled_seconds=state.stalled / costs.kept, step_sequences=state.sequences, decoding_users=users * answer / cycle,
        requests_per_second=users / cycle)


class State(NamedTuple):
    """``sequences`` that decode, seconds of their step, what prompts add to it on average and ``each`` of them, seconds and
    steps of others from entering the line to the first token."""

    sequences: float
    step: float
    stalled: float
    each: float
    first: float
    first_steps: float


class Takes(Protocol):
    """What a turn of each user takes: seconds ``away``, tokens ``held`` in the cache, prompts that fill a step."""

    @property
    def away(self) -> float: ...

    @property
    def held(self) -> float: ...

    @property
    def full(self) -> float: ...

    def settle(self, users: float) -> tuple[float, float, float, float, float, float]:
        """The :class:`State` where ``users`` fill the cycle."""
