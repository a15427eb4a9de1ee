"""Predictions: one step (:func:`predict`), and a whole request in steady state (:func:`serve`)."""

from dataclasses import asdict, dataclass, field
from math import exp
from typing import Any

from wsekern.cluster import experts
from wsekern.cluster.engine import Engine, load_engine
from wsekern.cluster.evidence import nearest_points
from wsekern.cluster.hardware import Cluster, load_cluster
from wsekern.cluster.layout import Layout, default_layout, memory_of, require_fit
from wsekern.cluster.parameters import kernel_fit
from wsekern.cluster.power import cluster_watts
from wsekern.cluster.precision import Precision, precision_of
from wsekern.cluster.step import Step, Work, forward
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
    tp: int
    pp: int
    dp: int
    ep: int
    gpus: int
    engine_level: str
    confidence: str
    nearest: list[dict[str, Any]] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


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
    tp: int
    pp: int
    dp: int
    ep: int
    gpus: int
    engine_level: str
    confidence: str
    nearest: list[dict[str, Any]] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def decode_step(
    model: ModelConfig,
    cluster: Cluster,
    layout: Layout,
    precision: Precision,
    engine: Engine,
    batch: float,
    context: float,
    sampled: bool = False,
) -> Step:
    """One new token for each of ``batch`` sequences spread over the replicas and pipeline stages of ``layout``."""
    each = max(1.0, batch / (layout.dp * layout.pp))
    return forward(model, cluster, layout, precision, engine, Work(each, each, context, False, sampled))


def prefill_step(
    model: ModelConfig,
    cluster: Cluster,
    layout: Layout,
    precision: Precision,
    engine: Engine,
    sequences: float,
    tokens: float,
    context: float = 0.0,
) -> Step:
    """``tokens`` new prompt tokens of each of ``sequences``, after ``context`` tokens that are cached already."""
    each = max(1.0, sequences / layout.dp)
    return forward(model, cluster, layout, precision, engine, Work(each * tokens, each, context, prefill=True))


def choose_layout(
    model: ModelConfig,
    cluster: Cluster,
    precision: Precision,
    context: float,
    batch: int,
    tp: int | None = None,
    pp: int | None = None,
    dp: int | None = None,
    ep: int | None = None,
) -> Layout:
    """The given degrees, or the default for those left open."""
    if tp is None and pp is None and dp is None and ep is None:
        return default_layout(model, cluster, precision, context, batch)
    dp, pp = dp or 1, pp or 1
    if tp is None:
        tp = max(1, min(cluster.count // (dp * pp), cluster.domain))
        while tp > 1 and model.heads % tp:
            tp -= 1
    layout = Layout(tp=tp, pp=pp, dp=dp, ep=ep or 1)
    layout.check(model, cluster)
    return layout


def predict(
    model: ModelConfig,
    cluster: Cluster | str,
    *,
    phase: str = "decode",
    context: int = 4096,
    batch: int = 1,
    precision: str | Precision = "bf16",
    engine_level: str | Engine = "stock",
    tp: int | None = None,
    pp: int | None = None,
    dp: int | None = None,
    ep: int | None = None,
    check_memory: bool = True,
) -> Prediction:
    """One decode step at ``context``, or the prefill of ``context`` tokens, for ``batch`` sequences."""
    if phase not in ("prefill", "decode"):
        raise InputError(f"phase {phase!r} is unknown; use prefill or decode")
    for name, value in (("context", context), ("batch", batch)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name} is {value!r}, expected a whole number of at least 1")
    cluster, form, engine = load_cluster(cluster), precision_of(precision), load_engine(engine_level)
    layout = choose_layout(model, cluster, form, context, batch, tp, pp, dp, ep)
    memory = memory_of(model, cluster, layout, form, context, batch)
    if check_memory:
        require_fit(model, cluster, layout, memory, context, batch)
    make = decode_step if phase == "decode" else _whole_prefill
    step = make(model, cluster, layout, form, engine, batch, context)
    seconds = step.seconds
    tokens = batch * (context if phase == "prefill" else 1)
    share = min(1.0, batch / layout.dp / layout.pp) if phase == "decode" else 1.0 / layout.pp  # stages with work at a time
    watts = cluster_watts(cluster, layout.gpus, share * step.flops / seconds, form.arithmetic, share * step.busy / seconds)
    return Prediction(
        phase=phase,
        seconds=seconds,
        tokens_per_second=tokens / seconds,
        tokens_per_second_per_user=tokens / batch / seconds,
        breakdown=step.breakdown,
        watts=watts,
        joules_per_token=watts * seconds / tokens,
        usd_per_million_tokens=_usd(cluster, layout, seconds / tokens),
        memory_used_bytes=memory.used,
        memory_available_bytes=memory.available,
        sequences_that_fit=memory.sequences,
        roofline_seconds=step.roofline,
        tp=layout.tp,
        pp=layout.pp,
        dp=layout.dp,
        ep=layout.ep,
        gpus=layout.gpus,
        engine_level=engine.title,
        confidence=confidence(cluster, engine, form, layout),
        nearest=nearest_points(model, cluster, layout, form, engine, batch, context, phase),
        assumptions=assumptions(model, cluster, engine, form, layout),
    )


def _whole_prefill(
    model: ModelConfig,
    cluster: Cluster,
    layout: Layout,
    precision: Precision,
    engine: Engine,
    batch: float,
    context: float,
) -> Step:
    return prefill_step(model, cluster, layout, precision, engine, batch, context)


def serve(
    model: ModelConfig,
    request: Request,
    cluster: Cluster | str,
    *,
    engine_level: str | Engine = "stock",
    tp: int | None = None,
    pp: int | None = None,
    dp: int | None = None,
    ep: int | None = None,
    precision: str | Precision | None = None,
    check_memory: bool = True,
    trust: bool = True,
) -> Served:
    """``request.batch`` users at once, each replaced by the next when done (continuous batching, steady state).

    While one user decodes, every other user's place is refilled once per answer, and its prompt is prefilled between
    (or chunked into) the decode steps; that time is charged to the time per output token.
    """
    cluster, engine = load_cluster(cluster), load_engine(engine_level)
    form = precision_of(precision if precision is not None else request.precision)
    layout = choose_layout(model, cluster, form, request.context, request.batch, tp, pp, dp, ep)
    memory = memory_of(model, cluster, layout, form, request.context, request.batch)
    if check_memory:
        require_fit(model, cluster, layout, memory, request.context, request.batch)
    decode, prefill, token, first, queue = steady_state(
        model, cluster, layout, form, engine, request.prompt, request.output, request.batch
    )
    total = request.batch / token
    request_seconds = first + queue + token * (request.output - 1)
    rate, busy = gpu_load(layout, decode, prefill, request.batch, request.output, token)
    watts = cluster_watts(cluster, layout.gpus, rate, form.arithmetic, busy)
    shares = {cause: seconds * token / decode.seconds for cause, seconds in decode.breakdown.items()}
    return Served(
        time_to_first_token_seconds=first + queue,
        prefill_seconds=prefill.seconds,
        queueing_seconds=queue,
        time_per_output_token_seconds=token,
        tokens_per_second_per_user=1.0 / token,
        tokens_per_second=total,
        tokens_per_second_per_gpu=total / layout.gpus,
        request_seconds=request_seconds,
        watts=watts,
        joules_per_token=watts / total,
        usd_per_million_tokens=_usd(cluster, layout, 1.0 / total),
        memory_used_bytes=memory.used,
        memory_available_bytes=memory.available,
        breakdown=shares,
        tp=layout.tp,
        pp=layout.pp,
        dp=layout.dp,
        ep=layout.ep,
        gpus=layout.gpus,
        engine_level=engine.title,
        confidence=confidence(cluster, engine, form, layout),
        nearest=nearest_points(
            model, cluster, layout, form, engine, request.batch, request.prompt + request.output // 2, "decode"
        )
        if trust
        else [],
        assumptions=[*assumptions(model, cluster, engine, form, layout), *_arrivals(request, layout, prefill)],
    )


STEP_TOKENS = 8192
"""Tokens that one step of an engine takes at most (max_num_batched_tokens of vLLM, max_num_tokens of TensorRT-LLM)."""


def steady_state(
    model: ModelConfig,
    cluster: Cluster,
    layout: Layout,
    precision: Precision,
    engine: Engine,
    prompt: float,
    output: float,
    batch: float,
    sampled: bool = False,
) -> tuple[Step, Step, float, float, float]:
    """(decode step, prefill of one prompt, seconds per token, seconds to the first token, seconds queued)."""
    decode = decode_step(model, cluster, layout, precision, engine, batch, prompt + output / 2.0, sampled)
    prefill = prefill_step(model, cluster, layout, precision, engine, 1.0, prompt)
    users = max(1.0, batch / layout.dp)
    begun = (users - 1.0) / max(1.0, output)  # prompts that begin in the time of one decode step
    # ranks that share experts go in step: all wait for the busiest
    if model.experts and layout.ep > 1 and layout.dp > 1 and not engine.balanced:
        begun = _busiest(begun, layout.dp)
    # Launches and the engine's step are paid by the decode steps already. Prompts that ride along share the weights and the
    # fixed times too, as long as a step has room for their tokens; each further step pays them again.
    shared = again = 0.0
    if engine.chunked:
        once = prefill.weights + prefill.fixed
        shared = begun * once
        again = max(0.0, begun * prompt / STEP_TOKENS - 1.0) * once
    token = decode.seconds + max(0.0, float(engine.interference) * begun * prefill.device - shared) + again
    first = prefill.seconds + float(engine.per_request)
    answer = output * (token if engine.chunked else decode.seconds)  # prompts go first elsewhere: no answer is made meanwhile
    queue = waiting(users, prefill.device / layout.pp, answer) + (decode.seconds * 0.5 if users > 1.0 else 0.0)
    return decode, prefill, token, first, queue


def together(prompts: float, length: float) -> float:
    """How many of ``prompts`` that are there at once one step takes."""
    return max(1.0, min(prompts, STEP_TOKENS / length))


def waiting(users: float, service: float, answer: float) -> float:
    """Seconds that a prompt waits for others where ``users`` take turns: each sends its next prompt when its answer, which
    takes ``answer`` seconds, is done; prompts of ``service`` seconds are served one after the other.

    Mean value analysis of the closed queue with Schweitzer's approximation, and half a service for the prompt that is found
    in service (Reiser and Lavenberg 1980; Schweitzer 1979): the positive root of a quadratic. No wait for one user; with no
    time between answer and prompt nearly all users wait in line.
    """
    if users <= 1.0:
        return 0.0
    excess = users * service - answer
    root = excess * excess + 4.0 * service * answer - 2.0 * service * service * (users - 1.0)
    return max(0.0, 0.5 * (excess + max(0.0, root) ** 0.5) - service)


def burst(users: float, prompt: float, prefill: Step) -> float:
    """Mean seconds to the end of its prefill where ``users`` prompts come at once and steps take :func:`together`."""
    shared = together(users, prompt)
    each = shared * prefill.device + prefill.engine
    return each * 0.5 * (max(1.0, users / shared) + 1.0)


def _busiest(mean: float, ranks: int) -> float:
    """Expected largest of ``ranks`` Poisson counts of the same ``mean``."""
    total, term, below = 0.0, exp(-mean), 0.0
    for count in range(1, 10 + int(3.0 * mean)):
        below += term
        total += 1.0 - below**ranks
        term *= mean / count
    return total


def gpu_load(layout: Layout, decode: Step, prefill: Step, batch: float, output: float, token: float) -> tuple[float, float]:
    """(FLOP/s, share of the time in kernels) of one GPU in steady state: decode steps and the prompts of ``batch`` users."""
    users = batch / layout.dp
    stages = min(1.0, users / layout.pp)  # of a pipeline with fewer users than stages, some stages wait
    prompts = users / max(1.0, output) / layout.pp
    rate = (stages * decode.flops + prompts * prefill.flops) / token
    return rate, min(1.0, (stages * decode.busy + prompts * prefill.busy) / token)


def _usd(cluster: Cluster, layout: Layout, seconds_per_token: float) -> float:
    return layout.gpus * float(cluster.gpu.price.per_hour) / 3600.0 * seconds_per_token * 1e6


def _arrivals(request: Request, layout: Layout, prefill: Step) -> list[str]:
    """What queueing takes for granted: benchmarks that start all users at once measure far more."""
    waiting = -(-request.batch // layout.dp) - 1
    if waiting < 1:
        return []
    return [
        "each user sends the next prompt when the answer is there; where all start at once the last first token comes "
        f"{waiting * prefill.device:.2g} s later"
    ]


MEASURED_RANKS = 8
"""GPUs of the largest NVLink collectives in the tables that kernels were fitted to."""


def confidence(cluster: Cluster, engine: Engine, precision: Precision, layout: Layout) -> str:
    """high: this GPU's kernels were measured with this engine and precision; medium: another's stand in; low: only its
    family was measured. One less where collectives span more GPUs than any that were measured."""
    gpu = cluster.gpu
    if not gpu.kernels:
        return "low"
    evidence = kernel_fit("gemm", gpu, tuple(engine.kernels), precision.arithmetic).evidence
    own = gpu.kernels.split("_")[0] == gpu.name.split("-")[0] and evidence == "measured"
    level = 2 if own else 1
    return ("low", "medium", "high")[level - (layout.tp * layout.dp > MEASURED_RANKS)]


def assumptions(model: ModelConfig, cluster: Cluster, engine: Engine, precision: Precision, layout: Layout) -> list[str]:
    """Every choice a reader should know, in sentences."""
    gpu, ranks = cluster.gpu, min(cluster.domain, layout.tp * layout.dp)
    shared = "; GPUs that share the experts of a layer wait for the busiest" if layout.ep > 1 else ""
    popular = f"the i-th most popular expert is chosen in proportion to i^-{experts.POPULARITY:g}{shared}"
    beyond = f"collectives over {ranks} GPUs of one NVLink domain are extrapolated: at most {MEASURED_RANKS} were measured"
    return [
        *([beyond] if ranks > MEASURED_RANKS else []),
        *([popular] if model.experts else []),
        f"engine: {engine.title}: {engine.generation}",
        f"weights {precision.weight:g} B, arithmetic {precision.arithmetic}, cache {precision.cache:g} B per element",
        f"power {gpu.power.waiting:.2f} (waiting), {float(gpu.power.low_fraction):.2f} (streaming) to "
        f"{float(gpu.power.high_fraction):.2f} (tensor cores busy) of "
        f"{float(gpu.power.tdp):.0f} W by load and {float(gpu.power.host):.0f} W of host a GPU: "
        f"{gpu.power.low_fraction.source}",
        f"{float(gpu.price.per_hour):.2f} USD an hour a GPU: {gpu.price.per_hour.source}",
    ]
