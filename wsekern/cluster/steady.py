"""Users who take turns on a deployment: the steady state of the closed queue, with what the GPUs do meanwhile."""

from dataclasses import dataclass, replace

from wsekern.cluster.layout import Deployment
from wsekern.cluster.load import engines_of, ranks_of, turn_costs
from wsekern.cluster.operators import CAUSES, StepTime
from wsekern.cluster.step import decode_step, prefill_step
from wsekern.queueing.closed import ClosedQueue, closed_queue
from wsekern.workload.measure import Measure

BESIDE = ("kv", "compute", "all_reduce")
"""Causes of the time that prompts add to a step of decoding sequences, whose weights and fixed times they share."""

UNBOUNDED = 10**15
"""Tokens of a cache that never fills."""


@dataclass(frozen=True)
class SteadyState:
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
    flops_per_second: float
    """Rate of one GPU."""
    busy: float
    """Share of the time in which one GPU runs kernels."""
    breakdown: dict[str, float]
    """Time per output token by cause, that of prompts of others included."""

    @property
    def token_seconds(self) -> float:
        """Time per output token, the prompts of others included."""
        return self.measure.time_per_output_token_seconds

    @property
    def queueing_seconds(self) -> float:
        """How much longer than a lone user one waits for the first token."""
        return self.measure.time_to_first_token_seconds - self.first_token_seconds


def steady_state(
    deployment: Deployment, prompt: float, output: float, batch: float, sampled: bool = False, *, think_seconds: float = 0.0,
    chunked: bool | None = None, bounded: bool = True
) -> SteadyState:
    """``batch`` users with prompts of ``prompt`` and answers of ``output`` tokens; ``sampled`` as in
    :class:`wsekern.cluster.operators.Work`; ``chunked`` is the engine level's unless given. Where ``bounded``, users whom the
    cache does not hold wait outside."""
    engines = engines_of(deployment)
    users = max(1.0, batch / engines)
    costs = turn_costs(deployment, prompt, output, users, chunked=chunked, sampled=sampled)
    if not bounded:
        costs = replace(costs, cache_tokens=UNBOUNDED)
    lone = closed_queue(costs, 1.0, prompt, output, think_seconds)
    queue = closed_queue(costs, users, prompt, output, think_seconds)
    decode = decode_step(deployment, engines * queue.step_sequences, prompt + output / 2.0, sampled)
    prefill = prefill_step(deployment, 1.0, prompt)
    measure = Measure(
        users=batch, prompt=prompt, output=output, time_to_first_token_seconds=queue.time_to_first_token_seconds,
        time_per_output_token_seconds=decode.seconds + queue.stalled_seconds, think_seconds=think_seconds)
    rate, busy = _gpu_load(deployment, decode, prefill, queue, measure, costs.chunked)
    return SteadyState(
        measure=measure, decode=decode, prefill=prefill, first_token_seconds=lone.time_to_first_token_seconds,
        lone_token_seconds=lone.time_per_output_token_seconds, decoding_users=engines * queue.decoding_users,
        flops_per_second=rate, busy=busy, breakdown=_breakdown(decode, prefill, queue.stalled_seconds, costs.chunked))


def _gpu_load(
    deployment: Deployment, decode: StepTime, prefill: StepTime, queue: ClosedQueue, measure: Measure, chunked: bool
) -> tuple[float, float]:
    """(FLOP/s, share of the time in kernels) of one GPU: decoding steps and prompts."""
    pp, engines = deployment.layout.pp, engines_of(deployment)
    requests = measure.requests_per_second / engines
    steps = requests * (measure.output - 1.0) / queue.step_sequences
    stages = min(1.0, queue.step_sequences / ranks_of(deployment) / pp)  # of a pipeline with fewer users than stages, some wait
    prompts = requests / ranks_of(deployment) / pp
    beside = min(1.0, steps * measure.time_per_output_token_seconds)  # share of the time in which sequences decode
    share = 1.0 - (prefill.idle if chunked else prefill.idle + prefill.engine) / prefill.seconds
    rate = steps * stages * decode.flops + prompts * prefill.flops
    busy = steps * (stages * decode.busy + share * queue.stalled_seconds) + (1.0 - beside) * prompts * prefill.busy
    return rate, min(1.0, busy)


def _breakdown(decode: StepTime, prefill: StepTime, stalled: float, chunked: bool) -> dict[str, float]:
    """Seconds per output token by cause: a decoding step, and what prompts add to it, as the causes of a prompt share it."""
    parts = {cause: prefill.breakdown[cause] for cause in (BESIDE if chunked else CAUSES)}
    share = stalled / sum(parts.values())
    return {cause: seconds + share * parts.get(cause, 0.0) for cause, seconds in decode.breakdown.items()}
