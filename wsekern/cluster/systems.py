"""Ways of serving beyond one batch on one engine: chunked prefill, prefill and decode apart, speculative decoding."""

from dataclasses import dataclass, replace
from typing import Unpack

from wsekern.cluster.deploy import Degrees, deploy
from wsekern.cluster.engine import Engine
from wsekern.cluster.hardware import Cluster
from wsekern.cluster.layout import Deployment, Layout, cache_bytes
from wsekern.cluster.operators import Work
from wsekern.cluster.precision import Precision
from wsekern.cluster.step import decode_step, forward, prefill_step
from wsekern.errors import InputError
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import Request
from wsekern.workload.speculation import Speculation


def chunked_prefill(deployment: Deployment, prompt: int, chunk: int, decoding: int = 0) -> tuple[float, float]:
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
        seconds = forward(deployment, Work(tokens + decoding, 1.0, float(read), True)).seconds
        if decoding:
            seconds += decode_step(deployment, decoding, prompt).kv
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
    model: ModelConfig, request: Request, prefill: Cluster | str, decode: Cluster | str, *,
    engine_level: str | Engine = "stock", precision: str | Precision | None = None
) -> Disaggregated:
    """One decode engine at the request's batch, with as many prefill engines as keep it busy (a fraction of one counts).

    ``precision`` is the request's unless given.
    """
    form = precision if precision is not None else request.precision
    reading = deploy(model, prefill, context=request.prompt, precision=form, engine_level=engine_level)
    writing = deploy(
        model, decode, context=request.context, batch=request.batch, precision=form, engine_level=engine_level
    )
    prompt = prefill_step(reading, 1.0, request.prompt)
    token = decode_step(writing, request.batch, request.prompt + request.output / 2.0).seconds
    transfer = transfer_seconds(reading, request.prompt, network_rate(writing))
    needed = request.batch / (token * request.output) * prompt.seconds
    rate = request.batch / token
    gpus = writing.layout.gpus + needed * reading.layout.gpus
    return Disaggregated(
        time_to_first_token_seconds=prompt.seconds + transfer + float(writing.engine.per_request),
        transfer_seconds=transfer,
        time_per_output_token_seconds=token,
        tokens_per_second_per_user=1.0 / token,
        tokens_per_second=rate,
        tokens_per_second_per_gpu=rate / gpus,
        prefill_engines_per_decode_engine=needed,
        prefill_gpus=reading.layout.gpus,
        decode_gpus=writing.layout.gpus,
    )


def network_rate(deployment: Deployment) -> float:
    """Bytes per second between ``deployment`` and other systems, every GPU through its own adapter."""
    link = deployment.gpu.link
    return deployment.layout.gpus * float(link.network_bandwidth) * float(link.network_efficiency)


def transfer_seconds(reading: Deployment, prompt: float, rate: float, moved: float | None = None) -> float:
    """Seconds of sending the cache of ``prompt`` tokens from ``reading`` to what takes ``rate`` bytes per second: ``moved``
    bytes where the cache has another format there."""
    size = cache_bytes(reading.model, reading.precision, prompt) if moved is None else moved
    return float(reading.gpu.link.network_latency) + size / min(rate, network_rate(reading))


@dataclass(frozen=True, kw_only=True)
class Speculative:
    """Decoding with drafted tokens. ``tokens_per_step`` is what a step keeps on average, its own token included."""

    tokens_per_step: float
    step_seconds: float
    time_per_output_token_seconds: float
    speedup: float


def speculate(
    model: ModelConfig, cluster: Cluster | str, *, drafted: int, acceptance: float, context: int, batch: int = 1,
    draft: ModelConfig | None = None, precision: str | Precision = "bf16", engine_level: str | Engine = "stock",
    **degrees: Unpack[Degrees]
) -> Speculative:
    """``drafted`` tokens a step, each accepted with probability ``acceptance`` if all before it were.

    The draft comes from ``draft`` (a model on the same GPUs, one step a token); without one it costs nothing.
    """
    speculation = Speculation(drafted, acceptance)
    alone = deploy(
        model, cluster, context=context, batch=batch, precision=precision, engine_level=engine_level, **degrees
    )
    seconds = decode_step(replace(alone, speculation=speculation), batch, context).seconds
    if draft is not None:
        beside = replace(alone, model=draft, layout=Layout(tp=alone.layout.tp))
        seconds += drafted * (decode_step(beside, batch, context).seconds - float(alone.engine.per_step))
    kept = speculation.kept
    return Speculative(
        tokens_per_step=kept,
        step_seconds=seconds,
        time_per_output_token_seconds=seconds / kept,
        speedup=decode_step(alone, batch, context).seconds * kept / seconds,
    )
