"""Ways of serving beyond one batch on one engine: chunked prefill, prefill and decode apart, speculative decoding."""

from dataclasses import dataclass

from wsekern.cluster.engine import Engine, load_engine
from wsekern.cluster.hardware import Cluster, load_cluster
from wsekern.cluster.layout import Layout, cache_bytes
from wsekern.cluster.precision import Precision, precision_of
from wsekern.cluster.serving import choose_layout, decode_step, prefill_step
from wsekern.cluster.step import Work, forward
from wsekern.errors import InputError
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import Request


def chunked_prefill(
    model: ModelConfig,
    cluster: Cluster,
    layout: Layout,
    precision: Precision,
    engine: Engine,
    prompt: int,
    chunk: int,
    decoding: int = 0,
) -> tuple[float, float]:
    """(seconds until a prompt cut into chunks is read, longest step) beside ``decoding`` sequences that go on.

    Each step holds one chunk and a token of every decoding sequence: weights are streamed once for both, so the step is
    the chunk's, and the cache of the others is read beside it.
    """
    if chunk < 1:
        raise InputError(f"chunk is {chunk!r}, expected at least 1 token")
    total = longest = 0.0
    read = 0
    while read < prompt:
        tokens = min(chunk, prompt - read)
        step = forward(model, cluster, layout, precision, engine, Work(tokens + decoding, 1.0, float(read), True))
        seconds = step.seconds
        if decoding:
            seconds += decode_step(model, cluster, layout, precision, engine, decoding, prompt).kv
        total, longest, read = total + seconds, max(longest, seconds), read + tokens
    return total, longest


@dataclass(frozen=True, kw_only=True)
class Disaggregated:
    """Prefill on some engines, decode on others, the cache sent between them over the network."""

    time_to_first_token_seconds: float
    transfer_seconds: float
    time_per_output_token_seconds: float
    tokens_per_second_per_user: float
    tokens_per_second: float
    tokens_per_second_per_gpu: float
    prefill_engines_per_decode_engine: float
    prefill_gpus: int
    decode_gpus: int


def disaggregate(
    model: ModelConfig,
    request: Request,
    prefill: Cluster | str,
    decode: Cluster | str,
    *,
    engine_level: str | Engine = "stock",
    precision: str | Precision | None = None,
) -> Disaggregated:
    """One decode engine at the request's batch, with as many prefill engines as keep it busy (a fraction of one counts)."""
    engine = load_engine(engine_level)
    form = precision_of(precision if precision is not None else request.precision)
    first, second = load_cluster(prefill), load_cluster(decode)
    reading = choose_layout(model, first, form, request.prompt, 1)
    writing = choose_layout(model, second, form, request.context, request.batch)
    prompt = prefill_step(model, first, reading, form, engine, 1.0, request.prompt)
    token = decode_step(model, second, writing, form, engine, request.batch, request.prompt + request.output / 2.0).seconds
    link = first.gpu.link
    moved = cache_bytes(model, form, request.prompt)
    wires = min(reading.gpus, writing.gpus) * float(link.network_bandwidth) * float(link.network_efficiency)
    transfer = float(link.network_latency) + moved / wires
    requests = request.batch / (token * request.output)
    needed = requests * prompt.seconds
    rate = request.batch / token
    gpus = writing.gpus + needed * reading.gpus
    return Disaggregated(
        time_to_first_token_seconds=prompt.seconds + transfer + float(engine.per_request),
        transfer_seconds=transfer,
        time_per_output_token_seconds=token,
        tokens_per_second_per_user=1.0 / token,
        tokens_per_second=rate,
        tokens_per_second_per_gpu=rate / gpus,
        prefill_engines_per_decode_engine=needed,
        prefill_gpus=reading.gpus,
        decode_gpus=writing.gpus,
    )


@dataclass(frozen=True, kw_only=True)
class Speculative:
    """Decoding with drafted tokens. ``tokens_per_step`` is what a step keeps on average, its own token included."""

    tokens_per_step: float
    step_seconds: float
    time_per_output_token_seconds: float
    speedup: float


def speculate(
    model: ModelConfig,
    cluster: Cluster | str,
    *,
    drafted: int,
    acceptance: float,
    context: int,
    batch: int = 1,
    draft: ModelConfig | None = None,
    precision: str | Precision = "bf16",
    engine_level: str | Engine = "stock",
    tp: int | None = None,
) -> Speculative:
    """``drafted`` tokens a step, each accepted with probability ``acceptance`` if all before it were.

    The draft comes from ``draft`` (a model on the same GPUs, one step a token); without one it costs nothing.
    """
    if not isinstance(drafted, int) or drafted < 1:
        raise InputError(f"drafted is {drafted!r}, expected a whole number of at least 1")
    if not 0.0 <= acceptance <= 1.0:
        raise InputError(f"acceptance is {acceptance!r}, expected a probability from 0 to 1")
    cluster, form, engine = load_cluster(cluster), precision_of(precision), load_engine(engine_level)
    layout = choose_layout(model, cluster, form, context, batch, tp)
    each = max(1.0, batch / (layout.dp * layout.pp))
    verify = forward(model, cluster, layout, form, engine, Work(each * (drafted + 1), each, context, False))
    plain = decode_step(model, cluster, layout, form, engine, batch, context)
    seconds = verify.seconds
    if draft is not None:
        step = decode_step(draft, cluster, Layout(tp=layout.tp), form, engine, batch, context)
        seconds += drafted * (step.seconds - float(engine.per_step))
    kept = drafted + 1.0 if acceptance == 1.0 else (1.0 - acceptance ** (drafted + 1)) / (1.0 - acceptance)
    return Speculative(
        tokens_per_step=kept,
        step_seconds=seconds,
        time_per_output_token_seconds=seconds / kept,
        speedup=plain.seconds * kept / seconds,
    )
