"""Users who take turns on a deployment: the steady state of the closed queue, with what the GPUs do meanwhile."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from wsekern.cluster.layout import Deployment
from wsekern.cluster.load import engines_of, ranks_of, turn_costs
from wsekern.cluster.power import Activity, activity
from wsekern.cluster.scoped import kept_while_shipped
from wsekern.cluster.step import decode_step, prefill_step
from wsekern.cluster.work import CAUSES, StepTime
from wsekern.errors import check_flag
from wsekern.queueing.batching import StepCosts
from wsekern.queueing.closed import ClosedQueue, closed_queue
from wsekern.shown import Shown
from wsekern.workload.measure import Measure

BESIDE = ("kv", "compute", "all_reduce")
"""Causes of the time that prompts add to a step of decoding sequences, whose weights and fixed times they share."""

UNBOUNDED = 10**15
"""Tokens of a cache that never fills."""


@dataclass(frozen=True, repr=False)
class SteadyState(Shown):
    """Users that take turns on a deployment, each sending the next prompt some time after the answer is done."""

    measure: Measure
    """Times under the load of all users, and the totals that follow."""
    decode: StepTime
    """A step of the sequences that decode on average beside a decoding user, without prompts."""
    prefill: StepTime
    """The prompt of one user."""
    first_token_seconds: float
    """Of a lone user, from sending a prompt to its first token."""
    lone_token_seconds: float
    """Of a lone user, per further token."""
    decoding_users: float
    """Mean over the time, on the whole deployment."""
    activity: Activity
    """What one GPU does with its time: decoding steps and prompts."""
    breakdown: dict[str, float]
    """Time per output token by cause, that of prompts of others included."""

    @property
    def token_seconds(self) -> float:
        """Time per output token, the prompts of others included."""
        return self.measure.time_per_output_token_seconds

    @property
    def queueing_seconds(self) -> float:
        """How much longer than a lone user one waits for the first token: none where that comes sooner, since the launches of a
        prompt that rides along are hidden."""
        return max(0.0, self.measure.time_to_first_token_seconds - self.first_token_seconds)


class _Measured(NamedTuple):
    """The queue of all users, and what follows for each."""

    measure: Measure
    decode: StepTime
    queue: ClosedQueue
    costs: StepCosts


def steady_state(
    deployment: Deployment, prompt: float, output: float, batch: float, sampled: bool = False, *, think_seconds: float = 0.0,
    bounded: bool = True, shared: float = 0.0, cached: float | None = None,
    costs: StepCosts | None = None
) -> SteadyState:
    """``batch`` users with prompts of ``prompt`` and answers of ``output`` tokens; ``sampled`` as in
    :class:`wsekern.cluster.work.Work`. Where ``bounded``, users whom the
    cache does not hold wait outside. The first ``cached`` tokens of every prompt need not be read (the ``shared`` ones unless
    given), of these ``shared`` are kept once for all. ``costs``: :func:`wsekern.cluster.load.turn_costs` of at least as many
    users, for callers who look at several numbers of them."""
    sampled, bounded = check_flag(sampled, "sampled"), check_flag(bounded, "bounded")
    cached = shared if cached is None else cached
    found = _measured(deployment, prompt, output, batch, sampled, think_seconds, bounded, shared, cached, costs)
    return _whole(deployment, prompt - cached, cached, found)


@kept_while_shipped(maxsize=4096)
def kept_state(deployment: Deployment, prompt: int, output: int, batch: int, think_seconds: float, shared: int,
               cached: float | None, bounded: bool = True) -> SteadyState:
    """:func:`steady_state`, kept for who asks again: give it a deployment on a :func:`wsekern.cluster.hardware.timed` cluster,
    so that prices and power make no difference."""
    cached = shared if cached is None else cached
    found = _kept_measured(deployment, prompt, output, batch, think_seconds, bounded, shared, cached)
    return _whole(deployment, prompt - cached, cached, found)


def kept_measure(deployment: Deployment, prompt: int, output: int, batch: int, think_seconds: float, shared: int,
                 cached: float | None) -> Measure:
    """That of :func:`kept_state` alone."""
    cached = shared if cached is None else cached
    return _kept_measured(deployment, prompt, output, batch, think_seconds, True, shared, cached).measure


@kept_while_shipped(maxsize=4096)
def _kept_measured(deployment: Deployment, prompt: int, output: int, batch: int, think_seconds: float, bounded: bool,
                   shared: int, cached: float) -> _Measured:
    return _measured(deployment, prompt, output, batch, False, think_seconds, bounded, shared, cached, None)


def _measured(deployment: Deployment, prompt: float, output: float, batch: float, sampled: bool, think_seconds: float,
              bounded: bool, shared: float, cached: float, costs: StepCosts | None) -> _Measured:
    engines = engines_of(deployment)
    users = max(1.0, batch / engines)
    if costs is None:
        costs = turn_costs(deployment, prompt, output, users, sampled=sampled, cached=cached, shared=shared)
    if not bounded:
        costs = replace(costs, cache_tokens=UNBOUNDED)
    queue = closed_queue(costs, users, prompt - cached, output, think_seconds)
    decode = decode_step(deployment, engines * queue.step_sequences, prompt + output / 2.0, sampled)
    measure = Measure(
        users=batch, prompt=prompt, output=output, time_to_first_token_seconds=queue.time_to_first_token_seconds,
        time_per_output_token_seconds=decode.seconds / costs.kept + queue.stalled_seconds, think_seconds=think_seconds)
    return _Measured(measure, decode, queue, costs)


def _whole(deployment: Deployment, unread: float, cached: float, found: _Measured) -> SteadyState:
    """With a lone user, and with what the GPUs do."""
    measure, decode, queue, costs = found
    lone = closed_queue(costs, 1.0, unread, measure.output, measure.think_seconds)
    prefill = prefill_step(deployment, 1.0, unread, cached)
    return SteadyState(
        measure=measure, decode=decode, prefill=prefill, first_token_seconds=lone.time_to_first_token_seconds,
        lone_token_seconds=lone.time_per_output_token_seconds,
        decoding_users=engines_of(deployment) * queue.decoding_users,
        activity=_activity(deployment, decode, prefill, queue, measure, costs),
        breakdown=_breakdown(decode, prefill, queue.stalled_seconds, costs))


def _activity(
    deployment: Deployment, decode: StepTime, prefill: StepTime, queue: ClosedQueue, measure: Measure, costs: StepCosts
) -> Activity:
    """What one GPU does: in every second so many decoding steps and prompts."""
    pp, ranks = deployment.layout.pp, ranks_of(deployment)
    requests = measure.requests_per_second / engines_of(deployment)
    steps = requests * (measure.output - 1.0) / costs.kept / queue.step_sequences
    stages = min(1.0, queue.step_sequences / ranks / pp)  # of a pipeline with fewer users than stages, some wait
    peak = deployment.gpu.peak_flops(deployment.precision.arithmetic)
    return activity([(steps * stages, decode), (requests / ranks / pp, prefill)], 1.0, peak)


def _breakdown(decode: StepTime, prefill: StepTime, stalled: float, costs: StepCosts) -> dict[str, float]:
    """Seconds per output token by cause: a decoding step, and what prompts add to it, as the causes of a prompt share it."""
    parts = {cause: prefill.breakdown[cause] for cause in (BESIDE if costs.chunked else CAUSES)}
    share = stalled / sum(parts.values())
    return {cause: seconds / costs.kept + share * parts.get(cause, 0.0) for cause, seconds in decode.breakdown.items()}
