"""Predictions: one step (:func:`predict`), and whole requests in steady state (:func:`serve`).

Both take names or objects; :func:`predict_on` and :func:`serve_on` take a deployment that is resolved already.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple, Unpack

from wsekern.cluster.deploy import Degrees, deploy
from wsekern.cluster.engine import Engine
from wsekern.cluster.evidence import assumptions, nearest_points
from wsekern.cluster.hardware import Cluster, timed
from wsekern.cluster.layout import Deployment, Layout, Memory, memory_of, require_fit
from wsekern.cluster.power import Activity, activity, cluster_watts
from wsekern.cluster.precision import Precision
from wsekern.cluster.scoped import kept_while_shipped
from wsekern.cluster.steady import SteadyState, kept_state
from wsekern.cluster.step import decode_step, prefill_step
from wsekern.cluster.trust import Trust, confidence, trust_of
from wsekern.errors import InputError, check_flag
from wsekern.shown import Shown
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import Request


@dataclass(frozen=True, kw_only=True, repr=False)
class Prediction(Shown):
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
    not_measured: list[str] = field(default_factory=list)
    time_factors: tuple[float, float] = (1.0, 1.0)  # between which real times are, over those here, where something was not

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; the layout's degrees and GPUs stand beside the rest."""
        return _flat(asdict(self), self.layout)


@dataclass(frozen=True, kw_only=True, repr=False)
class Served(Shown):
    """Users who take turns, each with the request's prompt and answer: whole requests (:class:`wsekern.workload.Measure`).

    Times and totals are those under the load of all users, but for the ``lone`` ones, of a user with nobody beside. Energy and
    price of output tokens carry the prompts. ``breakdown`` adds up to the time per output token.
    """

    users: int
    prompt: int
    output: int
    think_seconds: float
    time_to_first_token_seconds: float
    prefill_seconds: float
    queueing_seconds: float
    time_per_output_token_seconds: float
    tokens_per_second_per_user: float
    tokens_per_second: float
    tokens_per_second_per_gpu: float
    prompt_tokens_per_second: float
    requests_per_second: float
    request_seconds: float
    lone_time_to_first_token_seconds: float
    lone_time_per_output_token_seconds: float
    decoding_users: float
    watts: float
    joules_per_token: float
    joules_per_request: float
    usd_per_million_tokens: float
    usd_per_request: float
    memory_used_bytes: float
    memory_available_bytes: float
    breakdown: dict[str, float]
    layout: Layout
    engine_level: str
    confidence: str
    nearest: list[dict[str, Any]] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)
    not_measured: list[str] = field(default_factory=list)
    time_factors: tuple[float, float] = (1.0, 1.0)  # between which real times are, over those here, where something was not

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
    check_memory = check_flag(check_memory, "check_memory")
    layout, decode, trust = deployment.layout, phase == "decode", trust_of(deployment)
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
        assumptions=[*trust.sentences, *assumptions(deployment)],
        not_measured=list(trust.lacking),
        time_factors=trust.factors,
    )


def serve(
    model: ModelConfig, request: Request, cluster: Cluster | str, *, engine_level: str | Engine = "stock",
    precision: str | Precision | None = None, check_memory: bool = True, think_seconds: float = 0.0, **degrees: Unpack[Degrees]
) -> Served:
    """``request.batch`` users who take turns: each sends the next prompt ``think_seconds`` after the answer is there.

    Users wait for their first token while the prompts of others are read, and for every further one while prompts ride along
    with the decoding steps (or, where the engine reads prompts whole, as stock-unchunked does, run before them). Arguments and
    errors are those of :func:`predict`; ``precision`` is the request's unless given.
    """
    form = precision if precision is not None else request.precision
    deployment = deploy(
        model, cluster, context=request.context, batch=request.batch, precision=form, engine_level=engine_level, **degrees
    )
    return serve_on(deployment, request, check_memory, think_seconds=think_seconds)


def serve_on(
    deployment: Deployment, request: Request, check_memory: bool = True, *, think_seconds: float = 0.0,
    cached: float | None = None
) -> Served:
    """:func:`serve` on a deployment, whose precision counts. The first ``cached`` tokens of every prompt need not be read: the
    request's shared ones unless given."""
    check_memory = check_flag(check_memory, "check_memory")
    known = _unpriced(replace(deployment, cluster=timed(deployment.cluster)), request, check_memory, think_seconds, cached)
    state, memory, trust = known.state, known.memory, known.trust
    measure, gpus = state.measure, deployment.layout.gpus
    watts = _watts(deployment, state.activity)
    usd_per_hour = gpus * float(deployment.gpu.price.per_hour)
    return Served(
        users=request.batch, prompt=request.prompt, output=request.output, think_seconds=think_seconds,
        time_to_first_token_seconds=measure.time_to_first_token_seconds,
        prefill_seconds=state.prefill.seconds,
        queueing_seconds=state.queueing_seconds,
        time_per_output_token_seconds=measure.time_per_output_token_seconds,
        tokens_per_second_per_user=measure.tokens_per_second_per_user,
        tokens_per_second=measure.tokens_per_second,
        tokens_per_second_per_gpu=measure.tokens_per_second / gpus,
        prompt_tokens_per_second=measure.prompt_tokens_per_second,
        requests_per_second=measure.requests_per_second,
        request_seconds=measure.request_seconds,
        lone_time_to_first_token_seconds=state.first_token_seconds,
        lone_time_per_output_token_seconds=state.lone_token_seconds,
        decoding_users=state.decoding_users,
        watts=watts,
        joules_per_token=measure.joules_per_token(watts),
        joules_per_request=measure.joules_per_request(watts),
        usd_per_million_tokens=measure.usd_per_million_tokens(usd_per_hour),
        usd_per_request=measure.usd_per_request(usd_per_hour),
        memory_used_bytes=memory.used,
        memory_available_bytes=memory.available,
        breakdown=state.breakdown,
        layout=deployment.layout,
        engine_level=deployment.engine.title,
        confidence=known.confidence,
        nearest=list(known.nearest),
        assumptions=[*trust.sentences, *assumptions(deployment), *_arrivals(request, deployment.layout, state)],
        not_measured=list(trust.lacking),
        time_factors=trust.factors,
    )


class _Unpriced(NamedTuple):
    """What is known of users on a deployment whatever it draws and costs."""

    state: SteadyState
    memory: Memory
    trust: Trust
    confidence: str
    nearest: tuple[dict[str, Any], ...]


@kept_while_shipped(maxsize=4096)
def _unpriced(deployment: Deployment, request: Request, check_memory: bool, think_seconds: float,
              cached: float | None) -> _Unpriced:
    """Of a deployment on a :func:`wsekern.cluster.hardware.timed` cluster."""
    memory = _memory(deployment, request.context, request.batch, check_memory, request.shared)
    state = kept_state(deployment, request.prompt, request.output, request.batch, think_seconds, request.shared, cached,
                       check_memory)
    nearest = nearest_points(deployment, request.batch, request.prompt + request.output // 2, "decode")
    return _Unpriced(state, memory, trust_of(deployment), confidence(deployment), tuple(nearest))


def _memory(deployment: Deployment, context: int, batch: int, check: bool, shared: int = 0) -> Memory:
    memory = memory_of(deployment, context, batch, shared)
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


def _arrivals(request: Request, layout: Layout, state: SteadyState) -> list[str]:
    """What queueing takes for granted: benchmarks that start all users at once measure far more."""
    others = -(-request.batch // layout.dp) - 1
    if others < 1:
        return []
    return [
        "each user sends the next prompt when the answer is there; where all start at once the last first token comes "
        f"{others * state.prefill.device:.2g} s later"
    ]
