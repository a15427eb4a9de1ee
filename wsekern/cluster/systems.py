"""Between and beyond steps: caches sent from system to system, and speculative decoding."""

from dataclasses import dataclass, replace
from typing import Unpack

from wsekern.cluster.deploy import Degrees, deploy
from wsekern.cluster.engine import Engine
from wsekern.cluster.hardware import Cluster
from wsekern.cluster.layout import Deployment, cache_bytes
from wsekern.cluster.precision import Precision
from wsekern.cluster.step import decode_step
from wsekern.shown import Tabled
from wsekern.workload.config import ModelConfig
from wsekern.workload.speculation import FREE, Draft, Speculation


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
class Speculative(Tabled):
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
    speculation = Speculation(drafted, acceptance, FREE if draft is None else Draft("model", model=draft))
    alone = deploy(
        model, cluster, context=context, batch=batch, precision=precision, engine_level=engine_level, **degrees
    )
    seconds = decode_step(replace(alone, speculation=speculation), batch, context).seconds
    kept = speculation.kept
    return Speculative(
        tokens_per_step=kept,
        step_seconds=seconds,
        time_per_output_token_seconds=seconds / kept,
        speedup=decode_step(alone, batch, context).seconds * kept / seconds,
    )
