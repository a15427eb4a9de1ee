"""Predictions: one step (:func:`predict`), and a whole request in steady state (:func:`serve`).

Both take names or objects; :func:`predict_on` and :func:`serve_on` take a deployment that is resolved already.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Unpack

from wsekern.cluster.constants import constants
from wsekern.cluster.deploy import Degrees, deploy
from wsekern.cluster.engine import Engine
from wsekern.cluster.evidence import assumptions, confidence, nearest_points
from wsekern.cluster.hardware import Cluster
from wsekern.cluster.layout import Deployment, Layout, Memory, memory_of, require_fit
from wsekern.cluster.operators import StepTime
from wsekern.cluster.power import Activity, activity, cluster_watts
from wsekern.cluster.precision import Precision
from wsekern.cluster.queueing import busiest, waiting
from wsekern.cluster.step import decode_step, prefill_step
from wsekern.errors import InputError
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import Request


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One step. ``tokens_per_second`` counts all sequences; seconds of ``breakdown`` add up to ``seconds``."""

    phase: str
    seconds: float
    tokens_per_second: float
    tokens_per_second_per_user: float
    breakdown: dict[str, float]
    watts: float
    joules_per_token: float
    usd_per_million_tokens: float
    memory_used_bytes: float
    memory_available_bytes: float
    sequences_that_fit: int
    roofline_seconds: float
    layout: Layout
    engine_level: str
    confidence: str
    nearest: list[dict[str, Any]] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; the layout's degrees and GPUs stand beside the rest."""
        return _flat(asdict(self), self.layout)


@dataclass(frozen=True, kw_only=True)
class Served:
    """A request stream in steady state at the request's batch; TPOT excludes the first token."""

    time_to_first_token_seconds: float
    prefill_seconds: float
    queueing_seconds: float
    time_per_output_token_seconds: float
    tokens_per_second_per_user: float
    tokens_per_second: float
    tokens_per_second_per_gpu: float
    request_seconds: float
    watts: float
    joules_per_token: float
    usd_per_million_tokens: float
    memory_used_bytes: float
    memory_available_bytes: float
    breakdown: dict[str, float]
    layout: Layout
    engine_level: str
    confidence: str
    nearest: list[dict[str, Any]] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; the layout's degrees and GPUs stand beside the rest."""
        return _flat(asdict(self), self.layout)


def _flat(data: dict[str, Any], layout: Layout) -> dict[str, Any]:
    """``data`` with the degrees and GPUs of ``layout`` in place of the key ``layout``."""
    flat: dict[str, Any] = {}
    for name, value in data.items():
        flat.update({**value, "gpus": layout.gpus} if name == "layout" else {name: value})
    return flat


def predict(
    model: ModelConfig, cluster: Cluster | str, *, phase: str = "decode", context: int = 4096, batch: int = 1,
    precision: str | Precision = "bf16", engine_level: str | Engine = "stock", check_memory: bool = True,
    **degrees: Unpack[Degrees]
) -> Prediction:
    """One decode step at ``context``, or the prefill of ``context`` tokens, for ``batch`` sequences.

    ``degrees`` (tp, pp, dp, ep) may fix the layout. Raises :class:`InputError` for what is unknown or does not fit together,
    :class:`BudgetError` where the memory is too small (unless ``check_memory`` is false).
    """
    if phase not in ("prefill", "decode"):
        raise InputError(f"phase {phase!r} is unknown; use prefill or decode")
    for name, value in (("context", context), ("batch", batch)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name} is {value!r}, expected a whole number of at least 1")
    deployment = deploy(
        model, cluster, context=context, batch=batch, precision=precision, engine_level=engine_level, **degrees
    )
    return predict_on(deployment, phase, context, batch, check_memory)


def predict_on(deployment: Deployment, phase: str, context: int, batch: int, check_memory: bool = True) -> Prediction:
    """:func:`predict` on a deployment; ``phase`` is decode or prefill."""
    layout, decode = deployment.layout, phase == "decode"
    memory = _memory(deployment, context, batch, check_memory)
    step = decode_step(deployment, batch, context) if decode else prefill_step(deployment, batch, context)
    seconds, tokens = step.seconds, batch * (1 if decode else context)
    share = min(1.0, batch / layout.dp / layout.pp) if decode else 1.0 / layout.pp  # stages with work at a time
    watts = _watts(deployment, activity([(share, step)], seconds, _peak(deployment)))
    return Prediction(
        phase=phase,
        seconds=seconds,
        tokens_per_second=tokens / seconds,
        tokens_per_second_per_user=tokens / batch / seconds,
        breakdown=step.breakdown,
        watts=watts,
        joules_per_token=watts * seconds / tokens,
        usd_per_million_tokens=_usd(deployment, seconds / tokens),
        memory_used_bytes=memory.used,
        memory_available_bytes=memory.available,
        sequences_that_fit=memory.sequences,
        roofline_seconds=step.roofline,
        layout=layout,
        engine_level=deployment.engine.title,
        confidence=confidence(deployment),
        nearest=nearest_points(deployment, batch, context, phase),
        assumptions=assumptions(deployment),
    )


def serve(
    model: ModelConfig, request: Request, cluster: Cluster | str, *, engine_level: str | Engine = "stock",
    precision: str | Precision | None = None, check_memory: bool = True, **degrees: Unpack[Degrees]
) -> Served:
    """``request.batch`` users at once, each replaced by the next when done (continuous batching, steady state).

    While one user decodes, every other user's place is refilled once per answer, and its prompt is prefilled between
    (or chunked into) the decode steps; that time is charged to the time per output token. Arguments and errors are those of
    :func:`predict`; ``precision`` is the request's unless given.
    """
    form = precision if precision is not None else request.precision
    deployment = deploy(
        model, cluster, context=request.context, batch=request.batch, precision=form, engine_level=engine_level, **degrees
    )
    return serve_on(deployment, request, check_memory)


def serve_on(deployment: Deployment, request: Request, check_memory: bool = True) -> Served:
    """:func:`serve` on a deployment, whose precision counts."""
    memory = _memory(deployment, request.context, request.batch, check_memory)
    state = steady_state(deployment, request.prompt, request.output, request.batch)
    token, first = state.token_seconds, state.first_token_seconds + state.queueing_seconds
    total = request.batch / token
    watts = _watts(deployment, state.activity)
    return Served(
        time_to_first_token_seconds=first,
        prefill_seconds=state.prefill.seconds,
        queueing_seconds=state.queueing_seconds,
        time_per_output_token_seconds=token,
        tokens_per_second_per_user=1.0 / token,
        tokens_per_second=total,
        tokens_per_second_per_gpu=total / deployment.layout.gpus,
        request_seconds=first + token * (request.output - 1),
        watts=watts,
        joules_per_token=watts / total,
        usd_per_million_tokens=_usd(deployment, 1.0 / total),
        memory_used_bytes=memory.used,
        memory_available_bytes=memory.available,
        breakdown={cause: seconds * token / state.decode.seconds for cause, seconds in state.decode.breakdown.items()},
        layout=deployment.layout,
        engine_level=deployment.engine.title,
        confidence=confidence(deployment),
        nearest=nearest_points(deployment, request.batch, request.prompt + request.output // 2, "decode"),
        assumptions=[*assumptions(deployment), *_arrivals(request, deployment.layout, state.prefill)],
    )


@dataclass(frozen=True)
class SteadyState:
    """Users that take turns on a deployment, each sending the next prompt when the answer is done."""

    decode: StepTime
    """One decode step of all users."""
    prefill: StepTime
    """The prompt of one user."""
    token_seconds: float
    """Time per output token, the prompts of others included."""
    first_token_seconds: float
    """From the start of a prompt to its first token."""
    queueing_seconds: float
    """Until a prompt starts."""
    activity: Activity
    """What one GPU does with its time: decode steps and the prompts of all users."""


def steady_state(deployment: Deployment, prompt: float, output: float, batch: float, sampled: bool = False) -> SteadyState:
    """``batch`` users with prompts of ``prompt`` and answers of ``output`` tokens; ``sampled`` as in :class:`Work`."""
    layout, engine = deployment.layout, deployment.engine
    decode = decode_step(deployment, batch, prompt + output / 2.0, sampled)
    prefill = prefill_step(deployment, 1.0, prompt)
    users = max(1.0, batch / layout.dp)
    delay, again = _interruption(deployment, prefill, prompt, _arrivals_per_step(deployment, users, output))
    token = decode.seconds + delay + again
    first = prefill.seconds + float(engine.per_request)
    # Without chunked prefill decoding stops while a prompt runs.
    answer = output * (token if engine.chunked else decode.seconds)
    queue = waiting(users, prefill.device / layout.pp, answer) + (decode.seconds * 0.5 if users > 1.0 else 0.0)
    return SteadyState(decode, prefill, token, first, queue, _activity(deployment, decode, prefill, batch, output, token))


def _arrivals_per_step(deployment: Deployment, users: float, output: float) -> float:
    """Prompts that begin in the time of one decode step, on one copy of the attention that serves ``users``."""
    layout = deployment.layout
    mean = (users - 1.0) / max(1.0, output)
    # ranks that share experts go in step: all wait for the busiest
    in_step = deployment.model.experts and layout.ep > 1 and layout.dp > 1 and not deployment.engine.balanced
    return busiest(mean, layout.dp) if in_step else mean


def _interruption(deployment: Deployment, prefill: StepTime, prompt: float, arrivals_per_step: float) -> tuple[float, float]:
    """(seconds by which prompts that ride along lengthen a decode step, seconds of the further steps that they need).

    Launches and the engine's step are paid by the decode steps already. Prompts that ride along share the weights and the
    fixed times too, as long as a step has room for their tokens; each further step pays them again.
    """
    engine = deployment.engine
    shared = again = 0.0
    if engine.chunked:
        once = prefill.weights + prefill.fixed
        shared = arrivals_per_step * once
        again = max(0.0, arrivals_per_step * prompt / constants().step_tokens.value - 1.0) * once
    return max(0.0, float(engine.interference) * arrivals_per_step * prefill.device - shared), again


def _activity(
    deployment: Deployment, decode: StepTime, prefill: StepTime, batch: float, output: float, token: float
) -> Activity:
    """What one GPU does in steady state: decode steps and the prompts of ``batch`` users."""
    layout = deployment.layout
    users = batch / layout.dp
    stages = min(1.0, users / layout.pp)  # of a pipeline with fewer users than stages, some stages wait
    prompts = users / max(1.0, output) / layout.pp
    return activity([(stages, decode), (prompts, prefill)], token, _peak(deployment))


def _memory(deployment: Deployment, context: int, batch: int, check: bool) -> Memory:
    memory = memory_of(deployment, context, batch)
    if check:
        require_fit(deployment, memory, context, batch)
    return memory


def _watts(deployment: Deployment, doing: Activity) -> float:
    return cluster_watts(deployment.cluster, deployment.layout.gpus, doing)


def _peak(deployment: Deployment) -> float:
    """FLOP/s of one GPU in the arithmetic of the weights."""
    return deployment.gpu.peak_flops(deployment.precision.arithmetic)


def _usd(deployment: Deployment, seconds_per_token: float) -> float:
    """USD per million tokens."""
    return deployment.layout.gpus * float(deployment.gpu.price.per_hour) / 3600.0 * seconds_per_token * 1e6


def _arrivals(request: Request, layout: Layout, prefill: StepTime) -> list[str]:
    """What queueing takes for granted: benchmarks that start all users at once measure far more."""
    others = -(-request.batch // layout.dp) - 1
    if others < 1:
        return []
    return [
        "each user sends the next prompt when the answer is there; where all start at once the last first token comes "
        f"{others * prefill.device:.2g} s later"
    ]
